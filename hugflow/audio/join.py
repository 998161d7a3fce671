"""Sounds in a row as one, and sounds that end where their file says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import numpy as np
import soxr

from hugflow.audio.pcm import Block, Sound, to_mono
from hugflow.audio.reasons import AudioReason
from hugflow.model.errors import RowError

Opener = Callable[[], AbstractContextManager[Sound]]


@contextmanager
def open_joined(parts: Sequence[Opener]) -> Iterator[Sound]:
    """Decode parts one after the other: one channel, at the rate of the first; each is complete or refused.

    Raises RowError (truncated_audio), and what the parts raise, here and from the blocks.
    """
    with parts[0]() as first:
        yield Sound(first.sample_rate, first.channels, None, _joined(first, parts[1:]))


def _joined(first: Sound, others: Sequence[Opener]) -> Iterator[Block]:
    yield from _complete(first)
    for open_part in others:
        with open_part() as sound:
            if sound.sample_rate == first.sample_rate:
                yield from _complete(sound)
                continue
            resampler = soxr.ResampleStream(sound.sample_rate, first.sample_rate, 1, dtype="float32", quality="HQ")
            for block in _complete(sound):
                yield from _not_empty(resampler.resample_chunk(to_mono(block)))
            yield from _not_empty(resampler.resample_chunk(np.empty(0, np.float32), last=True))


def _not_empty(block: Block) -> Iterator[Block]:
    if len(block):
        yield block


def _complete(sound: Sound) -> Iterator[Block]:
    count = 0
    for block in sound.blocks:
        count += len(block)
        yield block
    refuse_incomplete(count, sound.frames)


def refuse_incomplete(count: int, frames: int | None) -> None:
    """Refuse a sound of which fewer than the known number of frames were decoded.

    Raises RowError (truncated_audio).
    """
    if count < (frames or 0):
        message = f"it should have {frames:,} samples per channel, and only {count:,} can be decoded"
        raise RowError(AudioReason.TRUNCATED, message)


def ended_at(sound: Sound, frames: int) -> Sound:
    """Return `sound` without what its decoder gives beyond `frames`."""
    return replace(sound, frames=frames, blocks=_first(sound.blocks, frames))


def _first(blocks: Iterator[Block], frames: int) -> Iterator[Block]:
    for block in blocks:
        if frames <= 0:
            return
        yield block[:frames]
        frames -= len(block)
