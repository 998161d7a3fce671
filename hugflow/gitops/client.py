"""Connection to GitHub: time-outs, retries, rate limits, and errors translated to ours."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

import github
import requests

from hugflow.model.errors import AuthenticationError, HugflowError, RetryAfter, Terminal, Transient
from hugflow.version import __version__

if TYPE_CHECKING:
    from github.Issue import Issue
    from github.PullRequest import PullRequest
    from github.Repository import Repository

T = TypeVar("T")
DEFAULT_API_URL = "https://api.github.com"
ACTIONS_BOT = "github-actions[bot]"

_SECONDARY_LIMIT_S = 60.0
_LONGEST_WAIT_S = 3600.0
_UNREADABLE = (ValueError, AssertionError, RuntimeError, github.BadAttributeException)


class GitHubRefused(Terminal):
    """GitHub refused a call, and a retry cannot help; `status` is the HTTP status."""

    default_reason = "github_refused"

    def __init__(self, doing: str, problem: str, fix: str = "", *, status: int) -> None:
        super().__init__(doing, problem, fix)
        self.status = status


@dataclass(frozen=True, slots=True)
class GitHubSettings:
    """Address, token, time-outs and retries of a connection.

    `bot_login` is the author of our comments when the token may not read its own user (installation tokens such as
    `GITHUB_TOKEN`). `patience_s` is the longest wait of a foreground call for a rate limit.
    """

    repository: str
    token: str = field(repr=False)
    api_url: str = DEFAULT_API_URL
    bot_login: str = ACTIONS_BOT
    timeout_s: int = 30
    max_retries: int = 3
    retry_backoff_s: float = 2.0
    patience_s: float = 120.0
    seconds_between_writes: float = 1.0


class GitHub:
    """A connection to one repository. Threads may share it: one request is sent at a time.

    The constructor sends nothing. `retries` is the number of retries of a call; 0 for a reporter whose outbox retries.
    """

    def __init__(
        self,
        settings: GitHubSettings,
        *,
        retries: int | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._retries = settings.max_retries if retries is None else retries
        self._sleep, self._clock = sleep, clock
        self._lock = threading.RLock()
        self._last_write = -_LONGEST_WAIT_S
        self._login: str | None = None
        # PyGithub's own retries and pauses are off: they sleep without our `sleep`, and cannot be stopped
        self._github = github.Github(
            auth=github.Auth.Token(settings.token),
            base_url=settings.api_url.rstrip("/"),
            timeout=settings.timeout_s,
            user_agent=f"hugflow/{__version__}",
            per_page=100,
            retry=None,
            seconds_between_requests=None,
            seconds_between_writes=None,
            lazy=True,
        )

    def close(self) -> None:
        """Close the connection."""
        self._github.close()

    @property
    def repository(self) -> Repository:
        """The repository; nothing is sent before one of its methods is called."""
        return self._github.get_repo(self.settings.repository)

    def pull(self, number: int) -> PullRequest:
        """A pull request; nothing is sent yet."""
        return self.repository.get_pull(number)

    def issue(self, number: int) -> Issue:
        """An issue, or a pull request seen as one; nothing is sent yet."""
        return self.repository.get_issue(number)

    def login(self) -> str:
        """Login that writes our comments. Read once; installation tokens may not read it and use `bot_login`."""
        if self._login is None:
            try:
                self._login = self.read("asking GitHub who the token is", lambda: self._github.get_user().login)
            except GitHubRefused as error:
                if error.status != 403:  # noqa: PLR2004 - "Resource not accessible by integration"
                    raise
                self._login = self.settings.bot_login
        return self._login

    def read(self, doing: str, request: Callable[[], T]) -> T:
        """Call `request`, with retries, and return its answer.

        Raises `Transient`, `RetryAfter`, `GitHubRefused` or `AuthenticationError`.
        """
        tries = 0
        while True:
            try:
                return self._once(doing, request)
            except Transient as error:
                tries += 1
                if tries > self._retries or self._pause(error, tries) > self.settings.patience_s:
                    raise
                self._sleep(self._pause(error, tries))

    def write(self, doing: str, request: Callable[[], T]) -> T:
        """Like `read`, for calls that change something: GitHub asks for a second between two of them.

        After a lost answer the change may have been made: it must be safe to repeat `request`.
        """

        def paced() -> T:
            wait = self._last_write + self.settings.seconds_between_writes - self._clock()
            if wait > 0:
                self._sleep(wait)
            try:
                return request()
            finally:
                self._last_write = self._clock()

        return self.read(doing, paced)

    def _once(self, doing: str, request: Callable[[], T]) -> T:
        try:
            with self._lock:
                return request()
        except (github.GithubException, requests.RequestException, *_UNREADABLE) as error:
            raise explained(doing, error) from error

    def _pause(self, error: Transient, tries: int) -> float:
        if isinstance(error, RetryAfter):
            return error.seconds
        return self.settings.retry_backoff_s * 2.0 ** (tries - 1) * (0.5 + random.random())  # noqa: S311 - no secret


def explained(doing: str, error: Exception) -> HugflowError:
    """Translate an exception of PyGithub or of its HTTP library."""
    if isinstance(error, github.GithubException):
        return _answered(doing, error)
    if isinstance(error, requests.Timeout):
        return Transient(doing, "GitHub did not answer in time", reason="github_timeout")
    if isinstance(error, requests.RequestException):
        return Transient(doing, f"GitHub cannot be reached ({type(error).__name__})", reason="github_unreachable")
    return Transient(doing, f"GitHub's answer cannot be read ({type(error).__name__}: {error})", reason="github_answer")


def _answered(doing: str, error: github.GithubException) -> HugflowError:
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    said = _message(error)
    if error.status in (403, 429) and _is_rate_limit(error, headers):
        return RetryAfter(doing, f"GitHub asks to slow down ({said})", seconds=_wait(headers))
    if error.status >= 500 or error.status == 408:  # noqa: PLR2004 - a fault or a time-out of the server
        seconds = _seconds(headers.get("retry-after"))
        if seconds is not None:
            return RetryAfter(doing, f"GitHub answered {error.status} ({said})", seconds=seconds)
        return Transient(doing, f"GitHub answered {error.status} ({said})", reason="github_fault")
    if error.status == 401:  # noqa: PLR2004 - no or a wrong token
        return AuthenticationError(
            doing,
            f"GitHub does not accept the token ({said})",
            "Set GITHUB_TOKEN to a valid token, or run `gh auth login`.",
        )
    return GitHubRefused(
        doing, f"GitHub answered {error.status} ({said})", _fix(error.status, headers), status=error.status
    )


def _fix(status: int, headers: dict[str, str]) -> str:
    if status == 403:  # noqa: PLR2004 - the token's rights
        needed = headers.get("x-accepted-github-permissions", "")
        return f"Give the token this permission: {needed}." if needed else "Check the permissions of the token."
    if status == 404:  # noqa: PLR2004 - also said for what the token may not see
        return "Check GITHUB_REPO, and that the token may read the repository."
    return ""


def _message(error: github.GithubException) -> str:
    data = error.data if isinstance(error.data, dict) else {}
    details = [
        str(each.get("message") or each.get("code")) for each in data.get("errors", ()) if isinstance(each, dict)
    ]
    return "; ".join([str(data.get("message") or "no message"), *details])[:300]


def _is_rate_limit(error: github.GithubException, headers: dict[str, str]) -> bool:
    return (
        error.status == 429  # noqa: PLR2004 - Too Many Requests
        or isinstance(error, github.RateLimitExceededException)
        or "retry-after" in headers
        or headers.get("x-ratelimit-remaining") == "0"
    )


def _wait(headers: dict[str, str]) -> float:
    seconds = _seconds(headers.get("retry-after"))
    if seconds is None and headers.get("x-ratelimit-remaining") == "0":
        seconds = float(headers.get("x-ratelimit-reset", "0")) - datetime.now(UTC).timestamp() + 1
    return min(_LONGEST_WAIT_S, max(1.0, _SECONDARY_LIMIT_S if seconds is None else seconds))


def _seconds(value: str | None) -> float | None:
    """A `Retry-After`, in seconds or as a date."""
    if not value:
        return None
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except ValueError:
        return None
