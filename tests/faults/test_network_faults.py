"""A Hub with every kind of network fault: no row is ever wrong, attempts are bounded, a stopped run resumes.

The faults are drawn with seeds, but which request meets which depends on the order in which threads ask.
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localhub import Fault, LocalHub
from localhub.log import RequestRecord
from tests.conftest import _safe_environ
from tests.faults.conftest import NewFolder
from tests.support.faults import Case, FaultDone, FaultWorld, audio_rows, json_rows
from tests.support.format_repositories import ONE_CONFIG, card, lines, metadata_file, put, speech, zip_bytes
from tests.support.world import group_members, kill_group, wait_until

RETRIES = 5
SHARDS = 40
CLIPS = 150
MAX_RUNS = 8
FEWEST = {"parquet": 220, "paths": 300, "zip": 30}  # requests in runs with faults: 500 in all
PATIENT = {"MAX_RETRIES": str(RETRIES), "RETRY_BACKOFF": "0.05"}
LIBRARY_TRIES = 6  # of the Hub's own library, within one attempt of ours
CONCURRENT = 5
STOP_WITHIN_S = 5


# -- datasets and faults ---------------------------------------------------------------------------------------------


def _write_paths(folder: Path) -> None:
    """Two files of JSON lines beside a folder with the clips that they name."""
    rows = speech(CLIPS)
    for row in rows:
        put(folder, f"clips/{row.file_name}", row.data)
    for half in range(2):
        named = [{"audio": f"clips/{row.file_name}", **row.values} for row in rows[half::2]]
        put(folder, f"train-{half}.jsonl", lines(named))
    card(folder, ONE_CONFIG.format("train-*.jsonl"))


def _write_zip(folder: Path) -> None:
    """Archives, each with its own metadata."""
    rows = speech(CLIPS)
    for number in range(3):
        part = rows[number * 50 : number * 50 + 50]
        files = {row.file_name: row.data for row in part}
        put(folder, f"{number:02}.zip", zip_bytes(files | {"metadata.csv": metadata_file(part, "csv")}))


def _served(world: FaultWorld, name: str, write: Callable[[Path], None]) -> Case:
    folder = world.folder.parent / name
    write(folder)
    hf_id = f"acme/{name}"
    world.hub.add_dataset(hf_id, folder)
    return world.known(hf_id, CLIPS, made_by=world)


@pytest.fixture(scope="module")
def new_folder(in_memory: NewFolder) -> NewFolder:
    return in_memory


@pytest.fixture(scope="module")
def cases(quiet: FaultWorld) -> Mapping[str, Case]:
    return {
        "parquet": quiet.case("acme/shards", audio_rows(240), made_by=quiet, shards=SHARDS, group_rows=4),
        "paths": _served(quiet, "paths", _write_paths),
        "zip": _served(quiet, "zip", _write_zip),
    }


def _mix(case: Case, seed: int) -> list[Fault]:
    """Every kind of fault, each on a few percent of the dataset's requests, and two bursts."""
    every, files = case.hf_id, f"{case.hf_id}/resolve/"
    kinds = [
        Fault(route=every, status=503),
        Fault(route=every, status=500, retry_after_s=0),
        Fault(route=every, status=408),
        Fault(route=every, status=429, retry_after_s=0),
        Fault(route=every, reset=True),
        Fault(route=files, method="GET", reset_after=700),
        Fault(route=files, method="GET", truncate_after=500),
        Fault(route=files, method="GET", ignore_range=True),
        Fault(route=files, method="GET", corrupt=True),
    ]
    drawn = [replace(kind, probability=0.03, seed=seed * 100 + number) for number, kind in enumerate(kinds)]
    bursts = [Fault(route=every, status=502, after=20, count=4), Fault(route=every, reset=True, after=60, count=8)]
    return bursts + drawn


class Log:
    """What the Hub was asked about one dataset since this was made."""

    def __init__(self, hub: LocalHub, case: Case) -> None:
        self._hub = hub
        self._case = case
        self._before = max((record.number for record in hub.requests()), default=0)

    def requests(self, route: str = "", method: str = "") -> list[RequestRecord]:
        found = self._hub.requests(f"{self._case.hf_id}.*{route}", method=method)
        return [record for record in found if record.number > self._before]

    def faults(self) -> list[RequestRecord]:
        return [record for record in self.requests() if record.fault is not None]

    def most_asked(self) -> int:
        """How often the same part of the same file was asked for, at the most."""
        asked = Counter((one.method, one.target, one.range) for one in self.requests("/resolve/"))
        return max(asked.values(), default=0)


def _prepared(world: FaultWorld, case: Case) -> str:
    return world.add(case.hf_id, case.hf_id.rpartition("/")[2])


