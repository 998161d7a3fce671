"""Shards: the same rows give the same bytes, in the requested number and size of files."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hugflow.model.errors import InvalidRequest, StorageFault, Terminal
from hugflow.publish.row_groups import RowQueue, row_bytes
from hugflow.publish.shards import LAYOUT, ShardFile, ShardOptions, write_shards
from hugflow.publish.sources.opening import Source, of_arrow

ONE = ShardOptions(None, 1)


def source_of(table: pa.Table, cuts: Sequence[int] = ()) -> Source:
    """The table as a source whose batches begin at the cuts."""
    source = of_arrow(table, "default", "train")
    edges = sorted({0, *(cut for cut in cuts if cut <= table.num_rows), table.num_rows})

    whole = pa.Table.from_batches(source.batches(), source.schema).combine_chunks().to_batches()

    def read(columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        for start, stop in pairwise(edges):
            yield whole[0].slice(start, stop - start).select(columns or table.column_names)

    return replace(source, read=read) if cuts else source


def write(source: Source, options: ShardOptions, folder: Path, **how: Any) -> list[ShardFile]:
    folder.mkdir(exist_ok=True)
    return list(write_shards(source, options, folder, **how))


def table_of(rows: int, seed: int = 1) -> pa.Table:
    """Numbers, a few words and texts of many lengths."""
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "n": np.arange(rows),
            "x": rng.random(rows),
            "word": pa.array(["alpha", "beta", None, "gamma"]).take(pa.array(rng.integers(0, 4, rows))),
            "text": ["x" * int(length) for length in rng.integers(0, 40, rows)],
            "tags": [[str(i)] * (i % 3) if i % 7 else None for i in range(rows)],
        }
    )


def rows_of(shards: Sequence[ShardFile]) -> list[dict[str, Any]]:
    return [row for shard in shards for row in pq.read_table(shard.file).to_pylist()]


# -- what is in a file ------------------------------------------------------------------------------------------------


def test_a_shard_says_what_it_is(tmp_path: Path) -> None:
    table = table_of(1000)
    (shard,) = write(source_of(table), ONE, tmp_path)
    content = shard.file.read_bytes()
    footer = pq.read_metadata(shard.file)
    assert shard.index == 0
    assert (shard.rows, shard.size_bytes) == (footer.num_rows, len(content)) == (1000, len(content))
    assert shard.sha256 == hashlib.sha256(content).hexdigest()
    assert shard.uncompressed_bytes == sum(footer.row_group(i).total_byte_size for i in range(footer.num_row_groups))
    assert rows_of([shard]) == table.to_pylist()
    assert LAYOUT.endswith(pa.__version__)


def test_compression_statistics_page_index_and_metadata(tmp_path: Path) -> None:
    (shard,) = write(source_of(table_of(1000)), ONE, tmp_path)
    footer = pq.read_metadata(shard.file)
    group = footer.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    assert {column.compression for column in columns} == {"ZSTD"}
    assert all(column.has_column_index and column.has_offset_index for column in columns)
    assert all(column.is_stats_set and column.statistics.has_null_count for column in columns)
    assert [columns[0].statistics.min, columns[0].statistics.max] == [0, 999]
    assert columns[2].statistics.null_count > 0
    assert set(footer.metadata) == {b"huggingface", b"ARROW:schema", b"content_defined_chunking"}
    features = json.loads(footer.metadata[b"huggingface"])["info"]["features"]
    assert features["n"] == {"dtype": "int64", "_type": "Value"}


@pytest.mark.parametrize("count", [1, 2, 7])
def test_datasets_loads_the_shards(tmp_path: Path, count: int) -> None:
    table = table_of(100)
    shards = write(source_of(table), ShardOptions(None, count), tmp_path)
    files = [str(shard.file) for shard in shards]
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.to_list() == table.to_pylist()


# -- the same rows, the same bytes ------------------------------------------------------------------------------------

columns = st.sampled_from(
    [
        (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
        (pa.bool_(), st.booleans()),
        (pa.float64(), st.floats()),
        (pa.string(), st.text(st.characters(exclude_categories=["Cs"]), max_size=6)),
        (pa.large_binary(), st.binary(max_size=6)),
        (pa.binary(2), st.binary(min_size=2, max_size=2)),
        (pa.null(), st.none()),
        (pa.list_(pa.int8()), st.lists(st.integers(0, 9) | st.none(), max_size=3)),
        (pa.list_(pa.string(), 2), st.lists(st.sampled_from(["", "ab"]), min_size=2, max_size=2)),
        (
            pa.struct([("a", pa.int8()), ("b", pa.list_(pa.string()))]),
            st.fixed_dictionaries({"a": st.none(), "b": st.lists(st.just("x"))}),
        ),
        (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["p", "q"])),
    ]
)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(0, 40))
    found = {}
    for name in "abc"[: draw(st.integers(1, 3))]:
        kind, values = draw(columns)
        some = draw(st.lists(values | st.none(), min_size=rows, max_size=rows))
        found[name] = pa.array(some, kind)
    return pa.table(found)


@settings(max_examples=40)
@given(tables(), st.lists(st.integers(0, 40), min_size=1, max_size=6), st.sampled_from([1, 3]))
def test_it_does_not_matter_how_rows_came(
    tmp_path_factory: pytest.TempPathFactory, table: pa.Table, cuts: list[int], count: int
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    options = ShardOptions(None, count)
    whole = [shard.sha256 for shard in write(source_of(table), options, folder)]
    assert [shard.sha256 for shard in write(source_of(table, cuts), options, folder)] == whole
    chunked = pa.concat_tables([table.slice(i, 1) for i in range(table.num_rows)] or [table])
    assert [shard.sha256 for shard in write(source_of(chunked), options, folder)] == whole


@pytest.mark.parametrize("options", [ShardOptions(None, 3), ShardOptions(200_000, None)])
def test_nor_for_larger_tables_and_for_rows_from_files(tmp_path: Path, options: ShardOptions) -> None:
    table = table_of(60_000)
    whole = [shard.sha256 for shard in write(source_of(table), options, tmp_path)]
    assert len(whole) >= 3
    for cuts in ([1], [59_999], range(0, 60_000, 777), range(0, 60_000, 4096)):
        assert [shard.sha256 for shard in write(source_of(table, cuts), options, tmp_path)] == whole
    # slices of a larger table carry marks of nulls that they do not have, and offsets
    longer = pa.concat_tables(
        [
            pa.table(
                {name: pa.nulls(5, kind) for name, kind in zip(table.column_names, table.schema.types, strict=True)}
            ),
            table,
        ]
    ).combine_chunks()
    assert [shard.sha256 for shard in write(source_of(longer.slice(5)), options, tmp_path)] == whole


def test_a_table_that_grew_has_the_same_first_files(tmp_path: Path) -> None:
    table = table_of(100_000)
    options = ShardOptions(300_000, None)
    before = [shard.sha256 for shard in write(source_of(table.slice(0, 60_000)), options, tmp_path)]
    after = [shard.sha256 for shard in write(source_of(table), options, tmp_path)]
    assert len(before) > 2
    assert after[: len(before) - 1] == before[:-1]
    assert after[len(before) - 1] != before[-1]


# -- how many files, and how large ------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.integers(0, 30), st.integers(1, 12))
def test_as_many_files_as_were_asked_for(tmp_path_factory: pytest.TempPathFactory, rows: int, count: int) -> None:
    table = pa.table({"n": pa.array(range(rows), pa.int64())})
    shards = write(source_of(table), ShardOptions(None, count), tmp_path_factory.mktemp("shards"))
    assert [shard.index for shard in shards] == list(range(count))
    sizes = [shard.rows for shard in shards]
    assert max(sizes) - min(sizes) <= 1
    assert rows_of(shards) == table.to_pylist()


def test_rows_that_are_not_counted_yet_are_counted(tmp_path: Path) -> None:
    source = replace(source_of(table_of(100)), rows=None)
    assert [shard.rows for shard in write(source, ShardOptions(None, 3), tmp_path)] == [33, 33, 34]


@pytest.mark.parametrize("limit", [1_000_000, 1_500_000])
@pytest.mark.parametrize("kind", ["like noise", "mixed", "very alike", "wide", "changing often", "changing"])
def test_files_have_the_size_that_was_asked_for(tmp_path: Path, kind: str, limit: int) -> None:
    rng = np.random.default_rng(2)
    rows = 8 * limit // 100

    def changing(rows: int, after: int) -> pa.Table:
        """Texts that become very small by turns with such that do not become smaller."""
        return pa.table({"b": [rng.bytes(60) if i // after % 2 else b"x" * 200 for i in range(rows)]})

    makers: dict[str, Callable[[], pa.Table]] = {
        "like noise": lambda: pa.table({"b": [rng.bytes(80) for _ in range(rows)]}),
        "mixed": lambda: table_of(rows * 6),
        "very alike": lambda: pa.table(
            {"s": ["the same text again and again " * 10] * rows * 4, "n": rng.integers(0, 9, rows * 4)}
        ),
        "wide": lambda: pa.table({f"c{i}": rng.random(rows // 25) for i in range(150)}),
        "changing often": lambda: changing(rows * 2, 1000),
        "changing": lambda: changing(rows * 2, 5000),
    }
    table = makers[kind]()
    shards = write(source_of(table), ShardOptions(limit, None), tmp_path)
    assert sum(shard.rows for shard in shards) == table.num_rows
    full = [shard.size_bytes for shard in shards[:-1]]
    if kind != "very alike":
        assert len(full) > 1
    assert all(size <= limit * 1.01 for size in (*full, shards[-1].size_bytes))
    assert all(size >= limit * 0.9 for size in full)


def test_there_are_never_more_files_than_a_folder_of_the_hub_takes(tmp_path: Path) -> None:
    table = pa.table({"b": [np.random.default_rng(n).bytes(1000) for n in range(10_002)]})
    with pytest.raises(InvalidRequest, match="more than 10000 files in one folder") as caught:
        write(source_of(table), ShardOptions(1000, None), tmp_path, done=[1] * 9_999)
    assert caught.value.field == "max_shard_size"
    shards = write(source_of(table.slice(2)), ShardOptions(1000, None), tmp_path, done=[1] * 9_999)
    assert [(shard.index, shard.rows) for shard in shards] == [(9_999, 1)]


def test_a_row_that_is_larger_than_a_file_has_one_of_its_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    sizes = [400_000, 1_500_000, 200_000, 300_000, 900_000, 10]
    table = pa.table({"b": [rng.bytes(size) for size in sizes]})
    shards = write(source_of(table), ShardOptions(1_000_000, None), tmp_path)
    assert [shard.rows for shard in shards] == [1, 1, 2, 1, 1] or [shard.rows for shard in shards] == [1, 1, 2, 2]
    assert rows_of(shards) == table.to_pylist()


def test_row_groups_are_bounded_in_bytes_and_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    table = pa.table({"b": [rng.bytes(100_000) for _ in range(2_000)], "n": range(2_000)})
    (shard,) = write(source_of(table), ONE, tmp_path)
    footer = pq.read_metadata(shard.file)
    groups = [footer.row_group(i).total_byte_size for i in range(footer.num_row_groups)]
    assert max(groups) <= 100_000_000
    assert len(groups) == 4
    small = pa.table({"n": pa.array(np.zeros(1_500_000, np.int8))})
    (shard,) = write(source_of(small), ShardOptions(500_000_000, None), tmp_path)
    footer = pq.read_metadata(shard.file)
    assert [footer.row_group(i).num_rows for i in range(footer.num_row_groups)] == [1_000_000, 500_000]


def test_row_groups_of_audio_have_a_hundred_rows(tmp_path: Path) -> None:
    features = datasets.Features({"audio": datasets.Audio(), "n": datasets.Value("int64")})
    rows = [{"audio": {"bytes": b"x" * 10, "path": f"{n}.wav"}, "n": n // 10} for n in range(250)]
    table = pa.Table.from_pylist(rows, schema=features.arrow_schema)
    (shard,) = write(source_of(table), ONE, tmp_path)
    footer = pq.read_metadata(shard.file)
    assert [footer.row_group(i).num_rows for i in range(footer.num_row_groups)] == [100, 100, 50]
    encodings = {column["path_in_schema"]: column["encodings"] for column in footer.row_group(0).to_dict()["columns"]}
    assert not any("DICTIONARY" in each for each in encodings["audio.bytes"])
    assert any("DICTIONARY" in each for each in encodings["n"])


def test_only_values_that_repeat_have_a_dictionary(tmp_path: Path) -> None:
    rows = [
        {
            "symbol": f"S{n % 20}",
            "text": f"sentence {n}",
            "price": n * 0.37,
            "level": n % 3 + 0.5,
            "words": ["yes", "no", "maybe"][n % 3 :],
            "vector": [n * 0.1, n * 0.2],
            "at": {"x": n, "side": "left" if n % 2 else "right"},
            "nothing": None,
        }
        for n in range(2000)
    ]
    table = pa.Table.from_pylist(rows)
    (shard,) = write(source_of(table), ONE, tmp_path)
    chunks = pq.read_metadata(shard.file).row_group(0).to_dict()["columns"]
    with_one = {chunk["path_in_schema"] for chunk in chunks if any("DICTIONARY" in each for each in chunk["encodings"])}
    assert with_one == {"symbol", "level", "words.list.element", "at.side", "nothing"}
    assert rows_of([shard]) == rows


def test_without_rows_there_is_one_empty_file(tmp_path: Path) -> None:
    for options in (ONE, ShardOptions(1_000_000, None)):
        (shard,) = write(source_of(table_of(0)), options, tmp_path)
        assert (shard.rows, shard.uncompressed_bytes) == (0, 0)
        assert pq.read_table(shard.file).schema.names == ["n", "x", "word", "text", "tags"]


# -- one after the other ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [ShardOptions(None, 5), ShardOptions(100_000, None)])
def test_shards_that_are_done_are_not_made_again(tmp_path: Path, options: ShardOptions) -> None:
    source = source_of(table_of(30_000), range(0, 30_000, 1234))
    whole = write(source, options, tmp_path)
    assert len(whole) >= 5
    for count in (1, len(whole) - 1, len(whole)):
        done = [shard.rows for shard in whole[:count]]
        rest = write(source, options, tmp_path / "rest", done=done)
        assert [(s.index, s.sha256) for s in rest] == [(s.index, s.sha256) for s in whole[count:]]


def test_a_file_is_written_only_when_it_is_wanted(tmp_path: Path) -> None:
    shards = write_shards(source_of(table_of(100)), ShardOptions(None, 3), tmp_path)
    assert not list(tmp_path.iterdir())
    first = next(shards)
    assert list(tmp_path.iterdir()) == [first.file]
    first.file.unlink()
    assert next(shards).file != first.file
    shards.close()


def test_a_run_can_be_stopped_between_batches(tmp_path: Path) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(source_of(table_of(1000), range(0, 1000, 100)), ONE, tmp_path, check=check)
    assert not list(tmp_path.iterdir()), "what was begun is gone"


@pytest.mark.parametrize("rows", [99, 101])
def test_rows_that_became_more_or_fewer_are_noticed(tmp_path: Path, rows: int) -> None:
    source = replace(source_of(table_of(rows)), rows=100)
    with pytest.raises(Terminal, match="its rows are not as many as they were") as caught:
        write(source, ShardOptions(None, 3), tmp_path)
    assert caught.value.reason == "file_changed"
    with pytest.raises(Terminal, match="its rows are not as many as they were"):
        write(source, ShardOptions(1_000_000, None), tmp_path, done=[50, 60])


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np, pyarrow as pa
from hugflow.model.errors import StorageFault
from hugflow.publish.shards import ShardOptions, write_shards
from hugflow.publish.sources.opening import of_arrow
source = of_arrow(pa.table({"x": np.random.default_rng(1).random(3_000_000)}), "default", "train")
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    list(write_shards(source, ShardOptions(None, 1), Path(sys.argv[1])))
except StorageFault as fault:
    print(fault.reason, fault.doing, list(Path(sys.argv[1]).iterdir()))
"""


