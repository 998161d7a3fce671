"""Audio keeps its content in a download: every sample in its place, in a file that any player can read."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.support.world import (
    Stored,
    World,
    audio_cell,
    clip,
    correlation,
    decode,
    mono,
    sound_file,
    strict_json,
)

Source = Mapping[str, Any]

RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
KBPS = {8_000: 64, 11_025: 64, 12_000: 64, 16_000: 160, 22_050: 160, 24_000: 160}
NEAREST_RATE = {10_000: 11_025, 15_000: 16_000, 88_200: 48_000, 96_000: 48_000}


def _many() -> list[dict[str, Any]]:
    """1,000 clips: every MP3 rate, some others, mono and stereo, four kinds of files."""
    kinds = (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("WAV", "FLOAT"), ("AIFF", "PCM_24"))
    rows = []
    for number in range(1_000):
        rate = RATES[number % len(RATES)] if number % 50 else list(NEAREST_RATE)[number // 50 % 4]
        kind, subtype = kinds[number % 4]
        pcm = clip(number, 0.3 + number % 7 / 10, rate, channels=1 + (number % 10 == 3))
        data = sound_file(pcm, rate, kind, subtype)
        rows.append({"audio": audio_cell(data, f"clip {number}.{kind.lower()}"), "text": f"sentence {number}"})
    return rows


@pytest.fixture(scope="module")
def recordings(shared_world: World, speech_dir: Path) -> tuple[list[dict[str, Any]], Stored]:
    """Six recordings of people, packed as they are, and the dataset that was made of them."""
    files = sorted(speech_dir.iterdir())
    rows = [{"audio": audio_cell(file.read_bytes(), file.name), "text": file.stem} for file in files if file.is_file()]
    shared_world.serve("acme/recordings", rows, group_rows=2)
    done = shared_world.sync(shared_world.add("acme/recordings", "recordings")).ok()
    return rows, shared_world.dataset(done.result["name"])


@pytest.fixture(scope="module")
def clips(shared_world: World) -> tuple[list[dict[str, Any]], Stored]:
    """1,000 clips in 10 shards, and the dataset that was made of them."""
    rows = _many()
    shared_world.serve("acme/clips", rows, shards=10, group_rows=30)
    done = shared_world.sync(shared_world.add("acme/clips", "clips"), WORKERS="2").ok()
    return rows, shared_world.dataset(done.result["name"])


def _check_row(source: Source, row: Mapping[str, Any], stored: Stored) -> None:
    """The MP3 is what the source was: the samples of an independent decoder are the judge."""
    assert row["text"] == source["text"]
    wanted, source_rate = soundfile.read(io.BytesIO(source["audio"]["bytes"]), dtype="float64")
    got, rate = decode(stored.mp3(row))
    assert got.ndim == 1, "it is not mono"
    if source_rate in RATES:
        assert (rate, len(got)) == (source_rate, len(wanted))
        assert correlation(mono(wanted), got) > 0.99
        return
    assert rate == NEAREST_RATE[source_rate]
    assert abs(len(got) - len(wanted) * rate / source_rate) <= 1
    at = np.arange(len(got)) * source_rate / rate
    assert correlation(np.interp(at, np.arange(len(wanted)), mono(wanted)), got) > 0.98


def _bit_rate(data: bytes) -> int:
    """kbit/s of the first frame after the Info frame, from its header (ISO 11172-3, 2.4.2.3; 13818-3)."""
    at = data.index(b"\xff", 0)
    version, rate_index = data[at + 1] >> 3 & 3, data[at + 2] >> 4
    layer3 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
    layer3_low = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    return (layer3 if version == 3 else layer3_low)[rate_index]


def test_every_recording_comes_out_as_it_went_in(recordings: tuple[list[Source], Stored]) -> None:
    sources, stored = recordings
    rows = stored.rows()
    assert list(rows) == list(range(len(sources)))
    for number, source in enumerate(sources):
        if source["text"] != "stereo":  # 24 kbit/s MP3: checked below with the tool that encoded nothing of it
            _check_row(source, rows[number], stored)


def test_a_stereo_mp3_becomes_mono(recordings: tuple[list[Source], Stored]) -> None:
    sources, stored = recordings
    number = next(n for n, source in enumerate(sources) if source["text"] == "stereo")
    wanted, source_rate = soundfile.read(io.BytesIO(sources[number]["audio"]["bytes"]), dtype="float64")
    got, rate = decode(stored.mp3(stored.rows()[number]))
    assert wanted.ndim == 2
    assert (rate, got.ndim) == (source_rate, 1)
    assert len(got) == len(wanted)
    assert correlation(mono(wanted), got) > 0.99


def test_a_mono_mp3_is_copied_byte_by_byte(recordings: tuple[list[Source], Stored]) -> None:
    sources, stored = recordings
    (number,) = [n for n, source in enumerate(sources) if source["audio"]["path"].startswith("common_voice")]
    assert stored.mp3(stored.rows()[number]) == sources[number]["audio"]["bytes"]
    assert [row["row"] for row in stored.index() if row["copied"]] == [number]


def test_a_mono_mp3_is_encoded_again_when_the_request_says_so(
    shared_world: World, recordings: tuple[list[Source], Stored]
) -> None:
    sources, _stored = recordings
    (source,) = [source for source in sources if source["audio"]["path"].startswith("common_voice")]
    shared_world.serve("acme/again", [source])
    done = shared_world.sync(shared_world.add("acme/again", "again", reencode=True)).ok()
    made = shared_world.dataset(done.result["name"])
    assert made.mp3(made.rows()[0]) != source["audio"]["bytes"]
    _check_row(source, made.rows()[0], made)


def test_every_clip_comes_out_as_it_went_in(clips: tuple[list[Source], Stored]) -> None:
    sources, stored = clips
    rows = stored.rows()
    assert list(rows) == list(range(1_000))
    assert len(stored.audio_names()) == 1_000
    for number, source in enumerate(sources):
        _check_row(source, rows[number], stored)


def test_bit_rates_are_the_highest_that_the_format_has_up_to_192(clips: tuple[list[Source], Stored]) -> None:
    _, stored = clips
    for row in stored.rows().values():
        data = stored.mp3(row)
        assert _bit_rate(data) == KBPS.get(decode(data)[1], 192)


def test_the_index_says_what_was_done(clips: tuple[list[Source], Stored]) -> None:
    sources, stored = clips
    for record, source in zip(stored.index(), sources, strict=True):
        info = soundfile.info(io.BytesIO(source["audio"]["bytes"]))
        assert record["status"] == "ok"
        assert (record["source_sample_rate"], record["source_channels"]) == (info.samplerate, info.channels)
        assert (record["samples"], record["sample_rate"]) == decode_shape(stored, record["audio"])
        assert not record["copied"]


def decode_shape(stored: Stored, name: str) -> tuple[int, int]:
    samples, rate = decode((stored.path / "audio" / name).read_bytes())
    return len(samples), rate


def test_an_independent_tool_finds_no_damage(
    clips: tuple[list[Source], Stored], recordings: tuple[list[Source], Stored]
) -> None:
    if shutil.which("mp3val") is None:
        pytest.skip("mp3val is not installed")
    files = [file for _, stored in (clips, recordings) for file in sorted((stored.path / "audio").iterdir())]
    report = subprocess.run(["mp3val", *files], capture_output=True, text=True, check=True).stdout
    assert report.count("INFO:") == len(files)
    # what it says of every short or untagged file, LAME's own included: no damage
    harmless = ("Too few MPEG frames", "No supported tags in the file")
    assert [line for line in report.splitlines() if "WARNING" in line and not any(h in line for h in harmless)] == []


def test_totals_are_those_of_the_files(clips: tuple[list[Source], Stored], shared_world: World) -> None:
    _, stored = clips
    marker = stored.marker()
    audio = [file.stat().st_size for file in (stored.path / "audio").iterdir()]
    assert (marker["audio_files"], marker["audio_bytes"]) == (len(audio), sum(audio))
    assert marker["json_bytes"] == sum(file.stat().st_size for file in (stored.path / "json").iterdir())
    seconds = sum(row["samples"] / row["sample_rate"] for row in stored.index())
    assert marker["duration_s"] == pytest.approx(seconds)
    active = strict_json((shared_world.state / "active.json").read_text())
    assert marker in [entry["dataset"] for entry in active["datasets"]]
