"""Progress files and manifests: contents, compatibility with older tools, and concurrent writers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hugflow.model.errors import ExitCode, StorageFault
from hugflow.model.ranges import RowRanges
from hugflow.model.records import EncoderSettings
from hugflow.model.specs import DatasetIdentity
from hugflow.storage.state import (
    ArchivedRecord,
    DatasetRecord,
    ManifestEntry,
    StateDir,
    read_marker,
    read_progress,
    write_progress,
)

pytestmark = pytest.mark.timeout(120)


def record(name: str = "acme__speech__split_train__rev_main", **changes: Any) -> DatasetRecord:
    """The marker of a small dataset."""
    facts: dict[str, Any] = {
        "name": name,
        "identity": DatasetIdentity(hf_id="acme/speech", subset=None, split="train", revision="main"),
        "sha": "c0ffee" * 6 + "beef",
        "request": "requests/add/speech.yaml",
        "spec": {"hf_id": "acme/speech", "description": "Why"},
        "licence": "mit",
        "audio_column": "audio",
        "encoder": EncoderSettings(),
        "rows_total": 10,
        "rows_failed": 1,
        "audio_files": 9,
        "audio_bytes": 9_000,
        "json_bytes": 900,
        "duration_s": 12.5,
        "files": {"metadata.parquet": "0" * 64},
        "hugflow_version": "1",
    }
    return DatasetRecord(**facts | changes)


def entry(name: str = "acme__speech__split_train__rev_main") -> ManifestEntry:
    return ManifestEntry(
        dataset=record(name), added_by="ann", added_at="2026-01-01T00:00:00+00:00", completed_at="2026-01-02T00:00:00"
    )


def archived(name: str = "acme__speech__split_train__rev_main", reason: str = "old") -> ArchivedRecord:
    return ArchivedRecord(
        name=name,
        identity=record(name).identity,
        reason=reason,
        request="requests/remove/x.yaml",
        removed_by="ann",
        removed_at="2026-02-01T00:00:00+00:00",
        trash=None,
        dataset=entry(name),
    )


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path / "state")


# -- progress files ----------------------------------------------------------------------------------------------------


def test_a_progress_file_says_what_programs_read_there(tmp_path: Path) -> None:
    path = tmp_path / "progress" / "x.json"
    done = RowRanges([[0, 1499], [1600, 1600]])
    write_progress(path, "x", status="running", done=done, rows_total=2_000, resumed_from=1_000)
    assert json.loads(path.read_text()) == {
        "dataset_name": "x",
        "status": "running",
        "downloaded_files": 1_501,
        "total_files": 2_000,
        "percent_complete": 75.05,
        "resumed_from": 1_000,
        "newly_downloaded": 501,
        "resume_data": {
            "completed_rows": [[0, 1499], [1600, 1600]],
            "last_successful_row": 1600,
            "expected_total_rows": 2_000,
            "version": "3.0",
        },
    }
    progress = read_progress(path)
    assert progress is not None
    assert (progress.rows, progress.rows_total, progress.status, progress.version) == (done, 2_000, "running", "3.0")


@pytest.mark.parametrize(("done", "percent"), [(0, 0.0), (999_999, 99.99), (1_000_000, 100.0)])
def test_a_hundred_percent_is_all(tmp_path: Path, done: int, percent: float) -> None:
    rows = RowRanges([[0, done - 1]] if done else [])
    write_progress(tmp_path / "x.json", "x", status="running", done=rows, rows_total=1_000_000, resumed_from=0)
    assert json.loads((tmp_path / "x.json").read_text())["percent_complete"] == percent


def test_of_no_rows_all_are_done(tmp_path: Path) -> None:
    write_progress(tmp_path / "x.json", "x", status="complete", done=RowRanges(), rows_total=0, resumed_from=0)
    document = json.loads((tmp_path / "x.json").read_text())
    assert (document["percent_complete"], document["resume_data"]["last_successful_row"]) == (100.0, None)


def test_its_size_follows_the_gaps_and_not_the_rows(tmp_path: Path) -> None:
    def size(rows: int) -> int:
        done = RowRanges([[0, rows - 1]])
        write_progress(tmp_path / "x.json", "x", status="running", done=done, rows_total=rows, resumed_from=0)
        return (tmp_path / "x.json").stat().st_size

    assert size(10_000_000) - size(10) < 100


OLD = {
    "dataset_name": "x",
    "status": "in_progress",
    "downloaded_files": 4,
    "total_files": 10,
    "percent_complete": 40.0,
    "resume_data": {
        "completed_rows": [0, 1, 2, 7],
        "last_successful_row": 7,
        "expected_total_rows": 10,
        "version": "2.0",
    },
}


def _changed(**resume: Any) -> bytes:
    return json.dumps(OLD | {"resume_data": OLD["resume_data"] | resume}).encode()  # type: ignore[operator]  # the old file is a plain dict


@pytest.mark.parametrize(
    "data",
    [
        _changed(),
        _changed(completed_rows=[7, 2, 0, 1, 1, 2]),
        _changed(version=2.0),
        json.dumps(OLD | {"resume_data": {k: v for k, v in OLD["resume_data"].items() if k != "version"}}).encode(),  # type: ignore[attr-defined]  # the old file is a plain dict
        _changed(completed_rows=[[0, 2], 7], version="3.0"),
    ],
    ids=["2.0", "unsorted", "a number", "no version", "3.0"],
)
def test_a_list_of_rows_is_read(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.json").write_bytes(data)
    progress = read_progress(tmp_path / "x.json")
    assert progress is not None
    assert progress.rows.as_list() == [[0, 2], [7, 7]]
    assert progress.rows_total == 10


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'"text"',
        b"\xff\xfe",
        b'{"resume_data": null}',
        b'{"resume_data": []}',
        b'{"resume_data": {}}',
        b'{"resume_data": {"version": "x"}}',
        b'{"resume_data": {"version": []}}',
        _changed(completed_rows=None),
        _changed(completed_rows="abc"),
        _changed(completed_rows=[[1]]),
        _changed(completed_rows=[[1, 2, 3]]),
        _changed(completed_rows=[[5, 1]]),
        _changed(completed_rows=[-1]),
        _changed(completed_rows=["x"]),
        _changed(completed_rows=[{"a": 1}]),
        _changed(completed_rows={"a": 1}),
        _changed(completed_rows=[1e300]).replace(b"1e+300", b"1e999"),
        _changed(expected_total_rows="many"),
        _changed(expected_total_rows=None),
    ],
)
def test_garbage_is_no_progress(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.json").write_bytes(data)
    assert read_progress(tmp_path / "x.json") is None


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_any_rows_are_read_or_no_progress(tmp_path: Path, rows: Any) -> None:
    document = OLD | {"resume_data": OLD["resume_data"] | {"completed_rows": rows}}  # type: ignore[operator]  # the old file is a plain dict
    (tmp_path / "x.json").write_text(json.dumps(document))
    progress = read_progress(tmp_path / "x.json")
    assert progress is None or progress.rows_total == 10


def test_there_is_none(tmp_path: Path) -> None:
    assert read_progress(tmp_path / "none.json") is None
    os.mkfifo(tmp_path / "fifo.json")
    assert read_progress(tmp_path / "fifo.json") is None


@pytest.mark.parametrize("version", ["4.0", "3.9.1", 4, "10"])
def test_a_newer_one_is_refused_by_name(tmp_path: Path, version: Any) -> None:
    (tmp_path / "x.json").write_bytes(_changed(version=version))
    if str(version).startswith("3"):
        assert read_progress(tmp_path / "x.json") is not None
        return
    with pytest.raises(StorageFault, match="newer Hugflow") as caught:
        read_progress(tmp_path / "x.json")
    assert (caught.value.reason, caught.value.exit_code) == ("newer_schema", ExitCode.STORAGE_FAULT)


def test_names_of_progress_files_and_forgetting(state: StateDir) -> None:
    assert state.progress_names() == []
    for name in ("b", "a"):
        write_progress(state.progress(name), name, status="running", done=RowRanges(), rows_total=1, resumed_from=0)
        state.journal(name).parent.mkdir(exist_ok=True)
        state.journal(name).write_text("{}")
    assert state.progress_names() == ["a", "b"]
    state.forget("a")
    state.forget("a")
    assert state.progress_names() == ["b"]
    assert not state.journal("a").exists()
    assert state.journal("b").exists()


# -- manifests ---------------------------------------------------------------------------------------------------------


def test_the_manifest_knows_what_was_activated(state: StateDir) -> None:
    assert state.datasets() == {}
    state.activate(entry("b"))
    state.activate(entry("a"))
    state.activate(entry("b"))
    assert state.datasets() == {"a": entry("a"), "b": entry("b")}
    state.deactivate("a")
    state.deactivate("a")
    assert list(state.datasets()) == ["b"]
    assert json.loads(state.active.read_text())["schema_version"] == 1


def test_what_is_archived_is_not_active_and_kept_once(state: StateDir) -> None:
    state.activate(entry("a"))
    state.activate(entry("b"))
    for _ in range(2):  # a removal that was killed in between says it again
        state.archive(archived("a"))
    state.archive(archived("a", reason="again"))
    assert list(state.datasets()) == ["b"]
    assert [known.reason for known in state.removed()] == ["old", "again"]


def test_a_removal_is_known_until_it_is_done(state: StateDir) -> None:
    assert state.removals() == []
    state.begin_removal(archived("a"))
    assert state.removals() == [archived("a")]
    state.end_removal("a")
    state.end_removal("a")
    assert state.removals() == []


def test_rebuilding_replaces_even_a_damaged_manifest(state: StateDir) -> None:
    state.path.mkdir()
    state.active.write_text("garbage")
    state.rebuild(lambda: [entry("a")])
    assert list(state.datasets()) == ["a"]


ACTIVATE = """
import sys
from pathlib import Path
from hugflow.storage.state import ManifestEntry, StateDir
sys.stdin.read()
StateDir(Path(sys.argv[1])).activate(ManifestEntry.model_validate_json(sys.argv[2]))
"""


def test_twenty_processes_at_once_are_twenty_entries(state: StateDir) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ACTIVATE, state.path, entry(f"dataset{number:02}").model_dump_json()],
            stdin=subprocess.PIPE,
        )
        for number in range(20)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait(100) for process in processes] == [0] * 20
    assert list(state.datasets()) == [f"dataset{number:02}" for number in range(20)]


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"{}", b'{"schema_version": 1}', b'{"schema_version": 1, "datasets": 5}']
)
def test_a_damaged_manifest_is_refused_and_says_how_to_make_it_again(state: StateDir, data: bytes) -> None:
    state.path.mkdir()
    state.active.write_bytes(data)
    for use in (state.datasets, lambda: state.activate(entry())):
        with pytest.raises(StorageFault, match="damaged") as caught:
            use()
        assert (caught.value.reason, caught.value.exit_code) == ("damaged_manifest", ExitCode.STORAGE_FAULT)
        assert "--rebuild" in caught.value.fix
    assert state.active.read_bytes() == data


@pytest.mark.parametrize("content", [{"datasets": [{"name": "x"}]}, {"datasets": [5]}])
def test_a_damaged_entry_is_refused(state: StateDir, content: dict[str, Any]) -> None:
    state.path.mkdir()
    state.active.write_text(json.dumps({"schema_version": 1} | content))
    with pytest.raises(StorageFault, match="an entry is damaged"):
        state.datasets()


@pytest.mark.parametrize("content", [{"datasets": []}, {"sets": {}}])
def test_a_newer_manifest_is_refused_by_name_and_kept(state: StateDir, content: dict[str, Any]) -> None:
    state.path.mkdir()
    newer = json.dumps({"schema_version": 2} | content)
    state.active.write_text(newer)
    for use in (state.datasets, lambda: state.activate(entry())):
        with pytest.raises(StorageFault, match="newer Hugflow") as caught:
            use()
        assert caught.value.reason == "newer_schema"
    assert state.active.read_text() == newer


@pytest.mark.parametrize("place", ["active", "archived"])
def test_something_else_in_the_place_of_a_manifest_is_a_fault(state: StateDir, place: str) -> None:
    state.path.mkdir()
    os.mkfifo(getattr(state, place))
    with pytest.raises(StorageFault, match="not a regular file"):
        state.datasets() if place == "active" else state.removed()


# -- markers -----------------------------------------------------------------------------------------------------------


def test_a_marker_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / record().name / ".hugflow" / "dataset.json"
    path.parent.mkdir(parents=True)
    assert read_marker(path) is None
    path.write_bytes(record().to_bytes())
    assert read_marker(path) == record()


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"{}", b'{"schema_version": "x"}', b'{"schema_version": 1}']
)
def test_a_damaged_marker_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "dataset.json"
    path.write_bytes(data)
    with pytest.raises(StorageFault) as caught:
        read_marker(path)
    assert caught.value.reason == "damaged_marker"


def test_a_newer_marker_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_bytes(orjson.dumps({"schema_version": 2, "unknown": True}))
    with pytest.raises(StorageFault, match="newer Hugflow"):
        read_marker(path)


def test_a_link_in_the_place_of_a_marker_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(record().to_bytes())
    (tmp_path / "dataset.json").symlink_to(tmp_path / "other")
    with pytest.raises(StorageFault, match="symbolic link"):
        read_marker(tmp_path / "dataset.json")
