"""Helpers of the fault tests: small datasets of several kinds, quick runs, and the checker applied to a world."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from localhub import LocalHub
from tests.support.invariants import BrokenInvariant, Canary, Place, check, strict_json, tree, unrecorded
from tests.support.warm import WarmRun, WarmStart
from tests.support.world import Done, World, audio_cell, clip, kill_group, sound_file

GROUP_ROWS = 64
__all__ = [
    "GROUP_ROWS",
    "BrokenInvariant",
    "Canary",
    "Case",
    "FaultDone",
    "FaultWorld",
    "Place",
    "audio_rows",
    "built",
    "chance",
    "json_rows",
    "tree",
]


def json_rows(count: int, text_bytes: int = 20) -> list[dict[str, Any]]:
    """Rows without audio, of about `text_bytes` bytes that compress well."""
    return [{"id": number, "text": f"row {number} ".ljust(text_bytes, ".")} for number in range(count)]


def audio_rows(count: int) -> list[dict[str, Any]]:
    """Very short clips, and here and there a row whose audio is null."""
    sounds = [sound_file(clip(seed, 0.1, 8_000), 8_000) for seed in range(20)]
    cells = [audio_cell(sounds[n % 20], f"{n % 5}.wav") if n % 50 != 30 else None for n in range(count)]
    return [{"audio": cell, "text": f"sentence {number}"} for number, cell in enumerate(cells)]


@dataclass(frozen=True)
class Case:
    """A dataset on the Hub with what an uninterrupted run makes of it."""

    hf_id: str
    rows: int
    reference: Mapping[str, str]

    @property
    def name(self) -> str:
        return f"{self.hf_id.replace('/', '__')}__split_train__rev_main"

    @property
    def request(self) -> str:
        return f"requests/add/{self.hf_id.rpartition('/')[2]}.yaml"


class FaultDone(Done):
    """How a run ended; what went wrong stands in its result, or in place of one when there was nothing to do yet."""

    @property
    def reason(self) -> str | None:
        return self._error("reason")

    @property
    def fix(self) -> str:
        return self._error("fix") or ""

    def _error(self, field: str) -> str | None:
        found: str | None = (self.json.get("error") or self.result)[field]
        return found


@dataclass
class FaultWorld(World):
    """A checkout whose runs start quickly where `warm` is given, with a canary beside it."""

    warm: WarmStart | None = None
    canary: Canary | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    def beside(
        cls,
        folder: Path,
        hub: LocalHub,
        environ: Mapping[str, str],
        secrets: Mapping[str, str],
        warm: WarmStart | None = None,
    ) -> FaultWorld:
        """An empty checkout in `folder`."""
        checkout = folder / "checkout"
        checkout.mkdir(parents=True)
        # one worker: where several matter a test says so, because each of them takes a second to start
        settings = {"WORKERS": "1", "RETRY_BACKOFF": "0.02", "OUTAGE_PATIENCE": "0"}
        canary = Canary.plant(folder / "canary")
        return cls(checkout, hub, {**environ, **settings}, secrets, warm=warm, canary=canary)

    @contextmanager
    def warm_running(self, *arguments: str, max_file_bytes: int = 0, **environ: str) -> Iterator[WarmRun]:
        """Like `running`, but quick: a fork of a process that has imported everything."""
        assert self.warm is not None
        output = self.folder.parent / f"run-{next(self._numbers)}"
        run = self.warm.start(arguments, self.folder, self.env | environ, output, max_file_bytes)
        try:
            yield run
        finally:
            kill_group(run)
            run.wait(60)
            run.close()

    def quick(self, *arguments: str, timeout: float = 120, max_file_bytes: int = 0, **environ: str) -> FaultDone:
        """Run the command to its end, started quickly."""
        with self.warm_running(*arguments, max_file_bytes=max_file_bytes, **environ) as run:
            out, err = run.communicate(timeout)
        self.check_no_secret(out, err)
        assert run.returncode is not None
        return FaultDone(run.returncode, out, err)

    def quick_sync(self, request: str, *arguments: str, **options: Any) -> FaultDone:
        """`hugflow local-sync --json`, started quickly."""
        return self.quick("local-sync", request, "--json", *arguments, **options)

    # -- datasets -----------------------------------------------------------------------------------------------------

    def case(self, hf_id: str, rows: Sequence[Mapping[str, Any]], *, made_by: FaultWorld, **packing: Any) -> Case:
        """Serve rows, and let an uninterrupted run of one worker in `made_by` make the reference."""
        made_by.serve(hf_id, rows, **packing)
        return self.known(hf_id, len(rows), made_by=made_by)

    def known(self, hf_id: str, rows: int, *, made_by: FaultWorld, **fields: Any) -> Case:
        """A dataset that is on the Hub already, and its reference."""
        name = hf_id.rpartition("/")[2]
        request = made_by.add(hf_id, name, **fields)
        self.add(hf_id, name, **fields)
        runs = made_by.quick_sync if made_by.warm else made_by.sync
        runs(request).ok()
        case = Case(hf_id, rows, {})
        made_by.check(case, code=0)
        return Case(hf_id, rows, tree(made_by.storage / case.name))

    # -- judgement ----------------------------------------------------------------------------------------------------

    def check(
        self, case: Case, *, code: int | None = None, progress_refused: bool = False, others_killed: bool = False
    ) -> None:
        """All invariants of one dataset in this world."""
        check(
            self.storage,
            self.state,
            case.name,
            rows_total=case.rows,
            code=code,
            reference_tree=case.reference or None,
            canary=self.canary,
            progress_refused=progress_refused,
            others_killed=others_killed,
        )

    def place(self, case: Case) -> Place:
        return Place(self.storage, self.state, case.name)

    def archive(self) -> list[dict[str, Any]]:
        """What was removed, as the state directory tells it."""
        path = self.state / "archived.json"
        removed: list[dict[str, Any]] = strict_json(path.read_bytes())["removed"] if path.exists() else []
        return removed

    def unrecorded(self, case: Case) -> set[int]:
        """The rows that are to be redone although their files stand there."""
        return unrecorded(self.storage, self.state, case.name, range(case.rows))


def chance(seed: int) -> random.Random:
    """Chance that is the same in every run of a test."""
    return random.Random(seed)


def built(source: str, folder: Path) -> Path:
    """A library of `shim/` that changes what processes ask of the system; skips the test where nothing can build it."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc to build the library that changes system calls")
    library = folder / Path(source).with_suffix(".so")
    options = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library)]
    subprocess.run(["gcc", *options, str(Path(__file__).parent / "shim" / source), "-ldl"], check=True)
    return library


def wait_for_end_of_group(group: int, timeout_s: float) -> list[int]:
    """The processes of a group that still live when all should be gone."""
    from tests.support.world import group_members, wait_until

    try:
        wait_until(lambda: not group_members(group), timeout_s)
    except AssertionError:
        return group_members(group)
    return []


@contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[None]:
    """Mount something at a folder; skips the test where this process may not."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", *arguments, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this machine does not let us mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        _unmount(folder)


def _unmount(folder: Path) -> None:
    """Unmount, as soon as the processes that were killed have let go of it."""
    for _ in range(200):
        if subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.02)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    raise AssertionError(f"{folder} is still in use")


def remount(folder: Path, options: str) -> bool:
    """Change the options of a mount; False where it is busy."""
    done = subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], capture_output=True, check=False)
    return done.returncode == 0


@contextmanager
def tmpfs(folder: Path, options: str) -> Iterator[None]:
    """A file system in memory with a bound on its size (`size=`) or its files (`nr_inodes=`)."""
    with mounted(folder, "-t", "tmpfs", "-o", options, "tmpfs"):
        yield
