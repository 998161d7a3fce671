"""Impossible requests are refused before any change, with a message that tells what to do.

`UPDATE_GOLDEN=1 pytest tests/integration/test_refusals.py` writes the golden messages again; the diff is the review.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from localhub import Fault, LocalHub
from tests.support.generated import GOLDEN_REQUESTS, MESSAGES, malformed_requests
from tests.support.world import AUDIO_TYPE, Done, World, audio_cell, clip, features_of, pack, sound_file, table_of

GOLDEN = Path(__file__).parent.parent / "golden" / "cli" / "refusals"
TWO_CONFIGS = """---
configs:
- config_name: de
  data_files: [{split: train, path: data/train-*.parquet}]
- config_name: en
  data_files: [{split: test, path: data/test-*.parquet}]
---
"""


@pytest.fixture(scope="module", autouse=True)
def _repositories(hub: LocalHub, tmp_path_factory: pytest.TempPathFactory, canaries: Mapping[str, str]) -> None:
    """Repositories that have what the requests below get wrong."""
    folder = tmp_path_factory.mktemp("repositories")
    rows = [{"audio": audio_cell(sound_file(clip(1, 0.1)), "x.wav"), "text": "hello", "speaker_id": 1}]
    speech = pack(folder / "speech", {"train": table_of(rows), "test": table_of(rows)})
    hub.add_dataset("acme/speech", speech)
    hub.add_dataset("acme/gated", speech, gated=True)
    hub.add_dataset("acme/private", speech, private=True)
    hub.add_dataset(
        "acme/configs", pack(folder / "configs", {"train": table_of(rows), "test": table_of(rows)}, card=TWO_CONFIGS)
    )
    renamed = table_of([{"recording": row["audio"], "sentence": "x"} for row in rows], audio=["recording"])
    hub.add_dataset("acme/renamed", pack(folder / "renamed", {"train": renamed}))
    image = pa.table({"picture": pa.array([{"bytes": b"x", "path": None}], AUDIO_TYPE)})
    image = image.replace_schema_metadata({b"huggingface": features_of({"picture": "image"})})
    hub.add_dataset("acme/images", pack(folder / "images", {"train": image}))
    (folder / "empty").mkdir()
    (folder / "empty" / "README.md").write_text("# Nothing here\n")
    hub.add_dataset("acme/empty", folder / "empty")
    (folder / "script").mkdir()
    (folder / "script" / "script.py").write_text("print('run me')\n")
    hub.add_dataset("acme/script", folder / "script")
    (folder / "broken" / "data").mkdir(parents=True)
    (folder / "broken" / "data" / "train-00000-of-00001.parquet").write_bytes(b"this is no parquet file at all")
    hub.add_dataset("acme/broken", folder / "broken")
    (folder / "away").mkdir()
    (folder / "away" / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files: hf://datasets/acme/speech/data/*.parquet\n---\n"
    )
    hub.add_dataset("acme/away", folder / "away")


# name: (fields of the request, environment, exit code)
REFUSED: dict[str, tuple[dict[str, Any], dict[str, str], int]] = {
    "wrong-split": ({"hf_id": "acme/speech", "split": "trian"}, {}, 4),
    "wrong-config": ({"hf_id": "acme/configs", "subset": "fr"}, {}, 4),
    "split-of-another-config": ({"hf_id": "acme/configs", "subset": "en", "split": "train"}, {}, 4),
    "several-configs-and-none-named": ({"hf_id": "acme/configs"}, {}, 4),
    "config-of-a-dataset-without-configs": ({"hf_id": "acme/speech", "subset": "en"}, {}, 4),
    "missing-audio-column": ({"hf_id": "acme/speech", "audio_column": "adio"}, {}, 4),
    "audio-in-another-column": ({"hf_id": "acme/renamed"}, {}, 4),
    "audio-column-of-images": ({"hf_id": "acme/images", "audio_column": "picture"}, {}, 4),
    "missing-text-column": ({"hf_id": "acme/speech", "text_column": "transcript"}, {}, 4),
    "missing-repository": ({"hf_id": "acme/nothing"}, {}, 4),
    "missing-repository-without-a-token": ({"hf_id": "acme/nothing"}, {"HF_TOKEN": ""}, 4),
    "missing-revision": ({"hf_id": "acme/speech", "revision": "v9"}, {}, 4),
    "gated": ({"hf_id": "acme/gated"}, {}, 4),
    "gated-without-a-token": ({"hf_id": "acme/gated"}, {"HF_TOKEN": ""}, 4),
    "private": ({"hf_id": "acme/private"}, {}, 4),
    "bad-token": ({"hf_id": "acme/speech"}, {"HF_TOKEN": "hf_wrongWrongWrongWrongWrong"}, 4),
    "no-files-of-data": ({"hf_id": "acme/empty"}, {}, 4),
    "needs-a-script": ({"hf_id": "acme/script"}, {}, 4),
    "broken-parquet": ({"hf_id": "acme/broken"}, {}, 4),
    "files-of-another-repository": ({"hf_id": "acme/away"}, {}, 4),
    "object-store": ({"hf_id": "acme/speech"}, {"STORAGE_ROOT": "s3://b/p"}, 4),
    "hub-out-of-reach": ({"hf_id": "acme/speech"}, {"HF_ENDPOINT": "http://127.0.0.1:9", "MAX_RETRIES": "1"}, 1),
}


def _check_golden(name: str, world: World, text: str) -> None:
    """Compare a message with its golden file; what differs between runs is replaced by its name."""
    shown = text.replace(world.hub.url, "HUB").replace(str(world.folder), "CHECKOUT")
    shown = re.sub(r"\b[0-9a-f]{40}\b", "COMMIT", shown)
    shown = re.sub(r"^\d\d:\d\d:\d\d ", "TIME ", shown, flags=re.MULTILINE)
    shown = re.sub(r"waits? \d+(\.\d+)?", "waits SECONDS", shown)
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(shown)
    assert shown == golden.read_text()


def _untouched(world: World, done: Done) -> None:
    assert done.out == ""
    assert not world.storage.exists()
    assert not world.processed.exists()
    made = [path for path in world.state.rglob("*") if path.is_file()] if world.state.exists() else []
    assert [path.name for path in made if path.name != "audit.jsonl"] == []


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_a_message_and_nothing_is_made(world: World, name: str) -> None:
    fields, environ, code = REFUSED[name]
    request = world.add(fields["hf_id"], **{key: value for key, value in fields.items() if key != "hf_id"})
    done = world.run("local-sync", request, **environ)
    assert done.code == code
    _check_golden(name, world, done.err)
    _untouched(world, done)


def test_the_same_refusal_as_json_names_field_line_and_column(world: World) -> None:
    done = world.sync(world.add("acme/speech", split="trian"))
    assert done.code == done.json["exit_code"] == 4
    (problem,) = done.json["error"]["problems"]
    assert (problem["field"], problem["line"], problem["column"]) == ("split", 3, 8)
    assert problem["path"] == "requests/add/one.yaml"


@pytest.mark.parametrize("name", ["gated", "private"])
def test_with_access_it_is_no_refusal(world: World, hub: LocalHub, name: str) -> None:
    hub.grant(f"acme/{name}", "reader")
    try:
        world.sync(world.add(f"acme/{name}")).ok()
        assert world.run("plan", world.add(f"acme/{name}")).ok()
    finally:
        hub.repository(f"acme/{name}").granted.discard("reader")


def test_a_hub_that_fails_for_a_while_is_asked_again(world: World, hub: LocalHub) -> None:
    fault = hub.faults.add(Fault(route="/api/datasets/acme/speech", status=503, count=2))
    try:
        world.sync(world.add("acme/speech")).ok()
        assert hub.faults.fired(fault) == 2
    finally:
        hub.faults.clear()


def test_a_hub_that_stays_broken_is_a_failure_that_may_be_tried_again(world: World, hub: LocalHub) -> None:
    fault = hub.faults.add(Fault(route="/api/datasets/acme/speech", status=500))
    try:
        done = world.sync(world.add("acme/speech"), MAX_RETRIES="2")
        assert hub.faults.fired(fault) == 3
    finally:
        hub.faults.clear()
    assert (done.code, done.json["error"]["reason"]) == (1, "hub_error")
    assert not world.storage.exists()


# -- requests that cannot be right -------------------------------------------------------------------------------------

MALFORMED = [path for path in malformed_requests() if path.parent.name in ("add", "remove")]


def _expected(path: Path) -> list[str]:
    name = f"requests/{path.relative_to(GOLDEN_REQUESTS).as_posix()}:"
    return [line for line in MESSAGES.read_text("utf-8").splitlines() if line.startswith(name)]


@pytest.mark.parametrize("path", MALFORMED[::2], ids=lambda path: path.stem)
def test_a_malformed_request_is_refused_line_by_line(world: World, path: Path) -> None:
    request = Path("requests") / path.relative_to(GOLDEN_REQUESTS)
    (world.folder / request).parent.mkdir(parents=True)
    shutil.copy(path, world.folder / request)
    command = "local-sync" if path.parent.name == "add" else "remove"
    done = world.run(command, str(request))
    assert done.code == 4
    expected = _expected(path)
    assert expected
    for line in expected:
        assert line in done.err
    _untouched(world, done)


def test_there_are_thirty_malformed_requests() -> None:
    assert len(MALFORMED[::2]) >= 30


@pytest.mark.parametrize("kind", ["missing", "folder", "link", "elsewhere"])
def test_what_is_no_request_file_is_refused(world: World, kind: str) -> None:
    path = world.folder / "requests" / "add" / "x.yaml"
    path.parent.mkdir(parents=True)
    target = world.folder / "other.yaml"
    target.write_text("hf_id: acme/speech\ndescription: x\n")
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(target)
    done = world.run("local-sync", "other.yaml" if kind == "elsewhere" else "requests/add/x.yaml")
    assert done.code == 4
    assert done.err.count("\n") >= 1
    _untouched(world, done)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["local-sync"], "Missing argument"),
        (["local-sync", "requests/add/x.yaml", "--no-such-option"], "No such option"),
        (["no-such-command"], "No such command"),
        (["inspect", "acme"], "must be"),
        (["status", "nothing"], "there is no"),
        (["schema", "nothing"], "is not a kind of request"),
        (["doctor", "--config", "none.yaml"], "there is no file"),
    ],
)
def test_a_wrong_command_line_is_exit_code_two(world: World, arguments: list[str], said: str) -> None:
    done = world.run(*arguments)
    assert done.code == 2
    assert said in done.err
    _untouched(world, done)
