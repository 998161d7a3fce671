"""Pull requests over HTTP, as far as uploads need them: open, list, read, merge, close."""

from __future__ import annotations

from localhub import errors, views
from localhub.router import Route
from localhub.site import Site
from localhub.store.repository import PullRequest, Repository
from localhub.store.users import require_member, require_writer
from localhub.wire import Request, Response


def open_pull(site: Site, request: Request) -> Response:
    repository = site.repository(request)
    user = require_writer(site.user(request))
    body = request.json()
    if not body.get("pullRequest"):
        raise errors.bad_request("localhub has pull requests, but no discussions without one")
    pull = repository.open_pull(
        str(body.get("title", "")),
        str(body.get("description", "")),
        author=user.name,
        created=site.settings.clock(),
        start=repository.head,
    )
    site.catalog.save(repository)
    return Response.of_json(views.pull_record(repository, pull), 201)


def list_pulls(site: Site, request: Request) -> Response:
    repository = site.repository(request)
    wanted = request.query.get("status", ["all"])[0]
    found = [pull for pull in repository.pulls.values() if wanted in ("all", pull.status)]
    start = int(request.query.get("p", ["0"])[0]) * site.settings.page_size
    page = [views.pull_record(repository, pull) for pull in found[start : start + site.settings.page_size]]
    return Response.of_json({"discussions": page, "count": len(found), "start": start})


def read_pull(site: Site, request: Request) -> Response:
    repository = site.repository(request)
    return Response.of_json(views.pull_record(repository, _pull(repository, request)))


def merge_pull(site: Site, request: Request) -> Response:
    repository = site.repository(request)
    user = require_member(site.user(request), repository.namespace)
    num = _pull(repository, request).num
    commit = repository.merge_pull(num, author=user.name, created=site.settings.clock())
    site.catalog.save(repository)
    return Response.of_json({"mergeCommitId": commit.sha})


def set_status(site: Site, request: Request) -> Response:
    repository = site.repository(request)
    require_member(site.user(request), repository.namespace)
    pull = _pull(repository, request)
    status = request.json().get("status")
    if status not in ("open", "closed") or pull.status == "merged":
        raise errors.bad_request(f"pull request {pull.num} is {pull.status} and cannot become {status!r}")
    pull.status = status
    site.catalog.save(repository)
    event = {"id": "0", "type": "status-change", "createdAt": views.iso(pull.created), "data": {"status": status}}
    return Response.of_json({"newStatus": event})


def _pull(repository: Repository, request: Request) -> PullRequest:
    num = request.params["num"]
    return repository.pull(int(num) if num.isdigit() else 0)


_GET, _POST = ("GET",), ("POST",)
ROUTES = (
    Route("open_pull", _POST, "/api/datasets/{repo}/discussions", open_pull),
    Route("list_pulls", _GET, "/api/datasets/{repo}/discussions", list_pulls),
    Route("read_pull", _GET, "/api/datasets/{repo}/discussions/{num}", read_pull),
    Route("merge_pull", _POST, "/api/datasets/{repo}/discussions/{num}/merge", merge_pull),
    Route("set_pull_status", _POST, "/api/datasets/{repo}/discussions/{num}/status", set_status),
)
