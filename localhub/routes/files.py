"""Answers with the bytes of files: HEAD and GET of /resolve/, with ranges."""

from __future__ import annotations

import itertools
import mimetypes
import re
from pathlib import PurePosixPath
from urllib.parse import quote

from localhub import errors
from localhub.router import Route
from localhub.site import Site
from localhub.store.objects import Blob
from localhub.wire import FileSlice, Request, Response

_signatures = itertools.count(1)
_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")


def resolve(site: Site, request: Request) -> Response:
    """A file at a revision; missing: 404 EntryNotFound with X-Repo-Commit."""
    repository = site.downloadable(request)
    commit = repository.resolve(request.params["rev"])
    path = request.params["path"]
    blob = commit.tree.files.get(path)
    if blob is None:
        raise errors.entry_not_found("Entry not found", sha=commit.sha)
    headers = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes", "ETag": f'"{blob.etag}"', **_named(path)}
    if blob.lfs:
        headers |= {"X-Linked-Size": str(blob.size), "X-Linked-ETag": f'"{blob.etag}"'}
        if site.settings.object_store:
            # another name of this host, as clients send no token to another host
            store = request.base_url.replace("127.0.0.1", "localhost")
            signature = f"X-Amz-Expires=3600&X-Amz-Signature={next(_signatures):064x}"
            return Response(302, headers | {"Location": f"{store}/store/{blob.sha256}?{signature}"})
    return _ranged(site, request, blob, headers)


def stored(site: Site, request: Request) -> Response:
    """The bytes of an object at a signed address, which needs no token."""
    sha256 = request.params["sha256"]
    if not site.objects.has(sha256):
        raise errors.HubError(404, "NoSuchKey")
    return _ranged(site, request, site.objects.blob(sha256, lfs=True), {"Accept-Ranges": "bytes"})


def _named(path: str) -> dict[str, str]:
    name = PurePosixPath(path).name
    return {
        "Content-Type": mimetypes.guess_type(name)[0] or "application/octet-stream",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(name)}",
    }


def _ranged(site: Site, request: Request, blob: Blob, headers: dict[str, str]) -> Response:
    path = site.objects.path(blob.sha256)
    asked = wanted_range(request.headers.get("Range", ""), blob.size)
    if asked is None:
        return Response(200, headers, FileSlice(path, 0, blob.size))
    start, end = asked
    if start >= end:
        raise errors.HubError(416, "Range not satisfiable", headers={"Content-Range": f"bytes */{blob.size}"})
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{blob.size}"
    return Response(206, headers, FileSlice(path, start, end - start))


def wanted_range(header: str, size: int) -> tuple[int, int] | None:
    """The bytes (start, end exclusive) of a Range header; None where the whole file is the correct answer.

    Several ranges in one header are answered with the whole file, as RFC 9110 allows. An empty result (start >= end)
    cannot be satisfied.
    """
    match = _RANGE.match(header.replace(" ", ""))
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:
        return max(0, size - int(match[2])), size
    start, end = int(match[1]), int(match[2] or size - 1)
    if match[2] and end < start:
        return None
    return start, min(end + 1, size)


ROUTES = (
    Route("resolve", ("GET",), "/datasets/{repo}/resolve/{rev}/{path}", resolve),
    Route("store", ("GET",), "/store/{sha256}", stored),
)
