"""Ogg: chained, multiplexed and cut streams, compared with single files."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fastcrc import crc32
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hugflow.audio import AudioReason, ogg
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

NO_GRANULE = (1 << 64) - 1


def vorbis(length: int, rate: int = 16_000, **options: int) -> bytes:
    return packed(voice(length, rate, **options), rate, "OGG", "VORBIS")


def opus(length: int, rate: int = 48_000, **options: int) -> bytes:
    return packed(voice(length, rate, **options), rate, "OGG", "OPUS")


def pages(data: bytes) -> list[bytes]:
    found, start = [], 0
    while start < len(data):
        end = start + 27 + data[start + 26] + sum(data[start + 27 : start + 27 + data[start + 26]])
        found.append(data[start:end])
        start = end
    return found


def with_checksum(page: bytes) -> bytes:
    page = page[:22] + bytes(4) + page[26:]
    return page[:22] + crc32.mpeg_2(page, 0).to_bytes(4, "little") + page[26:]


def late(data: bytes, by: int) -> bytes:
    """The file as a recorder writes it that joins a stream after `by` samples."""
    shifted = []
    for page in pages(data):
        granule = int.from_bytes(page[6:14], "little")
        kept = granule in (0, NO_GRANULE)
        shifted.append(page if kept else with_checksum(page[:6] + (granule + by).to_bytes(8, "little") + page[14:]))
    return b"".join(shifted)


def renamed(data: bytes, serial: int) -> list[bytes]:
    """The pages of the stream under another serial number."""
    return [with_checksum(page[:14] + serial.to_bytes(4, "little") + page[18:]) for page in pages(data)]


def pcm(data: bytes) -> NDArray[np.float32]:
    return soundfile.read(io.BytesIO(data), dtype="float32")[0]


def same(data: bytes, *sources: bytes) -> bool:
    """Tell whether the file gives what libsndfile decodes of the sources, which are of the same rate."""
    sound = np.concatenate([pcm(source) for source in sources])
    rate = soundfile.info(io.BytesIO(sources[0])).samplerate
    return bool(converted(data).data == converted({"array": sound, "sampling_rate": rate}).data)


@pytest.mark.parametrize("encoded", [vorbis, opus])
@pytest.mark.parametrize("by", [1, 312, 960, 10_000_000, 1 << 40])
def test_a_recording_out_of_a_running_stream_is_the_same_sound(encoded: object, by: int) -> None:
    assert callable(encoded)
    whole = encoded(240_000, 48_000)
    assert len(pages(whole)) > 4

    assert same(late(whole, by), whole)


@pytest.mark.parametrize("encoded", [vorbis, opus])
def test_a_recording_of_a_server_that_joins_a_running_stream(encoded: object) -> None:
    assert callable(encoded)
    whole = encoded(30 * 48_000, 48_000)
    header, audio = pages(whole)[:2], pages(whole)[2:]
    assert len(audio) > 25
    sound = pcm(whole)

    mp3 = converted(b"".join(header + audio[20:]))

    before = int.from_bytes(audio[19][6:14], "little")
    assert len(sound) - before - 1024 <= mp3.samples <= len(sound) - before + 312
    assert correlation(sound[-mp3.samples + 2000 :], decoded(mp3.data)[0][2000:]) > 0.99
    for lost in (1, 3):  # so few may be lost ones
        assert reason(b"".join(header + audio[lost:])) == AudioReason.DECODE_FAILED
    assert reason(b"".join(header + audio[:3] + audio[20:])) == AudioReason.DECODE_FAILED


@pytest.mark.parametrize("length", [200_000, 96_001, 48_313])
def test_the_end_of_an_opus_file_is_trimmed_as_opusdec_does(length: int, tmp_path: Path) -> None:
    if shutil.which("opusdec") is None:
        pytest.skip("opusdec is not installed")
    for by in (0, 10_000_000):
        (tmp_path / "source.opus").write_bytes(late(opus(length), by))
        command = ["opusdec", "--quiet", "--force-wav", "source.opus", "target.wav"]
        subprocess.run(command, check=True, cwd=tmp_path)
        theirs = soundfile.read(tmp_path / "target.wav")[0]

        mp3 = converted((tmp_path / "source.opus").read_bytes())

        assert mp3.samples == len(theirs)
        assert correlation(decoded(mp3.data)[0], theirs) > 0.99


def test_an_opus_file_that_declares_more_than_its_packets_have() -> None:
    whole = pages(opus(200_000))
    granule = int.from_bytes(whole[-1][6:14], "little") + 5000
    longer = with_checksum(whole[-1][:6] + granule.to_bytes(8, "little") + whole[-1][14:])

    assert reason(b"".join([*whole[:-1], longer])) == AudioReason.TRUNCATED


@pytest.mark.parametrize("encoded", [vorbis, opus])
def test_files_in_a_row_have_all_samples_of_each(encoded: object) -> None:
    assert callable(encoded)
    parts = [encoded(length, 16_000, seed=length) for length in (20_000, 7000, 33_333)]

    assert converted(b"".join(parts)).samples == 60_333
    assert same(b"".join(parts), *parts)
    assert same(late(parts[0], 960_000) + parts[2] + b"\n", parts[0], parts[2])


def test_files_in_a_row_may_differ_in_codec_rate_and_channels() -> None:
    mp3 = converted(vorbis(16_000) + opus(24_000, channels=2) + vorbis(22_050, 44_100))

    assert (mp3.sample_rate, mp3.samples) == (16_000, 16_000 + 8000 + 8000)
    last = decoded(mp3.data)[0][24_000:]
    assert correlation(np.interp(np.arange(8000) * 44.1 / 16, np.arange(22_050), voice(22_050, 44_100)), last) > 0.98


@pytest.mark.parametrize("lost", [1, 30, 2000])
def test_a_row_that_is_cut_is_refused(lost: int) -> None:
    assert reason((vorbis(20_000) + vorbis(60_000))[:-lost]) == AudioReason.TRUNCATED


def test_a_missing_page_in_the_second_file_is_seen() -> None:
    second = pages(opus(200_000))

    assert reason(opus(48_000) + b"".join([*second[:4], *second[5:]])) == AudioReason.DECODE_FAILED


@needs_ffmpeg
def test_the_sound_of_a_video_has_all_samples() -> None:
    picture = ("-f", "lavfi", "-i", "color=s=64x64:d=1", "-c:v", "libtheora")
    video = by_ffmpeg(packed(voice(44_100, 44_100), 44_100), *picture, "-c:a", "libvorbis", suffix=".ogv")
    audio = by_ffmpeg(video, "-vn", "-c:a", "copy", suffix=".ogg")

    assert converted(video).samples == 44_100
    assert same(video, audio)
    assert converted(video + video).samples == 2 * 44_100
    silent = by_ffmpeg(video, "-an", "-c:v", "copy", suffix=".ogv")
    assert reason(silent) == AudioReason.UNSUPPORTED


def test_the_first_of_two_streams_beside_each_other() -> None:
    one, other = renamed(vorbis(40_000), 1), renamed(opus(48_000, seed=3), 2)
    together = [one[0], other[0], *one[1:2], *other[1:2], *one[2:3], *other[2:], *one[3:]]

    assert same(b"".join(together), b"".join(one))


@pytest.mark.parametrize("encoded", [vorbis, opus])
@pytest.mark.parametrize("behind", [b"TAG" + bytes(125), b"\r\n", b"\0", bytes(9999), b"words of any kind" * 20])
def test_what_is_behind_the_last_page_is_no_sound(encoded: object, behind: bytes) -> None:
    assert callable(encoded)
    whole = encoded(20_000, 16_000)

    assert same(whole + behind, whole)


def test_without_an_end_only_tags_may_follow() -> None:
    whole = pages(vorbis(200_000))
    assert len(whole) > 3
    unfinished = b"".join(whole[:-1])

    assert converted(unfinished + b"TAG" + bytes(125)) == converted(unfinished)
    assert reason(unfinished + b"words of any kind" * 20) == AudioReason.DECODE_FAILED
    assert reason(unfinished + b"Og") == AudioReason.TRUNCATED


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damage_is_seen_in_each_of_several_files(data: st.DataObject) -> None:
    mutated = bytearray(vorbis(20_000) + opus(48_000))
    at = data.draw(st.integers(0, len(mutated) - 1))
    mutated[at] ^= data.draw(st.integers(1, 255))

    assert converted_or_reason(bytes(mutated)) in {
        AudioReason.DECODE_FAILED,
        AudioReason.TRUNCATED,
        AudioReason.UNSUPPORTED,
    }


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_noise_is_refused_or_returned(noise: bytes) -> None:
    first = pages(opus(4800))[0]
    for start in (b"OggS\0", first, first + b"OggS\0\0"):
        assert converted_or_reason(start + noise) in set(AudioReason)
    assert ogg._opus_samples(noise[:2]) >= 0
