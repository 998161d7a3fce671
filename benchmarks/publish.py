"""Benchmarks publishing: `hugflow publish` beside `datasets.push_to_hub`, on one table, to a small Hub on this machine.

From the same parquet file: `hugflow publish`, beside `load_dataset` and then `push_to_hub`. And from the dataset that
`load_dataset` made of it, before the clock starts: hugflow's `push_to_hub` beside that of `datasets`. Hugflow counts
missing values, and for a request also dates and distinct values, in its time. Every run is a process of its own beside
a Hub of its own, which knows nothing of the table yet. Then the peak memory of the command, with two sizes of table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import measure
from benchmarks.measure import Sample, Target, print_fact, print_ratio, print_samples
from localhub import HubProcess

SMOKE = ("--rows", "3000", "--rounds", "1", "--sizes", "0.001", "0.002")
TOKEN = "hf_benchmark"
BATCH_ROWS = 100_000
SHARD_SIZE = "50MB"  # several files, as large tables have with 500 MB
A_LOT = 1000  # rows that are counted as one: they are quick
GB = 10**9

REQUEST = """repo_id: acme/table
path: table.parquet
max_shard_size: {shard_size}
timestamp_column: timestamp
distinct: {{symbols: symbol}}
quality: {{not_null: [timestamp, symbol], range: {{close: [0, null]}}}}
"""

# Each is a program that prints its wall and CPU seconds and the rows that it published.
_PROGRAM = """
import json, time
from datasets import load_dataset
from datasets.utils import disable_progress_bars
from huggingface_hub.utils import disable_progress_bars as disable_bars_of_the_hub
from hugflow import publish_request, push_to_hub
disable_progress_bars(); disable_bars_of_the_hub()
def load():
    return load_dataset("parquet", data_files="table.parquet", split="train")
{before}
began, cpu = time.perf_counter(), time.process_time()
{timed}
print(json.dumps([time.perf_counter() - began, time.process_time() - cpu, count]))
"""
_OPTIONS = f'"acme/table", max_shard_size="{SHARD_SIZE}"'
_OURS = "count = sum(published.rows.values())"
_THEIRS = f"rows.push_to_hub({_OPTIONS}); count = rows.num_rows"
PROGRAMS = {
    "hugflow publish": ("", f'published = publish_request("requests/publish/table.yaml", state_dir="state"); {_OURS}'),
    "load_dataset and push_to_hub": ("", f"rows = load(); {_THEIRS}"),
    "hugflow.push_to_hub": ("rows = load()", f"published = push_to_hub(rows, {_OPTIONS}); {_OURS}"),
    "Dataset.push_to_hub": ("rows = load()", _THEIRS),
}
"""Ours and theirs in turns: what each does before the clock starts, and then."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=6_000_000, help="rows of the table that is published in rounds")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; medians are printed (default: 3)")
    parser.add_argument(
        "--sizes", type=float, nargs="+", default=[1, 5], help="gigabytes of the tables for memory (default: 1 5)"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="hugflow-bench-") as folder:
        _throughput(Path(folder), options.rows, options.rounds)
        _memory(Path(folder), options.sizes)


# -- throughput ------------------------------------------------------------------------------------------------------


def _throughput(folder: Path, rows: int, rounds: int) -> None:
    place = folder / "throughput"
    size = _write(place, rows=rows)
    for way, disabled in (("LFS", "1"), ("Xet", "0")):
        measure.print_title(
            "publish", f"{rows:,} rows, {size / 1e6:,.0f} MB of parquet, uploads by {way}; rows are thousands"
        )
        samples: dict[str, list[Sample]] = {name: [] for name in PROGRAMS}
        for number in range(rounds):
            for name, done in samples.items():
                done.append(_run(place, folder / f"{way} {name} {number}", name, disabled))
        print_samples(samples)
        for ours, theirs in zip([*PROGRAMS][::2], [*PROGRAMS][1::2], strict=True):
            pairs = zip(samples[ours], samples[theirs], strict=True)
            ratios = [one.rows_per_s / other.rows_per_s for one, other in pairs]
            print_ratio(f"{ours} / {theirs}, {way}", ratios, Target("at least", 1))


