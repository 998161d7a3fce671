"""Commits over HTTP: the files that need LFS (preupload), and the commit itself."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from localhub.errors import HubError, bad_request, revision_not_found, too_large
from localhub.router import Route
from localhub.site import Site
from localhub.store.card import check
from localhub.store.lfs_rules import is_ignored, is_lfs
from localhub.store.repository import Commit, Repository
from localhub.store.tree import Delete, DeleteFolder, Operation, Put
from localhub.store.users import User, require_member, require_writer
from localhub.wire import Request, Response


def preupload(site: Site, request: Request) -> Response:
    """For each file: LFS or regular, ignored or not, and the `oid` of the file that exists now."""
    repository, _ = _writer_of(site, request)
    commit = repository.resolve(request.params["rev"])
    body = request.json()
    too_large("files", len(body.get("files", [])), site.settings.max_objects)
    gitignore = body.get("gitIgnore")
    if gitignore is None:
        gitignore = _text_of(site, commit, ".gitignore")
    files = [_preupload_record(site, commit, item, gitignore) for item in body.get("files", [])]
    return Response.of_json({"files": files, "commitOid": commit.sha})


def _preupload_record(site: Site, commit: Commit, item: dict[str, Any], gitignore: str) -> dict[str, Any]:
    path = str(item.get("path"))
    sample = base64.b64decode(item.get("sample", ""))
    lfs = is_lfs(path, int(item.get("size", 0)), sample, site.settings.lfs_threshold)
    there = commit.tree.files.get(path)
    return {
        "path": path,
        "uploadMode": "lfs" if lfs else "regular",
        "shouldIgnore": is_ignored(path, gitignore),
        "oid": there.etag if there else None,
    }


def commit(site: Site, request: Request) -> Response:
    """Apply the lines of the body as one commit; with `create_pr=1`, as a new pull request into the branch."""
    repository, user = _writer_of(site, request)
    order = _CommitOrder.read(site, repository, request.body.lines())
    too_large("operations", len(order.operations), site.settings.max_operations)
    _check_card(site, order.operations)
    if request.flag("create_pr"):
        return _commit_as_pull(site, request, repository, user, order)
    made = site.commit(
        repository,
        request.params["rev"],
        order.operations,
        title=order.summary,
        message=order.description,
        author=user.name,
        expected_parent=order.parent,
    )
    return Response.of_json(_commit_answer(request, repository, made))


def _commit_as_pull(site: Site, request: Request, repository: Repository, user: User, order: _CommitOrder) -> Response:
    base = request.params["rev"]
    if f"refs/heads/{base}" not in repository.refs:
        raise revision_not_found(base)
    start = repository.resolve(order.parent or base)
    start.tree.apply(order.operations)  # a commit that cannot be applied opens no pull request
    pull = repository.open_pull(
        order.summary, order.description, author=user.name, created=site.settings.clock(), start=start, base=base
    )
    made = site.commit(
        repository, pull.ref, order.operations, title=order.summary, message=order.description, author=user.name
    )
    answer = _commit_answer(request, repository, made)
    answer["pullRequestUrl"] = f"{request.base_url}/datasets/{repository.id}/discussions/{pull.num}"
    return Response.of_json(answer)


def _commit_answer(request: Request, repository: Repository, made: Commit) -> dict[str, Any]:
    url = f"{request.base_url}/datasets/{repository.id}/commit/{made.sha}"
    return {"success": True, "commitOid": made.sha, "commitUrl": url, "hookOutput": ""}


@dataclass
class _CommitOrder:
    """Operations that the lines of a commit's body describe."""

    summary: str = ""
    description: str = ""
    parent: str | None = None
    operations: list[Operation] = field(default_factory=list)

    @classmethod
    def read(cls, site: Site, repository: Repository, lines: Iterable[bytes]) -> _CommitOrder:
        order = cls()
        for key, value in _records(lines):
            if key == "header":
                order.summary = str(value.get("summary", ""))
                order.description = str(value.get("description", ""))
                order.parent = value.get("parentCommit")
            else:
                order.operations.append(_operation(site, repository, key, value))
        if not order.summary:
            raise bad_request("a commit needs a header with a summary")
        return order


def _records(lines: Iterable[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in lines:
        if line.strip():
            try:
                record = json.loads(line)
                yield record["key"], record["value"]
            except (ValueError, KeyError, TypeError) as error:
                raise bad_request(f"a line of the commit is not of the form {{key, value}}: {error}") from error


def _operation(site: Site, repository: Repository, key: str, value: dict[str, Any]) -> Operation:
    path = str(value.get("path", ""))
    if key == "file":
        return Put(path, site.objects.blob(site.objects.add_bytes(_content(value)), lfs=False))
    if key == "lfsFile":
        return _lfs_file(site, repository, path, str(value.get("oid")), value.get("size"))
    if key == "deletedFile":
        return Delete(path)
    if key == "deletedFolder":
        return DeleteFolder(path)
    raise bad_request(f"unknown operation in a commit: {key!r}")


def _content(value: dict[str, Any]) -> bytes:
    content = str(value.get("content", ""))
    if value.get("encoding") != "base64":
        return content.encode()
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise bad_request(f"the content of {value.get('path')} is no base64: {error}") from error


def _lfs_file(site: Site, repository: Repository, path: str, oid: str, size: int | None) -> Put:
    """A file whose bytes were uploaded before, by LFS or by Xet; HubError 400 otherwise."""
    if oid not in repository.lfs_objects and site.xet.has(oid):
        site.objects.add_stream(site.xet.read(oid), expected_sha256=oid)
        repository.lfs_objects.add(oid)
    if oid not in repository.lfs_objects or not site.objects.has(oid):
        raise bad_request(f"{path} points to the LFS object {oid}, which was not uploaded to this repository")
    blob = site.objects.blob(oid, lfs=True)
    if size not in (None, blob.size):
        raise bad_request(f"{path} has {blob.size} bytes, the commit says {size}")
    return Put(path, blob)


def _check_card(site: Site, operations: Iterable[Operation]) -> None:
    for operation in operations:
        if isinstance(operation, Put) and operation.path == "README.md" and not operation.blob.lfs:
            found = check(site.objects.read_bytes(operation.blob.sha256).decode(errors="replace"))
            if found.errors:
                raise HubError(400, "Your push was rejected by the card's check: " + "; ".join(found.errors))


def _text_of(site: Site, commit_: Commit, path: str) -> str:
    blob = commit_.tree.files.get(path)
    return site.objects.read_bytes(blob.sha256).decode(errors="replace") if blob else ""


def _writer_of(site: Site, request: Request) -> tuple[Repository, User]:
    """The repository and its writer: a member, or for a pull request anyone whose token may write."""
    repository = site.repository(request)
    user = site.user(request)
    if request.flag("create_pr") or request.params["rev"].startswith("refs/pr/"):
        return repository, require_writer(user)
    return repository, require_member(user, repository.namespace)


ROUTES = (
    Route("preupload", ("POST",), "/api/datasets/{repo}/preupload/{rev}", preupload),
    Route("commit", ("POST",), "/api/datasets/{repo}/commit/{rev}", commit),
)
