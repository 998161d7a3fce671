"""Entry point of the program, and the only module that reads the environment.

`hugflow --help` answers from a text that was rendered beforehand (a test compares it with the real help): importing the
libraries that render it takes ten times as long as everything else.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line, and end the process with its exit code."""
    _open_standard_streams()
    code, unprinted = _run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except OSError as error:
        unprinted = error
    # where the pipe is broken, whoever read has seen enough, as in `hugflow plan | head`
    if code == 0 and unprinted is not None and not isinstance(unprinted, BrokenPipeError):
        code = _not_printed(unprinted)
    with suppress(OSError):
        sys.stderr.flush()
    # The interpreter is not torn down: threads of the Hub's library and of Arrow may still run, and now and then crash
    # or hang when it goes (apache/arrow#45214, #50482).
    os._exit(code)


def _run(arguments: list[str]) -> tuple[int, OSError | None]:
    """The exit code, and the reason why the result could not be printed, if any."""
    if arguments in ([], ["--help"], ["-h"]):
        return 0, _print(Path(__file__).with_name("cli").joinpath("help.txt").read_text(encoding="utf-8"))
    if arguments == ["--version"]:
        from hugflow.version import __version__  # noqa: PLC0415 - as light as can be

        return 0, _print(f"hugflow {__version__}\n")
    from hugflow.cli.boundary import run  # noqa: PLC0415 - imports typer
    from hugflow.cli.wiring import Shell  # noqa: PLC0415 - as above

    shell = Shell(environ=dict(os.environ), cwd=Path.cwd(), export=os.environ.update, end=os._exit)
    return run(arguments, shell), shell.output.unprinted


def _print(text: str) -> OSError | None:
    try:
        sys.stdout.write(text)
    except OSError as error:
        return error
    return None


def _open_standard_streams() -> None:
    """Open /dev/null for each standard stream that the caller closed: the next opened file would take its number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - stdin, stdout, stderr
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as we run
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as above


def _not_printed(error: OSError) -> int:
    with suppress(OSError):
        sys.stderr.write(
            f"hugflow: printing the result: {error.strerror}\n"
            "  The work is done, only its result is missing. Free space where stdout goes, and run the command again.\n"
        )
    return 74  # ExitCode.STORAGE_FAULT, which is not imported for `--help`


if __name__ == "__main__":
    main()
