"""`python -m benchmarks [NAME...]`: runs all benchmarks, or the named ones; with `--smoke`, the smallest sizes."""

from __future__ import annotations

import argparse
import importlib

from benchmarks.measure import print_machine

NAMES = ("startup", "encode", "files", "resume", "memory", "publish")


def main() -> None:
    """Run them one after the other."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--smoke", action="store_true", help="as little as possible: do they run?")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    print_machine()
    for name in options.names or NAMES:
        benchmark = importlib.import_module(f"benchmarks.{name}")
        benchmark.main(benchmark.SMOKE if options.smoke else [])


if __name__ == "__main__":
    main()
