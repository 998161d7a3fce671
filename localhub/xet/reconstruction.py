"""Stores xorbs and shards as hf_xet uploads them, and reads files from them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

from localhub.errors import bad_request
from localhub.xet.format import Shard, XetFile, parse_shard, read_segment


class XetStore:
    """Xorbs and shards on disk, files by SHA-256."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[str, XetFile] = {}
        self._shard_of_chunk: dict[str, Shard] = {}
        self._lock = threading.Lock()

    def load(self) -> None:
        """Load the shards of an earlier run."""
        for path in sorted(self._root.glob("shards/*")):
            self._register(parse_shard(path.read_bytes()))

    def add_xorb(self, name: str, data: bytes) -> bool:
        """Store a xorb; False when it exists already."""
        path = self._xorb(name)
        if path.exists():
            return False
        _write(path, data)
        return True

    def used(self) -> int:
        """Total size of all xorbs in bytes."""
        return sum(path.stat().st_size for path in self._root.glob("xorbs/*"))

    def add_shard(self, data: bytes) -> None:
        """Store a shard and register its files; HubError 400 when it refers to a xorb that was not uploaded."""
        shard = parse_shard(data)
        missing = {part.xorb for file in shard.files for part in file.segments if not self._xorb(part.xorb).exists()}
        if missing:
            raise bad_request(f"the shard refers to xorbs that were not uploaded: {sorted(missing)}")
        _write(self._root / "shards" / hashlib.sha256(data).hexdigest(), data)
        self._register(shard)

    def shard_with(self, chunk: str) -> Shard | None:
        """A shard that lists the chunk."""
        return self._shard_of_chunk.get(chunk)

    def has(self, sha256: str) -> bool:
        return sha256 in self._files

    def read(self, sha256: str) -> Iterator[bytes]:
        """The bytes of a file, chunk by chunk."""
        for segment in self._files[sha256].segments:
            yield from read_segment(self._xorb(segment.xorb), segment)

    def _register(self, shard: Shard) -> None:
        with self._lock:
            self._files.update({file.sha256: file for file in shard.files})
            self._shard_of_chunk.update(dict.fromkeys(shard.chunks, shard))

    def _xorb(self, name: str) -> Path:
        return self._root / "xorbs" / name


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{threading.get_ident()}")
    draft.write_bytes(data)
    draft.replace(path)