@pytest.mark.parametrize("limit", [1, 100_000, 20_000_000])
def test_a_full_disk_is_a_storage_fault_and_leaves_nothing(
    tmp_path: Path, clean_environ: dict[str, str], repo_root: Path, limit: int
) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n" + LIMITED,
            tmp_path,
            str(limit),
        ],
        cwd=repo_root,
        env=clean_environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("no_space writing shard-00000.parquet []\n", "")


def test_a_link_in_the_place_of_a_shard_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    canary = tmp_path / "canary"
    canary.write_text("canary")
    (tmp_path / "out/shard-00000.parquet").symlink_to(canary)
    with pytest.raises(StorageFault, match="symbolic link"):
        write(source_of(table_of(10)), ONE, tmp_path / "out")
    assert canary.read_text() == "canary"


def test_a_leftover_of_a_kill_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "shard-00000.parquet").write_bytes(b"x" * 1_000_000)
    (shard,) = write(source_of(table_of(10)), ONE, tmp_path)
    assert shard.file.stat().st_size == shard.size_bytes < 100_000


# -- rows in a queue --------------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=30),
    st.lists(st.integers(0, 30), max_size=5),
    st.integers(1, 40),
    st.integers(1, 400),
)
def test_rows_are_taken_by_number_and_bytes_alone(
    lengths: list[int], cuts: list[int], rows: int, size_bytes: int
) -> None:
    table = pa.table({"s": ["x" * length for length in lengths], "n": range(len(lengths))})
    edges = sorted({0, *(cut for cut in cuts if cut < len(lengths)), len(lengths)})
    batch = table.combine_chunks().to_batches()[0]
    queue = RowQueue(batch.slice(start, stop - start) for start, stop in pairwise(edges))
    at = 0
    while queue.next_bytes() is not None:
        taken, taken_bytes = queue.take(rows, size_bytes)
        count = taken.num_rows
        assert taken.to_pylist() == table.slice(at, count).to_pylist()
        sizes = [4 + length + 8 for length in lengths[at:]]
        assert taken_bytes == sum(sizes[:count])
        assert count <= rows
        assert count == 1 or taken_bytes <= size_bytes
        full = count == rows or at + count == len(lengths) or sum(sizes[: count + 1]) > size_bytes
        assert full, "more would have fitted"
        at += count
    assert at == len(lengths)


