"""Fixtures of the integration tests: a running Hub, and a world of folders beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from localhub import LocalHub
from tests.conftest import _safe_environ
from tests.support.warm import WarmStarts
from tests.support.world import World


@pytest.fixture(scope="module")
def hub(canaries: Mapping[str, str]) -> Iterator[LocalHub]:
    """A Hub that knows the token which every run of the tests carries; one for all tests of a file."""
    with LocalHub() as running:
        running.add_user("reader", token=canaries["HF_TOKEN"])
        yield running


@pytest.fixture(scope="module")
def starts(request: pytest.FixtureRequest) -> Iterator[WarmStarts | None]:
    """Quick starts for the runs of a file; None where it says `COLD_STARTS`, because it tests the process itself."""
    if getattr(request.module, "COLD_STARTS", False):
        yield None
        return
    starts = WarmStarts()
    yield starts
    starts.close()


@pytest.fixture
def world(
    tmp_path: Path,
    hub: LocalHub,
    clean_environ: dict[str, str],
    canaries: Mapping[str, str],
    starts: WarmStarts | None,
) -> World:
    """An empty checkout."""
    return World.make(tmp_path, hub, clean_environ, canaries, starts)


@pytest.fixture(scope="module")
def shared_world(
    tmp_path_factory: pytest.TempPathFactory,
    hub: LocalHub,
    canaries: Mapping[str, str],
    starts: WarmStarts | None,
) -> World:
    """A checkout for several tests of a file, which look at what one run has made."""
    folder = tmp_path_factory.mktemp("shared")
    return World.make(folder, hub, _safe_environ(folder / "home"), canaries, starts)
