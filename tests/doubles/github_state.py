"""State of the GitHub double: one repository with its people, branches, pull requests, comments, checks, runs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from tests.doubles.git_objects import Change, Commit, Content, Entry, ObjectStore

Permission = Literal["admin", "write", "read", "none"]
ACTIONS_BOT = "github-actions[bot]"
ALL_SCOPES = frozenset({"contents", "pull_requests", "issues", "checks", "statuses", "actions"})
_EPOCH = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Token:
    """User and write scopes of a token. An installation's token (`bot`) may not read its own user."""

    login: str
    scopes: frozenset[str] = ALL_SCOPES
    bot: bool = True


@dataclass
class Comment:
    """A comment of a conversation."""

    id: int
    issue: int
    user: str
    body: str
    created_at: str
    updated_at: str
    reactions: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Issue:
    """An issue; a pull request is one too."""

    number: int
    title: str
    body: str
    user: str
    created_at: str
    state: str = "open"
    labels: list[str] = field(default_factory=list)


@dataclass
class Review:
    """A review, bound to the commit that was reviewed."""

    id: int
    user: str
    state: str
    commit_id: str
    submitted_at: str


@dataclass
class PullRequest:
    """A pull request; `fork` is the owner of the repository that its branch lives in, None for our own."""

    number: int
    branch: str
    base: str
    fork: str | None
    merged_as: str | None = None
    merged_head: str | None = None
    reviews: list[Review] = field(default_factory=list)


@dataclass
class CheckRun:
    """A check run with all annotations that its updates brought."""

    id: int
    name: str
    head_sha: str
    status: str
    conclusion: str | None
    external_id: str
    details_url: str | None
    title: str
    summary: str
    text: str
    started_at: str
    completed_at: str | None
    annotations: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Status:
    """A commit status."""

    id: int
    sha: str
    state: str
    context: str
    description: str
    target_url: str | None
    creator: str
    created_at: str


@dataclass(frozen=True)
class Push:
    """A change of a branch: who pushed what, as the activity of the repository lists it."""

    id: int
    owner: str
    branch: str
    before: str | None
    after: str
    actor: str
    kind: str
    at: str


@dataclass
class WorkflowRun:
    """A run of a workflow."""

    id: int
    workflow: str
    display_title: str
    event: str
    head_branch: str
    head_sha: str
    status: str
    conclusion: str | None
    created_at: str
    inputs: dict[str, Any] = field(default_factory=dict)


