"""HTTP client for the Hub: time-outs, and bounded retries of every call.

The Hub's own library retries some calls and not others; here every call is retried in the same way.
"""

from __future__ import annotations

import itertools
import logging
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import httpx2
from huggingface_hub import HfApi, set_client_factory
from huggingface_hub.utils._http import default_client_factory

from hugflow.hf_client.errors import HUB_ERRORS, MAX_WAIT_S, explain, retry_after_s
from hugflow.model.errors import (
    HubUnavailable,
    HugflowError,
    RateLimited,
    RetryAfter,
    Transient,
)
from hugflow.version import __version__

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
# the Hub, its object store or the network fails as a whole; another attempt needs nothing else to change
OUTAGES = (HubUnavailable, RateLimited, RetryAfter)


def _ignore_outage(_: str) -> None:
    """Tell nobody about an outage."""


@dataclass(frozen=True, slots=True)
class Hub:
    """Connection settings for the Hub: address, token, timeouts and retries. Creating one does no I/O.

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
    outage_patience_s: float = 0.0
    on_outage: Callable[[str], None] = _ignore_outage

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
        token = self.token or False
        return HfApi(endpoint=self.endpoint, token=token, library_name="hugflow", library_version=__version__)

    def for_process(
        self, sleep: Callable[[float], None] = time.sleep, on_outage: Callable[[str], None] = _ignore_outage
    ) -> Hub:
        """A copy for another process, which waits in its own way: a signal to stop reaches only the main process."""
        return replace(self, sleep=sleep, on_outage=on_outage)

    def impatient(self) -> Hub:
        """A copy for planning: a person waits for the answer, so an outage ends it after `max_retries`."""
        return replace(self, outage_patience_s=0.0)

    def call(self, doing: str, function: Callable[[], Answer], *, writing: str = "") -> Answer:
        """Call the Hub, again after failures that may pass: `max_retries` times, with growing, jittered waits.

        While the Hub or its object store fails as a whole, attempts go on for `outage_patience_s` from the first
        failure; `on_outage` is called with the problem before each of them, and with "" once the Hub answers again.
        `writing` is the repository that is being written to, for the errors of those who publish. Where `function`
        calls the Hub by this, too, what that gave up is not begun again. Raises the typed error of the last attempt.
        """
        began = 0.0
        for attempt in itertools.count():
            try:
                answer = function()
            except HUB_ERRORS as error:
                began = began or time.monotonic()
                ours = self.explain(doing, error, writing=writing)
                if not isinstance(ours, Transient) or not self._goes_on(ours, attempt, began):
                    raise ours from error
                self._wait(ours, attempt)
            except Transient as error:
                began = began or time.monotonic()
                if not self._goes_on(error, attempt, began):
                    raise
                self._wait(error, attempt)
            else:
                if attempt > self.max_retries:
                    self.on_outage("")
                return answer
        raise AssertionError("the last attempt returns or raises")

    def explain(self, doing: str, error: BaseException, *, writing: str = "") -> HugflowError:
        """The typed error that an error of the Hub's library is; see `call`."""
        return explain(doing, error, has_token=self.token is not None, writing=writing)

    def _wait(self, error: Transient, attempt: int) -> None:
        seconds = _wait_s(error, self.backoff, attempt)
        log.warning("%s: %s; attempt %d in %.0f s", error.doing, error.problem, attempt + 2, seconds)
        self.sleep(seconds)

    def _goes_on(self, error: Transient, attempt: int, began: float) -> bool:
        """Decide on another attempt after this error; marks the error that ends the attempts."""
        if "attempts" in error.__dict__:
            return False
        if attempt < self.max_retries:
            return True
        if isinstance(error, OUTAGES) and time.monotonic() - began < self.outage_patience_s:
            self.on_outage(error.problem)
            return True
        error.__dict__["attempts"] = attempt + 1
        return False


def _wait_s(error: Transient, backoff: float, attempt: int) -> float:
    if isinstance(error, RetryAfter | RateLimited) and error.seconds is not None:
        return error.seconds
    # full jitter: many runners that failed together do not come back together
    longest = min(backoff * 2.0 ** min(attempt, 30), 60.0)
    return random.uniform(0.5, 1.0) * longest  # noqa: S311 - no secret depends on it


def _wait_in_seconds(response: httpx2.Response) -> None:
    """Say a date of Retry-After in seconds: the Hub's library, which retries downloads by itself, ignores dates."""
    seconds = retry_after_s(response.headers.get("Retry-After"))
    if seconds is not None:
        response.headers["Retry-After"] = str(math.ceil(min(seconds, MAX_WAIT_S)))
