"""Builds the tables of the example pipeline: daily candles and funding rates of fictional markets.

The same day always gives the same rows, whenever and wherever it is built, so a later table begins with an earlier one.

    python build.py --until 2026-11-19 --to data
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FIRST_DAY = date(2026, 8, 1)
EXCHANGES = {"aurora": 1.0, "boreal": 1.0006, "cirrus": 0.9995}
SYMBOLS = {"AMBR-USD": 41_000.0, "BASL-USD": 2_900.0, "CEDR-USD": 96.0, "DUNE-USD": 0.61}
FUNDING_HOURS = 8
DAILY_MOVE = 0.02

TIME = pa.timestamp("ms", "UTC")
CANDLES = pa.schema(
    [
        ("timestamp", TIME),
        ("exchange", pa.string()),
        ("symbol", pa.string()),
        ("open", pa.float64()),
        ("high", pa.float64()),
        ("low", pa.float64()),
        ("close", pa.float64()),
        ("volume", pa.float64()),
        ("trades", pa.int64()),
    ]
)
FUNDING = pa.schema(
    [("timestamp", TIME), ("exchange", pa.string()), ("symbol", pa.string()), ("rate", pa.float64())],
)

Row = tuple[datetime | str | float | int, ...]


def candles(until: date) -> pa.Table:
    """A row for every day, exchange and symbol, from the first day to `until`, both included."""
    rows = (row for exchange in EXCHANGES for symbol in SYMBOLS for row in _candles(exchange, symbol, until))
    return _table(rows, CANDLES)


def funding(until: date) -> pa.Table:
    """A row for every eight hours, exchange and symbol."""
    rows = (row for exchange in EXCHANGES for symbol in SYMBOLS for row in _funding(exchange, symbol, until))
    return _table(rows, FUNDING)


def _candles(exchange: str, symbol: str, until: date) -> Iterator[Row]:
    chance = random.Random(f"candles {exchange} {symbol}")
    price = SYMBOLS[symbol] * EXCHANGES[exchange]
    for day in _days(until):
        opened, closed = price, price * math.exp(DAILY_MOVE * chance.gauss(0, 1))
        high = max(opened, closed) * (1 + 0.5 * DAILY_MOVE * chance.random())
        low = min(opened, closed) * (1 - 0.5 * DAILY_MOVE * chance.random())
        trades = chance.randint(800, 40_000)
        prices = (round(value, 4) for value in (opened, high, low, closed))
        yield (_midnight(day), exchange, symbol, *prices, round(trades * chance.uniform(0.02, 0.4), 3), trades)
        price = closed


def _funding(exchange: str, symbol: str, until: date) -> Iterator[Row]:
    chance = random.Random(f"funding {exchange} {symbol}")
    for day in _days(until):
        for hour in range(0, 24, FUNDING_HOURS):
            yield _midnight(day) + timedelta(hours=hour), exchange, symbol, round(chance.gauss(1e-4, 3e-4), 8)


def _days(until: date) -> Iterator[date]:
    return (FIRST_DAY + timedelta(days=day) for day in range((until - FIRST_DAY).days + 1))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _table(rows: Iterator[Row], schema: pa.Schema) -> pa.Table:
    """The rows in the order of their time: new rows come last."""
    ordered = sorted(rows, key=lambda row: row[:3])  # type: ignore[arg-type]  # time and two names
    columns = list(zip(*ordered, strict=True))
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the tables."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--until", type=date.fromisoformat, default=yesterday, help="the last day (default: yesterday)")
    parser.add_argument("--to", type=Path, default=Path("data"), metavar="FOLDER", help="where (default: data)")
    options = parser.parse_args(arguments)
    if options.until < FIRST_DAY:
        parser.error(f"the tables begin on {FIRST_DAY}")
    options.to.mkdir(parents=True, exist_ok=True)
    for name, table in (("ohlcv_daily", candles(options.until)), ("funding_rates", funding(options.until))):
        pq.write_table(table, options.to / f"{name}.parquet")
        print(f"{options.to / name}.parquet: {table.num_rows} rows until {options.until}")


if __name__ == "__main__":
    main()
