"""Benchmarks the start: `hugflow --help` beside a Python that does nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import Sample, Target, print_ratio, print_samples, sample

SMOKE = ("--rounds", "2")
COMMANDS = {
    "python -c pass": ("-c", "pass"),
    "hugflow --version": ("hugflow", "--version"),
    "hugflow --help": ("hugflow", "--help"),
    "hugflow validate --help": ("hugflow", "validate", "--help"),
}
NOTHING = "python -c pass"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = measure.parser(__doc__, rows=1, rounds=30).parse_args(arguments)
    measure.print_title("startup", f"{options.rounds} rounds")
    samples: dict[str, list[Sample]] = {name: [] for name in COMMANDS}
    for _ in range(options.rounds):
        for name, arguments_of in COMMANDS.items():
            samples[name].append(sample(1, partial(_run, *arguments_of)))
    print_samples(samples)
    for name in ("hugflow --help", "hugflow validate --help"):
        target = Target("at most", 5) if name == "hugflow --help" else None
        pairs = zip(samples[name], samples[NOTHING], strict=True)
        print_ratio(f"{name} / {NOTHING}", [ours.wall_s / nothing.wall_s for ours, nothing in pairs], target)


def _run(*arguments: str) -> None:
    """Run Python with these arguments, or the installed `hugflow`."""
    here = Path(sys.executable).parent
    program = [str(here / "hugflow"), *arguments[1:]] if arguments[0] == "hugflow" else [sys.executable, *arguments]
    subprocess.run(program, stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main()
