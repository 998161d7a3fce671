"""GitHub on 127.0.0.1: tokens, permissions, paging, rate limits and errors as GitHub has them.

`python -m tests.doubles.github --port 8081` serves an empty repository `acme/data`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.doubles.github_json import Shapes
from tests.doubles.github_routes import GitHubError, Handler, Routes
from tests.doubles.github_state import GitHubState, Token
from tests.doubles.http import Double, Request, Response

_DOCS = "https://docs.github.com/rest"
_LIMIT = 5000
_CONTENT_LIMITS = ((80, 60.0), (500, 3600.0))
_CONTENT = ("/comments", "/issues", "/reviews")
_DEFAULT_PER_PAGE = 30
_MAX_PER_PAGE = 100


class GitHub(Double):
    """The server; `state` is what it remembers.

    `prefix` is `/api/v3` for an Enterprise server. `public_url` is the address that clients use when something stands
    in between. `content_limits` turns GitHub's limits on creating content on.
    """

    def __init__(
        self,
        state: GitHubState | None = None,
        *,
        port: int = 0,
        prefix: str = "",
        public_url: str | None = None,
        content_limits: bool = False,
    ) -> None:
        super().__init__(port)
        self.public_url = public_url
        self._prefix = prefix
        self._content_limits = content_limits
        self._used = 0
        self._created_at: list[float] = []
        self.reset(state or GitHubState())

    def reset(self, state: GitHubState) -> None:
        """Begin again with another state, and no faults or record of requests."""
        self.state = state
        self.faults.clear()
        self.requests.clear()
        self.clear_routes()
        routes = Routes(self.state, self.shapes, self._paged).all()
        self.served = [pattern for _, pattern, _, _ in routes]
        for method, pattern, scope, handler in routes:
            self._add(method, pattern, scope, handler)

    @property
    def api(self) -> str:
        """The address to give to a client."""
        return (self.public_url or self.url) + self._prefix

    def shapes(self) -> Shapes:
        """The forms of the answers."""
        return Shapes(self.state, self.api, self.public_url or self.url)

    def _add(self, method: str, pattern: str, scope: str | None, handler: Handler) -> None:
        def route(request: Request) -> Response:
            try:
                self._check_repository(request)
                token = self._token(request, scope)
                self._check_limits(request)
                return self._with_headers(handler(request, token))
            except GitHubError as error:
                return self.error(error.status, error.message, errors=error.errors)

        self.add_route(method, self._prefix + pattern, route)

    def _check_repository(self, request: Request) -> None:
        params = request.params
        if "repo" not in params or f"{params['owner']}/{params['repo']}" == self.state.full_name:
            return
        is_fork = params["repo"] == self.state.name and params["owner"] in {owner for owner, _ in self.state.refs}
        if not is_fork or not request.path.endswith("/activity"):
            raise GitHubError(404, "Not Found")

    def _token(self, request: Request, scope: str | None) -> Token:
        value = request.headers.get("authorization", "").rpartition(" ")[2]
        if not value and request.method == "GET":
            return Token("anonymous", frozenset())
        token = self.state.tokens.get(value)
        if token is None:
            raise GitHubError(401, "Bad credentials" if value else "Requires authentication")
        if scope and scope not in token.scopes:
            raise GitHubError(403, "Resource not accessible by integration")
        return token

    def _check_limits(self, request: Request) -> None:
        if request.method == "GET" or not request.path.endswith(_CONTENT):
            return
        now = time.monotonic()
        self._created_at.append(now)
        if self._content_limits and any(
            sum(now - at < span for at in self._created_at) > limit for limit, span in _CONTENT_LIMITS
        ):
            raise GitHubError(403, "You have exceeded a secondary rate limit. Please wait a few minutes.")

    def _with_headers(self, response: Response) -> Response:
        self._used += 1
        limits = {
            "x-ratelimit-limit": str(_LIMIT),
            "x-ratelimit-remaining": str(max(0, _LIMIT - self._used)),
            "x-ratelimit-used": str(self._used),
            "x-ratelimit-reset": "4102444800",
            "x-ratelimit-resource": "core",
        }
        return Response(response.status, response.body, {**limits, **response.headers})

    def _paged(self, request: Request, items: Sequence[Any], wrap: tuple[str, int] | None = None) -> Response:
        size = min(int(request.query.get("per_page", _DEFAULT_PER_PAGE)), _MAX_PER_PAGE)
        page = max(1, int(request.query.get("page", 1)))
        shown: Any = list(items[(page - 1) * size : page * size])
        if wrap:
            shown = {"total_count": wrap[1], wrap[0]: shown}
        last = max(1, -(-len(items) // size))
        return Response(200, shown, {"Link": self._links(request, page, last)} if last > 1 else {})

    def _links(self, request: Request, page: int, last: int) -> str:
        path = urlsplit(request.target).path
        base = (self.public_url or self.url) + path
        wanted = {"next": page + 1, "last": last} if page < last else {"first": 1, "prev": page - 1}
        return ", ".join(
            f'<{base}?{urlencode({**request.query, "page": number})}>; rel="{name}"' for name, number in wanted.items()
        )

    def error(
        self,
        status: int,
        message: str,
        headers: Mapping[str, str] | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> Response:
        """An error as GitHub writes it."""
        body: dict[str, Any] = {"message": message, "documentation_url": _DOCS, "status": str(status)}
        if errors:
            body["errors"] = errors
        return Response(status, body, headers or {})


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token", action="append", default=[], help="a token of github-actions[bot]; may be repeated")
    options = parser.parse_args(arguments)
    with GitHub(port=options.port) as github:
        for token in options.token:
            github.state.add_token(token)
        print(f"GitHub double at {github.url} with {github.state.full_name}", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