def _resumed(world: FaultWorld, case: Case) -> None:
    """The run after the faults completes the same tree as one that never met any."""
    world.hub.faults.clear()
    world.quick_sync(case.request).ok()
    world.check(case, code=0)


def _stopped(world: FaultWorld, case: Case, done: FaultDone, code: int = 1) -> None:
    """Exit 1 (or `code`), words for a person, nothing wrong recorded, and nothing left of rows that were under way."""
    assert done.code == code, f"exit code {done.code}\n{done.out}\n{done.err}"
    assert done.fix
    assert "Traceback" not in done.err
    world.check(case, code=code)


# -- all faults at once ----------------------------------------------------------------------------------------------


@pytest.mark.soak
@pytest.mark.parametrize("kind", FEWEST)
def test_any_mix_of_faults_makes_no_row_wrong(world: FaultWorld, cases: Mapping[str, Case], kind: str) -> None:
    """Downloads among faults, until enough requests were made; each ends whole, or stops so that the next goes on."""
    case, log = cases[kind], Log(world.hub, cases[kind])
    request, arguments, runs = _prepared(world, case), list[str](), 0
    whole = 0
    while len(log.requests()) < FEWEST[kind] or not whole:
        runs += 1
        assert runs <= MAX_RUNS, f"{len(log.requests())} requests, {whole} whole"
        world.hub.faults.clear()
        for fault in _mix(case, runs):
            world.hub.faults.add(fault)
        before = Log(world.hub, case)
        done = world.quick_sync(request, *arguments, WORKERS="2", **PATIENT)
        assert before.most_asked() <= (RETRIES + 1) * LIBRARY_TRIES
        if done.code:
            _stopped(world, case, done)
        else:
            world.check(case, code=0)
        whole += done.code == 0
        arguments = [] if done.code else ["--restart"]
    assert len(log.faults()) >= len(log.requests()) // 20
    if arguments != ["--restart"]:
        _resumed(world, case)


# -- one kind of fault, always or once -------------------------------------------------------------------------------

CLIP = "acme/paths/resolve/.*clip-0007"
SHARD = "acme/shards/resolve/.*train-00007"
ALWAYS = {
    "status 503": (CLIP, Fault(status=503)),
    "status 408": (CLIP, Fault(status=408)),
    "reset": (CLIP, Fault(reset=True)),
    "reset in the middle": (CLIP, Fault(reset_after=700)),
    "truncated": (CLIP, Fault(truncate_after=500)),
    "wrong bytes": (CLIP, Fault(corrupt=True)),
    "wrong bytes of a shard": (SHARD, Fault(corrupt=True, after=1)),  # after its footer was read
}


@pytest.mark.parametrize("how", ALWAYS)
def test_what_always_fails_is_tried_a_few_times(world: FaultWorld, cases: Mapping[str, Case], how: str) -> None:
    route, fault = ALWAYS[how]
    case = cases["paths" if route == CLIP else "parquet"]
    request, log = _prepared(world, case), Log(world.hub, case)
    world.hub.faults.add(replace(fault, route=route, method="GET"))
    done = world.quick_sync(request, MAX_RETRIES="2", RETRY_BACKOFF="0.05")
    _stopped(world, case, done)
    assert len(log.faults()) == 3
    _resumed(world, case)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("kind", ["parquet", "paths"])
def test_access_that_ends_in_the_middle_stops_without_a_storm(
    world: FaultWorld, cases: Mapping[str, Case], kind: str, status: int
) -> None:
    case = cases[kind]
    request, log = _prepared(world, case), Log(world.hub, case)
    after = SHARDS + 10 if kind == "parquet" else 90  # every footer and some of the data; more than the first clips
    world.hub.faults.add(Fault(route=f"{case.hf_id}/resolve/", method="GET", after=after, status=status))
    done = world.quick_sync(request, WORKERS="2", **PATIENT)
    _stopped(world, case, done, code=4)  # somebody has to give it access again
    assert done.reason == {401: "bad_token", 403: "forbidden"}[status]
    refused = log.faults()
    assert 1 <= len(refused) <= 4 * CONCURRENT, "what was under way at two workers, of 60 that were to come"
    assert max(Counter(one.target for one in refused).values()) == 1, "a refusal is not asked for again"
    _resumed(world, case)


