"""A worker that crashes, hangs, raises or exhausts memory costs one row; workers end with their parent."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping

import pytest

from tests.support.faults import Case, FaultWorld, audio_rows, json_rows, wait_for_end_of_group
from tests.support.world import group_members, wait_until

ROWS = 150
ACTIONS = {
    "crash": "worker_crashed",
    "hang": "row_timeout",
    "memory": "out_of_memory",
    "raise": "internal_error",
}
LIMITS = {"ROW_TIMEOUT": "2", "WORKER_MEMORY_MB": "256"}
NOT_SO_SOON = {"ROW_TIMEOUT": "600", "WORKERS": "2"}


@pytest.fixture(scope="module")
def cases(quiet: FaultWorld) -> Mapping[str, Case]:
    return {
        "audio": quiet.case("acme/audio", audio_rows(ROWS), made_by=quiet, shards=2, group_rows=50),
        "json": quiet.case("acme/json", json_rows(ROWS), made_by=quiet, shards=2, group_rows=50),
    }


@pytest.mark.parametrize(
    ("action", "kind", "workers", "row"),
    [
        ("crash", "audio", "2", 70),
        ("crash", "json", "2", ROWS - 1),
        ("hang", "audio", "2", 70),
        ("memory", "audio", "2", 0),
        ("raise", "audio", "2", 70),
        ("raise", "audio", "1", 70),  # one worker is the run's own process: the other actions are for real workers
    ],
)
def test_a_bad_row_fails_alone_and_is_mended(
    world: FaultWorld, cases: Mapping[str, Case], action: str, kind: str, workers: str, row: int
) -> None:
    case = cases[kind]
    world.add(case.hf_id, kind)
    limits = LIMITS | {"WORKERS": workers}

    done = world.quick_sync(case.request, HUGFLOW_FAILPOINT=f"row:{row}:{action}", **limits)
    assert done.code == 3, done.err
    assert [(error["row"], error["reason"]) for error in done.result["errors"]] == [(row, ACTIONS[action])]
    world.check(case, code=3)
    recorded = world.place(case).recorded()
    assert (recorded.failed, len(recorded.done)) == ({row}, ROWS - 1)

    again = world.quick_sync(case.request, "--retry-failed", **limits)
    assert again.code == 0, again.err
    world.check(case, code=0)


@pytest.mark.parametrize("action", ["hang", None], ids=["a worker hangs", "workers work"])
def test_no_worker_outlives_its_parent(world: FaultWorld, cases: Mapping[str, Case], action: str | None) -> None:
    case = cases["audio"]
    world.add(case.hf_id, "audio")
    failpoint = {"HUGFLOW_FAILPOINT": f"row:0:{action}"} if action else {}
    with world.warm_running("local-sync", case.request, **NOT_SO_SOON, **failpoint) as run:
        # a worker that hangs must have come to it, or it would end by itself when it next has something to say
        rows = ROWS // 2 if action else 1
        wait_until(lambda: len(world.place(case).journal().rows) >= rows)
        time.sleep(1 if action else 0)
        assert len(group_members(run.pid)) > 1, "no worker is there that could outlive its parent"
        os.kill(run.pid, signal.SIGKILL)
        assert run.wait(60) == -signal.SIGKILL
        assert wait_for_end_of_group(run.pid, 5) == []
    world.check(case)

    assert world.quick_sync(case.request).code == 0
    world.check(case, code=0)
