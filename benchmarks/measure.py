"""Measures and prints for benchmarks: wall and processor time, medians over rounds, ratios with targets."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, TypeVar

T = TypeVar("T")
_TURN_S = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement: rows, seconds, and processor seconds of this process and the children it waited for."""

    rows: int
    wall_s: float
    cpu_s: float

    @property
    def rows_per_s(self) -> float:
        """Rows per second; 0 when the work ended within one clock step."""
        return self.rows / self.wall_s if self.wall_s else 0.0

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of processor time per row."""
        return 1000 * self.cpu_s / self.rows


def sample(rows: int, work: Callable[[], object]) -> Sample:
    """Call `work`, which handles `rows` rows, and measure it."""
    wall, cpu = time.perf_counter(), _cpu_s()
    work()
    return Sample(rows, time.perf_counter() - wall, _cpu_s() - cpu)


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


Pause = tuple[float, float]
"""From when to when, by the machine's own clock, in seconds."""


def in_turns(work: Callable[[], T], other: Callable[[], Sample]) -> tuple[T, list[Pause], Sample]:
    """Call `work` in a process of its own, which pauses with its children every second while `other` runs.

    So both have the same share of a machine that others use as well. Returns what `work` returned, its pauses, and what
    all of `other` came to; it is also done once before and once afterwards. `work` can be pickled, as can its result.

    Raises EOFError where `work` fails; why is on stderr.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_lead, args=(work, theirs))
    process.start()
    theirs.close()
    assert process.pid is not None
    try:
        ours.recv()
        others, pauses = [other()], list[Pause]()
        ours.send("begin")
        while not ours.poll(_TURN_S):
            os.killpg(process.pid, signal.SIGSTOP)
            start = time.perf_counter()
            others.append(other())
            pauses.append((start, time.perf_counter()))
            os.killpg(process.pid, signal.SIGCONT)
        result: T = ours.recv()
        process.join()
        others.append(other())
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return result, pauses, _sum(others)


def _lead(work: Callable[[], object], connection: Connection[object, object]) -> None:
    """Call `work` as the leader of a process group, once the other end is ready, and send its result."""
    os.setpgid(0, 0)
    connection.send("ready")
    connection.recv()
    connection.send(work())


def _sum(samples: Sequence[Sample]) -> Sample:
    return Sample(*(sum(getattr(one, name) for one in samples) for name in ("rows", "wall_s", "cpu_s")))


def print_samples(samples: Mapping[str, Sequence[Sample]]) -> None:
    """Print a table: for each way its speed, median and range over the rounds, and its processor time."""
    width = max(map(len, samples))
    print(f"  {'':{width}}  {'rows/s':>9}  {'from':>9}  {'to':>9}  {'CPU ms/row':>10}")
    for name, rounds in samples.items():
        speeds = sorted(one.rows_per_s for one in rounds)
        speed, cpu = statistics.median(speeds), statistics.median(one.cpu_ms for one in rounds)
        print(f"  {name:{width}}  {speed:9,.1f}  {speeds[0]:9,.1f}  {speeds[-1]:9,.1f}  {cpu:10.3f}")


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a ratio: at least or at most `limit`."""

    kind: Literal["at least", "at most"]
    limit: float

    def verdict(self, value: float) -> str:
        """The target with "meets" or "MISSES"."""
        met = value >= self.limit if self.kind == "at least" else value <= self.limit
        return f"{'meets' if met else 'MISSES'} {self.kind} {self.limit:g}"


def print_ratio(name: str, rounds: Sequence[float], target: Target | None = None) -> None:
    """Print the line of a ratio: the median over the rounds, their range, and the target."""
    middle = statistics.median(rounds)
    verdict = f"  {target.verdict(middle)}" if target else ""
    print(f"  ratio  {name}: {middle:.3f}  ({min(rounds):.3f} to {max(rounds):.3f}){verdict}")


def print_fact(name: str, value: str) -> None:
    """Print a number that is no ratio."""
    print(f"  fact   {name}: {value}")


def print_title(name: str, what: str) -> None:
    """Print a benchmark's first line."""
    print(f"\n{name}: {what}", flush=True)


def print_machine() -> None:
    """Print the machine and the time of the measurement. The load tells of other work just before."""
    one_minute, five_minutes, _ = os.getloadavg()
    system = f"{platform.system()} {platform.release()}, {_file_system(Path(tempfile.gettempdir()))}"
    print(f"machine: {cores()} cores of {_processor()}, {system}")
    print(f"Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}, load {one_minute:.1f} {five_minutes:.1f}")


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    """The kind of file system that a folder is on."""
    device = folder.stat().st_dev
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        mount, _, kind = line.partition(" - ")
        if mount.split()[2] == f"{os.major(device)}:{os.minor(device)}":
            return kind.split()[0]
    return "an unknown file system"


def parser(description: str | None, *, rows: int, rounds: int) -> argparse.ArgumentParser:
    """The options that most benchmarks have."""
    made = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    made.add_argument("--rows", type=int, default=rows, help=f"rows in a round (default: {rows:,})")
    made.add_argument("--rounds", type=int, default=rounds, help=f"rounds; medians are printed (default: {rounds})")
    made.add_argument("--workers", type=int, default=cores(), help="worker processes (default: the cores)")
    return made
