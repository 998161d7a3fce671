"""MPEG audio frames and their headers: walk an MP3 file without decoding it.

The layout is that of ISO 11172-3 and 13818-3, and of the Xing, LAME and VBRI headers.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from functools import lru_cache

from hugflow.audio.reasons import AudioReason
from hugflow.audio.tails import id3v2_end, id3v2_size, is_text, tail_end
from hugflow.model.errors import RowError

SAMPLE_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Every sample rate in Hz that MPEG-1, MPEG-2 and MPEG-2.5 have."""

DECODER_DELAY = 529
"""Samples by which every decoder of layer III is late; the Info header does not count them."""

_LAYER_3 = 3
_MPEG_RATES = {1: (44100, 48000, 32000), 2: (22050, 24000, 16000), 25: (11025, 12000, 8000)}
_KBPS = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_VERSIONS = {0: 25, 2: 2, 3: 1}
_SLOT_OF_NO_KBPS = 15
_SIDE_INFO_BYTES = {(True, 1): 17, (True, 2): 32, (False, 1): 9, (False, 2): 17}
_FREE_FORMAT_SLOT = 0
_FRAMES_IN_A_ROW = 4
_SYNC = re.compile(rb"\xff[\xe2-\xff][\x10-\xeb]")
_MAX_FRAME_BYTES = 8192
_MAX_STREAMS = 64
"""Streams that may be in one file; more is damage."""

Key = tuple[int, int, int, int]
"""Version, layer, sample rate and channels of frames that one decoder takes."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The header of one frame. `version` is 1, 2 or 25 (MPEG-2.5), `size` in bytes, `samples` per channel."""

    version: int
    layer: int
    kbps: int
    sample_rate: int
    channels: int
    samples: int
    size: int

    @property
    def key(self) -> Key:
        """Properties that a stream keeps from its first to its last frame."""
        return self.version, self.layer, self.sample_rate, self.channels

    @property
    def info_offset(self) -> int:
        """Offset of an Info or Xing header in the frame: as if there were no checksum, also where there is one."""
        return 4 + _SIDE_INFO_BYTES[self.version == 1, self.channels]


@dataclass(frozen=True, slots=True)
class Scan:
    """Facts of a file, found without decoding it.

    `frames` and `samples` do not count an Info frame; `samples` is what decoders return, per channel. `uniform`: one
    stream throughout, not several that `split` takes apart. `gaps` are where tags lie between frames. `tidy`: there is
    nothing beside frames and tags, and the Info header is one that all decoders read alike. From the byte `decode_from`
    to the byte `end` a decoder returns everything: not from the beginning where zeros follow a tag, or where the header
    speaks of a part only. `truncated` and `corrupt` say in a phrase what is wrong, or are None.
    """

    sample_rate: int
    channels: int
    layer: int
    frames: int
    samples: int
    max_kbps: int
    mean_kbps: float
    uniform: bool
    mono: bool
    tidy: bool
    decode_from: int = 0
    end: int = 0
    gaps: tuple[tuple[int, int], ...] = ()
    truncated: str | None = None
    corrupt: str | None = None

    def copyable(self, max_kbps: int) -> bool:
        """Tell whether it is a whole mono layer III stream of at most `max_kbps` (each frame, or their mean)."""
        whole = self.tidy and self.truncated is None and self.corrupt is None and self.samples > 0 and self.frames > 1
        small = self.max_kbps <= max_kbps or self.mean_kbps <= max_kbps
        return whole and small and self.mono and self.uniform and self.layer == _LAYER_3


def nearest_rate(sample_rate: int) -> int:
    """Return `sample_rate` (Hz) where MP3 has it, else the nearest above, or 48,000."""
    return next((rate for rate in SAMPLE_RATES if rate >= sample_rate), SAMPLE_RATES[-1])


def highest_kbps(sample_rate: int) -> int:
    """Return 192 kbit/s, or what the format allows at that rate: 160 at 16-24 kHz, 64 at 8-12 kHz."""
    return 192 if sample_rate >= 32000 else 160 if sample_rate >= 16000 else 64  # noqa: PLR2004 - MPEG's own limits


