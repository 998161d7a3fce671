"""Many processes on one storage: each dataset gets into the manifest, and no two process the same one."""

from __future__ import annotations

import re
from contextlib import ExitStack

from localhub import Fault, LocalHub
from tests.support.faults import FaultWorld, json_rows
from tests.support.world import wait_until

PROCESSES = 20


def test_twenty_processes_on_twenty_datasets(world: FaultWorld, quiet: FaultWorld) -> None:
    cases = [world.case(f"acme/many-{number}", json_rows(12), made_by=quiet) for number in range(PROCESSES)]
    with ExitStack() as stack:
        runs = [stack.enter_context(world.warm_running("local-sync", case.request, "--json")) for case in cases]
        codes = [run.wait(240) for run in runs]
    assert codes == [0] * PROCESSES
    for case in cases:
        world.check(case, code=0)
    listed = world.quick("status", "--json").json["datasets"]
    assert {dataset["name"] for dataset in listed if dataset["state"] == "complete"} == {case.name for case in cases}


def test_the_second_process_on_a_dataset_names_the_first(world: FaultWorld, quiet: FaultWorld, hub: LocalHub) -> None:
    case = world.case("acme/contended", json_rows(30), made_by=quiet)
    slow = hub.faults.add(Fault(route="/resolve/.*parquet", method="GET", after=1, delay_s=8))
    with world.warm_running("local-sync", case.request, "--json") as first:
        wait_until(lambda: hub.faults.fired(slow) > 0, 60)
        second = world.quick_sync(case.request)
        assert second.code == 6
        assert second.reason == "locked"
        assert re.search(rf"process {first.pid} on \S+, since \d{{4}}-", second.json["results"][0]["error"])
        hub.faults.clear()
        assert first.wait(120) == 0
    world.check(case, code=0)
