"""LFS uploads in progress: their URLs and parts."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from localhub.errors import HubError
from localhub.store.objects import ObjectStore


@dataclass
class Upload:
    """One upload in progress: `parts` maps part numbers to the SHA-256 under which each part is stored."""

    id: str
    repo_id: str
    oid: str
    size: int
    parts: dict[int, str] = field(default_factory=dict)
    arrived: bool = False


class Uploads:
    """Uploads by their unguessable id, which is all that a PUT needs, as with signed URLs.

    As with an object store, the same bytes may be put again; the Hub knows of them once they are verified.
    """

    def __init__(self) -> None:
        self._uploads: dict[str, Upload] = {}
        self._lock = threading.Lock()

    def promise(self, repo_id: str, oid: str, size: int) -> Upload:
        upload = Upload(secrets.token_urlsafe(16), repo_id, oid, size)
        with self._lock:
            self._uploads[upload.id] = upload
        return upload

    def get(self, upload_id: str) -> Upload:
        """The upload; HubError 403, as for a signed address that has expired."""
        upload = self._uploads.get(upload_id)
        if upload is None:
            raise HubError(403, "this upload address is not valid (any more)")
        return upload

    def verify(self, repo_id: str, oid: str) -> bool:
        """Tell if the object has arrived for the repository; its upload URLs are no longer valid then."""
        with self._lock:
            uploads = [item for item in self._uploads.values() if (item.repo_id, item.oid) == (repo_id, oid)]
            arrived = any(upload.arrived for upload in uploads)
            for upload in uploads if arrived else ():
                del self._uploads[upload.id]
        return arrived


def joined_parts(objects: ObjectStore, upload: Upload) -> Iterator[bytes]:
    """The bytes of all parts in order."""
    for number in sorted(upload.parts):
        with objects.open(upload.parts[number]) as file:
            while chunk := file.read(1 << 20):
                yield chunk
