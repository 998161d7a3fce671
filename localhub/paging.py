"""Paging of long lists, with the Link header that clients follow."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from localhub.errors import bad_request
from localhub.wire import Request, Response

T = TypeVar("T")


def page_of(
    request: Request, items: Sequence[T], view: Callable[[T], Any], *, page_size: int, pin: str = ""
) -> Response:
    """The page that the request's cursor names; `pin` goes into the cursor, so that all pages are of one commit."""
    start = _offset(request)
    size = min(page_size, int(request.query.get("limit", [str(page_size)])[0] or page_size))
    headers = {}
    if start + size < len(items):
        headers["Link"] = f'<{_next_address(request, start + size, pin)}>; rel="next"'
    return Response.of_json([view(item) for item in items[start : start + size]], headers=headers)


def pinned(request: Request) -> str:
    """The state that the first page pinned; empty on the first page."""
    return _cursor(request)[1]


def _offset(request: Request) -> int:
    return _cursor(request)[0]


def _cursor(request: Request) -> tuple[int, str]:
    text = request.query.get("cursor", [""])[0]
    if not text:
        return 0, ""
    try:
        offset, _, pin = base64.urlsafe_b64decode(text).decode().partition(":")
        return int(offset), pin
    except (binascii.Error, ValueError) as error:
        raise bad_request("invalid cursor") from error


def _next_address(request: Request, offset: int, pin: str) -> str:
    cursor = base64.urlsafe_b64encode(f"{offset}:{pin}".encode()).decode()
    query = [(name, value) for name, values in request.query.items() if name != "cursor" for value in values]
    return f"{request.base_url}{request.path}?{urlencode([*query, ('cursor', cursor)])}"
