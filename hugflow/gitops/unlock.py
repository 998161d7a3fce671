"""`/hugflow unlock`: comment which processes hold the locks of a pull request's datasets, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hugflow.gitops.client import GitHub
from hugflow.gitops.gate import decide
from hugflow.gitops.requests import name_of, read_requests
from hugflow.gitops.run import Ended, PullRequestJob, post_refusal
from hugflow.model.errors import ExitCode
from hugflow.model.specs import AddSpec, PublishSpec, repository_name
from hugflow.render.markdown import code, paragraphs
from hugflow.request.file import ParsedRequest

Holder = Callable[[str], str | None]
"""Returns a description of the process that holds the lock of a dataset; None when it is free."""


@dataclass(frozen=True, slots=True)
class _Lock:
    name: str
    holder: str | None


def comment_lock_holders(github: GitHub, job: PullRequestJob, holder: Holder) -> Ended:
    """Comment which processes hold the locks. No lock is taken away: each is released when its process ends.

    To release a lock, stop the run that holds it, which saves its state.
    """
    decision = decide(github, job.number, job.sha, job.approved_by)
    if not decision.allowed:
        return post_refusal(github, decision, job)
    loaded = read_requests(github, decision.facts.files, decision.facts.tree)
    names = {lock: name_of(request) for request in loaded.parsed.values() if (lock := _lock_name(request))}
    locks = [_Lock(name, holder(lock)) for lock, name in sorted(names.items())]
    text = _text(locks)
    github.write("commenting on the locks", lambda: github.issue(job.number).create_comment(text))
    held = any(lock.holder for lock in locks)
    return Ended(ExitCode.LOCKED if held else ExitCode.DONE, text)


def _lock_name(request: ParsedRequest) -> str | None:
    """Name of the lock that the run of a request takes; None where only storage knows it."""
    spec = request.spec
    if isinstance(spec, AddSpec):
        return spec.name
    if isinstance(spec, PublishSpec):
        return repository_name(spec.repo_id)
    return repository_name(spec.hf_id) if spec.target == "hub" else None


def _text(locks: list[_Lock]) -> str:
    held = [f"- {code(lock.name)} is held by {code(lock.holder)}" for lock in locks if lock.holder]
    if not held:
        return paragraphs(
            "### 🔓 Hugflow: no dataset of this pull request is locked",
            "A lock is released when its process ends. `/hugflow retry` resumes where the last run stopped.",
        )
    return paragraphs(
        "### 🔒 Hugflow: another run works on these datasets",
        "\n".join(held),
        "Wait for it, or stop it with `/hugflow cancel` on its pull request: it saves its state, and `/hugflow retry` "
        "here resumes from there.",
    )
