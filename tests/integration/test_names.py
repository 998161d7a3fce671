"""Hostile names in data: every row has a file of its own inside of `audio/`, the same in every conversion."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from tests.support.world import Stored, World, audio_cell, clip, sound_file
from tests.unit.formats.test_rows import NASTY

SOUNDS = [sound_file(clip(seed, 0.05, 8_000), 8_000) for seed in range(3)]


def _rows() -> list[dict[str, Any]]:
    """1,000 rows of one name, and a row of each nasty name, by path and by a column of names."""
    given = ["same.wav"] * 1_000 + [name.encode("utf-8", "replace").decode() for name in NASTY]
    rows = [{"audio": audio_cell(SOUNDS[n % 3], name), "n": n, "audio_filename": None} for n, name in enumerate(given)]
    first = len(rows)
    return rows + [
        {"audio": audio_cell(SOUNDS[n % 3], "x.wav"), "n": first + n, "audio_filename": name}
        for n, name in enumerate(given[1_000:])
    ]


@pytest.fixture(scope="module")
def stored(shared_world: World) -> Stored:
    shared_world.serve("acme/names", _rows(), shards=3)
    shared_world.settings["WORKERS"] = "4"
    return shared_world.dataset(shared_world.sync(shared_world.add("acme/names")).ok().result["name"])


def test_every_row_has_a_file_of_its_own(stored: Stored) -> None:
    rows = stored.rows()
    assert [row["n"] for row in rows.values()] == list(range(1_000 + 2 * len(NASTY)))
    names = [row["audio"] for row in rows.values()]
    assert len({unicodedata.normalize("NFD", name).casefold() for name in names}) == len(rows)
    assert sorted(name.removeprefix("audio/") for name in names) == stored.audio_names()


def test_every_file_is_inside_and_is_the_sound_of_its_row(stored: Stored) -> None:
    one, two, three = (stored.mp3(stored.rows()[n]) for n in range(3))
    assert len({one, two, three}) == 3
    for number, row in stored.rows().items():
        given = number if number < 1_000 + len(NASTY) else number - 1_000 - len(NASTY)
        assert stored.mp3(row) == (one, two, three)[given % 3]


def test_nothing_was_written_outside_of_the_dataset(stored: Stored, shared_world: World) -> None:
    assert sorted(entry.name for entry in shared_world.folder.iterdir()) == [
        ".hugflow-state",
        "datasets",
        "processed",
        "requests",
    ]
    assert [entry.name for entry in shared_world.storage.iterdir()] == [stored.name]


def test_one_worker_gives_the_same_names(world: World, stored: Stored) -> None:
    world.sync(world.add("acme/names")).ok()
    assert world.dataset().tree() == stored.tree()
