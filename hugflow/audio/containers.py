"""Audio file formats: recognise a file by its first bytes, and check that it has all bytes that its headers declare.

Nothing is decoded. Only formats that are known here reach a decoder, and each only the decoder named for it: a
playlist, a web page or a program with the name `a.wav` reaches none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hugflow.audio import wav
from hugflow.audio.mpeg import first_frame
from hugflow.audio.reasons import AudioReason
from hugflow.audio.sizes import complete_aiff, complete_au, complete_caf, complete_w64, complete_wav, integer
from hugflow.audio.tails import id3v2_end, is_text, tail_end
from hugflow.model.errors import RowError

_W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_AMR_BYTES = {
    b"#!AMR\n": (13, 14, 16, 18, 20, 21, 27, 32, 6),
    b"#!AMR-WB\n": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6),
}
_AMR_EMPTY_FRAME = 15
_MOV_SAMPLES = (b"moov", b"moof", b"mdat", b"styp", b"sidx", b"emsg", b"prft")
"""Boxes that contain samples or say where they are, or that begin a fragment; a file may end inside of any other."""

_MISCOUNT_BYTES = 64
_UNKNOWN_32_BIT = 0xFFFF_FFFF
_WAVPACK_INITIAL = 1 << 11
_EBML_HEADER, _EBML_SEGMENT, _EBML_VOID = b"\x1aE\xdf\xa3", b"\x18S\x80g", b"\xec"


@dataclass(frozen=True, slots=True)
class Container:
    """An audio file format. `libsndfile`: whether it may read it. `demuxer`: ffmpeg's name, or None if it may not.

    `examine` returns how many declared bytes a file lacks, without decoding, and the file as decoders understand it:
    with a known size in its header, and without what is behind its end.
    """

    name: str
    libsndfile: bool
    demuxer: str | None
    examine: Callable[[bytes], tuple[int, bytes]]


def recognise(data: bytes) -> tuple[Container, int]:
    """Return the format of `data`, judged by its content only, and the byte at which it begins.

    Before it may be tags, padding, and for MPEG audio a part of a frame.

    Raises RowError (empty_audio; unsupported_audio: not a file of sound that is known here).
    """
    if not data:
        raise RowError(AudioReason.EMPTY, "it has 0 bytes")
    for start in _beginnings(data):
        head = data[start : start + 64]
        for matches, container in _KNOWN:
            if matches(head):
                return container, start
    frame = None if data[:3].isalpha() else first_frame(data)  # letters are the name of another format
    if frame is not None:
        return MPEG, frame
    head = data[tail_end(data, 0) :][:64]
    raise RowError(AudioReason.UNSUPPORTED, f"{_looks_like(head)}, not a file of sound in a known format")


def _beginnings(data: bytes) -> Iterator[int]:
    """Yield where a file may begin: at once, after ID3v2 tags, after any tags and padding."""
    yield 0
    yield id3v2_end(data)
    end = tail_end(data, 0)
    yield from range(end, max(0, end - 5), -1)  # the size in which an MP4 begins may look like padding


def check_whole(data: bytes, container: Container) -> bytes:
    """Refuse a file that lacks a part of what its headers declare; return the file as decoders understand it.

    Raises RowError (truncated_audio; decode_failed where a frame is damaged).
    """
    missing, data = container.examine(data)
    if missing > 0:
        message = f"the {container.name} file is cut off: at least {missing:,} bytes that it declares are not there"
        raise RowError(AudioReason.TRUNCATED, message)
    return data


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


def _examine_nist(data: bytes) -> tuple[int, bytes]:
    """NIST SPHERE: a text header; only plain PCM has as many bytes as it says."""
    fields = dict(re.findall(rb"^(\w+) -i (\d+)", data[:1024], re.MULTILINE))
    header = re.match(rb"NIST_1A\s+(\d+)", data[:64])
    if header is None or b"sample_coding -s" in data[:1024].replace(b"-s3 pcm", b""):
        return 0, data
    samples, width, channels = (
        int(fields.get(name, b"0")) for name in (b"sample_count", b"sample_n_bytes", b"channel_count")
    )
    if not samples * width * channels:
        return 0, data  # not known when the header was written
    end = int(header[1]) + samples * width * channels
    # libsndfile would take what follows for samples
    return end - len(data), data[:end]


def _examine_mov(data: bytes) -> tuple[int, bytes]:
    """Walk the boxes. Where a size is too large by a few bytes, ffmpeg finds out whether a sample is incomplete."""
    start, found = 0, set[bytes]()
    while start + 8 <= len(data):
        size, name = integer(data, start, 4, "big"), data[start + 4 : start + 8]
        if size == 1:
            size = integer(data, start + 8, 8, "big")
        end = start + max(8, size)
        whole = b"moov" in found and b"mdat" in found
        if whole and (tail_end(data, start) == len(data) or (end > len(data) and name not in _MOV_SAMPLES)):
            break
        if size == 0:
            return 0, data
        if name == b"moov" and name in found:
            raise _another("MP4", start)
        if name == b"mdat" and b"moov" in found and 0 < end - len(data) <= _MISCOUNT_BYTES:
            return 0, data
        found.add(name)
        start = end
    return start - len(data), data[:start]


def _examine_matroska(data: bytes) -> tuple[int, bytes]:
    """Walk the EBML header and the segment; a segment of unknown size is a stream."""
    start = 0
    while start + 12 <= len(data):
        if start and data.startswith(_EBML_HEADER, start):
            raise _another("Matroska", start)
        if not data.startswith((_EBML_HEADER, _EBML_SEGMENT, _EBML_VOID), start):
            break
        name_bytes = 1 if data.startswith(_EBML_VOID, start) else 4
        width = 9 - data[start + name_bytes].bit_length()
        bits = 7 * width
        size = integer(data, start + name_bytes, width, "big") & (1 << bits) - 1
        if width > 8 or size == (1 << bits) - 1:  # noqa: PLR2004 - a number has at most 8 bytes
            return 0, data
        start += name_bytes + width + size
    return start - len(data), data[:start]


def _another(name: str, start: int) -> RowError:
    message = f"another {name} file begins before byte {start:,}; ffmpeg would decode only the first"
    return RowError(AudioReason.DECODE_FAILED, message)


def _examine_asf(data: bytes) -> tuple[int, bytes]:
    start, objects = 0, 0
    while start + 24 <= len(data):
        size = integer(data, start + 16, 8, "little")
        if size < 24 or (objects > 1 and (tail_end(data, start) == len(data) or is_text(data, start))):  # noqa: PLR2004 - an object's own header
            break  # a live stream has no size
        start, objects = start + size, objects + 1
    else:
        return start - len(data), data
    return 0, data if size < 24 else data[:start]  # noqa: PLR2004 - an object's own header


def _examine_adts(data: bytes) -> tuple[int, bytes]:
    start = 0
    while start + 7 <= len(data) and data[start] == 0xFF and data[start + 1] & 0xF6 == 0xF0:  # noqa: PLR2004 - the sync word
        start += max(7, integer(data, start + 3, 3, "big") >> 5 & 0x1FFF)
    if start < len(data) and tail_end(data, start) < len(data) and not is_text(data, start):
        raise RowError(AudioReason.DECODE_FAILED, f"there is no AAC frame at byte {start:,}")
    return start - len(data), data[:start]


def _examine_amr(data: bytes) -> tuple[int, bytes]:
    magic = data[: data.index(b"\n") + 1]
    sizes = _AMR_BYTES[magic]
    start = len(magic)
    while start < len(data) and not (data[start] in b"\0\t\n\r TAIL" and tail_end(data, start) == len(data)):
        kind = data[start] >> 3 & 15
        if kind >= len(sizes) and kind not in (_AMR_EMPTY_FRAME, _AMR_EMPTY_FRAME - 1):
            raise RowError(AudioReason.DECODE_FAILED, f"there is no AMR frame at byte {start:,}")
        start += sizes[kind] if kind < len(sizes) else 1
    return start - len(data), data[:start]


def _examine_wavpack(data: bytes) -> tuple[int, bytes]:
    """Walk the blocks: the first says how many samples there are, and each how many it has."""
    start, samples, total = 0, 0, integer(data, 12, 4, "little")
    while data[start : start + 4] == b"wvpk":
        if (
            integer(data, start + 24, 4, "little") & _WAVPACK_INITIAL
        ):  # other blocks have more channels of the same time
            samples += integer(data, start + 20, 4, "little")
        start += 8 + integer(data, start + 4, 4, "little")
    if start <= len(data) and samples < total != _UNKNOWN_32_BIT:
        message = f"the WavPack file declares {total:,} samples, its blocks have {samples:,}"
        raise RowError(AudioReason.TRUNCATED, message)
    return start - len(data), data[:start]


def _examined_elsewhere(data: bytes) -> tuple[int, bytes]:
    return 0, data


def _prefix(*magic: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magic)


def _form(outer: bytes, *inner: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[:4] == outer and head[8:12] in inner


MPEG = Container("MPEG audio", libsndfile=True, demuxer="mp3", examine=_examined_elsewhere)
"""MP3 and its older layers; `hugflow.audio.mpeg.scan` looks at them frame by frame."""

FLAC = Container("FLAC", libsndfile=True, demuxer=None, examine=_examined_elsewhere)
"""Each frame has a number and a checksum; `hugflow.audio.flac` looks at them."""

OGG = Container("Ogg", libsndfile=True, demuxer="ogg", examine=_examined_elsewhere)
"""`hugflow.audio.ogg` takes the pages apart."""

WAV = Container("WAV", libsndfile=True, demuxer="wav", examine=complete_wav)
_AIFF = Container("AIFF", libsndfile=True, demuxer="aiff", examine=complete_aiff)

_KNOWN: tuple[tuple[Callable[[bytes], bool], Container], ...] = (
    (wav.recognised, WAV),
    (_prefix(b"fLaC"), FLAC),
    (_prefix(b"OggS"), OGG),
    (_form(b"FORM", b"AIFF", b"AIFC"), _AIFF),
    (_prefix(b".snd"), Container("AU", libsndfile=True, demuxer="au", examine=complete_au)),
    (_prefix(b"caff\0\1"), Container("CAF", libsndfile=True, demuxer="caf", examine=complete_caf)),
    (_prefix(_W64_RIFF), Container("Wave64", libsndfile=True, demuxer="w64", examine=complete_w64)),
    (_prefix(b"NIST_1A"), Container("NIST SPHERE", libsndfile=True, demuxer="nistsphere", examine=_examine_nist)),
    (
        lambda head: head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"),
        Container("MP4", libsndfile=False, demuxer="mov", examine=_examine_mov),
    ),
    (_prefix(_EBML_HEADER), Container("Matroska", libsndfile=False, demuxer="matroska", examine=_examine_matroska)),
    (_prefix(_ASF_HEADER), Container("ASF", libsndfile=False, demuxer="asf", examine=_examine_asf)),
    (_prefix(*_AMR_BYTES), Container("AMR", libsndfile=False, demuxer="amr", examine=_examine_amr)),
    (_prefix(b"wvpk"), Container("WavPack", libsndfile=False, demuxer="wv", examine=_examine_wavpack)),
    (
        lambda head: len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0,  # noqa: PLR2004 - the sync word
        Container("AAC", libsndfile=False, demuxer="aac", examine=_examine_adts),
    ),
    (lambda head: len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0, MPEG),  # noqa: PLR2004 - the sync word
)
