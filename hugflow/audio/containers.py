"""What a file of sound is, by its first bytes, and whether all that its headers declare is there.

Nothing is decoded. Only what is known here reaches a decoder, and each only the decoder that is named for it: a
playlist, a page or a program that calls itself `.wav` is none of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fastcrc import crc16, crc32

from hugflow.audio.mpeg import id3v2_end
from hugflow.audio.reasons import AudioReason
from hugflow.model.errors import RowError

_UNKNOWN_32_BIT = 0xFFFF_FFFF
STREAMED_WAV_SIZES = (0, _UNKNOWN_32_BIT, 0x7FFF_F000)
"""Sizes of a `data` chunk that mean "until the end", as ffmpeg and others, sox and espeak-ng write to a pipe."""

_STREAMED_AIFF_SIZE = 0x7F00_0008  # what sox writes to a pipe
_FLAC_TAIL_BYTES = 1 << 18
_UNKNOWN_64_BIT = 1 << 62
_W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_AMR_BYTES = {
    b"#!AMR\n": (13, 14, 16, 18, 20, 21, 27, 32, 6),
    b"#!AMR-WB\n": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6),
}
_AMR_EMPTY_FRAME = 15


@dataclass(frozen=True, slots=True)
class Container:
    """A kind of file. `libsndfile`: it may read it. `demuxer`: ffmpeg's name for it where ffmpeg may read it.

    `missing` returns how many declared bytes a file lacks, without decoding.
    """

    name: str
    libsndfile: bool
    demuxer: str | None
    missing: Callable[[bytes], int]


def recognise(data: bytes) -> tuple[Container, int]:
    """Say what `data` is, by its content and nothing else, and at which byte it begins (after ID3v2 tags).

    Raises RowError (empty_audio; unsupported_audio: not a file of sound that is known here).
    """
    if not data:
        raise RowError(AudioReason.EMPTY, "it has 0 bytes")
    start = id3v2_end(data)
    if start:
        start = len(data) - len(data[start:].lstrip(b"\0"))
    head = data[start : start + 64]
    for matches, container in _KNOWN:
        if matches(head):
            return container, start
    raise RowError(AudioReason.UNSUPPORTED, f"{_looks_like(head)}, not a file of sound in a known format")


def check_whole(data: bytes, container: Container) -> bytes:
    """Refuse a file that lacks a part of what its headers declare; return what decoders understand.

    That is `data` itself, but for a WAV of unknown size, in whose header they get the size.

    Raises RowError (truncated_audio; decode_failed where a page or frame is damaged).
    """
    missing = container.missing(data)
    if missing > 0:
        message = f"the {container.name} file is cut off: at least {missing:,} bytes that it declares are not there"
        raise RowError(AudioReason.TRUNCATED, message)
    return _with_size(data) if container is WAV else data


def ends_in_flac_frame(data: bytes) -> bool:
    """Whether the last bytes of a FLAC file are a whole frame, by its checksum; tells a cut file from a damaged one."""
    tail = data[-_FLAC_TAIL_BYTES:]
    at = tail.rfind(b"\xff")
    while at >= 0:
        if tail[at + 1 : at + 2] in (b"\xf8", b"\xf9") and crc16.umts(tail[at:]) == 0:
            return True
        at = tail.rfind(b"\xff", 0, at)
    return False


def is_chained(data: bytes) -> bool:
    """Whether in a whole Ogg file another stream begins after the first ones' sound; libsndfile would stop there."""
    start, begun = 0, False
    while start + 27 <= len(data):
        begins = bool(data[start + 5] & 2)
        if begins and begun:
            return True
        begun = begun or not begins
        start += 27 + data[start + 26] + sum(data[start + 27 : start + 27 + data[start + 26]])
    return False


