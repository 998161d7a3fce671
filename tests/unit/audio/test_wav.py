"""The fast path for WAV gives the samples of libsndfile, and the same reasons for refusals."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hugflow.audio import Mp3, sndfile, wav
from hugflow.audio.containers import WAV, check_whole
from hugflow.audio.convert import _decode
from hugflow.audio.pcm import BLOCK_SAMPLES, Sound
from hugflow.model.errors import RowError
from hugflow.model.records import EncoderSettings
from tests.support.sounds import converted_or_reason, packed, voice

HEADER = 44


def samples(sound: Sound) -> NDArray[np.int16]:
    return np.concatenate([np.asarray(block, np.int16) for block in sound.blocks])


def by_libsndfile(data: bytes) -> Mp3 | str:
    try:
        return _decode(check_whole(data, WAV), WAV, EncoderSettings())
    except RowError as error:
        return error.reason


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def with_chunks(data: bytes, *chunks: bytes) -> bytes:
    """The file with these chunks before its samples."""
    return data[:36] + b"".join(chunks) + data[36:]


@pytest.mark.parametrize(
    ("channels", "rate", "length"),
    [(1, 16000, 30000), (1, 48000, BLOCK_SAMPLES), (1, 8000, BLOCK_SAMPLES + 1), (2, 44100, 20000), (8, 16000, 90000)],
)
@pytest.mark.parametrize("chunks", [[], [chunk(b"LIST", b"INFOISFT\x05\0\0\0sound\0"), chunk(b"JUNK", b"odd")]])
def test_the_samples_are_those_of_libsndfile(channels: int, rate: int, length: int, chunks: list[bytes]) -> None:
    data = with_chunks(packed(voice(length, rate, channels=channels), rate, kind="WAV"), *chunks)
    quick = wav.open_sound(data)

    with sndfile.open_sound(data) as known:
        assert quick is not None
        assert (quick.sample_rate, quick.channels, quick.frames) == (known.sample_rate, known.channels, length)
        np.testing.assert_array_equal(samples(quick), samples(known))


@pytest.mark.parametrize("subtype", ["PCM_24", "PCM_U8", "FLOAT", "ULAW"])
def test_other_samples_are_left_to_libsndfile(subtype: str) -> None:
    assert wav.open_sound(packed(voice(5000), kind="WAV", subtype=subtype)) is None


@pytest.mark.parametrize("kind", ["WAVEX", "RF64"])
def test_other_headers_are_left_to_libsndfile(kind: str) -> None:
    assert wav.open_sound(packed(voice(5000), kind=kind)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        packed(voice(5000), kind="WAV")[:HEADER],
        packed(voice(5000), kind="WAV")[:-2],
        packed(voice(5000), kind="WAV") + chunk(b"LIST", b"INFO"),
        with_chunks(packed(voice(5000), kind="WAV"), chunk(b"PEAK", bytes(16))),
        with_chunks(packed(voice(5000), kind="WAV")[:36], b"LIST\xff\xff\xff\xff"),
    ],
)
def test_what_is_not_as_usual_is_left_to_libsndfile(data: bytes) -> None:
    assert wav.open_sound(data) is None


changes = st.lists(st.tuples(st.integers(12, HEADER + 8), st.integers(0, 255)), max_size=3)
chunks = st.lists(
    st.builds(chunk, st.sampled_from([b"LIST", b"JUNK", b"fact", b"bext", b"data", b"abcd"]), st.binary(max_size=9)),
    max_size=2,
)


@given(changes, chunks, st.integers(1, 3), st.integers(0, 5))
def test_whatever_the_header_says_the_result_is_that_of_libsndfile(
    changed: list[tuple[int, int]], before: list[bytes], channels: int, cut: int
) -> None:
    whole = bytearray(with_chunks(packed(voice(700, channels=channels), kind="WAV"), *before))
    for at, value in changed:
        whole[at] = value
    data = bytes(whole[: len(whole) - cut])

    assert converted_or_reason(data) == by_libsndfile(data)
