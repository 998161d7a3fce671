"""The prepared text of `hugflow --help` equals Typer's, and the help of each command is plain."""

from __future__ import annotations

import pytest

from hugflow.model.errors import ExitCode
from scripts.render_help import COLUMNS, HELP, rendered
from tests.conftest import RunHugflow
from tests.support.program import listed_commands, runnable_commands


def test_the_shipped_help_is_the_real_one() -> None:
    assert HELP.read_text("utf-8") == rendered(), "run `python -m scripts.render_help`"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_every_way_to_ask_for_help_gets_the_same(
    run_hugflow: RunHugflow, clean_environ: dict[str, str], arguments: list[str]
) -> None:
    done = run_hugflow(*arguments, env={**clean_environ, "COLUMNS": str(COLUMNS)})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == HELP.read_text("utf-8")


def test_the_help_names_every_command_on_a_line_of_its_own_without_cutting_it_off() -> None:
    lines = HELP.read_text("utf-8").splitlines()
    for command in listed_commands():
        (line,) = [line for line in lines if line.split()[:1] == [command] and line.startswith("  ")]
        assert line.endswith("."), line
        assert not line.endswith("..."), line
        assert len(line) <= COLUMNS, line


def test_the_help_names_every_exit_code() -> None:
    words = HELP.read_text("utf-8").split("Exit codes:")[1].split()
    assert {int(word) for word in words if word.isdigit()} == {int(code) for code in ExitCode}


@pytest.mark.parametrize("command", [name for name, _ in runnable_commands()])
def test_the_help_of_a_command_is_plain(run_hugflow: RunHugflow, command: str) -> None:
    done = run_hugflow(*command.split()[1:], "--help")
    assert (done.returncode, done.stderr) == (0, "")
    usage = done.stdout.splitlines()[0]
    assert usage.startswith(f"Usage: {command} [OPTIONS]")
    assert not set("{}<>") & set(usage), usage
    assert "[[" not in usage, usage
    assert "<list" not in done.stdout
    assert "Example:\n" in done.stdout or "Examples:\n" in done.stdout