def _looks_like(head: bytes) -> str:
    if head.startswith(b"#EXTM3U"):
        return "it is an HLS playlist"
    if head.startswith(b"ffconcat"):
        return "it is an ffconcat playlist"
    if re.match(rb"\s*(?:<\?xml|<!doctype|<html|<smil|<asx)", head, re.IGNORECASE):
        return "it is a page of markup"
    if head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8")):
        return "it is an image"
    if head.startswith((b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf")):
        return "it is an archive"
    if head and all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):  # noqa: PLR2004 - printable ASCII
        return "it is text"
    return "its first bytes are unknown"


def _chunks(data: bytes, start: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Walk chunks of four letters and a 32-bit size: (letters, size, where the content begins)."""
    while start + 8 <= len(data):
        size = _integer(data, start + 4, 4, order)
        yield data[start : start + 4], size, start + 8
        start += 8 + size + (size & 1)


def _integer(data: bytes, at: int, size: int, order: str) -> int:
    return int.from_bytes(data[at : at + size], "big" if order == "big" else "little")


def _missing_riff(data: bytes) -> int:
    order = "big" if data.startswith(b"RIFX") else "little"
    size_64 = 0
    for name, size, start in _chunks(data, 12, order):
        if name == b"ds64":
            size_64 = _integer(data, start + 8, 8, order)
        if name == b"data":
            declared = size_64 if size_64 and size == _UNKNOWN_32_BIT else size
            return 0 if declared in STREAMED_WAV_SIZES else start + declared - len(data)
    return _integer(data, 4, 4, order) + 8 - len(data)


def _with_size(data: bytes) -> bytes:
    """Fill in the size of a `data` chunk that says 0 and is followed by something else than whole chunks."""
    order = "big" if data.startswith(b"RIFX") else "little"
    for name, size, start in _chunks(data, 12, order):
        if name == b"data":
            if size or _are_chunks(data, start, order):
                break
            length = min(len(data) - start, _UNKNOWN_32_BIT).to_bytes(4, "big" if order == "big" else "little")
            return data[: start - 4] + length + data[start:]
    return data


def _are_chunks(data: bytes, start: int, order: str) -> bool:
    """Whether whole chunks with names, or nothing at all, stand from `start` to the end."""
    end = start
    for name, size, content in _chunks(data, start, order):
        if not name.rstrip(b" ").isalnum():
            return False
        end = content + size
    return end in (len(data), len(data) - 1)


def _missing_aiff(data: bytes) -> int:
    for name, size, start in _chunks(data, 12, "big"):
        if name == b"SSND":
            return 0 if size in (0, _STREAMED_AIFF_SIZE, _UNKNOWN_32_BIT) else start + size - len(data)
    return _integer(data, 4, 4, "big") + 8 - len(data)


def _missing_w64(data: bytes) -> int:
    start = 40
    while start + 24 <= len(data):
        size = _integer(data, start + 16, 8, "little")
        if data[start : start + 4] == b"data":
            return 0 if size > _UNKNOWN_64_BIT else start + size - len(data)
        start += max(24, size + 7 & ~7)
    return start + 24 - len(data)


def _missing_caf(data: bytes) -> int:
    start = 8
    while start + 12 <= len(data):
        size = _integer(data, start + 4, 8, "big")
        if data[start : start + 4] == b"data" and size > _UNKNOWN_64_BIT:
            return 0
        start += 12 + size
    return start - len(data)


def _missing_au(data: bytes) -> int:
    offset, size = _integer(data, 4, 4, "big"), _integer(data, 8, 4, "big")
    return 0 if size == _UNKNOWN_32_BIT else offset + size - len(data)


def _missing_nist(data: bytes) -> int:
    """NIST SPHERE: a text header; only plain PCM has as many bytes as it says."""
    fields = dict(re.findall(rb"^(\w+) -i (\d+)", data[:1024], re.MULTILINE))
    header = re.match(rb"NIST_1A\s+(\d+)", data[:64])
    if header is None or b"sample_coding -s" in data[:1024].replace(b"-s3 pcm", b""):
        return 0
    samples, width, channels = (
        int(fields.get(name, b"0")) for name in (b"sample_count", b"sample_n_bytes", b"channel_count")
    )
    return int(header[1]) + samples * width * channels - len(data)


def _missing_ogg(data: bytes) -> int:
    """Walk the pages; each has a checksum and, within its stream, a number."""
    start, numbers = 0, dict[bytes, int]()
    while start < len(data):
        head = data[start : start + 27]
        table = data[start + 27 : start + 27 + (head[26] if len(head) == 27 else 0)]  # noqa: PLR2004 - a page header
        end = start + 27 + len(table) + sum(table)
        if len(head) < 27 or len(table) < head[26] or end > len(data):  # noqa: PLR2004 - a page header
            return max(1, end - len(data))
        body = memoryview(data)[start + 26 : end]
        checksum = crc32.mpeg_2(body, crc32.mpeg_2(head[:22] + bytes(4), 0))
        stream, number = head[14:18], _integer(head, 18, 4, "little")
        if head[:4] != b"OggS" or checksum != _integer(head, 22, 4, "little"):
            raise RowError(AudioReason.DECODE_FAILED, f"the Ogg page at byte {start:,} is damaged")
        if number != numbers.get(stream, number - 1) + 1:
            raise RowError(AudioReason.DECODE_FAILED, f"an Ogg page is missing before byte {start:,}")
        numbers[stream], start = number, end
    return 0


def _missing_mov(data: bytes) -> int:
    start = 0
    while start + 8 <= len(data):
        size = _integer(data, start, 4, "big")
        if size == 1:
            size = _integer(data, start + 8, 8, "big")
        if size == 0:
            return 0
        start += max(8, size)
    return start - len(data)


def _missing_matroska(data: bytes) -> int:
    """The EBML header and the segment; a segment of unknown size is a stream."""
    start = 0
    while start + 12 <= len(data):
        width = 9 - data[start + 4].bit_length()
        bits = 7 * width
        size = _integer(data, start + 4, width, "big") & (1 << bits) - 1
        if width > 8 or size == (1 << bits) - 1:  # noqa: PLR2004 - a number has at most 8 bytes
            return 0
        start += 4 + width + size
    return start - len(data)


def _missing_asf(data: bytes) -> int:
    start = 0
    while start + 24 <= len(data):
        size = _integer(data, start + 16, 8, "little")
        if size < 24:  # noqa: PLR2004 - an object's own header; a live stream has no size
            return 0
        start += size
    return start - len(data)


def _missing_adts(data: bytes) -> int:
    start = 0
    while start + 7 <= len(data) and data[start] == 0xFF and data[start + 1] & 0xF6 == 0xF0:  # noqa: PLR2004 - the sync word
        start += max(7, _integer(data, start + 3, 3, "big") >> 5 & 0x1FFF)
    if data[start : start + 3] == b"TAG":
        return 0
    if start < len(data):
        raise RowError(AudioReason.DECODE_FAILED, f"there is no AAC frame at byte {start:,}")
    return start - len(data)


def _missing_amr(data: bytes) -> int:
    magic = data[: data.index(b"\n") + 1]
    sizes = _AMR_BYTES[magic]
    start = len(magic)
    while start < len(data):
        kind = data[start] >> 3 & 15
        if kind >= len(sizes) and kind != _AMR_EMPTY_FRAME and kind != _AMR_EMPTY_FRAME - 1:
            raise RowError(AudioReason.DECODE_FAILED, f"there is no AMR frame at byte {start:,}")
        start += sizes[kind] if kind < len(sizes) else 1
    return start - len(data)


def _missing_wavpack(data: bytes) -> int:
    start = 0
    while data[start : start + 4] == b"wvpk":
        start += 8 + _integer(data, start + 4, 4, "little")
    return start - len(data)


def _unknown_here(_: bytes) -> int:
    return 0


def _prefix(*magic: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magic)


def _form(outer: bytes, *inner: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[:4] == outer and head[8:12] in inner


MPEG = Container("MPEG audio", libsndfile=True, demuxer="mp3", missing=_unknown_here)
"""MP3 and its older layers; `hugflow.mp3.scan` looks at them frame by frame."""

FLAC = Container("FLAC", libsndfile=True, demuxer=None, missing=_unknown_here)
"""Its header says how many samples there are, and each frame has a checksum: the decoder sees what is missing."""

OGG = Container("Ogg", libsndfile=True, demuxer="ogg", missing=_missing_ogg)

WAV = Container("WAV", libsndfile=True, demuxer="wav", missing=_missing_riff)
_AIFF = Container("AIFF", libsndfile=True, demuxer="aiff", missing=_missing_aiff)

_KNOWN: tuple[tuple[Callable[[bytes], bool], Container], ...] = (
    (_form(b"RIFF", b"WAVE"), WAV),
    (_form(b"RIFX", b"WAVE"), WAV),
    (_form(b"RF64", b"WAVE"), WAV),
    (_prefix(b"fLaC"), FLAC),
    (_prefix(b"OggS"), OGG),
    (_form(b"FORM", b"AIFF", b"AIFC"), _AIFF),
    (_prefix(b".snd"), Container("AU", libsndfile=True, demuxer="au", missing=_missing_au)),
    (_prefix(b"caff\0\1"), Container("CAF", libsndfile=True, demuxer="caf", missing=_missing_caf)),
    (_prefix(_W64_RIFF), Container("Wave64", libsndfile=True, demuxer="w64", missing=_missing_w64)),
    (_prefix(b"NIST_1A"), Container("NIST SPHERE", libsndfile=True, demuxer="nistsphere", missing=_missing_nist)),
    (
        lambda head: head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"),
        Container("MP4", libsndfile=False, demuxer="mov", missing=_missing_mov),
    ),
    (_prefix(b"\x1aE\xdf\xa3"), Container("Matroska", libsndfile=False, demuxer="matroska", missing=_missing_matroska)),
    (_prefix(_ASF_HEADER), Container("ASF", libsndfile=False, demuxer="asf", missing=_missing_asf)),
    (_prefix(*_AMR_BYTES), Container("AMR", libsndfile=False, demuxer="amr", missing=_missing_amr)),
    (_prefix(b"wvpk"), Container("WavPack", libsndfile=False, demuxer="wv", missing=_missing_wavpack)),
    (
        lambda head: len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0,  # noqa: PLR2004 - the sync word
        Container("AAC", libsndfile=False, demuxer="aac", missing=_missing_adts),
    ),
    (lambda head: len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0, MPEG),  # noqa: PLR2004 - the sync word
)