@given(tables())
def test_rows_have_the_bytes_of_their_values(table: pa.Table) -> None:
    source = source_of(table)
    for batch in source.batches():
        sizes = row_bytes(batch)
        assert len(sizes) == batch.num_rows
        assert all(row_bytes(batch.slice(i, 1))[0] == sizes[i] for i in range(batch.num_rows))


# -- memory -----------------------------------------------------------------------------------------------------------

MEMORY = """
import json, os, resource, sys, threading, time
from pathlib import Path
from hugflow.publish.shards import ShardOptions, write_shards
from hugflow.publish.sources.opening import open_tables
from hugflow.model.publish_spec import PublishSpec

def used():
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return sum(int(fields[name].split()[0]) for name in ("RssAnon", "RssFile")) * 1024

folder, path = Path(sys.argv[1]), sys.argv[2]
before, peak, rows = used(), 0, 0
def look():
    global peak
    peak = max(peak, used() - before)
(source,) = open_tables(PublishSpec.model_validate({"repo_id": "a/b", "path": path}), folder)
for shard in write_shards(source, ShardOptions(50_000_000, None), folder / "out", check=look):
    look()
    rows += shard.rows
    shard.file.unlink()
print(json.dumps({"peak": peak, "rows": rows, "whole": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""


def large_file(path: Path) -> int:
    """About 300 MB; returns the number of rows."""
    rng = np.random.default_rng(5)
    texts = pa.array([rng.bytes(300).hex() for _ in range(2_000)])
    count = 250
    if path.suffix == ".jsonl":
        block = "".join(
            json.dumps({"n": i, "s": text, "x": i / 7}) + "\n" for i, text in enumerate(texts.to_pylist())
        ).encode()
    if path.suffix == ".csv":
        block = "".join(f"{i},{text},{i / 7}\n" for i, text in enumerate(texts.to_pylist())).encode()
    if path.suffix in {".csv", ".jsonl"}:
        with path.open("wb") as file:
            file.write(b"n,s,x\n" if path.suffix == ".csv" else b"")
            for _ in range(count):
                file.write(block)
        return 2_000 * count
    table = pa.table({"n": np.arange(2_000), "s": texts, "x": rng.random(2_000)})
    if path.suffix == ".arrow":
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_batch(pa.concat_tables([table] * count).combine_chunks().to_batches()[0])
    else:
        pq.write_table(pa.concat_tables([table] * count), path, row_group_size=1_000_000, use_dictionary=False)
    return 2_000 * count


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x.jsonl", "x.arrow"])
def test_memory_does_not_grow_with_the_table(
    tmp_path: Path, clean_environ: dict[str, str], repo_root: Path, name: str
) -> None:
    rows = large_file(tmp_path / name)
    assert (tmp_path / name).stat().st_size > 250_000_000
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path, name],
        cwd=repo_root,
        env=clean_environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"},
        capture_output=True,
        text=True,
        check=False,
    )
    (tmp_path / name).unlink()
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rows"] == rows
    assert found["peak"] < 200_000_000
