"""Object wiring: builds settings, output, engine, and GitHub and Slack clients from the process's environment.

Everything is imported where it is used, so that `--help` and `validate` stay quick.
"""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hugflow.cli.actions_job import ActionsJob
from hugflow.cli.interrupts import Interrupts
from hugflow.cli.output import Output
from hugflow.config.loading import load, token
from hugflow.config.settings import Settings
from hugflow.model.errors import UsageError
from hugflow.text.redact import Redactor

if TYPE_CHECKING:
    from hugflow.gitops.client import GitHub
    from hugflow.gitops.reporter import PullRequestReporter
    from hugflow.gitops.run import Ended, RequestRunner
    from hugflow.hf_client.http import Hub
    from hugflow.hf_client.read.repository_reader import RepositoryReader
    from hugflow.model.events import Event, Reporter
    from hugflow.render.views import PullRequestView
    from hugflow.report.outbox import Outbox
    from hugflow.slack import Channel, Heading, SlackReporter
    from hugflow.storage.state import StateDir
    from hugflow.storage.storage_root import Storage
    from hugflow.sync import Options, Orchestrator

GH_TIMEOUT_S = 20


@dataclass(slots=True)
class Shell:
    """The surroundings of the process at its start.

    `export` sets variables that libraries read when they are imported; `end` ends the process at once.
    """

    environ: Mapping[str, str]
    cwd: Path
    export: Callable[[dict[str, str]], None]
    end: Callable[[int], None]
    output: Output = field(default_factory=Output)

    def session(self, common: Common, **overrides: Any) -> Session:
        """Read the settings, and set up output and logging by them. Raises UsageError."""
        settings = load(
            self.environ,
            None if self.output.in_actions else self._text(self.cwd / ".env"),  # files of a checkout are not trusted
            self._config_text(common.config),
            overrides,
            config_name=str(common.config or ""),
        )
        found = token(settings, self.environ, lambda path: self._text(Path(path)))
        settings = settings.model_copy(update={"hf_token": found})
        self.output.redactor = Redactor([*settings.secrets(), *_ambient_secrets(self.environ)])
        self.output.json = common.json
        self.output.quiet = common.quiet
        self.output.configure_logging(settings, verbose=common.verbose)
        self.export(_library_environment(settings))
        return Session(self, settings)

    def _config_text(self, path: Path | None) -> str | None:
        if path is None:
            return None
        text = self._text(path)
        if text is None:
            raise UsageError("reading the configuration", f"there is no file {path}", "Check the path after --config.")
        return text

    def _text(self, path: Path) -> str | None:
        try:
            return (self.cwd / path).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                "reading the configuration", f"{path} cannot be read: {error}", "Check the file."
            ) from error


