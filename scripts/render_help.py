"""Renders `hugflow --help` to hugflow/cli/help.txt, which the program prints without importing Typer.

Run `python -m scripts.render_help` after a change of a command; tests/unit/cli/test_help.py compares the file with it.
"""

from __future__ import annotations

from pathlib import Path

from typer.main import get_command

from hugflow.cli import app

HELP = Path(__file__).resolve().parent.parent / "hugflow" / "cli" / "help.txt"
COLUMNS = 80  # of the narrowest terminal that people use


def rendered() -> str:
    """The help of the program, as Typer writes it on a terminal of `COLUMNS` columns."""
    command = get_command(app)
    with command.make_context("hugflow", [], resilient_parsing=True, terminal_width=COLUMNS - 2) as context:
        return command.get_help(context).rstrip("\n") + "\n"


if __name__ == "__main__":
    HELP.write_text(rendered(), encoding="utf-8")
