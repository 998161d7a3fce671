"""The same speech dataset in every format gives the same rows, in the same order, and the same MP3 files."""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from localhub import Fault
from tests.support.format_repositories import LAYOUTS, Layout, Row, Speech, lines, parquet, speech
from tests.support.world import Stored, World, audio_cell, journal_rows, table_of, tree, wait_until


def _serve(world: World, hf_id: str, layout: Layout, rows: list[Speech]) -> None:
    world.repositories += 1
    folder = world.folder.parent / f"repository-{world.repositories}"
    folder.mkdir()
    layout.write(folder, rows)
    world.hub.add_dataset(hf_id, folder)


def _download(world: World, hf_id: str, layout: Layout, **environ: str) -> Stored:
    result = world.sync(world.add(hf_id, hf_id.partition("/")[2], **layout.fields), **environ).ok().result
    return Stored(Path(result["location"]))


@pytest.fixture(scope="module")
def rows() -> list[Speech]:
    return speech()


@pytest.fixture(scope="module")
def reference(shared_world: World, rows: list[Speech]) -> Stored:
    """The rows as one parquet file with one huge row group, by one worker."""
    layout = Layout(parquet())
    _serve(shared_world, "acme/reference", layout, rows)
    stored = _download(shared_world, "acme/reference", layout, WORKERS="1")
    expected = [{"audio": f"audio/{row.stem}__{number}.mp3", **row.values} for number, row in enumerate(rows)]
    assert list(stored.rows().values()) == expected
    return stored


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_format_gives_the_same_rows_and_the_same_mp3(
    shared_world: World, reference: Stored, rows: list[Speech], name: str
) -> None:
    layout = LAYOUTS[name]
    _serve(shared_world, f"acme/{name}", layout, rows)
    stored = _download(shared_world, f"acme/{name}", layout)
    found = [_of(layout.same(row), layout) for row in stored.rows().values()]
    assert found == [_of(row, layout) for row in reference.rows().values()]
    if "audio" in layout.compares:
        assert _mp3(stored) == _mp3(reference)


def _of(row: Row, layout: Layout) -> Row:
    return {name: row[name] for name in layout.compares}


def _mp3(stored: Stored) -> dict[str, str]:
    return {name: digest for name, digest in stored.tree().items() if name.startswith("audio/")}


# -- types that shards do not agree on -------------------------------------------------------------------------------


def test_shards_of_different_types_give_exact_rows_and_a_common_table(world: World) -> None:
    parts: list[list[Row]] = [
        [{"n": 2**53 + 1, "late": None, "any": 1, "in": {"a": 1}}, {"n": 1, "late": None, "any": 2, "in": None}],
        [{"n": 0.5, "late": "x", "any": "text", "in": {"a": 2, "b": "y"}}],
        [{"late": "y", "any": {"k": [1]}}],
    ]
    files = {f"train-{number}.jsonl": lines(part).encode() for number, part in enumerate(parts)}
    world.hub.add_dataset("acme/types")
    world.hub.commit("acme/types", files)
    stored = _download(world, "acme/types", Layout(parquet()))
    assert list(stored.rows().values()) == [row for part in parts for row in part]
    table = pq.read_table(stored.path / "metadata.parquet").to_pydict()
    assert table["n"] == [float(2**53 + 1), 1.0, 0.5, None]
    assert table["late"] == [None, None, "x", "y"]
    assert table["any"] == ["1", "2", "text", '{"k":[1]}']
    assert table["in"] == [{"a": 1, "b": None}, None, {"a": 2, "b": "y"}, None]


# -- interruptions, workers, rows that fail --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["jsonl-gz", "zip-with-metadata"])
def test_a_kill_in_the_middle_changes_nothing(world: World, shared_world: World, rows: list[Speech], name: str) -> None:
    layout = LAYOUTS[name]
    whole = shared_world.storage / f"acme__{name}__split_train__rev_main"
    if not whole.exists():
        _serve(shared_world, f"acme/{name}", layout, rows)
        _download(shared_world, f"acme/{name}", layout)
    request = world.add(f"acme/{name}", name, **layout.fields)
    journal = world.state / "journal" / f"{whole.name}.jsonl"
    for _ in range(2):
        before = len(journal_rows(journal))
        with world.running("local-sync", request) as process:
            wait_until(lambda before=before: len(journal_rows(journal)) > before or process.poll() is not None)
    assert journal_rows(journal)
    _download(world, f"acme/{name}", layout)
    assert world.dataset().tree() == tree(whole)


