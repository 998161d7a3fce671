"""Xet over HTTP, as far as uploads need it: tokens, known chunks, xorbs and shards (API version 1)."""

from __future__ import annotations

import re
import time

from localhub.errors import HubError, bad_request
from localhub.router import Route
from localhub.site import Site
from localhub.store.users import require_writer
from localhub.wire import Request, Response
from localhub.xet.format import known_chunks

TOKEN_LIFE_S = 3600
_HASH = re.compile(r"[0-9a-f]{64}\Z")


def write_token(site: Site, request: Request) -> Response:
    """The address of the chunk store and the token for it: this server, and the user's own token."""
    site.repository(request)
    if not site.settings.xet:
        raise HubError(404, "Not Found")
    user = require_writer(site.user(request))
    expires = int(time.time()) + TOKEN_LIFE_S
    address = f"{request.base_url}/xet"
    body = {"accessToken": user.token, "exp": expires, "casUrl": address}
    headers = {
        "X-Xet-Cas-Url": address,
        "X-Xet-Access-Token": user.token,
        "X-Xet-Token-Expiration": str(expires),
    }
    return Response.of_json(body, headers=headers)


def find_chunk(site: Site, request: Request) -> Response:
    """The neighbours of a chunk that was uploaded before, so that they need not be sent again."""
    require_writer(site.user(request))
    shard = site.xet.shard_with(request.params["hash"])
    if shard is None:
        raise HubError(404, "chunk not found")
    now = int(time.time())
    answer = known_chunks(shard, now=now, expires=now + TOKEN_LIFE_S)
    return Response(200, {"Content-Type": "application/octet-stream"}, answer)


def put_xorb(site: Site, request: Request) -> Response:
    require_writer(site.user(request))
    name = request.params["hash"]
    if not _HASH.match(name):
        raise bad_request(f"{name!r} is no hash of a xorb")
    data = request.body.read()
    quota = site.settings.quota_bytes
    if quota is not None and len(data) + site.xet.used() > quota:
        raise HubError(507, f"Storage quota exceeded: {quota} bytes")
    return Response.of_json({"was_inserted": site.xet.add_xorb(name, data)})


def put_shard(site: Site, request: Request) -> Response:
    require_writer(site.user(request))
    site.xet.add_shard(request.body.read())
    return Response.of_json({"result": 1})


def not_offered(site: Site, request: Request) -> Response:
    """Newer endpoints that clients try first; a 404 makes them use the older ones."""
    del site, request
    raise HubError(404, "localhub does not offer this")


def telemetry(site: Site, request: Request) -> Response:
    del site, request
    return Response(204)


_POST = ("POST",)
ROUTES = (
    Route("xet_write_token", ("GET",), "/api/datasets/{repo}/xet-write-token/{rev}", write_token),
    Route("xet_chunk", ("GET",), "/xet/v1/chunks/{prefix}/{hash}", find_chunk),
    Route("xet_xorb", _POST, "/xet/v1/xorbs/{prefix}/{hash}", put_xorb),
    Route("xet_shard", _POST, "/xet/v1/shards", put_shard),
    Route("xet_not_offered", _POST, "/xet/v1/xorb-grants/{prefix}/{hash}", not_offered),
    Route("xet_not_offered", _POST, "/xet/v2/{path}", not_offered),
    Route("xet_telemetry", _POST, "/v1/telemetry", telemetry),
)
