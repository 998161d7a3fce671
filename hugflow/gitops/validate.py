"""Validate the requests and the policy of a pull request from their text, without secrets."""

from __future__ import annotations

from dataclasses import dataclass

from hugflow.gitops.client import GitHub
from hugflow.gitops.pull_request import read_changes, read_file, read_pull_request
from hugflow.gitops.requests import read_requests
from hugflow.model.errors import ExitCode
from hugflow.render.humanize import log_line, plural, workflow_command
from hugflow.render.views import Annotation
from hugflow.request import policy


@dataclass(frozen=True, slots=True)
class Validated:
    """Exit code, lines to print (workflow commands that annotate lines, then sentences), and problems."""

    exit_code: ExitCode
    lines: tuple[str, ...]
    problems: tuple[Annotation, ...]


def validate(github: GitHub, number: int) -> Validated:
    """Read the requests and the policy of a pull request at its head and return their problems. Writes nothing."""
    pull = read_pull_request(github, number)
    changes = read_changes(github, pull)
    loaded = read_requests(github, changes.files, changes.tree)
    problems = tuple(problem for view in loaded.views for problem in view.problems)
    if any(file.path == policy.FILE and file.change != "removed" for file in changes.files):
        problems += _policy_problems(github, pull.head_sha)
    checked = sum(not view.deleted for view in loaded.views)
    sentence = f"{plural(len(problems), 'problem')} in {plural(checked, 'request')} at commit {pull.head_sha[:7]}"
    lines = (*(_command(problem) for problem in problems), *(_plain(problem) for problem in problems), sentence)
    return Validated(ExitCode.CHANGE_NEEDED if problems else ExitCode.DONE, lines, problems)


def _policy_problems(github: GitHub, sha: str) -> tuple[Annotation, ...]:
    try:
        policy.parse(read_file(github, sha, policy.FILE))
    except policy.InvalidPolicy as error:
        return tuple(
            Annotation(policy.FILE, fault.at.line, fault.at.column, policy.sentence(fault), title="Invalid policy")
            for fault in error.faults
        )
    return ()


def _command(problem: Annotation) -> str:
    return workflow_command(
        "error", problem.message, title=problem.title, file=problem.path, line=problem.line, col=problem.column
    )


def _plain(problem: Annotation) -> str:
    """Render a problem for the log, which does not show workflow commands."""
    return log_line(f"{problem.path}:{problem.line}:{problem.column or 1}: {problem.message}")
