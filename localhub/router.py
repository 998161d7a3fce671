"""Routes a method and a path to a handler."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from localhub.errors import HubError
from localhub.wire import Request, Response, unquoted

S = TypeVar("S")
_PARTS = {
    "repo": r"(?P<repo>[^/]+/[^/]+?)",
    # Clients quote the slashes of a revision; some addresses are built by hand and do not.
    "rev": r"(?P<rev>refs/(?:pr|convert)/[^/]+|[^/]+)",
    "path": r"(?P<path>.+)",
}


@dataclass(frozen=True)
class Route(Generic[S]):
    """`pattern` contains `{repo}`, `{rev}`, `{path}` or any `{word}` (one segment); `name` appears in the log."""

    name: str
    methods: tuple[str, ...]
    pattern: str
    answer: Callable[[S, Request], Response]

    def compiled(self) -> re.Pattern[str]:
        def part(match: re.Match[str]) -> str:
            return _PARTS.get(match[1], rf"(?P<{match[1]}>[^/]+)")

        return re.compile(re.sub(r"\\\{(\w+)\\\}", part, re.escape(self.pattern)) + r"\Z")


class Router(Generic[S]):
    """The first route whose method and pattern match."""

    def __init__(self, routes: Iterable[Route[S]]) -> None:
        self._routes = [(route, route.compiled()) for route in routes]

    def find(self, request: Request) -> tuple[Route[S], Request]:
        """The route and the request with its params; HubError 404 or 405 without a match."""
        method = "GET" if request.method == "HEAD" else request.method
        others: set[str] = set()
        for route, pattern in self._routes:
            match = pattern.match(request.path)
            if match and method in route.methods:
                return route, replace(request, params=unquoted(match.groupdict()))
            if match:
                others.update(route.methods)
        if others:
            raise HubError(405, f"{request.path} takes {', '.join(sorted(others))}, not {request.method}")
        raise HubError(404, f"localhub has nothing at {request.method} {request.path}")
