"""Any history of adds, kills, resumes, damage, checks, repairs, removals and lost state, against a plain dict.

The dict says of each dataset what a person would expect of it. After every step all invariants are asked of every
dataset that nobody has damaged since; at the end of a history each one can be made whole by what the program says.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from hugflow.storage.failpoints import STEPS
from tests.faults.conftest import MakeWorld, NewFolder
from tests.support.faults import Case, FaultDone, FaultWorld, audio_rows, json_rows
from tests.support.invariants import MARKER
from tests.support.world import group_members, kill_group, wait_until

HISTORIES, STEPS_OF_ONE = 14, 14
KILLED = -9
INDEX, PLAN = ".hugflow/index.parquet", ".hugflow/plan.json"
SUMMARIES = (PLAN, INDEX, MARKER, "metadata.parquet", "README.md")
REMOVE_STEPS = [step for step in STEPS if step.startswith("remove_")]
DOWNLOAD_STEPS = [step for step in STEPS if not step.startswith(("remove_", "publish_"))]


@dataclass
class Expected:
    """What is expected of a dataset. `code` is that of the run that was the last to touch it, None for a kill.

    `vouched`: the manifest, or a marker that nobody has damaged, says what it should be; without either a marker that
    can still be read is believed, and only a download from the beginning shows what is wrong with it.
    """

    vouched: bool = True
    state: Literal["absent", "partial", "complete"] = "absent"
    code: int | None = 0
    harmed: set[str] = field(default_factory=set)
    removals: int = 0

    @property
    def is_known(self) -> bool:
        """Whether somebody says of all its files what they should be."""
        return self.state == "complete" and self.vouched


# -- what a dataset's files can suffer -------------------------------------------------------------------------------


def _flip(file: Path, at: float) -> None:
    data = bytearray(file.read_bytes() or b"x")
    data[int(at * len(data))] ^= 0x20
    file.write_bytes(data)


def _cut(file: Path, at: float) -> None:
    os.truncate(file, int(at * file.stat().st_size))


def _delete(file: Path, _: float) -> None:
    file.unlink()


HARMS: Mapping[str, Callable[[Path, float], None]] = {"flip": _flip, "cut": _cut, "delete": _delete}
places = st.floats(0, 1, exclude_max=True)
names = st.sampled_from(["texts", "clips"])


class Histories(RuleBasedStateMachine):
    """One world, two datasets."""

    make_world: MakeWorld
    cases: Mapping[str, Case]

    def __init__(self) -> None:
        super().__init__()
        self.world: FaultWorld = type(self).make_world("history")
        self.expected: dict[str, Expected] = {name: Expected() for name in self.cases}
        for name, case in self.cases.items():
            self.world.add(case.hf_id, name)
            self.world.remove(case.hf_id, name)

    # -- rules --------------------------------------------------------------------------------------------------------

    @rule(name=names, restart=st.booleans())
    def add(self, name: str, restart: bool) -> None:
        """A run to its end: also a resume, and what says that there is nothing to do."""
        self._ended(name, self._sync(name, *(["--restart"] if restart else [])), restarted=restart)

    @rule(name=names, step=st.sampled_from(DOWNLOAD_STEPS), times=st.integers(1, 3), restart=st.booleans())
    def kill_at_a_step(self, name: str, step: str, times: int, restart: bool) -> None:
        arguments = ["--restart"] if restart else []
        done = self._sync(name, *arguments, HUGFLOW_FAILPOINT=f"{step}:{times}")
        if done.code == KILLED:
            self._killed(name)
        else:
            self._ended(name, done, restarted=restart)

    @rule(name=names, after_s=st.floats(0, 0.3), restart=st.booleans())
    def kill_at_any_moment(self, name: str, after_s: float, restart: bool) -> None:
        arguments = ["--restart"] if restart else []
        with self.world.warm_running("local-sync", self.cases[name].request, *arguments) as run:
            time.sleep(after_s)
            kill_group(run)  # type: ignore[arg-type]  # it has the pid of a process
            run.wait(60)
            wait_until(lambda: not group_members(run.pid), 5)
        self._killed(name)

    @rule(name=names, after_s=st.floats(0, 0.3))
    def interrupt(self, name: str, after_s: float) -> None:
        with self.world.warm_running("local-sync", self.cases[name].request, "--json") as run:
            time.sleep(after_s)
            run.send_signal(signal.SIGTERM)
            out, err = run.communicate(60)
        assert run.returncode is not None
        if run.returncode in (-signal.SIGTERM, 130):
            return  # it came before the program listened
        self._ended(name, FaultDone(run.returncode, out, err))

    @rule(name=names, how=st.sampled_from(sorted(HARMS)), which=places, at=places)
    def corrupt(self, name: str, how: str, which: float, at: float) -> None:
        """A file of the dataset is changed, cut or lost."""
        files = self._files(name)
        if not files:
            return
        file = files[int(which * len(files))]
        before = file.read_bytes()
        HARMS[how](file, at)
        if not file.exists() or file.read_bytes() != before:
            self.expected[name].harmed.add(file.relative_to(self._folder(name)).as_posix())

    @rule(
        name=names, inside=st.sampled_from(["audio/", "json/", ""]), text=st.sampled_from(["extra", "99.json", "a b"])
    )
    def put_something_there(self, name: str, inside: str, text: str) -> None:
        path = self._folder(name) / f"{inside}{text}"
        if self.expected[name].state != "absent" and path.parent.is_dir() and not path.exists():
            path.write_bytes(b"a stranger")
            self.expected[name].harmed.add(f"{inside}{text}")

    @rule(name=names, how=st.sampled_from(sorted(HARMS)), at=places)
    def corrupt_the_journal(self, name: str, how: str, at: float) -> None:
        journal = self.world.state / "journal" / f"{self.cases[name].name}.jsonl"
        if journal.exists() and self.expected[name].state == "partial":
            HARMS[how](journal, at)
            self.expected[name].harmed.add("the journal")

    @rule(name=names)
    def verify(self, name: str) -> None:
        """Exactly what was damaged is named, as far as somebody knows of the dataset."""
        done = self._verified(name)
        expected = self.expected[name]
        if expected.state == "absent":
            assert done.code == 2
        elif expected.is_known:
            found = {damage["path"] for damage in done.json["datasets"][0]["damage"]}
            assert INDEX in expected.harmed or found == expected.harmed
            assert found >= expected.harmed & set(SUMMARIES)
            assert done.code == (74 if found else 0)

    @rule(name=names)
    def repair(self, name: str) -> None:
        expected = self.expected[name]
        done = self._verified(name, "--repair")
        if expected.state == "absent":
            assert done.code == 2
        elif expected.is_known:
            assert done.code == 0, done.out
            expected.harmed = set()
            expected.code = 0 if expected.code is not None else None
        else:
            self._thinned_out(name, done)

    @rule(name=names)
    def remove(self, name: str) -> None:
        done = self.world.quick("remove", f"requests/remove/{name}.yaml", "--json")
        self._removed(name, done)

    @rule(name=names, step=st.sampled_from(REMOVE_STEPS))
    def kill_a_removal(self, name: str, step: str) -> None:
        done = self.world.quick("remove", f"requests/remove/{name}.yaml", "--json", HUGFLOW_FAILPOINT=f"{step}:1")
        if done.code == KILLED:
            # finished by saying it again: what becomes of one that is not is another test's
            done = self.world.quick("remove", f"requests/remove/{name}.yaml", "--json")
        self._removed(name, done)

    @rule()
    def lose_the_state(self) -> None:
        shutil.rmtree(self.world.state, ignore_errors=True)
        for expected in self.expected.values():
            expected.removals = 0
            expected.harmed.discard("the journal")
            expected.vouched &= MARKER not in expected.harmed

    @rule()
    def look(self) -> None:
        listed = {one["name"]: one["state"] for one in self.world.quick("status", "--json").ok().json["datasets"]}
        for name, case in self.cases.items():
            expected = self.expected[name]
            if not expected.harmed:
                wanted = "missing" if expected.state == "absent" else expected.state
                assert listed[case.name] == wanted

    # -- invariants ---------------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_wrong(self) -> None:
        """I1 to I8 of each dataset that nobody has damaged; of one whose run was killed, what holds after a kill."""
        any_killed = any(one.code is None for one in self.expected.values())
        for name, expected in self.expected.items():
            if not expected.harmed:
                code = expected.code if self._manifest_is_there() and expected.state != "absent" else None
                self.world.check(self.cases[name], code=code, others_killed=any_killed)
                has_marker = self.world.place(self.cases[name]).marker is not None
                assert has_marker == (expected.state == "complete")
        assert self.world.canary is not None
        assert list(self.world.canary.changes()) == []

    @invariant()
    def what_was_removed_is_archived_once(self) -> None:
        if all(one.code is not None for one in self.expected.values()):
            archived = [record["name"] for record in self.world.archive()]
            for name, case in self.cases.items():
                assert archived.count(case.name) == self.expected[name].removals

    def teardown(self) -> None:
        """However it went: what the program says in the end makes everything whole."""
        try:
            for name in self.cases:
                self._mended(name)
        finally:
            shutil.rmtree(self.world.folder.parent)

    # -- how it is told -----------------------------------------------------------------------------------------------

    def _folder(self, name: str) -> Path:
        return self.world.place(self.cases[name]).folder

    def _files(self, name: str) -> list[Path]:
        """The files of rows, and the summaries, which are as probable as all rows together."""
        folder = self._folder(name)
        rows = [path for part in ("audio", "json") for path in sorted((folder / part).glob("*")) if path.is_file()]
        others = [folder / inside for inside in SUMMARIES if (folder / inside).is_file()]
        harmed = {folder / inside for inside in self.expected[name].harmed}
        several = others * max(1, len(rows) // max(1, 2 * len(others)))
        return [path for path in rows + several if path not in harmed]

    def _sync(self, name: str, *arguments: str, **environ: str) -> FaultDone:
        return self.world.quick_sync(self.cases[name].request, *arguments, **environ)

    def _verified(self, name: str, *arguments: str) -> FaultDone:
        return self.world.quick("verify", self.cases[name].name, "--json", *arguments)

    def _manifest_is_there(self) -> bool:
        return (self.world.state / "active.json").exists()

    def _killed(self, name: str) -> None:
        expected = self.expected[name]
        has_marker = (self._folder(name) / MARKER).exists()
        expected.code = None
        expected.state = "complete" if has_marker else "partial" if self._is_begun(name) else "absent"
        self._still_harmed(name)

    def _is_begun(self, name: str) -> bool:
        return (self._folder(name) / PLAN).exists()

    def _ended(self, name: str, done: FaultDone, *, restarted: bool = False) -> None:
        """A run said how it ended. One that met damage says so, and what to do; it leaves no new damage."""
        expected = self.expected[name]
        if done.code == 75:
            expected.state, expected.code = "partial" if self._is_begun(name) else "absent", 75
        elif done.code == 0:
            expected.state, expected.code = "complete", 0
            if restarted:
                expected.harmed, expected.vouched = set(), True
        else:
            assert expected.harmed, f"nothing was damaged\n{done.out}{done.err}"
            assert done.code == 74, done.out + done.err
            assert done.reason is not None
            assert done.reason.startswith("damaged_"), done.reason
            assert "--repair" in done.fix or "--restart" in done.fix
            return
        self._still_harmed(name)

    def _still_harmed(self, name: str) -> None:
        """What was damaged and has been made again since is whole."""
        expected = self.expected[name]
        if expected.state == "absent":
            expected.harmed = set()
        elif expected.harmed:
            found = self._damage(name)
            if expected.is_known:
                assert INDEX in expected.harmed or found <= expected.harmed, found - expected.harmed
                expected.harmed &= found
                if not self._folder(name).joinpath(MARKER).exists():
                    expected.harmed.add(MARKER)

    def _damage(self, name: str) -> set[str]:
        done = self._verified(name)
        return {damage["path"] for damage in done.json["datasets"][0]["damage"]}

    def _thinned_out(self, name: str, done: FaultDone) -> None:
        """A dataset that is not complete is rid of what does not hold; without its plan it can only be begun anew."""
        expected = self.expected[name]
        assert done.code in ((0, 3, 74) if expected.harmed else (0,)), done.out
        if done.code == 74:
            assert done.reason is not None
            assert "--restart" in done.fix

    def _removed(self, name: str, done: FaultDone) -> None:
        expected = self.expected[name]
        unreadable = (expected.state == "partial" and PLAN in expected.harmed) or not expected.vouched
        if done.code == 4 and (expected.state == "absent" or unreadable):
            return  # there is none; or nothing in it can say any more which it is
        assert done.code == 0, done.out + done.err
        assert not self._folder(name).exists()
        self.expected[name] = Expected(removals=expected.removals + 1)

    def _mended(self, name: str) -> None:
        expected, case = self.expected[name], self.cases[name]
        if expected.harmed:
            self._verified(name, "--repair")
        done = self._sync(name)
        if done.code:
            assert "--restart" in done.fix, done.out
        if done.code or not expected.vouched:
            self._sync(name, "--restart").ok()
        self._verified(name, "--repair").ok()
        self.world.check(case)


# -- the test --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def new_folder(in_memory: NewFolder) -> NewFolder:
    return in_memory


@pytest.fixture(scope="module")
def cases(quiet: FaultWorld) -> Mapping[str, Case]:
    """Four groups of rows, and one clip."""
    return {
        "texts": quiet.case("acme/texts", json_rows(60), made_by=quiet, shards=2, group_rows=15),
        "clips": quiet.case("acme/clips", audio_rows(2), made_by=quiet),
    }


@pytest.mark.soak
def test_any_history_ends_well(make_world: MakeWorld, cases: Mapping[str, Any]) -> None:
    machine = type("Histories", (Histories,), {"make_world": staticmethod(make_world), "cases": cases})
    # the same histories in every run; a shorter one that fails, too, is not looked for: kills are not repeatable
    bounded = settings(
        max_examples=HISTORIES,
        stateful_step_count=STEPS_OF_ONE,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=bounded)
