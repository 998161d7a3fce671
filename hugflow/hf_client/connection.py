"""How the Hub is called: time-outs, bounded retries, and its errors turned into ours.

The Hub's own library retries some calls and not others, and its errors are `OSError`s; here every call gets the same
treatment, and what comes out is typed by whether another attempt can help.
"""

from __future__ import annotations

import email.utils
import logging
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TypeVar

import httpx2
from huggingface_hub import HfApi, set_client_factory
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    XetDownloadError,
)
from huggingface_hub.utils._http import default_client_factory

from hugflow.errors import AuthenticationError, HugflowError, NotFoundError, RetryAfter, Terminal, Transient

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
MAX_WAIT_S = 300.0
_RETRIED_STATUS = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class Hub:
    """Where the Hub is and how patiently it is called. Making one touches nothing.

    `sleep` waits between attempts; a run passes one that ends early (by raising) when the run is asked to stop.
    """

    endpoint: str
    token: str | None = field(default=None, repr=False)
    connection_timeout_s: float = 30.0
    read_timeout_s: float = 300.0
    max_retries: int = 3
    backoff: float = 2.0
    max_concurrent_downloads: int = 5
    sleep: Callable[[float], None] = time.sleep

    def connect(self) -> None:
        """Give the Hub's library our time-outs: by itself it has none for most calls, and could wait for ever."""
        timeout = httpx2.Timeout(self.read_timeout_s, connect=self.connection_timeout_s)

        def client() -> httpx2.Client:
            client = default_client_factory()
            client.timeout = timeout
            hooks = client.event_hooks
            client.event_hooks = {**hooks, "response": [*hooks.get("response", ()), _wait_in_seconds]}
            return client

        set_client_factory(client)

    def api(self) -> HfApi:
        """The library's client for this Hub. Without a token it is anonymous: an ambient one is never picked up."""
        return HfApi(endpoint=self.endpoint, token=self.token or False, library_name="hugflow")

    def call(self, doing: str, function: Callable[[], Answer]) -> Answer:
        """Call the Hub, again after failures that may pass: `max_retries` times, with growing, jittered waits.

        Where `function` calls the Hub by this, too, what that gave up is not begun again. Raises the typed error of
        the last attempt.
        """
        for attempt in range(self.max_retries + 1):
            try:
                return function()
            except HUB_ERRORS as error:
                ours = explain(doing, error, has_token=self.token is not None)
                if not isinstance(ours, Transient) or not self._goes_on(ours, attempt):
                    raise ours from error
                self._wait(ours, attempt)
            except Transient as error:
                if not self._goes_on(error, attempt):
                    raise
                self._wait(error, attempt)
        raise AssertionError("the last attempt returns or raises")

    def _wait(self, error: Transient, attempt: int) -> None:
        seconds = _wait_s(error, self.backoff, attempt)
        log.warning("%s: %s; attempt %d in %.0f s", error.doing, error.problem, attempt + 2, seconds)
        self.sleep(seconds)

    def _goes_on(self, error: Transient, attempt: int) -> bool:
        """Whether there is another attempt after this error; marks the one that ends the attempts."""
        if "attempts" in error.__dict__:
            return False
        if attempt == self.max_retries:
            error.__dict__["attempts"] = attempt + 1
            return False
        return True


HUB_ERRORS = (
    HfHubHTTPError,
    HFValidationError,
    EntryNotFoundError,
    LocalEntryNotFoundError,
    XetDownloadError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    ConnectionError,
    TimeoutError,
)


def _wait_s(error: Transient, backoff: float, attempt: int) -> float:
    if isinstance(error, RetryAfter):
        return error.seconds
    # full jitter: many runners that failed together do not come back together
    longest = min(backoff * 2.0**attempt, 60.0)
    return random.uniform(0.5, 1.0) * longest  # noqa: S311 - no secret depends on it


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from; `datasets` wraps the Hub's errors in its own."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def explain(doing: str, error: BaseException, *, has_token: bool) -> HugflowError:
    """The error of ours that says what an error of the Hub (or of the way to it) means for a person."""
    causes = list(chain(error))
    for cause in causes:
        if isinstance(cause, HugflowError):
            return cause
    for cause in causes:
        if isinstance(cause, HfHubHTTPError):
            return _explain_answer(doing, cause, has_token=has_token)
    for cause in causes:
        if isinstance(cause, httpx2.HTTPError | ConnectionError | TimeoutError | XetDownloadError):
            return Transient(
                doing,
                f"the Hub could not be reached ({type(cause).__name__}: {_short(cause)})",
                "Check the network and HF_ENDPOINT (`hugflow doctor`), then run the same command again: it continues.",
                reason="network",
            )
    return Terminal(doing, _short(error), "Check the request; `hugflow inspect ORG/NAME` shows what the Hub has.")


