"""Sound to MP3: resample, one channel, 16 bits, LAME, and the Info header that keeps the length."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import lameenc
import numpy as np
import soxr
from numpy.typing import NDArray

from hugflow.audio.info_frame import info_frame, info_frame_size
from hugflow.audio.join import refuse_incomplete
from hugflow.audio.mpeg import highest_kbps, nearest_rate
from hugflow.audio.pcm import Sound, to_int16, to_mono, without_gaps
from hugflow.audio.reasons import AudioReason
from hugflow.model.errors import RowError
from hugflow.model.records import EncoderSettings

_SHORT = 47
"""ffmpeg 5 forgets the start skip when it ends in the frame where the end trim begins. Short sounds at up to 24 kHz
(frames of 576 samples) get so many zeros in front that the skip ends with a frame: 47 + 576 + 529 = 2 x 576."""


@dataclass(frozen=True, slots=True)
class Mp3:
    """An MP3 and what is in it. Rates in Hz.

    `samples` is exactly how many mono samples decoding `data` gives; `clipped` how many of them were beyond full
    scale, or no numbers, in the source. `copied`: `data` is the source itself, byte by byte. `peak` is the largest
    16-bit sample that was encoded, without its sign; None for a copy, which is not decoded.
    """

    data: bytes
    sample_rate: int
    source_sample_rate: int
    source_channels: int
    samples: int
    clipped: int
    copied: bool
    peak: int | None

    @property
    def duration_s(self) -> float:
        """Duration in seconds."""
        return self.samples / self.sample_rate


def encode(sound: Sound, settings: EncoderSettings) -> Mp3:
    """Encode `sound` as a mono CBR MP3 at its own rate, or the nearest that MP3 has.

    Raises RowError (empty_audio, audio_too_long, truncated_audio, decode_failed), and what the blocks of `sound` raise.
    """
    refuse_too_long(sound.frames or 0, sound.sample_rate, settings)
    rate = nearest_rate(sound.sample_rate)
    mono = _Mono(sound, rate, settings)
    header_size = info_frame_size(rate)
    out = io.BytesIO()
    out.write(bytes(header_size))
    lame, lead = _lame(rate, settings.quality), 0
    samples = peak = 0
    for pcm in mono.blocks():
        if samples == 0 and len(pcm) < _SHORT and rate < 32000:  # noqa: PLR2004 - frames have 1152 samples from there
            lead = _SHORT
            out.write(lame.encode(np.zeros(lead, np.int16)))
        out.write(lame.encode(pcm))
        samples += len(pcm)
        peak = max(peak, int(pcm.max()), -int(pcm.min()))
    if samples == 0:
        raise RowError(AudioReason.EMPTY, "it has no samples")
    out.write(lame.flush())
    with out.getbuffer() as whole, whole[header_size:] as audio:
        header = info_frame(rate, samples, settings.quality, audio, lead)
    out.seek(0)
    out.write(header)
    return Mp3(out.getvalue(), rate, sound.sample_rate, sound.channels, samples, mono.clipped, copied=False, peak=peak)


def refuse_too_long(frames: int, sample_rate: int, settings: EncoderSettings) -> None:
    """Refuse what is longer than the settings allow.

    Raises RowError (audio_too_long).
    """
    if frames > settings.max_audio_s * sample_rate:
        message = f"it is longer than the {settings.max_audio_s:,} seconds that max_audio_s allows"
        raise RowError(AudioReason.TOO_LONG, message)


@dataclass(slots=True)
class _Mono:
    """The sound as 16-bit mono at the rate of the MP3; counts on the way."""

    sound: Sound
    rate: int
    settings: EncoderSettings
    frames: int = 0
    clipped: int = 0
    gaps: int = 0

    def blocks(self) -> Iterator[NDArray[np.int16]]:
        """Yield the samples, none of the blocks empty."""
        resampler = None
        if self.rate != self.sound.sample_rate:
            resampler = soxr.ResampleStream(self.sound.sample_rate, self.rate, 1, dtype="float32", quality="HQ")
        for block in self.sound.blocks:
            self.frames += len(block)
            refuse_too_long(self.frames, self.sound.sample_rate, self.settings)
            if resampler is None and block.dtype == np.int16 and block.ndim == 1:
                yield np.asarray(block, np.int16)
                continue
            mono, gaps = without_gaps(to_mono(block))
            self.gaps += gaps
            yield from self._rounded(resampler.resample_chunk(mono) if resampler else mono)
        if resampler:
            yield from self._rounded(resampler.resample_chunk(np.empty(0, np.float32), last=True))
        refuse_incomplete(self.frames, self.sound.frames)
        self._check_gaps()

    def _rounded(self, mono: NDArray[np.float32]) -> Iterator[NDArray[np.int16]]:
        if len(mono):
            pcm, clipped = to_int16(mono)
            self.clipped += clipped
            yield pcm

    def _check_gaps(self) -> None:
        """A sound of which no sample is a number is damage, not silence."""
        if self.gaps and self.gaps == self.frames:
            raise RowError(AudioReason.DECODE_FAILED, "none of its samples is a number (all are NaN or infinite)")
        self.clipped += self.gaps


def _lame(rate: int, quality: int) -> lameenc.Encoder:
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_channels(1)
    encoder.set_in_sample_rate(rate)
    encoder.set_out_sample_rate(rate)
    encoder.set_bit_rate(highest_kbps(rate))
    encoder.set_quality(quality)
    return encoder
