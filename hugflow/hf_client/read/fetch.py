"""Download of source files: a file in scratch has the size and hash that the Hub lists, or is deleted."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from hugflow.hf_client.errors import HUB_ERRORS
from hugflow.hf_client.http import Hub
from hugflow.model.errors import StorageFault, Transient
from hugflow.model.plan import Shard
from hugflow.storage.disk import NotAFileError, digest_of, faults, open_inside


def fetch_shard(hub: Hub, hf_id: str, sha: str, shard: Shard, folder: Path) -> Path:
    """Fetch a shard at commit `sha` into `folder`, a folder of its own, and verify its bytes.

    A file of an earlier run is used when its bytes are right. The Hub's library checks sizes only, so bytes that were
    changed in transit are found here, and fetched again. Raises Transient after the last attempt, StorageFault for a
    shard without a hash: every file on the Hub has one.
    """
    path = folder / shard.path
    doing = f"fetching {shard.path} of {hf_id}"
    if shard.sha256 is None and shard.blob_id is None:
        fix = "Run the request again with --restart: it makes a new plan."
        raise StorageFault(doing, "the plan has no hash to check its bytes with", fix, reason="damaged_plan")

    def attempt() -> Path:
        if not is_whole(folder, shard):
            _clear(folder)
            _download(hub, hf_id, sha, shard.path, folder)
            if not is_whole(folder, shard):
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
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)


def is_whole(folder: Path, shard: Shard) -> bool:
    """Compare a shard in `folder` with its size and hash: SHA-256 for large files, Git's blob id for others.

    What a link leads to is not the shard.
    """
    wanted = shard.sha256 or shard.blob_id
    # Git names a blob by the SHA-1 of its content behind this header
    header = b"blob %d\0" % shard.size_bytes
    digest = hashlib.sha256() if shard.sha256 is not None else hashlib.sha1(header, usedforsecurity=False)
    with faults(f"reading {folder / shard.path}"):
        try:
            with open_inside(folder, shard.path) as file:
                return os.fstat(file.fileno()).st_size == shard.size_bytes and digest_of(file, digest) == wanted
        except (FileNotFoundError, NotAFileError):
            return False