@lru_cache(maxsize=4096)
def parse_frame(head: bytes, free_bytes: int = 0) -> Frame | None:
    """Read a frame's first four bytes; None where they are no frame header.

    `free_bytes` is the size of a frame of free format without padding; 0 where there is none.
    """
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:  # noqa: PLR2004 - the sync word
        return None
    version, layer = _VERSIONS.get(head[1] >> 3 & 3), 4 - (head[1] >> 1 & 3)
    slot, rate = head[2] >> 4, head[2] >> 2 & 3
    if version is None or layer > _LAYER_3 or slot == _SLOT_OF_NO_KBPS or rate > 2:  # noqa: PLR2004 - reserved
        return None
    if slot == _FREE_FORMAT_SLOT and not free_bytes:
        return None
    kbps = _KBPS[1, layer][slot] if version == 1 else _KBPS[2, min(layer, 2)][slot]
    sample_rate = _MPEG_RATES[version][rate]
    samples = 384 if layer == 1 else 1152 if version == 1 or layer != _LAYER_3 else 576
    padding = head[2] >> 1 & 1
    slot_bytes = 4 if layer == 1 else 1
    size = (samples // 8 * kbps * 1000 // sample_rate // slot_bytes + padding) * slot_bytes
    if slot == _FREE_FORMAT_SLOT:
        size = free_bytes + padding * slot_bytes
        kbps = size * 8 * sample_rate // (samples * 1000)
    channels = 1 if head[3] >> 6 == 3 else 2  # noqa: PLR2004 - the channel mode "single channel"
    return Frame(version, layer, kbps, sample_rate, channels, samples, size)


@lru_cache
def frame_header(sample_rate: int, kbps: int) -> bytes:
    """Return the header of a mono layer III frame without checksum, as LAME writes it ("original" is set)."""
    version = next(version for version, rates in _MPEG_RATES.items() if sample_rate in rates)
    bits = next(bits for bits, name in _VERSIONS.items() if name == version)
    slot = _KBPS[1, 3].index(kbps) if version == 1 else _KBPS[2, 2].index(kbps)
    rate = _MPEG_RATES[version].index(sample_rate)
    return bytes([0xFF, 0xE0 | bits << 3 | 0b011, slot << 4 | rate << 2, 0b1100_0100])


def scan(data: bytes) -> Scan | None:
    """Walk the frames of an MP3 (any layer) without decoding; None where `data` does not begin with frames.

    Tags and padding before and behind are stepped over. It takes some 0.1 microseconds a frame.
    """
    start, plain_tags = _skip_id3v2(data, 0)
    begin = start if data[start : start + 1] == b"\xff" else tail_end(data, start)
    free_bytes = _free_format_bytes(data, begin)
    first = parse_frame(data[begin : begin + 4], free_bytes)
    if first is None:
        return None
    counts, end, gaps = _walk(data, begin, free_bytes)
    kinds = tuple((frame, count) for head, count in counts.items() if (frame := parse_frame(head, free_bytes)))
    info = _read_info(data, begin, first)
    frames = sum(counts.values())
    complete = info is not None and info.frames == frames - 1
    cut = parse_frame(data[end : end + 4], free_bytes) is not None
    truncated, corrupt, junk = _judge_end(
        data, end, max(_tags_start(data), begin), min((frame.size for frame, _ in kinds), default=0), cut, complete
    )
    if junk and first_frame(data, end, len(data)) is not None:
        corrupt = f"there is no frame at byte {end:,}"
    if (corrupt or junk) and frames < 2:  # noqa: PLR2004 - one header may be chance, two in a row are not
        return None
    found = _Found(
        begin=begin,
        end=end,
        kinds=kinds,
        info=info,
        gaps=tuple(gaps),
        # Where the first header counts all frames, there is no second, and a copy is spared the search.
        several=not complete and bool(_later_headers(data, begin + first.size, end)),
        tidy=begin == start and plain_tags and not gaps and not junk and not free_bytes,
        truncated=truncated,
        corrupt=corrupt,
    )
    return found.summary(first)


def first_frame(data: bytes, start: int = 1, stop: int = _MAX_FRAME_BYTES) -> int | None:
    """Return where between `start` and `stop` several frames in a row begin; None where none do.

    Without limits: after a part of a frame, as in a recording of a running stream.
    """
    for sync in _SYNC.finditer(data, start, min(stop + 2, len(data))):
        first, position = parse_frame(data[sync.start() : sync.start() + 4]), sync.start()
        for _ in range(_FRAMES_IN_A_ROW):
            frame = parse_frame(data[position : position + 4])
            if frame is None or first is None or frame.key != first.key:
                break
            position += frame.size
        else:
            return sync.start()
    return None


def split(data: bytes, found: Scan) -> list[bytes]:
    """Take apart streams in a row: they differ in version, layer, sample rate or channels, or have an Info header.

    Raises RowError (decode_failed) where that changes too often to be meant.
    """
    begins, key, headers = [], None, _later_headers(data, 0, found.end)
    position = tail_end(data, 0) if data[:1] != b"\xff" else 0
    free_bytes = _free_format_bytes(data, position)
    while position < found.end:
        frame = parse_frame(data[position : position + 4], free_bytes)
        if frame is None:
            position = tail_end(data, position)
            continue
        if frame.key != key or position in headers:
            begins.append(position)
            key = frame.key
        position += frame.size
    if len(begins) > _MAX_STREAMS:
        message = f"the MPEG audio is damaged: another stream begins {len(begins):,} times"
        raise RowError(AudioReason.DECODE_FAILED, message)
    return [data[begin:end] for begin, end in zip(begins, [*begins[1:], found.end], strict=True)]


def frames_of(data: bytes, found: Scan) -> bytes:
    """Return what a decoder needs: the frames, without tags before, between and behind them."""
    begins = [found.decode_from, *(end for _, end in found.gaps)]
    ends = [*(begin for begin, _ in found.gaps), found.end]
    return b"".join(data[begin:end] for begin, end in zip(begins, ends, strict=True))


def _later_headers(data: bytes, start: int, end: int) -> set[int]:
    """Return where frames with a Xing, Info or VBRI header begin: each is the first of a file."""
    found = set()
    for name in (b"Xing", b"Info", b"VBRI"):
        at = data.find(name, start, end)
        while at >= 0:
            for offset in {36} if name == b"VBRI" else {4 + size for size in _SIDE_INFO_BYTES.values()}:
                frame = parse_frame(data[at - offset : at - offset + 4])
                if frame and not any(data[at - offset + 6 : at]) and offset in (36, frame.info_offset):
                    found.add(at - offset)
            at = data.find(name, at + 4, end)
    return found


def _skip_id3v2(data: bytes, start: int) -> tuple[int, bool]:
    """Return the offset after the tags, and whether they are of the usual kind, which libsndfile skips as well."""
    plain = True
    while data[start : start + 3] == b"ID3" and len(data) >= start + 10:
        version, flags = data[start + 3], data[start + 5]
        size = id3v2_size(data, start)
        footer = 10 if flags & 0x10 else 0
        plain = plain and version in (2, 3, 4) and size > 4 and not footer  # noqa: PLR2004 - mpg123's least
        start += 10 + size + footer
    return start, plain


def _free_format_bytes(data: bytes, start: int) -> int:
    """Return the size without padding of the frames of free format from `start` on; 0 where they are of another.

    Their headers do not say it: it is the distance to the next header that is alike, twice.
    """
    head = data[start : start + 4]
    if parse_frame(head) is not None or parse_frame(head, _MAX_FRAME_BYTES) is None:
        return 0
    at = start + 4
    while (at := data.find(head[:2], at, start + _MAX_FRAME_BYTES)) >= 0:
        size, places = at - start - (head[2] >> 1 & 1), [at]
        if at + 4 <= len(data):
            places.append(at + size + (data[at + 2] >> 1 & 1))
        heads = [data[place : place + 4] for place in places]
        if all(len(other) < 4 or (other[:2] == head[:2] and other[2] ^ head[2] < 4) for other in heads):  # noqa: PLR2004 - padding, private bit
            return size
        at += 1
    return 0


def _walk(data: bytes, start: int, free_bytes: int) -> tuple[dict[bytes, int], int, list[tuple[int, int]]]:
    """Count the frames from `start` on by their headers; return also where they end, and where tags lie between."""
    sizes: dict[bytes, int] = {}
    counts: dict[bytes, int] = {}
    position, limit, gaps = start, len(data), list[tuple[int, int]]()
    while True:
        head = data[position : position + 4]
        size = sizes.get(head)
        if size is None:
            frame = parse_frame(head, free_bytes)
            if frame is None:
                after = tail_end(data, position)
                if parse_frame(data[after : after + 4], free_bytes) is None:
                    return counts, position, gaps
                gaps.append((position, after))
                position = after
                continue
            size = sizes[head] = frame.size
            counts[head] = 0
        if position + size > limit:
            return {head: count for head, count in counts.items() if count}, position, gaps
        counts[head] += 1
        position += size


def _tags_start(data: bytes) -> int:
    """Return where the ID3v1 and APE tags at the end begin."""
    end = len(data)
    if data[end - 128 : end - 125] == b"TAG":
        end -= 128
    footer = data[end - 32 : end] if end >= 32 else b""  # noqa: PLR2004 - the size of an APE footer
    if footer[:8] == b"APETAGEX":
        size, _, flags = struct.unpack("<III", footer[12:24])
        end -= size + (32 if flags >> 31 else 0)
    return end


def _judge_end(
    data: bytes, end: int, tags: int, frame_bytes: int, cut: bool, complete: bool
) -> tuple[str | None, str | None, bool]:
    """Say what the frames' end at `end` means, where the tags begin at `tags`: truncated, corrupt, or junk.

    `frame_bytes` is the size of the smallest frame. `cut`: an incomplete frame begins at `end`. `complete`: the
    header counts as many frames as there are, so that none is missing whatever follows.
    """
    if end == tags or id3v2_end(data, end) == len(data):
        return None, None, False
    if tail_end(data, end) == len(data):
        return None, None, True
    if cut or end > tags or 0 < tags - end < 4:  # noqa: PLR2004 - a frame's header
        return f"the last frame, at byte {end:,}, is incomplete", None, False
    if complete or tags - end < frame_bytes or is_text(data[:tags], end):
        return None, None, True  # too short for a frame, or no bytes of one
    return None, f"there is no frame at byte {end:,}", False


@dataclass(frozen=True, slots=True)
class _Info:
    """A Xing, Info or VBRI header. `delay` and `padding` are LAME's; None where decoders do not agree on them."""

    frames: int | None
    size: int | None
    delay: int | None
    padding: int

    def samples(self, total: int) -> int:
        """Return how many of `total` samples a decoder returns that knows delay and padding."""
        if self.delay is None:
            return total
        end = min(total, total - self.padding + DECODER_DELAY)
        return max(0, end - self.delay - DECODER_DELAY)

    def agrees(self, frames: int, size: int) -> bool:
        """Tell whether it counts these frames and bytes, in a form that all decoders read alike."""
        same_size = not self.size or abs(self.size - size) <= size // 64
        return self.delay is not None and self.frames == frames and same_size

    def promises_more(self, frames: int, size: int) -> bool:
        """Tell whether frames are missing; some encoders count the header itself, so the bytes decide where given."""
        if self.size:
            return (self.frames or 0) > frames and self.size > size
        return (self.frames or 0) > frames + 1


@dataclass(frozen=True, slots=True)
class _Found:
    """Facts of the frames, before they are compared with the header. `kinds`: frame headers, counted."""

    begin: int
    end: int
    kinds: tuple[tuple[Frame, int], ...]
    info: _Info | None
    gaps: tuple[tuple[int, int], ...]
    several: bool
    tidy: bool
    truncated: str | None
    corrupt: str | None

    @property
    def size(self) -> int:
        """Bytes of the frames, with the tags between them."""
        return self.end - self.begin

    def summary(self, first: Frame) -> Scan:
        """Compare the header with the frames; `first` is the first frame."""
        info, kinds = self.info, self.kinds
        frames = max(0, sum(count for _, count in kinds) - (info is not None))
        total = frames * first.samples
        agrees = info.agrees(frames, self.size) if info else self._length_can_be_guessed(first)
        trusted = info is None or agrees or (info.delay is not None and (info.frames or 0) > frames)
        audio = sum(frame.size * count for frame, count in kinds) - (first.size if info else 0)
        return Scan(
            sample_rate=first.sample_rate,
            channels=first.channels,
            layer=first.layer,
            frames=frames,
            samples=info.samples(total) if info else total,
            max_kbps=max((frame.kbps for frame, _ in kinds), default=first.kbps),
            mean_kbps=audio * 8 * first.sample_rate / total / 1000 if total else 0.0,
            uniform=len({frame.key for frame, _ in kinds}) <= 1 and not self.several,
            mono=all(frame.channels == 1 for frame, _ in kinds),
            tidy=self.tidy and agrees,
            decode_from=(0 if self.tidy else self.begin) if trusted else self.begin + first.size,
            end=self.end,
            gaps=self.gaps,
            truncated=self.truncated or self._missing(frames),
            corrupt=self.corrupt,
        )

    def _length_can_be_guessed(self, first: Frame) -> bool:
        """Tell whether a decoder that assumes the first frame's size for all, as mpg123 does, finds them all."""
        frames = sum(count for _, count in self.kinds)
        constant = all(frame.kbps == first.kbps for frame, _ in self.kinds)
        return constant and first.size * frames <= self.size

    def _missing(self, frames: int) -> str | None:
        if self.info is None or self.corrupt or not self.info.promises_more(frames, self.size):
            return None
        return f"its header declares {self.info.frames:,} frames, it has {frames:,}"


def _read_info(data: bytes, start: int, first: Frame) -> _Info | None:
    if first.layer != _LAYER_3:
        return None
    if data[start + 36 : start + 40] == b"VBRI":
        size, frames = (int.from_bytes(data[start + at : start + at + 4], "big") for at in (46, 50))
        return _Info(frames, size, None, 0)
    at = start + first.info_offset
    if data[at : at + 4] not in (b"Xing", b"Info"):
        return None
    if any(data[start + 6 : at]):  # mpg123 takes it for a header only where the side information is empty
        return _Info(None, None, None, 0)
    flags = int.from_bytes(data[at + 4 : at + 8], "big")
    at += 8
    values: dict[int, int] = {}
    for flag, size in ((1, 4), (2, 4), (4, 100), (8, 4)):
        if flags & flag:
            values[flag] = int.from_bytes(data[at : at + size], "big")
            at += size
    delays = int.from_bytes(data[at + 21 : at + 24], "big")
    known = data[at : at + 4] in (b"LAME", b"Lavf", b"Lavc") and 1 in values
    return _Info(values.get(1), values.get(2), delays >> 12 if known else None, delays & 0xFFF)
