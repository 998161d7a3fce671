"""A disk that is full, short of inodes, read-only or bounded: exit 74, nothing invalid, and the next run completes."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.support import Case, FaultDone, FaultWorld, can_mount, json_rows
from tests.faults.warm import WarmRun
from tests.integration.support import Done, wait_until

NO_MOUNT = can_mount()
needs_mount = pytest.mark.skipif(NO_MOUNT is not None, reason=f"a disk of a size of its own cannot be had: {NO_MOUNT}")
FAULT = 74
ROWS = 300
ROW_BYTES = 20_000
"""Rows compress well: what they need in storage is far more than what preflight is certain of."""


@dataclass(frozen=True)
class Disk:
    """A tmpfs at `path`."""

    path: Path

    def make(self, options: str) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        _command("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.path))

    def change(self, options: str) -> None:
        _command("mount", "-o", f"remount,{options}", str(self.path))

    def make_read_only(self) -> bool:
        """Whether it could be done: not while a file is open for writing."""
        return (
            subprocess.run(["mount", "-o", "remount,ro", self.path], capture_output=True, check=False).returncode == 0
        )

    @property
    def free_bytes(self) -> int:
        facts = os.statvfs(self.path)
        return facts.f_bavail * facts.f_frsize


def _command(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


@pytest.fixture
def mount() -> Iterator[Callable[[Path, str], Disk]]:
    """Mounts disks that are gone at the end of the test."""
    with ExitStack() as mounted:

        def mount_one(path: Path, options: str) -> Disk:
            disk = Disk(path)
            disk.make(options)
            mounted.callback(_command, "umount", "--lazy", str(path))
            return disk

        yield mount_one


Mount = Callable[[Path, str], Disk]


@pytest.fixture(scope="module")
def texts(quiet: FaultWorld) -> Case:
    return quiet.case("acme/texts", json_rows(ROWS, ROW_BYTES), made_by=quiet, shards=2, group_rows=50)


@pytest.fixture(scope="module")
def small(quiet: FaultWorld) -> Case:
    """Rows of one block each, which is all that preflight counts on."""
    return quiet.case("acme/small", json_rows(ROWS), made_by=quiet, shards=2, group_rows=50)


def fault(world: FaultWorld, case: Case, done: Done, reason: str, *, progress_refused: bool = False) -> FaultDone:
    """A run that ended by a fault of the disk: it says so, and all that is recorded can be read and is right."""
    assert isinstance(done, FaultDone)
    assert (done.code, done.reason) == (FAULT, reason), done.err
    assert done.fix, "a person is not told what to do next"
    world.check(case)
    place = world.place(case)
    # rows in their places without a line in the journal are made again; what is half-written is no one's
    left = [path.name for folder in (place.folder, world.state) for path in folder.rglob("*") if _is_temporary(path)]
    assert left == []
    if not progress_refused and place.folder.exists():
        assert place.progress is not None
        ranges = place.progress["resume_data"]["completed_rows"]
        rows = {row for first, last in ranges for row in range(first, last + 1)}
        assert (place.progress["status"], rows) == ("failed", place.recorded().done)
    return done


def _is_temporary(path: Path) -> bool:
    return path.is_file() and (path.name.endswith(".tmp") or path.parent.name == "tmp")


def completes(world: FaultWorld, case: Case) -> None:
    done = world.quick_sync(case.request)
    assert done.code == 0, done.err
    world.check(case, code=0)


def recorded_some(world: FaultWorld, case: Case) -> None:
    rows = len(world.place(case).recorded().done)
    assert 0 < rows < case.rows, f"{rows} rows: the fault was not in the middle of the work"


# -- the disk of the datasets ----------------------------------------------------------------------------------------


@needs_mount
def test_a_disk_that_fills_up(world: FaultWorld, texts: Case, mount: Mount) -> None:
    world.add(texts.hf_id, "texts")
    disk = mount(world.storage, "size=3m")
    fault(world, texts, world.quick_sync(texts.request), "no_space")
    recorded_some(world, texts)
    fault(world, texts, world.quick_sync(texts.request), "preflight")  # still full, which is certain by now
    disk.change("size=64m")
    completes(world, texts)


@needs_mount
def test_a_disk_that_is_clearly_too_small_is_refused_before_the_first_byte(
    world: FaultWorld, small: Case, mount: Mount
) -> None:
    world.add(small.hf_id, "small")
    disk = mount(world.storage, "size=512k")
    done = fault(world, small, world.quick_sync(small.request), "preflight")
    assert "not enough space" in (done.result["error"] or "")
    assert not world.place(small).folder.exists()
    disk.change("size=64m")
    completes(world, small)


@needs_mount
def test_a_disk_that_runs_out_of_inodes(world: FaultWorld, small: Case, mount: Mount) -> None:
    world.add(small.hf_id, "small")
    # what the files need and its own root: nothing is left for folders and the temporary files of workers
    disk = mount(world.storage, f"size=64m,nr_inodes={ROWS + 1}")
    fault(world, small, world.quick_sync(small.request), "no_space")
    recorded_some(world, small)
    disk.change("nr_inodes=5000")
    completes(world, small)


@needs_mount
def test_a_disk_with_too_few_inodes_is_refused_before_the_first_byte(
    world: FaultWorld, small: Case, mount: Mount
) -> None:
    world.add(small.hf_id, "small")
    disk = mount(world.storage, f"size=64m,nr_inodes={ROWS // 2}")
    done = fault(world, small, world.quick_sync(small.request), "preflight")
    assert "not enough inodes" in (done.result["error"] or "")
    disk.change("nr_inodes=5000")
    completes(world, small)


@needs_mount
def test_a_disk_that_becomes_read_only_in_the_middle(world: FaultWorld, texts: Case, mount: Mount) -> None:
    world.add(texts.hf_id, "texts")
    disk = mount(world.storage, "size=64m")
    with world.warm_running("local-sync", texts.request, "--json") as run:
        wait_until(lambda: world.place(texts).journal().rows)
        wait_until(disk.make_read_only, every_s=0)
        done = ended(run)
    # nothing can be swept away from such a disk: what is asked of an ended run is asked of the next one
    assert (done.code, done.reason) == (FAULT, "read_only"), done.err
    world.check(texts)
    recorded_some(world, texts)
    again = world.quick_sync(texts.request)
    assert (again.code, again.reason) == (FAULT, "read_only"), again.err
    world.check(texts)
    disk.change("rw")
    completes(world, texts)


def ended(run: WarmRun) -> FaultDone:
    out, err = run.communicate(60)
    assert run.returncode is not None
    return FaultDone(run.returncode, out, err)


# -- the disk of the state -------------------------------------------------------------------------------------------


@needs_mount
def test_a_disk_of_the_state_that_fills_up(world: FaultWorld, small: Case, mount: Mount) -> None:
    world.add(small.hf_id, "small")
    disk = mount(world.state, "size=64m")
    filler = world.state / "filler"
    with world.warm_running("local-sync", small.request, "--json") as run:
        wait_until(lambda: world.place(small).journal().rows)
        fill(filler, disk)
        done = ended(run)
    fault(world, small, done, "no_space", progress_refused=True)
    recorded_some(world, small)
    filler.unlink()
    completes(world, small)


def fill(path: Path, disk: Disk) -> None:
    """Leave no free page."""
    with path.open("wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, disk.free_bytes - (1 << 20))
        file.seek(0, os.SEEK_END)
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


@needs_mount
def test_a_disk_of_the_state_that_is_full_from_the_beginning(world: FaultWorld, small: Case, mount: Mount) -> None:
    world.add(small.hf_id, "small")
    disk = mount(world.state, "size=64m")
    fill(world.state / "filler", disk)
    fault(world, small, world.quick_sync(small.request), "no_space", progress_refused=True)
    assert not world.place(small).recorded().rows
    (world.state / "filler").unlink()
    completes(world, small)


@needs_mount
def test_a_disk_of_the_state_that_is_read_only_when_work_goes_on(world: FaultWorld, small: Case, mount: Mount) -> None:
    world.add(small.hf_id, "small")
    disk = mount(world.state, "size=64m")
    assert world.quick_sync(small.request, HUGFLOW_FAILPOINT="journal_after:2").code < 0
    recorded_some(world, small)
    disk.change("ro")
    done = world.quick_sync(small.request)
    assert (done.code, done.reason) == (FAULT, "read_only"), done.err
    world.check(small)
    disk.change("rw")
    completes(world, small)


# -- the size of files -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(quiet: FaultWorld) -> Case:
    """A row's JSON is many times larger than the shard that it comes from."""
    return quiet.case("acme/large", json_rows(6, 400_000), made_by=quiet, shards=6)


@pytest.mark.parametrize(
    ("kind", "limit", "doing"),
    [("texts", 10_000, "fetching data/"), ("large", 100_000, "writing rows"), ("small", 16_000, "journal")],
    ids=["a shard", "a row's file", "the journal"],
)
def test_a_bound_on_the_size_of_files(
    world: FaultWorld, request: pytest.FixtureRequest, kind: str, limit: int, doing: str
) -> None:
    """As `ulimit -f` sets it: a larger file is refused (EFBIG)."""
    case: Case = request.getfixturevalue(kind)
    world.add(case.hf_id, kind)
    with world.warm_running("local-sync", case.request, "--json") as run:
        resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (limit, limit))
        done = ended(run)
    fault(world, case, done, "no_space")
    assert doing in (done.result["error"] or "")
    assert world.place(case).marker is None
    completes(world, case)
