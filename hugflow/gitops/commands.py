"""Comment commands (`/hugflow ...`): parse them, check the author's rights, run them, answer."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from hugflow.gitops import dispatch
from hugflow.gitops.approvals import REMOVAL, RUN, record_approval
from hugflow.gitops.client import GitHub
from hugflow.gitops.contributors import read_contributors
from hugflow.gitops.pull_request import PullRequest, read_permission, read_pull_request
from hugflow.text.printable import closest, listed, shown

Name = Literal["plan", "retry", "cancel", "unlock", "approve-removal"]
NAMES: tuple[Name, ...] = get_args(Name)

Reaction = Literal["rocket", "-1", "confused"]
_WRITERS = ("admin", "write")
_SHA = re.compile(r"[0-9a-f]{40}\Z")
_ABBREVIATED = re.compile(r"[0-9a-f]{7,39}\Z")
_PREFIX = "/hugflow"
_NAME_COMMIT = "Name the commit whose plan or files you looked at, with all 40 digits:"


@dataclass(frozen=True, slots=True)
class CommentEvent:
    """A new comment on a pull request, from the payload of the event."""

    number: int
    comment_id: int
    author: str
    body: str
    url: str

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> CommentEvent | None:
        """The comment of an `issue_comment` event; None when it is no new comment on a pull request."""
        issue, comment = payload.get("issue", {}), payload.get("comment", {})
        if payload.get("action") != "created" or "pull_request" not in issue:
            return None
        return cls(issue["number"], comment["id"], comment["user"]["login"], comment["body"] or "", comment["html_url"])


@dataclass(frozen=True, slots=True)
class Command:
    """A parsed command; `file` is the one request that `retry` runs, `commit` the one that the author looked at."""

    name: Name
    file: str = ""
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer to a comment: a reaction and, where needed, a message."""

    reaction: Reaction
    message: str = ""


class NotACommandError(ValueError):
    """A comment begins with `/hugflow` but is no valid command; the message lists the commands."""


def parse(body: str) -> Command | None:
    """Parse the first line of a comment; None when it is no command. Raises NotACommandError."""
    first = body.lstrip("\ufeff").split("\n", 1)[0].strip()
    if first != _PREFIX and not first.startswith(f"{_PREFIX} "):
        return None
    words = _words(first)
    if not words or words[0] not in NAMES:
        raise NotACommandError(_unknown(words[0] if words else ""))
    name = words[0]
    arguments = words[1:]
    takes_commit = name != "cancel"
    commit = arguments.pop() if takes_commit and arguments and _SHA.match(arguments[-1]) else ""
    if takes_commit and arguments and _ABBREVIATED.match(arguments[-1]):
        raise NotACommandError(f"Write all 40 digits of the commit {shown(arguments[-1])}: several may begin like it.")
    if name == "approve-removal" and not commit:
        raise NotACommandError(f"{_NAME_COMMIT} `{_PREFIX} {name} COMMIT`.")
    if len(arguments) > (name == "retry"):
        raise NotACommandError(f"`{_PREFIX} {name}` does not take {shown(' '.join(arguments))}. {_usage()}")
    return Command(name, arguments[0] if arguments else "", commit)


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)[1:]
    except ValueError as error:
        raise NotACommandError(f"The quotes in the command do not match. {_usage()}") from error


def _unknown(word: str) -> str:
    near = closest(word, NAMES) if word else None
    hint = f" Did you mean `{_PREFIX} {near}`?" if near else ""
    return (f"There is no command {shown(word)}.{hint} " if word else "") + _usage()


def _usage() -> str:
    names = listed(f"{_PREFIX} {name}" for name in NAMES)
    return f"The commands are {names}; `retry` may name one request file, and all but `cancel` a commit."


def handle(github: GitHub, event: CommentEvent, approvers: Callable[[], Collection[str]] = tuple) -> Reply | None:
    """Run the command of a comment, and answer it. Returns None when the comment is not a command.

    `approvers` reads the policy's list of those who may approve removals; an empty one means everybody with write
    access. Nothing from the comment but the command, a file's name and a commit is used.
    """
    reply = _reply(github, event, approvers)
    if reply is None:
        return None
    comment = github.issue(event.number).get_comment(event.comment_id)
    github.write("reacting to the comment", lambda: comment.create_reaction(reply.reaction))
    if reply.message:
        github.write("answering the comment", lambda: github.issue(event.number).create_comment(reply.message))
    return reply


