"""Fixtures of the pull-request tests: a repository on the GitHub double, and a run with prepared outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.doubles.github import GitHub as Server
from tests.support.github_helpers import new_state
from tests.support.gitops_rig import Rig, add


@pytest.fixture
def server(canaries: Mapping[str, str]) -> Iterator[Server]:
    """A repository with a request that the pull request will delete."""
    state = new_state(canaries["GITHUB_TOKEN"])
    state.commit("main", {"requests/add/old.yaml": add("old")})
    with Server(state) as running:
        yield running


@pytest.fixture
def rig(server: Server, canaries: Mapping[str, str]) -> Rig:
    """A run with prepared outcomes."""
    return Rig(server, canaries["GITHUB_TOKEN"])