@dataclass(frozen=True, slots=True)
class Common:
    """The options that every command has."""

    config: Path | None = None
    json: bool = False
    verbose: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """A command with its settings. Builds the objects that the command uses."""

    shell: Shell
    settings: Settings

    @property
    def output(self) -> Output:
        """The output of the command."""
        return self.shell.output

    def storage(self) -> Storage:
        """The datasets in storage."""
        from hugflow.storage.storage_root import Storage

        processed = Path(self.settings.processed_root) if self.settings.processed_root else None
        return Storage(self.shell.cwd / self.settings.storage_root, processed)

    def state(self) -> StateDir:
        """The state directory."""
        from hugflow.storage.state import StateDir

        return StateDir(self.shell.cwd / self.settings.state_dir)

    def hub(self, interrupts: Interrupts | None = None) -> Hub:
        """The configured connection to the Hub."""
        from hugflow.hf_client.http import Hub

        found = self.settings.hf_token
        hub = Hub(
            endpoint=self.settings.hf_endpoint,
            token=found.get_secret_value() if found else None,
            connection_timeout_s=self.settings.connection_timeout,
            read_timeout_s=self.settings.read_timeout,
            max_retries=self.settings.max_retries,
            backoff=self.settings.retry_backoff,
            max_concurrent_downloads=self.settings.max_concurrent_downloads,
            sleep=(interrupts or Interrupts()).sleep,
        )
        hub.connect()
        return hub

    def reader(self) -> RepositoryReader:
        """The reader of Hub repositories, with the limits of the settings."""
        from hugflow.hf_client.read.limited_process import ProcessLimits, child_environment
        from hugflow.hf_client.read.repository_reader import RepositoryReader

        settings = self.settings
        return RepositoryReader(
            environment=child_environment({**self.shell.environ, **_library_environment(settings)}),
            plan_limits=ProcessLimits(settings.plan_memory_mb * 1_000_000, settings.plan_timeout),
            row_limits=ProcessLimits(
                settings.worker_memory_mb * 1_000_000, settings.row_timeout, "WORKER_MEMORY_MB", "ROW_TIMEOUT"
            ),
        )

    def _worker_environment(self) -> dict[str, str]:
        """The environment without secrets, whatever their variables are called."""
        environ = {**self.shell.environ, **_library_environment(self.settings)}
        redact = self.output.redactor.text
        return {name: value for name, value in environ.items() if not _is_secret(name) and redact(value) == value}

    def engine(
        self,
        reporters: tuple[Reporter, ...],
        interrupts: Interrupts,
        options: Options | None = None,
        publish_root: Path | None = None,
    ) -> Orchestrator:
        """The engine, with the audit trail and `reporters` listening; `publish_root` in place of PUBLISH_ROOT."""
        from hugflow.download.pool import PoolSettings
        from hugflow.download.run import RunContext
        from hugflow.model.events import Fanout
        from hugflow.model.records import EncoderSettings
        from hugflow.publish.deletion import HubRemover
        from hugflow.publish.run import Publisher
        from hugflow.report.audit import AuditTrail, utc_now
        from hugflow.storage.failpoints import Failpoints
        from hugflow.storage.removal import Remover
        from hugflow.sync import Options, Orchestrator

        settings, storage, state = self.settings, self.storage(), self.state()
        failpoints = Failpoints.parse(self.shell.environ.get("HUGFLOW_FAILPOINT"))
        trail = AuditTrail(state.audit, self.actor(), redact=self.output.redactor.text)
        emit = Fanout((*reporters, trail))
        quota = int(settings.storage_quota_gb * 1e9) or None
        hub = replace(self.hub(interrupts), outage_patience_s=settings.outage_patience)
        context = RunContext(
            reserve_bytes=int(settings.storage_reserve_gb * 1e9),
            max_growth=settings.max_storage_growth,
            hub=hub,
            reader=self.reader(),
            storage=storage,
            state=state,
            pool=PoolSettings(
                workers=settings.worker_count(cores()),
                row_timeout_s=settings.row_timeout,
                memory_bytes=settings.worker_memory_mb * 1_000_000,
                environment=self._worker_environment(),
            ),
            max_concurrent_downloads=settings.max_concurrent_downloads,
            cleanup_progress=settings.cleanup_progress_on_success,
            actor=self.actor(),
            emit=emit,
            should_stop=interrupts.should_stop,
            now=utc_now,
            failpoints=failpoints,
        )
        publisher = Publisher(
            hub=hub,
            state=state,
            storage=storage,
            root=publish_root or self.shell.cwd / settings.publish_root,
            emit=emit,
            should_stop=interrupts.should_stop,
            now=utc_now,
            failpoints=failpoints,
        )
        return Orchestrator(
            context=context,
            remover=Remover(storage, state, self.actor(), settings.trash_days, utc_now, emit, failpoints),
            publisher=publisher,
            hub_remover=HubRemover(hub, state, utc_now),
            encoder=EncoderSettings(quality=settings.lame_quality, max_audio_s=settings.max_audio_seconds),
            quota_bytes=quota,
            check_duplicates=settings.check_duplicates,
            validate_hf_id=settings.validate_hf_id,
            options=options or Options(),
        )

    def progress_reporter(self) -> Reporter:
        """A bar on a terminal, lines in a log elsewhere."""
        from hugflow.report.progress import ProgressBar, ProgressLines

        console = self.output.console()
        if console.is_terminal and not self.output.quiet:
            return ProgressBar(console)
        return ProgressLines(self.settings.progress_interval)

    def actions_job(self) -> ActionsJob:
        """The GitHub Actions job that the command runs in."""
        return ActionsJob.of(self.shell.environ)

    def web_url(self) -> str:
        """The address of the repository's pages on GitHub."""
        server = self.shell.environ.get("GITHUB_SERVER_URL", "https://github.com")
        return f"{server}/{self.settings.github_repo or ''}"

    def pull_url(self, number: int) -> str:
        """The address of a pull request's page."""
        return f"{self.web_url()}/pull/{number}"

    def actor(self) -> str:
        """The person behind the pull request in CI, else the user of this machine."""
        try:
            return self.shell.environ.get("GITHUB_ACTOR") or getpass.getuser()
        except (KeyError, OSError):
            return f"uid {os.getuid()}"


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _library_environment(settings: Settings) -> dict[str, str]:
    """Variables that libraries read once, at import, in this process and in its workers."""
    return {
        "HF_ENDPOINT": settings.hf_endpoint,
        "HF_HUB_DOWNLOAD_TIMEOUT": str(int(settings.read_timeout) or 1),
        "HF_HUB_ETAG_TIMEOUT": str(int(settings.connection_timeout) or 1),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
        # its own handler bypasses our format and masking, with a line for every attempt; final failures are raised
        "HF_HUB_VERBOSITY": "error",
        # with five attempts it takes three minutes until hf_xet says that the Hub is full; ours come after them
        "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "3",
        # numpy's linear algebra, which nothing here uses, would start a thread a core, in every worker
        "OPENBLAS_NUM_THREADS": "1",
    }


