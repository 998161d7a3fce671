"""FLAC of 16 bits, decoded from memory by dr_flac: the samples that libsndfile gives, in half of the time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from hugflow.audio.pcm import Block, Sound, block_frames, checked

try:
    # the compiled half of miniaudio; the other half plays sound, and takes long to import
    from _miniaudio import ffi, lib
except ImportError:  # there is no wheel for Linux on ARM: libsndfile decodes it all
    ffi = lib = None

_BITS = 16


@contextmanager
def open_sound(data: bytes) -> Iterator[Sound | None]:
    """Decode `data`; None where dr_flac is not there, or `data` is not of 16 bits and a known length.

    A frame that is damaged is left out, so that fewer samples come than the sound has `frames`.

    Raises RowError (unsupported_audio).
    """
    # the decoder keeps the pointer, and this object what it points to
    memory = ffi.from_buffer(data) if lib else None
    decoder = lib.ma_dr_flac_open_memory(memory, len(data), ffi.NULL) if lib else None
    try:
        yield _sound(decoder) if decoder else None
    finally:
        if decoder:
            lib.ma_dr_flac_close(decoder)


def _sound(decoder: Any) -> Sound | None:
    frames: int = decoder.totalPCMFrameCount
    if decoder.bitsPerSample != _BITS or not frames:
        return None
    checked(decoder.sampleRate, decoder.channels)
    return Sound(decoder.sampleRate, decoder.channels, frames, _blocks(decoder, frames))


def _blocks(decoder: Any, frames: int) -> Iterator[Block]:
    channels: int = decoder.channels
    while frames:
        size = min(block_frames(channels), frames)
        block = np.empty(size if channels == 1 else (size, channels), np.int16)
        count = lib.ma_dr_flac_read_pcm_frames_s16(decoder, size, ffi.from_buffer("short[]", block))
        if count:
            yield block[:count]
        if count < size:
            return
        frames -= count
