"""Other writers in a dataset's folder or in the state: no file outside is read, moved or written.

The files are changed as their own writers would write them, so that no hash or checksum inside of them is wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hugflow.storage.state import DatasetRecord
from tests.faults.conftest import NewFolder
from tests.support.faults import Case, FaultWorld, audio_rows, json_rows
from tests.support.invariants import MARKER

KILLED = -9
INDEX, PLAN = ".hugflow/index.parquet", ".hugflow/plan.json"
SECRET = "not yours"
OUTSIDE = [
    "../../../../canary/README.md",
    "sub/../../../../../canary/json/0.json",
    "/etc/hostname",
    "..",
    "",
]


@pytest.fixture(scope="module")
def new_folder(in_memory: NewFolder) -> NewFolder:
    return in_memory


@pytest.fixture(scope="module")
def audio(quiet: FaultWorld) -> Case:
    return quiet.case("acme/audio", audio_rows(10), made_by=quiet)


@pytest.fixture(scope="module")
def texts(quiet: FaultWorld) -> Case:
    return quiet.case("acme/texts", json_rows(60), made_by=quiet, shards=2, group_rows=15)


@pytest.fixture
def whole(world: FaultWorld, audio: Case) -> FaultWorld:
    world.quick_sync(world.add(audio.hf_id, "audio")).ok()
    return world


@pytest.fixture
def half(world: FaultWorld, texts: Case) -> FaultWorld:
    world.add(texts.hf_id, "texts")
    assert world.quick("local-sync", texts.request, HUGFLOW_FAILPOINT="journal_after:1").code == KILLED
    return world


def untouched(world: FaultWorld) -> None:
    """Nothing of the canary was changed, moved, or copied into storage."""
    assert world.canary is not None
    assert list(world.canary.changes()) == []
    for path in world.storage.rglob("*"):
        assert path.is_symlink() or not path.is_file() or SECRET.encode() not in path.read_bytes(), path


def change(path: Path, how: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(path.read_bytes())
    how(document)
    path.write_text(json.dumps(document))


def forge_index(folder: Path, row: int, **values: Any) -> None:
    """Change a row of the index, and the hash of the index in the marker."""
    table = pq.read_table(folder / INDEX)
    rows = table.to_pylist()
    rows[row].update(values)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / INDEX)
    marker = json.loads((folder / MARKER).read_bytes())
    marker["files"][INDEX] = hashlib.sha256((folder / INDEX).read_bytes()).hexdigest()
    (folder / MARKER).write_bytes(DatasetRecord.model_validate(marker).to_bytes())


# -- the index and the marker ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_known", [True, False], ids=["in-the-manifest", "planted"])
@pytest.mark.parametrize("outside", OUTSIDE)
def test_an_index_that_names_a_file_outside_is_not_believed(
    whole: FaultWorld, audio: Case, outside: str, is_known: bool
) -> None:
    folder = whole.storage / audio.name
    forge_index(folder, 0, audio=outside, audio_bytes=10, audio_sha256="0" * 64)
    if not is_known:
        (whole.state / "active.json").unlink()
    assert whole.quick("verify").code != 0
    whole.quick("verify", "--repair")
    untouched(whole)
    whole.quick("status", "--rebuild").ok()
    whole.quick("verify", "--repair")
    untouched(whole)
    assert whole.quick("verify").code == 0
    whole.check(audio)


@pytest.mark.parametrize(
    "path", ["../../canary/README.md", "/etc/hostname", "audio/../../../../canary/README.md", ".."]
)
def test_a_marker_that_names_a_file_outside_is_damaged(whole: FaultWorld, audio: Case, path: str) -> None:
    folder = whole.storage / audio.name
    change(folder / MARKER, lambda marker: marker["files"].update({path: "0" * 64}))
    (whole.state / "active.json").unlink()
    done = whole.quick("verify", "--json")
    assert done.code != 0
    assert path not in done.out
    whole.quick_sync(audio.request)
    whole.quick("verify", "--repair")
    untouched(whole)


@pytest.mark.parametrize("name", ["../../x", "..", "/etc", "acme__other__split_train__rev_main", ".hidden", ""])
def test_a_marker_of_another_dataset_is_damaged(whole: FaultWorld, audio: Case, name: str) -> None:
    change(whole.storage / audio.name / MARKER, lambda marker: marker.update(name=name))
    (whole.state / "active.json").unlink()
    status = whole.quick("status", "--json").ok()
    assert [each["state"] for each in status.json["datasets"]] == ["partial"]
    whole.quick("verify", "--repair")
    untouched(whole)


def test_a_record_whose_request_is_of_another_repository_is_not_repaired(
    whole: FaultWorld, audio: Case, texts: Case
) -> None:
    """The repair would read that repository with the server's token."""
    folder = whole.storage / audio.name
    change(folder / MARKER, lambda marker: marker["spec"].update(hf_id=texts.hf_id))
    (whole.state / "active.json").unlink()
    (folder / PLAN).write_text("{}")
    (folder / "json/3.json").unlink()
    done = whole.quick("verify", "--repair", "--json")
    assert done.code != 0
    assert "not that of the dataset" in done.out
    assert not (folder / "json/3.json").exists()