def _reply(github: GitHub, event: CommentEvent, approvers: Callable[[], Collection[str]]) -> Reply | None:
    try:
        command = parse(event.body)
    except NotACommandError as error:
        # people without write access get no answer, so they cannot make the bot post
        return Reply("confused", str(error)) if _may(github, event) else Reply("-1")
    if command is None:
        return None
    if not _may(github, event):
        return Reply("-1")
    return _ACTIONS[command.name](github, event, command, approvers)


def _may(github: GitHub, event: CommentEvent) -> bool:
    return read_permission(github, event.author) in _WRITERS


def _plan(github: GitHub, event: CommentEvent, command: Command, _: Callable[[], Collection[str]]) -> Reply:
    return _start(github, event, command, "plan")


def _retry(github: GitHub, event: CommentEvent, command: Command, _: Callable[[], Collection[str]]) -> Reply:
    return _start(github, event, command, "retry")


def _unlock(github: GitHub, event: CommentEvent, command: Command, _: Callable[[], Collection[str]]) -> Reply:
    return _start(github, event, command, "unlock")


def _start(github: GitHub, event: CommentEvent, command: Command, mode: dispatch.Mode) -> Reply:
    pull = read_pull_request(github, event.number)
    if pull.merged and mode in ("sync", "retry"):
        dispatch.dispatch(github, dispatch.APPLY_WORKFLOW, pull.default_branch, {"pull_request": str(pull.number)})
        return Reply("rocket")
    if pull.state != "open":
        return Reply("confused", "The pull request is closed. Reopen it first.")
    if command.commit not in ("", pull.head_sha):
        return Reply("confused", _moved(pull))
    if pull.from_fork:
        problem = _why_not_run(github, pull, event, command)
        if problem:
            return Reply("confused", problem)
        # the run is started by our bot: this is how the gate knows who approved a run of the fork's commit
        record_approval(github, pull, RUN, event.author, event.url)
    dispatch.dispatch_sync(github, pull, pull.head_sha, mode=mode, only=command.file)
    return Reply("rocket")


def _why_not_run(github: GitHub, pull: PullRequest, event: CommentEvent, command: Command) -> str:
    if not command.commit:
        return f"The pull request comes from a fork. {_NAME_COMMIT} `{_PREFIX} {command.name} COMMIT`."
    return _why_not_of_others(github, pull, event)


def _cancel(github: GitHub, event: CommentEvent, _: Command, __: Callable[[], Collection[str]]) -> Reply:
    if dispatch.cancel_runs(github, event.number):
        return Reply("rocket")
    return Reply("confused", "There is no run to cancel.")


def _approve_removal(
    github: GitHub, event: CommentEvent, command: Command, approvers: Callable[[], Collection[str]]
) -> Reply:
    pull = read_pull_request(github, event.number)
    problem = _why_not_approved(github, pull, event, command, approvers())
    if problem:
        return Reply("confused", problem)
    record_approval(github, pull, REMOVAL, event.author, event.url)
    return _start(github, event, command, "sync")


def _why_not_approved(
    github: GitHub, pull: PullRequest, event: CommentEvent, command: Command, approvers: Collection[str]
) -> str:
    if approvers and event.author.casefold() not in {login.casefold() for login in approvers}:
        return f"The policy names who approves removals: {listed(sorted(approvers))}."
    return _moved(pull) if command.commit != pull.head_sha else _why_not_of_others(github, pull, event)


def _moved(pull: PullRequest) -> str:
    return f"The pull request is at `{pull.head_sha[:7]}` now. Look at its plan and files, then name that commit."


def _why_not_of_others(github: GitHub, pull: PullRequest, event: CommentEvent) -> str:
    """Reason why the author of the comment may not approve; empty when others made the pull request."""
    contributors = read_contributors(github, pull)
    if contributors is None:
        return "The pull request has too many commits or authors to tell who made it. Squash its commits."
    if event.author.casefold() in contributors:
        return "Nobody approves a pull request that they opened, or a commit that they wrote or pushed."
    return ""


_ACTIONS: Mapping[Name, Callable[[GitHub, CommentEvent, Command, Callable[[], Collection[str]]], Reply]] = {
    "plan": _plan,
    "retry": _retry,
    "cancel": _cancel,
    "unlock": _unlock,
    "approve-removal": _approve_removal,
}
