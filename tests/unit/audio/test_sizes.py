"""Headers with missing or wrong sizes, against truncated files."""

from __future__ import annotations

import shutil
import struct
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hugflow.audio import AudioReason, Mp3
from tests.support.sounds import by_ffmpeg, converted, correlation, decoded, needs_ffmpeg, packed, pcm16, reason, voice

SAMPLES = 20000
SOUND = pcm16(voice(SAMPLES))
CONTENT = SOUND.tobytes()
WHOLE = len(CONTENT) + 36
NEVER_FILLED_IN = [0x7FFFFFFF, 0x7FFFFFD3, 0x7FFFFF00, 0x7FFFF000, 0x80000000, 0x80000024, 0xFFFFFFFF, 0xFFFFFFFE]
NEVER_FILLED_IN += [0xFFFFFFDB, 0xFFFFFF00, 0x7FFFFFDA]


def wav(declared: int, riff: int = WHOLE, content: bytes = CONTENT, *, before: bytes = b"", channels: int = 1) -> bytes:
    """A 16 kHz WAV whose headers declare these sizes."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, 16000, 32000 * channels, 2 * channels, 16)
    body = form + before + struct.pack("<4sI", b"data", declared) + content
    return struct.pack("<4sI4s", b"RIFF", riff & 0xFFFFFFFF, b"WAVE") + body


def put(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


@cache
def usual() -> Mp3:
    return converted(packed(SOUND))


def same(data: bytes) -> bool:
    """Tell whether the file gives what a usual WAV of the same samples gives."""
    return bool(converted(data) == usual())


# -- WAV ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", [0, *NEVER_FILLED_IN])
@pytest.mark.parametrize("riff", ["of the file", "of the data", 0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_that_was_never_finished_is_read_to_its_end(declared: int, riff: str | int) -> None:
    sizes = {"of the file": WHOLE, "of the data": declared + 36}

    assert same(wav(declared, sizes[riff] if isinstance(riff, str) else riff))


@pytest.mark.parametrize("declared", [48_000, 3 * len(CONTENT), 1_000_000_000])
@pytest.mark.parametrize("riff", [0, 0xFFFFFFFF, 0x7FFFFFD3, 0x80000000])
def test_a_size_beside_an_unknown_one_is_none(declared: int, riff: int) -> None:
    assert same(wav(declared, riff))


@pytest.mark.parametrize("declared", [len(CONTENT) + 2, 48_000, 3 * len(CONTENT), 0x60000000, 0xF0000000, 0x7FFD0000])
def test_a_wav_that_was_cut_off_is_refused(declared: int) -> None:
    assert reason(wav(declared, declared + 36)) == AudioReason.TRUNCATED


@pytest.mark.parametrize("declared", [3 * len(CONTENT), len(CONTENT) + 100, 0xF0000000])
def test_a_wav_of_which_much_is_missing_is_refused_whatever_its_first_size_says(declared: int) -> None:
    assert reason(wav(declared, WHOLE)) == AudioReason.TRUNCATED


@pytest.mark.parametrize("too_many", [1, 2, 8, 36, 44])
def test_a_size_that_counts_the_header_is_no_loss(too_many: int) -> None:
    assert same(wav(len(CONTENT) + too_many, WHOLE))


def test_half_a_sample_behind_the_others_is_no_loss() -> None:
    stereo = pcm16(voice(SAMPLES, channels=2)).tobytes()

    cut = wav(len(stereo) + 3, len(stereo) + 39, stereo + b"\1", channels=2)

    assert converted(cut).samples == SAMPLES
    assert reason(wav(len(stereo), len(stereo) + 36, stereo[:-1], channels=2)) == AudioReason.TRUNCATED


@given(st.integers(1, len(CONTENT)))
@settings(max_examples=60, deadline=None)
def test_every_cut_of_a_finished_wav_is_seen(lost: int) -> None:
    assert reason(wav(len(CONTENT), WHOLE)[:-lost]) == AudioReason.TRUNCATED


def test_an_unknown_size_behind_other_chunks() -> None:
    assert same(wav(0xFFFFFFFF, 0xFFFFFFFF, before=b"LIST\4\0\0\0INFO" + b"bext" + struct.pack("<I", 602) + bytes(602)))


@pytest.mark.parametrize(("bits", "subtype"), [(24, "PCM_24"), (32, "FLOAT"), (8, "ULAW"), (8, "PCM_U8")])
def test_other_samples_of_unknown_number(bits: int, subtype: str) -> None:
    whole = packed(SOUND, subtype=subtype)
    at = whole.index(b"data") + 4

    assert converted(put(whole, at, b"\xff\xff\xff\xff")[: at + 4 + SAMPLES * bits // 8]) == converted(whole)


@pytest.mark.parametrize("declared", [-1, 0, (1 << 63) - 1, 0xFFFFFFFF, 0x7FFFFFFF])
def test_an_rf64_of_unknown_size(declared: int) -> None:
    whole = packed(SOUND, kind="RF64")
    at = whole.index(b"ds64") + 16

    assert same(put(whole, at, struct.pack("<Q", declared & (1 << 64) - 1)))
    assert reason(put(whole, at, struct.pack("<Q", 3 * SAMPLES))) == AudioReason.TRUNCATED


def test_a_riff_that_is_big_endian() -> None:
    with_order = SOUND.astype(">i2").tobytes()
    form = struct.pack(">4sIHHIIHH", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16)
    for size in (0, 0x80000000):
        assert same(
            struct.pack(">4sI4s", b"RIFX", size, b"WAVE") + form + struct.pack(">4sI", b"data", size) + with_order
        )


@pytest.mark.parametrize("between", [b"", b"\n", bytes(100)])
def test_wav_files_in_a_row_are_all_decoded(between: bytes) -> None:
    other = packed(voice(9600, 48000, channels=2), 48000)

    mp3 = converted(packed(SOUND) + between + other)

    assert (mp3.samples, mp3.sample_rate) == (SAMPLES + 3200, 16000)
    assert reason(packed(SOUND) + between + other[:-5]) == AudioReason.TRUNCATED


@pytest.mark.parametrize("behind", [b"TAG" + bytes(125), b"\n", bytes(10_001), b"ID3\4\0\0\0\0\0\5hello", b"words"])
def test_what_is_behind_a_wav_is_no_sound(behind: bytes) -> None:
    assert same(packed(SOUND) + behind)


COMMANDS = {
    "sox": ["sox", "-t", "wav", "source.wav", "-t", "wav", "-"],
    "ffmpeg": ["ffmpeg", "-v", "error", "-i", "source.wav", "-f", "wav", "-"],
    "lame": ["lame", "--quiet", "--decode", "source.mp3", "-"],
    "flac": ["flac", "-s", "-d", "-c", "source.flac"],
    "opusdec": ["opusdec", "--quiet", "--force-wav", "source.opus", "-"],
    "oggdec": ["oggdec", "-Q", "-o", "-", "source.ogg"],
    "sox aiff": ["sox", "source.wav", "-t", "aiff", "-"],
    "sox au": ["sox", "source.wav", "-t", "au", "-"],
    "ffmpeg au": ["ffmpeg", "-v", "error", "-i", "source.wav", "-f", "au", "-"],
    "ffmpeg caf": ["ffmpeg", "-v", "error", "-i", "source.wav", "-f", "caf", "-"],
    "ffmpeg w64": ["ffmpeg", "-v", "error", "-i", "source.wav", "-f", "w64", "-"],
    "ffmpeg rf64": ["ffmpeg", "-v", "error", "-i", "source.wav", "-rf64", "always", "-f", "wav", "-"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_programs_write_to_a_pipe_has_all_samples(name: str, tmp_path: Path) -> None:
    command = COMMANDS[name]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    for suffix, kind, subtype in (
        ("wav", "WAV", "PCM_16"),
        ("flac", "FLAC", "PCM_16"),
        ("ogg", "OGG", "VORBIS"),
        ("opus", "OGG", "OPUS"),
        ("mp3", "MP3", "MPEG_LAYER_III"),
    ):
        (tmp_path / f"source.{suffix}").write_bytes(packed(SOUND, kind=kind, subtype=subtype))

    piped = subprocess.run(command, capture_output=True, check=True, cwd=tmp_path).stdout

    assert converted(piped).duration_s == pytest.approx(SAMPLES / 16000, abs=1e-4)
    if name not in ("lame", "opusdec", "oggdec"):
        assert same(piped)
    assert reason(packed(SOUND)[:-100]) == AudioReason.TRUNCATED


# -- the others --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", [0, *NEVER_FILLED_IN])
def test_an_au_of_unknown_size(declared: int) -> None:
    assert same(put(packed(SOUND, kind="AU"), 8, struct.pack(">I", declared)))


@pytest.mark.parametrize("declared", [2 * SAMPLES + 2, 4 * SAMPLES, 0x60000000])
def test_an_au_that_was_cut_off(declared: int) -> None:
    assert reason(put(packed(SOUND, kind="AU"), 8, struct.pack(">I", declared))) == AudioReason.TRUNCATED


@pytest.mark.parametrize("frames", [0, SAMPLES, 0x3F800000, 0xFFFFFFFF])
@pytest.mark.parametrize("declared", [0, 0x7F000008, *NEVER_FILLED_IN])
def test_an_aiff_of_unknown_size(declared: int, frames: int) -> None:
    whole = packed(SOUND, kind="AIFF")
    sized = put(whole, whole.index(b"SSND") + 4, struct.pack(">I", declared))

    assert same(put(sized, whole.index(b"COMM") + 10, struct.pack(">I", frames)))


@pytest.mark.parametrize("too_many", [1, 8, 54])
def test_an_aiff_whose_samples_are_all_there_though_its_size_counts_a_header(too_many: int) -> None:
    whole = packed(SOUND, kind="AIFF")
    at = whole.index(b"SSND") + 4

    assert same(put(whole, at, struct.pack(">I", 2 * SAMPLES + 8 + too_many)))
    assert reason(put(whole, at, struct.pack(">I", 2 * SAMPLES + 8 + too_many))[:-3]) == AudioReason.TRUNCATED
    assert reason(put(whole, at, struct.pack(">I", 3 * SAMPLES))) == AudioReason.TRUNCATED


@pytest.mark.parametrize("declared", [-1, 0, (1 << 63) - 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_caf_of_unknown_size(declared: int) -> None:
    whole = packed(SOUND, kind="CAF")
    at = whole.index(b"data") + 4

    assert same(put(whole, at, struct.pack(">Q", declared & (1 << 64) - 1)))
    assert reason(put(whole, at, struct.pack(">Q", 3 * SAMPLES))) == AudioReason.TRUNCATED


@pytest.mark.parametrize("declared", [-1, 0, 24, (1 << 63) - 1, 1 << 63, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_wave64_of_unknown_size(declared: int) -> None:
    whole = packed(SOUND, kind="W64")
    at = whole.index(b"data") + 16

    assert same(put(whole, at, struct.pack("<Q", declared & (1 << 64) - 1)))
    assert reason(put(whole, at, struct.pack("<Q", 3 * SAMPLES))) == AudioReason.TRUNCATED


# -- blocks and `fact` -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["gsm-full-rate", "ms-adpcm", "ima-adpcm"])
@pytest.mark.parametrize("length", [20000, 19999, 321, 1])
def test_the_last_block_ends_where_the_fact_chunk_says(encoding: str, length: int, tmp_path: Path) -> None:
    if shutil.which("sox") is None:
        pytest.skip("sox is not installed")
    (tmp_path / "source.wav").write_bytes(packed(voice(length, 8000), 8000))
    command = ["sox", "-D", "source.wav", "-e", encoding, "target.wav"]
    subprocess.run(command, check=True, cwd=tmp_path)
    data = (tmp_path / "target.wav").read_bytes()
    fact = data.index(b"fact") + 8

    assert struct.unpack_from("<I", data, fact) == (length,)
    assert converted(data).samples == length
    for other in (0, 10 * length + 10_000, 0xFFFFFFFF):  # of no block: all that the blocks have is kept
        assert converted(put(data, fact, struct.pack("<I", other))).samples >= length


@needs_ffmpeg
@pytest.mark.parametrize("codec", ["adpcm_ms", "adpcm_ima_wav"])
def test_blocks_by_ffmpeg(codec: str) -> None:
    data = by_ffmpeg(packed(SOUND), "-c:a", codec, suffix=".wav")
    theirs = np.frombuffer(by_ffmpeg(data, "-f", "s16le", suffix=".raw"), "<i2")
    (fact,) = struct.unpack_from("<I", data, data.index(b"fact") + 8)

    ours = decoded(converted(data).data)[0]
    assert (len(ours), fact <= len(theirs)) == (fact, True)
    assert correlation(theirs[:fact], ours) > 0.99
