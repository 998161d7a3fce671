"""The forms of audio in a row: each gives the same MP3, and none reads outside the repository."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hugflow.audio import AudioReason, audio_name, to_mp3
from hugflow.model.errors import RowError
from hugflow.model.records import EncoderSettings
from tests.support.sounds import converted, converted_or_reason, correlation, decoded, packed, pcm16, reason, voice

SETTINGS = EncoderSettings()


class Tensor:
    """As much of a torch tensor as `hugflow` uses."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> NDArray[Any]:
        return self.values


class Samples:
    def __init__(self, data: Any, sample_rate: int) -> None:
        self.data = data
        self.sample_rate = sample_rate


class Decoder:
    """As much of torchcodec's AudioDecoder, as `datasets` returns it, as `hugflow` uses."""

    def __init__(self, get: Callable[[], Samples], source: dict[str, Any] | None = None) -> None:
        self.get_all_samples = get
        if source:
            self._hf_encoded = source


@pytest.fixture(scope="module")
def sound() -> NDArray[np.int16]:
    return pcm16(voice(8000))


def test_all_forms_of_the_same_sound_give_the_same_bytes(sound: NDArray[np.int16]) -> None:
    file = packed(sound)
    floats = sound.astype(np.float32) / 32768
    cells: dict[str, Any] = {
        "bytes": file,
        "bytearray": bytearray(file),
        "memoryview": memoryview(file),
        "bytes in a struct": {"bytes": file, "path": None},
        "bytes with a path of another machine": {"bytes": file, "path": "/home/someone/a.wav"},
        "path": {"bytes": None, "path": "audio/a.wav"},
        "path alone": "audio/a.wav",
        "int16 array": {"array": sound, "sampling_rate": 16000},
        "list of ints": {"array": sound.tolist(), "sampling_rate": 16000, "path": "a.wav"},
        "float32 array": {"array": floats, "sampling_rate": 16000.0},
        "float64 array": {"array": floats.astype(np.float64), "sampling_rate": np.int64(16000)},
        "list of floats": {"array": floats.tolist(), "sampling_rate": 16000},
        "(N, 1)": {"array": floats[:, None], "sampling_rate": 16000},
        "(1, N)": {"array": floats[None, :], "sampling_rate": 16000},
        "int32": {"array": sound.astype(np.int32) << 16, "sampling_rate": 16000},
        "decoder of tensors": Decoder(lambda: Samples(Tensor(floats[None, :]), 16000)),
        "decoder of arrays": Decoder(lambda: Samples(floats[None, :], 16000)),
    }

    mp3s = {name: converted(cell, fetch={"audio/a.wav": file}.__getitem__) for name, cell in cells.items()}

    assert {name for name, mp3 in mp3s.items() if mp3 != mp3s["bytes"]} == set()
    assert mp3s["bytes"].samples == 8000


@pytest.mark.parametrize(
    "cell",
    [
        {"path": "a.wav"},
        {"path": "a.wav", "sampling_rate": 16000},
        {"path": "a.wav", "bytes": None, "array": None, "sampling_rate": None},
        {"path": "a.wav", "array": [], "sampling_rate": 16000},
        {"path": "a.wav", "array": np.zeros(0), "sampling_rate": None},
        {"path": "a.wav", "bytes": "", "duration": 1.5, "speaker": {"id": 7}},
        {"path": "a.wav", "array": [0.5], "sampling_rate": None},
        {"bytes": "the file", "text": "words"},
        {"bytes": "the file", "path": None, "array": None},
        {"bytes": "the file", "array": [], "sampling_rate": None, "path": "lost.wav"},
    ],
    ids=str,
)
def test_keys_may_be_missing_null_or_of_no_use(cell: dict[str, Any], sound: NDArray[np.int16]) -> None:
    file = packed(sound)
    filled = {name: file if isinstance(value, str) and value == "the file" else value for name, value in cell.items()}

    assert converted(filled, fetch={"a.wav": file}.__getitem__) == converted(file)


