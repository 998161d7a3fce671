"""Benchmarks encoding: the download workers beside LAME alone on all cores, and beside pydub, one row at a time.

The clips are 9 s of speech, 16 kHz, as WAV and as FLAC. LAME alone gets their samples, in memory, and keeps nothing;
the workers read them from parquet, decode (FLAC takes a sixteenth of LAME's time), encode, write MP3 and JSON durably
and keep the journal, the index and the metadata. The two take turns of a second, because a machine that others use as
well is not as fast all the time: while LAME encodes, the workers' processes are stopped, and so is their clock. pydub
writes the FLAC file to a temporary one, reads it, makes it mono and exports it.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import lameenc
import numpy as np
from numpy.typing import NDArray

from benchmarks import measure
from benchmarks.material import SAMPLE_RATE, Dataset, Run, audio_file, audio_table, clips
from benchmarks.measure import Sample, Target, in_turns, print_fact, print_ratio, print_samples, sample
from hugflow.audio.mpeg import highest_kbps
from hugflow.model.records import EncoderSettings

SMOKE = ("--rows", "8", "--rounds", "1", "--pydub-rows", "1", "--lame-rows", "4", "--clips", "2")
CONTAINERS = ("WAV", "FLAC")
SHARDS = (1, 10)
CASES = [(container, shards) for container in CONTAINERS for shards in SHARDS]
Case = tuple[str, int]


@dataclass(slots=True)
class Results:
    """Measurements, one item per round; LAME was measured with each case, in its pauses."""

    pydub: list[Sample] = field(default_factory=list)
    lame: dict[Case, list[Sample]] = field(default_factory=lambda: {case: [] for case in CASES})
    runs: dict[Case, list[Run]] = field(default_factory=lambda: {case: [] for case in CASES})


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = measure.parser(__doc__, rows=2000, rounds=3)
    parser.add_argument("--lame-rows", type=int, default=80, help="clips that LAME alone encodes in a turn")
    parser.add_argument("--pydub-rows", type=int, default=10, help="clips that pydub converts in a round")
    parser.add_argument("--clips", type=int, default=50, help="different clips; they repeat")
    options = parser.parse_args(arguments)
    if shutil.which("ffmpeg") is None:
        parser.error("pydub needs ffmpeg, which is not installed")
    measure.print_title(
        "encode", f"{options.rows:,} clips of 9 s, {options.workers} workers, {options.rounds} rounds; CPU time of all"
    )
    sounds = clips(options.clips)
    files = {container: [audio_file(pcm, container) for pcm in sounds] for container in CONTAINERS}
    for container, made in files.items():
        print_fact(f"a clip as {container}", f"{sum(map(len, made)) / len(made) / 1000:.0f} kB")
    with tempfile.TemporaryDirectory(prefix="hugflow-bench-") as folder:
        results = Results()
        for number in range(options.rounds):
            _round(results, options, sounds, files, Path(folder) / str(number))
    _print(results)


def _round(
    results: Results,
    options: argparse.Namespace,
    sounds: list[NDArray[np.int16]],
    files: dict[str, list[bytes]],
    folder: Path,
) -> None:
    """The workers and LAME alone in turns, case by case; then pydub."""
    for container, shards in CASES:
        cuts = [options.rows * part // shards for part in range(shards + 1)]
        parts = ((first, stop) for first, stop in itertools.pairwise(cuts) if stop > first)
        tables = (audio_table(files[container], f".{container.lower()}", first, stop) for first, stop in parts)
        dataset = Dataset.build(folder / f"{container}-{shards}", tables)
        os.sync()  # the input that was just built must not be written back while the workers run
        lame = partial(_lame, sounds, options.lame_rows, options.workers)
        run, pauses, alone = in_turns(partial(dataset.download, options.workers), lame)
        results.runs[container, shards].append(run.without(pauses))
        results.lame[container, shards].append(alone)
    results.pydub.append(sample(options.pydub_rows, lambda: _pydub(files["FLAC"], options.pydub_rows, folder)))


def _lame(sounds: list[NDArray[np.int16]], rows: int, threads: int) -> Sample:
    """Encode samples in memory with LAME and the settings of the workers; LAME releases the GIL meanwhile."""

    def encode(row: int) -> None:
        encoder = lameenc.Encoder()
        encoder.silence()
        encoder.set_channels(1)
        encoder.set_in_sample_rate(SAMPLE_RATE)
        encoder.set_out_sample_rate(SAMPLE_RATE)
        encoder.set_bit_rate(highest_kbps(SAMPLE_RATE))
        encoder.set_quality(EncoderSettings().quality)
        encoder.encode(sounds[row % len(sounds)])
        encoder.flush()

    with ThreadPoolExecutor(threads) as pool:
        return sample(rows, lambda: list(pool.map(encode, range(rows))))


def _pydub(files: list[bytes], rows: int, folder: Path) -> None:
    from pydub import AudioSegment  # noqa: PLC0415 - it warns when it is imported without ffmpeg

    folder.mkdir(exist_ok=True)
    for row in range(rows):
        source, target = folder / f"{row}.flac", folder / f"{row}.mp3"
        source.write_bytes(files[row % len(files)])
        AudioSegment.from_file(source).set_channels(1).export(target, format="mp3", bitrate="192k").close()


def _print(results: Results) -> None:
    names = {case: f"hugflow, {case[0]}, {case[1]} shard{'s' if case[1] > 1 else ''}" for case in CASES}
    print_samples(
        {"LAME alone": [one for case in CASES for one in results.lame[case]], "pydub, one row at a time": results.pydub}
        | {names[case]: [run.whole for run in results.runs[case]] for case in CASES}
    )
    for case in CASES:
        pairs = list(zip(results.runs[case], results.lame[case], strict=True))
        # LAME alone starts with samples; FLAC has to be decoded first, and so has no targets
        whole, steady = (Target("at least", 0.85), Target("at least", 0.9)) if case[0] == "WAV" else (None, None)
        name = f"{names[case]} / LAME alone"
        print_ratio(name, [run.whole.rows_per_s / lame.rows_per_s for run, lame in pairs], whole)
        steadily = [run.steady.rows_per_s / lame.rows_per_s for run, lame in pairs]
        print_ratio(f"{name}, between the first and the last commit", steadily, steady)
        print_ratio(f"{name}, by processor time", [lame.cpu_ms / run.whole.cpu_ms for run, lame in pairs])
    pydub = sum(one.rows for one in results.pydub) / sum(one.wall_s for one in results.pydub)
    for case in CASES:
        speeds = [run.whole.rows_per_s / pydub for run in results.runs[case]]
        print_ratio(f"{names[case]} / pydub", speeds, Target("at least", 18))


if __name__ == "__main__":
    main()
