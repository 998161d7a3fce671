"""Helpers of the publish tests: sources on disk, loading with `datasets`, requests that the Hub received."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from localhub import LocalHub
from localhub.store.repository import Repository
from tests.conftest import CANARIES, _safe_environ
from tests.support.faults import FaultWorld
from tests.support.warm import WarmStart
from tests.support.world import Done

# In a process of its own: `datasets` reads its environment when it is imported, and that takes seconds.
_LOADER = """
import json, sys
import pyarrow as pa
from datasets import Audio, Image, load_dataset
from datasets.utils import disable_progress_bars
disable_progress_bars()
for line in sys.stdin:
    order = json.loads(line)
    try:
        options = {"data_files": order["files"]} if order["files"] else {"revision": order["revision"]}
        loaded = load_dataset(order["repo"], order["config"], split=order["split"], **options)
        features = loaded.features.to_dict()
        for name, feature in loaded.features.items():
            if isinstance(feature, (Audio, Image)):
                loaded = loaded.cast_column(name, type(feature)(decode=False))
        table = loaded.with_format("arrow")[:]
        with pa.ipc.new_file(order["to"], table.schema) as file:
            file.write_table(table)
        answer = {"features": features}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
"""


@dataclass(frozen=True)
class Loaded:
    """What `load_dataset` gave: the rows (audio and images not decoded), and the features."""

    table: pa.Table
    features: dict[str, Any]

    @property
    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.table.to_pylist()
        return rows


class CannotLoad(AssertionError):
    """`load_dataset` raised."""


@dataclass
class Loader:
    """`datasets.load_dataset` in a process that stays; the answer goes through files in `folder`."""

    process: subprocess.Popen[str]
    folder: Path
    number: int = 0

    @classmethod
    @contextmanager
    def running(cls, hub: LocalHub, folder: Path) -> Iterator[Loader]:
        """A loader for a Hub, with a cache of its own."""
        environ = _safe_environ(folder / "home") | {"HF_ENDPOINT": hub.url}
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _LOADER],
            env=environ,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        try:
            yield cls(process, folder)
        finally:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            process.wait(timeout=60)
            process.stdout.close()

    def load(
        self,
        repo: str,
        config: str | None = None,
        split: str = "train",
        revision: str | None = None,
        files: str | None = None,
    ) -> Loaded:
        """`datasets.load_dataset(repo, config, split=split)`, or of named files. Raises CannotLoad."""
        self.number += 1
        path = self.folder / f"{self.number}.arrow"
        order = {"repo": repo, "config": config, "split": split, "revision": revision, "files": files}
        order["to"] = str(path)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise CannotLoad(answer["error"])
        with pa.memory_map(str(path)) as file:
            return Loaded(pa.ipc.open_file(file).read_all(), answer["features"])


@contextmanager
def writable_hub(**settings: Any) -> Iterator[LocalHub]:
    """A Hub on which the token of the tests may write everywhere."""
    with LocalHub(**settings) as hub:
        hub.add_user("alice", token=CANARIES["HF_TOKEN"], role="write")
        yield hub


@contextmanager
def warm_worlds(hub: LocalHub, home: Path, **environ: str) -> Iterator[Callable[[Path], FaultWorld]]:
    """Makes checkouts whose runs start quickly: `world.quick` is a fork of a process that has imported everything."""
    surroundings = _safe_environ(home) | {"HF_ENDPOINT": hub.url, "RETRY_BACKOFF": "0.02"} | environ
    with WarmStart(surroundings) as warm:
        yield lambda folder: FaultWorld.beside(folder, hub, surroundings, CANARIES, warm)


def publish(world: FaultWorld, fields: Mapping[str, Any], *arguments: str, name: str = "one", **environ: str) -> Done:
    """`hugflow publish --json` of a request with these fields."""
    return world.quick("publish", world.request("publish", name, fields), "--json", *arguments, **environ)


def published(world: FaultWorld, fields: Mapping[str, Any], **environ: str) -> dict[str, Any]:
    """Publish, and return the result; it must be a new state of the repository."""
    result = publish(world, fields, **environ).ok().result
    assert result["status"] == "published", result
    return result


def plan(world: FaultWorld, fields: Mapping[str, Any], *arguments: str) -> Done:
    """`hugflow plan --json` of a request with these fields."""
    return world.quick("plan", world.request("publish", "one", fields), "--json", *arguments)


@dataclass(frozen=True)
class Remote:
    """A repository on the Hub, as people see it."""

    hub: LocalHub
    repo_id: str
    branch: str = "main"

    @property
    def repository(self) -> Repository:
        return self.hub.repository(self.repo_id)

    @property
    def exists(self) -> bool:
        try:
            self.hub.repository(self.repo_id)
        except LookupError:
            return False
        return True

    @property
    def head(self) -> str:
        """The newest commit."""
        return str(self.repository.resolve(self.branch).sha)

    @property
    def files(self) -> dict[str, str]:
        """Every file but that of Git's own, by its hash."""
        tree = self.repository.resolve(self.branch).tree.files
        return {path: blob.sha256 for path, blob in tree.items() if path != ".gitattributes"}

    def commits(self) -> list[str]:
        """The titles of the commits of the branch, oldest first, but for the one that made the repository."""
        titles = []
        commit = self.repository.resolve(self.branch)
        while commit.parent is not None:
            titles.append(commit.title)
            commit = self.repository.commits[commit.parent]
        return titles[::-1]

    def read(self, path: str) -> bytes:
        return self.hub.read(self.repo_id, path, self.branch)

    @property
    def spec(self) -> dict[str, Any]:
        """spec.json."""
        found: dict[str, Any] = json.loads(self.read("spec.json"))
        return found

    def table(self, name: str) -> dict[str, Any]:
        """A table's entry in spec.json."""
        (entry,) = [entry for entry in self.spec["tables"] if entry["name"] == name]
        found: dict[str, Any] = entry
        return found

    @property
    def card(self) -> str:
        return self.read("README.md").decode()


def sent_bytes(hub: LocalHub) -> int:
    """The bytes of files that the Hub was sent since its log was cleared."""
    routes = ("lfs_put", "lfs_put_part", "xet_xorb")
    return sum(record.bytes_received for record in hub.requests() if record.route in routes)


def uploads(hub: LocalHub) -> int:
    """How many files the Hub was sent by LFS."""
    return len(hub.requests(route="lfs_put"))