# -- the plan --------------------------------------------------------------------------------------------------------


def _path(value: str) -> Callable[[dict[str, Any]], None]:
    return lambda plan: plan["download"]["shards"][1].update(path=value)


def _fields(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda plan: plan["download"]["shards"][1].update(values)


PLANS = {
    "a path outside": _path("../../../../../../canary/README.md"),
    "an absolute path": _path("/etc/hostname"),
    "dots in a path": _path("data/../../x.parquet"),
    "no hash": _fields(sha256=None, blob_id=None),
    "no hash of the content": _fields(sha256=None),
    "another hash": _fields(sha256="0" * 64),
    "a hash that is none": _fields(sha256="../../x"),
    "another size": _fields(size_bytes=10),
    "a negative size": _fields(size_bytes=-1),
    "negative rows": _fields(groups=[-5]),
    "another file": _path("README.md"),
    "another repository": lambda plan: plan["download"]["identity"].update(hf_id="acme/audio"),
    "a branch": lambda plan: plan["download"].update(sha="main"),
    "no schema": lambda plan: plan["download"].update(arrow_schema="AAAA"),
}


@pytest.mark.parametrize("how", PLANS.values(), ids=PLANS)
def test_a_plan_that_was_changed_is_refused(
    half: FaultWorld, texts: Case, audio: Case, how: Callable[[dict[str, Any]], None]
) -> None:
    change(half.storage / texts.name / PLAN, how)
    for more in ({}, {"VALIDATE_HF_ID": "false"}):
        done = half.quick_sync(texts.request, **more)
        assert done.code in {4, 74}, done.out
        assert done.reason in {"damaged_plan", "conflict"}, done.out
        assert done.fix
    untouched(half)
    half.quick_sync(texts.request, "--restart").ok()
    half.check(texts, code=0)


def test_a_planted_source_file_is_not_taken_for_that_of_the_hub(half: FaultWorld, texts: Case) -> None:
    """The plan has the hash of the planted file: only the Hub knows the right one."""
    folder = half.storage / texts.name
    planted = folder / ".hugflow/scratch/shard-1/data/train-00001-of-00002.parquet"
    planted.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": [1] * 30, "text": ["planted"] * 30}), planted, row_group_size=15)
    digest = hashlib.sha256(planted.read_bytes()).hexdigest()
    change(folder / PLAN, _fields(sha256=digest, size_bytes=planted.stat().st_size))
    assert half.quick_sync(texts.request).reason == "damaged_plan"
    assert not any("planted" in path.read_text() for path in (folder / "json").iterdir())


def test_a_link_in_scratch_is_not_read(half: FaultWorld, texts: Case, world: FaultWorld) -> None:
    """Even where it leads to the right bytes."""
    scratch = half.storage / texts.name / ".hugflow/scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    assert half.canary is not None
    for number in range(2):
        (scratch / f"shard-{number}" / "data").mkdir(parents=True)
        link = scratch / f"shard-{number}" / "data" / f"train-0000{number}-of-00002.parquet"
        link.symlink_to(half.canary.folder / "README.md")
    half.quick_sync(texts.request).ok()
    half.check(texts, code=0)
    untouched(half)


@pytest.mark.parametrize("what", ["shard-0", "shard-0/data", "shard-1"])
def test_a_folder_of_scratch_that_is_a_link_is_replaced(half: FaultWorld, texts: Case, what: str) -> None:
    scratch = half.storage / texts.name / ".hugflow/scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / what).parent.mkdir(parents=True)
    assert half.canary is not None
    (scratch / what).symlink_to(half.canary.folder)
    half.quick_sync(texts.request).ok()
    half.check(texts, code=0)
    untouched(half)


@pytest.mark.parametrize("planted", ["rows.parquet", ".rows.parquet.tmp", "source"])
def test_links_where_rows_of_other_formats_are_written_are_not_followed(world: FaultWorld, planted: str) -> None:
    lines = "".join(json.dumps({"id": n}) + "\n" for n in range(30)).encode()
    hf_id = f"acme/lines{planted.replace('.', '-').strip('-')}"
    world.hub.add_dataset(hf_id)
    world.hub.commit(hf_id, {f"train-{n}.jsonl": lines for n in range(2)})
    request = world.add(hf_id, "lines")
    assert world.quick("local-sync", request, HUGFLOW_FAILPOINT="journal_after:1").code == KILLED
    name = next(entry.name for entry in world.storage.iterdir() if not entry.name.startswith("."))
    assert world.canary is not None
    for number in range(2):
        folder = world.storage / name / f".hugflow/scratch/shard-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        target = world.canary.folder / ("" if planted == "source" else "README.md")
        (folder / planted).symlink_to(target)
    world.quick_sync(request).ok()
    untouched(world)
    assert sorted(world.dataset().rows()) == list(range(60))


# -- temporary files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["symlink_to", "hardlink_to"])
def test_links_at_the_names_of_temporary_files_are_not_written_through(
    half: FaultWorld, texts: Case, kind: str
) -> None:
    """The names that a version with names by row, by file and by process would have used."""
    folder, pid = half.storage / texts.name, os.getpid()
    assert half.canary is not None
    victim = half.canary.folder.parent / "victim"
    victim.write_text(SECRET)
    pids = range(pid, pid + 400)
    names = [folder / f".hugflow/tmp/{row}.json" for row in range(60)]
    names += [folder / f".hugflow/.{name}.tmp" for name in ("plan.json", "dataset.json", "index.parquet")]
    names += [folder / f".{name}.tmp" for name in ("README.md", "metadata.parquet")]
    names += [folder / f".hugflow/.index.parquet.{number}.tmp" for number in pids]
    names += [folder / f".metadata.parquet.{number}.tmp" for number in pids]
    names += [half.state / ".active.json.tmp", half.state / f"progress/.{texts.name}.json.tmp"]
    for name in names:
        getattr(name, kind)(victim)
    half.quick_sync(texts.request).ok()
    assert victim.read_text() == SECRET
    victim.unlink()
    assert [path for path in half.state.rglob("*.tmp") if texts.name in path.name] == []
    for left in half.state.rglob("*.tmp"):
        left.unlink()
    half.check(texts, code=0)


# -- the state -------------------------------------------------------------------------------------------------------

EVIL_NAMES = ["../../../etc", "a/b", ".trash", "", "x\n"]


@pytest.mark.parametrize("name", EVIL_NAMES)
def test_a_manifest_with_a_name_that_is_none_is_a_clear_error(whole: FaultWorld, audio: Case, name: str) -> None:
    active = whole.state / "active.json"
    change(active, lambda document: document["datasets"][0]["dataset"].update(name=name))
    for command in (["status"], ["verify"], ["verify", "--repair"], ["local-sync", audio.request]):
        done = whole.quick(*command)
        assert done.code == 74, done.out + done.err
        assert "active.json" in done.out + done.err
        assert "not the name of a dataset" in done.out + done.err
        assert "Traceback" not in done.err
    untouched(whole)
    whole.quick("status", "--rebuild").ok()
    whole.check(audio)


@pytest.mark.parametrize("trash", ["../../canary", "../outside", "/tmp/x", "..", "", "20260101T000000Z.1--other"])
def test_a_record_of_a_removal_moves_nothing_to_another_place(whole: FaultWorld, audio: Case, trash: str) -> None:
    before = whole.dataset(audio.name).tree()
    record = {
        "name": audio.name,
        "identity": {"hf_id": audio.hf_id, "subset": None, "split": "train", "revision": "main"},
        "reason": "x",
        "request": "r",
        "removed_by": "x",
        "removed_at": "2026-01-01T00:00:00+00:00",
        "trash": trash,
        "dataset": None,
    }
    (whole.state / "removing").mkdir(exist_ok=True)
    path = whole.state / "removing" / f"{audio.name}.json"
    path.write_text(json.dumps(record))
    done = whole.quick_sync(whole.remove(audio.hf_id))
    assert done.code == 74
    assert "record of a removal" in done.out
    assert whole.dataset(audio.name).tree() == before
    untouched(whole)
    path.unlink()
    whole.quick_sync(whole.remove(audio.hf_id)).ok()


@pytest.mark.parametrize("name", ["../../x", "acme__other__split_train__rev_main"])
def test_a_record_of_a_removal_under_another_name_is_refused(whole: FaultWorld, audio: Case, name: str) -> None:
    whole.quick("local-sync", whole.remove(audio.hf_id), HUGFLOW_FAILPOINT="remove_intent:1")
    change(whole.state / "removing" / f"{audio.name}.json", lambda record: record.update(name=name))
    assert whole.quick_sync("requests/remove/gone.yaml").code == 74
    assert whole.dataset(audio.name).rows()


def _line(value: dict[str, Any]) -> bytes:
    body = orjson.dumps(value)
    return b'{"crc":"%08x","v":%s}\n' % (zlib.crc32(body), body)


def _row(**values: Any) -> dict[str, Any]:
    columns = ["row", "status", "audio", "audio_bytes", "audio_sha256", "json_bytes", "json_sha256"]
    row = dict.fromkeys(columns) | {
        "row": 50,
        "status": "ok",
        "audio_bytes": 1,
        "json_bytes": 1,
        "json_sha256": "0" * 64,
    }
    return {"kind": "rows", "rows": [[(row | values)[column] for column in columns]]}


@pytest.mark.parametrize(
    "value",
    [
        *(_row(audio=outside) for outside in OUTSIDE[:2]),
        _row(row="../../x"),
        _row(row=-1),
        _row(status="done"),
        _row(json_bytes="1"),
        {"kind": "rows", "rows": "x"},
        {"kind": "rows"},
        {"kind": "shard", "index": "../x", "first_row": 0, "groups": [1], "arrow_schema": ""},
        {"kind": "shard", "index": 0, "first_row": -5, "groups": [1], "arrow_schema": ""},
    ],
    ids=str,
)
def test_a_journal_with_impossible_rows_is_damaged(half: FaultWorld, texts: Case, value: dict[str, Any]) -> None:
    with (half.state / "journal" / f"{texts.name}.jsonl").open("ab") as file:
        file.write(_line(value))
    done = half.quick_sync(texts.request)
    assert (done.code, done.reason) == (74, "damaged_journal"), done.out
    half.quick("verify", "--repair")
    untouched(half)
    half.quick_sync(texts.request).ok()
    half.check(texts, code=0)


@pytest.mark.parametrize("rows", [[[5, 3]], [[-4, -1]], [-1], "x", [[1, 2, 3]]])
def test_a_progress_file_with_impossible_rows_is_ignored(half: FaultWorld, texts: Case, rows: Any) -> None:
    path = half.state / "progress" / f"{texts.name}.json"
    path.parent.mkdir(exist_ok=True)
    document = {
        "status": "running",
        "resume_data": {"completed_rows": rows, "expected_total_rows": 60, "version": "3.0"},
    }
    path.write_text(json.dumps(document))
    (half.state / "journal" / f"{texts.name}.jsonl").unlink()
    half.quick_sync(texts.request).ok()
    half.check(texts, code=0)
