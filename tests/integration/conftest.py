"""What every integration test starts from: a running Hub, and a world of folders beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from localhub import LocalHub
from tests.conftest import _safe_environ
from tests.support.world import World


@pytest.fixture(scope="module")
def hub(canaries: Mapping[str, str]) -> Iterator[LocalHub]:
    """A Hub that knows the token which every run of the tests carries; one for all tests of a file."""
    with LocalHub() as running:
        running.add_user("reader", token=canaries["HF_TOKEN"])
        yield running


@pytest.fixture
def world(tmp_path: Path, hub: LocalHub, clean_environ: dict[str, str], canaries: Mapping[str, str]) -> World:
    """An empty checkout."""
    return World.make(tmp_path, hub, clean_environ, canaries)


@pytest.fixture(scope="module")
def shared_world(tmp_path_factory: pytest.TempPathFactory, hub: LocalHub, canaries: Mapping[str, str]) -> World:
    """A checkout for several tests of a file, which look at what one run has made."""
    folder = tmp_path_factory.mktemp("shared")
    return World.make(folder, hub, _safe_environ(folder / "home"), canaries)
