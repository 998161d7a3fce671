"""Damaged or lost state: a torn end is dropped, other damage is refused by name or rebuilt, and never trusted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import NewFolder
from tests.support.faults import Case, FaultDone, FaultWorld, audio_rows, chance, json_rows, tree
from tests.support.invariants import MARKER

KILLED = -9
PLAN = ".hugflow/plan.json"


@pytest.fixture(scope="module")
def new_folder(in_memory: NewFolder) -> NewFolder:
    return in_memory


@pytest.fixture(scope="module")
def texts(quiet: FaultWorld) -> Case:
    return quiet.case("acme/texts", json_rows(200), made_by=quiet, shards=2, group_rows=50)


@pytest.fixture(scope="module")
def audio(quiet: FaultWorld) -> Case:
    return quiet.case("acme/audio", audio_rows(100), made_by=quiet)


@pytest.fixture
def half(world: FaultWorld, texts: Case) -> FaultWorld:
    """A world in which a run was killed half-way."""
    request = world.add(texts.hf_id, "texts")
    assert world.quick("local-sync", request, HUGFLOW_FAILPOINT="journal_after:3").code == KILLED
    world.check(texts)
    assert 0 < len(world.place(texts).journal().rows) < texts.rows
    return world


@pytest.fixture
def whole(world: FaultWorld, audio: Case) -> FaultWorld:
    """A world with a complete dataset."""
    world.quick_sync(world.add(audio.hf_id, "audio")).ok()
    return world


def _journal(world: FaultWorld, case: Case) -> Path:
    return world.state / "journal" / f"{case.name}.jsonl"


def _progress(world: FaultWorld, case: Case) -> Path:
    return world.state / "progress" / f"{case.name}.json"


# -- the journal -----------------------------------------------------------------------------------------------------


def _cut(data: bytes, at: int) -> bytes:
    return data[:at]


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


def _zero_the_end(data: bytes, at: int) -> bytes:
    """What some file systems leave after a power cut."""
    return data[:at] + bytes(len(data) - at)


@pytest.mark.parametrize("harm", [_cut, _flip, _zero_the_end])
def test_a_damaged_journal_is_never_believed(
    half: FaultWorld, texts: Case, harm: Callable[[bytes, int], bytes], tmp_path: Path
) -> None:
    """Every byte is tried in a unit test; here some are, and what the whole program makes of them."""
    shutil.copytree(half.folder, tmp_path / "copy", symlinks=True)
    data = _journal(half, texts).read_bytes()
    for at in chance(11).sample(range(len(data)), 6):
        shutil.rmtree(half.folder)
        shutil.copytree(tmp_path / "copy", half.folder, symlinks=True)
        _journal(half, texts).write_bytes(harm(data, at))
        done = half.quick_sync(texts.request)
        if done.code != 0:
            _is_refused_and_mended(half, texts, done)
        half.check(texts, code=0)


def _is_refused_and_mended(world: FaultWorld, case: Case, done: FaultDone) -> None:
    assert (done.code, done.reason) == (74, "damaged_journal")
    assert "verify --repair" in done.fix
    assert world.quick("verify").code == 74
    assert world.quick("verify", "--repair").code == 3, "it is not complete yet"
    assert world.quick_sync(case.request).code == 0


def test_a_journal_of_a_newer_version_is_refused(half: FaultWorld, texts: Case) -> None:
    import zlib

    path = _journal(half, texts)
    first, _, rest = path.read_bytes().partition(b"\n")
    body = first[22:-1].replace(b'"schema_version":1', b'"schema_version":7')
    path.write_bytes(b'{"crc":"%08x","v":%s}\n' % (zlib.crc32(body), body) + rest)
    before = path.read_bytes()
    done = half.quick_sync(texts.request)
    assert (done.code, done.reason) == (74, "newer_schema")
    assert path.read_bytes() == before


def test_a_lost_journal_costs_time_and_nothing_else(half: FaultWorld, texts: Case) -> None:
    _journal(half, texts).unlink()
    half.quick_sync(texts.request).ok()
    half.check(texts, code=0)


def test_a_folder_that_somebody_deleted_is_made_anew(half: FaultWorld, texts: Case) -> None:
    """The journal of a folder that is gone vouches for nothing."""
    shutil.rmtree(half.place(texts).folder)
    half.quick_sync(texts.request).ok()
    half.check(texts, code=0)


# -- progress --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"{", b"\x00" * 100, b"[]", b'{"resume_data": 7}', b"\xff\xfe", None])
def test_a_progress_file_that_is_garbage_is_written_again(half: FaultWorld, texts: Case, content: bytes | None) -> None:
    path = _progress(half, texts)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert half.quick("local-sync", texts.request, HUGFLOW_FAILPOINT="journal_after:1").code == KILLED
    assert json.loads(path.read_text())["resume_data"]["version"] == "3.0"
    half.quick_sync(texts.request, CLEANUP_PROGRESS_ON_SUCCESS="false").ok()
    half.check(texts, code=0)


@pytest.mark.parametrize("has_journal", [True, False])
def test_a_progress_file_of_a_newer_version_is_refused(half: FaultWorld, texts: Case, has_journal: bool) -> None:
    path = _progress(half, texts)
    document = json.loads(path.read_text())
    document["resume_data"]["version"] = "4.0"
    path.write_text(json.dumps(document))
    if not has_journal:
        _journal(half, texts).unlink()
    done = half.quick_sync(texts.request)
    assert (done.code, done.reason) == (74, "newer_schema")
    assert json.loads(path.read_text())["resume_data"]["version"] == "4.0"


# -- the manifest ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"schema_version": 1}', b'{"schema_version":1,"datasets":[{}]}']
)
def test_a_manifest_that_is_garbage_is_refused_and_rebuilt(whole: FaultWorld, audio: Case, content: bytes) -> None:
    active = whole.state / "active.json"
    active.write_bytes(content)
    done = whole.quick("status", "--json")
    assert (done.code, done.reason) == (74, "damaged_manifest")
    assert "--rebuild" in done.fix
    assert active.read_bytes() == content
    whole.quick("status", "--rebuild").ok()
    whole.check(audio, code=0)


def test_a_manifest_of_a_newer_version_is_refused(whole: FaultWorld, audio: Case, texts: Case) -> None:
    active = whole.state / "active.json"
    document = json.loads(active.read_text()) | {"schema_version": 9}
    active.write_text(json.dumps(document))
    for arguments in (("status", "--json"), ("local-sync", whole.add(texts.hf_id, "texts"), "--json")):
        done = whole.quick(*arguments)
        assert done.code == 74
        assert "newer" in done.out
    assert json.loads(active.read_text()) == document


def test_datasets_are_in_the_manifest_again_after_the_state_was_lost(
    whole: FaultWorld, audio: Case, texts: Case
) -> None:
    """Whatever runs first after the loss: here a download of another dataset."""
    shutil.rmtree(whole.state)
    whole.quick_sync(whole.add(texts.hf_id, "texts")).ok()
    whole.check(texts, code=0)
    whole.check(audio, code=0)


@pytest.mark.parametrize("first", [("status",), ("verify",), ("local-sync", "requests/add/audio.yaml")])
def test_a_lost_state_is_rebuilt(whole: FaultWorld, audio: Case, first: tuple[str, ...]) -> None:
    shutil.rmtree(whole.state)
    whole.quick(*first).ok()
    whole.quick("status").ok()
    whole.check(audio, code=0)


def test_a_lost_state_of_half_a_dataset_costs_time_and_nothing_else(half: FaultWorld, texts: Case) -> None:
    shutil.rmtree(half.state)
    half.quick_sync(texts.request).ok()
    half.check(texts, code=0)


def test_a_state_lost_in_the_middle_of_a_repair_vouches_for_nothing(whole: FaultWorld, audio: Case) -> None:
    """The index of before the repair still stands there, the files that were damaged do not."""
    victim = sorted((whole.place(audio).folder / "audio").iterdir())[7]
    victim.write_bytes(b"rot")
    assert whole.quick("verify", "--repair", HUGFLOW_FAILPOINT="group_written:1").code == KILLED
    assert not victim.exists()
    shutil.rmtree(whole.state)
    whole.quick_sync(audio.request).ok()
    whole.check(audio, code=0)


# -- markers and plans -----------------------------------------------------------------------------------------------


def _garbage(path: Path) -> None:
    path.write_bytes(b"\x00garbage")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _gone(path: Path) -> None:
    path.unlink()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("README.md")


def _edited(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return harm


HARMS = {"garbage": _garbage, "empty": _empty, "gone": _gone, "a folder": _folder, "a link": _link}
MARKER_HARMS = HARMS | {
    "of another": _edited(lambda marker: marker.update(name="acme__other__split_train__rev_main")),
    "of another identity": _edited(lambda marker: marker["identity"].update(hf_id="acme/other")),
    "with more": _edited(lambda marker: marker.update(unknown=1)),
    "of another commit": _edited(lambda marker: marker.update(sha="0" * 40)),
}


@pytest.mark.parametrize("harm", MARKER_HARMS)
def test_a_damaged_marker_is_mended_from_the_manifest(whole: FaultWorld, audio: Case, harm: str) -> None:
    MARKER_HARMS[harm](whole.place(audio).folder / MARKER)
    found = whole.quick("verify", "--json")
    assert found.code == 74
    (dataset,) = found.json["datasets"]
    assert [damage["path"] for damage in dataset["damage"]] == [MARKER]
    whole.quick("verify", "--repair").ok()
    whole.check(audio, code=0)


def test_a_marker_that_was_changed_does_not_become_the_manifest(whole: FaultWorld, audio: Case) -> None:
    """It can be read, and a run that has nothing to do looks at it."""
    MARKER_HARMS["of another commit"](whole.place(audio).folder / MARKER)
    before = whole.place(audio).manifest
    done = whole.quick_sync(audio.request)
    assert (done.code, done.reason) == (74, "damaged_marker")
    assert "verify --repair" in done.fix
    assert whole.place(audio).manifest == before
    whole.quick("verify", "--repair").ok()
    whole.check(audio, code=0)


@pytest.mark.parametrize("harm", [name for name in MARKER_HARMS if name != "of another commit"])
def test_a_damaged_marker_is_made_again_after_the_state_was_lost(whole: FaultWorld, audio: Case, harm: str) -> None:
    """Nobody knows any more that it was complete: its rows are looked at, and it is completed."""
    MARKER_HARMS[harm](whole.place(audio).folder / MARKER)
    shutil.rmtree(whole.state)
    if harm != "gone":
        assert whole.quick("verify").code == 74
        assert whole.quick_sync(audio.request).code == 74
        assert whole.quick("verify", "--repair").code == 3
    whole.hub.clear_log()
    whole.quick_sync(audio.request).ok()
    assert not whole.hub.requests("/resolve/.*parquet", method="GET"), "rows that held were fetched again"
    whole.check(audio, code=0)


def test_one_damaged_marker_does_not_hide_or_hold_up_the_others(whole: FaultWorld, audio: Case, texts: Case) -> None:
    whole.quick_sync(whole.add(texts.hf_id, "texts")).ok()
    _garbage(whole.place(texts).folder / MARKER)
    shutil.rmtree(whole.state)
    listed = {dataset["name"]: dataset["state"] for dataset in whole.quick("status", "--json").ok().json["datasets"]}
    assert listed == {audio.name: "complete", texts.name: "partial"}
    found = {dataset["name"]: dataset["damage"] for dataset in whole.quick("verify", "--json").json["datasets"]}
    assert found[audio.name] == []
    assert [damage["path"] for damage in found[texts.name]] == [MARKER]
    assert whole.quick("remove", whole.remove(texts.hf_id)).code == 0
    whole.check(audio, code=0)


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_plan_of_a_complete_dataset_is_mended_at_its_own_commit(world: FaultWorld, harm: str) -> None:
    """`main` has moved since: rows of the old commit must not pass for rows of the new one."""
    hf_id = f"acme/plan-{len(harm)}"
    world.serve(hf_id, audio_rows(30))
    world.quick_sync(world.add(hf_id, "audio")).ok()
    case = Case(hf_id, 30, {})
    case = Case(hf_id, 30, tree(world.place(case).folder))
    world.hub.commit(hf_id, {"README.md": b"# changed"})
    HARMS[harm](world.place(case).folder / PLAN)
    done = world.quick_sync("requests/add/audio.yaml")
    assert (done.code, done.reason) == (74, "damaged_plan")
    assert "verify --repair" in done.fix
    world.quick("verify", "--repair").ok()
    world.check(case, code=0)


@pytest.mark.parametrize("harm", ["garbage", "empty"])
def test_a_damaged_plan_of_half_a_dataset_asks_for_a_restart(half: FaultWorld, texts: Case, harm: str) -> None:
    HARMS[harm](half.place(texts).folder / PLAN)
    done = half.quick_sync(texts.request)
    assert (done.code, done.reason) == (74, "damaged_plan")
    assert "--restart" in done.fix
    assert half.quick("verify", "--repair").code == 74
    half.quick_sync(texts.request, "--restart").ok()
    half.check(texts, code=0)


def test_a_plan_of_a_newer_version_is_refused(whole: FaultWorld, audio: Case) -> None:
    plan = whole.place(audio).folder / PLAN
    _edited(lambda document: document.update(schema_version=9, more=[]))(plan)
    done = whole.quick_sync(audio.request)
    assert (done.code, done.reason) == (74, "newer_schema")


def test_lines_of_the_audit_trail_are_whole(half: FaultWorld, texts: Case) -> None:
    trail = half.state / "audit.jsonl"
    with trail.open("ab") as file:
        file.write(b'{"torn": "by a full di')
    half.quick_sync(texts.request).ok()
    assert json.loads(trail.read_bytes().splitlines()[-1])["status"] == "complete"


@pytest.mark.parametrize("inside", ["audio", "json"])
@pytest.mark.parametrize("harm", ["gone", "empty", "a folder", "a link"])
def test_files_that_are_lost_during_a_download_do_not_get_into_a_complete_dataset(
    world: FaultWorld, audio: Case, inside: str, harm: str
) -> None:
    """A file that takes the lost one's place in the count is noticed as well."""
    request = world.add(audio.hf_id, "audio")
    assert world.quick("local-sync", request, HUGFLOW_FAILPOINT="finish_index:1").code == KILLED
    folder = world.place(audio).folder / inside
    HARMS[harm](sorted(folder.iterdir())[3])
    (folder / "stranger").touch()
    done = world.quick_sync(request)
    assert (done.code, done.reason) == (74, "damaged_row")
    assert world.place(audio).marker is None
    assert world.quick("verify", "--repair").code == 3
    world.quick_sync(request).ok()
    world.check(audio, code=0)
