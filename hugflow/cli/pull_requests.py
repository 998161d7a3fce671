"""What the commands for pull requests are wired from: GitHub, Slack, their reporters, and the job they run in."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hugflow.cli.interrupts import Interrupts
from hugflow.cli.wiring import Session
from hugflow.gitops.client import GitHub, GitHubSettings
from hugflow.gitops.reporter import Pace, PullRequestReporter
from hugflow.gitops.run import Ended, RequestRunner
from hugflow.model.errors import UsageError
from hugflow.model.events import Event, Reporter
from hugflow.render.views import PullRequestView
from hugflow.report.outbox import GITHUB_LIMITS, SLACK_LIMITS, Outbox
from hugflow.slack import BotChannel, Channel, Heading, SlackReporter, WebhookChannel

if TYPE_CHECKING:
    from hugflow.sync import Options  # imports the Hub's libraries, which a gate does not need

GH_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class ActionsJob:
    """The GitHub Actions job around us: its event, and where it is seen. All empty outside of Actions."""

    event_name: str
    payload: dict[str, Any]
    run_url: str
    run_key: str
    workspace: Path | None
    summary_path: Path | None

    @classmethod
    def of(cls, session: Session) -> ActionsJob:
        """Read the variables that Actions sets, and the event's payload."""
        env = session.shell.environ
        event = env.get("GITHUB_EVENT_PATH")
        payload: dict[str, Any] = json.loads(Path(event).read_text(encoding="utf-8")) if event else {}
        run_id, attempt = env.get("GITHUB_RUN_ID", ""), env.get("GITHUB_RUN_ATTEMPT", "1")
        server, repository = env.get("GITHUB_SERVER_URL", ""), env.get("GITHUB_REPOSITORY", "")
        workspace, summary = env.get("GITHUB_WORKSPACE"), env.get("GITHUB_STEP_SUMMARY")
        return cls(
            event_name=env.get("GITHUB_EVENT_NAME", ""),
            payload=payload,
            run_url=f"{server}/{repository}/actions/runs/{run_id}" if run_id and server else "",
            run_key=f"{run_id}-{attempt}" if run_id else "local",
            workspace=Path(workspace) if workspace else None,
            summary_path=Path(summary) if summary else None,
        )

    @property
    def inputs(self) -> dict[str, str]:
        """The inputs of a dispatched workflow."""
        return {key: str(value or "") for key, value in (self.payload.get("inputs") or {}).items()}

    def sender_who_dispatched(self) -> tuple[str, ...]:
        """Who started a dispatched run by hand: that takes write access. A workflow that did so is nobody."""
        login = str((self.payload.get("sender") or {}).get("login", ""))
        by_hand = self.event_name == "workflow_dispatch" and login and not login.endswith("[bot]")
        return (login,) if by_hand else ()

    def write_summary(self, text: str) -> None:
        """Append to the job's summary, if there is a job."""
        if self.summary_path is not None:
            with self.summary_path.open("a", encoding="utf-8") as file:
                file.write(text + "\n")


def refuse_workspace(session: Session, job: ActionsJob) -> None:
    """Refuse to keep datasets or state in the workspace: the next checkout deletes whatever is in there."""
    if job.workspace is None:
        return
    workspace = job.workspace.resolve()
    settings = session.settings
    for name, value in (("STORAGE_ROOT", settings.storage_root), ("STATE_DIR", settings.state_dir)):
        if "://" in value:
            continue
        folder = (session.shell.cwd / value).resolve()
        if folder.is_relative_to(workspace):
            raise UsageError(
                "starting the run",
                f"{name} ({folder}) lies inside of the workspace ({workspace}), which the next checkout cleans",
                f"Set {name} to a folder of the server outside of the runner's work folder.",
            )


