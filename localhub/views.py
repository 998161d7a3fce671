"""Repositories, commits, files and users as the JSON of the Hub's API."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from localhub.store.card import card_data, tags
from localhub.store.objects import Blob, ObjectStore
from localhub.store.repository import Commit, PullRequest, Repository
from localhub.store.tree import Entry
from localhub.store.users import User

README = "README.md"


def iso(seconds: float) -> str:
    """A time as the Hub writes it, in milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def object_id(text: str) -> str:
    """A stable `_id` of 24 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def dataset_info(repository: Repository, commit: Commit, objects: ObjectStore, *, blobs: bool) -> dict[str, Any]:
    """A dataset as `GET /api/datasets/{id}` shows it; with `blobs`, sizes and hashes of the files."""
    card = card_of(commit, objects)
    files = commit.tree.files
    return {
        "_id": object_id(repository.id),
        "id": repository.id,
        "author": repository.namespace,
        "sha": commit.sha,
        "createdAt": iso(repository.created),
        "lastModified": iso(commit.created),
        "private": repository.private,
        "gated": repository.gated,
        "disabled": False,
        "downloads": 0,
        "downloadsAllTime": 0,
        "likes": 0,
        "trendingScore": 0,
        "tags": [*tags(card), "region:us"],
        "description": None,
        "citation": None,
        "paperswithcode_id": None,
        "resourceGroup": None,
        "cardData": card,
        "mainSize": sum(blob.size for blob in files.values()),
        "usedStorage": sum({blob.sha256: blob.size for blob in files.values() if blob.lfs}.values()),
        "siblings": [sibling(path, blob, blobs=blobs) for path, blob in files.items()],
    }


def card_of(commit: Commit, objects: ObjectStore) -> dict[str, Any]:
    blob = commit.tree.files.get(README)
    if blob is None or blob.lfs:
        return {}
    return card_data(objects.read_bytes(blob.sha256).decode(errors="replace"))


def sibling(path: str, blob: Blob, *, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": path}
    record: dict[str, Any] = {"rfilename": path, "blobId": blob.oid, "size": blob.size}
    if blob.lfs:
        record["lfs"] = {"sha256": blob.sha256, "size": blob.size, "pointerSize": blob.pointer_size}
    return record


def tree_entry(entry: Entry, last: Commit | None) -> dict[str, Any]:
    """A file or folder of a listing; `last` is the commit that changed it, where it was requested."""
    blob = entry.blob
    record: dict[str, Any] = {"type": "file" if blob else "directory", "oid": entry.oid, "size": 0, "path": entry.path}
    if blob:
        record["size"] = blob.size
        if blob.lfs:
            record["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": blob.pointer_size}
    if last:
        record["lastCommit"] = {"id": last.sha, "title": last.title, "date": iso(last.created)}
    return record


def commit_record(commit: Commit, *, formatted: bool) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": commit.sha,
        "title": commit.title,
        "message": commit.message,
        "authors": [{"user": commit.author, "avatar": ""}],
        "date": iso(commit.created),
    }
    if formatted:
        record["formatted"] = {"title": commit.title, "message": commit.message}
    return record


def refs(repository: Repository, *, pulls: bool) -> dict[str, Any]:
    """Branches, tags and, on request, pull requests."""

    def named(prefix: str) -> list[dict[str, str]]:
        found = sorted(ref for ref in repository.refs if ref.startswith(prefix))
        return [{"name": ref[len(prefix) :], "ref": ref, "targetCommit": repository.refs[ref]} for ref in found]

    record: dict[str, Any] = {"branches": named("refs/heads/"), "tags": named("refs/tags/"), "converts": []}
    if pulls:
        record["pullRequests"] = [{**item, "name": item["ref"].removeprefix("refs/")} for item in named("refs/pr/")]
    return record


def whoami(user: User, orgs: list[str]) -> dict[str, Any]:
    """The user of a token, as `GET /api/whoami-v2` shows them; never the token."""
    return {
        "type": "user",
        "id": object_id(user.name),
        "name": user.name,
        "fullname": user.name,
        "isPro": False,
        "canPay": False,
        "emailVerified": True,
        "orgs": [{"type": "org", "id": object_id(org), "name": org, "roleInOrg": user.role} for org in orgs],
        "auth": {"type": "access_token", "accessToken": {"displayName": f"{user.name}'s token", "role": user.role}},
    }


def pull_record(repository: Repository, pull: PullRequest) -> dict[str, Any]:
    """A pull request with its events, as the discussions API shows it."""
    author = {"name": pull.author, "type": "user"}
    comment = {
        "id": object_id(f"{repository.id}#{pull.num}"),
        "type": "comment",
        "createdAt": iso(pull.created),
        "author": author,
        "data": {"edited": False, "hidden": False, "latest": {"raw": pull.description}, "history": []},
    }
    return {
        "num": pull.num,
        "title": pull.title,
        "status": pull.status,
        "author": author,
        "createdAt": iso(pull.created),
        "isPullRequest": True,
        "repo": {"name": repository.id, "type": "dataset"},
        "changes": {"base": f"refs/heads/{pull.base}", "mergeCommitId": pull.merge_sha},
        "filesWithConflicts": [],
        "diff": "",
        "events": [comment],
    }
