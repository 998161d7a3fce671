"""The entry point, and the only place that reads the environment.

`hugflow --help` answers from a text that was rendered beforehand (a test compares it with the real help): importing the
libraries that render it takes ten times as long as everything else.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    arguments = sys.argv[1:]
    if arguments in ([], ["--help"], ["-h"]):
        sys.stdout.write(Path(__file__).with_name("cli").joinpath("help.txt").read_text(encoding="utf-8"))
        sys.exit(0)
    if arguments == ["--version"]:
        from hugflow.version import __version__  # noqa: PLC0415 - as light as can be

        sys.stdout.write(f"hugflow {__version__}\n")
        sys.exit(0)
    from hugflow.cli.boundary import run  # noqa: PLC0415 - imports typer
    from hugflow.cli.shell import Shell  # noqa: PLC0415 - as above

    shell = Shell(environ=dict(os.environ), cwd=Path.cwd(), export=os.environ.update, end=os._exit)
    code = run(arguments, shell)
    sys.stdout.flush()
    sys.stderr.flush()
    if threading.active_count() > 1:
        # a thread still waits for an answer of the Hub; tearing the interpreter down around it can crash in a library
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
