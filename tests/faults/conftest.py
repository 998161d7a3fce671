"""What every fault test starts from: a Hub, and a world beside it whose runs start quickly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from localhub import LocalHub
from tests.conftest import _safe_environ
from tests.faults.support import FaultWorld
from tests.faults.warm import WarmStart

MakeWorld = Callable[[str], FaultWorld]


@pytest.fixture(scope="module")
def hub(canaries: Mapping[str, str]) -> Iterator[LocalHub]:
    """A Hub that knows the token which every run of the tests carries; one for all tests of a file."""
    with LocalHub() as running:
        running.add_user("reader", token=canaries["HF_TOKEN"])
        yield running


@pytest.fixture(scope="module")
def make_world(
    hub: LocalHub, canaries: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeWorld]:
    """Makes worlds of their own, which share the process that starts their runs."""
    home = tmp_path_factory.mktemp("home")
    environ = _safe_environ(home)
    with WarmStart(environ | {"HF_ENDPOINT": hub.url, "RETRY_BACKOFF": "0.02"}) as warm:
        yield lambda name: FaultWorld.beside(tmp_path_factory.mktemp(name), hub, environ, canaries, warm)


@pytest.fixture(scope="module")
def quiet(make_world: MakeWorld) -> FaultWorld:
    """Where nothing goes wrong: it makes the references."""
    return make_world("quiet")


@pytest.fixture
def world(make_world: MakeWorld, hub: LocalHub) -> Iterator[FaultWorld]:
    """An empty world for one test."""
    yield make_world("world")
    hub.faults.clear()
