"""Benchmarks resuming: the time of `hugflow local-sync` until new rows are done, after a million finished rows.

The real command against a small Hub on this machine, beside the same command with nothing done before. Then what it
costs to record rows and to write the progress file, early and late in a dataset.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import measure
from benchmarks.command import HF_ID, NAME, failure, local_sync
from benchmarks.measure import Target, print_fact, print_ratio
from hugflow.download.run import group_rows
from hugflow.model.ranges import RowRanges
from hugflow.model.records import RowRecord
from hugflow.storage import journal
from hugflow.storage.journal import Journal
from hugflow.storage.state import StateDir, write_progress
from localhub import LocalHub

SMOKE = ("--rows", "2000", "--rounds", "1", "--late-row", "20000")
NEW_ROWS = 2000
EARLY_ROW = 10


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = measure.parser(__doc__, rows=1_000_000, rounds=3)
    parser.add_argument("--late-row", type=int, default=10_000_000, help="the row at which progress is written late")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="hugflow-bench-") as folder, LocalHub() as hub:
        repository = Path(folder) / "repository"
        _publish(repository, options.rows)
        hub.add_dataset(HF_ID, repository)
        _resume(options, Path(folder), hub.url)
        _record(options, Path(folder))


def _publish(repository: Path, done: int) -> None:
    """A dataset of which all but the last shard will be done."""
    cuts = [*range(0, done, max(1, done // 10)), done, done + NEW_ROWS]
    (repository / "data").mkdir(parents=True)
    for index, (first, stop) in enumerate(itertools.pairwise(cuts)):
        table = pa.table({"id": range(first, stop)})
        pq.write_table(table, repository / "data" / f"train-{index:05}-of-{len(cuts) - 1:05}.parquet")


def _resume(options: argparse.Namespace, folder: Path, endpoint: str) -> None:
    measure.print_title("resume", f"{options.rows:,} of {options.rows + NEW_ROWS:,} rows done, {options.rounds} rounds")
    fresh = [_first_new_rows(folder / f"fresh-{number}", endpoint, None)[0] for number in range(options.rounds)]
    _, sha = _first_new_rows(folder / "begun", endpoint, None)
    lines = _lines_of(options.rows, sha, group_rows(options.workers))
    begun, reads = [], []
    for number in range(options.rounds):
        work = folder / f"begun-{number}"
        shutil.copytree(folder / "begun", work)
        begun.append(_first_new_rows(work, endpoint, lines)[0])
        began = time.perf_counter()
        journal.read(StateDir(work / "state").journal(NAME))
        reads.append(time.perf_counter() - began)
    print_fact("journal", f"{len(lines) / 1e6:,.0f} MB, read in {statistics.median(reads):.2f} s")
    print_fact("nothing done before, until the first rows are", f"{statistics.median(fresh):.2f} s")
    middle, target = statistics.median(begun), Target("at most", 5)
    print_fact(
        "resumed, until the first new rows are done",
        f"{middle:.2f} s ({min(begun):.2f} to {max(begun):.2f}), {target.verdict(middle)}",
    )
    print_ratio("resumed / nothing done before", [a / b for a, b in zip(begun, fresh, strict=True)])


def _first_new_rows(work: Path, endpoint: str, lines: bytes | None) -> tuple[float, str]:
    """Seconds from the command's start to its first rows in the journal; it is stopped then. Also the commit's sha."""
    path = StateDir(work / "state").journal(NAME)
    if lines is not None:
        path.write_bytes(lines)
    known = len(lines or b"")
    began = time.perf_counter()
    with local_sync(work, endpoint) as process:
        while b'"kind":"rows"' not in _tail(path, known):
            if process.poll() is not None:
                raise failure(process, work)
            time.sleep(0.002)
        waited = time.perf_counter() - began
        process.send_signal(signal.SIGTERM)
    state = journal.read(path)
    assert state is not None
    return waited, state.sha


def _tail(path: Path, start: int) -> bytes:
    if not path.exists() or path.stat().st_size <= start:
        return b""
    with path.open("rb") as file:
        file.seek(start)
        return file.read()


def _lines_of(rows: int, sha: str, group: int) -> bytes:
    """A journal of so many rows, as workers that make `group` rows durable at a time leave it."""
    # nothing of it has to survive, and the file system in memory syncs at once
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        path = Path(folder) / "journal.jsonl"
        opened = Journal.open(path, NAME, sha)
        opened.begin_run({"time": "2026-01-01T00:00:00+00:00", "version": "0"})
        for first in range(0, rows, group):
            opened.append_rows([_record_of(row) for row in range(first, min(rows, first + group))])
        opened.close()
        return path.read_bytes()


def _record_of(row: int) -> RowRecord:
    """A row with audio: the journal of such rows is the longest."""
    return RowRecord(
        row,
        "ok",
        audio=f"clip{row:07}__{row}.mp3",
        audio_bytes=182_160,
        audio_sha256=f"{row:064x}",
        json_bytes=210,
        json_sha256=f"{row + 1:064x}",
        samples=144_000,
        sample_rate=16_000,
        source_sample_rate=16_000,
        source_channels=1,
    )


def _record(options: argparse.Namespace, folder: Path) -> None:
    late = options.late_row
    measure.print_title("record", f"the progress file and a line of the journal at row {EARLY_ROW} and at row {late:,}")
    progress = {}
    journals = {}
    for row in (EARLY_ROW, late):
        done = RowRanges([[0, row - 1]])
        progress[row] = _progress_writer(folder / f"progress-{row}.json", done, late)
        journals[row] = _journal_writer(folder / f"journal-{row}.jsonl", row, group_rows(options.workers))
    for name, writers in (("a progress write", progress), ("a line of the journal", journals)):
        early_ms, late_ms = _alternating(writers[EARLY_ROW], writers[late], 40 * options.rounds)
        print_fact(name, f"{early_ms:.2f} ms at row {EARLY_ROW}, {late_ms:.2f} ms at row {late:,}")
        print_ratio(f"{name}, late / early", [late_ms / early_ms], Target("at most", 1.25))


def _progress_writer(path: Path, done: RowRanges, total: int) -> Callable[[], None]:
    return lambda: write_progress(path, NAME, status="running", done=done, rows_total=total, resumed_from=0)


def _journal_writer(path: Path, row: int, group: int) -> Callable[[], None]:
    opened = Journal.open(path, NAME, "0" * 40)
    opened.state.done.add(0, row - 1)
    opened.state.groups += [(first, first) for first in range(0, row, group)]

    def write() -> None:
        first = len(opened.state.done)
        opened.append_rows([_record_of(new) for new in range(first, first + group)])

    return write


def _alternating(one: Callable[[], None], other: Callable[[], None], times: int) -> tuple[float, float]:
    """The median milliseconds of each, called in turns."""
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(times):
        for call, list_of in zip((one, other), spent, strict=True):
            began = time.perf_counter()
            call()
            list_of.append(1000 * (time.perf_counter() - began))
    return statistics.median(spent[0]), statistics.median(spent[1])


if __name__ == "__main__":
    main()
