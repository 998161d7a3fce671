"""Download of source files: a file in scratch has the size and hash that the Hub lists, or is deleted."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from hugflow.hf_client.errors import HUB_ERRORS
from hugflow.hf_client.http import Hub
from hugflow.model.errors import Transient
from hugflow.model.plan import Shard
from hugflow.storage.disk import faults

_BLOCK = 1 << 20


def fetch_shard(hub: Hub, hf_id: str, sha: str, shard: Shard, folder: Path) -> Path:
    """Fetch a shard at commit `sha` into `folder`, a folder of its own, and verify its bytes.

    A file of an earlier run is used when its bytes are right. The Hub's library checks sizes only, so bytes that were
    changed in transit are found here, and fetched again. Raises Transient after the last attempt.
    """
    path = folder / shard.path
    doing = f"fetching {shard.path} of {hf_id}"

    def attempt() -> Path:
        if not is_whole(path, shard):
            _clear(folder)
            _download(hub, hf_id, sha, shard.path, folder)
            if not is_whole(path, shard):
                _clear(folder)
                raise Transient(
                    doing, "its bytes are not those that the Hub lists (hash mismatch)", _FIX, reason="hash_mismatch"
                )
        return path

    return hub.call(doing, attempt)


_FIX = (
    "Run the same command again: it continues. If the error stays, a proxy changes files, or the Hub's copy is damaged."
)


def _download(hub: Hub, hf_id: str, sha: str, path: str, folder: Path) -> None:
    doing = f"fetching {path} of {hf_id}"
    try:
        hub.api().hf_hub_download(hf_id, path, repo_type="dataset", revision=sha, local_dir=folder)
    except HUB_ERRORS:
        raise
    except OSError as error:
        if error.errno is not None:
            with faults(doing):
                raise
        # the library's own size check
        raise Transient(doing, "fewer bytes arrived than the Hub announced", _FIX, reason="truncated") from error


def discard(folder: Path) -> None:
    """Delete a fetched shard and its folder."""
    _clear(folder)
    folder.rmdir()


def _clear(folder: Path) -> None:
    with faults(f"clearing {folder}"):
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)


def is_whole(path: Path, shard: Shard) -> bool:
    """Whether a file has the size and hash of the shard: SHA-256 for large files, Git's blob id for others."""
    try:
        if path.stat().st_size != shard.size_bytes:
            return False
    except FileNotFoundError:
        return False
    if shard.sha256 is not None:
        return _digest(path, hashlib.sha256()) == shard.sha256
    if shard.blob_id is not None:
        # Git names a blob by the SHA-1 of its content behind this header
        return _digest(path, hashlib.sha1(b"blob %d\0" % shard.size_bytes, usedforsecurity=False)) == shard.blob_id
    return True


def _digest(path: Path, digest: hashlib._Hash) -> str:
    with faults(f"reading {path}"), path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
