"""How commands are added to the program, and how their help looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand


class PlainCommand(TyperCommand):
    """A command whose help names an argument once and plainly: `FILE`, where Typer has `{FILE}` and `FILE <path>`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words after the command's name in its usage line."""
        return [piece.removeprefix("{").removesuffix("}") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the lists of arguments and options."""
        lists: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                names, text = record
                lists[parameter.param_type_name].append((names.partition(" <")[0], text))
        for title, rows in (("Arguments", lists["argument"]), ("Options", lists["option"])):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def add_command(app: typer.Typer, name: str, function: Callable[..., None], short_help: str) -> None:
    """Add a command. `short_help` stands beside its name in `hugflow --help`, on one line."""
    app.command(name, short_help=short_help, cls=PlainCommand)(function)
