"""A thousand mutations of finished datasets: `verify` names every file, `--repair` restores the tree."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hugflow.storage.state import StateDir
from hugflow.storage.storage_root import Storage
from hugflow.storage.verify import Verifier
from tests.faults.conftest import MakeWorld, NewFolder
from tests.support.faults import Case, FaultWorld, audio_rows, chance, json_rows, tree

INDEX = ".hugflow/index.parquet"
BATCHES, MUTATIONS = 40, 25


@dataclass
class Finished:
    """A world with two finished datasets, and a copy of its folders to put back."""

    world: FaultWorld
    cases: tuple[Case, ...]
    copy: Path

    def folder(self, case: Case) -> Path:
        return self.world.storage / case.name

    def put_back(self) -> None:
        shutil.rmtree(self.world.storage)
        shutil.copytree(self.copy, self.world.storage, symlinks=True)

    def damage(self, case: Case) -> set[str]:
        """What `verify` says, by path."""
        verifier = Verifier(Storage(self.world.storage), StateDir(self.world.state))
        return {found.path for found in verifier.verify(case.name).damage}


@pytest.fixture(scope="module")
def new_folder(in_memory: NewFolder) -> NewFolder:
    return in_memory


@pytest.fixture(scope="module")
def finished(make_world: MakeWorld, quiet: FaultWorld, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    world = make_world("rotting")
    cases = (
        world.case("acme/rot-json", json_rows(60), made_by=quiet),
        world.case("acme/rot-audio", audio_rows(60), made_by=quiet),
    )
    for case in cases:
        world.quick_sync(case.request).ok()
    copy = tmp_path_factory.mktemp("copy") / "datasets"
    shutil.copytree(world.storage, copy, symlinks=True)
    return Finished(world, cases, copy)


# -- mutations: each changes one file (or two) and says which paths are wrong from then on -----------------------------

Mutate = Callable[[Path, str, random.Random], set[str]]


def _flip(folder: Path, path: str, dice: random.Random) -> set[str]:
    data = bytearray((folder / path).read_bytes())
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    (folder / path).write_bytes(data)
    return {path}


def _truncate(folder: Path, path: str, dice: random.Random) -> set[str]:
    os.truncate(folder / path, dice.randrange((folder / path).stat().st_size))
    return {path}


def _delete(folder: Path, path: str, _: random.Random) -> set[str]:
    (folder / path).unlink()
    return {path}


def _append(folder: Path, path: str, dice: random.Random) -> set[str]:
    with (folder / path).open("ab") as file:
        file.write(dice.randbytes(dice.randrange(1, 50)))
    return {path}


def _link(folder: Path, path: str, _: random.Random) -> set[str]:
    """The file is moved away, and a symbolic link to it stands in its place: the content is right, the file is not."""
    moved = folder.parent / f"moved-{folder.name}-{path.replace('/', '-')}"
    (folder / path).rename(moved)
    (folder / path).symlink_to(moved)
    return {path}


def _folder(folder: Path, path: str, _: random.Random) -> set[str]:
    (folder / path).unlink()
    (folder / path).mkdir()
    (folder / path / "inside").write_bytes(b"x")
    return {path}


def _dangle(folder: Path, path: str, _: random.Random) -> set[str]:
    (folder / path).unlink()
    (folder / path).symlink_to("nowhere")
    return {path}


def _fifo(folder: Path, path: str, _: random.Random) -> set[str]:
    (folder / path).unlink()
    os.mkfifo(folder / path)
    return {path}


def _rename(folder: Path, path: str, _: random.Random) -> set[str]:
    (folder / path).rename(folder / f"{path}.bak")
    return {path, f"{path}.bak"}


def _strange_folder(folder: Path, path: str, dice: random.Random) -> set[str]:
    new = (Path(path).parent / dice.choice(["extra", "tmp", "scratch", "lost+found"])).as_posix()
    if (folder / new).exists():
        return set()
    (folder / new).mkdir()
    (folder / new / "inside").write_bytes(b"x")
    return {new}


def _stranger(folder: Path, path: str, dice: random.Random) -> set[str]:
    """A file that belongs to nothing, beside the chosen one."""
    name = dice.choice(["extra.mp3", "99999.json", "007.json", ".hidden", "x__1.mp3", "7.json.bak", "Ünïcode"])
    new = (Path(path).parent / name).as_posix()
    if (folder / new).exists():
        return set()
    (folder / new).write_bytes(b"what is this?")
    return {new}


MUTATIONS_OF_FILES: tuple[Mutate, ...] = (
    *(_flip, _flip, _flip, _truncate, _delete, _delete, _append, _link, _dangle, _folder, _fifo, _rename),
    *(_stranger, _stranger, _strange_folder),
)


def _swap(folder: Path, one: str, two: str) -> set[str]:
    a, b = (folder / one).read_bytes(), (folder / two).read_bytes()
    (folder / one).write_bytes(b)
    (folder / two).write_bytes(a)
    return {one, two} if a != b else set()


def _mutate(folder: Path, dice: random.Random, number: int, *, index: bool = False) -> tuple[set[str], int]:
    """Damage up to `number` files; returns the paths that are wrong now, and how many mutations that were."""
    files = [path for path in tree(folder) if (path == INDEX) <= index and (folder / path).is_file()]
    dice.shuffle(files)
    wrong: set[str] = set()
    done = 0
    while done < number and len(files) > 2:
        path = files.pop()
        if dice.random() < 0.12:
            wrong |= _swap(folder, path, files.pop())
        else:
            wrong |= dice.choice(MUTATIONS_OF_FILES)(folder, path, dice)
        done += 1
    return wrong, done


def _repaired(finished: Finished, case: Case) -> None:
    finished.world.quick("verify", case.name, "--repair", "--json").ok()
    assert tree(finished.folder(case)) == case.reference


@pytest.mark.soak
def test_verify_names_each_of_a_thousand_mutations_and_repair_undoes_them(finished: Finished) -> None:
    total = 0
    for batch in range(BATCHES):
        dice, case = chance(batch), finished.cases[batch % 2]
        wrong, done = _mutate(finished.folder(case), dice, MUTATIONS)
        total += done
        assert finished.damage(case) == wrong, batch
        _repaired(finished, case)
    assert total == BATCHES * MUTATIONS


@pytest.mark.parametrize("seed", range(3))
def test_a_single_mutation_is_named_alone(finished: Finished, seed: int) -> None:
    dice, case = chance(500 + seed), finished.cases[seed % 2]
    for _ in range(20):
        wrong, _ = _mutate(finished.folder(case), dice, 1)
        assert finished.damage(case) == wrong
        finished.put_back()


@pytest.mark.parametrize("harm", [_flip, _truncate, _delete, _folder, _link])
@pytest.mark.parametrize("kind", [0, 1], ids=["json", "audio"])
def test_repair_also_where_the_index_is_damaged(finished: Finished, kind: int, harm: Mutate) -> None:
    """Without the index nothing vouches for the rows: all are made again, and what is extra goes."""
    dice, case = chance(1000 + kind), finished.cases[kind]
    wrong, _ = _mutate(finished.folder(case), dice, 10)
    wrong |= harm(finished.folder(case), INDEX, dice)
    found = finished.damage(case)
    assert INDEX in found
    assert found <= wrong
    _repaired(finished, case)
    finished.put_back()


def test_nothing_is_named_where_nothing_is_wrong(finished: Finished) -> None:
    for case in finished.cases:
        assert finished.damage(case) == set()
        ran = finished.world.quick("verify", case.name, "--json")
        assert ran.code == 0
        assert ran.json["datasets"][0]["damage"] == []
