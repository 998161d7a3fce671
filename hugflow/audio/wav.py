"""Plain WAV of 16 bits: its samples as they lie in the file, without a decoder and without a copy."""

from __future__ import annotations

import struct

import numpy as np

from hugflow.audio.pcm import MAX_CHANNELS, MAX_RATE, MIN_RATE, Sound, from_array

_PCM, _BITS = 1, 16
_PASSED_OVER = (b"LIST", b"JUNK")
"""Chunks between `fmt ` and `data` that say nothing of the samples."""


def open_sound(data: bytes) -> Sound | None:
    """Take the samples of a whole WAV file of the usual kind; None where it is another.

    The usual kind is PCM of 16 bits, little-endian, in a short `fmt ` chunk, with nothing behind the samples.
    """
    if data[:4] != b"RIFF" or data[12:20] != b"fmt \x10\0\0\0" or len(data) < 44:  # noqa: PLR2004 - the shortest header
        return None
    kind, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", data, 20)
    is_sound = 1 <= channels <= MAX_CHANNELS and MIN_RATE <= rate <= MAX_RATE
    if not is_sound or (kind, bits, frame_bytes) != (_PCM, _BITS, 2 * channels):
        return None
    name, size, start = data[36:40], *struct.unpack_from("<I", data, 40), 44
    while name in _PASSED_OVER and start + size + (size & 1) + 8 <= len(data):
        start += size + (size & 1) + 8
        name, size = data[start - 8 : start - 4], *struct.unpack_from("<I", data, start - 4)
    if name != b"data" or not size or size % frame_bytes or start + size != len(data):
        return None
    samples = np.frombuffer(data, "<i2", offset=start).astype(np.int16, copy=False)
    return from_array(samples if channels == 1 else samples.reshape(-1, channels), rate, planar=False)
