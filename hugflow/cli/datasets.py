"""Commands that show and check datasets, on the Hub and in storage: inspect, status, verify."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hugflow.cli import options
from hugflow.cli.command import add_command
from hugflow.cli.wiring import Session
from hugflow.model.errors import ExitCode, UsageError
from hugflow.report.json_output import document

if TYPE_CHECKING:
    from hugflow.model.events import Result
    from hugflow.storage.verify import Verified


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    add_command(app, "inspect", inspect, "Show what a dataset on the Hub has.")
    add_command(app, "status", status, "Show the datasets in storage.")
    add_command(app, "verify", verify, "Hash every file again; name what is damaged.")


def inspect(
    session: Session,
    hf_id: Annotated[str, typer.Argument(help="The dataset's id on the Hub.", metavar="ORG/NAME")],
    revision: Annotated[str, typer.Option("--revision", help="A branch, tag or commit.", metavar="REVISION")] = "main",
) -> None:
    """Show a dataset on the Hub: configs, splits, columns, rows, bytes, licence, and whether it is gated.

    \b
    Example:
      hugflow inspect openslr/librispeech_asr
    """
    from dataclasses import asdict

    from pydantic import TypeAdapter, ValidationError

    from hugflow.model.spec_types import HfId, Revision
    from hugflow.render.tables import inspection_text

    for value, kind in ((hf_id, HfId), (revision, Revision)):
        try:
            TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            raise UsageError("inspecting a dataset", f"{value!r} {problem}", "For example: acme/speech.") from error
    facts, splits = session.reader().inspect(session.hub(), hf_id, revision)
    session.output.say(inspection_text(hf_id, revision, facts, splits))
    described = [asdict(split) | {"columns": [column.model_dump() for column in split.columns]} for split in splits]
    session.output.document(document("inspect", 0, hf_id=hf_id, **facts.model_dump(), details=described))


def status(
    session: Session,
    name: Annotated[str | None, typer.Argument(help="Only this dataset, with its failed rows.", metavar="NAME")] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="First rebuild the manifest from the datasets themselves.")
    ] = False,
    check_upstream: Annotated[
        bool, typer.Option("--check-upstream", help="Ask the Hub whether the revisions have moved.")
    ] = False,
) -> None:
    """Show every dataset in storage: rows, size, revision, who added it and when, and whether requests ask for it.

    \b
    Example:
      hugflow status
    """
    from hugflow.render.tables import status_text
    from hugflow.request.file import load_all
    from hugflow.storage.inventory import Inventory

    inventory = Inventory(session.storage(), session.state())
    if rebuild:
        inventory.rebuild()
    requested, _ = load_all(options.all_requests(session.shell.cwd))
    datasets = inventory.datasets([request for request in requested if request.kind == "add"])
    if name is not None:
        datasets = [dataset for dataset in datasets if dataset.name == name]
        if not datasets:
            raise UsageError("looking for a dataset", f"there is no {name!r}", "`hugflow status` lists the datasets.")
    if check_upstream:
        from hugflow.download.upstream import with_upstream

        datasets = with_upstream(session.hub(), datasets)
    failed = inventory.failed_rows(name) if name is not None else []
    session.output.say(status_text(datasets, failed))
    described = [dataset.as_json() for dataset in datasets]
    rows = [{"row": row.row, "reason": row.reason, "message": row.message} for row in failed]
    session.output.document(document("status", 0, datasets=described, failed_rows=rows))


def verify(
    session: Session,
    name: Annotated[
        str | None, typer.Argument(help="Only this dataset; all of them when left out.", metavar="NAME")
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Download damaged and missing files again.")] = False,
) -> None:
    """Hash every file of the datasets again, and name each one that is missing, changed or extra.

    \b
    Example:
      hugflow verify --repair
    """
    from dataclasses import asdict

    from hugflow.model.outcome import combined_exit_code
    from hugflow.render.tables import verified_text
    from hugflow.report.json_output import result_json
    from hugflow.storage.verify import Verifier

    verifier = Verifier(session.storage(), session.state())
    found = [verifier.verify(one) for one in ([name] if name is not None else verifier.names())]
    for verified in found:
        session.output.say(verified_text(verified.name, verified.rows, verified.damage))
    damaged = [verified for verified in found if verified.damage]
    if damaged and not repair:
        session.output.say("`hugflow verify --repair` downloads damaged and missing files again.")
    results = _repair(session, damaged) if repair and damaged else []
    code = ExitCode.STORAGE_FAULT if damaged and not repair else combined_exit_code(r.exit_code for r in results)
    described = [{"name": v.name, "rows": v.rows, "damage": [asdict(damage) for damage in v.damage]} for v in found]
    session.output.document(
        document("verify", code, datasets=described, results=[result_json(result) for result in results])
    )
    raise typer.Exit(code)


def _repair(session: Session, damaged: list[Verified]) -> list[Result]:
    """Repair the datasets, and print how each repair ended."""
    from hugflow.cli.interrupts import Interrupts
    from hugflow.render.console import result_text

    interrupts = Interrupts()
    with interrupts.listening():
        engine = session.engine((session.progress_reporter(),), interrupts)
        results = [engine.repair(verified) for verified in damaged]
    for result in results:
        session.output.say(result_text(result))
    return results
