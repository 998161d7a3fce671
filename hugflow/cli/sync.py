"""The `sync` command, which processes a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hugflow.cli import options
from hugflow.cli.actions_job import ActionsJob
from hugflow.cli.command import add_command
from hugflow.cli.wiring import Session, github, pull_request_wiring
from hugflow.model.errors import UsageError
from hugflow.report.json_output import document

if TYPE_CHECKING:
    from hugflow.cli.interrupts import Interrupts
    from hugflow.gitops.run import Ended, PullRequestJob

MODES = ("sync", "retry", "plan", "unlock")


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(
        app,
        "sync",
        sync,
        "Work on a pull request: plan, run, report.",
        settings={"progress_interval": options.ProgressInterval, "workers": options.Workers},
    )


def sync(
    session: Session,
    ci_mode: Annotated[bool, typer.Option("--ci-mode", help="Work on a pull request on GitHub.")] = False,
    pull_request: options.PullRequestNumber = None,
    sha: options.Commit = None,
    mode: Annotated[str | None, typer.Option("--mode", help="sync, retry, plan or unlock.", metavar="MODE")] = None,
    only: Annotated[str | None, typer.Option("--only", help="Run only this request.", metavar="FILE")] = None,
    max_runtime: options.MaxRuntime = None,
) -> None:
    """Work on a pull request: plan its requests, run the adds, and report in its comment, its check and in Slack.

    Nothing of the pull request is executed: its YAML is read through GitHub's API at one commit. Run again, it resumes.

    \b
    Example:
      hugflow sync --ci-mode --max-runtime 20h
    """
    if not ci_mode:
        raise UsageError(
            "starting a sync",
            "without --ci-mode there is no pull request to work on",
            "On this machine, `hugflow plan` and `hugflow local-sync FILE` are what you want.",
        )
    from hugflow.cli.interrupts import Interrupts

    given, interrupts = session.actions_job(), Interrupts()
    chosen = mode or given.inputs.get("mode") or "sync"
    job = pull_request_job(session, given, pull_request, sha, chosen, only or "")
    with interrupts.listening():
        if max_runtime:
            interrupts.stop_after(options.seconds(max_runtime))
        if chosen == "unlock":
            ended = _unlock(session, interrupts, job)
        else:
            ended = _sync(session, interrupts, job, retry_failed=chosen == "retry")
    raise typer.Exit(ended.exit_code)


def _sync(session: Session, interrupts: Interrupts, job: PullRequestJob, *, retry_failed: bool) -> Ended:
    from hugflow.gitops.run import PullRequestRun
    from hugflow.sync import Options

    title, url = f"Pull request {job.number}", session.pull_url(job.number)
    with pull_request_wiring(session, interrupts, title, url, Options(retry_failed=retry_failed)) as wired:
        run = PullRequestRun(wired.github, wired.engine, wired.start_reporter, wired.emit, lambda: interrupts.timed_out)
        ended = run.process(job)
        wired.end(ended)
        show_ended(session, "sync", ended)
    return ended


def _unlock(session: Session, interrupts: Interrupts, job: PullRequestJob) -> Ended:
    from hugflow.gitops.unlock import comment_lock_holders
    from hugflow.storage.locks import lock_holder

    state = session.state()
    with pull_request_wiring(session, interrupts, f"Pull request {job.number}", session.pull_url(job.number)) as wired:
        ended = comment_lock_holders(wired.github, job, lambda name: lock_holder(state.lock_path(name)))
        wired.end(ended)
        show_ended(session, "sync", ended)
    return ended


def pull_request_job(
    session: Session, given: ActionsJob, number: int | None, sha: str | None, mode: str = "sync", only: str = ""
) -> PullRequestJob:
    """The job by the options, else by the event (of a pull request, or a dispatch). Raises UsageError."""
    from hugflow.gitops.pull_request import read_pull_request
    from hugflow.gitops.run import PullRequestJob

    if mode not in MODES:
        raise UsageError("starting a sync", f"{mode!r} is no mode", f"Choose one of {', '.join(MODES)}.")
    head = (given.payload.get("pull_request") or {}).get("head") or {}
    pull = given.pull_request_number(number)
    commit = sha or given.inputs.get("sha") or head.get("sha")
    return PullRequestJob(
        number=pull,
        sha=str(commit or read_pull_request(github(session), pull).head_sha),
        mode="plan" if mode == "plan" else "sync",
        only=only or given.inputs.get("only", ""),
        # a person who dispatches a run approves the commit that they name, never an unnamed newest one
        approved_by=given.sender_who_dispatched() if commit else (),
        auto_merge=session.settings.auto_merge,
        run_url=given.run_url,
        run_key=given.run_key,
        hub_url=session.settings.hf_endpoint,
    )


def show_ended(session: Session, command: str, ended: Ended) -> None:
    """Print the outcome of a run before its reports are delivered, which may take long or be interrupted."""
    from hugflow.render.console import request_text
    from hugflow.report.json_output import request_json, result_json

    requests = ended.view.requests if ended.view else ()
    for request in requests:
        session.output.say(request_text(request))
    results = [result_json(request.result) for request in requests if request.result]
    for refusal in ended.refusals:
        session.output.complain(str(refusal))
    refusals = [{"code": r.code, "problem": r.problem, "fix": r.fix} for r in ended.refusals]
    content = {"requests": [request_json(request) for request in requests], "results": results, "refusals": refusals}
    session.output.document(document(command, ended.exit_code, **content))
