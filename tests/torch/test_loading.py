"""`datasets` loads and decodes a downloaded dataset, with the lengths of the sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import datasets
import pytest

from localhub import LocalHub
from tests.conftest import _safe_environ
from tests.support.world import Stored, World, audio_cell, clip, sound_file, table_of

RATES = [8_000, 16_000, 22_050, 44_100, 48_000]
ROWS = 20


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, canaries: Mapping[str, str]) -> Iterator[Stored]:
    """A split called `held.out`, whose file names have the names of other splits in them."""
    folder = tmp_path_factory.mktemp("loading")
    with LocalHub() as hub:
        hub.add_user("reader", token=canaries["HF_TOKEN"])
        world = World.make(folder, hub, _safe_environ(folder / "home"), canaries)
        rows = [
            {
                "audio": audio_cell(sound_file(_pcm(row), RATES[row % 5]), f"test-{row}.wav"),
                "text": f"sentence {row}",
                "number": 2**53 + 1 + row,
            }
            for row in range(ROWS)
        ]
        world.serve("acme/heard", {"held.out": table_of(rows)})
        world.sync(world.add("acme/heard", split="held.out")).ok()
        yield world.dataset()


def _pcm(row: int) -> object:
    return clip(row, 0.3 + row / 100, RATES[row % 5], 1 + row % 2)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_finished_dataset_loads_with_its_audio(stored: Stored, tmp_path: Path, streaming: bool) -> None:
    loaded = datasets.load_dataset(str(stored.path), cache_dir=str(tmp_path), streaming=streaming)
    assert list(loaded) == ["held.out"]
    rows = list(loaded["held.out"])
    assert [row["text"] for row in rows] == [f"sentence {row}" for row in range(ROWS)]
    assert [row["number"] for row in rows] == [2**53 + 1 + row for row in range(ROWS)]
    for number, row in enumerate(rows):
        samples = row["audio"].get_all_samples()
        assert samples.sample_rate == RATES[number % 5]
        assert samples.data.shape == (1, len(_pcm(number)))