class GitHubState:
    """One repository, `acme/data` unless named otherwise, with a first commit on its default branch.

    Without a `clock` it is a second later at each look, so that commits are the same in every run.
    """

    def __init__(self, owner: str = "acme", name: str = "data", clock: Callable[[], datetime] | None = None) -> None:
        self._clock = clock
        self.owner, self.name = owner, name
        self.default_branch = "main"
        self.objects = ObjectStore()
        self.refs: dict[tuple[str, str], str] = {}
        self.users: dict[str, Permission] = {}
        self.tokens: dict[str, Token] = {}
        self.issues: dict[int, Issue] = {}
        self.pulls: dict[int, PullRequest] = {}
        self.comments: dict[int, Comment] = {}
        self.check_runs: dict[int, CheckRun] = {}
        self.statuses: list[Status] = []
        self.labels: dict[str, str] = {}
        self.runs: dict[int, WorkflowRun] = {}
        self.repository_dispatches: list[dict[str, Any]] = []
        self.pushes: list[Push] = []
        self.emails: dict[str, str] = {}
        self._ids = itertools.count(1001)
        self._numbers = itertools.count(1)
        self._ticks = itertools.count()
        self.commit("main", {"README.md": "# Data\n"}, message="First commit")

    @property
    def full_name(self) -> str:
        """`owner/name`."""
        return f"{self.owner}/{self.name}"

    def now(self) -> str:
        """The time, in whole seconds."""
        at = self._clock() if self._clock else _EPOCH + timedelta(seconds=next(self._ticks))
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")

    def new_id(self) -> int:
        """A number that nothing else has."""
        return next(self._ids)

    # -- people

    def add_user(self, login: str, permission: Permission = "none") -> None:
        """Someone, and what they may do in the repository."""
        self.users[login] = permission

    def add_token(
        self, token: str, login: str = ACTIONS_BOT, *, scopes: Iterable[str] = ALL_SCOPES, bot: bool = True
    ) -> None:
        """A token that the server knows."""
        self.tokens[token] = Token(login, frozenset(scopes), bot)

    def login_of(self, email: str) -> str | None:
        """The account of an e-mail address; None where GitHub knows none."""
        local, _, host = email.partition("@")
        if host == "users.noreply.github.com":
            return local.rpartition("+")[2]
        return self.emails.get(email) or (local if host == "example.org" else None)

    # -- commits

    def head(self, branch: str, fork: str | None = None) -> str:
        """The commit that a branch points at."""
        return self.refs[fork or self.owner, branch]

    def commit(
        self,
        branch: str,
        changes: dict[str, Content],
        *,
        message: str = "Change",
        fork: str | None = None,
        author: str = "alice",
        pusher: str | None = None,
        **people: str,
    ) -> str:
        """Commit to a branch (a new one starts at the default branch), push it, and return the sha.

        `pusher` is the author unless given; `people` are `committer` and `author_email`.
        """
        key = (fork or self.owner, branch)
        parent = self.refs.get(key) or self.refs.get((self.owner, self.default_branch))
        files = self.objects.commits[parent].files if parent else {}
        commit = self.objects.add_commit(
            self.objects.apply(files, changes), (parent,) if parent else (), message, author, self.now(), **people
        )
        self.push(branch, commit.sha, fork=fork, pusher=pusher or author)
        return commit.sha

    def push(
        self, branch: str, sha: str, *, fork: str | None = None, pusher: str = "alice", kind: str | None = None
    ) -> None:
        """Let a branch point at `sha`, forced where that is no successor."""
        key = (fork or self.owner, branch)
        before = self.refs.get(key)
        if kind is None:
            forced = before is not None and before not in self.objects.history(sha)
            kind = "branch_creation" if before is None else "force_push" if forced else "push"
        self.pushes.append(Push(self.new_id(), key[0], branch, before, sha, pusher, kind, self.now()))
        self.refs[key] = sha

    def commit_of(self, ref: str) -> Commit | None:
        """The commit that a sha, a branch or `heads/x` names."""
        sha = self.refs.get((self.owner, ref.removeprefix("refs/").removeprefix("heads/")), ref)
        return self.objects.commits.get(sha)

    # -- pull requests

    def open_pull_request(
        self,
        branch: str,
        *,
        title: str = "New data",
        author: str = "alice",
        fork: str | None = None,
        base: str = "main",
    ) -> int:
        """Open a pull request from a branch and return its number."""
        number = self.open_issue(title, "", author)
        self.pulls[number] = PullRequest(number, branch, base, fork)
        return number

    def open_issue(self, title: str, body: str, author: str, labels: Iterable[str] = ()) -> int:
        """Open an issue and return its number."""
        number = next(self._numbers)
        self.issues[number] = Issue(number, title, body, author, self.now(), labels=list(labels))
        return number

    def pull_head(self, number: int) -> str:
        """The pull request's head; that of the merge when it is merged."""
        pull = self.pulls[number]
        return pull.merged_head or self.head(pull.branch, pull.fork)

    def pull_base(self, number: int) -> str:
        """The commit that the pull request is compared with."""
        pull = self.pulls[number]
        if pull.merged_as:
            return self.objects.commits[pull.merged_as].parents[0]
        return self.head(pull.base)

    def pull_commits(self, number: int) -> list[Commit]:
        """The commits of the pull request, oldest first."""
        return self.objects.between(self.pull_base(number), self.pull_head(number))

    def pull_changes(self, number: int) -> list[Change]:
        """The files that the pull request changes."""
        head = self.pull_head(number)
        return self.objects.changes(self.objects.merge_base(head, self.pull_base(number)), head)

    def merge(self, number: int, message: str = "Merge", author: str = "alice") -> str:
        """Merge the pull request with a merge commit and return its sha."""
        pull, head = self.pulls[number], self.pull_head(number)
        base = self.head(pull.base)
        files: dict[str, Entry] = dict(self.objects.commits[base].files)
        for change in self.pull_changes(number):
            if change.status == "removed":
                files.pop(change.path, None)
            else:
                files[change.path] = self.objects.commits[head].files[change.path]
                files.pop(change.previous or "", None)
        merged = self.objects.add_commit(files, (base, head), message, author, self.now())
        self.push(pull.base, merged.sha, pusher=author, kind="pr_merge")
        pull.merged_as, pull.merged_head = merged.sha, head
        self.issues[number].state = "closed"
        return merged.sha

    def review(self, number: int, user: str, state: str = "APPROVED", sha: str | None = None) -> None:
        """Review the pull request at its head, or at `sha`."""
        review = Review(self.new_id(), user, state, sha or self.pull_head(number), self.now())
        self.pulls[number].reviews.append(review)

    # -- conversation and checks

    def add_comment(self, number: int, user: str, body: str) -> Comment:
        """Comment on an issue or a pull request."""
        at = self.now()
        comment = Comment(self.new_id(), number, user, body, at, at)
        self.comments[comment.id] = comment
        return comment

    def comments_of(self, number: int) -> list[Comment]:
        """The conversation, oldest first."""
        return [comment for comment in self.comments.values() if comment.issue == number]

    def checks_of(self, sha: str) -> list[CheckRun]:
        """The check runs of a commit."""
        return [run for run in self.check_runs.values() if run.head_sha == sha]

    def statuses_of(self, sha: str) -> list[Status]:
        """The statuses of a commit, newest first."""
        return [status for status in reversed(self.statuses) if status.sha == sha]

    def add_run(
        self, workflow: str, title: str, *, status: str = "in_progress", event: str = "workflow_dispatch"
    ) -> int:
        """A workflow run that is under way; returns its id."""
        head = self.head(self.default_branch)
        run = WorkflowRun(self.new_id(), workflow, title, event, self.default_branch, head, status, None, self.now())
        self.runs[run.id] = run
        return run.id
