"""Encoding to MP3: rates, lengths, bitrates, channels, checked with independent decoders."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import lameenc
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from hugflow.audio import AudioReason
from hugflow.audio.encode import encode
from hugflow.audio.info_frame import info_frame_size
from hugflow.audio.mpeg import SAMPLE_RATES, scan
from hugflow.audio.pcm import Sound
from hugflow.model.records import EncoderSettings
from tests.support.sounds import (
    REPOSITORY,
    SPEECH,
    converted,
    correlation,
    damage,
    decoded,
    decoded_by_ffmpeg,
    lag,
    needs_ffmpeg,
    needs_mp3val,
    needs_speech,
    packed,
    pcm16,
    reason,
    voice,
)

LENGTHS = (1, 2, 46, 47, 48, 575, 576, 577, 1105, 1151, 1152, 1153, 2000)


@needs_ffmpeg
@needs_mp3val
@pytest.mark.parametrize("sample_rate", SAMPLE_RATES)
def test_every_rate_and_length_comes_back_exactly(sample_rate: int) -> None:
    sounds = [pcm16(voice(length, sample_rate)) for length in LENGTHS]
    mp3s = [converted({"array": sound, "sampling_rate": sample_rate}) for sound in sounds]
    files = [mp3.data for mp3 in mp3s]

    assert [mp3.samples for mp3 in mp3s] == list(LENGTHS)
    assert {(mp3.sample_rate, mp3.source_sample_rate) for mp3 in mp3s} == {(sample_rate, sample_rate)}
    assert [len(decoded(file)[0]) for file in files] == list(LENGTHS)
    assert [len(samples) for samples in decoded_by_ffmpeg(files)] == list(LENGTHS)
    assert damage(files) == []


@needs_ffmpeg
@pytest.mark.parametrize("sample_rate", SAMPLE_RATES)
def test_the_sound_is_the_source_and_stands_where_it_stood(sample_rate: int) -> None:
    sound = voice(2 * sample_rate + 123, sample_rate)

    mp3 = converted({"bytes": packed(sound, sample_rate), "path": None})

    for back in (decoded(mp3.data)[0], decoded_by_ffmpeg([mp3.data])[0]):
        assert len(back) == len(sound) == mp3.samples
        assert lag(sound, back) == 0
        assert correlation(sound, back) > 0.99
    assert mp3.duration_s == pytest.approx(len(sound) / sample_rate)


@pytest.mark.parametrize(
    ("sample_rate", "kbps"),
    [(8000, 64), (11025, 64), (12000, 64), (16000, 160), (22050, 160), (24000, 160), (32000, 192), (44100, 192)],
)
def test_bitrate(sample_rate: int, kbps: int) -> None:
    found = scan(converted({"array": voice(30000, sample_rate), "sampling_rate": sample_rate}).data)

    assert found is not None
    assert (found.max_kbps, found.mono, found.layer, found.tidy) == (kbps, True, 3, True)
    assert found.mean_kbps == pytest.approx(kbps, rel=0.01)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (1000, 8000),
        (6000, 8000),
        (10000, 11025),
        (18900, 22050),
        (37800, 44100),
        (50000, 48000),
        (88200, 48000),
        (96000, 48000),
        (192000, 48000),
        (768000, 48000),
    ],
)
def test_other_rates_are_resampled_to_the_nearest_above_or_48_khz(source: int, target: int) -> None:
    sound = voice(source, source)

    mp3 = converted({"array": sound, "sampling_rate": source})

    assert (mp3.sample_rate, mp3.source_sample_rate) == (target, source)
    back = decoded(mp3.data)[0]
    assert len(back) == mp3.samples == target
    expected = soxr.resample(sound, source, target, quality="VHQ")
    assert lag(expected, back) == 0
    assert correlation(expected, back) > 0.99


@pytest.mark.parametrize("rate", [999, 768_001, 2**31 - 1])
def test_rates_that_are_none(rate: int) -> None:
    assert reason({"array": voice(100), "sampling_rate": rate}) == AudioReason.UNSUPPORTED


def test_a_sound_shorter_than_a_sample_of_the_mp3_is_empty() -> None:
    assert reason({"array": [0.5], "sampling_rate": 192000}) == AudioReason.EMPTY


@pytest.mark.parametrize("channels", [2, 6, 8])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_mono_is_the_mean_of_the_channels(channels: int, subtype: str) -> None:
    sound = np.round(voice(10000, channels=channels) * 32768) / 32768

    mp3 = converted(packed(sound, subtype=subtype))

    assert mp3.source_channels == channels
    assert replace(mp3, source_channels=1) == converted({"array": sound.mean(1), "sampling_rate": 16000})


def test_opposite_channels_cancel_out() -> None:
    left = voice(8000)

    mp3 = converted({"array": np.stack([left, -left], 1), "sampling_rate": 16000})

    assert np.abs(decoded(mp3.data)[0]).max() < 1e-3


def test_16_bit_samples_reach_lame_as_they_are() -> None:
    sound = pcm16(voice(300_000))  # more than a block

    mp3 = converted(packed(sound))

    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_channels(1)
    encoder.set_in_sample_rate(16000)
    encoder.set_out_sample_rate(16000)
    encoder.set_bit_rate(160)
    encoder.set_quality(3)
    assert mp3.data[info_frame_size(16000) :] == encoder.encode(sound.tobytes()) + encoder.flush()
    assert mp3.clipped == 0


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_all_sample_formats_of_a_file_mean_the_same(subtype: str) -> None:
    sound = np.round(voice(8000) * 128) / 128
    kind = "AIFF" if subtype == "PCM_S8" else "WAV"

    assert converted(packed(sound, kind=kind, subtype=subtype)) == converted(packed(sound))


def test_quality_is_a_setting() -> None:
    sound = packed(voice(8000))

    assert converted(sound, quality=7).data != converted(sound, quality=3).data == converted(sound).data


@pytest.mark.parametrize(
    ("kind", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("FLAC", None)]
)
@pytest.mark.parametrize("channels", [1, 2])
def test_blocks_do_not_show(kind: str, subtype: str | None, channels: int) -> None:
    file = packed(voice(700_000, 48000, channels=channels), 48000, kind, subtype)
    dtype = "int16" if kind == "FLAC" else "float32"
    whole, sample_rate = decoded(file) if dtype == "float32" else soundfile.read(io.BytesIO(file), dtype="int16")

    mp3 = converted(file, reencode=True)

    assert mp3 == converted({"array": whole, "sampling_rate": sample_rate})
    assert mp3.samples == 700_000


def test_silence() -> None:
    mp3 = converted({"array": np.zeros(16000, np.int16), "sampling_rate": 16000})

    back = decoded(mp3.data)[0]
    assert (len(back), np.abs(back).max()) == (16000, 0.0)


def test_threads_give_the_same_bytes() -> None:
    cells = [packed(voice(20000, seed=seed), 15000) for seed in range(8)]
    alone = [converted(cell) for cell in cells]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(converted, cells)) == alone


def test_another_process_gives_the_same_bytes() -> None:
    program = (
        "import hashlib; from tests.support.sounds import *\n"
        "files = [packed(voice(20000, 11000), 11000), packed(voice(20000), kind='OGG', subtype='VORBIS')]\n"
        "print([hashlib.sha256(converted(file).data).hexdigest() for file in files])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(outputs) == 1


@given(
    st.sampled_from(["int16", "float32", "float64", "int32"]),
    st.sampled_from([*SAMPLE_RATES, 7000, 19000, 96000]),
    st.integers(4, 6000),
    st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_any_array_comes_back_at_its_length(dtype: str, sample_rate: int, length: int, channels: int) -> None:
    sound = voice(length, sample_rate, channels=channels)
    scale = {"int16": 1 << 15, "int32": 1 << 31}.get(dtype, 1)
    array = (sound.reshape(length, channels) * scale).astype(dtype)

    mp3 = converted({"array": array, "sampling_rate": sample_rate})

    assert len(decoded(mp3.data)[0]) == mp3.samples
    assert abs(mp3.samples - length * mp3.sample_rate / sample_rate) <= 1
    assert mp3.samples == length or sample_rate not in SAMPLE_RATES


def test_memory_does_not_grow_with_the_length() -> None:
    """Twenty minutes in stereo are 77 MB as floats; only the MP3 itself may grow."""
    frames = 20 * 60 * 8000
    block = np.zeros((100_000, 2), np.float32)
    sound = Sound(8000, 2, frames, (block for _ in range(frames // len(block))))
    tracemalloc.start()

    mp3 = encode(sound, EncoderSettings(quality=9))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert mp3.samples == frames
    assert peak < 1.3 * len(mp3.data) + 4_000_000


@needs_speech
@needs_ffmpeg
@needs_mp3val
def test_speech_of_people() -> None:
    """The shared recordings: rate, length, place and quality are those of the source."""
    files = sorted(path for path in SPEECH.iterdir() if path.suffix in {".wav", ".flac", ".mp3", ".opus"})
    assert len(files) == 6
    mp3s = [converted(path.read_bytes()) for path in files]
    by_ffmpeg = decoded_by_ffmpeg([mp3.data for mp3 in mp3s])

    for path, mp3, other in zip(files, mp3s, by_ffmpeg, strict=True):
        source, sample_rate = soundfile.read(path, dtype="float64", always_2d=True)
        back, rate = decoded(mp3.data)
        assert (rate, len(back), len(other), mp3.samples) == (sample_rate, len(source), len(source), len(source)), path
        for copy in (back, other):
            assert lag(source.mean(1), copy) == 0, path
            assert correlation(source.mean(1), copy) > 0.99, path
    assert damage([mp3.data for mp3 in mp3s]) == []
    assert [path.name for path, mp3 in zip(files, mp3s, strict=True) if mp3.copied] == ["common_voice_en_651325.mp3"]
    copied = next(mp3 for mp3 in mp3s if mp3.copied)
    assert copied.data == (SPEECH / "common_voice_en_651325.mp3").read_bytes()
