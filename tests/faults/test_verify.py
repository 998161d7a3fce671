"""Damage to whole folders and their surroundings: `verify` names it, `--repair` repairs it and changes nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hugflow.storage.state import StateDir
from hugflow.storage.storage_root import Storage
from hugflow.storage.verify import Damage, Verifier
from tests.faults.conftest import NewFolder
from tests.support.faults import Case, FaultWorld, audio_rows

PLAN, INDEX = ".hugflow/plan.json", ".hugflow/index.parquet"


def _listing(folder: Path) -> dict[str, object]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else path.lstat().st_mode
        for path in folder.rglob("*")
    }


@pytest.fixture(scope="module")
def new_folder(in_memory: NewFolder) -> NewFolder:
    return in_memory


@pytest.fixture(scope="module")
def audio(quiet: FaultWorld) -> Case:
    return quiet.case("acme/audio", audio_rows(90), made_by=quiet)


def _verifier(world: FaultWorld) -> Verifier:
    return Verifier(Storage(world.storage), StateDir(world.state))


def _named(damage: tuple[Damage, ...]) -> set[str]:
    return {found.path for found in damage}


def test_a_whole_dataset_has_no_damage(world: FaultWorld, audio: Case) -> None:
    world.quick_sync(world.add(audio.hf_id, "audio")).ok()
    verified = _verifier(world).verify(audio.name)
    assert (verified.damage, verified.rows) == ((), audio.rows)


def _to_link(folder: Path, part: str) -> None:
    (folder / part).rename(folder.parent.parent / "moved")
    (folder / part).symlink_to(folder.parent.parent / "moved")


def _to_file(folder: Path, part: str) -> None:
    shutil.rmtree(folder / part)
    (folder / part).write_text("a file")


def _to_nothing(folder: Path, part: str) -> None:
    shutil.rmtree(folder / part)


@pytest.mark.parametrize("harm", [_to_link, _to_file, _to_nothing])
@pytest.mark.parametrize("part", ["audio", "json", ".hugflow"])
def test_a_folder_that_is_something_else_is_mended(
    world: FaultWorld, audio: Case, part: str, harm: Callable[[Path, str], None]
) -> None:
    world.quick_sync(world.add(audio.hf_id, "audio")).ok()
    folder = world.place(audio).folder
    harm(folder, part)
    moved = folder.parent.parent / "moved"
    before = _listing(moved) if moved.exists() else None
    damage = _named(_verifier(world).verify(audio.name).damage)
    if part == ".hugflow":
        assert {PLAN, INDEX} <= damage
    else:
        assert sum(path.startswith(f"{part}/") for path in damage) >= 80
    if harm is not _to_nothing:
        assert part in damage
    world.quick("verify", "--repair").ok()
    world.check(audio, code=0)
    assert (_listing(moved) if moved.exists() else None) == before, "what stands elsewhere is not ours to touch"


def test_a_dataset_whose_folder_is_gone_is_made_again(world: FaultWorld, audio: Case) -> None:
    world.quick_sync(world.add(audio.hf_id, "audio")).ok()
    shutil.rmtree(world.place(audio).folder)
    assert world.quick("verify").code == 74
    world.quick("verify", "--repair").ok()
    world.check(audio, code=0)


def test_what_is_not_valid_text_in_a_name_can_be_named(world: FaultWorld, audio: Case) -> None:
    world.quick_sync(world.add(audio.hf_id, "audio")).ok()
    strange = os.fsencode(world.place(audio).folder / "audio") + b"/\xff\xfe\x1b[31m\n.mp3"
    with open(strange, "wb"):  # noqa: PTH123 - a path of bytes
        pass
    for options in (("--json",), ()):
        done = world.quick("verify", *options)
        assert done.code == 74, done.err
        assert "\x1b" not in done.out
    assert len(world.quick("verify", "--json").json["datasets"][0]["damage"]) == 1
    world.quick("verify", "--repair", "--json").ok()
    world.check(audio, code=0)


def test_a_trash_that_leads_elsewhere_is_refused(world: FaultWorld, audio: Case) -> None:
    assert world.canary is not None
    world.quick_sync(world.add(audio.hf_id, "audio")).ok()
    (world.storage / ".trash").symlink_to(world.canary.folder)
    min((world.place(audio).folder / "audio").iterdir()).write_bytes(b"rot")
    for arguments in (("verify", "--repair"), ("remove", world.remove(audio.hf_id))):
        assert world.quick(*arguments).code == 74
        assert list(world.canary.changes()) == []
