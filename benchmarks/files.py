"""Benchmarks writing: rows with copied MP3s and rows without audio, beside a loop that writes the same files durably.

The loop has all bytes in memory and writes them in groups of as many rows as a worker's: temporary files, synced,
renamed, directories synced. "One by one" syncs each file after it is written, as such a loop usually does; "together"
syncs as Hugflow does. The workers also read parquet, check the MP3 frame by frame, make the JSON, hash all of it, and
keep the journal; what they do before the first row (start) and after the last (index, metadata) is given apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks import measure
from benchmarks.material import Dataset, Run, audio_table, clips, value_table
from benchmarks.measure import Sample, Target, print_fact, print_ratio, print_samples, sample
from hugflow.audio import to_mp3
from hugflow.download.run import group_rows
from hugflow.model.records import EncoderSettings
from hugflow.storage.disk import open_folder, sync_directory, write_all_synced

SMOKE = ("--rows", "40", "--json-rows", "80", "--rounds", "1")
TARGET = Target("at least", 0.7)
Write = Callable[[int, list[tuple[str, bytes]]], None]


@dataclass(slots=True)
class Results:
    """Measurements, one list item per round."""

    runs: list[Run] = field(default_factory=list)
    one_by_one: list[Sample] = field(default_factory=list)
    together: list[Sample] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = measure.parser(__doc__, rows=3000, rounds=5)
    parser.add_argument("--json-rows", type=int, default=20000, help="rows in a round of rows without audio")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="hugflow-bench-") as folder:
        _copied(options, Path(folder) / "copied")
        _json(options, Path(folder) / "json")


def _copied(options: argparse.Namespace, folder: Path) -> None:
    measure.print_title("copied", f"{options.rows:,} rows with a mono MP3 of 9 s, {options.rounds} rounds")
    mp3s = [mp3.data for pcm in clips(8) if (mp3 := to_mp3({"array": pcm, "sampling_rate": 16_000}, EncoderSettings()))]
    print_fact("an MP3", f"{sum(map(len, mp3s)) / len(mp3s) / 1000:.0f} kB")
    results = Results()
    for number in range(options.rounds):
        table = audio_table(mp3s, ".mp3", 0, options.rows)
        _round(results, Dataset.build(folder / str(number), [table]), options.workers)
    _print("copied rows", results)


def _json(options: argparse.Namespace, folder: Path) -> None:
    measure.print_title("json", f"{options.json_rows:,} rows without audio, {options.rounds} rounds")
    results = Results()
    for number in range(options.rounds):
        _round(results, Dataset.build(folder / str(number), [value_table(0, options.json_rows)]), options.workers)
    _print("JSON-only rows", results)


def _round(results: Results, dataset: Dataset, workers: int) -> None:
    """The workers, then the two loops with the files that the workers wrote."""
    results.runs.append(dataset.download(workers))
    written = dataset.folder / "storage" / dataset.plan.name
    rows = _rows(written, dataset.rows)
    for samples, write in ((results.one_by_one, _one_by_one), (results.together, write_all_synced)):
        target = Path(tempfile.mkdtemp(dir=dataset.folder))
        for name in ("tmp", "audio", "json"):
            (target / name).mkdir()
        samples.append(sample(len(rows), partial(_loop, rows, os.fspath(target), group_rows(workers), write)))


def _rows(dataset: Path, count: int) -> list[list[tuple[str, bytes]]]:
    """The files of each row, MP3 first, as paths in the dataset and bytes."""
    rows: list[list[tuple[str, bytes]]] = [[] for _ in range(count)]
    for path in sorted((dataset / "audio").iterdir()):
        rows[int(path.stem.rpartition("__")[2])].append((f"audio/{path.name}", path.read_bytes()))
    for row, files in enumerate(rows):
        files.append((f"json/{row}.json", (dataset / "json" / f"{row}.json").read_bytes()))
    return rows


def _loop(rows: list[list[tuple[str, bytes]]], target: str, group: int, write: Write) -> None:
    for first in range(0, len(rows), group):
        files = [file for row in rows[first : first + group] for file in row]
        with open_folder(Path(target) / "tmp") as tmp:
            write(tmp, [(str(number), data) for number, (_, data) in enumerate(files)])
        for number, (path, _) in enumerate(files):
            os.rename(f"{target}/tmp/{number}", f"{target}/{path}")  # noqa: PTH104 - a bare loop
        for folder in {path.partition("/")[0] for path, _ in files}:
            sync_directory(f"{target}/{folder}")


def _one_by_one(folder: int, files: list[tuple[str, bytes]]) -> None:
    for file in files:
        write_all_synced(folder, [file])


def _print(name: str, results: Results) -> None:
    print_samples(
        {
            "bare loop, synced one by one": results.one_by_one,
            "bare loop, synced together": results.together,
            "hugflow, between the first and the last commit": [run.steady for run in results.runs],
            "hugflow, the whole run": [run.whole for run in results.runs],
        }
    )
    for way, loop in (("one by one", results.one_by_one), ("together", results.together)):
        pairs = list(zip(results.runs, loop, strict=True))
        steady = [run.steady.rows_per_s / bare.rows_per_s for run, bare in pairs]
        whole = [run.whole.rows_per_s / bare.rows_per_s for run, bare in pairs]
        print_ratio(f"{name} / bare loop, synced {way}", steady, TARGET)
        print_ratio(f"{name} / bare loop, synced {way}, the whole run", whole)
    print_fact("start", f"{statistics.median(run.before_first_s for run in results.runs):.2f} s to the first rows")
    print_fact("end", f"{statistics.median(run.after_last_s for run in results.runs):.2f} s for index and metadata")


if __name__ == "__main__":
    main()
