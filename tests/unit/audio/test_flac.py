"""FLAC: the fast path gives the same result, and the frames decide, not the header."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hugflow.audio import AudioReason, Mp3, flac, sndfile
from hugflow.audio.convert import _open_flac
from hugflow.audio.encode import encode
from hugflow.audio.pcm import BLOCK_SAMPLES, Sound
from hugflow.model.errors import RowError
from hugflow.model.records import EncoderSettings
from tests.support.sounds import (
    by_ffmpeg,
    converted,
    converted_or_reason,
    correlation,
    decoded,
    needs_ffmpeg,
    packed,
    reason,
    voice,
)

needs_dr_flac = pytest.mark.skipif(flac.lib is None, reason="there is no miniaudio for this machine")

TAGS = 42  # where the block after STREAMINFO begins


def declaring(total: int, data: bytes) -> bytes:
    """The file with another number of samples in its header."""
    return data[:21] + bytes([data[21] & 0xF0]) + total.to_bytes(4, "big") + data[26:]


def samples(sound: Sound) -> NDArray[np.int16]:
    return np.concatenate([np.asarray(block, np.int16) for block in sound.blocks])


def by_libsndfile(data: bytes) -> Mp3 | str:
    try:
        with _open_flac(data) as sound:
            return encode(sound, EncoderSettings())
    except RowError as error:
        return error.reason


@needs_dr_flac
@pytest.mark.parametrize(
    ("channels", "rate", "length"),
    [(1, 16000, 30000), (1, 48000, BLOCK_SAMPLES), (1, 8000, BLOCK_SAMPLES + 1), (2, 44100, 20000), (8, 16000, 90000)],
)
def test_the_samples_are_those_of_libsndfile(channels: int, rate: int, length: int) -> None:
    data = packed(voice(length, rate, channels=channels), rate, kind="FLAC")

    with flac.open_sound(data) as quick, sndfile.open_sound(data) as known:
        assert quick is not None
        assert (quick.sample_rate, quick.channels, quick.frames) == (known.sample_rate, known.channels, length)
        np.testing.assert_array_equal(samples(quick), samples(known))


@pytest.mark.parametrize("subtype", ["PCM_24", "PCM_S8"])
def test_other_widths_are_left_to_libsndfile(subtype: str) -> None:
    with flac.open_sound(packed(voice(5000), kind="FLAC", subtype=subtype)) as sound:
        assert sound is None


def test_what_it_cannot_read_is_left_to_libsndfile() -> None:
    with flac.open_sound(b"fLaC" + bytes(100)) as sound:
        assert sound is None


def test_a_file_that_does_not_say_its_length_is_left_to_libsndfile() -> None:
    with flac.open_sound(declaring(0, packed(voice(5000), kind="FLAC"))) as sound:
        assert sound is None


@needs_dr_flac
@pytest.mark.parametrize("declared", [1, 4999, 5001, BLOCK_SAMPLES])
def test_it_says_when_there_are_more_or_fewer_samples_than_declared(declared: int) -> None:
    with flac.open_sound(declaring(declared, packed(voice(5000), kind="FLAC"))) as sound:
        assert sound is not None
        with pytest.raises(flac.NotAsDeclared):
            samples(sound)


@needs_dr_flac
def test_a_damaged_frame_is_noticed() -> None:
    data = bytearray(packed(voice(30000), kind="FLAC"))
    data[len(data) // 2] ^= 1

    with flac.open_sound(bytes(data)) as sound:
        assert sound is not None
        with pytest.raises(flac.NotAsDeclared):
            samples(sound)


def test_damaged_tags_cost_nothing() -> None:
    """Libsndfile refuses such a file, although its samples are whole."""
    whole = packed(voice(12000), kind="FLAC")
    damaged = bytearray(whole)
    damaged[TAGS + 4] ^= 0xFF

    assert by_libsndfile(bytes(damaged)) == AudioReason.DECODE_FAILED
    if flac.lib is not None:
        assert converted(bytes(damaged)) == converted(whole)


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_frames_have_the_outcome_that_libsndfile_gives(data: st.DataObject) -> None:
    mutated = bytearray(packed(voice(12000), kind="FLAC"))
    frames = mutated.index(b"\xff\xf8", TAGS)
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(frames, frames + 40) | st.integers(frames, len(mutated) - 1))
        mutated[at] = data.draw(st.integers(0, 255))
    cut = bytes(mutated[: data.draw(st.just(len(mutated)) | st.integers(4, len(mutated)))])

    assert converted_or_reason(cut) == by_libsndfile(cut)


# -- headers that are wrong, and files in a row ------------------------------------------------------------------------


def same(data: bytes, *sources: bytes) -> bool:
    """Tell whether the file gives what its samples give, as libsndfile decodes the sources."""
    pcm = np.concatenate([soundfile.read(io.BytesIO(source), dtype="int32", always_2d=True)[0] for source in sources])
    mp3 = converted({"array": pcm, "sampling_rate": soundfile.info(io.BytesIO(sources[0])).samplerate})
    return bool(converted(data).data == mp3.data)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("declared", [0, 1, 4096, 8000, 29_999])
def test_all_samples_are_decoded_when_the_header_declares_fewer(declared: int, channels: int, subtype: str) -> None:
    whole = packed(voice(30_000, channels=channels), kind="FLAC", subtype=subtype)

    assert same(declaring(declared, whole), whole)


@pytest.mark.parametrize("declared", [0, 8000, 27_000])
@pytest.mark.parametrize("lost", [1, 2, 50, 900])
def test_a_cut_file_is_refused_whatever_its_header_declares(declared: int, lost: int) -> None:
    whole = packed(voice(30_000), kind="FLAC")

    assert reason(declaring(declared, whole)[:-lost]) == AudioReason.TRUNCATED


@pytest.mark.parametrize("declared", [0, 5000])
@pytest.mark.parametrize("at", [0.3, 0.6, 0.9])
def test_a_damaged_frame_is_seen_whatever_the_header_declares(declared: int, at: float) -> None:
    damaged = bytearray(declaring(declared, packed(voice(60_000), kind="FLAC")))
    damaged[int(len(damaged) * at)] ^= 0x10

    assert reason(bytes(damaged)) == AudioReason.DECODE_FAILED


@pytest.mark.parametrize("declared", [30_001, 40_000])
def test_more_samples_than_there_are_may_be_missing(declared: int) -> None:
    assert reason(declaring(declared, packed(voice(30_000), kind="FLAC"))) in {
        AudioReason.TRUNCATED,
        AudioReason.DECODE_FAILED,
    }


@pytest.mark.parametrize("behind", [b"\n", bytes(7), bytes(5000), b"TAG" + bytes(125), b"any other words " * 99])
@pytest.mark.parametrize("declared", [0, 8000, 30_000])
def test_what_is_behind_the_last_frame_is_no_sound(behind: bytes, declared: int) -> None:
    whole = packed(voice(30_000), kind="FLAC")

    assert same(declaring(declared, whole) + behind, whole)


@pytest.mark.parametrize("options", [["-b", "1152"], ["-b", "4608"], ["--lax", "-b", "5000"], ["-b", "192"], ["-0"]])
def test_files_of_the_flac_program(options: list[str], tmp_path: Path) -> None:
    if shutil.which("flac") is None:
        pytest.skip("the flac program is not installed")
    (tmp_path / "source.wav").write_bytes(packed(voice(30_000, 44100), 44100))
    subprocess.run(["flac", "-s", *options, "source.wav", "-o", "target.flac"], check=True, cwd=tmp_path)
    whole = (tmp_path / "target.flac").read_bytes()
    theirs = subprocess.run(["flac", "-s", "-d", "-c", "target.flac"], capture_output=True, check=True, cwd=tmp_path)

    assert flac.count_samples(whole) == flac.Counted(30_000, len(whole))
    assert converted(declaring(7000, whole)) == converted(theirs.stdout)


@pytest.mark.parametrize("between", [b"", b"ID3\4\0\0\0\0\0\5hello", b"TAG" + bytes(125)])
def test_files_in_a_row_are_all_decoded(between: bytes) -> None:
    first, second = (packed(voice(length, seed=length), kind="FLAC") for length in (20_000, 9000))

    assert same(first + between + second, first, second)
    assert same(first + first, first, first)
    assert same(declaring(8000, first) + between + declaring(0, second) + b"\n", first, second)
    assert reason(first[:-9] + between + second) == AudioReason.TRUNCATED
    assert reason(first + between + second[:-9]) == AudioReason.TRUNCATED


def test_files_in_a_row_may_have_other_rates_channels_and_widths() -> None:
    parts = [
        packed(voice(16_000), 16_000, kind="FLAC"),
        packed(voice(24_000, 48_000, channels=2), 48_000, kind="FLAC", subtype="PCM_24"),
        packed(voice(4000, 8000), 8000, kind="FLAC"),
    ]

    mp3 = converted(b"".join(parts))

    assert (mp3.sample_rate, mp3.samples) == (16_000, 16_000 + 8000 + 8000)
    third = decoded(mp3.data)[0][24_000:]
    assert correlation(np.interp(np.arange(8000) / 2, np.arange(4000), voice(4000, 8000)), third) > 0.98


@needs_ffmpeg
@pytest.mark.parametrize("program", ["flac", "ffmpeg"])
def test_flac_in_ogg(program: str, tmp_path: Path) -> None:
    source = packed(voice(30_000))
    if program == "flac":
        (tmp_path / "source.wav").write_bytes(source)
        subprocess.run(["flac", "-s", "--ogg", "source.wav", "-o", "target.oga"], check=True, cwd=tmp_path)
        data = (tmp_path / "target.oga").read_bytes()
    else:
        data = by_ffmpeg(source, "-c:a", "flac", suffix=".ogg")

    assert converted(data) == converted(source)
    assert converted(data + data).samples == 60_000
    assert reason(data[:-1]) == AudioReason.TRUNCATED


def test_a_picture_that_contains_a_flac_is_no_file_in_a_row() -> None:
    whole = packed(voice(5000), kind="FLAC")
    picture = b"\6" + len(whole).to_bytes(3, "big") + whole

    assert same(whole[:42] + picture + whole[42:], whole)
