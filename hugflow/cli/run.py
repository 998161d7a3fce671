"""Commands that change storage: local-sync, remove."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hugflow.cli import options
from hugflow.cli.plain_help import add_command
from hugflow.cli.requests import parsed_request
from hugflow.model.errors import UsageError
from hugflow.report.json_output import document

if TYPE_CHECKING:
    from hugflow.cli.wiring import Session
    from hugflow.request.file import ParsedRequest
    from hugflow.sync import Options


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    add_command(app, "local-sync", local_sync, "Do what a request says, on this machine; resumes.")
    add_command(app, "remove", remove, "Remove a dataset from storage.")


def local_sync(
    context: typer.Context,
    file: options.Request,
    restart: Annotated[
        bool, typer.Option("--restart", help="Delete what is in storage of this dataset, and begin again.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try the rows again that failed before.")
    ] = False,
    workers: options.Workers = None,
    config: options.Config = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Do what a request says, on this machine: download the dataset, or continue where the last run ended.

    \b
    Example:
      hugflow local-sync requests/add/speech.yaml
    """
    # first of all: it sets what the Hub's libraries read when they are imported
    session = options.session(context, config, json=json, verbose=verbose, quiet=quiet, workers=workers)
    from hugflow.sync import Options

    request = parsed_request(file)
    _execute(session, request, "local-sync", Options(restart=restart, retry_failed=retry_failed))


def remove(
    context: typer.Context,
    file: options.Request,
    config: options.Config = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Remove a dataset from storage, as a remove request says. It goes to the trash for TRASH_DAYS days.

    \b
    Example:
      hugflow remove requests/remove/old-speech.yaml
    """
    session = options.session(context, config, json=json, verbose=verbose, quiet=quiet)
    request = parsed_request(file)
    if request.kind != "remove":
        raise UsageError(
            "removing a dataset", f"{file} is no remove request", "`hugflow local-sync` is for add requests."
        )
    _execute(session, request, "remove", None)


def _execute(session: Session, request: ParsedRequest, command: str, opts: Options | None) -> None:
    from hugflow.cli.interrupts import Interrupts
    from hugflow.render.console import result_text
    from hugflow.report.json_output import result_json

    interrupts = Interrupts()
    with interrupts.listening():
        engine = session.engine((session.progress_reporter(),), interrupts, opts)
        result = engine.execute(engine.plan(request))
    if result.exit_code:
        if not session.output.json:
            session.output.complain(result_text(result))
    else:
        session.output.say(result_text(result))
    session.output.document(document(command, result.exit_code, results=[result_json(result)]))
    raise typer.Exit(result.exit_code)
