"""Every benchmark runs, with as little work as possible, and prints ratios; what they are is not for a test to say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_prints_ratios(name: str, clean_environ: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--smoke", name],
        cwd=ROOT,
        env=clean_environ | {"HF_TOKEN": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("machine: ")
    assert re.search(r"^  ratio  .+: \d+\.\d{3}  \(", done.stdout, re.MULTILINE), done.stdout
