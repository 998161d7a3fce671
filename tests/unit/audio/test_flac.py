"""The quick way for FLAC changes nothing but the time: libsndfile gives the same samples, and the same reasons."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hugflow.audio import AudioReason, Mp3, flac, sndfile
from hugflow.audio.containers import FLAC
from hugflow.audio.convert import _decode
from hugflow.audio.pcm import BLOCK_SAMPLES, Sound
from hugflow.model.errors import RowError
from hugflow.model.records import EncoderSettings
from tests.support.sounds import converted, converted_or_reason, packed, voice

needs_dr_flac = pytest.mark.skipif(flac.lib is None, reason="there is no miniaudio for this machine")

TAGS = 42  # where the block after STREAMINFO begins
TOTAL_SAMPLES = slice(21, 26)  # the last 36 bits of these bytes of STREAMINFO


def samples(sound: Sound) -> NDArray[np.int16]:
    return np.concatenate([np.asarray(block, np.int16) for block in sound.blocks])


def by_libsndfile(data: bytes) -> Mp3 | str:
    try:
        return _decode(data, FLAC, EncoderSettings())
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
    data = bytearray(packed(voice(5000), kind="FLAC"))
    data[TOTAL_SAMPLES] = bytes([data[21] & 0xF0, 0, 0, 0, 0])

    with flac.open_sound(bytes(data)) as sound:
        assert sound is None


@needs_dr_flac
@pytest.mark.parametrize("declared", [1, 4999])
def test_it_ends_where_the_header_says(declared: int) -> None:
    data = bytearray(packed(voice(5000), kind="FLAC"))
    data[TOTAL_SAMPLES] = bytes([data[21] & 0xF0]) + declared.to_bytes(4, "big")

    with flac.open_sound(bytes(data)) as sound:
        assert sound is not None
        assert len(samples(sound)) == declared


@needs_dr_flac
def test_a_damaged_frame_is_left_out() -> None:
    data = bytearray(packed(voice(30000), kind="FLAC"))
    data[len(data) // 2] ^= 1

    with flac.open_sound(bytes(data)) as sound:
        assert sound is not None
        assert len(samples(sound)) < 30000


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