def _run(place: Path, scratch: Path, name: str, xet_disabled: str) -> Sample:
    """One publish in a process of its own, to a Hub of its own."""
    scratch.mkdir()
    before, timed = PROGRAMS[name]
    with _hub(scratch) as hub:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _PROGRAM.format(before=before, timed=timed)],
            cwd=_checkout(place, scratch),
            env=_environment(scratch, hub.url) | {"HF_HUB_DISABLE_XET": xet_disabled},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    wall_s, cpu_s, rows = json.loads(done.stdout.splitlines()[-1])
    _remove(scratch)
    return Sample(max(1, rows // A_LOT), wall_s, cpu_s)


# -- memory ----------------------------------------------------------------------------------------------------------


def _memory(folder: Path, sizes: Sequence[float]) -> None:
    measure.print_title(
        "publish", f"peak memory of the command, tables of {', '.join(f'{size:g}' for size in sizes)} GB"
    )
    peaks = []
    for size in sizes:
        place, scratch = folder / f"table {size:g}", folder / f"memory {size:g}"
        written = _write(place, size_bytes=int(size * GB))
        peak_mb, sent = _peak(place, scratch)
        peaks.append(peak_mb)
        print_fact(
            f"{size:g} GB", f"{peak_mb:.0f} MB at its peak, {written / 1e6:,.0f} MB read, {sent / 1e6:,.0f} MB sent"
        )
        _remove(place)
        _remove(scratch)
    for smaller, larger, before, after in zip(sizes, sizes[1:], peaks, peaks[1:], strict=False):
        print_ratio(f"memory, {larger:g} GB / {smaller:g} GB", [after / before], Target("at most", 1.1))


def _peak(place: Path, scratch: Path) -> tuple[float, int]:
    """The peak resident memory (MB) of `hugflow publish`, and the bytes that it sent."""
    scratch.mkdir()
    with _hub(scratch) as hub:
        process = subprocess.Popen(
            [sys.executable, "-m", "hugflow", "publish", "requests/publish/table.yaml", "--json", "-q"],
            cwd=_checkout(place, scratch),
            env=_environment(scratch, hub.url),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        answer: dict[str, Any] = json.loads(process.stdout.read())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
    if process.returncode:
        raise SystemExit(f"hugflow publish failed: {answer}")
    return usage.ru_maxrss / 1024, int(answer["results"][0]["sent_bytes"])


# -- shared helpers --------------------------------------------------------------------------------------------------


def _write(folder: Path, *, rows: int | None = None, size_bytes: int | None = None) -> int:
    """A table of prices as a parquet file, of so many rows or of about so many bytes; returns its size."""
    folder.mkdir()
    path = folder / "table.parquet"
    random = np.random.default_rng(20261120)
    symbols = pa.array([f"SYM{number:04}" for number in range(500)])
    written = 0
    with pq.ParquetWriter(path, _batch(random, symbols, 0, 1).schema, compression="zstd") as writer:
        while written < rows if rows is not None else path.stat().st_size < (size_bytes or 0):
            count = min(BATCH_ROWS, rows - written) if rows is not None else BATCH_ROWS
            writer.write_batch(_batch(random, symbols, written, count), row_group_size=count)
            written += count
    return path.stat().st_size


def _batch(random: np.random.Generator, symbols: pa.Array, first: int, rows: int) -> pa.RecordBatch:
    """Rows of prices: times in order, some hundreds of symbols, numbers that hardly compress."""
    prices = np.round(100 * np.exp(0.2 * random.standard_normal((4, rows))), 4)
    columns = {
        "timestamp": pa.array((1_700_000_000_000 + 250 * np.arange(first, first + rows)).astype("datetime64[ms]")),
        "symbol": symbols.take(pa.array(random.integers(0, len(symbols), rows))),
        **{name: pa.array(values) for name, values in zip(("open", "high", "low", "close"), prices, strict=True)},
        "volume": pa.array(random.exponential(1_000, rows)),
        "trades": pa.array(random.integers(0, 10_000, rows)),
    }
    return pa.RecordBatch.from_pydict(columns)


def _checkout(place: Path, scratch: Path) -> Path:
    """A folder with the table and the request for it."""
    folder = scratch / "checkout"
    request = folder / "requests" / "publish" / "table.yaml"
    request.parent.mkdir(parents=True)
    request.write_text(REQUEST.format(shard_size=SHARD_SIZE), encoding="utf-8")
    os.link(place / "table.parquet", folder / "table.parquet")
    return folder


def _hub(scratch: Path) -> HubProcess:
    return HubProcess(scratch / "hub", "--token", TOKEN)


def _environment(scratch: Path, endpoint: str) -> dict[str, str]:
    """The whole environment of a process: none of the machine's own settings and caches."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "TMPDIR") if name in os.environ}
    home = scratch / "home"
    ours = {"HOME": str(home), "HF_HOME": str(home / "hf"), "HF_ENDPOINT": endpoint, "HF_TOKEN": TOKEN}
    return kept | ours | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), kept.get("PYTHONPATH", "")])}


def _remove(folder: Path) -> None:
    """Delete the folder at once: tables are large."""
    subprocess.run(["rm", "-rf", str(folder)], check=True)


if __name__ == "__main__":
    main()
