"""Sounds for the audio tests, and independent tools that check results: libsndfile, ffmpeg, mp3val."""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from hugflow.audio import Mp3, to_mp3
from hugflow.model.errors import RowError
from hugflow.model.records import EncoderSettings

REPOSITORY = Path(__file__).resolve().parents[2]
SPEECH = REPOSITORY.parent / "shared" / "data" / "speech"

needs_speech = pytest.mark.skipif(not SPEECH.is_dir(), reason="the shared recordings are not on this machine")
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
needs_mp3val = pytest.mark.skipif(shutil.which("mp3val") is None, reason="mp3val is not installed")

# What mp3val says of every short or untagged file, LAME's own included: no damage.
_HARMLESS = ("Too few MPEG frames", "No supported tags in the file")


def voice(samples: int, sample_rate: int = 16000, *, seed: int = 0, channels: int = 1) -> NDArray[np.float64]:
    """Something like a vowel: harmonics of a gliding pitch with breath, at most 0.5. Shape (N,) or (N, channels)."""
    random = np.random.default_rng(seed)
    time = np.arange(samples) / sample_rate
    columns = []
    for channel in range(channels):
        pitch = 110 + 30 * channel + 20 * np.sin(2 * np.pi * 0.7 * time)
        phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
        tone = sum(np.sin(k * phase) / k for k in range(1, 13))
        columns.append(
            (tone + 0.01 * random.standard_normal(samples)) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time)) * 0.2
        )
    sound = np.clip(np.stack(columns, 1), -0.5, 0.5)
    return sound[:, 0] if channels == 1 else sound


def pcm16(sound: NDArray[np.float64]) -> NDArray[np.int16]:
    return np.rint(sound * 32767).astype(np.int16)


def packed(sound: NDArray[Any], sample_rate: int = 16000, kind: str = "WAV", subtype: str | None = "PCM_16") -> bytes:
    """A file of `sound` as libsndfile writes it."""
    file = io.BytesIO()
    soundfile.write(file, sound, sample_rate, format=kind, subtype=subtype)
    return file.getvalue()


def by_ffmpeg(data: bytes, *arguments: str, suffix: str) -> bytes:
    """`data` converted by the ffmpeg program, written to a file so that it can seek."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target" + suffix)
        source.write_bytes(data)
        subprocess.run(["ffmpeg", "-v", "error", "-i", source, *arguments, target], check=True)
        return target.read_bytes()


def by_lame(sound: NDArray[np.int16], sample_rate: int, *arguments: str) -> bytes:
    """An MP3 made by the lame program."""
    if shutil.which("lame") is None:
        pytest.skip("the lame program is not installed")
    with tempfile.TemporaryDirectory() as folder:  # to a pipe it would write no Info header
        source, target = Path(folder, "source.wav"), Path(folder, "target.mp3")
        source.write_bytes(packed(sound, sample_rate))
        subprocess.run(["lame", "--quiet", *arguments, source, target], check=True)
        return target.read_bytes()


def decoded(mp3: bytes) -> tuple[NDArray[np.float32], int]:
    """Samples and rate as libsndfile (mpg123) decodes them."""
    samples, sample_rate = soundfile.read(io.BytesIO(mp3), dtype="float32")
    return samples, sample_rate


def decoded_by_ffmpeg(mp3s: list[bytes]) -> list[NDArray[np.float32]]:
    """The samples of each MP3 as ffmpeg decodes them, all in one process."""
    with tempfile.TemporaryDirectory() as folder:
        inputs: list[str] = []
        outputs: list[str] = []
        for number, mp3 in enumerate(mp3s):
            Path(folder, f"{number}.mp3").write_bytes(mp3)
            # Named, because ffmpeg's guess at a file of a few frames is sometimes another format.
            inputs += ["-f", "mp3", "-i", f"{folder}/{number}.mp3"]
            outputs += ["-map", f"{number}:a", "-f", "f32le", f"{folder}/{number}.raw"]
        subprocess.run(["ffmpeg", "-v", "error", *inputs, *outputs], check=True)
        return [np.fromfile(f"{folder}/{number}.raw", "f4") for number in range(len(mp3s))]


def damage(mp3s: list[bytes]) -> list[str]:
    """Return mp3val's warnings, file by file, without those that it has for every short or untagged file."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number}.mp3") for number in range(len(mp3s))]
        for path, mp3 in zip(paths, mp3s, strict=True):
            path.write_bytes(mp3)
        report = subprocess.run(["mp3val", *paths], capture_output=True, text=True, check=True).stdout
    assert report.count("INFO:") == len(mp3s), report
    return [line for line in report.splitlines() if "WARNING" in line and not any(word in line for word in _HARMLESS)]


def converted(cell: Any, *, fetch: Callable[[str], bytes] | None = None, **settings: Any) -> Mp3:
    """The MP3 that `to_mp3` makes of `cell`, which is not null."""
    mp3 = to_mp3(cell, EncoderSettings(**settings), fetch=fetch)
    assert mp3 is not None
    return mp3


def converted_or_reason(cell: Any) -> Any:
    """The MP3 or None, or the reason why there is none."""
    try:
        return to_mp3(cell, EncoderSettings())
    except RowError as error:
        return error.reason


def reason(cell: Any, *, fetch: Callable[[str], bytes] | None = None, **settings: Any) -> str:
    """Return the reason for which `cell` cannot become an MP3."""
    with pytest.raises(RowError) as caught:
        to_mp3(cell, EncoderSettings(**settings), fetch=fetch)
    assert caught.value.message
    return caught.value.reason


def correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.corrcoef(np.asarray(one, np.float64), np.asarray(other, np.float64))[0, 1])


def lag(source: NDArray[Any], copy: NDArray[Any]) -> int:
    """By how many samples `copy` is late: where the two correlate best."""
    size = 1 << (2 * len(source)).bit_length()
    product = np.fft.irfft(np.fft.rfft(copy, size) * np.conj(np.fft.rfft(source, size)), size)
    best = int(np.argmax(product))
    return best if best < size // 2 else best - size
