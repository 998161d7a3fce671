"""Commands that change storage: local-sync, remove."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hugflow.cli import options
from hugflow.cli.command import add_command
from hugflow.cli.requests import parsed_request
from hugflow.cli.wiring import Session
from hugflow.model.errors import UsageError
from hugflow.report.json_output import document

if TYPE_CHECKING:
    from hugflow.request.file import ParsedRequest
    from hugflow.sync import Options


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    add_command(
        app,
        "local-sync",
        local_sync,
        "Do what a request says, on this machine; resumes.",
        settings={"workers": options.Workers},
    )
    add_command(app, "remove", remove, "Remove a dataset from storage.")


def local_sync(
    session: Session,
    file: options.Request,
    restart: Annotated[bool, typer.Option("--restart", help="Delete the stored dataset and start again.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Retry rows that failed before.")] = False,
) -> None:
    """Do what a request says, on this machine: download the dataset, or continue where the last run ended.

    \b
    Example:
      hugflow local-sync requests/add/speech.yaml
    """
    from hugflow.sync import Options

    execute_request(session, "local-sync", parsed_request(file), Options(restart=restart, retry_failed=retry_failed))


def remove(
    session: Session,
    file: options.Request,
) -> None:
    """Remove a dataset from storage, as a remove request says. It goes to the trash for TRASH_DAYS days.

    \b
    Example:
      hugflow remove requests/remove/old-speech.yaml
    """
    request = parsed_request(file)
    if request.kind != "remove":
        raise UsageError(
            "removing a dataset", f"{file} is not a remove request", "`hugflow local-sync` is for add requests."
        )
    execute_request(session, "remove", request)


def execute_request(
    session: Session,
    command: str,
    request: ParsedRequest,
    options: Options | None = None,
    publish_root: Path | None = None,
) -> None:
    """Plan and execute a request, print its result, and exit with its code. `publish_root` replaces PUBLISH_ROOT."""
    from hugflow.cli.interrupts import Interrupts
    from hugflow.render.console import result_text
    from hugflow.report.json_output import result_json

    interrupts = Interrupts()
    with interrupts.listening():
        engine = session.engine((session.progress_reporter(),), interrupts, options, publish_root)
        result = engine.execute(engine.plan(request))
    if not result.exit_code:
        session.output.say(result_text(result))
    elif not session.output.json:
        session.output.complain(result_text(result))
    session.output.document(document(command, result.exit_code, results=[result_json(result)]))
    raise typer.Exit(result.exit_code)
