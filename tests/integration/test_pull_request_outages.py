"""Outages of GitHub and Slack during a run: data is unaffected, and undelivered reports are warned about."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from localhub import LocalHub
from tests.conftest import CANARIES, NOWHERE, _safe_environ
from tests.support.pull_requests import Job, Runner, add, serving, speech, together, wait_for_request
from tests.support.world import World, tree

DATASET = "acme__voices__split_train__rev_main"
REPORTS = r"/user$|/issues/|/check-runs|/merge"
"""The addresses that are asked once the gate and the plan have read what they need."""
SLOW_S = 30.0


def down(runner: Runner) -> None:
    """Slack refuses connections, and soon GitHub too."""
    runner.settings["SLACK_API_URL"] = NOWHERE


def slow(runner: Runner) -> None:
    """Both answer after half a minute."""
    runner.github.fault(route=REPORTS, delay_s=SLOW_S)
    runner.slack.fault(delay_s=SLOW_S)


def forbidden(runner: Runner) -> None:
    """Both ask to come back in ten minutes."""
    runner.github.fault(route=REPORTS, status=403, retry_after_s=600)
    runner.slack.fault(status=429, retry_after_s=600)


def broken(runner: Runner) -> None:
    """Both answer 500."""
    runner.github.fault(route=REPORTS, status=500)
    runner.slack.fault(status=500)


def passing(runner: Runner) -> None:
    """Both answer 500 twice, then normally."""
    runner.github.fault(route=REPORTS, status=500, count=2)
    runner.slack.fault(status=500, count=2)


OUTAGES: Mapping[str, Callable[[Runner], None]] = {
    each.__name__: each for each in (down, slow, forbidden, broken, passing)
}


@dataclass(frozen=True)
class Case:
    """A run and what it left."""

    job: Job
    stored_after_s: float
    ended_after_s: float
    tree: dict[str, str]
    comments: list[str]
    slack: int
    merged: bool


def case(hub: LocalHub, folder: Path, name: str) -> Case:
    """Run one pull request on a server, a GitHub and a Slack of its own, with an outage or none."""
    (folder / name).mkdir()
    world = World.make(folder / name, hub, _safe_environ(folder / name / "home"), CANARIES)
    with serving(world) as runner:
        runner.with_bot()
        OUTAGES.get(name, lambda _: None)(runner)
        number = runner.propose({"requests/add/voices.yaml": add("acme/voices")})
        # patient enough that one answer, if the data waited for it, would show
        environ = {"CONNECTION_TIMEOUT": "25", "MAX_RETRIES": "1", "WORKERS": "1"}
        environ["AUTO_MERGE"] = "false" if name == "slow" else "true"
        begun = time.time()
        with runner.running("sync", "--ci-mode", "--json", event=runner.pull_event(number), **environ) as running:
            if name == "down":
                wait_for_request(runner.github, "GET .*/git/blobs/")
                runner.github.__exit__()
            job = running.end()
        pull = runner.state.pulls[number]
        return Case(
            job=job,
            stored_after_s=(runner.storage / DATASET / ".hugflow" / "dataset.json").stat().st_mtime - begun,
            ended_after_s=time.time() - begun,
            tree=tree(runner.storage),
            comments=runner.comments(number),
            slack=len(runner.slack.messages),
            merged=pull.merged_as is not None,
        )


@pytest.fixture(scope="module")
def cases(hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """All outages at the same time, and one run without any."""
    folder = tmp_path_factory.mktemp("outages")
    maker = World.make(folder, hub, {}, CANARIES)
    maker.serve("acme/voices", speech(5))
    return together({name: partial(case, hub, folder, name) for name in ("well", *OUTAGES)}, at_once=6)


@pytest.mark.parametrize("name", OUTAGES)
def test_the_data_is_the_same_and_takes_no_longer(cases: dict[str, Case], name: str) -> None:
    well, ill = cases["well"], cases[name]
    assert (well.job.code, ill.job.code) == (0, 0)
    assert ill.tree == well.tree
    result = ill.job.results["requests/add/voices.yaml"]
    assert (result["status"], result["rows_done"]) == ("complete", 5)
    assert ill.stored_after_s < well.stored_after_s + SLOW_S / 2


@pytest.mark.parametrize("name", ["down", "slow", "forbidden", "broken"])
def test_what_was_not_told_is_warned_about(cases: dict[str, Case], name: str) -> None:
    done = cases[name]
    for service in ("GitHub", "Slack"):
        assert f"warning: not everything was reported to {service}: " in done.job.err
    assert "final comment (" in done.job.err
    assert "The data is unaffected." in done.job.err
    assert not done.merged
    if name != "slow":  # what timed out may have been done all the same
        assert (done.comments, done.slack) == ([], 0)
        assert "Not merged, as far as is known: " in done.job.summary
    assert done.job.summary.startswith("### ✅ Hugflow: 1 in storage"), "the summary needs neither of them"
    assert done.ended_after_s < 120, "the end of a job waits for nobody beyond a limit"


def test_what_passes_is_told_later(cases: dict[str, Case]) -> None:
    for name in ("well", "passing"):
        done = cases[name]
        assert "warning" not in done.job.err
        assert len(done.comments) == 2
        assert done.slack == 4
        assert done.merged


def test_a_github_that_cannot_be_asked_at_all_ends_the_job_before_anything(runner_without_github: Runner) -> None:
    runner = runner_without_github
    job = runner.sync(runner.propose({"requests/add/voices.yaml": add("acme/voices")}), "--json").ended(1)
    assert "GitHub answered 503" in job.err
    assert runner.downloads() == []
    assert not runner.storage.exists()


@pytest.fixture
def runner_without_github(world: World) -> Iterator[Runner]:
    """A GitHub that only answers 503."""
    world.hub.clear_log()
    with serving(world) as runner:
        runner.github.fault(status=503)
        yield runner
