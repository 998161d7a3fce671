"""Commands about request files: init, validate, schema, plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hugflow.cli import options
from hugflow.cli.command import PlainCommand, add_command
from hugflow.cli.wiring import Session
from hugflow.model.errors import ExitCode, HugflowError, UsageError
from hugflow.report.json_output import document
from hugflow.request.file import InvalidRequestFile, ParsedRequest, Problem, load_all
from hugflow.request.policy import FILE, Policy, policy_problems
from hugflow.request.policy import parse as parse_policy
from hugflow.request.validator import card_problems, conflicts
from hugflow.text.printable import printable

if TYPE_CHECKING:
    from hugflow.model.plan import Plan


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    add_command(app, "init", init, "Set up a repository for requests.", shared=("json", "quiet"))
    add_command(app, "validate", validate, "Check request files, without the Hub or storage.")
    app.command("schema", short_help="Print the JSON Schema of requests, for editors.", cls=PlainCommand)(schema)
    add_command(app, "plan", plan, "Show what requests would do; changes nothing.")


def init(
    session: Session,
    directory: Annotated[
        Path, typer.Argument(help="Where; this folder unless given.", metavar="FOLDER", show_default=False)
    ] = Path(),
) -> None:
    """Set up a repository for requests: folders, schemas, .env.example, .gitignore. Existing files are kept.

    \b
    Example:
      hugflow init my-datasets
    """
    from hugflow.cli.scaffold import scaffold

    made, kept = scaffold(session.shell.cwd / directory)
    session.output.say("\n".join([*(f"+ {path}" for path in made), *(f"= {path} (kept)" for path in kept)]))
    session.output.say(_next_steps(directory))
    session.output.document(document("init", 0, made=made, kept=kept))


def _next_steps(directory: Path) -> str:
    steps = [
        *([f"  cd {printable(str(directory))}"] if directory != Path() else []),
        "  cp request-example.yaml requests/add/NAME.yaml   # and change it",
        "  hugflow plan                                     # what it would do",
        "  hugflow local-sync requests/add/NAME.yaml        # do it",
    ]
    settings = ".env.example lists every setting. To change one, such as STORAGE_ROOT, copy it to .env."
    return "\n".join(["", "Next:", *steps, "", settings])


def validate(
    session: Session,
    files: options.Requests = None,
) -> None:
    """Check request files, and report every problem with its line and column. Asks nobody: no Hub, no storage.

    \b
    Example:
      hugflow validate requests/add/*.yaml
    """
    paths = _paths(session, files)
    parsed, problems = _checked(paths, _policy(session))
    for problem in problems:
        session.output.complain(str(problem))
    if not problems:
        session.output.say(f"{len(parsed)} {'request is' if len(parsed) == 1 else 'requests are'} valid.")
    code = ExitCode.CHANGE_NEEDED if problems else ExitCode.DONE
    listed = [
        {"path": p.path, "line": p.line, "column": p.column, "field": p.field, "message": p.message} for p in problems
    ]
    session.output.document(document("validate", code, files=[str(path) for path in paths], problems=listed))
    raise typer.Exit(code)


def schema(
    context: typer.Context,
    kind: Annotated[
        str | None, typer.Argument(help="add, remove, publish, or spec (spec.json); all when left out.", metavar="KIND")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write KIND.schema.json files into this folder.", metavar="FOLDER"),
    ] = None,
) -> None:
    """Print the JSON Schema of a kind of request, so that editors can complete and check it, or that of spec.json.

    \b
    Example:
      hugflow schema add > add.schema.json
    """
    import json as jsonlib

    from hugflow.request.json_schema import schemas as all_schemas

    known_schemas = all_schemas()
    wanted = [known for known in known_schemas if kind in (None, known)]
    if not wanted:
        choices = ", ".join(known_schemas)
        raise UsageError("choosing the schema", f"{kind!r} is not a kind of request", f"Choose one of {choices}.")
    schemas = {known: known_schemas[known] for known in wanted}
    out = context.obj.output
    if output is None:
        value: Any = schemas[wanted[0]] if kind else schemas
        out.say(jsonlib.dumps(value, indent=2, ensure_ascii=False))
        return
    folder = context.obj.cwd / output
    folder.mkdir(parents=True, exist_ok=True)
    for known, value in schemas.items():
        path = folder / f"{known}.schema.json"
        path.write_text(jsonlib.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        out.say(f"+ {path}")


def plan(
    session: Session,
    files: options.Requests = None,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="0: nothing to do, 1: error, 2: changes.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Plan as if nothing were in storage yet.")] = False,
) -> None:
    """Show what requests would do, with facts from the Hub: commit, rows, bytes, licence, space. Changes nothing.

    \b
    Example:
      hugflow plan requests/add/speech.yaml
    """
    from hugflow.model.outcome import combined_exit_code
    from hugflow.model.plan import has_changes, is_refused
    from hugflow.render.console import plan_text
    from hugflow.report.json_output import error_json, explanation, plan_json

    plans, failures = _plans(session, _paths(session, files), restart=restart)
    if plans:
        session.output.say(plan_text(plans))
    for failure in failures:
        session.output.complain(explanation(failure))
    changes = has_changes(plans)
    refused = [ExitCode.CHANGE_NEEDED for one in plans if is_refused(one)]
    code: int = combined_exit_code([*refused, *(failure.exit_code for failure in failures)])
    if detailed_exitcode:
        code = 1 if code else 2 if changes else 0
    described = [plan_json(one) for one in plans], [error_json(failure) for failure in failures]
    session.output.document(document("plan", code, changes=changes, plans=described[0], errors=described[1]))
    raise typer.Exit(code)


def _plans(session: Session, paths: list[Path], *, restart: bool) -> tuple[list[Plan], list[HugflowError]]:
    """The plans of the requests that can be planned, and the errors of the others."""
    from hugflow.cli.interrupts import Interrupts
    from hugflow.sync import Options

    parsed, problems = _checked(paths, _policy(session))
    wrong = {problem.path for problem in problems}
    plans: list[Plan] = []
    failures: list[HugflowError] = [InvalidRequestFile(problems)] if problems else []
    engine = session.engine((), Interrupts(), Options(restart=restart))
    for request in parsed:
        try:
            plans += [engine.plan(request)] if request.path not in wrong else []
        except HugflowError as error:
            failures.append(error)
    return plans, failures


def parsed_request(path: Path) -> ParsedRequest:
    """One request, or everything that is wrong with it."""
    parsed, problems = _checked([path])
    _refuse(problems)
    return parsed[0]


def _paths(session: Session, files: list[Path] | None) -> list[Path]:
    paths = files or options.all_requests(session.shell.cwd)
    if not paths:
        raise UsageError(
            "looking for requests",
            "there is no file under requests/",
            "Name the files, or run `hugflow init` and write one into requests/add/.",
        )
    return paths


def _policy(session: Session) -> Policy:
    """The policy file of the checkout, if there is one. Requests that it refuses by their text are not planned."""
    path = session.shell.cwd / FILE
    return parse_policy(path.read_bytes()) if path.is_file() else Policy()


def _checked(paths: list[Path], policy: Policy | None = None) -> tuple[list[ParsedRequest], list[Problem]]:
    parsed, problems = load_all(paths)
    refused = policy_problems(parsed, policy) if policy else []
    return parsed, sorted([*problems, *conflicts(parsed), *card_problems(parsed), *refused])


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise InvalidRequestFile(problems)
