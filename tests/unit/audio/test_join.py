"""Joined sounds: each is complete, at the first one's rate, or the whole is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest

from hugflow.audio import AudioReason
from hugflow.audio.join import ended_at, open_joined
from hugflow.audio.pcm import Block, Sound
from hugflow.model.errors import RowError


@contextmanager
def opened(length: int, declared: int | None, rate: int = 16000) -> Iterator[Sound]:
    def blocks() -> Iterator[Block]:
        for start in range(0, length, 1000):
            yield np.full(min(1000, length - start), 0.25, np.float32)

    yield Sound(rate, 1, declared, blocks())


def joined(*parts: tuple[int, int | None, int]) -> np.ndarray:
    with open_joined([partial(opened, *part) for part in parts]) as sound:
        return np.concatenate(list(sound.blocks))


def test_all_samples_of_all_parts() -> None:
    assert len(joined((2500, 2500, 16000), (1, None, 16000), (999, 999, 16000))) == 3500


def test_other_rates_become_that_of_the_first() -> None:
    together = joined((1600, 1600, 16000), (48000, 48000, 48000), (8000, None, 8000))

    assert len(together) == 1600 + 16000 + 16000
    for middle in (together[2000:17000], together[18000:33000]):  # without the edges, where a resampler rings
        assert np.allclose(middle, 0.25, atol=0.01)


@pytest.mark.parametrize("short", [0, 1, 2])
@pytest.mark.parametrize("rate", [16000, 48000])
def test_a_part_with_fewer_samples_than_it_should_have(short: int, rate: int) -> None:
    parts: list[tuple[int, int | None, int]] = [(3000, 3000, 16000), (3000, 3000, rate), (3000, 3000, rate)]
    parts[short] = (2999, 3000, parts[short][2])

    with pytest.raises(RowError, match="2,999") as caught:
        joined(*parts)

    assert caught.value.reason == AudioReason.TRUNCATED


@pytest.mark.parametrize(("end", "length"), [(0, 0), (1, 1), (1000, 1000), (1001, 1001), (2500, 2500), (4000, 2500)])
def test_a_sound_ends_where_its_file_says(end: int, length: int) -> None:
    with opened(2500, None) as sound:
        limited = ended_at(sound, end)

    assert (limited.frames, sum(len(block) for block in limited.blocks)) == (end, length)
