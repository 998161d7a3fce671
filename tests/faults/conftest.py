"""Fixtures of the fault tests: a Hub, and a world whose runs start quickly."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from localhub import LocalHub
from tests.conftest import _safe_environ
from tests.support.faults import FaultWorld
from tests.support.warm import WarmStart

MakeWorld = Callable[[str], FaultWorld]
NewFolder = Callable[[str], Path]
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 512 << 20


@pytest.fixture(scope="module")
def hub(canaries: Mapping[str, str]) -> Iterator[LocalHub]:
    """A Hub that knows the token which every run of the tests carries; one for all tests of a file."""
    with LocalHub() as running:
        running.add_user("reader", token=canaries["HF_TOKEN"])
        yield running


@pytest.fixture(scope="module")
def new_folder(tmp_path_factory: pytest.TempPathFactory) -> NewFolder:
    """Makes the folders in which worlds are: on the disk, but in files that say `in_memory`."""
    return tmp_path_factory.mktemp


@pytest.fixture(scope="module")
def in_memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewFolder]:
    """For files with many runs that ask nothing of the disk: half of a small run's time is waiting for it."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < MEMORY_BYTES:
        yield tmp_path_factory.mktemp
        return
    with tempfile.TemporaryDirectory(prefix="hugflow-", dir=MEMORY) as parent:
        numbers = itertools.count()

        def make(name: str) -> Path:
            folder = Path(parent) / f"{name}{next(numbers)}"
            folder.mkdir()
            return folder

        yield make


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What every run of the file's tests has in its environment."""
    return _safe_environ(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def make_world(
    hub: LocalHub, canaries: Mapping[str, str], environ: dict[str, str], new_folder: NewFolder
) -> Iterator[MakeWorld]:
    """Makes worlds of their own, which share the process that starts their runs."""
    with WarmStart(environ | {"HF_ENDPOINT": hub.url, "RETRY_BACKOFF": "0.02"}) as warm:
        yield lambda name: FaultWorld.beside(new_folder(name), hub, environ, canaries, warm)


@pytest.fixture(scope="module")
def quiet(make_world: MakeWorld) -> FaultWorld:
    """Where nothing goes wrong: it makes the references."""
    return make_world("quiet")


@pytest.fixture
def world(make_world: MakeWorld, hub: LocalHub) -> Iterator[FaultWorld]:
    """An empty world for one test."""
    yield make_world("world")
    hub.faults.clear()
