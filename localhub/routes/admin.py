"""The admin interface, for tests in another process: faults, the log, users, datasets. Faults do not apply to it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from localhub.errors import HubError, bad_request
from localhub.faults import Fault
from localhub.manage import add_dataset, commit_files
from localhub.router import Route
from localhub.site import Site
from localhub.store.users import User
from localhub.wire import Request, Response

PREFIX = "/_localhub/"


def list_faults(site: Site, request: Request) -> Response:
    del request
    return Response.of_json(site.faults.to_json())


def add_fault(site: Site, request: Request) -> Response:
    try:
        fault = Fault.from_json(request.json())
    except (ValueError, TypeError) as error:
        raise bad_request(f"no such fault: {error}") from error
    return Response.of_json({"id": site.faults.add(fault)}, 201)


def remove_fault(site: Site, request: Request) -> Response:
    site.faults.remove(int(request.params["id"]))
    return Response(204)


def clear_faults(site: Site, request: Request) -> Response:
    del request
    site.faults.clear()
    return Response(204)


def read_log(site: Site, request: Request) -> Response:
    """The log, filtered by `target` (a regular expression), `method`, `route` and `status`."""
    asked = {name: values[0] for name, values in request.query.items()}
    status = int(asked["status"]) if "status" in asked else None
    records = site.log.requests(
        asked.get("target", ""), method=asked.get("method", ""), route=asked.get("route", ""), status=status
    )
    return Response.of_json([record.to_json() for record in records])


def clear_log(site: Site, request: Request) -> Response:
    del request
    site.log.clear()
    return Response(204)


def add_user(site: Site, request: Request) -> Response:
    body = request.json()
    orgs = tuple(body.pop("orgs", ()))
    try:
        site.users.add(User(**body, orgs=orgs))
    except TypeError as error:
        raise bad_request(f"a user has a name, a token, a role and orgs: {error}") from error
    return Response(204)


def grant(site: Site, request: Request) -> Response:
    body = request.json()
    repository = site.catalog.get(str(body.get("repo")))
    if repository is None:
        raise HubError(404, f"no dataset {body.get('repo')}")
    repository.granted.add(str(body.get("user")))
    site.catalog.save(repository)
    return Response(204)


def new_dataset(site: Site, request: Request) -> Response:
    """Create a dataset from a folder on this machine: `{repo, folder, gated, private}`."""
    body = request.json()
    sha = add_dataset(
        site,
        str(body["repo"]),
        Path(body["folder"]) if body.get("folder") else None,
        gated=body.get("gated", False),
        private=bool(body.get("private", False)),
    )
    return Response.of_json({"sha": sha}, 201)


def new_commit(site: Site, request: Request) -> Response:
    """Commit files: `{repo, files: {path: base64 | null}, message, branch}`."""
    body = request.json()
    files = {path: None if text is None else base64.b64decode(text) for path, text in _files(body).items()}
    message, branch = str(body.get("message", "commit")), str(body.get("branch", "main"))
    return Response.of_json({"sha": commit_files(site, str(body.get("repo")), files, message=message, branch=branch)})


def _files(body: dict[str, Any]) -> dict[str, str | None]:
    files = body.get("files")
    if not isinstance(files, dict):
        raise bad_request("`files` maps paths to base64 or null")
    return files


_GET, _POST, _DELETE = ("GET",), ("POST",), ("DELETE",)
ROUTES = (
    Route("admin", _GET, f"{PREFIX}faults", list_faults),
    Route("admin", _POST, f"{PREFIX}faults", add_fault),
    Route("admin", _DELETE, f"{PREFIX}faults", clear_faults),
    Route("admin", _DELETE, f"{PREFIX}faults/{{id}}", remove_fault),
    Route("admin", _GET, f"{PREFIX}log", read_log),
    Route("admin", _DELETE, f"{PREFIX}log", clear_log),
    Route("admin", _POST, f"{PREFIX}users", add_user),
    Route("admin", _POST, f"{PREFIX}grants", grant),
    Route("admin", _POST, f"{PREFIX}datasets", new_dataset),
    Route("admin", _POST, f"{PREFIX}commits", new_commit),
)
