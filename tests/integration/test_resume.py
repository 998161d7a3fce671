"""Second runs: nothing to do for a complete dataset, the rest of a partial one, and all rows only with --restart."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localhub import LocalHub
from tests.support.world import (
    World,
    audio_cell,
    clip,
    journal_rows,
    leftovers,
    sound_file,
    strict_json,
    tree,
    wait_until,
)

SOUND = sound_file(clip(3, 0.3))
BAD = b"this is no sound"


def _rows(count: int, *, bad: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    return [
        {"audio": audio_cell(BAD if row in bad else SOUND, f"clip{row}.wav"), "text": f"row {row}"}
        for row in range(count)
    ]


@pytest.fixture(autouse=True)
def _clean_log(hub: LocalHub) -> Iterator[None]:
    hub.clear_log()
    yield
    hub.faults.clear()


def _progress(world: World) -> dict[str, Any]:
    (file,) = (world.state / "progress").iterdir()
    return strict_json(file.read_text())


# -- all is done -------------------------------------------------------------------------------------------------------


def test_a_second_run_does_nothing_and_asks_nobody(world: World, hub: LocalHub) -> None:
    world.serve("acme/twice", _rows(5))
    request = world.add("acme/twice")
    first = world.sync(request).ok().result
    assert (first["status"], first["new_rows"], first["rows_done"]) == ("complete", 5, 5)
    before, active = world.dataset().tree(), (world.state / "active.json").read_bytes()
    hub.clear_log()
    second = world.sync(request).ok().result
    assert (second["status"], second["new_rows"], second["rows_done"]) == ("unchanged", 0, 5)
    assert second["message"] == "Dataset already exists in storage"
    assert hub.requests() == []
    assert world.dataset().tree() == before
    assert (world.state / "active.json").read_bytes() == active
    assert "Dataset already exists in storage" in world.run("local-sync", request).ok().out


def test_the_state_is_tidied_or_kept_as_the_setting_says(world: World) -> None:
    world.serve("acme/tidy", _rows(3))
    request = world.add("acme/tidy")
    world.sync(request).ok()
    assert list((world.state / "progress").iterdir()) == []
    assert list((world.state / "journal").iterdir()) == []
    world.sync(request, "--restart", CLEANUP_PROGRESS_ON_SUCCESS="false").ok()
    progress = _progress(world)
    assert (progress["status"], progress["downloaded_files"], progress["percent_complete"]) == ("complete", 3, 100.0)
    assert len(list((world.state / "journal").iterdir())) == 1


def test_the_hub_is_asked_once_for_what_the_revision_means(world: World, hub: LocalHub) -> None:
    world.serve("acme/once", _rows(6), shards=3)
    world.sync(world.add("acme/once")).ok()
    asked = [record.target for record in hub.requests(r"/api/datasets/acme/once/revision/main")]
    assert len([target for target in asked if "blobs" in target]) == 1, asked
    footers = [record.target for record in hub.requests(r"\.parquet$", method="GET") if record.range]
    assert len(footers) == len(set(footers)) == 3, "every footer is read once"


def test_a_link_and_a_manifest_that_were_lost_are_made_again(world: World) -> None:
    world.serve("acme/lost", _rows(3))
    request = world.add("acme/lost")
    world.sync(request).ok()
    (world.state / "active.json").unlink()
    shutil.rmtree(world.processed)
    assert world.sync(request).ok().result["status"] == "unchanged"
    assert [entry["dataset"]["sha"] for entry in strict_json((world.state / "active.json").read_text())["datasets"]]
    assert (world.processed / world.dataset().name).resolve() == world.dataset().path


# -- the rest is done --------------------------------------------------------------------------------------------------


def test_all_rows_are_of_one_commit_though_the_branch_moves(world: World, hub: LocalHub) -> None:
    sha = world.serve("acme/moves", _rows(1_500), shards=3)
    request = world.add("acme/moves")
    with world.running("local-sync", request) as process:
        journal = world.state / "journal" / "acme__moves__split_train__rev_main.jsonl"
        wait_until(lambda: journal_rows(journal) or process.poll() is not None)
        process.terminate()
        process.wait(60)
    assert 0 < len(journal_rows(journal)) < 1_500
    hub.commit("acme/moves", {path: None for path in hub.paths("acme/moves") if "00001-of" in path})
    done = world.sync(request).ok().result
    assert (done["sha"], done["rows_done"]) == (sha, 1_500)
    assert {row["text"] for row in world.dataset().rows().values()} == {f"row {row}" for row in range(1_500)}
    assert world.sync(request).ok().result["sha"] == sha, "what is complete stays what it is"
    again = world.sync(request, "--restart").ok().result
    assert again["sha"] != sha
    assert again["rows_total"] == 1_000


_LIST_OPENED_FILES = """
import json, os, sys
from pathlib import Path
opened = []
sys.addaudithook(lambda event, args: event == "open" and opened.append(str(args[0])))
from hugflow.cli.boundary import run
from hugflow.cli.wiring import Shell
code = run(sys.argv[1:], Shell(dict(os.environ), Path.cwd(), os.environ.update, os._exit))
sys.stdout.flush()
sys.stderr.write(json.dumps([Path(path).name for path in opened]))
sys.stderr.flush()
os._exit(code)
"""


@pytest.mark.parametrize("kind", ["complete", "partial", "remove"])
def test_planning_opens_each_file_of_state_once(world: World, kind: str) -> None:
    hf_id = world.new_id()
    world.serve(hf_id, _rows(4, bad=(2,)))
    request = world.add(hf_id, max_failed_rows=0 if kind == "partial" else 1)
    world.sync(request)
    done = subprocess.run(
        [sys.executable, "-c", _LIST_OPENED_FILES, "plan", world.remove(hf_id) if kind == "remove" else request],
        cwd=world.folder,
        env=world.env,
        capture_output=True,
        text=True,
        check=True,
    )
    files = Counter(name for name in json.loads(done.stderr.splitlines()[-1]) if name.endswith((".json", ".jsonl")))
    assert {"plan.json", "dataset.json"} & set(files)
    assert {name: count for name, count in files.items() if count > 1} == {}


def test_the_manifest_is_rebuilt_also_where_a_plan_file_is_missing(world: World) -> None:
    done = world.downloaded(_rows(3))
    (world.state / "active.json").unlink()
    (done.path / ".hugflow" / "plan.json").unlink()
    (dataset,) = world.run("status", "--json").ok().json["datasets"]
    assert (dataset["state"], dataset["added_by"]) == ("complete", "unknown")
    verified = world.run("verify", "--json")
    assert verified.code == 74
    assert ".hugflow/plan.json" in verified.out


def test_settings_that_make_other_files_are_refused_with_a_way_out(world: World) -> None:
    world.serve("acme/settings", _rows(3))
    request = world.add("acme/settings")
    world.sync(request).ok()
    before = world.dataset().tree()
    refused = world.sync(request, LAME_QUALITY="7")
    assert (refused.code, refused.json["error"]["reason"]) == (4, "conflict")
    assert "quality was 3 and is now 7" in refused.json["error"]["problem"]
    assert "--restart" in refused.json["error"]["fix"]
    assert world.dataset().tree() == before
    world.sync(request, "--restart", LAME_QUALITY="7").ok()
    assert world.dataset().tree() != before


def test_restart_makes_the_same_once_more(world: World) -> None:
    world.serve("acme/restart", _rows(5))
    request = world.add("acme/restart")
    world.sync(request).ok()
    before = world.dataset().tree()
    (world.dataset().path / "audio" / "clip0__0.mp3").write_bytes(b"rot")
    (world.dataset().path / "json" / "99.json").write_text("{}")
    done = world.sync(request, "--restart").ok().result
    assert (done["status"], done["new_rows"]) == ("complete", 5)
    assert world.dataset().tree() == before


@pytest.mark.parametrize(
    ("step", "cleanup"),
    [
        ("finish_metadata", "true"),
        ("finish_marker", "true"),
        ("finish_manifest", "true"),
        ("finish_marker", "false"),
        ("finish_manifest", "false"),
    ],
)
def test_a_run_that_is_killed_at_its_end_is_tidied_up_by_the_next(world: World, step: str, cleanup: str) -> None:
    world.serve(f"acme/{step}-{cleanup}", _rows(3))
    request = world.add(f"acme/{step}-{cleanup}")
    settings = {"CLEANUP_PROGRESS_ON_SUCCESS": cleanup}
    assert world.sync(request, HUGFLOW_FAILPOINT=f"{step}:1", **settings).code == -9
    assert world.sync(request, **settings).ok().result["rows_done"] == 3
    files = [name for name in world.dataset().tree() if not name.startswith(("audio/", "json/"))]
    assert sorted(files) == [
        ".hugflow/dataset.json",
        ".hugflow/index.parquet",
        ".hugflow/plan.json",
        "README.md",
        "metadata.parquet",
    ]
    assert leftovers(world.storage, world.state) == []
    if cleanup == "true":
        assert list((world.state / "progress").iterdir()) == []
        assert list((world.state / "journal").iterdir()) == []
    else:
        assert _progress(world)["status"] == "complete"


# -- rows that fail ----------------------------------------------------------------------------------------------------


def test_rows_that_fail_leave_the_dataset_partial(world: World) -> None:
    world.serve("acme/bad", _rows(10, bad=(2, 7)))
    request = world.add("acme/bad")
    done = world.sync(request)
    assert (done.code, done.result["status"], done.result["reason"]) == (3, "partial", "failed_rows")
    assert (done.result["rows_done"], done.result["rows_failed"], done.result["rows_total"]) == (8, 2, 10)
    assert [(row["row"], row["reason"]) for row in done.result["errors"]] == [
        (2, "unsupported_audio"),
        (7, "unsupported_audio"),
    ]
    assert "max_failed_rows" in done.result["fix"]
    assert not (world.dataset().path / ".hugflow" / "dataset.json").exists()
    assert (
        not (world.state / "active.json").exists()
        or world.dataset().name not in (world.state / "active.json").read_text()
    )
    assert not world.processed.exists() or list(world.processed.iterdir()) == []
    progress = _progress(world)
    assert (progress["status"], progress["resume_data"]["completed_rows"]) == ("partial", [[0, 1], [3, 6], [8, 9]])
    again = world.sync(request)
    assert (again.code, again.result["new_rows"], again.result["rows_failed"]) == (3, 0, 2)


def test_rows_that_may_fail_do_not_hold_the_dataset_back(world: World) -> None:
    world.serve("acme/allowed", _rows(10, bad=(2, 7)))
    assert world.sync(world.add("acme/allowed", max_failed_rows=1)).code == 3
    done = world.sync(world.add("acme/allowed", max_failed_rows=2)).ok().result
    assert (done["status"], done["rows_done"], done["rows_failed"], done["new_rows"]) == ("complete", 8, 2, 0)
    stored = world.dataset()
    assert sorted(stored.rows()) == [0, 1, 3, 4, 5, 6, 8, 9]
    assert len(stored.audio_names()) == 8
    assert [row["row"] for row in stored.index() if row["status"] == "failed"] == [2, 7]
    assert (stored.marker()["rows_total"], stored.marker()["rows_failed"]) == (10, 2)
    assert world.sync(world.add("acme/allowed", max_failed_rows=2)).ok().result["status"] == "unchanged"


def test_failed_rows_are_tried_again_when_asked(world: World, tmp_path: Path) -> None:
    """Without ffmpeg an AAC file cannot be read; once it is installed, the row can be had."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    aac = tmp_path / "x.m4a"
    (tmp_path / "x.wav").write_bytes(SOUND)
    subprocess.run(["ffmpeg", "-v", "error", "-i", tmp_path / "x.wav", aac], check=True)
    rows = _rows(4)
    rows[1]["audio"] = audio_cell(aac.read_bytes(), "x.m4a")
    world.serve("acme/retry", rows)
    request = world.add("acme/retry", max_failed_rows=1)
    without = str(tmp_path / "empty")
    first = world.sync(request, PATH=without).ok().result
    assert (first["rows_done"], [row["reason"] for row in first["errors"]]) == (3, ["ffmpeg_missing"])
    assert world.sync(request).ok().result["status"] == "unchanged"
    again = world.sync(request, "--retry-failed").ok().result
    assert (again["status"], again["new_rows"], again["rows_done"], again["rows_failed"]) == ("complete", 1, 4, 0)
    assert sorted(world.dataset().rows()) == [0, 1, 2, 3]
    assert world.dataset().marker()["audio_files"] == 4
    assert world.sync(request, "--retry-failed").ok().result["status"] == "unchanged"


