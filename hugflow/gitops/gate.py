"""Decide whether a pull request may run on the server, from data read from GitHub at that moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from hugflow.gitops.approvals import RUN, read_approvals
from hugflow.gitops.client import GitHub
from hugflow.gitops.contributors import MAX_COMMITS
from hugflow.gitops.pull_request import (
    REQUESTS,
    ChangedFile,
    PullRequest,
    TreeEntry,
    may_write,
    read_changes,
    read_pull_request,
)
from hugflow.text.printable import listed, shown

_LISTED = 10


@dataclass(frozen=True, slots=True)
class GateFacts:
    """Input of the decision: the pull request, its changed files, their tree at its head, and its approvers."""

    pull: PullRequest
    files: tuple[ChangedFile, ...]
    tree: Mapping[str, TreeEntry]
    approved_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Reason why nothing runs, and what to do about it. `code` is stable, for programs."""

    code: str
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.problem}. {self.fix}"


@dataclass(frozen=True, slots=True)
class Decision:
    """Facts and refusals; the pull request may run when `refusals` is empty."""

    facts: GateFacts
    refusals: tuple[Refusal, ...]

    @property
    def allowed(self) -> bool:
        """True when the pull request may run."""
        return not self.refusals


def decide(github: GitHub, number: int, sha: str, approved_by: Sequence[str] = ()) -> Decision:
    """Read pull request `number` and decide whether its commit `sha` may run.

    `approved_by` are people with write access who started a run for exactly this commit.
    """
    pull = read_pull_request(github, number)
    early = tuple(refusals_of_state(pull, sha))
    if early:
        return Decision(GateFacts(pull, (), {}), early)
    changes = read_changes(github, pull)
    facts = GateFacts(pull, changes.files, changes.tree, _read_run_approvers(github, pull, approved_by))
    return Decision(facts, tuple(refusals_of_content(facts)))


def refusals_of_state(pull: PullRequest, sha: str) -> Iterator[Refusal]:
    """Refusals that need no file: state, head and base of the pull request."""
    if pull.state != "open":
        what = "merged" if pull.merged else "closed"
        yield Refusal("not_open", f"The pull request is {what}", "Reopen it, or open a new one.")
    if pull.head_sha != sha:
        yield Refusal(
            "head_moved",
            f"The pull request's head is `{pull.head_sha[:7]}`, not `{sha[:7]}`, which this run was started for",
            "The run for the new commit starts by itself.",
        )
    if pull.base_ref != pull.default_branch:
        yield Refusal(
            "wrong_base",
            f"The pull request goes to {shown(pull.base_ref)}, not to {shown(pull.default_branch)}",
            f"Change its base branch to {shown(pull.default_branch)}: the policy is read there.",
        )


def refusals_of_content(facts: GateFacts) -> Iterator[Refusal]:
    """Refusals because of changed files and of the repository that they come from."""
    yield from _too_many_commits(facts)
    yield from _outside(facts)
    yield from _no_plain_files(facts)
    yield from _secrets(facts)
    yield from _fork(facts)


def _too_many_commits(facts: GateFacts) -> Iterator[Refusal]:
    number = facts.pull.number_of_commits
    if number > MAX_COMMITS:
        yield Refusal(
            "too_many_commits",
            f"The pull request has {number} commits; at most {MAX_COMMITS} can be checked",
            "Squash them.",
        )


def _outside(facts: GateFacts) -> Iterator[Refusal]:
    outside = sorted({path for file in facts.files for path in file.paths if not _is_inside(path)})
    if outside:
        yield Refusal(
            "outside_requests",
            f"The pull request touches files outside `{REQUESTS}/`: {listed(outside, _LISTED)}",
            "Move those changes to a pull request of their own; this one may then contain requests only.",
        )


def _no_plain_files(facts: GateFacts) -> Iterator[Refusal]:
    """Links and submodules, including existing ones that are parents of changed files."""
    odd = sorted(
        path
        for path, entry in facts.tree.items()
        if not entry.is_file and any(_reaches(file.path, path) for file in facts.files if file.change != "removed")
    )
    if odd:
        yield Refusal(
            "not_a_file",
            f"A symbolic link or a submodule is in place of a file: {listed(odd, _LISTED)}",
            "Commit the file itself.",
        )


def _secrets(facts: GateFacts) -> Iterator[Refusal]:
    names = sorted(
        path
        for file in facts.files
        for path in file.paths
        if file.change != "removed" and PurePosixPath(path).name.lower().startswith(".env")
    )
    if names:
        yield Refusal(
            "environment_file",
            f"The pull request adds an environment file: {listed(names, _LISTED)}",
            "Remove it. If it contained secrets, replace them: they stay in the history of Git.",
        )


def _fork(facts: GateFacts) -> Iterator[Refusal]:
    if facts.pull.from_fork and not facts.approved_by:
        yield Refusal(
            "fork",
            f"The pull request comes from a fork ({shown(facts.pull.head_repository or 'deleted')})",
            "Somebody with write access, who made no commit of it, approves with a review, or comments "
            f"`/hugflow plan {facts.pull.head_sha}`.",
        )


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return path.startswith(f"{REQUESTS}/") and ".." not in parts


def _reaches(path: str, odd: str) -> bool:
    return path == odd or path.startswith(f"{odd}/")


def _read_run_approvers(github: GitHub, pull: PullRequest, approved_by: Sequence[str]) -> tuple[str, ...]:
    """Read who with write access approved a run of a fork's commit, by a review, a command or a dispatch."""
    if not pull.from_fork:
        return ()
    found = read_approvals(github, pull, RUN, lambda login: may_write(github, login), approved_by)
    return tuple(approval.by for approval in found)