@pytest.mark.parametrize("as_date", [False, True])
def test_nobody_comes_back_before_the_hub_said(world: FaultWorld, cases: Mapping[str, Case], as_date: bool) -> None:
    case, wait_s = cases["paths"], 3
    request, log = _prepared(world, case), Log(world.hub, case)
    routes = ["/api/datasets/acme/paths/revision", "acme/paths/resolve/.*train-1.jsonl", CLIP]
    for route in routes:
        busy = Fault(route=route, status=429, retry_after_s=wait_s, retry_after_as_date=as_date, count=1)
        world.hub.faults.add(replace(busy, method="GET"))
    world.quick_sync(request, **PATIENT).ok()
    world.check(case, code=0)
    refused = log.faults()
    assert len(refused) == len(routes)
    for one in refused:
        again = next(r for r in log.requests() if r.number > one.number and (r.method, r.target) == ("GET", one.target))
        # a date has whole seconds
        earliest = math.floor(one.started) + wait_s if as_date else one.started + wait_s
        assert again.started >= earliest - 0.05, f"{one.target}: {again.started - one.started:.2f} s"


@pytest.mark.parametrize("route", [CLIP, SHARD])
def test_an_answer_that_trickles_is_given_up(world: FaultWorld, cases: Mapping[str, Case], route: str) -> None:
    """Three bytes in ten seconds, and a time-out of one; the command as such, whose library reads it at its start."""
    case = cases["paths" if route == CLIP else "parquet"]
    request, log = _prepared(world, case), Log(world.hub, case)
    world.hub.faults.add(Fault(route=route, method="GET", bytes_per_s=0.3, count=2))
    world.sync(request, READ_TIMEOUT="1", **PATIENT).ok()
    assert len(log.faults()) == 2
    world.check(case, code=0)


# -- outages ---------------------------------------------------------------------------------------------------------

WAITS = {"OUTAGE_PATIENCE": "120", "MAX_RETRIES": "1", "RETRY_BACKOFF": "0.05", "WORKERS": "2"}
# requests for data that are answered before the outage
OUTAGE_AT = {"parquet": 10, "paths": 60, "zip": 1}


def _outage(world: FaultWorld, cases: Mapping[str, Case], kind: str, **effect: Any) -> tuple[int, Callable[[], int]]:
    """Let every request about a dataset fail from the middle of its data on; gives the fault and counts its hits."""
    case, log = cases[kind], Log(world.hub, cases[kind])
    world.quick("plan", _prepared(world, case)).ok()
    after = len(log.requests()) + OUTAGE_AT[kind]
    fault = world.hub.faults.add(Fault(route=case.hf_id, after=after, **effect))
    return fault, lambda: world.hub.faults.fired(fault)


@pytest.mark.parametrize(
    ("kind", "effect"),
    [
        ("parquet", {"reset": True}),
        ("paths", {"status": 503}),
        ("zip", {"reset": True}),
        pytest.param("parquet", {"status": 503}, marks=pytest.mark.soak),  # the library's own attempts take 25 to 50 s
        pytest.param("parquet", {"status": 429}, marks=pytest.mark.soak),
        pytest.param("paths", {"reset": True}, marks=pytest.mark.soak),
        pytest.param("zip", {"status": 503}, marks=pytest.mark.soak),
    ],
)
def test_a_download_waits_for_a_hub_that_comes_back(
    world: FaultWorld, cases: Mapping[str, Case], kind: str, effect: dict[str, Any]
) -> None:
    case = cases[kind]
    request = _prepared(world, case)
    fault, _ = _outage(world, cases, kind, **effect)
    with world.warm_running("local-sync", request, "--json", **WAITS) as run:
        wait_until(lambda: '"waiting_for_hub"' in _progress(world, case) or run.poll() is not None)
        assert run.poll() is None, "the run gave up: " + "".join(run.communicate())
        (status,) = world.quick("status", case.name, "--json").ok().json["datasets"]
        assert (status["state"], bool(status["waiting_for_hub"])) == ("running", True)
        assert f"{case.name}: waiting for the Hub: " in world.quick("status").out
        world.hub.faults.remove(fault)
        out, err = run.communicate(60)
    assert (run.returncode, json.loads(out)["results"][0]["status"]) == (0, "complete")
    assert "waiting for the Hub" in err
    assert "the Hub answers again" in err
    world.check(case, code=0)


def _progress(world: FaultWorld, case: Case) -> str:
    try:
        return (world.state / "progress" / f"{case.name}.json").read_text()
    except FileNotFoundError:
        return ""


@pytest.mark.parametrize("kind", ["parquet", "paths"])
def test_a_signal_ends_the_wait_for_the_hub(world: FaultWorld, cases: Mapping[str, Case], kind: str) -> None:
    case = cases[kind]
    request = _prepared(world, case)
    _, hits = _outage(world, cases, kind, status=503)
    with world.warm_running("local-sync", request, "--json", **WAITS | {"RETRY_BACKOFF": "20"}) as run:
        wait_until(lambda: hits() > 0)
        time.sleep(0.5)
        run.send_signal(signal.SIGTERM)
        signalled = time.monotonic()
        run.communicate(30)
        assert time.monotonic() - signalled < STOP_WITHIN_S
    assert run.returncode == 75
    world.check(case, code=75)
    _resumed(world, case)