# -- what is there cannot be trusted -----------------------------------------------------------------------------------


def _plan_file(world: World) -> Path:
    return world.dataset().path / ".hugflow" / "plan.json"


@pytest.mark.parametrize("content", [None, "{}"])
def test_without_its_plan_a_dataset_is_not_continued(world: World, content: str | None) -> None:
    hf_id = "acme/plan-lost" if content is None else "acme/plan-damaged"
    world.serve(hf_id, _rows(5, bad=(1,)))
    request = world.add(hf_id, max_failed_rows=1)
    world.sync(request).ok()
    _plan_file(world).unlink()
    if content is not None:
        _plan_file(world).write_text(content)
    before = world.dataset().tree()
    for arguments in ([], ["--retry-failed"]):
        refused = world.sync(request, *arguments)
        assert (refused.code, refused.json["error"]["reason"]) == (74, "damaged_plan")
        assert "--restart" in refused.json["error"]["fix"]
        assert world.dataset().tree() == before
    world.sync(request, "--restart").ok()
    assert world.dataset().tree() != before


def test_a_folder_of_somebody_else_is_refused(world: World) -> None:
    world.serve("acme/foreign", _rows(2))
    request = world.add("acme/foreign")
    folder = world.storage / "acme__foreign__split_train__rev_main"
    (folder / "audio").mkdir(parents=True)
    (folder / "audio" / "precious.mp3").write_bytes(b"somebody's")
    for arguments in ([], ["--restart"]):
        refused = world.sync(request, *arguments)
        assert (refused.code, refused.result["reason"]) == (74, "foreign_directory")
        assert tree(folder).keys() == {"audio/precious.mp3"}