@pytest.mark.parametrize("name", ["webdataset", "audiofolder-csv"])
def test_the_number_of_workers_changes_nothing(
    world: World, shared_world: World, rows: list[Speech], name: str
) -> None:
    layout = LAYOUTS[name]
    whole = shared_world.storage / f"acme__{name}__split_train__rev_main"
    if not whole.exists():
        _serve(shared_world, f"acme/{name}", layout, rows)
        _download(shared_world, f"acme/{name}", layout)
    for workers in ("1", "4"):
        _download(world, f"acme/{name}", layout, WORKERS=workers)
        assert world.dataset().tree() == tree(whole)
        world.run("remove", world.remove(f"acme/{name}")).ok()


PATHS = {
    "https://example.org/a.wav": "refused_path",
    "hf://datasets/acme/reference/data/train-00000-of-00001.parquet": "refused_path",
    "/etc/hostname": "refused_path",
    "../../etc/hostname": "refused_path",
    "clips/gone.wav": "audio_missing",
}


@pytest.mark.parametrize("form", ["json", "audiofolder"])
def test_rows_whose_audio_is_not_in_the_repository_fail_one_by_one(world: World, rows: list[Speech], form: str) -> None:
    good = rows[0]
    if form == "json":
        listed = [
            {"audio": f"clips/{good.file_name}", "text": "good"},
            *({"audio": path, "text": "bad"} for path in PATHS),
        ]
        reasons = list(PATHS.values())
        files = {"rows.jsonl": lines(listed).encode(), f"clips/{good.file_name}": good.data}
        files["README.md"] = b"---\nconfigs:\n- config_name: default\n  data_files: rows.jsonl\n---\n"
    else:
        names = [good.file_name, "gone.wav"]
        reasons = ["audio_missing"]
        files = {"metadata.jsonl": lines([{"file_name": name} for name in names]).encode(), good.file_name: good.data}
    hf_id = f"acme/paths-{form}"
    world.hub.add_dataset(hf_id)
    world.hub.commit(hf_id, files)
    done = world.sync(world.add(hf_id))
    assert done.code == 3, done.err
    assert [(error["row"], error["reason"]) for error in done.result["errors"]] == list(enumerate(reasons, start=1))
    assert list(world.dataset().rows()) == [0]


# -- scratch, requests, memory -----------------------------------------------------------------------------------------


def test_a_row_group_beyond_the_workers_memory_is_refused_before_the_run(world: World) -> None:
    table = table_of([{"audio": audio_cell(bytes(140_000_000) + bytes([number]), "a.wav")} for number in range(2)])
    world.serve("acme/heavy", {"train": table})
    done = world.sync(world.add("acme/heavy"), WORKER_MEMORY_MB="256")
    assert done.code == 74, done.result["error"]
    assert "has a row group of" in done.result["error"]
    assert "set WORKER_MEMORY_MB to 589 or more" in done.result["error"]
    assert not world.storage.exists()


def test_scratch_never_holds_more_than_a_shard_for_each_worker_and_one(world: World) -> None:
    """Also while a shard is made into parquet, when it stands there twice."""
    chance = random.Random(5)
    shards = {
        f"train-{number}.jsonl": lines([{"text": chance.randbytes(8_000).hex()} for _ in range(150)]).encode()
        for number in range(8)
    }
    world.hub.add_dataset("acme/scratch")
    world.hub.commit("acme/scratch", shards)
    sizes = []
    with world.running("local-sync", world.add("acme/scratch")) as process:
        while process.poll() is None:
            sizes.append(_size(world.storage))
            time.sleep(0.002)
    assert process.returncode == 0
    assert 0 < max(sizes) <= 3 * max(map(len, shards.values()))


def _size(storage: Path) -> int:
    """The bytes in scratch, whatever goes away meanwhile."""
    size = 0
    for folder, _, names in os.walk(storage):
        if "/.hugflow/scratch" in folder:
            for name in names:
                with suppress(FileNotFoundError):
                    size += (Path(folder) / name).stat().st_size
    return size


def test_files_that_rows_name_are_fetched_side_by_side(world: World, rows: list[Speech]) -> None:
    layout = LAYOUTS["audiofolder-jsonl"]
    _serve(world, "acme/side-by-side", layout, rows)
    fault = world.hub.faults.add(Fault(route="acme/side-by-side/resolve/.*clip", delay_s=0.05))
    world.hub.clear_log()
    try:
        _download(world, "acme/side-by-side", layout, WORKERS="1", MAX_CONCURRENT_DOWNLOADS="5")
    finally:
        world.hub.faults.remove(fault)
    files = world.hub.requests("resolve/.*clip", method="GET")
    assert len(files) == len(rows), "each file is fetched once"
    at_once = [sum(other.started <= one.started < other.started + other.duration_s for other in files) for one in files]
    assert max(at_once) == 5
    # at most 64 rows a question, and fewer in the small slices of the end
    assert len(world.hub.requests("paths-info")) <= len(rows) / 16