def test_channels_may_come_first_or_last() -> None:
    stereo = voice(8000, channels=2)
    mean = stereo.mean(1)

    last = converted({"array": stereo, "sampling_rate": 16000})
    first = converted({"array": stereo.T, "sampling_rate": 16000})
    lists = converted({"array": stereo.T.tolist(), "sampling_rate": 16000})
    decoder = converted(Decoder(lambda: Samples(Tensor(stereo.T), 16000)))

    assert last == first == lists == decoder
    assert (last.samples, last.source_channels, last.clipped) == (8000, 2, 0)
    assert correlation(mean, decoded(last.data)[0]) > 0.99


def test_a_decoders_channels_come_first_however_short_it_is() -> None:
    mp3 = converted(Decoder(lambda: Samples(np.zeros((6, 3), np.float32), 16000)))

    assert (mp3.samples, mp3.source_channels) == (3, 6)


@pytest.mark.parametrize(
    "cell",
    [
        None,
        {"bytes": None, "path": None},
        {"bytes": None},
        {"array": None, "sampling_rate": None, "path": None},
        {"path": None},
    ],
    ids=str,
)
def test_null(cell: Any) -> None:
    assert to_mp3(cell, SETTINGS) is None


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (5, AudioReason.BAD_CELL),
        (["a.wav"], AudioReason.BAD_CELL),
        ({}, AudioReason.BAD_CELL),
        ({"sampling_rate": 16000}, AudioReason.BAD_CELL),
        ({"bytes": "text"}, AudioReason.BAD_CELL),
        ({"path": 7}, AudioReason.BAD_CELL),
        ({"array": [0.0], "sampling_rate": None}, AudioReason.BAD_CELL),
        ({"array": [0.0], "sampling_rate": "16000"}, AudioReason.BAD_CELL),
        ({"array": [0.0], "sampling_rate": 16000.5}, AudioReason.BAD_CELL),
        ({"array": [0.0], "sampling_rate": float("nan")}, AudioReason.BAD_CELL),
        ({"array": [0.0], "sampling_rate": float("inf")}, AudioReason.BAD_CELL),
        ({"array": [0.0], "sampling_rate": 0}, AudioReason.UNSUPPORTED),
        ({"array": [0.0], "sampling_rate": -8000}, AudioReason.UNSUPPORTED),
        ({"array": [0.0], "sampling_rate": 10**30}, AudioReason.UNSUPPORTED),
        ({"array": [], "sampling_rate": 16000}, AudioReason.EMPTY),
        ({"array": [[], []], "sampling_rate": 16000}, AudioReason.EMPTY),
        ({"array": [[0.0], [0.0, 1.0]], "sampling_rate": 16000}, AudioReason.BAD_CELL),
        ({"array": [None, 1.0], "sampling_rate": 16000}, AudioReason.BAD_CELL),
        ({"array": ["a", "b"], "sampling_rate": 16000}, AudioReason.BAD_CELL),
        ({"array": 3.0, "sampling_rate": 16000}, AudioReason.BAD_CELL),
        ({"array": frozenset(), "sampling_rate": 16000}, AudioReason.BAD_CELL),
        ({"array": [True, False], "sampling_rate": 16000}, AudioReason.BAD_CELL),
        ({"array": [1 << 20, 0], "sampling_rate": 16000}, AudioReason.BAD_CELL),
        ({"array": np.zeros((2, 2, 2)), "sampling_rate": 16000}, AudioReason.BAD_CELL),
        ({"array": np.zeros((100, 100)), "sampling_rate": 16000}, AudioReason.UNSUPPORTED),
        ({"array": np.zeros(9, complex), "sampling_rate": 16000}, AudioReason.BAD_CELL),
        (b"", AudioReason.EMPTY),
        ({"bytes": b"", "path": "a.wav"}, AudioReason.EMPTY),
        ({"path": ""}, AudioReason.MISSING),
        ({"path": "a.wav"}, AudioReason.MISSING),
        ("a.wav", AudioReason.MISSING),
    ],
    ids=lambda value: str(value)[:40],
)
def test_cells_that_are_no_audio(cell: Any, expected: AudioReason) -> None:
    assert reason(cell) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "~/a.wav",
        "C:\\a.wav",
        "c:/a.wav",
        "\\\\server\\share\\a.wav",
        "../a.wav",
        "audio/../../a.wav",
        "audio\\..\\..\\a.wav",
        "http://127.0.0.1/a.wav",
        "https://example.org/a.wav",
        "ftp://example.org/a.wav",
        "file:///etc/passwd",
        "file:/etc/passwd",
        "s3://bucket/a.wav",
        "zip://a.wav::http://127.0.0.1/a.zip",
        "zip://../a.wav::hf://datasets/a/b@main/a.zip",
        "zip://a.wav::/etc/a.zip",
        "a\0.wav",
    ],
)
def test_paths_out_of_the_repository_are_refused_before_anything_is_opened(path: str) -> None:
    asked: list[str] = []

    def fetch(name: str) -> bytes:
        asked.append(name)
        return b""

    assert reason({"bytes": None, "path": path}, fetch=fetch) == AudioReason.REFUSED_PATH
    assert reason(path, fetch=fetch) == AudioReason.REFUSED_PATH
    assert asked == []


