"""The commands that GitHub's workflows run: sync, and those under `hugflow ci`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hugflow.cli import ci_schedule as schedule
from hugflow.cli import options
from hugflow.cli.plain_help import add_command
from hugflow.model.errors import ExitCode, UsageError
from hugflow.report.json_output import document

if TYPE_CHECKING:
    from hugflow.cli.interrupts import Interrupts
    from hugflow.cli.pull_requests import ActionsJob
    from hugflow.cli.wiring import Session
    from hugflow.gitops.run import Ended, PullRequestJob

MODES = ("sync", "retry", "plan", "unlock")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Number = Annotated[
    int | None, typer.Option("--pull-request", help="Its number; that of the event unless given.", metavar="N")
]
Commit = Annotated[
    str | None, typer.Option("--sha", help="The commit to work on; that of the event, else the newest.", metavar="SHA")
]
MaxRuntime = Annotated[
    str | None, typer.Option("--max-runtime", help="Pause after this long: 90m, 20h, 2d.", metavar="TIME")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    add_command(app, "sync", sync, "Work on a pull request: plan, run, report.")
    ci = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    add_command(ci, "check", check, "Check a pull request's requests; needs no secrets.")
    add_command(ci, "gate", gate, "Decide whether a pull request may run.")
    add_command(ci, "command", command, "Do what a `/hugflow` comment asks for.")
    add_command(ci, "apply", apply, "After a merge: removes, publishes, and what is left.")
    schedule.register(ci)
    app.add_typer(
        ci, name="ci", short_help="What the workflows on GitHub run.", help="What the workflows on GitHub run."
    )


def sync(
    context: typer.Context,
    ci_mode: Annotated[bool, typer.Option("--ci-mode", help="Work on a pull request on GitHub.")] = False,
    pull_request: Number = None,
    sha: Commit = None,
    mode: Annotated[str | None, typer.Option("--mode", help="sync, retry, plan or unlock.", metavar="MODE")] = None,
    only: Annotated[str | None, typer.Option("--only", help="Run only this request.", metavar="FILE")] = None,
    max_runtime: MaxRuntime = None,
    progress_interval: Annotated[
        int | None, typer.Option("--progress-interval", help="Rows between two lines of progress.", metavar="N")
    ] = None,
    workers: options.Workers = None,
    config: options.Config = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Work on a pull request: plan its requests, run the adds, and report in its comment, its check and in Slack.

    Nothing of the pull request is executed: its YAML is read through GitHub's API at one commit. Run again, it resumes.

    \b
    Example:
      hugflow sync --ci-mode --max-runtime 20h
    """
    session = options.session(
        context,
        config,
        json=json,
        verbose=verbose,
        quiet=quiet,
        workers=workers,
        progress_interval=progress_interval,
    )
    if not ci_mode:
        raise UsageError(
            "starting a sync",
            "without --ci-mode there is no pull request to work on",
            "On this machine, `hugflow plan` and `hugflow local-sync FILE` are what you want.",
        )
    from hugflow.cli.interrupts import Interrupts
    from hugflow.cli.pull_requests import ActionsJob

    given, interrupts = ActionsJob.of(session), Interrupts()
    chosen = mode or given.inputs.get("mode") or "sync"
    job = _job(session, given, pull_request, sha, chosen, only)
    with interrupts.listening():
        if max_runtime:
            interrupts.stop_after(seconds(max_runtime))
        if chosen == "unlock":
            ended = _unlock(session, interrupts, job)
        else:
            ended = _sync(session, interrupts, job, retry_failed=chosen == "retry")
    raise typer.Exit(ended.exit_code)


def _sync(session: Session, interrupts: Interrupts, job: PullRequestJob, *, retry_failed: bool) -> Ended:
    from hugflow.cli.pull_requests import desk
    from hugflow.gitops.run import PullRequestRun
    from hugflow.sync import Options

    opts = Options(retry_failed=retry_failed)
    with desk(session, interrupts, f"Pull request {job.number}", _pull_url(session, job), opts) as wired:
        run = PullRequestRun(wired.github, wired.engine, wired.start_reporter, wired.emit, lambda: interrupts.timed_out)
        ended = run.process(job)
        wired.end(ended)
        _tell(session, "sync", ended)
    return ended


