"""A pull request on the GitHub double, an engine with prepared outcomes, and the real run between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from hugflow.gitops import commands
from hugflow.gitops.apply import ApplyRun, Push
from hugflow.gitops.client import GitHub, GitHubSettings
from hugflow.gitops.commands import CommentEvent
from hugflow.gitops.reporter import Pace, PullRequestReporter
from hugflow.gitops.run import Ended, PullRequestJob, PullRequestRun, RequestRunner
from hugflow.model.errors import ExitCode, HugflowError
from hugflow.model.events import Event, Fanout, Progress, Reporter, Result, RunFinished, RunStarted
from hugflow.model.plan import AddPlan, Plan, RemovePlan
from hugflow.model.specs import AddSpec, RemoveSpec
from hugflow.render.views import PullRequestView
from hugflow.report.outbox import Outbox
from hugflow.request.file import ParsedRequest
from tests.doubles.github import GitHub as Server
from tests.support import sample_views as sample

ADD = "hf_id: acme/{name}\ndescription: Read speech.\n"
REMOVE = "hf_id: acme/{name}\nreason: Replaced.\n"

Outcome = Callable[[Plan], Result] | HugflowError | None


def add(name: str) -> str:
    """A request that adds `acme/NAME`."""
    return ADD.format(name=name)


def remove(name: str) -> str:
    """A request that removes `acme/NAME`."""
    return REMOVE.format(name=name)


@dataclass
class TheEngine:
    """Plans from the request alone; executes each plan with the outcome of `outcomes`, else successfully."""

    emit: Reporter
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    plans: dict[str, Plan | HugflowError] = field(default_factory=dict)
    stored: set[str] = field(default_factory=set)
    planned: list[str] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)
    before: Callable[[str], None] = lambda _: None

    def plan(self, request: ParsedRequest) -> Plan:
        """Plan a request as `plans` says, else successfully."""
        self.planned.append(request.path)
        told = self.plans.get(request.path)
        if isinstance(told, HugflowError):
            raise told
        if told is not None:
            return told
        if isinstance(request.spec, RemoveSpec):
            plan = sample.remove_plan()
            names = (f"{request.spec.hf_id.replace('/', '__')}__split_train__rev_main",)
            return plan.model_copy(update={"request": request.path, "spec": request.spec, "names": names})
        assert isinstance(request.spec, AddSpec)
        plan = sample.add_plan(request.path, request.spec.hf_id, 3_000)
        return plan.model_copy(update={"action": "nothing"}) if plan.name in self.stored else plan

    def execute(self, plan: Plan) -> Result:
        """Emit the events of the prepared outcome."""
        self.before(plan.request)
        self.executed.append(plan.request)
        self.emit(RunStarted(plan.request, plan))
        outcome = self.outcomes.get(plan.request)
        result = outcome(plan) if callable(outcome) else self._success(plan)
        if isinstance(plan, AddPlan):
            for done in range(0, result.rows_done, 100):
                self.emit(Progress(plan.request, plan.name, 3_000, done, 0, done, done * 1000, done / 10 + 1))
        self.emit(RunFinished(result))
        return result

    def _success(self, plan: Plan) -> Result:
        if isinstance(plan, RemovePlan):
            self.stored -= set(plan.names)
            return Result(plan.request, "remove", ", ".join(plan.names), "removed", ExitCode.DONE, rows_done=plan.rows)
        assert isinstance(plan, AddPlan)
        status = "unchanged" if plan.name in self.stored else "complete"
        self.stored.add(plan.name)
        return replace(sample.result(plan.request, 3_000), name=plan.name, location=plan.location, status=status)


def failing(rows: int, problem: str) -> Callable[[Plan], Result]:
    """An outcome: the download stops after `rows`."""

    def outcome(plan: Plan) -> Result:
        assert isinstance(plan, AddPlan)
        return replace(
            sample.result(plan.request, 3_000),
            name=plan.name,
            location=plan.location,
            status="failed",
            exit_code=ExitCode.FAILED,
            rows_done=rows,
            new_rows=rows,
            error=problem,
            fix="Run it again.",
            previews=(),
        )

    return outcome


def paused(plan: Plan) -> Result:
    """An outcome: the job's time is over."""
    result = failing(1_000, "the time of this job is over")(plan)
    return replace(result, status="paused", exit_code=ExitCode.PAUSED, reason="max_runtime")


