"""WAV: 16-bit samples without a decoder and without a copy, files in a row, and the end of the last block."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

from hugflow.audio.pcm import MAX_CHANNELS, MAX_RATE, MIN_RATE, Sound, from_array
from hugflow.audio.sizes import chunks, integer, riff_order
from hugflow.audio.tails import tail_end

_PCM, _BITS = 1, 16
_PASSED_OVER = (b"LIST", b"JUNK")
"""Chunks between `fmt ` and `data` that do not describe the samples."""

_WITH_BLOCKS = (0x02, 0x11, 0x31)
"""MS ADPCM, IMA ADPCM, GSM: their `fmt ` chunk says how many samples a block has."""

_MPEG = (0x50, 0x55)
"""Layers I and II; layer III."""


def recognised(head: bytes) -> bool:
    """Tell whether a file with these first 12 bytes is a WAV."""
    return head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE"


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


def split(data: bytes) -> list[bytes]:
    """Take apart WAV files in a row."""
    files, start = [], 0
    while recognised(data[start : start + 12]):
        end = start + 8 + integer(data, start + 4, 4, "big" if data.startswith(b"RIFX", start) else "little")
        after = tail_end(data, end) if end < len(data) else len(data)
        last = not recognised(data[after : after + 12])
        files.append(data[start : len(data) if last else end])
        start = len(data) if last else after
    return files


def last_sample(data: bytes) -> int | None:
    """Return after how many samples per channel a WAV of blocks (ADPCM, GSM) ends; None for other codecs.

    Its last block may be filled up; the `fact` chunk says from where. A `fact` that speaks of another block is wrong.
    """
    fields = _fields(data)
    if fields.codec not in _WITH_BLOCKS or not fields.block_bytes:
        return None
    samples = len(fields.content) // fields.block_bytes * fields.block_samples
    return fact_within(fields.fact, samples, fields.block_samples)


def mpeg_audio(data: bytes) -> tuple[bytes, int] | None:
    """Return the MPEG audio in a WAV and the number in its `fact` chunk (0 without one); None for other codecs."""
    fields = _fields(data)
    return (bytes(fields.content), fields.fact) if fields.codec in _MPEG else None


def fact_within(fact: int, samples: int, block_samples: int) -> int | None:
    """Return `fact` where it is in the last block of `samples`; None where it speaks of something else."""
    return fact if samples - block_samples < fact <= samples else None


@dataclass(slots=True)
class _Fields:
    codec: int = 0
    block_bytes: int = 0
    block_samples: int = 0
    fact: int = 0
    content: memoryview = field(default_factory=lambda: memoryview(b""))


def _fields(data: bytes) -> _Fields:
    order, fields = riff_order(data), _Fields()
    for name, size, start in chunks(data, 12, order):
        if name == b"fmt ":
            fields.codec, fields.block_bytes = integer(data, start, 2, order), integer(data, start + 12, 2, order)
            fields.block_samples = integer(data, start + 18, 2, order) if size >= 20 else 0  # noqa: PLR2004 - its place
        elif name == b"fact":
            fields.fact = integer(data, start, 4, order)
        elif name == b"data":
            fields.content = memoryview(data)[start : start + size]
            break
    return fields
