"""A clock that jumps a day ahead or back before or during a run: no lock is stolen, no row is lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from localhub import Fault, LocalHub
from tests.support.faults import FaultWorld, audio_rows, built, json_rows
from tests.support.world import wait_until

DAY_S = 86_400
MOVES = (DAY_S, -DAY_S)
SetClock = Callable[[int], None]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("clock.c", tmp_path_factory.mktemp("shim"))


@pytest.fixture
def clock(shim: Path, tmp_path: Path) -> tuple[SetClock, dict[str, str]]:
    """Sets how many seconds a clock is ahead; and the environment of processes that have this clock."""
    offset, new = tmp_path / "offset", tmp_path / "offset.new"

    def set_ahead(seconds: int) -> None:
        new.write_text(str(seconds))
        new.replace(offset)  # at once, for whoever reads it meanwhile

    return set_ahead, {"LD_PRELOAD": str(shim), "CLOCK_OFFSET": str(offset)}


def test_a_clock_that_jumps_during_a_run(
    world: FaultWorld, quiet: FaultWorld, clock: tuple[SetClock, dict[str, str]]
) -> None:
    case = world.case("acme/jumps", audio_rows(300), made_by=quiet, shards=2, group_rows=50)
    set_ahead, environ = clock
    jumps, seen = itertools.cycle(MOVES), set()
    with world.running("local-sync", case.request, "--json", WORKERS="2", ROW_TIMEOUT="5", **environ) as run:

        def over() -> bool:
            seconds = next(jumps)
            set_ahead(seconds)
            if world.place(case).journal().rows:
                seen.add(seconds)
            return run.poll() is not None

        wait_until(over, 120, every_s=0.02)
        out, err = run.communicate()
    assert run.returncode == 0, out + err
    assert seen == set(MOVES), "the clock did not jump while rows were written"
    world.check(case, code=0)


@pytest.mark.parametrize("seconds", MOVES)
def test_no_lock_is_stolen(
    world: FaultWorld, quiet: FaultWorld, hub: LocalHub, clock: tuple[SetClock, dict[str, str]], seconds: int
) -> None:
    case = world.case(world.new_id(), json_rows(30), made_by=quiet)
    slow = hub.faults.add(Fault(route="/resolve/.*parquet", method="GET", after=1, delay_s=20))
    set_ahead, environ = clock
    set_ahead(seconds)
    with world.warm_running("local-sync", case.request, "--json") as first:
        wait_until(lambda: hub.faults.fired(slow) > 0, 60)
        second = world.run("local-sync", case.request, "--json", **environ)
        assert second.code == 6
        assert f"process {first.pid} on " in second.result["error"]
    world.check(case)
