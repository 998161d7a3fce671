"""Removal: a removed dataset is gone from all records and in the trash; others are unchanged, no removal is partial."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.world import World, audio_cell, clip, leftovers, sound_file, strict_json, table_of, tree

SOUND = sound_file(clip(8, 0.1))
NAME = "acme__speech__split_train__rev_main"


@pytest.fixture(scope="module")
def kept(shared_world: World) -> World:
    """Three datasets of one repository and one of another, complete."""
    rows = [{"audio": audio_cell(SOUND, "x.wav"), "text": f"row {n}"} for n in range(2)]
    shared_world.serve("acme/speech", {"train": table_of(rows), "test": table_of(rows[:1])})
    shared_world.hub.commit("acme/speech", {"notes.txt": b"more"}, branch="main")
    shared_world.serve("acme/other", rows)
    for name, fields in {
        "train": {"hf_id": "acme/speech"},
        "test": {"hf_id": "acme/speech", "split": "test"},
        "other": {"hf_id": "acme/other"},
    }.items():
        shared_world.sync(shared_world.add(name=name, **fields)).ok()
    return shared_world


@pytest.fixture
def filled(world: World, kept: World) -> World:
    """A checkout with copies of the same datasets, to take from."""
    shutil.copytree(kept.folder, world.folder, symlinks=True, dirs_exist_ok=True)
    for link in list(world.processed.iterdir()):
        link.unlink()
        link.symlink_to(world.storage / link.name)
    return world


def _active(world: World) -> list[str]:
    return [entry["dataset"]["name"] for entry in strict_json((world.state / "active.json").read_text())["datasets"]]


def _archived(world: World) -> list[dict[str, Any]]:
    return strict_json((world.state / "archived.json").read_text())["removed"]


def _trash(world: World) -> list[str]:
    folder = world.storage / ".trash"
    return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []


def _state_of(world: World, name: str) -> list[str]:
    """Where the state still speaks of a dataset, but for the archive, the audit trail and its lock."""
    files = [path for path in world.state.rglob("*") if path.is_file() and path.parent.name != "locks"]
    files = [path for path in files if path.name not in ("archived.json", "audit.jsonl")]
    return [str(path) for path in files if name in path.name or name in path.read_text()]


def test_a_dataset_goes_with_everything_that_belongs_to_it(filled: World) -> None:
    before = filled.dataset(NAME).tree()
    others = {path.name: tree(path) for path in filled.storage.iterdir() if path.name not in (NAME, ".trash")}
    done = filled.run("remove", filled.remove("acme/speech", split="train"), "--json").ok().result
    assert (done["status"], done["name"], done["rows_total"]) == ("removed", NAME, 2)
    assert not (filled.storage / NAME).exists()
    assert NAME not in [path.name for path in filled.processed.iterdir()]
    assert _state_of(filled, NAME) == []
    assert _active(filled) == sorted(others)
    (trashed,) = _trash(filled)
    assert trashed.endswith(f"--{NAME}")
    assert tree(filled.storage / ".trash" / trashed) == before
    (record,) = _archived(filled)
    assert (record["name"], record["reason"], record["trash"]) == (NAME, "Not needed any more.", trashed)
    assert record["dataset"]["dataset"]["rows_total"] == 2
    assert {path.name: tree(path) for path in filled.storage.iterdir() if path.name != ".trash"} == others
    assert {path.name for path in filled.processed.iterdir()} == set(others)
    again = filled.run("remove", filled.remove("acme/speech", split="train"))
    assert again.code == 4
    assert f"this one was removed on {record['removed_at'][:10]}" in again.err


def test_a_partial_dataset_goes_with_journal_and_progress(world: World) -> None:
    hf_id = world.new_id()
    world.serve(hf_id, [{"audio": audio_cell(b"bad", "x"), "text": "x"}])
    assert world.sync(world.add(hf_id)).code == 3
    name = world.dataset().name
    assert len(_state_of(world, name)) == 2
    world.run("remove", world.remove(hf_id)).ok()
    assert _state_of(world, name) == []
    assert (world.storage / ".trash" / _trash(world)[0] / ".hugflow" / "plan.json").is_file()


def test_what_was_removed_can_be_had_again(filled: World) -> None:
    before = filled.dataset(NAME).tree()
    filled.run("remove", filled.remove("acme/speech", split="train")).ok()
    done = filled.sync("requests/add/train.yaml").ok().result
    assert (done["status"], done["new_rows"]) == ("complete", 2)
    assert filled.dataset(NAME).tree() == before
    assert len(_archived(filled)) == 1


def test_a_request_that_means_several_lists_them(filled: World) -> None:
    before = tree(filled.storage)
    done = filled.run("remove", filled.remove("acme/speech"))
    assert done.code == 4
    assert "2 match; narrow it with `split`" in done.err
    assert "split: test" in done.err
    assert "split: train" in done.err
    assert tree(filled.storage) == before


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"hf_id": "acme/spech"}, "did you mean `acme/speech`?"),
        ({"hf_id": "nobody/nothing"}, "it holds `acme/other`, `acme/speech`"),
        ({"hf_id": "acme/speech", "revision": "v2"}, "revision: main"),
    ],
)
def test_a_request_that_means_nothing_says_what_there_is(filled: World, fields: dict[str, Any], said: str) -> None:
    before = tree(filled.storage)
    done = filled.run("remove", filled.remove(**fields))
    assert done.code == 4
    assert said in done.err
    assert tree(filled.storage) == before


def test_an_add_request_removes_nothing(filled: World) -> None:
    done = filled.run("remove", "requests/add/train.yaml")
    assert done.code == 2
    assert "is not a remove request" in done.err
    assert filled.dataset(NAME).rows()


# -- the trash ---------------------------------------------------------------------------------------------------------


def _age(world: World, days: int) -> None:
    """Make what is in the trash older, by its name: nothing else says when it came."""
    for entry in (world.storage / ".trash").iterdir():
        year = int(entry.name[:4]) - days // 365 - 1
        entry.rename(entry.with_name(f"{year}{entry.name[4:]}"))


def test_the_trash_is_kept_for_its_days_and_then_emptied(filled: World) -> None:
    filled.run("remove", filled.remove("acme/speech", split="train")).ok()
    filled.run("remove", filled.remove("acme/speech", split="test")).ok()
    assert len(_trash(filled)) == 2
    _age(filled, 30)
    done = filled.run("remove", filled.remove("acme/other")).ok()
    assert "deleted from the trash after 7 days" in done.err
    assert [name.partition("--")[2] for name in _trash(filled)] == ["acme__other__split_train__rev_main"]


def test_with_no_days_it_is_deleted_at_once(filled: World) -> None:
    done = filled.run("remove", filled.remove("acme/other"), TRASH_DAYS="0").ok()
    assert "kept in the trash" not in done.out
    assert _trash(filled) == []


# -- never outside of the root -----------------------------------------------------------------------------------------


def _precious(world: World) -> Path:
    outside = world.folder.parent / "outside"
    (outside / "folder").mkdir(parents=True)
    (outside / "folder" / "precious.txt").write_text("somebody's")
    return outside


def _link_in_place_of_the_dataset(world: World, outside: Path) -> None:
    shutil.rmtree(world.storage / NAME)
    (world.storage / NAME).symlink_to(outside / "folder")


def _link_in_place_of_the_trash(world: World, outside: Path) -> None:
    (world.storage / ".trash").symlink_to(outside / "folder")


@pytest.mark.parametrize("place", [_link_in_place_of_the_dataset, _link_in_place_of_the_trash])
def test_a_link_is_not_followed(filled: World, place: Callable[[World, Path], None]) -> None:
    outside = _precious(filled)
    place(filled, outside)
    before = tree(outside)
    done = filled.run("remove", filled.remove("acme/speech", split="train"))
    assert done.code == 74
    assert "symbolic link" in done.err
    assert tree(outside) == before
    assert tree(filled.storage)[NAME] if place is _link_in_place_of_the_dataset else filled.dataset(NAME).rows()


def test_links_inside_of_the_trash_are_not_followed(filled: World) -> None:
    outside = _precious(filled)
    (filled.storage / NAME / "audio" / "link").symlink_to(outside)
    filled.run("remove", filled.remove("acme/speech", split="train"), TRASH_DAYS="0").ok()
    assert _trash(filled) == []
    assert (outside / "folder" / "precious.txt").read_text() == "somebody's"


def test_a_link_in_processed_root_that_is_not_ours_stays(filled: World) -> None:
    (filled.processed / NAME).unlink()
    (filled.processed / NAME).symlink_to("/somewhere/else")
    filled.run("remove", filled.remove("acme/speech", split="train")).ok()
    assert (filled.processed / NAME).is_symlink()


# -- a removal that is cut off -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step", ["remove_intent", "remove_unlinked", "remove_trashed", "remove_forgotten", "remove_archived"]
)
def test_a_removal_that_was_killed_is_finished_by_the_next_run(filled: World, step: str) -> None:
    request = filled.remove("acme/speech", split="train")
    assert filled.run("remove", request, HUGFLOW_FAILPOINT=f"{step}:1").code == -9
    done = filled.run("remove", request)
    assert done.code == 0
    assert not (filled.storage / NAME).exists()
    assert NAME not in [path.name for path in filled.processed.iterdir()]
    assert _state_of(filled, NAME) == []
    assert [record["name"] for record in _archived(filled)] == [NAME]
    assert len(_trash(filled)) == 1
    assert leftovers(filled.storage, filled.state) == []


# -- the trail ---------------------------------------------------------------------------------------------------------


def test_everything_that_was_done_is_in_the_trail(filled: World) -> None:
    (filled.state / "audit.jsonl").unlink()
    filled.sync("requests/add/train.yaml").ok()
    filled.run("remove", filled.remove("acme/other"), GITHUB_ACTOR="octocat").ok()
    lines = [json.loads(line) for line in (filled.state / "audit.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["status"], line["exit_code"], line["request"]) for line in lines] == [
        ("add", "unchanged", 0, "requests/add/train.yaml"),
        ("remove", "removed", 0, "requests/remove/gone.yaml"),
    ]
    assert lines[1]["actor"] == "octocat"
    assert all(line["time"].endswith("+00:00") for line in lines)