def test_a_damaged_journal_is_refused_and_kept(world: World) -> None:
    world.serve("acme/journal", _rows(5, bad=(1,)))
    request = world.add("acme/journal")
    assert world.sync(request).code == 3
    (journal,) = (world.state / "journal").iterdir()
    data = journal.read_bytes()
    journal.write_bytes(data[:100] + b"#" + data[101:])
    damaged = journal.read_bytes()
    refused = world.sync(request)
    assert refused.code == 74
    assert "damaged at byte 0" in refused.result["error"]
    assert journal.read_bytes() == damaged
    assert world.sync(request, "--restart").code == 3


def test_the_same_commit_under_another_name_is_refused(world: World) -> None:
    sha = world.serve("acme/same", _rows(2))
    world.sync(world.add("acme/same")).ok()
    other = world.add("acme/same", "other", revision=sha)
    refused = world.sync(other)
    assert (refused.code, refused.result["status"], refused.result["reason"]) == (4, "invalid", "duplicate")
    assert "acme__same__split_train__rev_main" in refused.result["error"]
    assert "CHECK_DUPLICATES" in refused.result["fix"]
    assert [path.name for path in world.storage.iterdir()] == ["acme__same__split_train__rev_main"]
    world.sync(other, CHECK_DUPLICATES="false").ok()


