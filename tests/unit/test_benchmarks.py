"""The benchmarks run and print what they say they print. Nothing here looks at a time."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.measure import Sample, Target, print_ratio, print_samples, sample

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


@pytest.mark.slow
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
