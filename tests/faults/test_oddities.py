"""Unexpected links, FIFOs, files and foreign folders in storage are refused, and left unchanged."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import NewFolder
from tests.support.faults import Case, FaultWorld, audio_rows, tree
from tests.support.invariants import MARKER

KILLED = -9


@pytest.fixture(scope="module")
def new_folder(in_memory: NewFolder) -> NewFolder:
    return in_memory


@pytest.fixture(scope="module")
def audio(quiet: FaultWorld) -> Case:
    return quiet.case("acme/audio", audio_rows(30), made_by=quiet)


def _link_to_the_canary(path: Path, world: FaultWorld) -> None:
    assert world.canary is not None
    path.symlink_to(world.canary.folder)


def _link_to_nothing(path: Path, _: FaultWorld) -> None:
    path.symlink_to("nowhere")


def _fifo(path: Path, _: FaultWorld) -> None:
    os.mkfifo(path)


def _file(path: Path, _: FaultWorld) -> None:
    path.write_bytes(b"somebody's")


Put = Callable[[Path, FaultWorld], None]
PUTS: list[Put] = [_link_to_the_canary, _link_to_nothing, _fifo, _file]


def _facts(path: Path) -> object:
    return path.readlink() if path.is_symlink() else path.lstat().st_mode


def _is_refused(world: FaultWorld, case: Case, path: Path, *arguments: str) -> None:
    before = _facts(path)
    done = world.quick_sync(world.add(case.hf_id, "audio"), *arguments, timeout=60)
    assert done.code == 74, done.out
    assert done.fix, "nothing says what to do"
    assert _facts(path) == before
    assert world.canary is not None
    assert list(world.canary.changes()) == []


@pytest.mark.parametrize("put", PUTS)
@pytest.mark.parametrize("part", ["", "audio", "json", ".hugflow"])
def test_what_stands_in_the_place_of_a_folder_is_refused(world: FaultWorld, audio: Case, part: str, put: Put) -> None:
    folder = world.place(audio).folder
    (folder if part else folder.parent).mkdir(parents=True)
    put(folder / part, world)
    _is_refused(world, audio, folder / part)


@pytest.mark.parametrize("put", PUTS)
@pytest.mark.parametrize("part", ["audio", "json", ".hugflow/tmp", ".hugflow/scratch"])
def test_what_takes_the_place_of_a_folder_later_is_refused(world: FaultWorld, audio: Case, part: str, put: Put) -> None:
    folder = world.place(audio).folder
    request = world.add(audio.hf_id, "audio")
    assert world.quick("local-sync", request, HUGFLOW_FAILPOINT="journal_after:1").code == KILLED
    (folder / part).rename(world.folder.parent / "moved")
    put(folder / part, world)
    _is_refused(world, audio, folder / part)
    _is_refused(world, audio, folder / part, "--restart")
    (folder / part).unlink()
    (world.folder.parent / "moved").rename(folder / part)
    world.quick_sync(request).ok()
    world.check(audio, code=0)


@pytest.mark.parametrize("put", PUTS)
@pytest.mark.parametrize(
    "part", ["", "active.json", "journal", "progress", "locks", "journal/{}.jsonl", "progress/{}.json", "locks/{}.lock"]
)
def test_what_stands_in_the_place_of_state_harms_nothing(world: FaultWorld, audio: Case, part: str, put: Put) -> None:
    """It is refused, or (a progress file is only a view) replaced; nothing is written through it or waited for."""
    path = world.state / part.format(audio.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    put(path, world)
    done = world.quick_sync(world.add(audio.hf_id, "audio"), timeout=60)
    assert done.code in (0, 74), done.out
    assert world.canary is not None
    assert list(world.canary.changes()) == []
    if done.code == 74:
        path.unlink()
        world.quick_sync("requests/add/audio.yaml").ok()
    world.check(audio, code=0)


@pytest.mark.parametrize("put", PUTS)
def test_a_trail_that_cannot_be_written_is_a_warning(world: FaultWorld, audio: Case, put: Put) -> None:
    world.state.mkdir()
    put(world.state / "audit.jsonl", world)
    world.quick_sync(world.add(audio.hf_id, "audio"), timeout=60).ok()
    world.check(audio, code=0)


@pytest.mark.parametrize("put", [_link_to_the_canary, _link_to_nothing, _fifo, _file])
def test_files_in_the_place_of_rows_are_replaced_and_not_followed(world: FaultWorld, audio: Case, put: Put) -> None:
    folder = world.place(audio).folder
    request = world.add(audio.hf_id, "audio")
    assert world.quick("local-sync", request, HUGFLOW_FAILPOINT="group_written:1", WORKERS="1").code == KILLED
    for name in sorted(audio.reference):
        if name.startswith(("audio/", "json/")) and not name.endswith("/") and not (folder / name).exists():
            put(folder / name, world)
            (folder / ".hugflow" / "tmp" / f"{len(name)}.mp3").unlink(missing_ok=True)
    world.quick_sync(request, timeout=60).ok()
    world.check(audio, code=0)


@pytest.mark.parametrize("content", ["file", "folder/file", "audio/theirs.mp3", ".hugflow-notes", "json/1.json"])
def test_a_foreign_folder_is_refused(world: FaultWorld, audio: Case, content: str) -> None:
    folder = world.place(audio).folder
    (folder / content).parent.mkdir(parents=True)
    (folder / content).write_text("somebody's")
    before = tree(folder)
    for arguments in ((), ("--restart",)):
        done = world.quick_sync(world.add(audio.hf_id, "audio"), *arguments)
        assert (done.code, done.reason) == (74, "foreign_directory")
        assert tree(folder) == before


def test_a_dataset_behind_a_link_is_not_cleared_by_a_restart(world: FaultWorld, audio: Case) -> None:
    request = world.add(audio.hf_id, "audio")
    world.quick_sync(request).ok()
    folder, elsewhere = world.place(audio).folder, world.folder.parent / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    before = tree(elsewhere)
    removal = world.remove(audio.hf_id)
    for arguments in (("local-sync", request, "--restart"), ("verify", "--repair"), ("remove", removal)):
        world.quick(*arguments)
        assert tree(elsewhere) == before, arguments


@pytest.mark.parametrize("where", ["", ".hugflow"])
def test_a_restart_moves_what_is_not_ours_into_the_trash(world: FaultWorld, audio: Case, where: str) -> None:
    """It was beside the plan that is deleted: what stays behind would make the folder somebody else's."""
    request = world.add(audio.hf_id, "audio")
    world.quick_sync(request).ok()
    (world.place(audio).folder / where / "notes").mkdir()
    (world.place(audio).folder / where / "notes" / "one.txt").write_text("somebody's")
    world.quick_sync(request, "--restart").ok()
    world.check(audio, code=0)
    (kept,) = (world.storage / ".trash").glob(f"*/{where}/notes/one.txt")
    assert kept.read_text() == "somebody's"


def test_a_folder_among_the_rows_is_named_and_moved_away(world: FaultWorld, audio: Case) -> None:
    """Some storage servers make folders of their own everywhere."""
    request = world.add(audio.hf_id, "audio")
    assert world.quick("local-sync", request, HUGFLOW_FAILPOINT="journal_after:1").code == KILLED
    (world.place(audio).folder / "audio" / "@eaDir").mkdir()
    (world.place(audio).folder / "audio" / "@eaDir" / "thumbnail").touch()
    world.quick_sync(request).ok()
    world.quick("verify", "--repair").ok()
    world.check(audio, code=0)


def test_the_marker_of_a_dataset_is_not_enough_to_be_that_dataset(world: FaultWorld, audio: Case) -> None:
    """A copy of a dataset's folder under another name is not that other dataset."""
    request = world.add(audio.hf_id, "audio")
    world.quick_sync(request).ok()
    folder = world.place(audio).folder
    copy = folder.with_name(folder.name.replace("rev_main", "rev_copy"))
    folder.rename(copy)
    world.quick("status", "--rebuild", "--json").ok()
    assert world.place(audio).manifest == {}
    assert (copy / MARKER).exists()