def test_a_quota_is_kept_before_the_first_byte(world: World, hub: LocalHub) -> None:
    world.serve("acme/quota", _rows(5))
    request = world.add("acme/quota")
    refused = world.sync(request, STORAGE_QUOTA_GB="0.00001")
    assert (refused.code, refused.result["reason"]) == (74, "preflight")
    assert "STORAGE_QUOTA_GB" in refused.result["error"]
    assert not world.storage.exists()
    assert [record for record in hub.requests(r"\.parquet", method="GET") if not record.range] == []


# -- two at once -------------------------------------------------------------------------------------------------------


def test_a_second_process_is_told_who_works_on_the_dataset(world: World) -> None:
    world.serve("acme/busy", _rows(1_500))
    request = world.add("acme/busy")
    with world.running("local-sync", request) as process:
        journal = world.state / "journal" / "acme__busy__split_train__rev_main.jsonl"
        wait_until(lambda: journal_rows(journal))
        refused = world.sync(request)
        assert process.poll() is None, "the first run was over too soon for this test"
        status = world.run("status", "--json").ok().json
    assert (refused.code, refused.result["reason"]) == (6, "locked")
    assert re.search(rf"process {process.pid} on \S+, since 20\d\d", refused.result["error"])
    assert [dataset["state"] for dataset in status["datasets"]] == ["running"]


# -- what an older tool began ------------------------------------------------------------------------------------------


def test_what_an_older_tool_began_is_continued(world: World, hub: LocalHub) -> None:
    world.serve("acme/old", _rows(10))
    request = world.add("acme/old")
    world.sync(request).ok()
    made = {row: world.dataset().mp3(values) for row, values in world.dataset().rows().items()}
    name = world.dataset().name
    shutil.rmtree(world.storage)
    shutil.rmtree(world.state)

    folder = world.storage / name  # files as the older tool named them, without anything of ours beside them
    (folder / "audio").mkdir(parents=True)
    (folder / "json").mkdir()
    for row in (0, 1, 2, 5):
        (folder / "audio" / f"clip{row}.mp3").write_bytes(made[row])
        document = {"audio": f"audio/clip{row}.mp3", "text": f"row {row}"}
        (folder / "json" / f"{row}.json").write_text(json.dumps(document))
    (folder / "audio" / "clip5.mp3").unlink()
    (world.state / "progress").mkdir(parents=True)
    progress = {
        "dataset_name": name,
        "status": "in_progress",
        "downloaded_files": 4,
        "total_files": 10,
        "resume_data": {"completed_rows": [0, 1, 2, 5], "expected_total_rows": 10, "version": "2.0"},
    }
    (world.state / "progress" / f"{name}.json").write_text(json.dumps(progress))

    done = world.sync(request).ok().result
    assert (done["status"], done["rows_done"], done["new_rows"]) == ("complete", 10, 7)
    rows = world.dataset().rows()
    assert [rows[row]["audio"] for row in range(6)] == [
        "audio/clip0.mp3",
        "audio/clip1.mp3",
        "audio/clip2.mp3",
        "audio/clip3__3.mp3",
        "audio/clip4__4.mp3",
        "audio/clip5__5.mp3",
    ]
    assert {row: world.dataset().mp3(values) for row, values in rows.items()} == made
    assert len(world.dataset().audio_names()) == 10
