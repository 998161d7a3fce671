"""Answers about repositories: metadata, listings, refs, history, access."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from localhub import errors, views
from localhub.paging import page_of, pinned
from localhub.router import Route
from localhub.site import Site
from localhub.store.repository import DEFAULT_BRANCH, Commit, Repository
from localhub.store.users import may_see, require_member
from localhub.wire import Request, Response


def whoami(site: Site, request: Request) -> Response:
    user = site.user(request)
    if user is None:
        raise errors.HubError(401, "Invalid username or password.")
    namespaces = {repository.namespace for repository in site.catalog.all()} | set(user.orgs)
    orgs = sorted(name for name in namespaces - {"*", *site.users.names()} if user.belongs_to(name))
    return Response.of_json(views.whoami(user, orgs))


def list_datasets(site: Site, request: Request) -> Response:
    user = site.user(request)
    author = request.query.get("author", [""])[0]
    words = [word.lower() for word in request.query.get("search", [])]
    found = [
        repository
        for repository in site.catalog.all()
        if may_see(user, repository)
        and author in ("", repository.namespace)
        and all(word in repository.id.lower() for word in words)
    ]

    def view(repository: Repository) -> dict[str, Any]:
        info = views.dataset_info(repository, repository.head, site.objects, blobs=False)
        if not request.flag("full"):
            del info["siblings"]
        return info

    return page_of(request, found, view, page_size=site.settings.page_size)


def dataset_info(site: Site, request: Request) -> Response:
    """Metadata of a dataset, also of a gated one: its metadata is public, its files are not."""
    repository = site.repository(request)
    commit = repository.resolve(request.params.get("rev", DEFAULT_BRANCH))
    blobs = request.flag("blobs") and not site.settings.mirror
    info = views.dataset_info(repository, commit, site.objects, blobs=blobs)
    if site.settings.mirror:
        info |= {"cardData": None, "tags": []}
    wanted = request.query.get("expand", []) + request.query.get("expand[]", [])
    if wanted:
        unknown = [name for name in wanted if name not in info]
        if unknown:
            raise errors.bad_request(f"Unknown properties to expand: {unknown}")
        info = {name: info[name] for name in ("_id", "id", *wanted)}
    return _at(commit, Response.of_json(info))


def tree(site: Site, request: Request) -> Response:
    repository = site.repository(request)
    commit = repository.resolve(pinned(request) or request.params["rev"])
    entries = commit.tree.entries(request.params.get("path", "").strip("/"), recursive=request.flag("recursive"))
    expand = request.flag("expand")

    def view(entry: Any) -> dict[str, Any]:
        return views.tree_entry(entry, repository.last_change(commit.sha, entry.path) if expand else None)

    return _at(commit, page_of(request, entries, view, page_size=site.settings.page_size, pin=commit.sha))


def paths_info(site: Site, request: Request) -> Response:
    """The entries of the requested paths; those that do not exist are left out."""
    repository = site.repository(request)
    commit = repository.resolve(request.params["rev"])
    paths, expand = _asked_paths(request)
    entries = [entry for path in paths if (entry := commit.tree.entry(path.strip("/")))]
    return _at(
        commit,
        Response.of_json(
            [
                views.tree_entry(entry, repository.last_change(commit.sha, entry.path) if expand else None)
                for entry in entries
            ]
        ),
    )


def _asked_paths(request: Request) -> tuple[list[str], bool]:
    if "json" in request.headers.get("Content-Type", ""):
        body = request.json()
        return list(body.get("paths", [])), bool(body.get("expand"))
    form = parse_qs(request.body.read().decode(), keep_blank_values=True)
    return form.get("paths", []), form.get("expand", [""])[0].lower() in ("1", "true")


def refs(site: Site, request: Request) -> Response:
    return Response.of_json(views.refs(site.repository(request), pulls=request.flag("include_prs")))


def commits(site: Site, request: Request) -> Response:
    repository = site.repository(request)
    history = list(repository.history(pinned(request) or request.params["rev"]))
    formatted = "formatted" in request.query.get("expand[]", [])
    answer = page_of(
        request,
        history,
        lambda commit: views.commit_record(commit, formatted=formatted),
        page_size=site.settings.page_size,
        pin=history[0].sha,
    )
    return Response(answer.status, {**answer.headers, "X-Total-Count": str(len(history))}, answer.body)


def auth_check(site: Site, request: Request) -> Response:
    """Answer 200 when the user may read the files of a repository, or change them with `/write`."""
    if request.path.endswith("/write"):
        repository = site.repository(request)
        require_member(site.user(request), repository.namespace)
    else:
        site.downloadable(request)
    return Response.of_json({"ok": True})


def agent_harnesses(site: Site, request: Request) -> Response:
    """A list that clients request once a day, for their own telemetry: empty here."""
    del site, request
    return Response.of_json({"standardEnvVars": [], "harnesses": {}})


def other_repository_type(site: Site, request: Request) -> Response:
    """Answer for models and Spaces: localhub has none."""
    raise errors.repo_not_found(anonymous=site.user(request) is None)


def _at(commit: Commit, response: Response) -> Response:
    return Response(response.status, {**response.headers, "X-Repo-Commit": commit.sha}, response.body)


_GET = ("GET",)
ROUTES = (
    Route("whoami", _GET, "/api/whoami-v2", whoami),
    Route("list_datasets", _GET, "/api/datasets", list_datasets),
    Route("dataset_info", _GET, "/api/datasets/{repo}", dataset_info),
    Route("dataset_info", _GET, "/api/datasets/{repo}/revision/{rev}", dataset_info),
    Route("tree", _GET, "/api/datasets/{repo}/tree/{rev}", tree),
    Route("tree", _GET, "/api/datasets/{repo}/tree/{rev}/", tree),
    Route("tree", _GET, "/api/datasets/{repo}/tree/{rev}/{path}", tree),
    Route("paths_info", ("POST",), "/api/datasets/{repo}/paths-info/{rev}", paths_info),
    Route("refs", _GET, "/api/datasets/{repo}/refs", refs),
    Route("commits", _GET, "/api/datasets/{repo}/commits/{rev}", commits),
    Route("auth_check", _GET, "/api/datasets/{repo}/auth-check", auth_check),
    Route("auth_check", _GET, "/api/datasets/{repo}/auth-check/write", auth_check),
)
ELSEWHERE = (
    Route("agent_harnesses", _GET, "/api/agent-harnesses", agent_harnesses),
    Route("no_such_repository", ("GET", "POST", "PUT", "DELETE"), "/api/models/{path}", other_repository_type),
    Route("no_such_repository", ("GET", "POST", "PUT", "DELETE"), "/api/spaces/{path}", other_repository_type),
    Route("no_such_repository", _GET, "/{repo}/resolve/{rev}/{path}", other_repository_type),
)
