"""A thousand random mutations of finished datasets: `verify` names each, `--repair` restores the tree to the byte."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hugflow.state import StateDir
from hugflow.storage import Storage
from hugflow.verify import Damage, Verifier
from tests.faults.support import Case, FaultWorld, audio_rows, chance, json_rows

MUTATIONS, AT_ONCE = 1_000, 25
PLAN, MARKER, INDEX = ".hugflow/plan.json", ".hugflow/dataset.json", ".hugflow/index.parquet"
OTHERS = {PLAN, MARKER, INDEX, "metadata.parquet", "README.md"}


# -- mutations: each returns the paths, relative to the dataset, that must be named ----------------------------------

Mutation = Callable[[Path, Path, random.Random], set[str]]


def _flip(folder: Path, file: Path, chance: random.Random) -> set[str]:
    data = bytearray(file.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)
    return {_inside(folder, file)}


def _cut(folder: Path, file: Path, chance: random.Random) -> set[str]:
    os.truncate(file, chance.randrange(file.stat().st_size))
    return {_inside(folder, file)}


def _grow(folder: Path, file: Path, chance: random.Random) -> set[str]:
    with file.open("ab") as opened:
        opened.write(chance.randbytes(3))
    return {_inside(folder, file)}


def _delete(folder: Path, file: Path, _: random.Random) -> set[str]:
    file.unlink()
    return {_inside(folder, file)}


def _swap(folder: Path, file: Path, chance: random.Random) -> set[str]:
    """With a neighbour of the same folder that is not the same."""
    others = [path for path in sorted(file.parent.iterdir()) if path.is_file() and not path.is_symlink()]
    others = [path for path in others if path.read_bytes() != file.read_bytes()]
    if not others:
        return _delete(folder, file, chance)
    other = chance.choice(others)
    ours, theirs = file.read_bytes(), other.read_bytes()
    file.write_bytes(theirs)
    other.write_bytes(ours)
    return {_inside(folder, file), _inside(folder, other)}


def _rename(folder: Path, file: Path, _: random.Random) -> set[str]:
    other = file.with_name(f"{file.name}.bak")
    file.rename(other)
    return {_inside(folder, file), _inside(folder, other)}


def _link(folder: Path, file: Path, _: random.Random) -> set[str]:
    """A link to a file of the same content, elsewhere."""
    elsewhere = folder.parent.parent / f"elsewhere-{file.name}"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    return {_inside(folder, file)}


def _dangle(folder: Path, file: Path, _: random.Random) -> set[str]:
    file.unlink()
    file.symlink_to("nowhere")
    return {_inside(folder, file)}


def _folder(folder: Path, file: Path, _: random.Random) -> set[str]:
    file.unlink()
    file.mkdir()
    (file / "inner").touch()
    return {_inside(folder, file)}


def _fifo(folder: Path, file: Path, _: random.Random) -> set[str]:
    file.unlink()
    os.mkfifo(file)
    return {_inside(folder, file)}


def _empty(folder: Path, file: Path, _: random.Random) -> set[str]:
    file.write_bytes(b"")
    return {_inside(folder, file)}


def _add(folder: Path, file: Path, chance: random.Random) -> set[str]:
    added = file.parent / chance.choice(["extra", "007.json", "-1.json", "9999.json", ".hidden", "é\u0301.mp3", "a b"])
    if added.exists():
        return set()
    added.write_bytes(chance.randbytes(20))
    return {_inside(folder, added)}


def _add_folder(folder: Path, file: Path, chance: random.Random) -> set[str]:
    added = file.parent / chance.choice(["extra-folder", "tmp", "scratch", "lost+found"])
    if added.exists():
        return set()
    added.mkdir()
    (added / "inner").write_bytes(b"x")
    return {_inside(folder, added)}


def _inside(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


ROW_FILES: list[Mutation] = [
    *(_flip, _flip, _flip, _cut, _grow, _delete, _delete, _swap, _swap, _rename, _link, _dangle, _folder, _fifo),
    *(_empty, _add, _add, _add_folder),
]


def _victims(folder: Path, among: str) -> list[Path]:
    if among in ("audio", "json"):
        found = sorted((folder / among).iterdir())
    else:
        found = [folder / path for path in sorted(OTHERS)]
    return [path for path in found if path.is_file() and not path.is_symlink()]


def _mutated(folder: Path, moments: random.Random, number: int, *, index: bool) -> set[str]:
    """Mutate `number` different files; the paths that must be named."""
    named: set[str] = set()
    done = 0
    while done < number:
        among = moments.choice(["audio", "audio", "json", "json", "others"])
        file = moments.choice(_victims(folder, among))
        inside = _inside(folder, file)
        if inside in named or (inside == INDEX and not index):
            continue
        mutation = moments.choice(ROW_FILES)
        before = _listing(folder)
        if mutation is _swap and (among == "others" or named):
            continue  # the neighbour may have been mutated already, or be the index
        names = mutation(folder, file, moments)
        if not names or _listing(folder) == before:
            continue
        named |= names
        done += 1
    return named


def _listing(folder: Path) -> dict[str, object]:
    return {
        _inside(folder, path): path.read_bytes() if path.is_file() and not path.is_symlink() else path.lstat().st_mode
        for path in folder.rglob("*")
    }


# -- tests -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def audio(quiet: FaultWorld) -> Case:
    return quiet.case("acme/audio", audio_rows(90), made_by=quiet)


@pytest.fixture(scope="module")
def texts(quiet: FaultWorld) -> Case:
    return quiet.case("acme/texts", json_rows(60), made_by=quiet)


def _verifier(world: FaultWorld) -> Verifier:
    return Verifier(Storage(world.storage), StateDir(world.state))


def _named(damage: tuple[Damage, ...]) -> set[str]:
    return {found.path for found in damage}


def test_a_whole_dataset_has_no_damage(world: FaultWorld, audio: Case) -> None:
    world.quick_sync(world.add(audio.hf_id, "audio")).ok()
    verified = _verifier(world).verify(audio.name)
    assert (verified.damage, verified.rows) == ((), audio.rows)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_random_mutations_are_named_and_mended(world: FaultWorld, audio: Case, seed: int) -> None:
    world.quick_sync(world.add(audio.hf_id, "audio")).ok()
    folder, moments = world.place(audio).folder, chance(seed)
    for _ in range(MUTATIONS // AT_ONCE // 4):
        named = _mutated(folder, moments, AT_ONCE, index=False)
        found = _verifier(world).verify(audio.name)
        assert _named(found.damage) == named
        world.quick("verify", "--repair").ok()
        world.check(audio, code=0)
    assert _verifier(world).verify(audio.name).damage == ()


@pytest.mark.slow
def test_single_mutations_are_named_alone(world: FaultWorld, audio: Case, texts: Case) -> None:
    """One at a time, each put back by hand: nothing else is named."""
    for case in (audio, texts):
        world.quick_sync(world.add(case.hf_id, case.hf_id.rpartition("/")[2])).ok()
        folder, moments = world.place(case).folder, chance(9)
        kept = world.folder.parent / f"kept-{case.rows}"
        shutil.copytree(folder, kept)
        for _ in range(40):
            named = _mutated_once(folder, moments, audio=case is audio)
            assert _named(_verifier(world).verify(case.name).damage) == named
            shutil.rmtree(folder)
            shutil.copytree(kept, folder)


def _mutated_once(folder: Path, moments: random.Random, *, audio: bool) -> set[str]:
    while True:
        among = moments.choice(["audio", "json"] if audio else ["json"])
        file = moments.choice(_victims(folder, among))
        before = _listing(folder)
        if (names := moments.choice(ROW_FILES)(folder, file, moments)) and _listing(folder) != before:
            return names


@pytest.mark.parametrize("mutation", [_flip, _cut, _delete, _folder, _link])
def test_a_damaged_index_is_named_and_everything_is_mended_all_the_same(
    world: FaultWorld, audio: Case, mutation: Mutation
) -> None:
    """Without the index nobody knows of the other damage: it is found while the rows are made again."""
    world.quick_sync(world.add(audio.hf_id, "audio")).ok()
    folder, moments = world.place(audio).folder, chance(5)
    _mutated(folder, moments, 5, index=False)
    mutation(folder, folder / INDEX, moments)
    assert INDEX in _named(_verifier(world).verify(audio.name).damage)
    world.quick("verify", "--repair").ok()
    world.check(audio, code=0)


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
