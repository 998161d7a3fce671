"""One audio cell to one MP3: which of copying, libsndfile and ffmpeg a source gets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hugflow.audio import ffmpeg, flac, sndfile, wav
from hugflow.audio.cells import Fetch, read_cell
from hugflow.audio.containers import (
    FLAC,
    MPEG,
    OGG,
    WAV,
    Container,
    check_whole,
    ends_in_flac_frame,
    is_chained,
    recognise,
)
from hugflow.audio.encode import Mp3, encode, refuse_too_long
from hugflow.audio.mpeg import Scan, scan
from hugflow.audio.pcm import Sound
from hugflow.audio.reasons import AudioReason
from hugflow.model.errors import RowError
from hugflow.model.records import EncoderSettings

_COPY_UP_TO_KBPS = 192


def to_mp3(cell: Any, encoder: EncoderSettings, *, fetch: Fetch | None = None) -> Mp3 | None:
    """Convert a row's audio to mono MP3; None when the cell is null.

    `cell` is `{"bytes", "path"}`, `{"array", "sampling_rate"}`, a path, an AudioDecoder, or bytes. `fetch` reads a path
    out of the dataset's repository. The same cell gives the same bytes whenever and wherever the same releases of
    lameenc, libsndfile and soxr run on the same processor architecture.

    Raises RowError with an `AudioReason` for everything that cannot be converted, and passes on what `fetch` raises.
    """
    source = read_cell(cell, fetch)
    if source is None:
        return None
    return encode(source, encoder) if isinstance(source, Sound) else _convert_file(source, encoder)


def _convert_file(data: bytes, encoder: EncoderSettings) -> Mp3:
    container, start = recognise(data)
    if container is MPEG:
        return _convert_mpeg(data, encoder)
    data = check_whole(data[start:], container)
    if container is WAV and (sound := wav.open_sound(data)):
        return encode(sound, encoder)
    found = _convert_flac(data, encoder) if container is FLAC else None
    return found or _decode(data, container, encoder)


def _convert_flac(data: bytes, encoder: EncoderSettings) -> Mp3 | None:
    """Take the quick way; None where it leads nowhere, so that libsndfile says what is wrong."""
    try:
        with flac.open_sound(data) as sound:
            return encode(sound, encoder) if sound else None
    except RowError:
        return None


def _convert_mpeg(data: bytes, encoder: EncoderSettings) -> Mp3:
    found = scan(data)
    if found is None:
        raise RowError(AudioReason.UNSUPPORTED, "it begins like MPEG audio, but no frames follow")
    if found.truncated:
        raise RowError(AudioReason.TRUNCATED, f"the MPEG audio is cut off: {found.truncated}")
    if found.corrupt:
        raise RowError(AudioReason.DECODE_FAILED, f"the MPEG audio is damaged: {found.corrupt}")
    refuse_too_long(found.samples, found.sample_rate, encoder)
    if not encoder.reencode and found.copyable(_COPY_UP_TO_KBPS):
        return _copied(data, found)
    return _decode(data[found.decode_from :], MPEG, encoder, frames=found.samples)


def _copied(data: bytes, found: Scan) -> Mp3:
    rate = found.sample_rate
    return Mp3(data, rate, rate, found.channels, found.samples, clipped=0, copied=True, peak=None)


def _decode(data: bytes, container: Container, encoder: EncoderSettings, frames: int | None = None) -> Mp3:
    """Decode and encode; `frames` is how many there are, where the frames of the file were counted."""
    if container.libsndfile and not (container is OGG and is_chained(data)):
        try:
            with sndfile.open_sound(data, frames=frames) as sound:
                return encode(sound, encoder)
        except sndfile.CannotDecode as error:
            if container.demuxer is None:
                raise _failure(error, container, data) from None
    assert container.demuxer is not None, "each container has a decoder"
    with ffmpeg.open_sound(data, container.demuxer) as sound:
        return encode(replace(sound, frames=frames), encoder)


def _failure(error: sndfile.CannotDecode, container: Container, data: bytes) -> RowError:
    if container is FLAC and not ends_in_flac_frame(data):
        return RowError(AudioReason.TRUNCATED, "the FLAC file is cut off: it does not end with a whole frame")
    message = f"libsndfile cannot decode the {container.name} file: {error.message}"
    return RowError(AudioReason.DECODE_FAILED, message)
