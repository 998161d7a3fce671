"""Tags and padding behind a file of sound."""

from __future__ import annotations

import re

_TEXT = re.compile(rb"[\t\n\r -~\0]*")
_PADDING = re.compile(rb"[\0\t\n\r ]*")
_APE_FOOTER_BYTES = 32
_APE_HAS_HEADER = 1 << 31
_APE_ITEM = re.compile(rb".{4}(?:[\0-\7]\0\0\0|\0\0\0[\0-\7])[ -~]{2,255}\0", re.DOTALL)
"""The size of a value, flags, and a key."""
_LYRICS = re.compile(rb"LYRICSBEGIN.*?(?:LYRICSEND|LYRICS200)", re.DOTALL)


def id3v2_end(data: bytes, start: int = 0) -> int:
    """Return the offset after the ID3v2 tags that begin at `start`, or `start` where there is none."""
    while data[start : start + 3] == b"ID3" and len(data) >= start + 10:
        start += 10 + id3v2_size(data, start) + (10 if data[start + 5] & 0x10 else 0)
    return start


def id3v2_size(data: bytes, start: int) -> int:
    """Return the size in bytes that an ID3v2 header at `start` declares: without itself and without a footer."""
    size = 0
    for byte in data[start + 6 : start + 10]:
        size = size << 7 | byte & 0x7F
    return size


def tail_end(data: bytes, start: int) -> int:
    """Return how far tags (ID3v1, ID3v2, APE, Lyrics3), zeros and line breaks reach from `start` on."""
    while start < len(data):
        after = _after_tag(data, start)
        padding = _PADDING.match(data, after)
        assert padding is not None, "the pattern matches the empty string"
        if padding.end() == start:
            break
        start = padding.end()
    return min(start, len(data))


def is_text(data: bytes, start: int) -> bool:
    """Tell whether only printable ASCII, line breaks and zeros are between `start` and the end."""
    return _TEXT.fullmatch(data, start) is not None


def _after_tag(data: bytes, start: int) -> int:
    if data.startswith(b"TAG+", start):
        return start + 227
    if data.startswith(b"TAG", start):
        return start + 128
    if data.startswith(b"ID3", start):
        return id3v2_end(data, start)
    if lyrics := _LYRICS.match(data, start):
        return lyrics.end()
    return _after_ape(data, start)


def _after_ape(data: bytes, start: int) -> int:
    """Step over an APE tag; its footer, and a header where it has one, give its size without the header."""
    if not data.startswith(b"APETAGEX", start) and not _APE_ITEM.match(data, start):
        return start
    at = data.find(b"APETAGEX", start)
    if at < 0 or at + _APE_FOOTER_BYTES > len(data):
        return start
    size, flags = (int.from_bytes(data[at + field : at + field + 4], "little") for field in (12, 20))
    if at == start and flags & _APE_HAS_HEADER:
        return at + _APE_FOOTER_BYTES + size
    return at + _APE_FOOTER_BYTES if at + _APE_FOOTER_BYTES - size == start else start
