"""A power cut loses what the file system had not made durable: no recorded row may lack its files.

A loop-mounted ext4 is shut down by its own ioctl, without writing back what it holds, checked, and mounted again.
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.faults import Case, FaultWorld, audio_rows, chance, json_rows, mounted
from tests.support.world import wait_until

SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN: _IOR('X', 125, __u32), linux/fs.h
NO_LOG_FLUSH = 2
IMAGE_BYTES = 64 << 20
CUTS = 5
MENDED = (0, 1)  # of e2fsck: nothing was wrong, or it is right again


@dataclass(frozen=True)
class Disk:
    """An ext4 in the file `image`, which stands at `path` while there is power."""

    image: Path
    path: Path

    def make(self) -> None:
        if shutil.which("mkfs.ext4") is None or shutil.which("e2fsck") is None:
            pytest.skip("there is no mkfs.ext4 or no e2fsck")
        with self.image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self.image)], check=True)

    @contextmanager
    def on(self) -> Iterator[None]:
        """As a machine starts: the file system replays its own log, and is mounted."""
        done = subprocess.run(["e2fsck", "-p", str(self.image)], capture_output=True, text=True, check=False)
        assert done.returncode in MENDED, done.stdout + done.stderr
        with mounted(self.path, "-o", "loop", str(self.image)):
            lost_and_found = self.path / "lost+found"
            if lost_and_found.exists():
                lost_and_found.rmdir()  # fails if the file system itself has lost anything
            yield

    def cut(self) -> None:
        """From here on nothing reaches the disk, not even what it had been given and not been asked to keep."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, NO_LOG_FLUSH.to_bytes(4, "little"))
        except OSError as error:
            pytest.skip(f"this file system cannot be shut down: {error.strerror}")
        finally:
            os.close(descriptor)


@pytest.fixture(scope="module")
def cases(quiet: FaultWorld) -> dict[str, Case]:
    return {
        "audio": quiet.case("acme/audio", audio_rows(300), made_by=quiet, shards=2, group_rows=50),
        "texts": quiet.case("acme/texts", json_rows(900), made_by=quiet, shards=2, group_rows=100),
    }


@pytest.mark.soak
@pytest.mark.parametrize(
    ("on_the_disk", "kind", "workers", "seed"),
    [("everything", "audio", 2, 21), ("storage", "audio", 2, 22), ("everything", "texts", 1, 23)],
)
def test_no_row_is_recorded_whose_files_a_power_cut_took(
    world: FaultWorld, cases: dict[str, Case], on_the_disk: str, kind: str, workers: int, seed: int
) -> None:
    """Where the state stands on another disk, whose log is flushed on its own, storage gets no help from it."""
    disk = Disk(world.folder.parent / "disk.img", world.folder if on_the_disk == "everything" else world.storage)
    disk.make()
    case, moments = cases[kind], chance(seed)
    with disk.on():
        world.add(case.hf_id, kind)
    at_work, arguments = 0, list[str]()
    for _ in range(CUTS):
        with disk.on():
            _run_until_the_power_goes(world, disk, moments, "local-sync", case.request, *arguments, workers=workers)
        with disk.on():
            world.check(case)
            at_work += bool(world.place(case).journal().rows)
            arguments = ["--restart"] if world.place(case).marker is not None else []
    assert at_work >= CUTS // 2, "the power went before anything was done"
    with disk.on():
        world.quick_sync(case.request).ok()
        world.check(case, code=0)


def _run_until_the_power_goes(
    world: FaultWorld, disk: Disk, moments: random.Random, *arguments: str, workers: int
) -> None:
    """Until a moment after some more groups of rows were recorded, or the run has ended."""
    before, more = _groups(world), moments.randint(1, 3)
    with world.warm_running(*arguments, WORKERS=str(workers)) as run:
        wait_until(lambda: _groups(world) >= before + more or run.poll() is not None)
        time.sleep(moments.uniform(0, 0.1))
        disk.cut()


def _groups(world: FaultWorld) -> int:
    journals = world.state / "journal"
    return sum(path.read_bytes().count(b'"rows":') for path in journals.glob("*.jsonl")) if journals.is_dir() else 0


@pytest.mark.soak
def test_what_a_power_cut_leaves_of_a_restart_and_of_a_removal(world: FaultWorld, cases: dict[str, Case]) -> None:
    disk = Disk(world.folder.parent / "disk.img", world.folder)
    disk.make()
    case, moments = cases["texts"], chance(24)
    with disk.on():
        request, removal = world.add(case.hf_id, "texts"), world.remove(case.hf_id)
        world.quick_sync(request).ok()
    for arguments in (("local-sync", request, "--restart"), ("remove", removal), ("local-sync", request)) * 2:
        with disk.on(), world.warm_running(*arguments):
            time.sleep(moments.uniform(0.05, 0.5))
            disk.cut()
        with disk.on():
            world.check(case)
            world.quick_sync(request).ok()
            world.check(case, code=0)
