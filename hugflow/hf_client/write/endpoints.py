"""HTTP client for Hub endpoints that huggingface_hub does not cover, or whose single attempts it does not show.

Only documented endpoints are used, which every version of the library uses as well (docs/decisions/0011).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx2
from huggingface_hub import get_session, hf_raise_for_status
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, but exported lazily

from hugflow.hf_client.http import Hub
from hugflow.model.errors import HubUnavailable, TooLarge
from hugflow.version import __version__

_OTHER = "Run the same command again. If it stays, something between here and the Hub answers in its place."

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Wire:
    """The endpoints of one dataset repository; errors mention the right to write to it."""

    hub: Hub
    repo_id: str

    @property
    def api_path(self) -> str:
        """The prefix of the paths of all requests about the repository."""
        return f"/api/datasets/{self.repo_id}"

    def call(self, doing: str, function: Callable[[], Answer]) -> Answer:
        """Call `Hub.call` with errors that mention the right to write."""
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
        """Send one request, once, and return the JSON of its answer. Raises the errors that `Hub.call` handles."""
        body = {"json": json} if content is None and json is not None else {"content": content}
        return _json(doing, self._answer(method, path, headers=headers, params=params, **body))

    def pages(self, doing: str, path: str) -> Iterator[Any]:
        """Read all items of a paged list; each page is one `call`."""
        next_path: str | None = path
        while next_path is not None:
            items, next_path = self.call(doing, partial(self._page, doing, next_path))
            yield from items

    def _page(self, doing: str, path: str) -> tuple[Any, str | None]:
        response = self._answer("GET", path)
        link = response.links.get("next", {}).get("url")
        # the Hub names itself in it, which behind a proxy is another address than ours
        address = urlsplit(link) if link else None
        return _json(doing, response), f"{address.path}?{address.query}" if address else None

    def _answer(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **request: Any
    ) -> httpx2.Response:
        own = build_hf_headers(token=self.hub.token or False, library_name="hugflow", library_version=__version__)
        url = f"{self.hub.endpoint}{path}"
        response = get_session().request(method, url, headers={**own, **(headers or {})}, **request)
        hf_raise_for_status(response)
        return response

    def ask_in_parts(
        self, items: Sequence[Item], ask: Callable[[Sequence[Item]], list[Answer]], *, size: int
    ) -> list[Answer]:
        """Request many items in parts of `size`, and in halves of a part that the Hub finds too large (413)."""
        return [answer for at in range(0, len(items), size) for answer in _ask_in_halves(items[at : at + size], ask)]


def _ask_in_halves(items: Sequence[Item], ask: Callable[[Sequence[Item]], list[Answer]]) -> Iterator[Answer]:
    try:
        answers = ask(items)
    except TooLarge:
        if len(items) <= 1:
            raise
    else:
        yield from answers
        return
    middle = len(items) // 2
    yield from _ask_in_halves(items[:middle], ask)
    yield from _ask_in_halves(items[middle:], ask)


def _json(doing: str, response: httpx2.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise HubUnavailable(doing, "the Hub's answer is no JSON", _OTHER, status_code=response.status_code) from error


def quoted(revision: str) -> str:
    """A revision as a single part of a path."""
    return quote(revision, safe="")


@contextmanager
def understood(doing: str) -> Iterator[None]:
    """Raise HubUnavailable for an answer that does not have the known fields."""
    try:
        yield
    except (AttributeError, KeyError, TypeError) as error:
        problem = f"the Hub's answer is not of the known form ({type(error).__name__}: {error})"
        raise HubUnavailable(doing, problem, _OTHER) from error
