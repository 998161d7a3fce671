"""Benchmarks memory: the peaks of `hugflow local-sync` with a thousand rows, and with ten and a hundred times as many.

The real command against a small Hub on this machine. The rows are short (a mono MP3 of 0.2 s, which is copied), each
shard has 1,000 of them, and only the number of shards differs. Memory is the proportional set size of all processes of
the command together; file descriptors and the bytes in scratch are counted as well.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks import measure
from benchmarks.command import HF_ID, NAME, failure, local_sync
from benchmarks.material import ROW_GROUP, SAMPLE_RATE, audio_table, clips
from benchmarks.measure import Target, print_fact, print_ratio
from hugflow.audio import to_mp3
from hugflow.model.records import EncoderSettings
from hugflow.storage.storage_root import Storage
from localhub import LocalHub

SMOKE = ("--rows", "40", "80", "--shard-rows", "20")
CLIP_SAMPLES = SAMPLE_RATE // 5
EVERY_S = 0.05


@dataclass(slots=True)
class Peaks:
    """The highest values seen."""

    memory_mb: float = 0.0
    descriptors: int = 0
    scratch_bytes: int = 0
    processes: int = 0

    def look(self, command: int, scratch: Path) -> None:
        """Measure all processes of a command, and its scratch folder."""
        processes = list(_family(command))
        self.processes = max(self.processes, len(processes))
        self.memory_mb = max(self.memory_mb, sum(map(_memory_mb, processes)))
        self.descriptors = max(self.descriptors, sum(map(_descriptors, processes)))
        self.scratch_bytes = max(self.scratch_bytes, sum(_sizes(scratch)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="how many rows, each time"
    )
    parser.add_argument("--shard-rows", type=int, default=1000, help="rows in a shard")
    options = parser.parse_args(arguments)
    measure.print_title("memory", f"{options.shard_rows:,} short rows a shard, {measure.cores()} workers")
    peaks: dict[int, Peaks] = {}
    with tempfile.TemporaryDirectory(prefix="hugflow-bench-") as folder:
        for rows in options.rows:
            peaks[rows] = _measure(Path(folder) / str(rows), rows, options.shard_rows)
    for fewer, more in itertools.pairwise(options.rows):
        name = f"{more:,} rows / {fewer:,} rows"
        print_ratio(f"memory, {name}", [peaks[more].memory_mb / peaks[fewer].memory_mb], Target("at most", 1.1))
        print_ratio(f"file descriptors, {name}", [peaks[more].descriptors / peaks[fewer].descriptors])


def _measure(folder: Path, rows: int, shard_rows: int) -> Peaks:
    """Download so many rows, and record the peaks."""
    repository = folder / "repository"
    largest = _publish(repository, rows, shard_rows)
    peaks = Peaks()
    with LocalHub() as hub:
        hub.add_dataset(HF_ID, repository)
        began = time.perf_counter()
        with local_sync(folder, hub.url) as command:
            scratch = Storage(folder / "storage").dataset(NAME).scratch
            while command.poll() is None:
                peaks.look(command.pid, scratch)
                time.sleep(EVERY_S)
        if command.returncode:
            raise failure(command, folder)
    bound = (measure.cores() + 1) * largest
    print_fact(
        f"{rows:,} rows",
        f"{peaks.memory_mb:.0f} MB in {peaks.processes} processes, {peaks.descriptors} file descriptors, "
        f"scratch {peaks.scratch_bytes / 1e6:.1f} MB, {time.perf_counter() - began:.0f} s",
    )
    share = peaks.scratch_bytes / bound
    # the Hub's library keeps a note of some 100 bytes beside each shard
    print_ratio(f"scratch at {rows:,} rows / (workers + 1) shards", [share], Target("at most", 1.01))
    return peaks


def _publish(repository: Path, rows: int, shard_rows: int) -> int:
    """Write the dataset; returns the bytes of its largest shard."""
    (repository / "data").mkdir(parents=True)
    cells = ({"array": pcm[:CLIP_SAMPLES], "sampling_rate": SAMPLE_RATE} for pcm in clips(8))
    files = [mp3.data for cell in cells if (mp3 := to_mp3(cell, EncoderSettings())) is not None]
    cuts = [*range(0, rows, shard_rows), rows]
    sizes = []
    for index, (first, stop) in enumerate(itertools.pairwise(cuts)):
        path = repository / "data" / f"train-{index:05}-of-{len(cuts) - 1:05}.parquet"
        pq.write_table(audio_table(files, ".mp3", first, stop), path, row_group_size=ROW_GROUP)
        sizes.append(path.stat().st_size)
    return max(sizes)


def _family(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text(encoding="ascii").split():
                yield from _family(int(child))


def _memory_mb(pid: int) -> float:
    """The proportional set size: pages that processes share are counted once, in parts."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _descriptors(pid: int) -> int:
    with suppress(OSError):
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return 0


def _sizes(folder: Path) -> Iterator[int]:
    """The sizes of the files in a folder, where files come and go."""
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                yield Path(place, name).stat().st_size


if __name__ == "__main__":
    main()
