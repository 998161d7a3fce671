"""Audio that `datasets` decodes with torch and torchcodec gives the same MP3 as the same audio from its bytes."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import soundfile
from torchcodec.decoders import AudioDecoder

from hugflow.audio import audio_name, to_mp3
from hugflow.model.records import EncoderSettings
from tests.conftest import ROOT
from tests.support.world import clip, sound_file

SETTINGS = EncoderSettings()
CLIPS = sorted((ROOT / "examples" / "clips").glob("*.[wf]*"))


def decoded(data: bytes, name: str = "a.wav", **feature: Any) -> AudioDecoder:
    """The cell as a row of a dataset has it."""
    rows = datasets.Dataset.from_dict({"audio": [{"bytes": data, "path": name}]})
    cell = rows.cast_column("audio", datasets.Audio(**feature))[0]["audio"]
    assert isinstance(cell, AudioDecoder)
    return cell


@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.name)
def test_the_example_clips(path: Path) -> None:
    data = path.read_bytes()
    assert to_mp3(decoded(data, path.name), SETTINGS) == to_mp3(data, SETTINGS)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("rate", "kind", "subtype"), [(16_000, "WAV", "PCM_16"), (44_100, "FLAC", "PCM_16"), (96_000, "WAV", "FLOAT")]
)
def test_mono_and_stereo(rate: int, kind: str, subtype: str, channels: int) -> None:
    data = sound_file(clip(channels, 0.5, rate, channels), rate, kind, subtype)
    from_decoder, from_bytes = to_mp3(decoded(data), SETTINGS), to_mp3(data, SETTINGS)
    assert from_decoder is not None
    assert from_decoder == from_bytes
    assert from_decoder.source_channels == channels
    assert from_decoder.source_sample_rate == rate


@pytest.mark.parametrize("channels", [1, 2])
def test_resampled(channels: int) -> None:
    """A dataset may ask for another rate: what the decoder gives then is what is encoded."""
    data = sound_file(clip(7, 0.5, 44_100, channels), 44_100)
    # a decoder of its own: torchcodec 0.13 resamples the same clip otherwise when it is asked a second time
    samples = decoded(data, sampling_rate=16_000).get_all_samples()
    assert samples.sample_rate == 16_000
    file = io.BytesIO()
    soundfile.write(file, np.asarray(samples.data).T, 16_000, format="WAV", subtype="FLOAT")
    from_decoder = to_mp3(decoded(data, sampling_rate=16_000), SETTINGS)
    assert from_decoder is not None
    assert from_decoder == to_mp3(file.getvalue(), SETTINGS)
    assert from_decoder.sample_rate == 16_000
    assert from_decoder.samples == samples.data.shape[1]


def test_the_log_says_what_was_found(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "hugflow"):
        to_mp3(decoded(sound_file(clip(1, 0.2))), SETTINGS)
    assert "Found AudioDecoder object, extracting audio" in caplog.messages
    assert "Successfully extracted and converted AudioDecoder audio" in caplog.messages


def test_the_name_of_a_decoded_cell() -> None:
    assert audio_name(decoded(sound_file(clip(1, 0.2)), "clips/naïve.wav")) == "clips/naïve.wav"