@dataclass
class Rig:
    """Connections, reporters and results of one run."""

    server: Server
    token: str
    engine: TheEngine = field(init=False)
    warnings: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    continues: bool = False
    close_timeout_s: float = 20.0
    redact: Callable[[str], str] = str
    _reporters: list[Reporter] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = TheEngine(self.emit)

    def emit(self, event: Event) -> None:
        """Hand an event to all reporters."""
        self.events.append(event)
        Fanout(tuple(self._reporters))(event)

    def process(self, number: int, **changes: object) -> Ended:
        """A run on a pull request, at its head unless told otherwise."""
        job = PullRequestJob(
            number, self.server.state.pull_head(number), run_url="https://github.example/run/1", run_key="1-1"
        )
        job = replace(job, hub_url="https://hub.example", **changes)  # type: ignore[arg-type]  # fields of Job
        with self._connected() as (github, start):
            run = PullRequestRun(github, self._engine(), start, self.emit, lambda: self.continues)
            return run.process(job)

    def apply(self, **push: object) -> Ended:
        """A run after a merge; by default of everything since the repository's first commit."""
        commits = list(self.server.state.objects.commits)
        values = {"branch": "main", "before": commits[0], "after": self.server.state.head("main"), **push}
        with self._connected() as (github, start):
            return ApplyRun(github, self._engine(), start, self.emit, lambda: self.continues).apply(Push(**values))  # type: ignore[arg-type]  # of Push

    def comment(self, number: int, author: str, body: str, approvers: tuple[str, ...] = ()) -> str:
        """Comment on a pull request, and run the command; the bot's reaction."""
        said = self.server.state.add_comment(number, author, body)
        with self._connected() as (github, _):
            event = CommentEvent(number, said.id, author, body, "https://github.example/comment")
            reply = commands.handle(github, event, lambda: approvers)
        return reply.reaction if reply else ""

    def _engine(self) -> RequestRunner:
        return RequestRunner(self.engine.plan, self.engine.execute)

    @contextmanager
    def _connected(self) -> Iterator[tuple[GitHub, Callable[[PullRequestView], PullRequestReporter]]]:
        settings = GitHubSettings(
            "acme/data", self.token, self.server.api, seconds_between_writes=0, timeout_s=5, retry_backoff_s=0.01
        )
        foreground, background = GitHub(settings), GitHub(settings, retries=0)
        outbox = Outbox("GitHub", (), self.warnings.append, close_timeout_s=self.close_timeout_s)

        def start(view: PullRequestView) -> PullRequestReporter:
            reporter = PullRequestReporter(background, view, outbox, "1-1", Pace(), self.redact)
            self._reporters.append(reporter)
            return reporter

        try:
            yield foreground, start
        finally:
            outbox.close()
            self._reporters.clear()
            foreground.close()
            background.close()

    # -- what readers see

    def comments(self, number: int) -> list[str]:
        """The bot's comments, oldest first."""
        return [c.body for c in self.server.state.comments_of(number) if c.user.endswith("[bot]")]

    def sticky(self, number: int) -> str:
        """The one comment that is edited."""
        (body,) = [body for body in self.comments(number) if body.startswith("<!-- hugflow:sticky -->")]
        return body

    def finals(self, number: int) -> list[str]:
        """The comments of final states."""
        return [body for body in self.comments(number) if body.startswith("<!-- hugflow:final")]
