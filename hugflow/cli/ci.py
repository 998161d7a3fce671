"""The commands that workflows on GitHub run, under `hugflow ci`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hugflow.cli import options
from hugflow.cli.command import add_command
from hugflow.cli.sync import pull_request_job, show_ended
from hugflow.cli.wiring import Session, github, pull_request_wiring
from hugflow.model.errors import ExitCode, UsageError
from hugflow.render.alerts import DATA_IS_STALE, PIPELINE_FAILED, pipeline_body, pipeline_recovered, stale_body
from hugflow.report.json_output import document

if TYPE_CHECKING:
    from hugflow.cli.actions_job import ActionsJob
    from hugflow.cli.alerts import Alerts
    from hugflow.gitops.apply import Push
    from hugflow.publish.freshness import Watched
    from hugflow.request.file import ParsedRequest
    from hugflow.storage.inventory import DatasetStatus

STATUSES = ("success", "failure", "cancelled", "skipped")


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    ci = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    add_command(ci, "check", check, "Check a pull request's requests; needs no secrets.")
    add_command(ci, "gate", gate, "Decide whether a pull request may run.")
    add_command(ci, "command", command, "Do what a `/hugflow` comment asks for.")
    add_command(ci, "apply", apply, "After a merge: removes, publishes, and what is left.")
    add_command(ci, "watch", watch, "Open an issue when datasets have drifted or are stale.")
    add_command(ci, "alert", alert, "Open or close the issue of a scheduled workflow.")
    about = "Commands for workflows on GitHub."
    app.add_typer(ci, name="ci", short_help=about, help=about)


def check(
    session: Session,
    pull_request: options.PullRequestNumber = None,
) -> None:
    """Check the requests of a pull request, as far as their text tells. It reads through the API and writes nothing.

    \b
    Example:
      hugflow ci check --pull-request 12
    """
    from hugflow.gitops.validate import validate

    found = validate(github(session), session.actions_job().pull_request_number(pull_request))
    session.output.command("\n".join(found.lines))
    problems = [{"path": p.path, "line": p.line, "column": p.column, "message": p.message} for p in found.problems]
    session.output.document(document("ci check", found.exit_code, problems=problems))
    raise typer.Exit(found.exit_code)


def gate(
    session: Session,
    pull_request: options.PullRequestNumber = None,
    sha: options.Commit = None,
) -> None:
    """Decide whether a pull request may run: open, unchanged, only requests, not a stranger's. Exit 0: it may.

    \b
    Example:
      hugflow ci gate --pull-request 12 --sha 1f2e3d4c
    """
    from hugflow.gitops.gate import decide
    from hugflow.gitops.run import post_refusal

    given = session.actions_job()
    job = pull_request_job(session, given, pull_request, sha)
    connection = github(session)
    decision = decide(connection, job.number, job.sha, job.approved_by)
    if decision.allowed:
        session.output.say(f"pull request {job.number} may run at {job.sha}")
        session.output.document(document("ci gate", 0, allowed=True, refusals=[]))
        return
    ended = post_refusal(connection, decision, job)
    given.write_summary(ended.summary)
    session.output.complain("\n".join(str(refusal) for refusal in decision.refusals))
    # a refusal is not a success, also where no comment is due
    code = ended.exit_code or ExitCode.FAILED
    refusals = [{"code": r.code, "problem": r.problem, "fix": r.fix} for r in decision.refusals]
    session.output.document(document("ci gate", code, allowed=False, refusals=refusals))
    raise typer.Exit(code)


def command(
    session: Session,
) -> None:
    """Do what a comment asks for: `/hugflow plan`, `retry [file]`, `cancel`, `unlock`, `approve-removal`.

    The comment is read from the event of the job (GITHUB_EVENT_PATH), never from the command line.

    \b
    Example:
      hugflow ci command
    """
    from hugflow.gitops.commands import CommentEvent, handle
    from hugflow.gitops.pull_request import read_file
    from hugflow.request import policy

    given = session.actions_job()
    event = CommentEvent.from_payload(given.payload)
    reply = None
    if event is not None:
        connection = github(session)
        branch = str(given.payload["repository"]["default_branch"])

        def approvers() -> tuple[str, ...]:
            return policy.parse(read_file(connection, branch, policy.FILE)).removals.approvers

        reply = handle(connection, event, approvers)
    session.output.say(f"{reply.reaction}: {reply.message}" if reply else "the comment is not a command")
    described = {"reaction": reply.reaction, "message": reply.message} if reply else None
    session.output.document(document("ci command", 0, reply=described))


def apply(
    session: Session,
    pull_request: Annotated[
        int | None, typer.Option("--pull-request", help="A merged one, to apply again.", metavar="N")
    ] = None,
    max_runtime: options.MaxRuntime = None,
) -> None:
    """Do what a merge asks for: run the removes and publishes, and adds that did not run on their pull request.

    \b
    Example:
      hugflow ci apply --pull-request 12
    """
    from hugflow.cli.interrupts import Interrupts
    from hugflow.gitops.apply import ApplyRun

    given, interrupts = session.actions_job(), Interrupts()
    push = _push(session, given, pull_request)
    with interrupts.listening():
        if max_runtime:
            interrupts.stop_after(options.seconds(max_runtime))
        with pull_request_wiring(session, interrupts, f"Merged into {push.branch}", session.web_url()) as wired:
            run = ApplyRun(wired.github, wired.engine, wired.start_reporter, wired.emit, lambda: interrupts.timed_out)
            ended = run.apply(push)
            wired.end(ended)
            show_ended(session, "ci apply", ended)
    raise typer.Exit(ended.exit_code)


def _push(session: Session, given: ActionsJob, number: int | None) -> Push:
    from hugflow.gitops.apply import Push

    payload = given.payload
    again = number or given.inputs.get("pull_request")
    branch = (payload.get("repository") or {}).get("default_branch") or "main"
    before, after = (given.inputs.get(end) or str(payload.get(end) or "") for end in ("before", "after"))
    if not again and not after:
        raise UsageError("applying a merge", "there is no push event", "Name a merged one with --pull-request.")
    return Push(
        branch=str(branch),
        before=before,
        after=after,
        number=int(again) if again else None,
        cleanup=session.settings.auto_cleanup_requests,
        run_url=given.run_url,
        hub_url=session.settings.hf_endpoint,
    )


def watch(
    session: Session,
) -> None:
    """Compare requests, storage and the Hub, and check that published data is fresh.

    An issue says what differs, and another one what is stale; each is closed when all is well again.

    \b
    Example:
      hugflow ci watch
    """
    from hugflow.cli.alerts import Alerts
    from hugflow.gitops.requests import read_default_branch_requests

    connection = github(session)
    requested = read_default_branch_requests(connection)
    alerts = Alerts(session, connection)
    differing, watched = _check_drift(session, alerts, requested), _check_freshness(session, alerts, requested)
    stale = [each for each in watched if each.problem]
    code = ExitCode.FAILED if differing or stale else ExitCode.DONE
    described = [dataset.as_json() for dataset in differing], [_watched_json(each) for each in watched]
    session.output.document(document("ci watch", code, drift=described[0], freshness=described[1]))
    raise typer.Exit(code)


def _check_drift(session: Session, alerts: Alerts, requested: list[ParsedRequest]) -> list[DatasetStatus]:
    """Find datasets that differ from their requests or from the Hub, and open or close the alert about them."""
    from hugflow.download.upstream import with_upstream
    from hugflow.render.drift import drift_body, drifted
    from hugflow.storage.inventory import Inventory

    inventory = Inventory(session.storage(), session.state())
    datasets = inventory.datasets([request for request in requested if request.kind == "add"])
    differing = drifted(with_upstream(session.hub(), datasets))
    if differing:
        alerts.put("drift", "Datasets have drifted", drift_body(differing), f"{len(differing)} datasets differ")
    else:
        alerts.clear("drift", "Requests, storage and the Hub agree again.")
        session.output.say("requests, storage and the Hub agree")
    return differing


def _check_freshness(session: Session, alerts: Alerts, requested: list[ParsedRequest]) -> list[Watched]:
    """Check the data that requests publish on a schedule, and open or close the alert about it."""
    from hugflow.model.publish_spec import PublishSpec
    from hugflow.publish.freshness import watch as look
    from hugflow.report.audit import utc_now

    specs = [request.spec for request in requested if isinstance(request.spec, PublishSpec)]
    watched = look(session.hub(), specs, utc_now())
    stale = [each for each in watched if each.problem and each.is_known]
    for each in stale:
        session.output.say(f"{each.repo_id}: {each.problem}")
    if stale:
        lines = [(each.repo_id, each.revision, each.problem or "") for each in stale]
        repositories = f"{len(stale)} published {'repository is' if len(stale) == 1 else 'repositories are'} stale"
        alerts.put("freshness", DATA_IS_STALE, stale_body(lines), repositories)
    elif all(each.is_known for each in watched):
        alerts.clear("freshness", "All published data is fresh again.")
    return watched


def _watched_json(watched: Watched) -> dict[str, Any]:
    fresh = watched.fresh
    return {
        "repo_id": watched.repo_id,
        "revision": watched.revision,
        "update_time": fresh.updated.update_time if fresh else None,
        "updated_at": fresh.updated.updated_at if fresh else None,
        "age_s": fresh.age_s if fresh else None,
        "max_age_s": fresh.max_age_s if fresh else None,
        "problem": watched.problem,
    }


def alert(
    session: Session,
    pipeline: Annotated[
        str, typer.Option("--pipeline", help="The pipeline's name: each has one issue.", metavar="NAME")
    ],
    status: Annotated[
        str, typer.Option("--status", help="Outcome: success, failure, cancelled, skipped.", metavar="STATUS")
    ],
    title: Annotated[str, typer.Option("--title", help="The issue's title.", metavar="TEXT")] = PIPELINE_FAILED,
) -> None:
    """Open one issue when a scheduled workflow fails, with the address of its run; close it when it succeeds again.

    Slack is told of both, where it is set up. Give it `job.status`, or a step's outcome, in the last step of the job,
    with `if: always()`. What was skipped changes nothing.

    \b
    Example:
      hugflow ci alert --pipeline market-data --status failure
    """
    if status not in STATUSES:
        raise UsageError("raising an alert", f"{status!r} is no status", f"Give one of {', '.join(STATUSES)}.")

    from hugflow.cli.alerts import Alerts

    run_url = session.actions_job().run_url
    alerts = Alerts(session, github(session))
    key = f"pipeline {pipeline}"
    number = None
    if status == "success":
        alerts.clear(key, pipeline_recovered(pipeline, run_url), f"{pipeline} works again", run_url)
        session.output.say(f"{pipeline}: no alert")
    elif status != "skipped":
        number = alerts.put(key, title, pipeline_body(pipeline, status, run_url), f"{pipeline}: {title}", run_url)
    session.output.document(document("ci alert", 0, issue=number))
