"""MPEG frames and the Info header, checked with LAME, libsndfile, ffmpeg and mp3val."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import lameenc
import numpy as np
import pytest
import soundfile
from fastcrc import crc16
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hugflow.audio import AudioReason
from hugflow.audio import mpeg as mp3
from hugflow.audio.info_frame import info_frame, info_frame_size
from tests.support.sounds import (
    by_lame,
    converted,
    correlation,
    damage,
    decoded,
    decoded_by_ffmpeg,
    lag,
    needs_ffmpeg,
    needs_mp3val,
    packed,
    pcm16,
    reason,
    voice,
)

LENGTHS = (47, 575, 576, 577, 1105, 1151, 1152, 1153, 1680, 20000)


def frames_of(sound: NDArray[np.int16], sample_rate: int, quality: int = 3) -> bytes:
    """Bare LAME frames, without an Info header."""
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_channels(1)
    encoder.set_in_sample_rate(sample_rate)
    encoder.set_out_sample_rate(sample_rate)
    encoder.set_bit_rate(mp3.highest_kbps(sample_rate))
    encoder.set_quality(quality)
    return bytes(encoder.encode(sound.tobytes()) + encoder.flush())


def with_info(sound: NDArray[np.int16], sample_rate: int, quality: int = 3) -> bytes:
    frames = frames_of(sound, sample_rate, quality)
    return info_frame(sample_rate, len(sound), quality, frames) + frames


@pytest.fixture(scope="module")
def plain() -> bytes:
    return with_info(pcm16(voice(20000)), 16000)


@pytest.mark.parametrize(
    ("asked", "rate"),
    [(8000, 8000), (6000, 8000), (8001, 11025), (22050, 22050), (37800, 44100), (48000, 48000), (96000, 48000)],
)
def test_nearest_rate(asked: int, rate: int) -> None:
    assert mp3.nearest_rate(asked) == rate


def test_highest_kbps() -> None:
    rates = {rate: mp3.highest_kbps(rate) for rate in mp3.SAMPLE_RATES}

    assert rates == {
        8000: 64,
        11025: 64,
        12000: 64,
        16000: 160,
        22050: 160,
        24000: 160,
        32000: 192,
        44100: 192,
        48000: 192,
    }


@pytest.mark.parametrize("sample_rate", mp3.SAMPLE_RATES)
@pytest.mark.parametrize("quality", [0, 3, 7, 9])
def test_info_frame_is_the_one_that_lame_writes(sample_rate: int, quality: int) -> None:
    sound = pcm16(voice(5000, sample_rate))
    kbps = str(mp3.highest_kbps(sample_rate))
    options = ("-m", "m", "-b", kbps, "-q", str(quality), "--noreplaygain", "--resample", str(sample_rate / 1000))
    theirs = by_lame(sound, sample_rate, *options)
    ours = with_info(sound, sample_rate, quality)

    size = info_frame_size(sample_rate)
    first = mp3.parse_frame(ours[:4])
    assert first is not None
    table = range(first.info_offset + 16, first.info_offset + 116)  # LAME's seek points lie elsewhere
    checksums = range(first.info_offset + 152, first.info_offset + 156)  # of other frames, by another build
    different = [at for at in range(size) if ours[at] != theirs[at] and at not in {*table, *checksums}]
    assert (different, len(ours)) == ([], len(theirs))


def test_checksums_of_the_info_frame_as_lame_computes_them() -> None:
    sound = pcm16(voice(30000, 44100))
    theirs = by_lame(sound, 44100, "-m", "m", "-b", "192", "--noreplaygain")
    size = info_frame_size(44100)

    ours = info_frame(44100, len(sound), 3, theirs[size:])

    music, tag = slice(21 + 152, 21 + 154), slice(21 + 154, 21 + 156)
    assert ours[music] == theirs[music]
    assert int.from_bytes(theirs[tag], "big") == crc16.arc(theirs[: tag.start])
    assert int.from_bytes(ours[tag], "big") == crc16.arc(ours[: tag.start])


def test_seek_table_points_at_the_frames_of_each_percent(plain: bytes) -> None:
    found = mp3.scan(plain)
    assert found is not None
    table = plain[13 + 16 : 13 + 116]

    size = 720
    expected = [min(255, 256 * size * (1 + percent * found.frames // 100) // len(plain)) for percent in range(100)]
    assert list(table) == expected


@needs_ffmpeg
@needs_mp3val
@pytest.mark.parametrize("sample_rate", mp3.SAMPLE_RATES)
def test_decoders_return_exactly_the_source(sample_rate: int) -> None:
    sounds = [pcm16(voice(length, sample_rate)) for length in LENGTHS]
    files = [with_info(sound, sample_rate) for sound in sounds]

    assert [len(decoded(file)[0]) for file in files] == list(LENGTHS)
    assert [len(samples) for samples in decoded_by_ffmpeg(files)] == list(LENGTHS)
    assert [found.samples for file in files if (found := mp3.scan(file))] == list(LENGTHS)
    assert damage(files) == []
    back = decoded(files[-1])[0]
    assert lag(sounds[-1], back) == 0
    assert correlation(sounds[-1], back) > 0.99


def test_scan_of_our_own_file(plain: bytes) -> None:
    assert mp3.scan(plain) == mp3.Scan(
        sample_rate=16000,
        channels=1,
        layer=3,
        frames=37,
        samples=20000,
        max_kbps=160,
        mean_kbps=160.0,
        uniform=True,
        mono=True,
        tidy=True,
        end=len(plain),
    )


@pytest.mark.parametrize(
    "options",
    [
        ("-m", "m", "-b", "64"),
        ("-m", "m", "-V", "4"),
        ("-m", "m", "--abr", "100"),
        ("-m", "m", "-b", "64", "-p"),
        ("-m", "m", "-b", "64", "-t"),
        ("-m", "m", "-b", "64", "--add-id3v2", "--tt", "A title"),
        ("-m", "m", "-b", "64", "--id3v1-only", "--tt", "A title"),
        ("-m", "j", "-b", "128"),
        ("-m", "m", "-b", "320"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("sample_rate", [16000, 44100])
def test_scan_knows_the_length_of_lames_files(options: tuple[str, ...], sample_rate: int) -> None:
    if "320" in options and sample_rate == 16000:
        options = ("-m", "m", "-b", "160")
    sound = voice(30000, sample_rate, channels=2 if "j" in options else 1)
    file = by_lame(pcm16(sound), sample_rate, *options)

    found = mp3.scan(file)

    assert found is not None
    assert (found.samples, found.tidy, found.truncated, found.corrupt) == (len(decoded(file)[0]), True, None, None)
    assert found.copyable(192) == ("j" not in options and "320" not in options)


@pytest.mark.parametrize("layer", ["mp2", "mp3"])
def test_scan_counts_layer_two_as_well(layer: str) -> None:
    sound = voice(30000, 44100)
    file = packed(sound, 44100, "MP3", "MPEG_LAYER_III") if layer == "mp3" else _mp2(sound)

    found = mp3.scan(file)

    assert found is not None
    assert (found.samples, found.layer) == (len(decoded(file)[0]), 3 if layer == "mp3" else 2)
    assert found.copyable(192) == (layer == "mp3")


def _mp2(sound: NDArray[np.float64]) -> bytes:
    from tests.support.sounds import by_ffmpeg

    return by_ffmpeg(packed(sound, 44100), "-c:a", "mp2", "-b:a", "128k", "-f", "mp2", suffix=".mp2")


def _patched(file: bytes, at: int, data: bytes) -> bytes:
    return file[:at] + data + file[at + len(data) :]


INFO = 13  # where the Info header of a mono MPEG-2 frame stands
SIZE = 720  # of a frame of 160 kbit/s at 16 kHz


@pytest.mark.parametrize(
    ("name", "damaged"),
    [
        ("a byte short", lambda file: file[:-1]),
        ("a frame short", lambda file: file[:-SIZE]),
        ("ends in a frame header", lambda file: file[: -SIZE + 3]),
        ("ends in a frame header, without Info", lambda file: file[SIZE : -SIZE + 3]),
        ("a byte short, without Info", lambda file: file[SIZE:-1]),
        ("a byte short, then an ID3v1 tag", lambda file: file[:-1] + b"TAG" + bytes(125)),
        ("half a frame", lambda file: file[SIZE : SIZE + 300]),
        ("only the Info frame", lambda file: file[:SIZE]),
        ("a frame in the middle is missing", lambda file: file[: 5 * SIZE] + file[6 * SIZE :]),
    ],
)
def test_scan_sees_truncation(plain: bytes, name: str, damaged: object) -> None:
    assert callable(damaged)
    found = mp3.scan(damaged(plain))

    assert found is not None
    assert found.truncated
    assert not found.copyable(192)


@pytest.mark.parametrize(
    "damaged",
    [
        lambda file: _patched(file, 10 * SIZE, bytes(4)),
        lambda file: file[: 10 * SIZE] + b"x" + file[10 * SIZE :],
        lambda file: _patched(file, len(file) - SIZE, bytes(4)),
        lambda file: _patched(file[SIZE:], len(file) - 2 * SIZE, b"oops"),
        lambda file: file[SIZE:] + bytes(range(128, 255)) * 9,
    ],
    ids=["header zeroed", "a byte inserted", "last header zeroed", "last header overwritten", "bytes behind, no count"],
)
def test_scan_sees_corruption(plain: bytes, damaged: object) -> None:
    assert callable(damaged)
    found = mp3.scan(damaged(plain))

    assert found is not None
    assert found.corrupt
    assert not found.copyable(192)


@pytest.mark.parametrize(
    "tagged",
    [
        lambda file: b"ID3\4\0\0\0\0\1\0" + bytes(128) + file,
        lambda file: file + b"TAG" + bytes(125),
        lambda file: file + _ape() + b"TAG" + bytes(125),
        lambda file: file + b"ID3\4\0\0\0\0\0\4" + bytes(4),
    ],
    ids=["ID3v2", "ID3v1", "APE and ID3v1", "ID3v2 at the end"],
)
def test_tags_are_no_damage(plain: bytes, tagged: object) -> None:
    assert callable(tagged)
    found = mp3.scan(tagged(plain))

    assert found is not None
    assert found.copyable(192)
    assert found.samples == 20000


def _ape() -> bytes:
    item = b"\5\0\0\0\0\0\0\0Title\0hello"
    size = (len(item) + 32).to_bytes(4, "little")
    edge = b"APETAGEX" + (2000).to_bytes(4, "little") + size + b"\1\0\0\0"
    return edge + b"\0\0\0\xa0" + bytes(8) + item + edge + b"\0\0\0\x80" + bytes(8)


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("a version string that only some decoders know", lambda file: _patched(file, INFO + 120, b"GOGO3.13a")),
        ("an Info header without LAME's part", lambda file: _patched(file, INFO + 120, bytes(36))),
        ("a header that counts a frame more", lambda file: _patched(file, INFO + 8, (38).to_bytes(4, "big"))),
        ("a header that counts fewer frames", lambda file: _patched(file, INFO + 8, (30).to_bytes(4, "big"))),
        ("a header that counts far fewer bytes", lambda file: _patched(file, INFO + 12, (999).to_bytes(4, "big"))),
        ("a tag between frames", lambda file: file[: 5 * SIZE] + b"ID3\4\0\0\0\0\0\5" + bytes(5) + file[5 * SIZE :]),
        ("two files in a row", lambda file: file + file),
        ("zeros before the first frame", lambda file: b"ID3\4\0\0\0\0\0\0" + bytes(100) + file),
        ("zeros at the end", lambda file: file + bytes(500)),
        ("a tag with a footer", lambda file: b"ID3\4\0\x10\0\0\0\5" + bytes(5) + b"3DI\4\0\x10\0\0\0\5" + file),
        ("a tag of an unknown version", lambda file: b"ID3\x63\0\0\0\0\0\5" + bytes(5) + file),
        ("an empty tag", lambda file: b"ID3\4\0\0\0\0\0\0" + file),
        ("side information before the Info header", lambda file: _patched(file, 8, b"\1")),
        ("a VBRI header", lambda file: _with_vbri(file, 38, len(file))),
        ("a VBRI header that counts fewer frames", lambda file: _with_vbri(file, 9, len(file))),
        ("a VBRI header that counts itself", lambda file: _with_vbri(file, 39, len(file))),
        ("an Info header that counts itself, without bytes", lambda file: _info_without_bytes(file, 38)),
        ("text behind the frames", lambda file: file + b"something else"),
        ("10,000 zeros behind the frames", lambda file: file + bytes(10_000)),
        ("a line break behind the frames", lambda file: file + b"\r\n"),
        ("a zero behind the frames", lambda file: file + b"\0"),
        ("Lyrics3 and ID3v1", lambda file: file + b"LYRICSBEGININD00002110000030LYRICS200TAG" + bytes(125)),
        ("Lyrics3 of the first version", lambda file: file + b"LYRICSBEGIN[00:02]words\r\nLYRICSENDTAG" + bytes(125)),
        ("the extended ID3v1 tag", lambda file: file + b"TAG+" + bytes(223) + b"TAG" + bytes(125)),
        ("ID3v1, then zeros", lambda file: file + b"TAG" + b"a" * 125 + bytes(999)),
        ("an APE tag without header", lambda file: file + _ape()[32:]),
        ("an APE tag, then a line break", lambda file: file + _ape() + b"\n"),
        ("bytes behind the frames that a header counts", lambda file: file + bytes(range(128, 255)) * 99),
        ("a few bytes behind frames without a header", lambda file: file[SIZE:] + b"\x80\x90\xa0\xb0\xc0" * 20),
        ("text behind frames without a header", lambda file: file[SIZE:] + b"any other words " * 999),
        ("an APE tag before the frames", lambda file: _ape() + file),
        ("a line break before the frames", lambda file: b"\r\n" + file),
    ],
)
def test_what_decoders_read_differently_is_not_copied_and_nothing_of_it_is_lost(
    plain: bytes, name: str, odd: object
) -> None:
    assert callable(odd)
    file = odd(plain)

    found = mp3.scan(file)

    assert found is not None
    assert (found.truncated, found.corrupt, found.copyable(192)) == (None, None, False)
    assert len(decoded(file[found.decode_from : found.end])[0]) >= 20000


def _with_vbri(file: bytes, frames: int, size: int) -> bytes:
    """The file with a VBRI header as the Fraunhofer encoder writes it, in place of the Info header."""
    head = file[:4] + bytes(32) + b"VBRI" + struct.pack(">HHHII", 1, 1105, 75, size, frames)
    return head.ljust(SIZE, b"\0") + file[SIZE:]


def _info_without_bytes(file: bytes, frames: int) -> bytes:
    return (file[:INFO] + b"Info" + struct.pack(">II", 1, frames)).ljust(SIZE, b"\0") + file[SIZE:]


@pytest.mark.parametrize(
    "damaged",
    [
        lambda file: _with_vbri(file, 40, len(file) + 3 * SIZE),
        lambda file: _with_vbri(file, 38, len(file))[: -4 * SIZE],
        lambda file: _info_without_bytes(file, 39),
    ],
    ids=["VBRI", "cut between frames", "Info without bytes"],
)
def test_a_header_that_counts_more_frames_than_there_are(plain: bytes, damaged: Callable[[bytes], bytes]) -> None:
    found = mp3.scan(damaged(plain))

    assert found is not None
    assert found.truncated


def test_a_single_frame_is_too_little_for_decoders(plain: bytes) -> None:
    found = mp3.scan(plain[SIZE : 2 * SIZE])

    assert found is not None
    assert (found.samples, found.copyable(192)) == (576, False)


@pytest.mark.parametrize("sample_rate", [22050, 44100])
def test_frames_without_any_header_are_counted(sample_rate: int) -> None:
    frames = frames_of(pcm16(voice(100_001, sample_rate)), sample_rate)

    found = mp3.scan(frames)

    assert found is not None
    assert found.samples == len(decoded(frames)[0])
    assert found.copyable(192)


def test_a_length_that_libsndfile_would_guess_too_low_is_not_copied() -> None:
    changing = by_lame(pcm16(np.concatenate([voice(20000), np.zeros(20000)])), 16000, "-m", "m", "-V", "4", "-t")
    padded_first = frames_of(pcm16(voice(100_001, 44100)), 44100)[626:]
    assert padded_first[2] & 2, "the first frame has a padding byte"

    for file in (changing, padded_first):
        found = mp3.scan(file)
        assert found is not None
        assert (found.truncated, found.corrupt, found.tidy, found.copyable(192)) == (None, None, False, False)


# -- free format -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kbps", ["24", "90", "400", "640"])
@pytest.mark.parametrize("mode", ["m", "j"])
@pytest.mark.parametrize("rate", [16000, 44100, 48000])
@pytest.mark.parametrize("info", [(), ("-t",)])
def test_free_format(kbps: str, mode: str, rate: int, info: tuple[str, ...], tmp_path: Path) -> None:
    sound = pcm16(voice(30000, rate, channels=2 if mode == "j" else 1))
    file = by_lame(sound, rate, "-m", mode, "--freeformat", "-b", kbps, *info)

    found = mp3.scan(file)

    assert found is not None
    assert (found.truncated, found.corrupt, found.copyable(192)) == (None, None, False)
    assert found.samples == len(decoded(file)[0])
    assert found.channels == (2 if mode == "j" else 1)
    assert abs(found.mean_kbps - int(kbps)) < 8
    tagged = mp3.scan(b"ID3\4\0\0\0\0\0\5hello" + file + b"TAG" + bytes(125))
    assert tagged is not None
    assert (tagged.samples, tagged.truncated, tagged.corrupt) == (found.samples, None, None)
    cut = mp3.scan(file[:-1])
    assert cut is not None
    assert cut.truncated


def test_free_format_is_decoded_as_lame_decodes_it(tmp_path: Path) -> None:
    sound = pcm16(voice(30000, 44100))
    (tmp_path / "free.mp3").write_bytes(by_lame(sound, 44100, "-m", "m", "--freeformat", "-b", "400"))
    subprocess.run(["lame", "--quiet", "--decode", "free.mp3", "lame.wav"], check=True, cwd=tmp_path)
    theirs = soundfile.read(tmp_path / "lame.wav")[0]

    ours = decoded(converted((tmp_path / "free.mp3").read_bytes()).data)[0]

    assert (len(ours), lag(sound, ours)) == (30000, 0)
    assert correlation(theirs[:30000], ours) > 0.99


# -- streams in a row that differ --------------------------------------------------------------------------------------


def _stream(length: int, rate: int = 44100, channels: int = 1, *options: str) -> bytes:
    return by_lame(pcm16(voice(length, rate, seed=length, channels=channels)), rate, *options)


@needs_ffmpeg
@pytest.mark.parametrize(
    "parts",
    [
        [(60_000, 44100, 1), (50_000, 44100, 2)],
        [(60_000, 44100, 2), (50_000, 44100, 1), (70_000, 44100, 2)],
        [(60_000, 48000, 1), (50_000, 48000, 2), (60_001, 48000, 1)],
    ],
)
@pytest.mark.parametrize("between", [b"", b"ID3\4\0\0\0\0\0\5hello"])
def test_the_channels_may_change(parts: list[tuple[int, int, int]], between: bytes) -> None:
    bare = between.join(_stream(*part, "-t", "-b", "128") for part in parts)
    headed = between.join(_stream(*part, "-b", "128") for part in parts)
    channels = parts[0][2]

    theirs = len(decoded_by_ffmpeg([bare.replace(between, b"") if between else bare])[0]) // channels
    assert converted(bare).samples == theirs
    assert converted(headed).samples == sum(length for length, _, _ in parts)
    pcm = np.concatenate(
        [
            voice(part[0], part[1], seed=part[0], channels=2).mean(1)
            if part[2] == 2
            else voice(*part[:2], seed=part[0])
            for part in parts
        ]
    )
    ours = decoded(converted(headed).data)[0]
    assert (lag(pcm, ours), correlation(pcm, ours) > 0.98) == (0, True)


BETWEEN = {
    "nothing": b"",
    "ID3v1": b"TAG" + b"a" * 125,
    "ID3v2": b"ID3\4\0\0\0\0\1\0" + bytes(128),
    "ID3v1 and ID3v2": b"TAG" + b"a" * 125 + b"ID3\4\0\0\0\0\1\0" + bytes(128),
    "APE": _ape(),
    "zeros": bytes(3000),
    "a line break": b"\n",
}


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("options", [("-b", "128"), ("-V", "4"), ("-m", "j", "-b", "160")])
def test_files_in_a_row_have_exactly_the_samples_of_each(options: tuple[str, ...], between: str) -> None:
    channels = 2 if "j" in options else 1
    first, second = _stream(60_000, 44100, channels, *options), _stream(33_333, 44100, channels, *options)

    mp3_file = converted(first + BETWEEN[between] + second + BETWEEN[between] + first)

    pcm = np.concatenate(
        [voice(length, 44100, seed=length, channels=2 if channels == 2 else 1) for length in (60_000, 33_333, 60_000)]
    )
    pcm = pcm.mean(1) if channels == 2 else pcm
    ours = decoded(mp3_file.data)[0]
    assert (len(ours), mp3_file.copied, lag(pcm, ours)) == (153_333, False, 0)
    assert correlation(pcm, ours) > 0.98


@needs_ffmpeg
@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("options", [("-t", "-b", "128"), ("-t", "-V", "4")])
def test_frames_in_a_row_without_headers_are_all_decoded(options: tuple[str, ...], between: str) -> None:
    first, second = _stream(60_000, 44100, 1, *options), _stream(33_333, 44100, 1, *options)

    theirs = decoded_by_ffmpeg([first + second])[0]
    assert converted(first + BETWEEN[between] + second).samples == len(theirs)


@pytest.mark.parametrize("between", [b"something else", bytes(range(128, 255)) * 30, b"words of any kind " * 999])
@pytest.mark.parametrize("options", [("-b", "128"), ("-t", "-b", "128")])
def test_sound_behind_bytes_of_another_kind_is_not_lost_without_a_word(
    options: tuple[str, ...], between: bytes
) -> None:
    first, second = _stream(60_000, 44100, 1, *options), _stream(33_333, 44100, 2, *options)

    assert reason(first + between + second) == AudioReason.DECODE_FAILED


def test_the_rate_may_change() -> None:
    parts = [(44100, 44100, 1), (22050, 22050, 1), (16000, 16000, 2), (48000, 48000, 1)]

    mp3_file = converted(b"".join(_stream(*part, "-b", "64") for part in parts))

    assert (mp3_file.sample_rate, mp3_file.source_sample_rate) == (44100, 44100)
    assert abs(mp3_file.samples - 4 * 44100) <= 3


def test_one_part_of_a_row_that_is_cut() -> None:
    first, second = _stream(60_000), _stream(50_000, 44100, 2)
    frame = 417 * 3  # more than a frame of 128 kbit/s

    assert reason(first[:-frame] + second) in {AudioReason.TRUNCATED, AudioReason.DECODE_FAILED}
    assert reason(first + second[:-1]) == AudioReason.TRUNCATED
    assert reason(first + second[: -2 * frame]) == AudioReason.TRUNCATED


def test_a_recording_that_begins_within_a_frame() -> None:
    whole = _stream(60_000, 44100, 1, "-t", "-b", "128")
    header = mp3.parse_frame(whole[:4])
    assert header is not None
    first = 418 if whole[2] & 2 else 417

    for lost in (1, 100, first - 1):
        mp3_file = converted(whole[lost:])
        assert not mp3_file.copied
        assert mp3_file.samples == converted(whole[first:]).samples
    assert reason(b"RIFF" + bytes(99) + whole) == AudioReason.UNSUPPORTED
    assert reason(bytes(range(1, 255)) * 40 + whole) == AudioReason.UNSUPPORTED


@pytest.mark.parametrize(
    "nothing",
    [b"", b"\xff", b"\xff\xfb", b"RIFF", bytes(400), b"\xff\xfb\x90\xc4" + b"text" * 300, b"\xff\xff\xff\xff" * 9],
)
def test_scan_of_something_else(nothing: bytes) -> None:
    assert mp3.scan(nothing) is None


@given(st.binary(max_size=300), st.integers(0, 30000))
@settings(max_examples=200, deadline=None)
def test_scan_never_raises(noise: bytes, at: int) -> None:
    file = with_info(pcm16(voice(3000)), 16000)

    mp3.scan(noise)
    mp3.scan(b"\xff\xf3\xe8\xc4" + noise)
    mp3.scan(_patched(file, at % len(file), noise))


@given(st.sampled_from(mp3.SAMPLE_RATES), st.integers(47, 9000), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_any_length_comes_back(sample_rate: int, length: int, seed: int) -> None:
    file = with_info(pcm16(voice(length, sample_rate, seed=seed)), sample_rate)

    found = mp3.scan(file)

    assert found is not None
    assert (len(decoded(file)[0]), found.samples, found.tidy) == (length, length, True)
