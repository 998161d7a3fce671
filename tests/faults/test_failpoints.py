"""A kill at every step of the protocol, three times each, for downloads and for removals."""

from __future__ import annotations

import pytest

from hugflow.storage.failpoints import STEPS
from tests.faults.conftest import NewFolder
from tests.support.faults import GROUP_ROWS, Case, FaultWorld, audio_rows, json_rows
from tests.support.world import visible

KILLED = -9
REMOVE_STEPS = [step for step in STEPS if step.startswith("remove_")]
DOWNLOAD_STEPS = [step for step in STEPS if not step.startswith(("remove_", "publish_"))]
# reached for every group of rows, by the workers or by what hears of them
MANY_TIMES = [step for step in STEPS if step.startswith(("group_", "journal_"))]
TIMES = 3
MANY_TURNS = 12


@pytest.fixture(scope="module")
def new_folder(in_memory: NewFolder) -> NewFolder:
    return in_memory


@pytest.fixture(scope="module")
def audio(quiet: FaultWorld) -> Case:
    return quiet.case("acme/audio", audio_rows(200), made_by=quiet, shards=2, group_rows=50)


@pytest.fixture(scope="module")
def texts(quiet: FaultWorld) -> Case:
    """Without audio, and slow enough that progress is written several times."""
    return quiet.case("acme/texts", json_rows(150), made_by=quiet, shards=2, group_rows=50)


@pytest.mark.parametrize(
    ("step", "workers"),
    [(step, "1") for step in DOWNLOAD_STEPS] + [(step, "2") for step in DOWNLOAD_STEPS if step in MANY_TIMES],
)
def test_a_download_killed_at_a_step_is_resumed(world: FaultWorld, audio: Case, step: str, workers: str) -> None:
    """The first, second and third time that the step is reached; steps that come once are reached in three runs."""
    world.add(audio.hf_id, "audio")
    killed, arguments = 0, ["local-sync", audio.request]
    for _ in range(MANY_TURNS):
        number = killed + 1 if step in MANY_TIMES else 1
        before = world.unrecorded(audio)
        done = world.quick(*arguments, HUGFLOW_FAILPOINT=f"{step}:{number}", WORKERS=workers)
        if done.code == 0:
            # the step was behind it, or not that often before it
            world.check(audio, code=0)
            arguments = ["local-sync", audio.request, "--restart"]
            continue
        assert done.code == KILLED, done.err
        world.check(audio)
        if "--restart" not in arguments:
            assert len(world.unrecorded(audio) - before) <= GROUP_ROWS
        arguments = ["local-sync", audio.request]
        killed += 1
        if killed == TIMES:
            break
    assert killed == TIMES, f"{step} was reached {killed} times"
    assert world.quick(*arguments).code == 0
    world.check(audio, code=0)


@pytest.mark.parametrize("keep", ["true", "false"])
@pytest.mark.parametrize("step", REMOVE_STEPS)
def test_a_removal_killed_at_a_step_is_finished_by_the_next(
    world: FaultWorld, texts: Case, step: str, keep: str
) -> None:
    request, removal = world.add(texts.hf_id, "texts"), world.remove(texts.hf_id)
    for time in range(1, TIMES + 1):
        world.quick_sync(request, CLEANUP_PROGRESS_ON_SUCCESS=keep).ok()
        world.check(texts, code=0)
        assert world.quick("remove", removal, HUGFLOW_FAILPOINT=f"{step}:1").code == KILLED
        assert world.quick("remove", removal, "--json").code == 0
        _is_removed(world, texts, times=time)


def _is_removed(world: FaultWorld, case: Case, times: int) -> None:
    place = world.place(case)
    assert not place.folder.exists()
    assert place.manifest == {}
    assert place.progress is None
    assert not (world.state / "journal" / f"{case.name}.jsonl").exists()
    assert visible(world.state / "removing") == []
    assert not (world.processed / case.name).is_symlink()
    assert len(list((world.storage / ".trash").iterdir())) == times
    archive = world.archive()
    assert [record["name"] for record in archive] == [case.name] * times
    assert len({record["trash"] for record in archive}) == times


@pytest.mark.parametrize("keep", ["true", "false"])
@pytest.mark.parametrize("step", REMOVE_STEPS)
def test_an_add_after_a_killed_removal_is_whole_and_can_be_removed(
    world: FaultWorld, texts: Case, step: str, keep: str
) -> None:
    request, removal = world.add(texts.hf_id, "texts"), world.remove(texts.hf_id)
    world.quick_sync(request, CLEANUP_PROGRESS_ON_SUCCESS=keep).ok()
    assert world.quick("remove", removal, HUGFLOW_FAILPOINT=f"{step}:1").code == KILLED
    world.quick_sync(request).ok()
    assert world.quick("remove", removal, "--json").ok().result["status"] == "removed"
    assert not world.place(texts).folder.exists()
    assert visible(world.state / "removing") == []
    world.quick_sync(request).ok()
    world.check(texts, code=0)


@pytest.mark.parametrize("step", REMOVE_STEPS)
def test_an_add_after_a_killed_removal_of_half_a_dataset_is_whole(world: FaultWorld, texts: Case, step: str) -> None:
    """The journal of what was removed must not vouch for what is downloaded anew."""
    request, removal = world.add(texts.hf_id, "texts"), world.remove(texts.hf_id)
    assert world.quick("local-sync", request, HUGFLOW_FAILPOINT="journal_after:2").code == KILLED
    assert world.quick("remove", removal, HUGFLOW_FAILPOINT=f"{step}:1").code == KILLED
    assert world.quick_sync(request).code == 0
    world.check(texts)


@pytest.mark.parametrize(
    "step", ["group_moved", "journal_before", "finish_index", "finish_metadata", "finish_card", "finish_marker"]
)
def test_a_repair_killed_at_a_step_is_finished_by_the_request(world: FaultWorld, audio: Case, step: str) -> None:
    request = world.add(audio.hf_id, "audio")
    world.quick_sync(request).ok()
    for victim in sorted((world.place(audio).folder / "audio").iterdir())[:TIMES]:
        victim.write_bytes(b"rot")
        assert world.quick("verify", "--repair", HUGFLOW_FAILPOINT=f"{step}:1").code == KILLED
        world.check(audio)
        world.quick_sync(request).ok()
        world.check(audio, code=0)


@pytest.mark.parametrize("step", ["group_moved", "journal_before", "finish_index", "finish_card", "finish_marker"])
def test_a_repair_killed_at_a_step_is_finished_by_another_repair_and_the_request(
    world: FaultWorld, audio: Case, step: str
) -> None:
    request = world.add(audio.hf_id, "audio")
    world.quick_sync(request).ok()
    victim = min((world.place(audio).folder / "json").iterdir())
    victim.write_bytes(b"rot")
    assert world.quick("verify", "--repair", HUGFLOW_FAILPOINT=f"{step}:1").code == KILLED
    assert world.quick("verify", "--repair").code in (0, 3)
    world.quick_sync(request).ok()
    world.check(audio, code=0)
