"""LFS uploads: the batch with upload URLs, PUT in one piece or in parts, completion, verification."""

from __future__ import annotations

from typing import Any

from localhub.errors import HubError, bad_request, too_large
from localhub.router import Route
from localhub.site import Site
from localhub.store.repository import Repository
from localhub.store.uploads import Upload, joined_parts
from localhub.store.users import require_member
from localhub.wire import Request, Response

_TYPE = {"Content-Type": "application/vnd.git-lfs+json"}


def batch(site: Site, request: Request) -> Response:
    """Upload URLs for objects that the repository does not have yet (git-lfs batch API); for members only."""
    repository = site.repository(request)
    require_member(site.user(request), repository.namespace)
    body = request.json()
    if body.get("operation") != "upload":
        raise bad_request("localhub serves LFS files by /resolve/; only uploads go through the batch API")
    too_large("objects", len(body.get("objects", [])), site.settings.max_objects)
    parts = "multipart" in body.get("transfers", [])
    objects = [_batch_record(site, request, repository, item, parts=parts) for item in body.get("objects", [])]
    in_parts = any("chunk_size" in item.get("actions", {}).get("upload", {}).get("header", {}) for item in objects)
    return Response.of_json({"transfer": "multipart" if in_parts else "basic", "objects": objects}, headers=_TYPE)


def _batch_record(
    site: Site, request: Request, repository: Repository, item: dict[str, Any], *, parts: bool
) -> dict[str, Any]:
    oid, size = str(item.get("oid")), int(item.get("size", -1))
    record: dict[str, Any] = {"oid": oid, "size": size}
    if len(oid) != 64 or size < 0:
        return record | {"error": {"code": 422, "message": "an LFS object needs a SHA-256 and a size"}}
    if oid in repository.lfs_objects and site.objects.has(oid):
        return record
    quota = site.settings.quota_bytes
    if quota is not None and size + _used(site, repository) > quota:
        return record | {"error": {"code": 507, "message": f"Storage quota exceeded: {quota} bytes"}}
    upload = site.uploads.promise(repository.id, oid, size)
    verify = {"href": f"{request.base_url}/datasets/{repository.id}.git/info/lfs/verify"}
    return record | {"actions": {"upload": _upload_action(site, request, upload, parts=parts), "verify": verify}}


def _used(site: Site, repository: Repository) -> int:
    return sum(site.objects.path(oid).stat().st_size for oid in repository.lfs_objects if site.objects.has(oid))


def _upload_action(site: Site, request: Request, upload: Upload, *, parts: bool) -> dict[str, Any]:
    address = f"{request.base_url}/lfs/{upload.id}"
    threshold = site.settings.multipart_from
    if not parts or threshold is None or upload.size < threshold:
        return {"href": address, "header": {}}
    count = -(-upload.size // site.settings.part_size)
    header = {str(number): f"{address}/{number}" for number in range(1, count + 1)}
    return {"href": f"{address}/complete", "header": {"chunk_size": str(site.settings.part_size), **header}}


def put_object(site: Site, request: Request) -> Response:
    """Store the bytes of an object in one piece; HubError 400 when their hash or size is not the announced one."""
    upload = site.uploads.get(request.params["upload"])
    site.objects.add_stream(request.body.chunks(), expected_sha256=upload.oid)
    return _arrived(upload)


def put_part(site: Site, request: Request) -> Response:
    upload = site.uploads.get(request.params["upload"])
    sha256 = site.objects.add_stream(request.body.chunks())
    upload.parts[int(request.params["number"])] = sha256
    return Response(200, {"ETag": f'"{sha256[:32]}"'})


def complete(site: Site, request: Request) -> Response:
    """Join the parts; HubError 400 when one is missing or the whole is not the announced object."""
    upload = site.uploads.get(request.params["upload"])
    listed = sorted(int(part["partNumber"]) for part in request.json().get("parts", []))
    if listed != sorted(upload.parts):
        raise bad_request(f"the parts {listed} are listed, {sorted(upload.parts)} were uploaded")
    site.objects.add_stream(joined_parts(site.objects, upload), expected_sha256=upload.oid)
    return _arrived(upload)


def _arrived(upload: Upload) -> Response:
    upload.arrived = True
    return Response(200, {"ETag": f'"{upload.oid[:32]}"'})


def verify(site: Site, request: Request) -> Response:
    """Add an object that has arrived to the repository."""
    repository = site.repository(request)
    body = request.json()
    oid = str(body.get("oid"))
    if site.uploads.verify(repository.id, oid):
        repository.lfs_objects.add(oid)
    if oid not in repository.lfs_objects or not site.objects.has(oid):
        raise HubError(404, f"LFS object {oid} was not uploaded")
    return Response.of_json({"oid": oid, "size": site.objects.path(oid).stat().st_size}, headers=_TYPE)


_POST, _PUT = ("POST",), ("PUT",)
ROUTES = (
    Route("lfs_batch", _POST, "/datasets/{repo}.git/info/lfs/objects/batch", batch),
    Route("lfs_verify", _POST, "/datasets/{repo}.git/info/lfs/verify", verify),
    Route("lfs_put", _PUT, "/lfs/{upload}", put_object),
    Route("lfs_complete", _POST, "/lfs/{upload}/complete", complete),
    Route("lfs_put_part", _PUT, "/lfs/{upload}/{number}", put_part),
)
