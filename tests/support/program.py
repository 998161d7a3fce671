"""The commands of the program, as Typer knows them, for tests about help and documents."""

from __future__ import annotations

from typing import Any

from typer.main import get_command

from hugflow.cli import app


def runnable_commands() -> list[tuple[str, Any]]:
    """Every command that does something, by the name that is typed: `hugflow plan`."""
    waiting, found = [("hugflow", get_command(app))], []
    while waiting:
        name, command = waiting.pop()
        below = getattr(command, "commands", {})
        waiting += [(f"{name} {child}", child_command) for child, child_command in below.items()]
        if not below:
            found.append((name, command))
    return sorted(found, key=lambda pair: pair[0])


def listed_commands() -> list[str]:
    """The commands and groups that `hugflow --help` lists."""
    return sorted(get_command(app).commands)
