"""A run ended at any moment, by any cause: the next run continues, and the final bytes are the same."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from localhub import Fault, LocalHub
from tests.support.world import (
    Stored,
    World,
    audio_cell,
    clip,
    group_members,
    journal_rows,
    kill_group,
    leftovers,
    sound_file,
    strict_json,
    tree,
    wait_until,
)

ROWS = 1_500
GROUP_ROWS = 64
STOP_WITHIN_S = 5
NAME = "acme__long__split_train__rev_main"
REQUEST = {"hf_id": "acme/long", "name": "long", "max_failed_rows": 3}
COLD_STARTS = True  # signals and the end of processes are what is tested here


def _rows() -> list[dict[str, Any]]:
    """Short clips, some rows without audio, and three that cannot be converted."""
    sounds = [sound_file(clip(seed, 0.25, 8_000), 8_000) for seed in range(50)]
    rows = []
    for number in range(ROWS):
        audio: dict[str, Any] | None = audio_cell(sounds[number % 50], f"{number % 7}.wav")
        if number % 100 == 30:
            audio = None
        if number in (5, 700, 1_400):
            audio = audio_cell(b"no sound at all", "bad.wav")
        rows.append({"audio": audio, "text": f"sentence {number}", "number": number})
    return rows


@pytest.fixture(autouse=True)
def _two_workers(world: World) -> None:
    world.settings["WORKERS"] = "2"


@pytest.fixture(scope="module")
def reference(shared_world: World) -> Stored:
    """What one uninterrupted run with one worker makes."""
    shared_world.serve("acme/long", _rows(), shards=10, group_rows=60)
    shared_world.sync(shared_world.add(**REQUEST), WORKERS="1").ok()
    return shared_world.dataset(NAME)


def _unrecorded(world: World) -> set[int]:
    """The rows that have a file and no line in the journal."""
    dataset = world.storage / NAME
    written = {int(file.stem) for file in (dataset / "json").glob("*.json")}
    written |= {int(re.findall(r"(\d+)\.mp3$", file.name)[0]) for file in (dataset / "audio").glob("*.mp3")}
    return written - set(journal_rows(_journal(world)))


def _journal(world: World) -> Path:
    return world.state / "journal" / f"{NAME}.jsonl"


def _until_rows_are_written(world: World, process: subprocess.Popen[str]) -> None:
    """Wait until this run has added rows to the journal, or is over."""
    before = len(journal_rows(_journal(world)))
    wait_until(lambda: len(journal_rows(_journal(world))) > before or process.poll() is not None)


@pytest.mark.soak
def test_sigkill_at_twenty_moments_changes_nothing(world: World, reference: Stored) -> None:
    chance = random.Random(20_250_607)
    request = world.add(**REQUEST)
    unfinished = 0
    for number in range(20):
        with world.running("local-sync", request) as process:
            if number % 4 == 3:
                time.sleep(chance.uniform(0, 1.5))
            else:
                _until_rows_are_written(world, process)
                time.sleep(chance.uniform(0, 0.08))
            unfinished += process.poll() is None
            kill_group(process)
            process.wait()
        wait_until(lambda: not group_members(process.pid), STOP_WITHIN_S)  # killed processes take a moment to go
        assert len(_unrecorded(world)) <= GROUP_ROWS or not _journal(world).exists()
    assert unfinished >= 15, "too few runs were killed at work: give the dataset more rows"
    done = world.sync(request).ok()
    assert (done.result["rows_done"], done.result["rows_failed"]) == (ROWS - 3, 3)
    assert world.dataset().tree() == reference.tree()
    assert leftovers(world.storage, world.state) == []
    assert not _journal(world).exists()


def test_the_workers_do_not_outlive_a_killed_parent(world: World, reference: Stored) -> None:
    with world.running("local-sync", world.add(**REQUEST)) as process:
        _until_rows_are_written(world, process)
        assert len(group_members(process.pid)) == 3
        process.kill()
        process.wait()
        wait_until(lambda: not group_members(process.pid), STOP_WITHIN_S)
    assert world.sync("requests/add/long.yaml").ok().result["rows_done"] == ROWS - 3
    assert world.dataset().tree() == reference.tree()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_run_with_its_state_saved(
    world: World, reference: Stored, number: signal.Signals, workers: str
) -> None:
    with world.running("local-sync", world.add(**REQUEST), "--json", WORKERS=workers) as process:
        _until_rows_are_written(world, process)
        asked = time.monotonic()
        kill_group(process, number)  # a terminal sends it to all of them
        out, _ = process.communicate(timeout=60)
        assert time.monotonic() - asked < STOP_WITHIN_S + 1  # and the time that this process waits for its turn
    assert process.returncode == 75
    assert not group_members(process.pid)
    (result,) = strict_json(out)["results"]
    assert (result["status"], result["reason"]) == ("paused", "paused")
    rows = journal_rows(_journal(world))
    assert 0 < len(rows) < ROWS
    assert result["rows_done"] + result["rows_failed"] == len(rows)
    assert _unrecorded(world) == set(), "what was converted was not recorded"
    progress = strict_json((world.state / "progress" / f"{NAME}.json").read_text())
    assert progress["status"] == "paused"
    assert progress["downloaded_files"] == result["rows_done"]
    assert sum(last - first + 1 for first, last in progress["resume_data"]["completed_rows"]) == result["rows_done"]


def test_the_run_after_a_pause_continues(world: World, reference: Stored) -> None:
    request = world.add(**REQUEST)
    with world.running("local-sync", request) as process:
        _until_rows_are_written(world, process)
        kill_group(process, signal.SIGTERM)
        process.wait(60)
    before = len(journal_rows(_journal(world)))
    done = world.sync(request).ok()
    assert done.result["rows_done"] == ROWS - 3
    assert ROWS - before - 3 <= done.result["new_rows"] <= ROWS - before
    assert world.dataset().tree() == reference.tree()


def test_a_hub_that_does_not_answer_does_not_hold_a_run_back(world: World, hub: LocalHub, reference: Stored) -> None:
    fault = hub.faults.add(Fault(route="/resolve/", method="GET", after=10, delay_s=60))  # footers come, data does not
    try:
        with world.running("local-sync", world.add(**REQUEST)) as process:
            wait_until(lambda: hub.faults.fired(fault))
            asked = time.monotonic()
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            assert time.monotonic() - asked < STOP_WITHIN_S + 1
        assert process.returncode == 75
    finally:
        hub.faults.clear()


def test_a_second_ctrl_c_ends_at_once(world: World, hub: LocalHub, reference: Stored) -> None:
    """Where the first one is not heard at once: the dataset is planned, and its commit asked for."""
    request = world.add(**REQUEST)
    with world.running("local-sync", request) as process:
        _until_rows_are_written(world, process)
        kill_group(process, signal.SIGTERM)
        process.wait(60)
    before = journal_rows(_journal(world))
    fault = hub.faults.add(Fault(route="/api/datasets/acme/long", delay_s=60))
    try:
        with world.running("local-sync", request) as process:
            wait_until(lambda: hub.faults.fired(fault))
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            wait_until(lambda: "stopping" in process.stderr.readline())
            time.sleep(0.2)  # two signals at once are one Ctrl-C that was delivered twice
            process.send_signal(signal.SIGINT)
            process.wait(3)
        assert process.returncode == 130
    finally:
        hub.faults.clear()
    assert journal_rows(_journal(world)) == before


def test_one_and_several_workers_make_the_same(world: World, reference: Stored) -> None:
    world.sync(world.add(**REQUEST), WORKERS="4").ok()
    assert world.dataset().tree() == reference.tree()
    assert tree(world.processed) == {NAME: f"-> {world.dataset().path}"}
