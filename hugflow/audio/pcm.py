"""Samples in memory: how channels, number formats and scales become one channel of 16-bit samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hugflow.audio.reasons import AudioReason
from hugflow.model.errors import RowError

BLOCK_SAMPLES = 1 << 18
"""Samples (frames times channels) in memory at a time: a megabyte of float32."""

MIN_RATE, MAX_RATE = 1_000, 768_000
"""Sample rates in Hz that are taken for real; others are damage, and would cost memory in the resampler."""

MAX_CHANNELS = 64

Block = NDArray[np.int16] | NDArray[np.float32]
"""Samples of shape (frames,) or (frames, channels): int16, or float32 with full scale at 1.0."""

_FULL_SCALE = 32768.0


@dataclass(frozen=True, slots=True)
class Sound:
    """Decoded sound, block by block. `frames` is how many there must be, or None where that is not known."""

    sample_rate: int
    channels: int
    frames: int | None
    blocks: Iterator[Block]


def checked(sample_rate: int, channels: int) -> None:
    """Refuse a sample rate or a number of channels that no recording has.

    Raises RowError (unsupported_audio).
    """
    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise RowError(AudioReason.UNSUPPORTED, f"its sample rate of {sample_rate} Hz is not one of sound")
    if not 1 <= channels <= MAX_CHANNELS:
        raise RowError(AudioReason.UNSUPPORTED, f"it has {channels} channels; at most {MAX_CHANNELS} are supported")


def block_frames(channels: int) -> int:
    """Return how many frames of so many channels a block holds."""
    return max(1, BLOCK_SAMPLES // channels)


def from_array(samples: NDArray[Any], sample_rate: int, *, planar: bool | None = None) -> Sound:
    """Take an array as sound: shape (N,), (N, channels) or (channels, N), of floats or integers.

    `planar` says that the channels come first; None takes the shorter axis for the channels. Integers are scaled by
    what their type can hold; int64, which is what a list of integers becomes, is taken for 16-bit samples.

    Raises RowError (bad_audio_cell, empty_audio, unsupported_audio).
    """
    if samples.ndim not in (1, 2):
        raise RowError(AudioReason.BAD_CELL, f"its array has {samples.ndim} dimensions; sound has one or two")
    if samples.size == 0:
        raise RowError(AudioReason.EMPTY, "its array has no samples")
    if samples.ndim == 2:  # noqa: PLR2004 - frames and channels
        channels_first = samples.shape[0] < samples.shape[1] if planar is None else planar
        samples = samples.T if channels_first else samples
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    checked(sample_rate, channels)
    if samples.dtype == np.int64:
        samples = _as_int16(samples)
    if samples.dtype not in (np.int16, np.int8, np.int32, np.uint8, np.float16, np.float32, np.float64):
        raise RowError(AudioReason.BAD_CELL, f"its array holds {samples.dtype}; sound is floats or integers")
    if channels == 1:
        samples = samples.reshape(-1)
    return Sound(sample_rate, channels, len(samples), _array_blocks(samples, block_frames(channels)))


@np.errstate(all="ignore")
def to_mono(block: Block) -> NDArray[np.float32]:
    """Return the mean of the channels as float32, full scale 1.0. Its shape is (frames,); `block` is left as it is."""
    divisor = _FULL_SCALE if block.dtype == np.int16 else 1.0
    if block.ndim == 1:
        return np.divide(block, divisor, dtype=np.float32)
    # Channel by channel: sums in an order that does not depend on the machine.
    mono = block[:, 0].astype(np.float32)
    for channel in range(1, block.shape[1]):
        mono += block[:, channel]
    mono /= divisor * block.shape[1]
    return mono


def without_gaps(mono: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """Replace what is no number (NaN by 0, infinities by full scale); return also how many samples that were."""
    with np.errstate(all="ignore"):
        if np.isfinite(mono.min()) and np.isfinite(mono.max()):
            return mono, 0
        gaps = int(np.count_nonzero(~np.isfinite(mono)))
    return np.nan_to_num(mono, nan=0.0, posinf=1.0, neginf=-1.0), gaps


def to_int16(mono: NDArray[np.float32]) -> tuple[NDArray[np.int16], int]:
    """Round to 16 bits; return also how many samples lay beyond full scale (or were no numbers) and were clipped."""
    with np.errstate(all="ignore"):
        scaled = mono * np.float32(_FULL_SCALE)
        np.rint(scaled, out=scaled)
        if scaled.min() >= -_FULL_SCALE and scaled.max() < _FULL_SCALE:
            return scaled.astype(np.int16), 0
        clipped = int(np.count_nonzero(~(np.abs(mono) <= 1.0)))
        np.nan_to_num(scaled, copy=False, nan=0.0)
        np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1, out=scaled)
    return scaled.astype(np.int16), clipped


def _array_blocks(samples: NDArray[Any], frames: int) -> Iterator[Block]:
    for start in range(0, len(samples), frames):
        yield _scaled(samples[start : start + frames])


def _scaled(part: NDArray[Any]) -> Block:
    """Bring a part of an array to int16, or to float32 with full scale at 1.0."""
    if part.dtype == np.int16:
        return np.ascontiguousarray(part)
    if part.dtype == np.uint8:
        return (part.astype(np.float32) - 128) / np.float32(128)
    if part.dtype.kind == "i":
        return part.astype(np.float32) / np.float32(-float(np.iinfo(part.dtype).min))
    with np.errstate(over="ignore"):
        return part.astype(np.float32, copy=False)


def _as_int16(samples: NDArray[Any]) -> NDArray[np.int16]:
    low, high = samples.min(), samples.max()
    if low < -_FULL_SCALE or high >= _FULL_SCALE:
        message = "its integers are wider than 16 bits and do not say of which scale; use int32 or floats"
        raise RowError(AudioReason.BAD_CELL, message)
    return samples.astype(np.int16)
