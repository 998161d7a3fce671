"""Binary formats of Xet, by its published specification.

A xorb is a run of compressed chunks. A shard is made of 48-byte records: which chunks of which xorbs make a file
(with the file's SHA-256), and which chunks a xorb holds.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localhub.errors import bad_request

_TAG = b"HFRepoMetaData\0"
_RECORD = 48
_BOOKEND = b"\xff" * 32 + b"\0" * 16
_FOOTER_BYTES = 200
_HAS_VERIFICATION = 1 << 31
_HAS_SHA256 = 1 << 30
_CHUNK_HEADER = 8


@dataclass(frozen=True)
class Segment:
    """Chunks `first` to `end` (exclusive) of a xorb, as a part of a file."""

    xorb: str
    first: int
    end: int


@dataclass(frozen=True)
class XetFile:
    """A file that a shard describes."""

    sha256: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Shard:
    """Files, the hashes of the chunks in its xorbs, and its first part (`tag`) and xorb records as received."""

    files: tuple[XetFile, ...]
    chunks: frozenset[str]
    tag: bytes
    xorb_records: bytes


def parse_shard(data: bytes) -> Shard:
    """Read a shard as clients upload it (no footer); HubError 400 when the bytes are no shard."""
    if not data.startswith(_TAG):
        raise bad_request("the body is no Xet shard")
    try:
        files, at = _files(data)
        chunks, end = _chunks(data, at)
    except struct.error as error:
        raise bad_request(f"the Xet shard ends too early: {error}") from error
    return Shard(tuple(files), frozenset(chunks), data[:32], data[at:end])


def known_chunks(shard: Shard, *, now: int, expires: int) -> bytes:
    """The answer to "do you have this chunk": a shard of the xorb records alone, with a footer.

    Times are seconds since the epoch. The footer's key for chunk hashes is zero: they are not keyed.
    """
    head = shard.tag + struct.pack("<QQ", 2, _FOOTER_BYTES)
    body = head + _BOOKEND + shard.xorb_records + _BOOKEND
    files_at, xorbs_at, end = len(head), len(head) + _RECORD, len(body)
    tables = (end, 0, end, 0, end, 0)  # three empty look-up tables: offset and count
    footer = struct.pack("<9Q32x2Q48x3QQ", 1, files_at, xorbs_at, *tables, now, expires, 0, 0, 0, end)
    return body + footer


def read_segment(xorb: Path, segment: Segment) -> Iterator[bytes]:
    """The plain bytes of a segment, chunk by chunk."""
    with xorb.open("rb") as file:
        for index in range(segment.end):
            header = file.read(_CHUNK_HEADER)
            packed_size, size = int.from_bytes(header[1:4], "little"), int.from_bytes(header[5:8], "little")
            if index < segment.first:
                file.seek(packed_size, 1)
            else:
                yield _decompressed(file.read(packed_size), header[4], size)


def _files(data: bytes) -> tuple[list[XetFile], int]:
    """The files, and the offset of the xorb records."""
    files = []
    at = _RECORD
    while data[at : at + 32] != _BOOKEND[:32]:
        flags, count = struct.unpack_from("<II", data, at + 32)
        first = at + _RECORD
        segments = tuple(_segment(data, first + number * _RECORD) for number in range(count))
        at = first + count * _RECORD * (2 if flags & _HAS_VERIFICATION else 1)
        if flags & _HAS_SHA256:
            files.append(XetFile(_hex(data, at), segments))
            at += _RECORD
    return files, at + _RECORD


def _chunks(data: bytes, at: int) -> tuple[list[str], int]:
    """The hashes of all chunks, and the offset of the end of the records."""
    chunks = []
    while data[at : at + 32] != _BOOKEND[:32]:
        (count,) = struct.unpack_from("<I", data, at + 36)
        first = at + _RECORD
        at = first + count * _RECORD
        chunks += [_hex(data, place) for place in range(first, at, _RECORD)]
    return chunks, at


def _segment(data: bytes, at: int) -> Segment:
    first, end = struct.unpack_from("<II", data, at + 40)
    return Segment(_hex(data, at), first, end)


def _hex(data: bytes, at: int) -> str:
    """The hash as hexadecimal digits: Xet writes it as four little-endian 64-bit numbers."""
    return "".join(f"{number:016x}" for number in struct.unpack_from("<4Q", data, at))


def _decompressed(data: bytes, scheme: int, size: int) -> bytes:
    """Undo one of the schemes: 0 none, 1 LZ4, 2 LZ4 over bytes grouped by their place in four."""
    if scheme == 0:
        return data
    import pyarrow as pa  # noqa: PLC0415 - slow to import, and only here is it needed

    plain: bytes = pa.Codec("lz4").decompress(data, decompressed_size=size, asbytes=True)
    return _ungrouped(plain) if scheme == 2 else plain


def _ungrouped(data: bytes) -> bytes:
    result = bytearray(len(data))
    at = 0
    for place in range(4):
        count = len(range(place, len(data), 4))
        result[place::4] = data[at : at + count]
        at += count
    return bytes(result)