def _unlock(session: Session, interrupts: Interrupts, job: PullRequestJob) -> Ended:
    from hugflow.cli.pull_requests import desk
    from hugflow.gitops.unlock import comment_lock_holders
    from hugflow.storage.locks import lock_holder

    state = session.state()
    with desk(session, interrupts, f"Pull request {job.number}", _pull_url(session, job)) as wired:
        ended = comment_lock_holders(wired.github, job, lambda name: lock_holder(state.lock_path(name)))
        wired.end(ended)
        _tell(session, "sync", ended)
    return ended


def check(
    context: typer.Context,
    pull_request: Number = None,
    config: options.Config = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Check the requests of a pull request, as far as their text tells. It reads through the API and writes nothing.

    \b
    Example:
      hugflow ci check --pull-request 12
    """
    from hugflow.cli.pull_requests import ActionsJob, github
    from hugflow.gitops.validate import validate

    session = options.session(context, config, json=json, verbose=verbose, quiet=quiet)
    found = validate(github(session), _number(ActionsJob.of(session), pull_request))
    session.output.command("\n".join(found.lines))
    problems = [{"path": p.path, "line": p.line, "column": p.column, "message": p.message} for p in found.problems]
    session.output.document(document("ci check", found.exit_code, problems=problems))
    raise typer.Exit(found.exit_code)


def gate(
    context: typer.Context,
    pull_request: Number = None,
    sha: Commit = None,
    config: options.Config = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Decide whether a pull request may run: open, unchanged, only requests, not a stranger's. Exit 0: it may.

    \b
    Example:
      hugflow ci gate --pull-request 12 --sha 1f2e3d4c
    """
    from hugflow.cli.pull_requests import ActionsJob, github
    from hugflow.gitops.gate import decide
    from hugflow.gitops.run import post_refusal

    session = options.session(context, config, json=json, verbose=verbose, quiet=quiet)
    given = ActionsJob.of(session)
    job = _job(session, given, pull_request, sha, "sync", None)
    connection = github(session)
    decision = decide(connection, job.number, job.sha, job.approved_by)
    if decision.allowed:
        session.output.say(f"pull request {job.number} may run at {job.sha}")
        session.output.document(document("ci gate", 0, allowed=True, refusals=[]))
        return
    ended = post_refusal(connection, decision, job)
    given.write_summary(ended.summary)
    session.output.complain("\n".join(str(refusal) for refusal in decision.refusals))
    # a gate that does not open is no success, also where nobody has to be told
    code = ended.exit_code or ExitCode.FAILED
    refusals = [{"code": r.code, "problem": r.problem, "fix": r.fix} for r in decision.refusals]
    session.output.document(document("ci gate", code, allowed=False, refusals=refusals))
    raise typer.Exit(code)


def command(
    context: typer.Context,
    config: options.Config = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Do what a comment asks for: `/hugflow plan`, `retry [file]`, `cancel`, `unlock`, `approve-removal`.

    The comment is read from the event of the job (GITHUB_EVENT_PATH), never from the command line.

    \b
    Example:
      hugflow ci command
    """
    from hugflow.cli.pull_requests import ActionsJob, github
    from hugflow.gitops.commands import CommentEvent, handle
    from hugflow.gitops.pull_request import read_file
    from hugflow.request import policy

    session = options.session(context, config, json=json, verbose=verbose, quiet=quiet)
    given = ActionsJob.of(session)
    event = CommentEvent.from_payload(given.payload)
    reply = None
    if event is not None:
        connection = github(session)
        branch = str(given.payload["repository"]["default_branch"])

        def approvers() -> tuple[str, ...]:
            return policy.parse(read_file(connection, branch, policy.FILE)).removals.approvers

        reply = handle(connection, event, approvers)
    session.output.say(f"{reply.reaction}: {reply.message}" if reply else "the comment is no command")
    described = {"reaction": reply.reaction, "message": reply.message} if reply else None
    session.output.document(document("ci command", 0, reply=described))


def apply(
    context: typer.Context,
    pull_request: Annotated[
        int | None, typer.Option("--pull-request", help="A merged one, to apply again.", metavar="N")
    ] = None,
    max_runtime: MaxRuntime = None,
    config: options.Config = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Do what a merge asks for: run the removes and publishes, and adds that did not run on their pull request.

    \b
    Example:
      hugflow ci apply --pull-request 12
    """
    from hugflow.cli.interrupts import Interrupts
    from hugflow.cli.pull_requests import ActionsJob, desk
    from hugflow.gitops.apply import ApplyRun

    session = options.session(context, config, json=json, verbose=verbose, quiet=quiet)
    given, interrupts = ActionsJob.of(session), Interrupts()
    push = _push(session, given, pull_request)
    with interrupts.listening():
        if max_runtime:
            interrupts.stop_after(seconds(max_runtime))
        with desk(session, interrupts, f"Merged into {push.branch}", _web(session)) as wired:
            run = ApplyRun(wired.github, wired.engine, wired.start_reporter, wired.emit, lambda: interrupts.timed_out)
            ended = run.apply(push)
            wired.end(ended)
            _tell(session, "ci apply", ended)
    raise typer.Exit(ended.exit_code)


def seconds(text: str, option: str = "--max-runtime") -> float:
    """A time such as `90m` or `20h` in seconds, as `option` takes it. Raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"reading {option}", f"{text!r} is no time", "Write a number and s, m, h or d: 20h.")
    return float(match[1]) * _UNITS[match[2]]


def _job(
    session: Session, given: ActionsJob, number: int | None, sha: str | None, mode: str, only: str | None
) -> PullRequestJob:
    """What to do, from the options, else from the event: a pull request's, or a dispatch with inputs."""
    from hugflow.gitops.run import PullRequestJob

    if mode not in MODES:
        raise UsageError("starting a sync", f"{mode!r} is no mode", f"Choose one of {', '.join(MODES)}.")
    head = (given.payload.get("pull_request") or {}).get("head") or {}
    pull = _number(given, number)
    commit = sha or given.inputs.get("sha") or head.get("sha")
    return PullRequestJob(
        number=pull,
        sha=str(commit or _newest_commit(session, pull)),
        mode="plan" if mode == "plan" else "sync",
        only=only or given.inputs.get("only", ""),
        # who starts a run by hand consents to the commit that they name; to whatever is the newest, nobody can
        approved_by=given.sender_who_dispatched() if commit else (),
        auto_merge=session.settings.auto_merge,
        run_url=given.run_url,
        run_key=given.run_key,
        hub_url=session.settings.hf_endpoint,
    )


def _newest_commit(session: Session, number: int) -> str:
    """The head of a pull request, for a run that was started by hand and names no commit."""
    from hugflow.cli.pull_requests import github
    from hugflow.gitops.pull_request import read_pull_request

    return read_pull_request(github(session), number).head_sha


def _number(given: ActionsJob, number: int | None) -> int:
    found: Any = number or given.inputs.get("pull_request") or (given.payload.get("pull_request") or {}).get("number")
    if not str(found or "").isdecimal():
        raise UsageError("finding the pull request", "there is no number", "Name it with --pull-request.")
    return int(found)


def _push(session: Session, given: ActionsJob, number: int | None) -> Any:
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


def _pull_url(session: Session, job: PullRequestJob) -> str:
    return f"{_web(session)}/pull/{job.number}"


def _web(session: Session) -> str:
    server = session.shell.environ.get("GITHUB_SERVER_URL", "https://github.com")
    return f"{server}/{session.settings.github_repo or ''}"


def _tell(session: Session, command: str, ended: Ended) -> None:
    """Print how it ended: before the reports are delivered, which may take a while and be cut off."""
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
