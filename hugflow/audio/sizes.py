"""Sizes in the headers of WAV, Wave64, AIFF, AU and CAF files, which many programs leave unknown or miscount.

A program that writes to a pipe, or is switched off, never goes back to its header. What it wrote there first is 0, -1,
or the largest number of the field, often rounded to blocks, or with the header added or subtracted. Such a file is read
to its end. Any other size is a promise: a file that is shorter was cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from hugflow.audio.tails import is_text, tail_end

Order = Literal["little", "big"]

_LARGEST_SIZES = (0x7F00_0000, 1 << 31, 1 << 32)
"""Limits of 32-bit size fields: sox's own for AIFF, signed, unsigned."""

_ROUNDING = 1 << 16
_UNKNOWN_32_BIT = 0xFFFF_FFFF
_UNKNOWN_64_BIT = 1 << 62
_MISCOUNT_BYTES = 64
"""By so much a size is too large in which a header was counted, or another field."""

_W64_HEADER_BYTES, _RIFF_HEADER_BYTES = 24, 8


def integer(data: bytes, at: int, size: int, order: Order) -> int:
    """Read an unsigned integer of `size` bytes."""
    return int.from_bytes(data[at : at + size], order)


def riff_order(data: bytes) -> Order:
    """Return the byte order of a WAV file."""
    return "big" if data.startswith(b"RIFX") else "little"


def chunks(data: bytes, start: int, order: Order) -> Iterator[tuple[bytes, int, int]]:
    """Walk chunks of four letters and a 32-bit size: (letters, size, where the content begins)."""
    while start + 8 <= len(data):
        size = integer(data, start + 4, 4, order)
        yield data[start : start + 4], size, start + 8
        start += 8 + size + (size & 1)


def complete_wav(data: bytes) -> tuple[int, bytes]:
    """Return how many declared bytes are not there, and the file with a size that decoders understand."""
    order = riff_order(data)
    riff_size, data_size, frame_bytes = integer(data, 4, 4, order), None, 1
    for name, size, start in chunks(data, 12, order):
        if name == b"ds64":
            riff_size, data_size = integer(data, start, 8, order), integer(data, start + 8, 8, order)
        elif name == b"fmt ":
            frame_bytes = integer(data, start + 12, 2, order) or 1
        elif name == b"data":
            declared = data_size if data_size is not None and size == _UNKNOWN_32_BIT else size
            break
    else:
        return riff_size + 8 - len(data), data
    present = len(data) - start
    if _wav_size_is_unknown(data, start, declared, riff_size):
        return 0, _with_wav_size(data, start, present)
    lacking = declared - present
    miscounted = lacking <= _MISCOUNT_BYTES and riff_size + 8 == len(data)
    if lacking > 0 and (miscounted or declared // frame_bytes == present // frame_bytes):
        return 0, _with_wav_size(data, start, present)
    return lacking, data


def complete_w64(data: bytes) -> tuple[int, bytes]:
    """Return how many declared bytes are not there, and the file with a size that decoders understand."""
    start = 40
    while start + _W64_HEADER_BYTES <= len(data):
        size, present = integer(data, start + 16, 8, "little"), len(data) - start
        if data[start : start + 4] == b"data":
            if _is_unknown(size) or (size <= _W64_HEADER_BYTES < present):
                size = present
            # libsndfile would take what follows the chunk for samples
            sized = data[: start + 16] + size.to_bytes(8, "little") + data[start + 24 : start + size]
            return size - present, sized[:16] + len(sized).to_bytes(8, "little") + sized[24:]
        start += max(_W64_HEADER_BYTES, size + 7 & ~7)
    return start + _W64_HEADER_BYTES - len(data), data


def complete_aiff(data: bytes) -> tuple[int, bytes]:
    """Return how many declared bytes are not there, and the file with a size that decoders understand."""
    frames = frame_bytes = 0
    for name, size, start in chunks(data, 12, "big"):
        if name == b"COMM":
            frames = integer(data, start + 2, 4, "big")
            frame_bytes = integer(data, start, 2, "big") * (integer(data, start + 6, 2, "big") + 7 >> 3)
        elif name == b"SSND":
            present = len(data) - start
            lacking = size - present
            whole = 0 < frames * frame_bytes <= present - 8 and lacking <= _MISCOUNT_BYTES
            if (lacking > 0 and (whole or _is_unknown(size))) or size == 0 < present - 8:
                return 0, data[: start - 4] + present.to_bytes(4, "big") + data[start:]
            return lacking, data
    return integer(data, 4, 4, "big") + 8 - len(data), data


def complete_au(data: bytes) -> tuple[int, bytes]:
    """Return how many declared bytes are not there, and the file with a size that decoders understand."""
    size, present = integer(data, 8, 4, "big"), len(data) - integer(data, 4, 4, "big")
    if present > 0 and (size == 0 or (size > present and _is_unknown(size))):
        return 0, data[:8] + present.to_bytes(4, "big") + data[12:]
    return size - present, data


def complete_caf(data: bytes) -> tuple[int, bytes]:
    """Return how many declared bytes are not there, and the file with a size that decoders understand."""
    start, has_data = 8, False
    while start + 12 <= len(data):
        size, present = integer(data, start + 4, 8, "big"), len(data) - start - 12
        if data[start : start + 4] == b"data" and ((size > present and _is_unknown(size)) or size == 0 < present):
            return 0, data[: start + 4] + present.to_bytes(8, "big") + data[start + 12 :]
        has_data = has_data or data[start : start + 4] == b"data"
        start += 12 + size
        if has_data and (tail_end(data, start) == len(data) or is_text(data, start)):
            return start - len(data), data[:start]
    return start - len(data), data


def _is_unknown(size: int) -> bool:
    """Tell whether a size larger than the file is a limit of its field, and no number of bytes."""
    return size >= _UNKNOWN_64_BIT or any(abs(size - largest) <= _ROUNDING for largest in _LARGEST_SIZES)


def _wav_size_is_unknown(data: bytes, start: int, declared: int, riff_size: int) -> bool:
    """Tell whether the size of the `data` chunk whose content begins at `start` was never filled in."""
    present, order = len(data) - start, riff_order(data)
    riff_is_unknown = riff_size == 0 or (riff_size > len(data) and _is_unknown(riff_size))
    if declared > present:
        return riff_is_unknown or _is_unknown(declared)
    end = start + declared
    if declared == 0:
        return not _are_chunks(data, end, order)
    return riff_is_unknown and not _are_chunks(data, end + (declared & 1), order) and tail_end(data, end) < len(data)


def _with_wav_size(data: bytes, start: int, size: int) -> bytes:
    """Return a WAV file as a plain one with these sizes; 64-bit sizes become a chunk that says nothing."""
    order = riff_order(data)
    head = bytearray(data[:start])
    head[-4:] = min(size, _UNKNOWN_32_BIT - 1).to_bytes(4, order)
    head[4:8] = min(len(data) - 8, _UNKNOWN_32_BIT - 1).to_bytes(4, order)
    if head.startswith(b"RF64"):
        head[:4] = b"RIFF"
        if head[12:16] == b"ds64":
            head[12:16] = b"JUNK"
    return bytes(head) + data[start:]


def _are_chunks(data: bytes, start: int, order: Order) -> bool:
    """Tell whether only complete chunks with names, or nothing, are between `start` and the end."""
    end = start
    for name, size, content in chunks(data, start, order):
        if not name.rstrip(b" ").isalnum():
            return False
        end = content + size
    return end in (len(data), len(data) - 1)
