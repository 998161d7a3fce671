"""The benchmarks run and print their results. No time is checked here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.material import Run
from benchmarks.measure import Sample, Target, in_turns, print_ratio, print_samples, sample

RATIO = re.compile(
    r"  ratio  (?P<name>[^:]+): \d+\.\d{3}  \(\d+\.\d{3} to \d+\.\d{3}\)"
    r"(?:  (?:meets|MISSES) at (?:least|most) [\d.]+)?"
)
FACT = re.compile(r"  fact   [^:]+: \S.*")
SAMPLES = re.compile(r"  \S.*?(?:  +[\d,]+\.\d){3}  +[\d,]+\.\d{3}|   +rows/s +from +to +CPU ms/row")

EXPECTED = {
    "startup": {"hugflow --help / python -c pass"},
    "encode": {
        f"hugflow, {container}, {shards} / {other}"
        for container in ("WAV", "FLAC")
        for shards in ("1 shard", "10 shards")
        for other in ("LAME alone", "pydub")
    },
    "files": {"copied rows / bare loop, synced one by one", "JSON-only rows / bare loop, synced one by one"},
    "resume": {
        "resumed / nothing done before",
        "a progress write, late / early",
        "a line of the journal, late / early",
    },
    "publish": {
        *(
            f"{pair}, {way}"
            for pair in (
                "hugflow publish / load_dataset and push_to_hub",
                "hugflow.push_to_hub / Dataset.push_to_hub",
            )
            for way in ("LFS", "Xet")
        ),
        "memory, 0.002 GB / 0.001 GB",
    },
    "memory": {"memory, 80 rows / 40 rows", "scratch at 80 rows / (workers + 1) shards"},
}


@pytest.mark.parametrize("name", benchmarks.NAMES)
def test_a_benchmark_runs_and_prints_its_ratios(name: str, repo_root: Path, clean_environ: dict[str, str]) -> None:
    if name == "encode" and shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg, which pydub starts, is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--smoke", name],
        cwd=repo_root,
        env=clean_environ,
        capture_output=True,
        encoding="utf-8",
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    machine, python, *lines = done.stdout.splitlines()
    assert re.fullmatch(r"machine: \d+ cores of .+, \w+", machine)
    assert re.fullmatch(r"Python 3\.\d+\.\S+, \d{4}-\d\d-\d\d, load \d+\.\d \d+\.\d", python)
    ratios = {found["name"] for line in lines if (found := RATIO.fullmatch(line))}
    assert ratios >= EXPECTED[name]
    titles = [line for line in lines if line and not any(form.fullmatch(line) for form in (RATIO, FACT, SAMPLES))]
    assert all(re.fullmatch(r"[a-z]+: \S.*", title) for title in titles), titles
    assert titles


def test_every_benchmark_can_be_run_alone(repo_root: Path, clean_environ: dict[str, str]) -> None:
    for name in benchmarks.NAMES:
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", "--help"],
            cwd=repo_root,
            env=clean_environ,
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        assert "--rows" in done.stdout


def test_a_benchmark_that_there_is_not_is_named(repo_root: Path, clean_environ: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "decode"],
        cwd=repo_root,
        env=clean_environ,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 2
    assert "there is no benchmark decode; there are startup, encode" in done.stderr


def test_ratios_are_medians_with_their_range_and_target(capsys: pytest.CaptureFixture[str]) -> None:
    print_ratio("a / b", [0.9, 0.5, 0.8], Target("at least", 0.85))
    print_ratio("c / d", [4.0], Target("at most", 5))
    print_ratio("e / f", [1.0, 2.0])
    assert capsys.readouterr().out.splitlines() == [
        "  ratio  a / b: 0.800  (0.500 to 0.900)  MISSES at least 0.85",
        "  ratio  c / d: 4.000  (4.000 to 4.000)  meets at most 5",
        "  ratio  e / f: 1.500  (1.000 to 2.000)",
    ]


def test_the_table_of_samples(capsys: pytest.CaptureFixture[str]) -> None:
    print_samples(
        {
            "one": [Sample(10, 1.0, 0.5), Sample(10, 2.0, 0.7), Sample(10, 4.0, 0.6)],
            "a longer name": [Sample(1, 0.0, 0.0)],
        }
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["one", "5.0", "2.5", "10.0", "60.000"]
    assert lines[2].split() == ["a", "longer", "name", "0.0", "0.0", "0.0", "0.000"]
    assert len({len(line) for line in lines}) == 1


def test_a_sample_counts_the_processor_time_of_children() -> None:
    work = "sum(range(10_000_000))"
    measured = sample(1, lambda: subprocess.run([sys.executable, "-c", work], check=True))
    assert measured.rows == 1
    assert measured.cpu_s > sample(1, lambda: None).cpu_s


def busy_child(folder: Path) -> tuple[float, float]:
    """A process with a child that writes down when it is at work, for two seconds of it; from when to when it was."""
    work = "import sys, time\nfor _ in range(200): print(time.perf_counter(), flush=True); time.sleep(0.01)"
    began = time.perf_counter()
    with (folder / "child").open("w") as out:
        child = subprocess.Popen([sys.executable, "-c", work], stdout=out)
        child.wait()
    return began, time.perf_counter()


def test_work_stands_still_with_its_children_while_the_other_has_its_turn(tmp_path: Path) -> None:
    (began, ended), pauses, other = in_turns(partial(busy_child, tmp_path), lambda: sample(3, lambda: time.sleep(0.4)))
    moments = [float(line) for line in (tmp_path / "child").read_text().split()]
    assert len(moments) == 200
    assert len(pauses) >= 1
    assert other.rows == 3 * (len(pauses) + 2)
    for start, stop in pauses:
        assert began < start < stop < ended
        # what was on its way when the signal came may still arrive
        assert not [moment for moment in moments if start + 0.1 < moment < stop]


def test_a_failure_of_what_is_measured_in_turns_is_told() -> None:
    with pytest.raises(EOFError):
        in_turns(partial(int, "no number"), lambda: Sample(1, 1.0, 1.0))


def test_a_run_without_its_pauses() -> None:
    run = Run(100, 2.0, began=10.0, first=(12.0, 20), last=(19.0, 100), ended=20.0)
    assert (run.whole.wall_s, run.steady.wall_s, run.before_first_s, run.after_last_s) == (10, 7, 2, 1)
    assert (run.whole.rows, run.steady.rows) == (100, 80)
    shorter = run.without([(11.0, 11.5), (13.0, 16.0)])
    assert (shorter.whole.wall_s, shorter.steady.wall_s) == (6.5, 4)
    assert (shorter.before_first_s, shorter.after_last_s) == (1.5, 1)
    assert run.without([(11.0, 13.0)]).before_first_s == 1
