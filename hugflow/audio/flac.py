"""FLAC: frames and files in a row counted by their headers, and 16-bit samples decoded by dr_flac.

dr_flac gives the samples that libsndfile gives, from memory and in half of the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastcrc import crc8, crc16

from hugflow.audio.pcm import Block, Sound, block_frames, checked
from hugflow.audio.reasons import AudioReason
from hugflow.audio.tails import tail_end
from hugflow.model.errors import RowError

try:
    # the compiled half of miniaudio; the other half plays sound, and takes long to import
    from _miniaudio import ffi, lib
except ImportError:  # there is no wheel for Linux on ARM: libsndfile decodes it all
    ffi = lib = None

_BITS = 16
_STREAMINFO_BYTES = 42
"""The marker, the header of the first block, and the block."""

_BEGINNINGS = (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22")
_MAX_FRAME_BYTES = 1 << 20
_SMALL_BLOCKS = (0, 192, 576, 1152, 2304, 4608)
_RATE_BYTES = {12: 1, 13: 2, 14: 2}


@dataclass(frozen=True, slots=True)
class _Frame:
    """`number` counts frames, or samples where blocks have different sizes; `step` is by how much it grows."""

    number: int
    samples: int
    step: int


@dataclass(frozen=True, slots=True)
class Counted:
    """Samples per channel of the frames of a file, and where the last one ends; None where it is incomplete."""

    samples: int
    end: int | None


class NotAsDeclared(Exception):
    """dr_flac finds another number of samples than the header declares."""


def split(data: bytes) -> list[bytes]:
    """Take apart FLAC files in a row."""
    begins, at = [0], _frames_start(data, 0)
    while (at := data.find(b"fLaC", at)) >= 0:
        if data.startswith(_BEGINNINGS, at):
            begins.append(at)
            at = _frames_start(data, at)
        else:
            at += 4
    return [data[begin:end] for begin, end in zip(begins, [*begins[1:], len(data)], strict=True)]


def declared_samples(data: bytes) -> int | None:
    """Return how many samples per channel the header declares, 0 for unknown; None where it is no header."""
    if not data.startswith(_BEGINNINGS) or len(data) < _STREAMINFO_BYTES:
        return None
    return int.from_bytes(data[21:26], "big") & 0xF_FFFF_FFFF


def with_declared_samples(data: bytes, counted: Counted) -> bytes:
    """Return the file up to its last frame, with a header that declares what was counted."""
    total = (data[21] & 0xF0) << 32 | counted.samples
    return data[:21] + total.to_bytes(5, "big") + data[26 : counted.end]


def count_samples(data: bytes) -> Counted:
    """Walk the frames: each has a number, and a checksum at its end.

    Raises RowError (decode_failed) where frames are damaged or missing.
    """
    start = _frames_start(data, 0)
    frame, samples = _frame_at(data, start), 0
    while frame is not None:
        samples += frame.samples
        end = start
        while (end := data.find(data[start : start + 2], end + 2)) >= 0:
            following = _frame_at(data, end)
            if following and following.number == frame.number + frame.step and crc16.umts(data[start:end]) == 0:
                break
        if end < 0:
            return Counted(samples, _last_end(data, start, frame))
        start, frame = end, following
    return Counted(0, None)


@contextmanager
def open_sound(data: bytes) -> Iterator[Sound | None]:
    """Decode `data`; None where dr_flac is not there, or `data` is not of 16 bits and a known length.

    Raises RowError (unsupported_audio), and NotAsDeclared from the blocks: a damaged frame is left out, and frames may
    follow those that the header declares.
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
    # One more than is declared: there must be none.
    size = min(block_frames(channels), frames + 1)
    while True:
        block = np.empty(size if channels == 1 else (size, channels), np.int16)
        count = lib.ma_dr_flac_read_pcm_frames_s16(decoder, size, ffi.from_buffer("short[]", block))
        frames -= count
        if count:
            yield block[:count]
        if count < size or frames < 0:
            break
    if frames:
        raise NotAsDeclared


def _frames_start(data: bytes, begin: int) -> int:
    """Return where the blocks of metadata of the file that begins at `begin` end."""
    at, last = begin + 4, False
    while not last and at + 4 <= len(data):
        last = bool(data[at] & 0x80)
        at += 4 + int.from_bytes(data[at + 1 : at + 4], "big")
    return at


def _frame_at(data: bytes, at: int) -> _Frame | None:
    """Read the header of a frame; it has a checksum of its own."""
    head = data[at : at + 16]
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xFE != 0xF8:  # noqa: PLR2004 - the sync code
        return None
    block, rate = head[2] >> 4, head[2] & 15
    extra = 7 - (head[4] ^ 0xFF).bit_length() if head[4] & 0x80 else 0  # as in UTF-8
    number = head[4] & (0x7F >> (extra + 1 if extra else 0))
    for byte in head[5 : 5 + extra]:
        number = number << 6 | byte & 0x3F
    end = 5 + extra
    if block in (6, 7):
        samples = 1 + int.from_bytes(head[end : end + block - 5], "big")
        end += block - 5
    else:
        samples = _SMALL_BLOCKS[block] if block < 6 else 256 << block - 8  # noqa: PLR2004 - RFC 9639, 9.1.1
    end += _RATE_BYTES.get(rate, 0)
    if not block or end >= len(head) or crc8.smbus(head[:end]) != head[end]:
        return None
    return _Frame(number, samples, samples if head[1] & 1 else 1)


def _last_end(data: bytes, start: int, frame: _Frame) -> int | None:
    """Return where the frame without a following one ends, by its checksum; None where it is incomplete.

    Raises RowError (decode_failed) where a later frame follows.
    """
    if crc16.umts(data[start:]) == 0:
        return len(data)
    at = start
    while (at := data.find(data[start : start + 2], at + 2)) >= 0:
        other = _frame_at(data, at)
        if other and frame.number < other.number < frame.number + 1000 * frame.step:
            raise RowError(AudioReason.DECODE_FAILED, f"a FLAC frame is damaged or missing before byte {at:,}")
    checksum, ends = 0, []
    for end in range(start, min(len(data), start + _MAX_FRAME_BYTES)):
        checksum = crc16.umts(data[end : end + 1], checksum)
        if checksum == 0 and end > start:
            ends.append(end + 1)
    # A checksum of 16 bits is right by chance now and then; tags and padding behind it are not.
    return next((end for end in ends if tail_end(data, end) == len(data)), ends[0] if ends else None)
