"""Stores the bytes of all files, each once, under the SHA-256 of its content."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from localhub.errors import HubError

CHUNK_BYTES = 1 << 20
# Smaller files are copied: people rewrite a README in place, and a hard link would change with it.
LINK_FROM_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Blob:
    """A file of a commit: `oid` is its Git object id, which for an LFS file is that of the pointer."""

    sha256: str
    size: int
    oid: str
    lfs: bool

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid

    @property
    def pointer_size(self) -> int:
        return len(lfs_pointer(self.sha256, self.size))


def lfs_pointer(sha256: str, size: int) -> bytes:
    """The text that Git stores in place of an LFS file (git-lfs specification, version 1)."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def git_oid(size: int, chunks: Iterable[bytes]) -> str:
    """The SHA-1 that Git gives to a blob of these bytes."""
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def read_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


class ObjectStore:
    """Files by SHA-256 in a directory; no whole file is kept in memory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._linked: dict[str, tuple[int, int]] = {}
        self._folders: set[Path] = set()
        self._lock = threading.Lock()

    def add_bytes(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        if not self.has(sha256):
            self.add_stream([data])
        return sha256

    def add_stream(self, chunks: Iterable[bytes], *, expected_sha256: str | None = None) -> str:
        """Store the bytes and return their SHA-256; with `expected_sha256`, anything else is refused with 400."""
        incoming = self._incoming()
        digest = hashlib.sha256()
        try:
            with incoming.open("wb") as file:
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
            if expected_sha256 not in (None, digest.hexdigest()):
                raise HubError(400, f"the bytes have the SHA-256 {digest.hexdigest()}, not {expected_sha256}")
            self._keep(incoming, digest.hexdigest())
        finally:
            incoming.unlink(missing_ok=True)
        return digest.hexdigest()

    def add_file(self, path: Path) -> str:
        """Store a file of the caller's: a large one is linked, so it must not be changed in place afterwards."""
        if path.stat().st_size < LINK_FROM_BYTES:
            return self.add_stream(read_chunks(path))
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if not self.has(sha256):
            self._link(path, sha256)
        return sha256

    def blob(self, sha256: str, *, lfs: bool) -> Blob:
        """Describe a stored object as a file of a commit."""
        path = self.path(sha256)
        size = path.stat().st_size
        if not lfs:
            return Blob(sha256=sha256, size=size, oid=git_oid(size, read_chunks(path)), lfs=False)
        pointer = lfs_pointer(sha256, size)
        return Blob(sha256=sha256, size=size, oid=git_oid(len(pointer), [pointer]), lfs=True)

    def has(self, sha256: str) -> bool:
        return self._place(sha256).exists()

    def path(self, sha256: str) -> Path:
        """The file with the bytes; a linked file that has changed since raises HubError 500 instead of being served."""
        path = self._place(sha256)
        linked = self._linked.get(sha256)
        if linked is not None and linked != _stamp(path):
            raise HubError(
                500, f"localhub: the file behind object {sha256} was changed in place after it was added; replace it"
            )
        return path

    def read_bytes(self, sha256: str) -> bytes:
        return self.path(sha256).read_bytes()

    def open(self, sha256: str) -> BinaryIO:
        return self.path(sha256).open("rb")

    def _link(self, path: Path, sha256: str) -> None:
        incoming = self._incoming()
        try:
            os.link(path.resolve(), incoming)
        except OSError:
            incoming.symlink_to(path.resolve())  # another file system: refer to it
        stamp = _stamp(incoming)
        self._keep(incoming, sha256)
        with self._lock:
            self._linked[sha256] = stamp

    def _keep(self, incoming: Path, sha256: str) -> None:
        place = self._place(sha256)
        self._ensure_folder(place.parent)
        incoming.replace(place)

    def _incoming(self) -> Path:
        return self._ensure_folder(self._root / "incoming") / secrets.token_hex(8)

    def _ensure_folder(self, folder: Path) -> Path:
        if folder not in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)
        return folder

    def _place(self, sha256: str) -> Path:
        return self._root / sha256[:2] / sha256


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
