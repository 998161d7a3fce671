"""The nth write, sync, rename or open of a run fails: exit 74, no false record, and the next run continues."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.conftest import _safe_environ
from tests.faults.conftest import NewFolder
from tests.support.faults import Case, FaultWorld, audio_rows, built

# by the folder whose calls fail: what is called there, and how often at least in a run of one worker
CALLS = {
    "storage": {"write": 40, "fsync": 40, "rename": 80, "open": 40, "unlink": 1, "mkdir": 5},
    "state": {"pwrite": 8, "fdatasync": 8, "write": 3, "fsync": 6, "rename": 3, "open": 5, "mkdir": 4},
}
# the Hub's library keeps notes beside what it fetches, which it can do without; what is not deleted is deleted later
NOT_NEEDED = {("storage", call, 2) for call in ("write", "rename", "open", "unlink")}
MOMENTS = [(which, call, nth) for which, calls in CALLS.items() for call, most in calls.items() for nth in (1, 2, most)]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("fail.c", tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def environ(shim: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """All runs, and the workers of runs, have calls that can fail."""
    return _safe_environ(tmp_path_factory.mktemp("home")) | {"LD_PRELOAD": str(shim)}


@pytest.fixture(scope="module")
def new_folder(in_memory: NewFolder) -> NewFolder:
    """What the disk does is decided here."""
    return in_memory


@pytest.fixture(scope="module")
def audio(quiet: FaultWorld) -> Case:
    return quiet.case("acme/audio", audio_rows(100), made_by=quiet, shards=2, group_rows=25)


def _failing(world: FaultWorld, which: str, call: str, nth: int, count: int, number: int) -> dict[str, str]:
    below = str(getattr(world, which))
    return {
        "FAIL_CALL": call,
        "FAIL_NTH": str(nth),
        "FAIL_COUNT": str(count),
        "FAIL_ERRNO": str(number),
        "FAIL_BELOW": below,
    }


def _survives(world: FaultWorld, case: Case, code: int, *, refused: bool) -> None:
    """Nothing is wrong after the fault, and the next run completes the dataset."""
    world.check(case, code=code, progress_refused=refused)
    world.quick("status", "--json").ok()
    world.quick_sync(case.request).ok()
    world.check(case, code=0)


@pytest.mark.parametrize(("which", "call", "nth"), MOMENTS)
def test_one_call_that_fails_ends_the_run_or_is_not_needed(
    world: FaultWorld, audio: Case, which: str, call: str, nth: int
) -> None:
    world.add(audio.hf_id, "audio")
    done = world.quick_sync(audio.request, **_failing(world, which, call, nth, 1, errno.EIO))
    assert done.code in ((0, 74) if (which, call, nth) in NOT_NEEDED else (74,)), done.out + done.err
    if done.code == 74:
        assert done.reason == "io_error"
        assert done.fix
    _survives(world, audio, done.code, refused=which == "state" or call == "unlink")


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(("which", "call"), [("storage", "fsync"), ("storage", "rename"), ("state", "fdatasync")])
def test_a_disk_that_stays_broken_ends_the_run(
    world: FaultWorld, audio: Case, which: str, call: str, workers: str
) -> None:
    world.add(audio.hf_id, "audio")
    done = world.quick_sync(audio.request, **_failing(world, which, call, 9, 0, errno.EIO), WORKERS=workers)
    assert (done.code, done.reason) == (74, "io_error")
    _survives(world, audio, 74, refused=True)


@pytest.mark.parametrize(
    ("number", "reason"), [(errno.EDQUOT, "no_space"), (errno.ENOSPC, "no_space"), (errno.EROFS, "read_only")]
)
@pytest.mark.parametrize("which", ["storage", "state"])
def test_what_the_disk_says_is_told(world: FaultWorld, audio: Case, which: str, number: int, reason: str) -> None:
    call = "write" if which == "storage" else "pwrite"
    world.add(audio.hf_id, "audio")
    done = world.quick_sync(audio.request, **_failing(world, which, call, 5, 0, number))
    assert (done.code, done.reason) == (74, reason)
    assert "run the same command" in done.fix
    _survives(world, audio, 74, refused=which == "state")


@pytest.mark.parametrize("call", ["rename", "fsync", "unlink", "open"])
def test_a_removal_on_a_broken_disk_is_finished_later(world: FaultWorld, audio: Case, call: str) -> None:
    world.quick_sync(world.add(audio.hf_id, "audio")).ok()
    removal = world.remove(audio.hf_id)
    for which in ("storage", "state"):
        done = world.quick("remove", removal, "--json", **_failing(world, which, call, 1, 0, errno.EIO))
        assert done.code in (0, 4, 74), done.out + done.err  # 4: the first time it had been removed already
    assert world.quick("remove", removal).code in (0, 4)
    assert not world.place(audio).folder.exists()
    assert world.place(audio).manifest == {}
    assert len(world.archive()) == 1
    assert not (world.processed / audio.name).is_symlink()
