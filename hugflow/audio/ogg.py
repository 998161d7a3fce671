"""Pages, logical streams and granule positions of Ogg files (RFC 3533, RFC 7845)."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastcrc import crc32

from hugflow.audio.reasons import AudioReason
from hugflow.audio.tails import tail_end
from hugflow.model.errors import RowError

_PAGE_HEADER_BYTES = 27
_BEGINS, _ENDS = 2, 4
_NO_GRANULE = (1 << 64) - 1
_CODECS = {b"\x01vorbis": "vorbis", b"OpusHead": "opus", b"\x7fFLAC": "flac", b"Speex   ": "speex"}
_OGG_FLAC_PREFIX_BYTES = 9
_OPUS_RATE = 48000
_OPUS_HEADER_PAGES = 2
_JOINED_AFTER_PAGES = 10
"""A server of a running stream sends the headers, then the pages from now on; fewer pages may be lost ones."""


@dataclass(slots=True)
class _Page:
    """`start` and `end` are byte offsets, `body` is where the content begins."""

    start: int
    body: int
    end: int
    flags: int
    granule: int


@dataclass(slots=True)
class _Logical:
    """A logical stream: the pages of one serial number between two beginnings."""

    codec: str | None
    pages: list[_Page] = field(default_factory=list)

    @property
    def has_only_headers(self) -> bool:
        return all(page.granule == 0 for page in self.pages)

    @property
    def ended(self) -> bool:
        return bool(self.pages[-1].flags & _ENDS)


@dataclass(frozen=True, slots=True)
class OggAudio:
    """The audio of one link: `data` is an Ogg file of only this stream, or a native FLAC file (`codec` "flac")."""

    codec: str | None
    data: bytes


def audio_streams(data: bytes) -> list[OggAudio]:
    """Take the first audio stream out of each link of a chained Ogg file; other streams (video, text) are left out.

    A file without a codec that is known here is returned whole.

    Raises RowError (truncated_audio; decode_failed where a page is damaged or missing).
    """
    links, end = _links(data)
    audio = [stream for link in links if (stream := next((one for one in link if one.codec), None))]
    if not audio:
        return [OggAudio(None, data[:end])]
    if len(links) == 1 and len(links[0]) == 1 and audio[0].codec not in ("flac", "opus"):
        return [OggAudio(audio[0].codec, data[:end])]
    return [OggAudio(stream.codec, _extracted(data, stream)) for stream in audio]


def _links(data: bytes) -> tuple[list[list[_Logical]], int]:
    """Walk the pages; each has a checksum and, within its stream, a number. Return also where they end."""
    links: list[list[_Logical]] = []
    streams: dict[bytes, _Logical] = {}
    numbers: dict[bytes, int] = {}
    start, begun = 0, True
    while start < len(data):
        head = data[start : start + _PAGE_HEADER_BYTES]
        if not b"OggS".startswith(head[:4]):
            if _is_tail(data, start, streams):
                break
            raise RowError(AudioReason.DECODE_FAILED, f"there is no Ogg page at byte {start:,}")
        table = data[start + 27 : start + 27 + (head[26] if len(head) == _PAGE_HEADER_BYTES else 0)]
        body = start + _PAGE_HEADER_BYTES + len(table)
        end = body + sum(table)
        if len(head) < _PAGE_HEADER_BYTES or len(table) < head[26] or end > len(data):
            lacking = max(1, end - len(data))
            message = f"the Ogg file is cut off: at least {lacking:,} bytes that it declares are not there"
            raise RowError(AudioReason.TRUNCATED, message)
        checksum = crc32.mpeg_2(memoryview(data)[start + 26 : end], crc32.mpeg_2(head[:22] + bytes(4), 0))
        if checksum != int.from_bytes(head[22:26], "little"):
            raise RowError(AudioReason.DECODE_FAILED, f"the Ogg page at byte {start:,} is damaged")
        serial, number = head[14:18], int.from_bytes(head[18:22], "little")
        if head[5] & _BEGINS:
            if begun:
                links.append([])
                streams, numbers, begun = {}, {}, False
            codec = next((name for magic, name in _CODECS.items() if data.startswith(magic, body)), None)
            streams[serial] = _Logical(codec)
            links[-1].append(streams[serial])
        else:
            begun = True
        if serial not in streams:
            raise RowError(AudioReason.DECODE_FAILED, f"the Ogg page at byte {start:,} has no beginning")
        missing = number - numbers.get(serial, number - 1) - 1
        if missing and not (missing >= _JOINED_AFTER_PAGES and streams[serial].has_only_headers):
            raise RowError(AudioReason.DECODE_FAILED, f"an Ogg page is missing before byte {start:,}")
        numbers[serial] = number
        streams[serial].pages.append(_Page(start, body, end, head[5], int.from_bytes(head[6:14], "little")))
        start = end
    return links, start


def _is_tail(data: bytes, start: int, streams: dict[bytes, _Logical]) -> bool:
    """Tell whether no sound follows: only tags and padding, or after the end of all streams anything but a page."""
    ended = bool(streams) and all(stream.ended for stream in streams.values()) and data.find(b"OggS", start) < 0
    return ended or tail_end(data, start) == len(data)


def _extracted(data: bytes, stream: _Logical) -> bytes:
    if stream.codec == "flac":
        return b"".join(data[page.body : page.end] for page in stream.pages)[_OGG_FLAC_PREFIX_BYTES:]
    late = _opus_late(data, stream.pages) if stream.codec == "opus" else 0
    return b"".join(_page_at(data, page, late) for page in stream.pages)


def _page_at(data: bytes, page: _Page, late: int) -> bytes:
    """Return the page with a granule position that is smaller by `late`."""
    if not late or page.granule in (0, _NO_GRANULE):
        return data[page.start : page.end]
    changed = bytearray(data[page.start : page.end])
    changed[6:14] = (page.granule - late & _NO_GRANULE).to_bytes(8, "little")
    changed[22:26] = bytes(4)
    changed[22:26] = crc32.mpeg_2(bytes(changed), 0).to_bytes(4, "little")
    return bytes(changed)


def _opus_late(data: bytes, pages: list[_Page]) -> int:
    """Return the granule position at which an Opus stream begins; it is not 0 where a running stream was recorded.

    libsndfile takes the samples of the pre-skip for sound there.

    Raises RowError (truncated_audio) where the packets have fewer samples than the granule positions say.
    """
    counts = _opus_page_samples(data, pages)
    first = next((at for at, page in enumerate(pages) if counts[at] and page.granule != _NO_GRANULE), None)
    if first is None:
        return 0
    late = max(0, pages[first].granule - sum(counts[: first + 1]))
    last = next(page.granule for page in reversed(pages) if page.granule != _NO_GRANULE)
    if last - late > sum(counts):
        message = f"its granule positions declare {last - late:,} samples at 48 kHz, its packets have {sum(counts):,}"
        raise RowError(AudioReason.TRUNCATED, message)
    return late


def _opus_page_samples(data: bytes, pages: list[_Page]) -> list[int]:
    """Return for each page the samples at 48 kHz of the packets that end on it; 0 for the pages of headers."""
    counts, packets, begin = [], 0, b""
    for page in pages:
        count, at = 0, page.body
        for size in data[page.start + _PAGE_HEADER_BYTES : page.body]:
            begin = (begin + data[at : at + size])[:2]
            at += size
            if size < 255:  # noqa: PLR2004 - a packet ends with the first shorter segment
                count += _opus_samples(begin) if packets >= _OPUS_HEADER_PAGES else 0
                packets, begin = packets + 1, b""
        counts.append(count)
    return counts


def _opus_samples(packet: bytes) -> int:
    """Return how many samples at 48 kHz a packet has, by its first two bytes (RFC 6716, 3.1)."""
    if not packet:
        return 0
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:  # noqa: PLR2004 - SILK
        samples = (480, 960, 1920, 2880)[config & 3]
    elif config < 16:  # noqa: PLR2004 - hybrid
        samples = (480, 960)[config & 1]
    else:
        samples = 120 << (config & 3)
    frames = (1, 2, 2, (packet[1] & 63) if len(packet) > 1 else 0)[code]
    return samples * frames
