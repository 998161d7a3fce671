"""The commands of scheduled workflows, under `hugflow ci`: they look, and raise an alert that closes itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hugflow.cli import options
from hugflow.cli.plain_help import add_command
from hugflow.model.errors import ExitCode, HugflowError, UsageError
from hugflow.render.alerts import DATA_IS_STALE, PIPELINE_FAILED, pipeline_body, pipeline_recovered, stale_body
from hugflow.report.json_output import document

if TYPE_CHECKING:
    from hugflow.cli.wiring import Session
    from hugflow.gitops.client import GitHub
    from hugflow.publish.freshness import Watched
    from hugflow.request.file import ParsedRequest
    from hugflow.storage.inventory import DatasetStatus


STATUSES = ("success", "failure", "cancelled", "skipped")


def register(ci: typer.Typer) -> None:
    """Add the commands to `hugflow ci`."""
    add_command(ci, "watch", watch, "Open an issue when datasets have drifted or are stale.")
    add_command(ci, "alert", alert, "Open or close the issue of a scheduled workflow.")


def watch(
    context: typer.Context,
    config: options.Config = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare requests, storage and the Hub, and look whether what is published is fresh.

    An issue says what differs, and another one what is stale; each is closed when all is well again.

    \b
    Example:
      hugflow ci watch
    """
    # first of all: it sets what the Hub's libraries read when they are imported
    session = options.session(context, config, json=json, verbose=verbose, quiet=quiet)
    from hugflow.cli.pull_requests import github
    from hugflow.gitops.requests import read_default_branch_requests

    connection = github(session)
    requested = read_default_branch_requests(connection)
    alerts = Alerts(session, connection)
    differing, watched = _drift(session, alerts, requested), _freshness(session, alerts, requested)
    stale = [each for each in watched if each.problem]
    code = ExitCode.FAILED if differing or stale else ExitCode.DONE
    described = [dataset.as_json() for dataset in differing], [_watched_json(each) for each in watched]
    session.output.document(document("ci watch", code, drift=described[0], freshness=described[1]))
    raise typer.Exit(code)


def _drift(session: Session, alerts: Alerts, requested: list[ParsedRequest]) -> list[DatasetStatus]:
    """The datasets that are not as their requests and the Hub have them."""
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


def _freshness(session: Session, alerts: Alerts, requested: list[ParsedRequest]) -> list[Watched]:
    """What requests publish on a schedule, and whether it is fresh."""
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
    context: typer.Context,
    pipeline: Annotated[
        str, typer.Option("--pipeline", help="The pipeline's name: each has one issue.", metavar="NAME")
    ],
    status: Annotated[
        str, typer.Option("--status", help="How it went: success, failure, cancelled, skipped.", metavar="STATUS")
    ],
    title: Annotated[str, typer.Option("--title", help="The issue's title.", metavar="TEXT")] = PIPELINE_FAILED,
    config: options.Config = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Open one issue when a scheduled workflow fails, with the address of its run; close it when it succeeds again.

    Slack is told of both, where it is set up. Give it `job.status`, or a step's outcome, in the last step of the job,
    with `if: always()`. What was skipped changes nothing.

    \b
    Example:
      hugflow ci alert --pipeline market-data --status failure
    """
    session = options.session(context, config, json=json, verbose=verbose, quiet=quiet)
    if status not in STATUSES:
        raise UsageError("raising an alert", f"{status!r} is no status", f"Give one of {', '.join(STATUSES)}.")
    from hugflow.cli.pull_requests import ActionsJob, github

    run_url = ActionsJob.of(session).run_url
    alerts = Alerts(session, github(session))
    key = f"pipeline {pipeline}"
    number = None
    if status == "success":
        alerts.clear(key, pipeline_recovered(pipeline, run_url), f"{pipeline} works again", run_url)
        session.output.say(f"{pipeline}: no alert")
    elif status != "skipped":
        number = alerts.put(key, title, pipeline_body(pipeline, status, run_url), f"{pipeline}: {title}", run_url)
    session.output.document(document("ci alert", 0, issue=number))


@dataclass(frozen=True)
class Alerts:
    """One issue for each thing that is wrong; Slack hears when it is opened and when it is closed."""

    session: Session
    github: GitHub

    def put(self, key: str, title: str, body: str, words: str, run_url: str = "") -> int:
        """Open the issue `key`, or bring it up to date; returns its number."""
        from hugflow.gitops.alerts import is_raised, raise_alert

        is_new = not is_raised(self.github, key)
        number = raise_alert(self.github, key, title, body)
        self.session.output.say(f"{words}; see issue {number}")
        if is_new:
            self._post(f"{words} (issue {number})", run_url)
        return number

    def clear(self, key: str, why: str, words: str = "", run_url: str = "") -> None:
        """Close the issue `key`, if it is open; `why` is its last comment (Markdown), `words` are for Slack."""
        from hugflow.gitops.alerts import clear_alert

        if clear_alert(self.github, key, why):
            self._post(words or why, run_url)

    @cached_property
    def _channel(self) -> Any:
        from hugflow.cli.pull_requests import slack_channel

        return slack_channel(self.session)

    def _post(self, text: str, run_url: str = "") -> None:
        if self._channel is None:
            return
        from hugflow.slack.blocks import alerted

        try:
            self._channel.post(alerted(text, self.session.settings.github_repo or "", run_url))
        except HugflowError as error:
            # the issue is there: Slack is the second place that says it
            self.session.output.complain(f"warning: Slack was not told: {error.problem}")
