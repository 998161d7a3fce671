"""A power cut: what was not made durable is gone, and still nothing is recorded that is not there."""

from __future__ import annotations

import fcntl
import os
import random
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.support import Case, FaultWorld, audio_rows, can_mount, chance, wait_for_end_of_group
from tests.faults.warm import WarmRun
from tests.integration.support import kill_group, wait_until

FS_IOC_SHUTDOWN = 0x8004587D
WITHOUT_FLUSHING_THE_LOG = 2
IMAGE_BYTES = 64 << 20
CUTS = 4
MAX_TURNS = 3 * CUTS
NO_MOUNT = can_mount()


@dataclass(frozen=True)
class Disk:
    """An ext4 file system in the file `image`, which stands at `path` while there is power."""

    image: Path
    path: Path

    def make(self) -> None:
        with self.image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        _command("mkfs.ext4", "-q", "-F", str(self.image))

    def mount(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        _command("mount", "-o", "loop", str(self.image), str(self.path))
        lost_and_found = self.path / "lost+found"
        if lost_and_found.exists():
            lost_and_found.rmdir()  # fails if the file system itself has lost anything

    def cut(self) -> None:
        """From here on nothing reaches the disk, not even what it had been given and not been asked to keep."""
        folder = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, FS_IOC_SHUTDOWN, struct.pack("I", WITHOUT_FLUSHING_THE_LOG))
        finally:
            os.close(folder)

    def unmount(self) -> None:
        _command("umount", str(self.path))

    def repair(self) -> None:
        """What a machine does at its start: replay the file system's own log. 1: it was mended."""
        done = subprocess.run(["e2fsck", "-p", self.image], capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stdout + done.stderr


def _command(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


MakeDisk = Callable[[Path], Disk]


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[MakeDisk]:
    """Makes disks that are gone at the end of the test."""
    with ExitStack() as mounted:

        def make(path: Path) -> Disk:
            if NO_MOUNT:
                pytest.skip(f"no disk can be made whose power is cut: {NO_MOUNT}")
            disk = Disk(tmp_path / "disk.img", path)
            disk.make()
            try:
                disk.mount()
            except AssertionError as error:
                pytest.skip(f"no disk can be made whose power is cut: {error}")
            mounted.callback(subprocess.run, ["umount", "--lazy", path], capture_output=True, check=False)
            return disk

        yield make


@pytest.fixture(scope="module")
def audio(quiet: FaultWorld) -> Case:
    return quiet.case("acme/audio", audio_rows(400), made_by=quiet, shards=3, group_rows=50)


@pytest.mark.parametrize("what", ["storage and state", "storage"])
def test_a_power_cut_leaves_no_row_recorded_that_is_not_there(
    world: FaultWorld, audio: Case, make_disk: MakeDisk, what: str
) -> None:
    """Where the state stands on another disk, whose log is flushed on its own, storage gets no help from it."""
    disk = make_disk(world.folder if what == "storage and state" else world.storage)
    world.add(audio.hf_id, "audio")
    os.sync()  # the request itself is not what may be lost
    moments, cuts_at_work = chance(7), 0
    arguments = ["local-sync", audio.request]
    for _ in range(MAX_TURNS):
        if cuts_at_work == CUTS:
            break
        with world.warm_running(*arguments) as run:
            moment = _wait(world, audio, run, moments)
            disk.cut()
            kill_group(run)  # type: ignore[arg-type]  # it has the pid of a process
            run.wait(60)
            assert wait_for_end_of_group(run.pid, 5) == []
        disk.unmount()
        disk.repair()
        disk.mount()
        world.check(audio)
        at_work = bool(world.place(audio).journal().rows)
        cuts_at_work += at_work
        complete = world.place(audio).marker is not None
        arguments = ["local-sync", audio.request, *(["--restart"] if complete else [])]
        print(f"cut {moment}: {len(world.place(audio).recorded().rows)} rows, {complete=}")
    assert cuts_at_work == CUTS, f"only {cuts_at_work} cuts came when rows were recorded"

    assert world.quick_sync(audio.request).code == 0
    world.check(audio, code=0)


def _wait(world: FaultWorld, case: Case, run: WarmRun, moments: random.Random) -> str:
    """Until a moment after some more groups of rows were recorded, or the run has ended."""
    before, more, seconds = _groups(world, case), moments.randint(1, 3), moments.uniform(0, 0.1)
    wait_until(lambda: _groups(world, case) >= before + more or run.poll() is not None)
    time.sleep(seconds)
    return f"{more} groups and {seconds:.3f} s"


def _groups(world: FaultWorld, case: Case) -> int:
    try:
        return (world.state / "journal" / f"{case.name}.jsonl").read_bytes().count(b'"rows":')
    except FileNotFoundError:
        return 0
