"""SIGKILL at random moments, repeatedly: no row is lost or done twice, and the final bytes are the same."""

from __future__ import annotations

import json
import random
import time

import pytest

from localhub import LocalHub
from tests.support.faults import GROUP_ROWS, Case, FaultWorld, audio_rows, chance, json_rows
from tests.support.warm import WarmRun
from tests.support.world import group_members, kill_group, wait_until

KILLS, FEW_KILLS = 40, 4


@pytest.fixture(scope="module")
def cases(quiet: FaultWorld, hub: LocalHub) -> dict[str, Case]:
    """Datasets on which a run takes about a second, of several kinds."""
    lines = "".join(json.dumps(row) + "\n" for row in json_rows(400))
    hub.add_dataset("acme/lines")
    hub.commit("acme/lines", {f"train-{n}.jsonl": lines.encode() for n in range(2)})
    return {
        "json": quiet.case("acme/json", json_rows(1_000), made_by=quiet, shards=3, group_rows=90),
        "audio": quiet.case("acme/audio", audio_rows(300), made_by=quiet, shards=2, group_rows=50),
        "lines": quiet.known("acme/lines", 800, made_by=quiet),
    }


@pytest.mark.parametrize(
    ("kind", "workers", "seed", "kills"),
    [
        ("json", 2, 6, FEW_KILLS),
        ("audio", 2, 7, FEW_KILLS),
        pytest.param("json", 2, 1, KILLS, marks=pytest.mark.soak),
        pytest.param("json", 1, 2, KILLS, marks=pytest.mark.soak),
        pytest.param("audio", 2, 3, KILLS, marks=pytest.mark.soak),
        pytest.param("audio", 1, 4, KILLS, marks=pytest.mark.soak),
        pytest.param("lines", 2, 5, KILLS, marks=pytest.mark.soak),
    ],
)
def test_kills_at_random_moments_lose_and_double_nothing(
    world: FaultWorld, cases: dict[str, Case], kind: str, workers: int, seed: int, kills: int
) -> None:
    case, moments = cases[kind], chance(seed)
    world.add(case.hf_id, case.hf_id.rpartition("/")[2])
    killed = at_work = 0
    arguments = ["local-sync", case.request]
    while killed < kills:
        before = world.unrecorded(case)
        with world.warm_running(*arguments, WORKERS=str(workers)) as run:
            _wait(world, case, moments, run)
            code = run.poll()
            kill_group(run)
            run.wait(60)
            wait_until(lambda: not group_members(run.pid), 5)
        if code is not None:
            assert code == 0
            world.check(case, code=0)
            arguments = ["local-sync", case.request, "--restart"]  # which may be killed as well
            continue
        killed += 1
        world.check(case)
        at_work += bool(world.place(case).journal().rows)
        if "--restart" not in arguments:
            redone = world.unrecorded(case) - before
            assert len(redone) <= GROUP_ROWS, f"{len(redone)} rows are made again"
        arguments = ["local-sync", case.request]
    assert world.quick_sync(case.request, WORKERS=str(workers)).code == 0
    world.check(case, code=0)
    assert at_work >= kills // 2, f"only {at_work} of {kills} runs were killed at work"


def _wait(world: FaultWorld, case: Case, moments: random.Random, run: WarmRun) -> None:
    """Until any moment, or until a moment after rows were recorded."""
    if moments.random() < 0.3:
        time.sleep(moments.uniform(0, 1.5))
        return
    before = _lines(world, case)
    wait_until(lambda: _lines(world, case) > before + 1 or run.poll() is not None, every_s=0.002)
    time.sleep(moments.uniform(0, 0.1))


def _lines(world: FaultWorld, case: Case) -> int:
    try:
        return (world.state / "journal" / f"{case.name}.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0
