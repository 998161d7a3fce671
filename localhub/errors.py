"""Refusals of the Hub, with the status and the X-Error-* headers that clients turn into their exceptions."""

from __future__ import annotations

from typing import Any


class HubError(Exception):
    """A refusal; `code` becomes X-Error-Code, `message` X-Error-Message and the body's `error`."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        headers: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}
        self.body = body or {}


def repo_not_found(*, anonymous: bool) -> HubError:
    """A repository that does not exist, or that this user may not know of: the Hub does not tell which.

    The real Hub sends no code with its 401, and the clients then look for `https://`; over http they need the code.
    """
    if anonymous:
        return HubError(401, "Invalid username or password.", code="RepoNotFound")
    return HubError(404, "Repository not found", code="RepoNotFound")


def revision_not_found(revision: str) -> HubError:
    return HubError(404, f"Invalid rev id: {revision}", code="RevisionNotFound")


def entry_not_found(message: str, *, sha: str | None = None) -> HubError:
    """A file that does not exist, with X-Repo-Commit: by it clients cache that there is no such file."""
    return HubError(404, message, code="EntryNotFound", headers={"X-Repo-Commit": sha} if sha else None)


def gated(repo_id: str, page: str, *, anonymous: bool) -> HubError:
    if anonymous:
        return HubError(
            401, f"Access to dataset {repo_id} is restricted: log in, then ask for access.", code="GatedRepo"
        )
    return HubError(
        403,
        f"Access to dataset {repo_id} is restricted and you are not on its list. Ask for access on {page}.",
        code="GatedRepo",
    )


def bad_request(message: str) -> HubError:
    return HubError(400, message)


def forbidden(message: str) -> HubError:
    return HubError(403, message)


def too_large(what: str, count: int, limit: int | None) -> None:
    """Refuse a request with more items than the Hub accepts at once."""
    if limit is not None and count > limit:
        raise HubError(413, f"Payload Too Large: {count} {what}, at most {limit} at once")


def conflict(message: str, **body: Any) -> HubError:
    return HubError(409, message, body=body)
