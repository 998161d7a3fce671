"""One audio cell to one MP3: which of copying, libsndfile and ffmpeg a source gets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from hugflow.audio import ffmpeg, flac, mpeg, ogg, sndfile, wav
from hugflow.audio.cells import Fetch, read_cell
from hugflow.audio.containers import FLAC, MPEG, OGG, WAV, Container, check_whole, recognise
from hugflow.audio.encode import Mp3, encode, refuse_too_long
from hugflow.audio.join import ended_at, open_joined
from hugflow.audio.mpeg import Scan
from hugflow.audio.pcm import Sound
from hugflow.audio.reasons import AudioReason
from hugflow.audio.tails import tail_end
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
    if container is MPEG and (start == 0 or start <= tail_end(data, 0)):
        return _convert_mpeg(data, encoder)  # where it is copied, its tags are copied with it
    if container is MPEG:
        return _convert_mpeg(data[start:], replace(encoder, reencode=True))
    data = check_whole(data[start:], container)
    if container is WAV:
        return _convert_wav(data, encoder)
    if container is FLAC:
        return _convert_flac(data, encoder)
    if container is OGG:
        return _convert_ogg(data, encoder)
    return _decode(data, container, encoder)


def _convert_wav(data: bytes, encoder: EncoderSettings) -> Mp3:
    if sound := wav.open_sound(data):
        return encode(sound, encoder)
    files = wav.split(data)
    if len(files) > 1:
        with open_joined([partial(_open_wav, file) for file in files]) as joined:
            return encode(joined, encoder)
    mp3 = wav.mpeg_audio(data)
    if mp3 is not None and (found := mpeg.scan(mp3[0])):
        _refuse_damaged(found)
        end = wav.fact_within(mp3[1], found.samples, found.samples // max(1, found.frames))
        return _decode(mpeg.frames_of(mp3[0], found), MPEG, encoder, frames=found.samples, end=end)
    return _decode(data, WAV, encoder, end=wav.last_sample(data))


@contextmanager
def _open_wav(data: bytes) -> Iterator[Sound]:
    """Decode one of several WAV files in a row.

    Raises RowError (truncated_audio, decode_failed, unsupported_audio), here and from the blocks.
    """
    end = wav.last_sample(data)
    try:
        with sndfile.open_sound(check_whole(data, WAV)) as sound:
            yield sound if end is None else ended_at(sound, end)
    except sndfile.CannotDecode as error:
        raise _not_decoded(WAV, error) from None


def _convert_flac(data: bytes, encoder: EncoderSettings) -> Mp3:
    files = flac.split(data)
    if len(files) > 1:
        with open_joined([partial(_open_flac, file) for file in files]) as sound:
            return encode(sound, encoder)
    try:
        with flac.open_sound(data) as quick:
            if quick:
                return encode(quick, encoder)
    except (RowError, flac.NotAsDeclared):
        pass  # the frames are counted, and libsndfile says what is wrong
    with _open_flac(data) as sound:
        return encode(sound, encoder)


@contextmanager
def _open_flac(data: bytes) -> Iterator[Sound]:
    """Decode one FLAC file, as many samples as its frames have.

    Raises RowError (truncated_audio, decode_failed, unsupported_audio), here and from the blocks.
    """
    declared = flac.declared_samples(data)
    if declared is not None and (counted := flac.count_samples(data)).samples > declared:
        if counted.end is None:
            raise _flac_is_cut_off()
        data = flac.with_declared_samples(data, counted)
    try:
        with sndfile.open_sound(data) as sound:
            yield sound
    except sndfile.CannotDecode as error:
        if declared is not None and flac.count_samples(data).end is None:
            raise _flac_is_cut_off() from None
        raise _not_decoded(FLAC, error) from None


def _not_decoded(container: Container, error: sndfile.CannotDecode) -> RowError:
    message = f"libsndfile cannot decode the {container.name} file: {error.message}"
    return RowError(AudioReason.DECODE_FAILED, message)


def _flac_is_cut_off() -> RowError:
    return RowError(AudioReason.TRUNCATED, "the FLAC file is cut off: it does not end with a whole frame")


def _convert_ogg(data: bytes, encoder: EncoderSettings) -> Mp3:
    streams = ogg.audio_streams(data)
    if len(streams) > 1:
        with open_joined([partial(_open_ogg, stream) for stream in streams]) as sound:
            return encode(sound, encoder)
    if streams[0].codec == "flac":
        return _convert_flac(streams[0].data, encoder)
    return _decode(streams[0].data, OGG, encoder)


@contextmanager
def _open_ogg(stream: ogg.OggAudio) -> Iterator[Sound]:
    """Decode one stream of a chained Ogg file.

    Raises RowError (decode_failed and what the decoders raise), here and from the blocks.
    """
    if stream.codec == "flac":
        opened = _open_flac(stream.data)
    elif stream.codec in ("vorbis", "opus"):
        opened = sndfile.open_sound(stream.data)
    else:
        opened = ffmpeg.open_sound(stream.data, "ogg")
    try:
        with opened as sound:
            yield sound
    except sndfile.CannotDecode as error:
        raise _not_decoded(OGG, error) from None


def _convert_mpeg(data: bytes, encoder: EncoderSettings) -> Mp3:
    found = _scanned(data)
    refuse_too_long(found.samples, found.sample_rate, encoder)
    if not encoder.reencode and found.copyable(_COPY_UP_TO_KBPS):
        return _copied(data, found)
    if not found.uniform:
        with open_joined([partial(_open_mpeg, part) for part in mpeg.split(data, found)]) as sound:
            return encode(sound, encoder)
    return _decode(mpeg.frames_of(data, found), MPEG, encoder, frames=found.samples)


def _scanned(data: bytes) -> Scan:
    found = mpeg.scan(data)
    if found is None:
        raise RowError(AudioReason.UNSUPPORTED, "it begins like MPEG audio, but no frames follow")
    _refuse_damaged(found)
    return found


def _refuse_damaged(found: Scan) -> None:
    if found.truncated:
        raise RowError(AudioReason.TRUNCATED, f"the MPEG audio is cut off: {found.truncated}")
    if found.corrupt:
        raise RowError(AudioReason.DECODE_FAILED, f"the MPEG audio is damaged: {found.corrupt}")


@contextmanager
def _open_mpeg(data: bytes) -> Iterator[Sound]:
    """Decode one of several MPEG streams in a row.

    Raises RowError (truncated_audio, decode_failed, unsupported_audio), here and from the blocks.
    """
    found = _scanned(data)
    frames = mpeg.frames_of(data, found)
    with ExitStack() as stack:
        try:
            sound = stack.enter_context(sndfile.open_sound(frames, frames=found.samples))
        except sndfile.CannotDecode:
            sound = replace(stack.enter_context(ffmpeg.open_sound(frames, "mp3")), frames=found.samples)
        try:
            yield sound
        except sndfile.CannotDecode as error:
            raise _not_decoded(MPEG, error) from None


def _copied(data: bytes, found: Scan) -> Mp3:
    rate = found.sample_rate
    return Mp3(data, rate, rate, found.channels, found.samples, clipped=0, copied=True, peak=None)


def _decode(
    data: bytes, container: Container, encoder: EncoderSettings, *, frames: int | None = None, end: int | None = None
) -> Mp3:
    """Decode and encode; `frames` is how many there are, `end` after how many the sound ends, where they are known."""
    if container.libsndfile:
        try:
            with sndfile.open_sound(data, frames=frames) as sound:
                return encode(sound if end is None else ended_at(sound, end), encoder)
        except sndfile.CannotDecode:
            pass  # ffmpeg knows more codecs
    assert container.demuxer is not None, "each container has a decoder"
    with ffmpeg.open_sound(data, container.demuxer) as sound:
        return encode(replace(sound, frames=frames) if end is None else ended_at(sound, end), encoder)
