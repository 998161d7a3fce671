"""Tests of the invariant checker: each invariant is violated once, and the checker must report it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.faults.conftest import MakeWorld
from tests.support.faults import Case, FaultWorld, audio_rows
from tests.support.invariants import MARKER, BrokenInvariant, Canary, check, journal_values, strict_json, tree

FAILED = 7
ROWS = 40


@pytest.fixture(scope="module")
def whole(make_world: MakeWorld, quiet: FaultWorld) -> tuple[FaultWorld, Case]:
    """A complete dataset of which one row failed, and was allowed to; its journal is kept."""
    rows = audio_rows(ROWS)
    rows[FAILED]["audio"] = {"bytes": b"no sound", "path": "bad.wav"}
    world = make_world("whole")
    quiet.serve("acme/whole", rows)
    case = world.known("acme/whole", ROWS, made_by=quiet, max_failed_rows=1)
    world.quick_sync(case.request, CLEANUP_PROGRESS_ON_SUCCESS="false").ok()
    world.check(case, code=0)
    return world, case


@pytest.fixture
def copy(whole: tuple[FaultWorld, Case], tmp_path: Path) -> Iterator[tuple[Path, Callable[..., None]]]:
    """A copy of it all to break, and the checker on it."""
    world, case = whole
    shutil.copytree(world.folder, tmp_path / "checkout", symlinks=True)
    canary = Canary.plant(tmp_path / "canary")

    def judge(code: int | None = 0, rows_total: int | None = ROWS) -> None:
        storage, state = tmp_path / "checkout" / "datasets", tmp_path / "checkout" / ".hugflow-state"
        check(storage, state, case.name, rows_total=rows_total, code=code, reference_tree=case.reference, canary=canary)

    judge()
    return tmp_path, judge


def _dataset(folder: Path) -> Path:
    (dataset,) = (folder / "checkout" / "datasets").iterdir()
    return dataset


def _state(folder: Path) -> Path:
    return folder / "checkout" / ".hugflow-state"


def _edit(path: Path, change: Callable[[Any], Any]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def _progress(folder: Path, change: Callable[[Any], Any]) -> None:
    (path,) = (_state(folder) / "progress").iterdir()
    _edit(path, change)


def _index(folder: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    path = _dataset(folder) / ".hugflow" / "index.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(table.from_pylist(rows, table.schema), path)


def _to_journal_only(folder: Path) -> Path:
    (_dataset(folder) / MARKER).unlink()
    (journal,) = (_state(folder) / "journal").iterdir()
    return journal


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _one(folder: Path, inside: str) -> Path:
    return min((_dataset(folder) / inside).iterdir())


def _lead_out(folder: Path) -> None:
    json_file = _dataset(folder) / "json" / "0.json"
    _edit(json_file, lambda row: row.update(audio="audio/../../0.mp3"))


def _link_away(folder: Path, path: Path) -> None:
    path.rename(folder / "elsewhere")
    path.symlink_to(folder / "elsewhere")


BREAKS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "a JSON file changed": ("I1", lambda f: _flip(_one(f, "json"))),
    "an MP3 changed": ("I1", lambda f: _flip(_one(f, "audio"))),
    "a JSON file gone": ("I1", lambda f: _one(f, "json").unlink()),
    "an MP3 gone": ("I1", lambda f: _one(f, "audio").unlink()),
    "an MP3 cut": ("I1", lambda f: _one(f, "audio").write_bytes(b"")),
    "an MP3 that is a link": ("I1", lambda f: _link_away(f, _one(f, "audio"))),
    "a name without a hash": ("I1", lambda f: _index(f, lambda rows: rows[0].update(audio_sha256=None))),
    "a row lost": ("I2", lambda f: _index(f, lambda rows: rows.pop(3))),
    "a row doubled": ("I2", lambda f: _index(f, lambda rows: rows.insert(3, rows[3]))),
    "rows out of order": ("I2", lambda f: _index(f, lambda rows: rows.reverse())),
    "fewer rows than there are": ("I2", lambda f: _edit(_dataset(f) / MARKER, lambda m: m.update(rows_total=39))),
    "a failed row hidden": ("I2", lambda f: _edit(_dataset(f) / MARKER, lambda m: m.update(rows_failed=0))),
    "a temporary file": ("I3", lambda f: (_dataset(f) / ".hugflow" / ".plan.json.7.tmp").touch()),
    "a temporary file in the state": ("I3", lambda f: (_state(f) / ".active.json.7.tmp").touch()),
    "a temporary file in storage": ("I3", lambda f: (_dataset(f).parent / ".x.tmp").touch()),
    "a removal that was not finished": ("I3", lambda f: _touch(_state(f) / "removing" / "x.json")),
    "an orphan": ("I3", lambda f: (_dataset(f) / "audio" / "99.mp3").touch()),
    "the files of a failed row": ("I3", lambda f: (_dataset(f) / "json" / f"{FAILED}.json").write_text("{}")),
    "the workspace": ("I3", lambda f: (_dataset(f) / ".hugflow" / "tmp").mkdir()),
    "NaN": ("I4", lambda f: (_dataset(f) / "json" / "0.json").write_text('{"text": NaN}')),
    "a key twice": ("I4", lambda f: (_dataset(f) / "json" / "0.json").write_text('{"a": 1, "a": 1}')),
    "not UTF-8": ("I4", lambda f: (_dataset(f) / "json" / "0.json").write_bytes(b'{"a": "\xff"}')),
    "a list": ("I4", lambda f: (_dataset(f) / "json" / "0.json").write_text("[]")),
    "a path that leads out": ("I4", _lead_out),
    "audio/ that leads out": ("I4", lambda f: _link_away(f, _dataset(f) / "audio")),
    "no manifest": ("I5", lambda f: (_state(f) / "active.json").unlink()),
    "a manifest of something else": (
        "I5",
        lambda f: _edit(_state(f) / "active.json", lambda m: m["datasets"][0]["dataset"].update(sha="0" * 40)),
    ),
    "no marker": ("I5", lambda f: (_dataset(f) / MARKER).unlink()),
    "the marker of another": ("I5", lambda f: _edit(_dataset(f) / MARKER, lambda m: m.update(name="other"))),
    "wrong totals": ("I5", lambda f: _edit(_dataset(f) / MARKER, lambda m: m.update(json_bytes=1))),
    "another README": ("I5", lambda f: _flip(_dataset(f) / "README.md")),
    "a file that the marker does not know": (
        "I5",
        lambda f: _edit(_dataset(f) / MARKER, lambda m: m["files"].pop("README.md")),
    ),
    "the canary changed": ("I6", lambda f: (f / "canary" / "README.md").write_text("not yours\n")),
    "the canary grew": ("I6", lambda f: (f / "canary" / "json" / "1.json").touch()),
    "the canary shrank": ("I6", lambda f: (f / "canary" / "link").unlink()),
    "progress of another status": ("I7", lambda f: _progress(f, lambda p: p.update(status="running"))),
    "progress of other rows": (
        "I7",
        lambda f: _progress(f, lambda p: p["resume_data"].update(completed_rows=[[0, 3]])),
    ),
    "progress of another count": ("I7", lambda f: _progress(f, lambda p: p.update(downloaded_files=1))),
    "progress of another share": ("I7", lambda f: _progress(f, lambda p: p.update(percent_complete=1.0))),
    "an empty folder": ("I8", lambda f: (_dataset(f) / "audio" / "x").mkdir()),
    "another plan": ("I8", lambda f: _flip(_dataset(f) / ".hugflow" / "plan.json")),
}


def _touch(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.touch()


@pytest.mark.parametrize("what", BREAKS)
def test_what_is_broken_is_found(copy: tuple[Path, Callable[..., None]], what: str) -> None:
    folder, judge = copy
    invariant, harm = BREAKS[what]
    harm(folder)
    with pytest.raises(BrokenInvariant, match=rf"(?m)^{invariant} "):
        judge()


@pytest.mark.parametrize("code", [3, 75])
def test_a_complete_dataset_does_not_go_with_another_exit_code(
    copy: tuple[Path, Callable[..., None]], code: int
) -> None:
    with pytest.raises(BrokenInvariant, match=r"(?m)^I7 "):
        copy[1](code=code)


def test_rows_of_a_journal_are_checked_where_there_is_no_marker(copy: tuple[Path, Callable[..., None]]) -> None:
    folder, judge = copy
    journal = _to_journal_only(folder)
    judge(code=None)
    _flip(_one(folder, "json"))
    with pytest.raises(BrokenInvariant, match=r"(?m)^I1 "):
        judge(code=None)
    with pytest.raises(BrokenInvariant, match=r"(?m)^I2 a row is recorded that does not exist"):
        judge(code=None, rows_total=20)
    lines = journal.read_bytes().splitlines(keepends=True)
    groups = [line for line in lines if b'"kind":"rows"' in line]
    journal.write_bytes(b"".join([*lines, groups[-1]]))
    with pytest.raises(BrokenInvariant, match=r"(?m)^I2 row \d+ is recorded as done twice"):
        judge(code=None)


def test_a_dataset_that_could_be_complete_and_is_not_is_found(copy: tuple[Path, Callable[..., None]]) -> None:
    folder, judge = copy
    _to_journal_only(folder)
    (_state(folder) / "active.json").unlink()
    with pytest.raises(BrokenInvariant, match="not complete"):
        judge(code=0)


def test_a_torn_line_of_a_journal_counts_as_not_written(whole: tuple[FaultWorld, Case]) -> None:
    world, case = whole
    data = (world.state / "journal" / f"{case.name}.jsonl").read_bytes()
    values = list(journal_values(data))
    assert [value["kind"] for value in values[:2]] == ["header", "run"]
    assert list(journal_values(data[:-1])) == values[:-1]
    assert list(journal_values(data[:-9] + b"\0" * 8 + data[-1:])) == values[:-1]


def test_a_tree_is_files_links_and_folders(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    assert set(tree(tmp_path)) == {"folder/", "file", "link"}
    assert tree(tmp_path)["link"] == "-> file"


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", '{"a": 1, "a": 2}', "{'a': 1}", "1 2"])
def test_what_is_no_strict_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        strict_json(text.encode())
