"""Hugflow's writes to a Hub, in a process of its own; see tests/support/hub_client.py.

How files are uploaded (Xet or LFS) is decided once for a process, by its environment.
"""

from __future__ import annotations

import hashlib
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from localhub import LocalHub
from tests.conftest import _safe_environ
from tests.support.hub_client import Answer, HubClient, _hub, serve

WAYS = ("xet", "lfs")
# hf_xet waits for seconds between its own attempts, however short ours are
_QUICK = {
    "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "1",
    "HF_XET_CLIENT_RETRY_BASE_DELAY": "10ms",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "error",
}


@contextmanager
def publishing(hub: LocalHub, way: str, folder: Path) -> Iterator[HubClient]:
    """A client that uploads by Xet or by LFS."""
    environ = _safe_environ(folder / "home") | _QUICK
    environ |= {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": str(int(way == "lfs"))}
    with HubClient.running(environ, folder, __name__) as client:
        yield client


def noise(seed: int, size: int) -> bytes:
    """Bytes that no chunk store knows yet; the same ones for the same numbers."""
    return random.Random(seed).randbytes(size)


def sha256(data: bytes) -> str:
    """The SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


# -- the other end ---------------------------------------------------------------------------------------------------


def _repository(hub: Mapping[str, Any] | None, **fields: Any) -> tuple[Any, list[float]]:
    from hugflow.hf_client.write.repository import Repository

    ours, slept = _hub({"token": "hf_alice", "max_retries": 2} | dict(hub or {}))
    return Repository(ours, **fields), slept


def repository(method: str, hub: Mapping[str, Any] | None = None, args: Sequence[Any] = (), **fields: Any) -> Answer:
    """What a method of a Repository returns; `with_x` is the method's `x`, all else is the repository's."""
    options = {name.removeprefix("with_"): fields.pop(name) for name in [*fields] if name.startswith("with_")}
    ours, slept = _repository(hub, **fields)
    return {"found": _plain(getattr(ours, method)(*args, **options)), "slept": slept}


def check_card(card: str, hub: Mapping[str, Any] | None = None, **fields: Any) -> Answer:
    """What the Hub says of a card."""
    return {"found": _repository(hub, **fields)[0].check_card(card.encode())}


def upload(
    path: str, content: Any, hub: Mapping[str, Any] | None = None, announced: str | None = None, **fields: Any
) -> Answer:
    """Upload one file, deleted afterwards; the most memory that it took, in bytes."""
    import resource

    ours, slept = _repository(hub, **fields)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = _uploaded(ours, path, content, announced)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"found": _plain(found), "slept": slept, "grown_bytes": grown * 1024}


def _uploaded(ours: Any, path: str, content: Any, announced: str | None = None) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "shard"
        digest = hashlib.sha256()
        with file.open("wb") as opened:
            for block in _blocks(content):
                digest.update(block)
                opened.write(block)
        size = file.stat().st_size
        found = ours.upload(file, path, sha256=announced or digest.hexdigest(), size_bytes=size)
    assert not file.exists()
    return found


def _blocks(content: Any) -> Iterator[bytes]:
    """Text as it is; a number of bytes with a seed, made block by block."""
    if isinstance(content, str):
        yield content.encode()
        return
    seed, size = content
    block = 1 << 20
    if size <= block:
        yield noise(seed, size)
    else:
        for number in range(size // block):
            yield noise(seed + number, block)


def publish(
    files: Mapping[str, Any] = {},
    texts: Mapping[str, str] = {},
    known: Mapping[str, Sequence[Any]] = {},
    deletes: Sequence[str] = (),
    copies: Mapping[str, str] = {},
    tag: str | None = None,
    touched: str = "data/",
    message: str = "publish",
    base: str | None = None,
    ensure: bool = True,
    real_sleep: bool = False,
    hub: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Answer:
    """A whole publish: the repository, its branch, uploads, the commit, the tag; how often the changes were built.

    `files` are uploaded under another name than the one that they get in the commit; `known` are committed by their
    hash and size alone; `copies` are made where all that they copy is there; `base` is the commit that the run began
    with; `real_sleep` waits where it is said to.
    """
    import time

    from hugflow.hf_client.write.repository import Head, Upload
    from hugflow.publish.commit import Changes, publish_changes

    ours, slept = _repository({"sleep": time.sleep} | dict(hub or {}) if real_sleep else hub, **fields)
    made = [ours.ensure(private=False), ours.ensure_branch()] if ensure else []
    uploads = {path: _uploaded(ours, f"{path.rpartition('/')[0]}/x.parquet", new) for path, new in files.items()}
    uploads |= {path: Upload(size, digest) for path, (digest, size) in known.items()}
    adds = uploads | {path: text.encode() for path, text in texts.items()}
    built: list[str] = []

    def build(head: Head) -> Changes:
        built.append(head.sha)
        first = all(old in head.files for old in copies.values())
        return Changes(adds, frozenset(deletes), copies if first else {})

    start = Head(base, ours.files(base)) if base else None
    commit = publish_changes(
        ours, build, lambda path: path.startswith(touched), message=message, description="why", base=start
    )
    if tag is not None:
        ours.tag(tag, commit.sha if commit else ours.head())
    return {"commit": _plain(commit), "made": made, "built": built, "slept": slept}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return list(value) if isinstance(value, list | tuple | set) else value


QUESTIONS: dict[str, Callable[..., Answer]] = {
    function.__name__: function for function in (repository, check_card, upload, publish)
}


if __name__ == "__main__":
    serve(QUESTIONS)