@pytest.mark.parametrize(
    "path",
    [
        "a.wav",
        "audio/a b/ü.wav",
        "hf://datasets/a/b@5f3a/a.wav",
        "zip://in/a.wav::hf://datasets/a/b@5f3a/x.zip",
        "a:b.wav",
    ],
)
def test_paths_of_the_repository_are_fetched(path: str, sound: NDArray[np.int16]) -> None:
    files = {path: packed(sound)}

    assert converted({"bytes": None, "path": path}, fetch=files.__getitem__).samples == 8000


def test_a_file_of_this_machine_is_never_opened(tmp_path: Path, sound: NDArray[np.int16]) -> None:
    inside = tmp_path / "secret.wav"
    inside.write_bytes(packed(sound))
    outside = {"a.wav": b"other"}

    assert reason({"path": str(inside)}) == AudioReason.REFUSED_PATH
    assert reason({"path": "a.wav"}, fetch=outside.__getitem__) == AudioReason.UNSUPPORTED


def test_what_fetch_raises_is_passed_on() -> None:
    def fetch(_: str) -> bytes:
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        to_mp3({"path": "a.wav"}, SETTINGS, fetch=fetch)


def test_log_lines_of_a_decoder(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "hugflow"):
        converted(Decoder(lambda: Samples(np.zeros((1, 100), np.float32), 16000)))

    assert caplog.messages == [
        "Found AudioDecoder object, extracting audio",
        "Successfully extracted and converted AudioDecoder audio",
    ]


def test_a_decoder_that_fails_costs_the_row(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Samples:
        raise RuntimeError("secret words of the row")

    with pytest.raises(RowError) as caught:
        to_mp3(Decoder(fail), SETTINGS)

    assert caught.value.reason == AudioReason.DECODE_FAILED
    assert "secret" not in str(caught.value)


def test_a_decoder_without_memory_is_no_row_error() -> None:
    def fail() -> Samples:
        raise MemoryError

    with pytest.raises(MemoryError):
        to_mp3(Decoder(fail), SETTINGS)


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ({"bytes": b"x", "path": "a/b.flac"}, "a/b.flac"),
        ({"path": "/home/someone/b.flac"}, "/home/someone/b.flac"),
        ("b.flac", "b.flac"),
        ({"bytes": b"x", "path": None}, None),
        ({"bytes": b"x", "path": ""}, None),
        ({"bytes": b"x", "path": 3}, None),
        ({"bytes": b"x"}, None),
        (b"x", None),
        (None, None),
        ("", None),
        (Decoder(lambda: Samples(None, 0), {"path": "c.wav", "bytes": None}), "c.wav"),
        (Decoder(lambda: Samples(None, 0)), None),
    ],
)
def test_audio_name(cell: Any, name: str | None) -> None:
    assert audio_name(cell) == name


def test_clipped_samples_are_counted() -> None:
    array = np.array([0.5, 1.0, -1.0, 1.5, -2.0, np.float32(1.0000001), 1e30])

    assert converted({"array": array, "sampling_rate": 16000}).clipped == 4


