"""Audio files: recognised by content, complete or refused, copied or encoded."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hugflow.audio import AudioReason, containers
from hugflow.model.errors import RowError
from tests.support.sounds import (
    REPOSITORY,
    by_ffmpeg,
    by_lame,
    converted,
    converted_or_reason,
    correlation,
    damage,
    decoded,
    decoded_by_ffmpeg,
    needs_ffmpeg,
    needs_mp3val,
    packed,
    pcm16,
    reason,
    voice,
)

SAMPLES = 20000
BROKEN = {AudioReason.TRUNCATED, AudioReason.DECODE_FAILED}

# libsndfile writes and reads these: format, subtype
WRITTEN = {
    "wav": ("WAV", "PCM_16"),
    "wav float": ("WAV", "FLOAT"),
    "wav u8": ("WAV", "PCM_U8"),
    "wav mulaw": ("WAV", "ULAW"),
    "wavex": ("WAVEX", "PCM_24"),
    "rf64": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "nist": ("NIST", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "flac 24": ("FLAC", "PCM_24"),
    "vorbis": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}


@cache
def file_of(name: str) -> bytes:
    kind, subtype = WRITTEN[name]
    return packed(voice(SAMPLES), kind=kind, subtype=subtype)


@pytest.mark.parametrize("name", WRITTEN)
def test_every_format_of_libsndfile_that_is_known(name: str) -> None:
    mp3 = converted(file_of(name))

    assert (mp3.samples, mp3.sample_rate, mp3.copied) == (SAMPLES, 16000, name == "mp3")


@pytest.mark.parametrize("name", WRITTEN)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_a_file_cut_anywhere_is_refused(name: str, data: st.DataObject) -> None:
    whole = file_of(name)
    cut = data.draw(st.integers(12, len(whole) - 1) | st.integers(len(whole) - 20, len(whole) - 1))

    outcome = converted_or_reason(whole[:cut])

    # What follows the samples is no loss: libsndfile's PEAK chunk, say.
    assert outcome in {*BROKEN, AudioReason.UNSUPPORTED} or outcome == converted(whole)


@pytest.mark.parametrize("name", WRITTEN)
def test_the_second_half_missing_is_called_truncated(name: str) -> None:
    whole = file_of(name)

    assert reason(whole[: len(whole) // 2 + 3]) == AudioReason.TRUNCATED


@pytest.mark.parametrize("name", ["flac", "flac 24", "vorbis", "opus"])
def test_damage_in_the_middle_is_seen_by_checksums(name: str) -> None:
    damaged = bytearray(file_of(name))
    damaged[len(damaged) // 2] ^= 0x55

    assert reason(damaged) == AudioReason.DECODE_FAILED


def test_a_missing_ogg_page_is_seen() -> None:
    whole = file_of("opus")
    pages = [at for at in range(len(whole)) if whole.startswith(b"OggS", at)]
    assert len(pages) > 3

    assert reason(whole[: pages[2]] + whole[pages[3] :]) == AudioReason.DECODE_FAILED


@pytest.mark.parametrize("name", WRITTEN)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_flipped_bits_give_an_mp3_or_a_reason(name: str, data: st.DataObject) -> None:
    mutated = bytearray(file_of(name))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, 200) | st.integers(0, len(mutated) - 1))
        mutated[at] = data.draw(st.integers(0, 255))

    outcome = converted_or_reason(bytes(mutated))

    assert outcome in set(AudioReason) or len(decoded(outcome.data)[0]) == outcome.samples


@given(
    st.sampled_from(
        [b"RIFF\0\0\0\0WAVE", b"fLaC", b"OggS", b"FORM\0\0\0\0AIFF", b".snd", b"caff\0\1", b"NIST_1A\n   1024\n"]
    ),
    st.binary(max_size=300),
)
@settings(max_examples=30, deadline=None)
def test_noise_after_a_magic_word(magic: bytes, noise: bytes) -> None:
    outcome = converted_or_reason(magic + noise)

    assert outcome in set(AudioReason) or len(decoded(outcome.data)[0]) == outcome.samples


@needs_ffmpeg
def test_streams_in_a_row_in_an_ogg_are_all_decoded() -> None:
    other = by_ffmpeg(packed(voice(10000)), "-c:a", "libopus", suffix=".opus")

    mp3 = converted(file_of("opus") + other)

    assert mp3.duration_s == pytest.approx((SAMPLES + 10000) / 16000)


@pytest.mark.parametrize("behind", [b"TAG" + bytes(125), b""])
@pytest.mark.parametrize("before", [b"ID3\4\0\0\0\0\0\5" + bytes(5), b"ID3\4\0\0\0\0\0\5" + bytes(50), b""])
def test_tags_around_a_flac(before: bytes, behind: bytes) -> None:
    assert converted(before + file_of("flac") + behind) == converted(file_of("flac"))


def test_a_flac_that_was_streamed_has_no_length() -> None:
    if shutil.which("flac") is None:
        pytest.skip("the flac program is not installed")
    streamed = subprocess.run(["flac", "-s", "-c", "-"], input=file_of("wav"), capture_output=True, check=True).stdout

    assert converted(streamed) == converted(file_of("wav"))
    assert reason(streamed[:-3]) == AudioReason.TRUNCATED


# -- WAV ---------------------------------------------------------------------------------------------------------------


def test_a_wav_may_declare_less_and_have_other_chunks() -> None:
    content = pcm16(voice(SAMPLES)).tobytes()
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16)
    body = form + b"LIST\5\0\0\0abcde\0" + struct.pack("<4sI", b"data", 2 * 1000) + content

    assert converted(struct.pack("<4sI4s", b"RIFF", len(body) + 4, b"WAVE") + body).samples == 1000


@pytest.mark.parametrize(
    "command",
    [["espeak-ng", "--stdout", "One two three."], ["sox", "-n", "-t", "wav", "-", "synth", "1", "sine", "300"]],
)
def test_what_programs_write_to_a_pipe(command: list[str]) -> None:
    try:
        piped = subprocess.run([*command], capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip(f"{command[0]} is not installed")

    assert converted(piped.stdout).duration_s > 0.5


@pytest.mark.parametrize("behind", [b"", b"LIST\4\0\0\0abcd", b"LIST\3\0\0\0abc\0"])
def test_a_wav_without_samples(behind: bytes) -> None:
    assert reason(packed(np.zeros(0)) + behind) == AudioReason.EMPTY


def test_a_flac_without_samples() -> None:
    assert reason(packed(np.zeros(0), kind="FLAC")) == AudioReason.EMPTY


def test_a_flac_that_declares_hours() -> None:
    file = bytearray(file_of("flac"))
    file[21] |= 0x0F  # the upper bits of the number of samples
    file[22:26] = b"\xff\xff\xff\xff"

    assert reason(bytes(file)) == AudioReason.TOO_LONG
    assert reason(bytes(file), max_audio_s=10**9) == AudioReason.TRUNCATED


def test_too_long_by_what_is_decoded() -> None:
    file = bytearray(packed(voice(40000), kind="FLAC"))
    file[21] &= 0xF0  # the number of samples: unknown
    file[22:26] = bytes(4)

    assert reason(bytes(file), max_audio_s=2) == AudioReason.TOO_LONG
    assert converted(bytes(file), max_audio_s=3).samples == 40000


# -- MPEG ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [("-b", "64"), ("-b", "160"), ("-V", "4"), ("--abr", "90"), ("-b", "64", "--tt", "A title")]
)
@needs_mp3val
def test_a_mono_mp3_is_copied_byte_by_byte(options: tuple[str, ...]) -> None:
    source = by_lame(pcm16(voice(SAMPLES)), 16000, "-m", "m", *options)

    mp3 = converted({"bytes": source, "path": "a.wav"})

    assert mp3.copied
    assert mp3.data == source
    assert (mp3.samples, mp3.sample_rate, mp3.source_sample_rate, mp3.source_channels) == (SAMPLES, 16000, 16000, 1)
    assert len(decoded(mp3.data)[0]) == mp3.samples
    assert damage([source]) == []


def test_a_copied_mp3_is_the_very_object() -> None:
    source = file_of("mp3")

    mp3 = converted(source)

    assert mp3.data is source
    assert mp3.peak is None, "a copy is not decoded"


def test_reencode() -> None:
    source = file_of("mp3")

    mp3 = converted(source, reencode=True)

    assert not mp3.copied
    assert mp3.samples == converted(source).samples


@pytest.mark.parametrize(("channels", "options"), [(2, ("-m", "j", "-b", "128")), (1, ("-m", "m", "-b", "320"))])
def test_stereo_and_high_bitrates_are_encoded(channels: int, options: tuple[str, ...]) -> None:
    source = by_lame(pcm16(voice(30000, 44100, channels=channels)), 44100, *options)

    mp3 = converted(source)

    assert (mp3.copied, mp3.samples, mp3.source_channels) == (False, 30000, channels)


@needs_ffmpeg
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("options", [("-b", "64"), ("-V", "4")])
@pytest.mark.parametrize("tag", [b"", b"TAG" + bytes(125)])
def test_an_mp3_without_info_header_loses_nothing(channels: int, options: tuple[str, ...], tag: bytes) -> None:
    sound = np.concatenate([voice(60000, 44100, channels=channels), np.zeros((60000, 2) if channels == 2 else 60000)])
    source = by_lame(pcm16(sound), 44100, "-m", "j" if channels == 2 else "m", *options, "-t") + tag

    mp3 = converted(source)

    theirs = decoded_by_ffmpeg([source])[0]
    assert mp3.samples == len(theirs) // channels
    assert len(decoded(mp3.data)[0]) == mp3.samples
    assert mp3.copied == (channels == 1 and options == ("-b", "64"))


@pytest.mark.parametrize("odd", ["two in a row", "zeros before the frames"])
def test_nothing_of_an_odd_mp3_is_lost_and_it_needs_no_ffmpeg(
    odd: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = by_lame(pcm16(voice(SAMPLES)), 16000, "-m", "m", "-b", "64")
    file = source + source if odd == "two in a row" else b"ID3\4\0\0\0\0\0\5" + bytes(99) + source
    monkeypatch.setenv("PATH", str(tmp_path))

    mp3 = converted(file)

    assert not mp3.copied
    assert mp3.samples >= (2 * SAMPLES if odd == "two in a row" else SAMPLES)


def test_a_cut_mp3_is_refused_also_where_it_would_be_copied() -> None:
    source = by_lame(pcm16(voice(SAMPLES)), 16000, "-m", "m", "-b", "64")

    assert reason(source[:-1]) == AudioReason.TRUNCATED
    assert reason(source[: len(source) // 2]) == AudioReason.TRUNCATED


def test_a_damaged_frame_header_in_an_mp3() -> None:
    source = bytearray(by_lame(pcm16(voice(SAMPLES)), 16000, "-m", "m", "-b", "64"))
    source[288 * 10 : 288 * 10 + 4] = b"oops"

    assert reason(bytes(source)) == AudioReason.DECODE_FAILED


def test_an_mp3_of_one_frame() -> None:
    source = by_lame(pcm16(voice(SAMPLES)), 16000, "-m", "m", "-b", "64", "-t")

    assert reason(source[:288]) == AudioReason.DECODE_FAILED


def test_an_mp3_may_be_too_long_to_copy() -> None:
    assert reason(file_of("mp3"), max_audio_s=1) == AudioReason.TOO_LONG


# -- by ffmpeg -------------------------------------------------------------------------------------------------------

# suffix: arguments; 96,000 samples at 48 kHz where the codec has only that rate
BY_FFMPEG = {
    "aac in mp4": (".m4a", ("-c:a", "aac")),
    "aac in mp4, index first": (".m4a", ("-c:a", "aac", "-movflags", "+faststart")),
    "aac in fragments": (".mp4", ("-c:a", "aac", "-movflags", "frag_keyframe+empty_moov")),
    "alac": (".m4a", ("-c:a", "alac")),
    "aac": (".aac", ("-c:a", "aac")),
    "opus in webm": (".webm", ("-c:a", "libopus")),
    "opus in a live webm": (".webm", ("-c:a", "libopus", "-live", "1", "-f", "webm")),
    "flac in matroska": (".mka", ("-c:a", "flac")),
    "wma": (".wma", ("-c:a", "wmav2")),
    "alac in caf": (".caf", ("-c:a", "alac")),
    "wavpack": (".wv", ("-c:a", "wavpack")),
    "flac in ogg": (".ogg", ("-c:a", "flac")),
    "speex": (".ogg", ("-c:a", "libspeex")),
}


@cache
def by_ffmpeg_of(name: str) -> bytes:
    suffix, arguments = BY_FFMPEG[name]
    return by_ffmpeg(packed(voice(32000)), *arguments, suffix=suffix)


@needs_ffmpeg
@pytest.mark.parametrize("name", BY_FFMPEG)
def test_every_container_that_ffmpeg_reads(name: str) -> None:
    file = by_ffmpeg_of(name)

    mp3 = converted(file)

    theirs = np.frombuffer(by_ffmpeg(file, "-f", "f32le", suffix=".raw"), "f4")
    assert mp3 == converted({"array": theirs, "sampling_rate": mp3.source_sample_rate})
    assert mp3.duration_s == pytest.approx(2, abs=0.12)


@needs_ffmpeg
@pytest.mark.parametrize("name", BY_FFMPEG)
def test_what_ffmpeg_would_decode_in_part_is_refused(name: str) -> None:
    file = by_ffmpeg_of(name)

    outcomes = {converted_or_reason(file[:cut]) for cut in (len(file) - 1, len(file) // 2, 60)}

    # The last byte may be one of an index or a tag: nothing of the sound is lost with it.
    assert outcomes <= {*BROKEN, converted(file)}
    assert {converted_or_reason(file[:cut]) for cut in (len(file) // 2, 60)} <= BROKEN


@needs_ffmpeg
def test_amr() -> None:
    frame = bytes([0x3C]) + bytes(range(31))  # 12.2 kbit/s, 20 ms

    mp3 = converted(b"#!AMR\n" + frame * 50)

    assert (mp3.samples, mp3.sample_rate) == (8000, 8000)
    assert reason(b"#!AMR\n" + frame * 50 + frame[:9]) == AudioReason.TRUNCATED
    assert reason(b"#!AMR\n" + frame * 50 + b"\x48\x00" * 20) == AudioReason.DECODE_FAILED


@needs_ffmpeg
@pytest.mark.parametrize(("codec", "rate"), [("libmp3lame", 16000), ("libmp3lame", 44100), ("mp2", 44100)])
def test_mpeg_audio_in_wav_is_decoded_to_where_its_fact_chunk_says(codec: str, rate: int) -> None:
    file = by_ffmpeg(packed(voice(32000, rate), rate), "-c:a", codec, suffix=".wav")
    at = file.index(b"fact") + 8
    (fact,) = struct.unpack_from("<I", file, at)
    theirs = np.frombuffer(by_ffmpeg(file, "-f", "f32le", suffix=".raw"), "f4")

    mp3 = converted(file)

    assert len(theirs) - 1152 < fact <= len(theirs)
    assert mp3.samples == fact
    assert not mp3.copied
    assert correlation(decoded(mp3.data)[0], theirs[:fact]) > 0.99
    for wrong in (0, 1000, 10 * fact):
        assert converted(file[:at] + struct.pack("<I", wrong) + file[at + 4 :]).samples == len(theirs)
    assert reason(file[:-3]) == AudioReason.TRUNCATED


TAILS = {
    "ID3v1": b"TAG" + bytes(125),
    "ID3v1 with text": b"TAG" + b"A title".ljust(125),
    "a line break": b"\r\n",
    "one zero": b"\0",
    "10,001 zeros": bytes(10_001),
    "Lyrics3": b"LYRICSBEGININD00002110000030LYRICS200TAG" + bytes(125),
    "APE": b"APETAGEX\xd0\7\0\0\x20\0\0\0\0\0\0\0\0\0\0\0" + bytes(8),
    "ID3v2": b"ID3\4\0\0\0\0\0\5hello",
    "text": b"Downloaded from a place of the network, with thanks. ",
}


@needs_ffmpeg
@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize(
    "name", ["mp3", "mp3 stereo", "aac in mp4", "alac", "aac in mp4, index first", "opus in webm", "wavpack"]
)
def test_what_is_behind_a_whole_sound_changes_nothing(name: str, tail: str) -> None:
    if name.startswith("mp3"):
        channels = 2 if "stereo" in name else 1
        file = by_lame(pcm16(voice(30000, 44100, channels=channels)), 44100, "-b", "96")
    else:
        file = by_ffmpeg_of(name)

    mp3 = converted(file + TAILS[tail])

    whole = converted(file, reencode=not mp3.copied)
    assert (mp3.samples, mp3.data == whole.data or mp3.copied) == (whole.samples, True)


BEFORE = {
    "ID3v2": b"ID3\4\0\0\0\0\0\x0a" + bytes(10),
    "ID3v2 and zeros": b"ID3\3\0\0\0\0\0\5hello" + bytes(300),
    "a line break": b"\r\n",
    "ID3v1": b"TAG" + b"t" * 125,
    "nothing": b"",
}


@needs_ffmpeg
@pytest.mark.parametrize("name", [*WRITTEN, *BY_FFMPEG])
def test_tags_before_and_behind_any_file_change_nothing(name: str) -> None:
    file = file_of(name) if name in WRITTEN else by_ffmpeg_of(name)
    whole = converted(file, reencode=True)

    tails = TAILS if name != "opus in a live webm" else {"nothing": b""}  # it does not say where it ends

    changed = {
        (before, behind)
        for number, before in enumerate(BEFORE)
        for behind in list(tails)[number % len(tails) :: 3]
        if converted(BEFORE[before] + file + tails[behind], reencode=True).data != whole.data
    }

    assert changed == set()


@needs_ffmpeg
@pytest.mark.parametrize("name", ["aac in mp4", "aac in mp4, index first", "alac", "opus in webm", "flac in matroska"])
def test_a_second_file_that_ffmpeg_would_pass_over_is_told(name: str) -> None:
    file = by_ffmpeg_of(name)

    with pytest.raises(RowError, match="another") as caught:
        converted(file + file)

    assert caught.value.reason == AudioReason.DECODE_FAILED


@needs_ffmpeg
@pytest.mark.parametrize("too_many", [1, 8, 40])
def test_a_size_of_samples_in_an_mp4_that_is_a_little_too_large(too_many: int) -> None:
    file = by_ffmpeg_of("aac in mp4, index first")
    at = file.index(b"mdat") - 4
    (size,) = struct.unpack_from(">I", file, at)
    larger = file[:at] + struct.pack(">I", size + too_many) + file[at + 4 :]

    assert converted(larger) == converted(file)
    assert reason(larger[:-1]) in BROKEN
    assert reason(file[:-1]) in BROKEN


@needs_ffmpeg
def test_a_video_gives_its_sound_and_one_without_sound_none() -> None:
    picture = ("-f", "lavfi", "-i", "color=s=64x64:d=1")

    assert converted(by_ffmpeg(packed(voice(16000)), *picture, suffix=".mp4")).samples >= 16000
    assert reason(by_ffmpeg(packed(voice(16000)), *picture, "-map", "1", suffix=".mp4")) == AudioReason.UNSUPPORTED


# -- what is no sound ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n", "HLS playlist"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "ffconcat playlist"),
        (b"http://127.0.0.1/a.wav", "text"),
        (b"/etc/passwd", "text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "text"),
        (b"<!DOCTYPE html><html>Not found</html>", "markup"),
        (b"  <?xml version='1.0'?><smil/>", "markup"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "image"),
        (b"PK\x03\x04" + bytes(50), "archive"),
        (b"RIFF\x10\0\0\0AVI LIST", "unknown"),
        (b"MThd\0\0\0\6\0\1", "unknown"),
        (bytes(5000), "unknown"),
        (b"ID3\4\0\0\0\0\0\0#EXTM3U\n", "HLS playlist"),
        (b"\xff\xfbnothing more of it", "no frames"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_sound_is_named(content: bytes, words: str) -> None:
    from hugflow.audio import to_mp3
    from hugflow.model.records import EncoderSettings

    with pytest.raises(RowError, match=words) as caught:
        to_mp3(content, EncoderSettings())

    assert caught.value.reason == AudioReason.UNSUPPORTED
    assert "passwd" not in caught.value.message


@given(st.binary(min_size=1, max_size=400))
@settings(max_examples=300, deadline=None)
def test_noise_is_no_sound(noise: bytes) -> None:
    assert converted_or_reason(noise) in set(AudioReason)


@pytest.mark.parametrize(
    "examine",
    {one.examine.__name__: one.examine for _, one in containers._KNOWN}.values(),
    ids=lambda one: one.__name__,
)
@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_no_walk_over_noise_fails_or_hangs(examine: Callable[[bytes], tuple[int, bytes]], noise: bytes) -> None:

    for start in (b"", b"#!AMR\n", b"RIFF\0\0\0\0WAVE", b"NIST_1A\n   1024\n", b"OggS\0", b"\xff\xf1"):
        if examine is containers._examine_amr and not start.startswith(b"#!AMR"):
            continue
        try:
            missing, _ = examine(start + noise)
            assert isinstance(missing, int)
        except RowError as error:
            assert error.reason in BROKEN  # noqa: PT017 - either outcome is right


def test_the_page_of_reasons_lists_them_all() -> None:
    page = (REPOSITORY / "docs" / "row-errors.md").read_text("utf-8")

    assert [code for code in AudioReason if f"| `{code}` |" not in page] == []