def _ambient_secrets(environ: Mapping[str, str]) -> list[str]:
    """Values of variables whose names say that they are secret: a library may print what it finds there."""
    return [value for name, value in environ.items() if _is_secret(name)]


def _is_secret(name: str) -> bool:
    marks = ("TOKEN", "SECRET", "PASSWORD", "WEBHOOK", "CREDENTIAL", "API_KEY", "ACCESS_KEY")
    return any(mark in name.upper() for mark in marks)


def refuse_workspace(session: Session, job: ActionsJob) -> None:
    """Refuse datasets or state in the workspace: the next checkout deletes every file in it."""
    if job.workspace is None:
        return
    workspace = job.workspace.resolve()
    settings = session.settings
    for name, value in (("STORAGE_ROOT", settings.storage_root), ("STATE_DIR", settings.state_dir)):
        folder = (session.shell.cwd / value).resolve()
        if folder.is_relative_to(workspace):
            raise UsageError(
                "starting the run",
                f"{name} ({folder}) lies inside of the workspace ({workspace}), which the next checkout cleans",
                f"Set {name} to a folder of the server outside of the runner's work folder.",
            )


def github(session: Session, *, retries: int | None = None) -> GitHub:
    """A connection to the repository of the settings. Raises UsageError without a repository or a token."""
    from hugflow.gitops.client import GitHub, GitHubSettings

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
            seconds_between_writes=settings.github_write_interval,
        ),
        retries=retries,
    )


def _gh_token() -> str:
    """The token of the `gh` program, if it is installed and logged in."""
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
    """A reporter that forwards events to reporters that join later: the pull request's reporter needs the plan."""

    reporters: list[Reporter] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        """Forward the event."""
        for reporter in self.reporters:
            reporter(event)


@dataclass(slots=True)
class PullRequestWiring:
    """The engine, reporters and outboxes of a run on GitHub."""

    session: Session
    job: ActionsJob
    github: GitHub
    engine: RequestRunner
    emit: Reporter
    relay: Relay
    outbox: Outbox
    quiet: GitHub

    def start_reporter(self, view: PullRequestView) -> PullRequestReporter:
        """Create the reporter of the pull request, which receives all events from now on."""
        from hugflow.gitops.reporter import Pace, PullRequestReporter

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
def pull_request_wiring(
    session: Session, interrupts: Interrupts, heading: str, url: str = "", options: Options | None = None
) -> Iterator[PullRequestWiring]:
    """Wire a run on GitHub; at its end, deliver the remaining reports, or warn about them."""
    from hugflow.gitops.run import RequestRunner
    from hugflow.report.outbox import GITHUB_LIMITS, SLACK_LIMITS, Outbox
    from hugflow.slack import Heading

    job = session.actions_job()
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
        yield PullRequestWiring(
            session, job, connection, RequestRunner(engine.plan, engine.execute), emit, relay, outbox, quiet
        )
        if slack:
            slack.finish()
    finally:
        # side by side: where neither answers, the end of the job waits for them once
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(Outbox.close, (outbox, slack_outbox)))


def _slack(session: Session, outbox: Outbox, heading: Heading) -> SlackReporter | None:
    from hugflow.slack import SlackReporter

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
    """The destination of Slack messages by the settings: a bot's channel, a webhook, or None."""
    from hugflow.slack import BotChannel, WebhookChannel

    settings = session.settings
    timeout = int(settings.connection_timeout) or 1
    if settings.slack_bot_token is not None and settings.slack_channel is not None:
        token, url = settings.slack_bot_token.get_secret_value(), settings.slack_api_url + "/"
        return BotChannel(token, settings.slack_channel, api_url=url, timeout_s=timeout)
    if settings.slack_webhook_url is not None:
        return WebhookChannel(settings.slack_webhook_url.get_secret_value(), timeout_s=timeout)
    return None
