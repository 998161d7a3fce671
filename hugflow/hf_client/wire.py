"""Requests to the Hub for which its library has no call, or none whose single attempts could be told apart.

They are the Hub's HTTP interface itself, which every version of the library speaks (docs/decisions/0011).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from huggingface_hub import get_session, hf_raise_for_status
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, but exported lazily

from hugflow.errors import HubUnavailable, TooLarge
from hugflow.hf_client.connection import Hub

_OTHER = "Run the same command again. If it stays, something between here and the Hub answers in its place."

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Wire:
    """One dataset repository, as requests name it; every error is that of somebody who writes to it."""

    hub: Hub
    repo_id: str

    @property
    def api_path(self) -> str:
        """What the paths of requests about the repository begin with."""
        return f"/api/datasets/{self.repo_id}"

    def call(self, doing: str, function: Callable[[], Answer]) -> Answer:
        """`Hub.call`, with the errors of writing."""
        return self.hub.call(doing, function, writing=self.repo_id)

    def ask(
        self,
        doing: str,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        content: bytes | None = None,
    ) -> Any:
        """Send one request, once, and return the JSON of its answer. Raises what `Hub.call` takes."""
        own = build_hf_headers(token=self.hub.token or False, library_name="hugflow")
        body = {"json": json} if content is None and json is not None else {"content": content}
        response = get_session().request(
            method, f"{self.hub.endpoint}{path}", headers={**own, **(headers or {})}, params=params, **body
        )
        hf_raise_for_status(response)
        try:
            return response.json()
        except ValueError as error:
            raise HubUnavailable(
                doing, "the Hub's answer is no JSON", _OTHER, status_code=response.status_code
            ) from error

    def ask_in_parts(
        self, items: Sequence[Item], ask: Callable[[Sequence[Item]], list[Answer]], *, size: int
    ) -> list[Answer]:
        """Ask for many items, `size` at a time, and in halves where the Hub says that so many are too much (413)."""
        return [answer for at in range(0, len(items), size) for answer in _halved(items[at : at + size], ask)]


def _halved(items: Sequence[Item], ask: Callable[[Sequence[Item]], list[Answer]]) -> Iterator[Answer]:
    try:
        yield from ask(items)
    except TooLarge:
        if len(items) <= 1:
            raise
        middle = len(items) // 2
        yield from _halved(items[:middle], ask)
        yield from _halved(items[middle:], ask)


def quoted(revision: str) -> str:
    """A revision as a single part of a path."""
    return quote(revision, safe="")


@contextmanager
def understood(doing: str) -> Iterator[None]:
    """Turn the stumbling over an answer of an unknown form into an error for people."""
    try:
        yield
    except (AttributeError, KeyError, TypeError) as error:
        problem = f"the Hub's answer is not of the known form ({type(error).__name__}: {error})"
        raise HubUnavailable(doing, problem, _OTHER) from error
