"""Facts from the footers of a table's parquet files, so that those columns need not be read.

Only what is exact is taken: row counts, missing values of columns whose footers count them in every row group, and the
least and the greatest of a date or time. A footer does not count NaN.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from hugflow.model.errors import InvalidRequest
from hugflow.publish.profile.times import NS_IN
from hugflow.storage.disk import faults
from hugflow.text.printable import shown

_UNITS = {"milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns"}


@dataclass(frozen=True, slots=True)
class Footers:
    """The facts of all files together. `nulls` has the columns whose count is known.

    `times` is the range of the column with the rows' time, in nanoseconds since 1970; None where there are none.
    `times_known`: the footers tell so, and the column need not be read.
    """

    rows: int
    nulls: Mapping[str, int]
    times: tuple[int, int] | None = None
    times_known: bool = False


@dataclass(frozen=True, slots=True)
class _Group:
    """One row group: its row count, and what its footer says about each leaf of each column."""

    rows: int
    leaves: Mapping[str, list[pq.ColumnChunkMetaData]]
    types: Mapping[str, list[dict[str, Any]]]


def read_footers(files: Sequence[Path], time_column: str | None) -> Footers:
    """The facts that stand in the footers of `files`; InvalidRequest for a file that is no parquet."""
    rows, groups, times_known = 0, 0, time_column is not None
    nulls: Counter[str] = Counter()
    told: Counter[str] = Counter()
    times: list[int] = []
    for group in (group for file in files for group in _groups(file)):
        rows, groups = rows + group.rows, groups + 1
        for name in group.leaves:
            if (count := _nulls(group, name)) is not None:
                nulls[name] += count
                told[name] += 1
        both = _times(group, time_column) if time_column is not None and times_known else None
        times_known = both is not None
        times = [min(found), max(found)] if (found := [*times, *(both or ())]) else []
    known = {name: nulls[name] for name, count in told.items() if count == groups}
    return Footers(rows, known, (times[0], times[1]) if times and times_known else None, times_known)


def _footer(file: Path) -> pq.FileMetaData:
    with faults(f"reading {file.name}"):
        try:
            return pq.read_metadata(file)
        except (pa.ArrowInvalid, OSError) as error:
            if isinstance(error, OSError) and error.errno:
                raise  # the disk's, not the file's
            raise InvalidRequest(
                "reading the tables",
                f"{shown(file.name)} is no parquet file that can be read",
                "Write it again.",
                reason="bad_file",
            ) from error


def _groups(file: Path) -> Iterator[_Group]:
    footer = _footer(file)
    schema = footer.schema.to_arrow_schema()
    owners = [field.name for field in schema for _ in range(_leaf_count(field.type))]
    if len(owners) != footer.num_columns or len(set(schema.names)) != len(schema.names):
        owners = []  # a kind of column that we do not know: the rows will be read
    types = [orjson.loads(footer.schema.column(index).logical_type.to_json()) for index in range(len(owners))]
    for index in range(footer.num_row_groups):
        group = footer.row_group(index)
        leaves: dict[str, list[pq.ColumnChunkMetaData]] = {}
        kinds: dict[str, list[dict[str, Any]]] = {}
        for place, name in enumerate(owners):
            leaves.setdefault(name, []).append(group.column(place))
            kinds.setdefault(name, []).append(types[place])
        yield _Group(group.num_rows, leaves, kinds)


def _leaf_count(kind: pa.DataType) -> int:
    """The number of parquet columns of a column of an Arrow type."""
    if isinstance(kind, pa.BaseExtensionType):
        return _leaf_count(kind.storage_type)
    if pa.types.is_nested(kind):
        return sum(_leaf_count(kind.field(index).type) for index in range(kind.num_fields))
    return 1


def _nulls(group: _Group, name: str) -> int | None:
    """The missing values of a column in a row group; None where its footer does not count them."""
    leaves = group.leaves.get(name)
    if leaves is None:
        return None
    if group.rows == 0:
        return 0
    flat = len(leaves) == 1 and leaves[0].path_in_schema == name
    if flat and group.types[name][0]["Type"] == "Null":
        return group.rows
    statistics = [leaf.statistics for leaf in leaves]
    counts = [each.null_count for each in statistics if each is not None and each.has_null_count]
    if flat:
        return counts[0] if counts else None
    # the parts of a list or struct count their own gaps; where one part has none, nothing around it is missing
    return 0 if 0 in counts else None


def _times(group: _Group, name: str) -> tuple[int, int] | tuple[()] | None:
    """The least and the greatest time of a row group; () for none at all, None where its footer does not tell."""
    if group.rows == 0:
        return ()
    leaves = group.leaves.get(name, [])
    scale = _scale(group.types[name][0]) if len(leaves) == 1 else None
    statistics = leaves[0].statistics if scale else None
    if statistics is None or scale is None:
        return None
    if statistics.has_min_max:
        return statistics.min_raw * scale, statistics.max_raw * scale
    return () if statistics.has_null_count and statistics.null_count == group.rows else None


def _scale(kind: Mapping[str, Any]) -> int | None:
    """The nanoseconds of one count of a parquet column; None for one without dates or times."""
    if kind["Type"] == "Date":
        return NS_IN["d"]
    return NS_IN[_UNITS[kind["timeUnit"]]] if kind["Type"] == "Timestamp" else None