def test_an_outage_longer_than_the_patience_ends_the_run(world: FaultWorld, cases: Mapping[str, Case]) -> None:
    case = cases["parquet"]
    request = _prepared(world, case)
    _, hits = _outage(world, cases, "parquet", reset=True)
    _stopped(world, case, world.quick_sync(request, **WAITS | {"OUTAGE_PATIENCE": "1"}))
    assert hits() > 2
    _resumed(world, case)


def test_a_plan_does_not_wait_for_the_hub(world: FaultWorld, cases: Mapping[str, Case]) -> None:
    world.hub.faults.add(Fault(route="acme/shards", status=503))
    done = world.quick("plan", _prepared(world, cases["parquet"]), "--json", **WAITS)
    assert done.code == 1


# -- the Hub goes away, and main moves -------------------------------------------------------------------------------


def test_a_hub_that_is_not_there_is_said_to_be_so(
    cases: Mapping[str, Case], canaries: Mapping[str, str], tmp_path: Path
) -> None:
    with LocalHub() as gone:
        url = gone.url
    world = FaultWorld.beside(tmp_path / "world", gone, _safe_environ(tmp_path), canaries)
    request = world.add("acme/paths", "paths")
    with LocalHub() as other:  # only for its address, which the environment then corrects
        world.hub = other
        done = world.sync(request, HF_ENDPOINT=url, MAX_RETRIES="1")
    done = FaultDone(done.code, done.out, done.err)
    assert done.code == 1
    assert done.reason == "network"
    assert "could not be reached" in done.out
    assert "HF_ENDPOINT" in done.fix
    assert "Traceback" not in done.err
    assert not world.storage.exists()


def test_a_hub_that_goes_away_in_the_middle_is_waited_for_by_the_next_run(
    canaries: Mapping[str, str], tmp_path: Path
) -> None:
    kept = tmp_path / "hub"
    first = LocalHub(kept)
    with first:
        first.add_user("reader", token=canaries["HF_TOKEN"])
        environ = _safe_environ(tmp_path)
        case = _served(FaultWorld.beside(tmp_path / "quiet", first, environ, canaries), "away", _write_paths)
        world = FaultWorld.beside(tmp_path / "world", first, environ, canaries)
        slow = first.faults.add(Fault(route="/resolve/.*clips/", after=80, delay_s=60))
        with world.running("local-sync", _prepared(world, case), "--json", MAX_RETRIES="2") as run:
            wait_until(lambda: first.faults.fired(slow))
            first.stop()
            out, err = run.communicate(timeout=60)
        assert run.returncode is not None
        _stopped(world, case, FaultDone(run.returncode, out, err))
    with LocalHub(kept) as again:
        again.add_user("reader", token=canaries["HF_TOKEN"])
        world.hub = again
        world.sync(case.request).ok()
    world.check(case, code=0)


def _move_main(hub: LocalHub, case: Case) -> None:
    """Change the last shard, and add one."""
    paths = [path for path in hub.paths(case.hf_id) if path.endswith(".parquet")]
    other = hub.read(case.hf_id, paths[0])
    hub.commit(case.hf_id, {paths[-1]: other, "data/train-more.parquet": other}, message="main moves")


@pytest.mark.parametrize("killed", [False, True])
def test_all_rows_are_of_one_commit_when_main_moves(world: FaultWorld, quiet: FaultWorld, killed: bool) -> None:
    case = quiet.case(f"acme/moving-{killed}".lower(), json_rows(600), made_by=quiet, shards=8)
    request, hub, log = _prepared(world, case), world.hub, Log(world.hub, case)
    held = hub.faults.add(Fault(route=f"{case.hf_id}/resolve/", method="GET", after=12, delay_s=2))
    with world.warm_running("local-sync", request, WORKERS="2") as run:
        wait_until(lambda: hub.faults.fired(held))
        _move_main(hub, case)
        if killed:
            kill_group(run)  # type: ignore[arg-type]  # it has the pid of a process
        assert run.wait(60) == (-9 if killed else 0)
    wait_until(lambda: not group_members(run.pid), 5)
    world.check(case, code=None if killed else 0)
    hub.faults.clear()
    world.quick_sync(request).ok()
    world.check(case, code=0)
    asked = {one.target.split("/resolve/")[1].split("/")[0] for one in log.requests("/resolve/")}
    marker = world.place(case).marker
    assert marker is not None
    assert asked == {marker["sha"]}