def github(session: Session, *, retries: int | None = None) -> GitHub:
    """A connection to the repository of the settings. Raises UsageError without a repository or a token."""
    settings = session.settings
    if settings.github_repo is None:
        raise UsageError("connecting to GitHub", "there is no repository", "Set GITHUB_REPO to owner/name.")
    token = settings.github_token.get_secret_value() if settings.github_token else _gh_token()
    if not token:
        raise UsageError("connecting to GitHub", "there is no token", "Set GITHUB_TOKEN, or log in: `gh auth login`.")
    session.output.redactor = session.output.redactor.knowing(token)
    return GitHub(
        GitHubSettings(
            repository=settings.github_repo,
            token=token,
            api_url=settings.github_api_url,
            timeout_s=int(settings.connection_timeout) or 1,
            max_retries=settings.max_retries,
            retry_backoff_s=settings.retry_backoff,
        ),
        retries=retries,
    )


def _gh_token() -> str:
    """The token of the `gh` program, if it is there and logged in."""
    try:
        done = subprocess.run(
            ["gh", "auth", "token"],  # noqa: S607 - wherever the user has it
            capture_output=True,
            text=True,
            timeout=GH_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@dataclass(slots=True)
class Relay:
    """A reporter that hands events to those that join it later: the pull request's is made from its plan."""

    reporters: list[Reporter] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        """Hand the event on."""
        for reporter in self.reporters:
            reporter(event)


@dataclass(slots=True)
class Desk:
    """A run's engine, reporters and outboxes, wired together."""

    session: Session
    job: ActionsJob
    github: GitHub
    engine: RequestRunner
    emit: Reporter
    relay: Relay
    outbox: Outbox
    quiet: GitHub

    def start_reporter(self, view: PullRequestView) -> PullRequestReporter:
        """The reporter of the pull request; from now on it hears all events."""
        settings = self.session.settings
        reporter = PullRequestReporter(
            github=self.quiet,
            view=view,
            outbox=self.outbox,
            run_key=self.job.run_key,
            pace=Pace(rows=settings.pr_comment_interval),
            redact=self.session.output.redactor.text,
        )
        self.relay.reporters.append(reporter)
        return reporter

    def end(self, ended: Ended) -> None:
        """Write the job's summary."""
        self.job.write_summary(self.session.output.redactor.text(ended.summary))


@contextmanager
def desk(
    session: Session, interrupts: Interrupts, heading: str, url: str = "", options: Options | None = None
) -> Iterator[Desk]:
    """Wire a run on GitHub; at its end, what still waits to be told is delivered, or warned about."""
    job = ActionsJob.of(session)
    refuse_workspace(session, job)
    relay = Relay()
    connection = github(session)
    engine = session.engine((session.progress_reporter(), relay), interrupts, options)
    emit = engine.context.emit

    def warn(message: str) -> None:
        session.output.complain(f"warning: {message}")

    outbox, slack_outbox = Outbox("GitHub", GITHUB_LIMITS, warn), Outbox("Slack", SLACK_LIMITS, warn)
    slack = _slack(session, slack_outbox, Heading(heading, url, job.run_url))
    relay.reporters += [slack] if slack else []
    # the outbox tries again by itself
    quiet = github(session, retries=0)
    try:
        yield Desk(session, job, connection, RequestRunner(engine.plan, engine.execute), emit, relay, outbox, quiet)
        if slack:
            slack.finish()
    finally:
        # side by side: where neither answers, the end of the job waits for them once
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(Outbox.close, (outbox, slack_outbox)))


def _slack(session: Session, outbox: Outbox, heading: Heading) -> SlackReporter | None:
    channel = slack_channel(session)
    if channel is None:
        return None
    return SlackReporter(
        channel=channel,
        outbox=outbox,
        heading=heading,
        interval_rows=session.settings.slack_notification_interval,
        redact=session.output.redactor.text,
    )


def slack_channel(session: Session) -> Channel | None:
    """Where Slack messages go by the settings: a bot's channel, a webhook, or nowhere."""
    settings = session.settings
    timeout = int(settings.connection_timeout) or 1
    if settings.slack_bot_token is not None and settings.slack_channel is not None:
        token, url = settings.slack_bot_token.get_secret_value(), settings.slack_api_url + "/"
        return BotChannel(token, settings.slack_channel, api_url=url, timeout_s=timeout)
    if settings.slack_webhook_url is not None:
        return WebhookChannel(settings.slack_webhook_url.get_secret_value(), timeout_s=timeout)
    return None