def _explain_answer(doing: str, error: HfHubHTTPError, *, has_token: bool) -> HugflowError:
    status = error.response.status_code
    if isinstance(error, GatedRepoError):
        return gated(doing, has_token=has_token)
    if status == HTTPStatus.UNAUTHORIZED:
        return _unauthorized(doing, has_token=has_token)
    if isinstance(error, RevisionNotFoundError):
        return NotFoundError(
            doing,
            "the revision does not exist",
            "Name a branch, tag or commit that the repository has.",
            reason="no_revision",
            field="revision",
        )
    if isinstance(error, RepositoryNotFoundError):
        return NotFoundError(
            doing,
            "Repository not found, or it is private and the token has no access to it",
            "Check the id for typing errors. For a private dataset set HF_TOKEN to a token with read access to it.",
            reason="no_repository",
            field="hf_id",
        )
    if status in _RETRIED_STATUS:
        return _retriable(doing, error, status)
    if status == HTTPStatus.FORBIDDEN:
        return AuthenticationError(doing, "the Hub refused access (403)", _ACCESS_FIX, reason="forbidden")
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(doing, f"not found: {_short(error)}", "Check the names in the request.")
    return Terminal(doing, f"the Hub answered {status}: {_short(error)}", "Check the request, or try again later.")


_ACCESS_FIX = (
    "Use a token of an account that has access (Hub settings, Access Tokens), as HF_TOKEN; `hugflow doctor` checks it."
)


def gated(doing: str, *, has_token: bool) -> AuthenticationError:
    """The error for a dataset whose owners have not let this account in."""
    return AuthenticationError(
        doing,
        "the dataset is gated: its owners grant access to accounts, and yours has none yet",
        "Open the dataset's page on the Hub, accept its terms with the account of HF_TOKEN, and try again."
        if has_token
        else "Accept its terms on the dataset's page on the Hub, and set HF_TOKEN to a token of that account.",
        reason="gated",
    )


def _unauthorized(doing: str, *, has_token: bool) -> HugflowError:
    if has_token:
        return AuthenticationError(doing, "the Hub refused the token (401)", _ACCESS_FIX, reason="bad_token")
    # the Hub answers so for what does not exist, too
    return NotFoundError(
        doing,
        "Repository not found, or it is private: there is no token to ask with (401)",
        "Check the id for typing errors. For a private or gated dataset set HF_TOKEN.",
        reason="no_repository",
        field="hf_id",
    )


def _retriable(doing: str, error: HfHubHTTPError, status: int) -> Transient:
    fix = "Run the same command again later: it continues."
    seconds = retry_after_s(error.response.headers.get("Retry-After"))
    if seconds is not None:
        return RetryAfter(doing, f"the Hub is busy ({status})", fix, seconds=min(seconds, MAX_WAIT_S))
    reason = "rate_limited" if status == HTTPStatus.TOO_MANY_REQUESTS else "hub_error"
    return Transient(doing, f"the Hub failed ({status})", fix, reason=reason)


def retry_after_s(value: str | None) -> float | None:
    """Seconds to wait by a Retry-After header, which holds seconds or a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _wait_in_seconds(response: httpx2.Response) -> None:
    """Say a date of Retry-After in seconds: the Hub's library, which retries downloads by itself, ignores dates."""
    seconds = retry_after_s(response.headers.get("Retry-After"))
    if seconds is not None:
        response.headers["Retry-After"] = str(math.ceil(min(seconds, MAX_WAIT_S)))


def _short(error: BaseException) -> str:
    """The first line of a message, without the request ids and help texts that follow."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
