"""Environment of a job: settings of a checkout are not read, and processes that read datasets get no secrets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from localhub import Fault
from tests.conftest import CANARIES
from tests.support.pull_requests import Runner, add, serving, speech
from tests.support.world import World, wait_until

COLD_STARTS = True  # the environments of processes are what is tested here


@pytest.fixture(scope="module")
def runner(shared_world: World) -> Iterator[Runner]:
    """A server with two datasets."""
    shared_world.serve("acme/small", speech(2, seed=20))
    shared_world.serve("acme/voices", speech(6), shards=2)
    with serving(shared_world) as runner:
        yield runner.with_bot()


def test_a_job_does_not_read_the_settings_of_a_checkout(runner: Runner) -> None:
    settings = runner.world.folder / ".env"
    settings.write_text("AUTO_MERGE=true\nMAX_RETRIES=0\nLOG_LEVEL=nonsense\n")
    number = runner.propose({"requests/add/small.yaml": add("acme/small")})
    runner.sync(number).ended(0)
    assert runner.state.pulls[number].merged_as is None
    assert runner.world.run("status", STORAGE_ROOT=str(runner.storage)).code == 2, "outside of Actions it is read"
    settings.unlink()


def test_workers_and_readers_get_no_secret(runner: Runner) -> None:
    number = runner.propose({"requests/add/voices.yaml": add("acme/voices")}, "voices")
    fault = runner.hub.faults.add(Fault(route="acme/voices", method="GET", delay_s=0.4))
    seen: dict[str, str] = {}
    token = {"GH_ENTERPRISE_TOKEN": CANARIES["GITHUB_TOKEN"], "SOMEBODYS": CANARIES["GITHUB_TOKEN"]}
    with runner.running("sync", "--ci-mode", event=runner.pull_event(number), WORKERS="2", **token) as running:

        def both_kinds() -> bool:
            seen.update(environments(running.process.pid))
            return any("download.worker" in each for each in seen) and any("limited_process" in each for each in seen)

        wait_until(both_kinds)
        running.end().ended(0)
    assert runner.hub.faults.fired(fault)
    for command, environment in seen.items():
        found = [name for name, secret in CANARIES.items() if secret in environment]
        assert found == [], f"{command} has {found}"
        assert "PATH=" in environment
    runner.hub.faults.clear()


def environments(parent: int) -> dict[str, str]:
    """The environments of the Python processes below one, by their commands."""
    parents = {int(folder.name): parent_of(folder) for folder in Path("/proc").iterdir() if folder.name.isdecimal()}
    below = {parent}
    while more := {pid for pid, its in parents.items() if its in below} - below:
        below |= more
    found: dict[str, str] = {}
    for pid in below - {parent}:
        with suppress(OSError):  # it has ended
            command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
            if "hugflow" in command and "-m hugflow" not in command:  # until `exec` it is the parent's own
                found[command] = Path(f"/proc/{pid}/environ").read_text(errors="replace")
    return found


def parent_of(folder: Path) -> int:
    """The parent of a process; 0 when it has ended."""
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