@pytest.mark.parametrize(
    ("array", "peak"),
    [
        (np.zeros(5000), 0),
        (np.full(5000, 1e-6), 0),
        (np.r_[np.zeros(300_000), -0.25, np.zeros(9)], 8192),  # in the second block
        (np.array([0.5, -1.0] * 50), 32768),
        (np.array([3.0, 0.0] * 50), 32767),
    ],
)
def test_the_peak_tells_silent_sounds_from_others(array: NDArray[Any], peak: int) -> None:
    assert converted({"array": array, "sampling_rate": 16000}).peak == peak


def test_what_is_no_number_is_replaced_and_counted() -> None:
    loud = voice(16000)
    broken = loud.copy()
    broken[[10, 500, 9000]] = [np.nan, np.inf, -np.inf]

    mp3 = converted({"array": broken, "sampling_rate": 16000})
    resampled = converted({"array": broken, "sampling_rate": 15000})
    stereo = converted({"array": np.stack([broken, -broken], 1), "sampling_rate": 16000})

    assert (mp3.samples, mp3.clipped) == (16000, 3)
    assert stereo.clipped == 3
    assert resampled.clipped >= 3
    back = decoded(mp3.data)[0]
    assert np.isfinite(back).all()
    assert correlation(np.delete(loud, slice(0, 9500)), back[9500:]) > 0.99


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("rate", [16000, 15000])
def test_a_sound_without_one_number_is_refused(value: float, rate: int) -> None:
    assert reason({"array": np.full(5000, value), "sampling_rate": rate}) == AudioReason.DECODE_FAILED


def test_integers_are_scaled_by_their_type() -> None:
    ramp = np.arange(-100, 100, dtype=np.int8)
    as_float = ramp / 128

    expected = converted({"array": as_float, "sampling_rate": 16000})

    for array in (ramp, ramp.astype(np.int16) * 256, (ramp.astype(np.int16) + 128).astype(np.uint8)):
        assert converted({"array": array, "sampling_rate": 16000}) == expected


def test_too_long() -> None:
    cell = {"array": np.zeros(16001, np.int16), "sampling_rate": 16000}

    with pytest.raises(RowError) as caught:
        to_mp3(cell, EncoderSettings(max_audio_s=1))

    assert caught.value.reason == AudioReason.TOO_LONG
    assert to_mp3({**cell, "array": cell["array"][1:]}, EncoderSettings(max_audio_s=1)) is not None


def test_the_array_of_the_caller_is_left_as_it_is() -> None:
    array = np.array([0.25, np.nan, 3.0, -0.5] * 100, np.float32)
    before = array.copy()

    converted({"array": array, "sampling_rate": 16000})
    converted({"array": array.reshape(-1, 2), "sampling_rate": 11000})

    np.testing.assert_array_equal(array, before)


_NUMBERS = st.floats(width=32) | st.integers(-(1 << 33), 1 << 33) | st.none() | st.text(max_size=3)
_ARRAYS = st.lists(_NUMBERS, max_size=60) | st.lists(st.lists(st.floats(width=64), max_size=5), max_size=5)
_CELLS = st.fixed_dictionaries(
    {},
    optional={
        "bytes": st.none() | st.binary(max_size=90) | st.integers(),
        "path": st.none() | st.text(max_size=20) | st.integers(),
        "array": st.none() | _ARRAYS,
        "sampling_rate": st.none() | st.integers() | st.floats() | st.sampled_from([8000, 22050, 96000]),
    },
)


@given(_CELLS | st.integers() | st.binary(max_size=200) | st.text(max_size=30) | st.lists(st.integers(), max_size=3))
@settings(max_examples=300, deadline=None)
def test_any_cell_gives_an_mp3_a_null_or_a_row_error(cell: Any) -> None:
    outcome = converted_or_reason(cell)

    assert outcome is None or outcome in set(AudioReason) or len(decoded(outcome.data)[0]) == outcome.samples


def test_nothing_is_looked_up_on_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a host was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    assert reason("http://example.org/a.wav") == AudioReason.REFUSED_PATH
    assert reason(b"http://example.org/a.wav") == AudioReason.UNSUPPORTED
