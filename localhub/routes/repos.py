"""Changes of repositories: create, delete, settings, grants, branches, tags, card validation."""

from __future__ import annotations

from typing import Any

from localhub import errors
from localhub.router import Route
from localhub.site import Site
from localhub.store.card import check
from localhub.store.lfs_rules import gitattributes
from localhub.store.repository import DEFAULT_BRANCH, Gated, Repository
from localhub.store.tree import Put
from localhub.store.users import User, require_member, require_writer
from localhub.wire import Request, Response


def create(site: Site, request: Request) -> Response:
    """Create a repository with one commit, as on the real Hub; 409 with its `url` when it exists."""
    user = require_writer(site.user(request))
    body = request.json()
    _require_dataset(body)
    repo_id = _asked_id(body, user)
    require_member(user, repo_id.split("/")[0])
    url = f"{request.base_url}/datasets/{repo_id}"
    private = body.get("visibility", "private" if body.get("private") else "public") != "public"
    repository = Repository(repo_id, user.name, site.settings.clock(), private=private)
    try:
        site.catalog.add(repository)
    except errors.HubError as error:
        if error.status == 409:
            error.body["url"] = url
        raise
    first = Put(".gitattributes", site.store(".gitattributes", gitattributes()))
    site.commit(repository, DEFAULT_BRANCH, [first], title="initial commit", author=user.name)
    return Response.of_json({"url": url, "name": repo_id, "id": repo_id})


def delete(site: Site, request: Request) -> Response:
    user = require_writer(site.user(request))
    body = request.json()
    _require_dataset(body)
    repository = site.visible(_asked_id(body, user), user)
    require_member(user, repository.namespace)
    site.catalog.remove(repository.id)
    return Response.of_json({"ok": True})


def settings(site: Site, request: Request) -> Response:
    """Change `visibility` or `private`, and `gated`."""
    repository = _changeable(site, request)
    body = request.json()
    if "visibility" in body or "private" in body:
        repository.private = body.get("visibility") == "private" or bool(body.get("private"))
    if "gated" in body:
        repository.gated = _gated(body["gated"])
    site.catalog.save(repository)
    return Response.of_json({"private": repository.private, "gated": repository.gated})


def grant(site: Site, request: Request) -> Response:
    """Let a user read a gated repository."""
    repository = _changeable(site, request)
    repository.granted.add(str(request.json().get("user")))
    site.catalog.save(repository)
    return Response.of_json({"ok": True})


def create_branch(site: Site, request: Request) -> Response:
    repository = _changeable(site, request)
    start = repository.resolve(str(request.json().get("startingPoint") or DEFAULT_BRANCH))
    return _with_ref(site, repository, f"refs/heads/{request.params['name']}", start.sha)


def create_tag(site: Site, request: Request) -> Response:
    repository = _changeable(site, request)
    start = repository.resolve(request.params["rev"])
    return _with_ref(site, repository, f"refs/tags/{request.json().get('tag')}", start.sha)


def delete_branch(site: Site, request: Request) -> Response:
    return _without_ref(site, request, f"refs/heads/{request.params['name']}")


def delete_tag(site: Site, request: Request) -> Response:
    return _without_ref(site, request, f"refs/tags/{request.params['rev']}")


def validate_yaml(site: Site, request: Request) -> Response:
    """Check the metadata of a card: 400 with the errors, or 200 with warnings at most."""
    del site
    found = check(str(request.json().get("content", "")))
    return Response.of_json(found.to_json(), 400 if found.errors else 200)


def _changeable(site: Site, request: Request) -> Repository:
    repository = site.repository(request)
    require_member(site.user(request), repository.namespace)
    return repository


def _with_ref(site: Site, repository: Repository, ref: str, sha: str) -> Response:
    repository.create_ref(ref, repository.resolve(sha))
    site.catalog.save(repository)
    return Response.of_json({"ref": ref, "targetCommit": sha})


def _without_ref(site: Site, request: Request, ref: str) -> Response:
    repository = _changeable(site, request)
    repository.delete_ref(ref)
    site.catalog.save(repository)
    return Response.of_json({"ok": True})


def _require_dataset(body: dict[str, Any]) -> None:
    if body.get("type", "model") != "dataset":
        raise errors.bad_request(f"localhub holds datasets only, not {body.get('type', 'model')}s: pass repo_type")


def _asked_id(body: dict[str, Any], user: User) -> str:
    return f"{body.get('organization') or user.name}/{body.get('name')}"


def _gated(value: Any) -> Gated:
    choices: dict[Any, Gated] = {"auto": "auto", "manual": "manual", False: False}
    if value not in choices:
        raise errors.bad_request(f"gated must be `auto`, `manual` or false, not {value!r}")
    return choices[value]


_POST, _DELETE = ("POST",), ("DELETE",)
ROUTES = (
    Route("create_repo", _POST, "/api/repos/create", create),
    Route("delete_repo", _DELETE, "/api/repos/delete", delete),
    Route("settings", ("PUT",), "/api/datasets/{repo}/settings", settings),
    Route("grant", _POST, "/api/datasets/{repo}/user-access-request/grant", grant),
    Route("create_branch", _POST, "/api/datasets/{repo}/branch/{name}", create_branch),
    Route("delete_branch", _DELETE, "/api/datasets/{repo}/branch/{name}", delete_branch),
    Route("create_tag", _POST, "/api/datasets/{repo}/tag/{rev}", create_tag),
    Route("delete_tag", _DELETE, "/api/datasets/{repo}/tag/{rev}", delete_tag),
    Route("validate_yaml", _POST, "/api/validate-yaml", validate_yaml),
)
