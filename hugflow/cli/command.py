"""Registers commands with the program: options that all commands share, and plain help texts."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import typer
from typer.core import TyperCommand

from hugflow.cli import options
from hugflow.cli.wiring import Common

# the options of every command, in the order of its help, with their defaults
SHARED: dict[str, tuple[Any, Any]] = {
    "config": (options.Config, None),
    "json": (options.Json, False),
    "verbose": (options.Verbose, False),
    "quiet": (options.Quiet, False),
}


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


def add_command(
    app: typer.Typer,
    name: str,
    function: Callable[..., None],
    short_help: str,
    *,
    settings: Mapping[str, Any] = MappingProxyType({}),
    shared: tuple[str, ...] = (*SHARED,),
) -> None:
    """Add a command. `short_help` is shown beside its name in `hugflow --help`, on one line.

    `function` takes a Session and its own arguments. Behind them come options that replace the setting of their name
    (`settings`), and those of every command (`shared`). The session is made before `function` runs, and with it the
    environment that the Hub's libraries read when they are imported.
    """
    session, *own = inspect.signature(function, eval_str=True).parameters.values()
    added = {option: (kind, None) for option, kind in settings.items()} | {option: SHARED[option] for option in shared}
    common = [
        inspect.Parameter(option, session.POSITIONAL_OR_KEYWORD, annotation=kind, default=default)
        for option, (kind, default) in added.items()
    ]
    context = session.replace(name="context", annotation=typer.Context)

    @functools.wraps(function)
    def command(context: typer.Context, **values: Any) -> None:
        given = Common(**{option: values.pop(option) for option in shared})
        overrides = {option: values.pop(option) for option in settings}
        function(context.obj.session(given, **overrides), **values)

    signature = inspect.Signature([context, *own, *common])
    command.__signature__ = signature  # type: ignore[attr-defined] # Typer reads it, with the annotations
    command.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
    app.command(name, short_help=short_help, cls=PlainCommand)(command)
