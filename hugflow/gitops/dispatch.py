"""Start and cancel workflow runs: the next job of a paused run, and runs that a comment command asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from hugflow.gitops.client import GitHub
from hugflow.gitops.pull_request import PullRequest, read_pull_request

if TYPE_CHECKING:
    from github.WorkflowRun import WorkflowRun

SYNC_WORKFLOW = "dataset-sync.yml"
APPLY_WORKFLOW = "apply.yml"

_UNFINISHED = ("in_progress", "queued", "pending", "waiting")

Mode = Literal["sync", "retry", "plan", "unlock"]


def dispatch(github: GitHub, workflow: str, ref: str, inputs: Mapping[str, str]) -> None:
    """Start `workflow` on the default branch `ref`; no other event of GITHUB_TOKEN starts a workflow."""
    github.write(
        f"starting the workflow {workflow}",
        lambda: github.repository.get_workflow(workflow).create_dispatch(ref, dict(inputs), throw=True),
    )


def dispatch_sync(github: GitHub, pull: PullRequest, sha: str, *, mode: Mode = "sync", only: str = "") -> None:
    """Start a run for one commit of a pull request; `only` is a single request file."""
    inputs = {"pull_request": str(pull.number), "sha": sha, "mode": mode, "only": only}
    dispatch(github, SYNC_WORKFLOW, pull.default_branch, inputs)


def dispatch_next_slice(github: GitHub, number: int, sha: str) -> bool:
    """Start the next job of a paused run; return False when a newer commit has a run of its own.

    GitHub keeps one waiting run: a job for the old commit would remove the waiting run of the new one from the queue.
    """
    pull = read_pull_request(github, number)
    if pull.state != "open" or pull.head_sha != sha:
        return False
    dispatch_sync(github, pull, sha)
    return True


def cancel_runs(github: GitHub, number: int) -> int:
    """Cancel the running and waiting runs of a pull request, which save their state; return their number."""
    title, cancelled = run_title(number), 0
    for status in _UNFINISHED:
        for run in _runs(github, status):
            if run.display_title == title:
                github.write("cancelling a workflow run", run.cancel)
                cancelled += 1
    return cancelled


def _runs(github: GitHub, status: str) -> list[WorkflowRun]:
    return github.read(
        "listing the workflow runs",
        lambda: list(github.repository.get_workflow(SYNC_WORKFLOW).get_runs(status=status)),
    )


def run_title(number: int) -> str:
    """The `run-name` that dataset-sync.yml gives to the runs of a pull request."""
    return f"Datasets of pull request {number}"
