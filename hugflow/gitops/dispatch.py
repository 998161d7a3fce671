"""Starting workflows: the next slice of a run that paused, and what a comment command asks for."""

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
    """Start `workflow` on the default branch `ref`. Of all that GITHUB_TOKEN does, only this starts one."""
    github.write(
        f"starting the workflow {workflow}",
        lambda: github.repository.get_workflow(workflow).create_dispatch(ref, dict(inputs), throw=True),
    )


def dispatch_sync(github: GitHub, pull: PullRequest, sha: str, *, mode: Mode = "sync", only: str = "") -> None:
    """Start a run for one commit of a pull request; `only` is a single request file."""
    inputs = {"pull_request": str(pull.number), "sha": sha, "mode": mode, "only": only}
    dispatch(github, SYNC_WORKFLOW, pull.default_branch, inputs)


def dispatch_next_slice(github: GitHub, number: int, sha: str) -> bool:
    """Start the next slice of a paused run, unless a newer commit has its own run waiting. Says whether it did.

    One run waits at a time: a slice for an old commit would push the waiting run of the new one out of the queue.
    """
    pull = read_pull_request(github, number)
    if pull.state != "open" or pull.head_sha != sha:
        return False
    dispatch_sync(github, pull, sha)
    return True


def cancel_runs(github: GitHub, number: int) -> int:
    """Ask the running and waiting runs of a pull request to stop; they save their state. Returns how many."""
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
