"""Output of commands for people (golden files) and programs (one strict JSON object), without any secret.

`UPDATE_GOLDEN=1 pytest tests/integration/test_commands.py` writes the golden files again; the diff is the review.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from localhub import Fault, LocalHub
from tests.support.world import Done, World, audio_cell, clip, sound_file, strict_json, table_of

GOLDEN = Path(__file__).parent.parent / "golden" / "cli" / "commands"
SOUND = sound_file(clip(9, 0.5))
CARD = "---\nlicense: cc-by-4.0\n---\n# Speech\n"


@pytest.fixture(scope="module")
def world_of_three(shared_world: World) -> World:
    """A checkout with a complete dataset, a partial one, and a request that nobody has run."""
    rows = [{"audio": audio_cell(SOUND, "x.wav"), "text": f"row {n}", "id": n} for n in range(3)]
    shared_world.serve("acme/speech", {"train": table_of(rows), "test": table_of(rows[:1])}, card=CARD)
    shared_world.serve("acme/half", [*rows[:2], {"audio": audio_cell(b"bad", "y.wav"), "text": "bad", "id": 9}])
    shared_world.serve("acme/later", [{"text": "no audio", "n": 1}])
    shared_world.sync(shared_world.add("acme/speech", "speech"), GITHUB_ACTOR="octocat").ok()
    assert shared_world.sync(shared_world.add("acme/half", "half")).code == 3
    shared_world.add("acme/later", "later")
    shared_world.remove("acme/speech", "gone")
    return shared_world


def _stable(text: str, world: World) -> str:
    """The text without what differs between machines and runs."""
    shown = text.replace(world.hub.url, "HUB").replace(str(world.folder), "CHECKOUT").replace(str(Path.home()), "HOME")
    shown = re.sub(r"\b[0-9a-f]{12,40}\b", "COMMIT", shown)
    shown = re.sub(r"^\d\d:\d\d:\d\d ", "", shown, flags=re.MULTILINE)
    shown = re.sub(r"\b20\d\d-\d\d-\d\d\b", "DATE", shown)
    shown = re.sub(r"[\d.]+ [kMGT]B free", "SPACE free", shown)
    shown = re.sub(r". disk: .*\n(?: {14}.*\n)?", "disk: as it is\n", shown)
    shown = re.sub(r"\b\d[\d.]* (?:k|M)?B\b", "SIZE", shown)
    shown = re.sub(r"in (?:less than a second|\d+ s)", "in TIME", shown)
    shown = re.sub(r"\d+ rows/s", "N rows/s", shown)
    shown = re.sub(r"ffmpeg version \S+", "ffmpeg version N", shown)
    return re.sub(r"(?<=\S) {2,}", "  ", shown)


def _check_golden(name: str, world: World, done: Done) -> None:
    text = f"exit code {done.code}\n--- stdout\n{_stable(done.out, world)}--- stderr\n{_stable(done.err, world)}"
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


COMMANDS = {
    "status": ["status"],
    "status-one": ["status", "acme__half__split_train__rev_main"],
    "inspect": ["inspect", "acme/speech"],
    "plan": ["plan", "requests/add/speech.yaml", "requests/add/half.yaml", "requests/add/later.yaml"],
    "plan-remove": ["plan", "requests/remove/gone.yaml"],
    "plan-conflict": ["plan"],
    "validate": ["validate", "requests/add/speech.yaml", "requests/add/half.yaml"],
    "doctor": ["doctor"],
    "local-sync-unchanged": ["local-sync", "requests/add/speech.yaml"],
    "local-sync-partial": ["local-sync", "requests/add/half.yaml"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_people_see(world_of_three: World, name: str) -> None:
    if name == "doctor" and shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed: doctor says another thing")
    _check_golden(name, world_of_three, world_of_three.run(*COMMANDS[name]))


@pytest.mark.parametrize("name", COMMANDS)
def test_with_json_stdout_is_one_strict_object(world_of_three: World, name: str) -> None:
    done = world_of_three.run(*COMMANDS[name], "--json")
    document = strict_json(done.out)
    assert document["command"] == COMMANDS[name][0]
    assert document["exit_code"] == done.code
    assert document["schema_version"] == 1


def test_a_download_as_people_see_it(world: World) -> None:
    rows = [{"audio": audio_cell(SOUND, "x.wav"), "text": f"row {n}"} for n in range(3)]
    world.serve("acme/shown", rows, card=CARD)
    request = world.add("acme/shown")
    _check_golden("local-sync", world, world.run("local-sync", request))
    _check_golden("remove", world, world.run("remove", world.remove("acme/shown")))


def test_quiet_says_nothing_when_all_is_well(world_of_three: World) -> None:
    done = world_of_three.run("local-sync", "requests/add/speech.yaml", "--quiet").ok()
    assert (done.out, done.err) == ("", "")


def test_verbose_says_what_the_libraries_say(world_of_three: World) -> None:
    assert "DEBUG" in world_of_three.run("inspect", "acme/speech", "--verbose").ok().err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["requests/add/later.yaml"], 2),
        (["requests/add/speech.yaml"], 0),
        (["requests/add/speech.yaml", "requests/add/later.yaml"], 2),
        (["requests/add/none.yaml"], 1),
    ],
)
def test_the_detailed_exit_code_of_a_plan(world_of_three: World, arguments: list[str], code: int) -> None:
    assert world_of_three.run("plan", *arguments, "--detailed-exitcode").code == code


def test_looking_changes_nothing(world_of_three: World) -> None:
    def everything() -> dict[str, float]:
        found = (path for path in world_of_three.folder.rglob("*") if "locks" not in path.parts)
        return {str(path): path.lstat().st_mtime for path in found}

    before = everything()
    for arguments in (
        ["status"],
        ["plan", "requests/add/later.yaml"],
        ["inspect", "acme/speech"],
        ["doctor"],
        ["validate"],
    ):
        world_of_three.run(*arguments)
    assert everything() == before


# -- status ------------------------------------------------------------------------------------------------------------


def test_status_as_programs_see_it(world_of_three: World) -> None:
    datasets = {dataset["name"]: dataset for dataset in world_of_three.run("status", "--json").ok().json["datasets"]}
    assert {name: dataset["state"] for name, dataset in datasets.items()} == {
        "acme__half__split_train__rev_main": "partial",
        "acme__later__split_train__rev_main": "missing",
        "acme__speech__split_train__rev_main": "complete",
    }
    speech = datasets["acme__speech__split_train__rev_main"]
    assert (speech["rows_total"], speech["rows_done"], speech["duration_s"]) == (3, 3, 1.5)
    assert (speech["added_by"], speech["request"]) == ("octocat", "requests/add/speech.yaml")
    assert speech["identity"] == {"hf_id": "acme/speech", "subset": None, "split": "train", "revision": "main"}
    half = datasets["acme__half__split_train__rev_main"]
    assert (half["rows_done"], half["rows_failed"], half["rows_total"]) == (2, 1, 3)


def _copy(world: World, other: World) -> World:
    shutil.copytree(other.folder, world.folder, symlinks=True, dirs_exist_ok=True)
    return world


def test_a_state_that_was_lost_is_made_again_from_the_datasets(world: World, world_of_three: World) -> None:
    _copy(world, world_of_three)
    before = strict_json((world.state / "active.json").read_text())["datasets"]
    shutil.rmtree(world.state)
    for arguments in ([], ["--rebuild"]):
        (dataset, *_) = [
            d for d in world.run("status", "--json", *arguments).ok().json["datasets"] if d["rows_total"] == 3
        ]
        assert dataset["state"] in ("complete", "partial")
        after = strict_json((world.state / "active.json").read_text())["datasets"]
        assert [entry["dataset"] for entry in after] == [entry["dataset"] for entry in before]


def test_a_damaged_manifest_is_named_with_its_remedy(world: World, world_of_three: World) -> None:
    _copy(world, world_of_three)
    (world.state / "active.json").write_text("garbage")
    done = world.run("status")
    assert done.code == 74
    assert "`hugflow status --rebuild`" in done.err
    world.run("status", "--rebuild").ok()
    world.run("status").ok()


# -- init, schema ------------------------------------------------------------------------------------------------------


def test_init_makes_what_is_not_there(world: World) -> None:
    (world.folder / "mine").mkdir()
    (world.folder / "mine" / ".gitignore").write_text("mine\n")
    done = world.run("init", "mine", "--json").ok().json
    assert ".gitignore" in done["kept"]
    assert {".env.example", "requests/add/.gitkeep", "request-example.yaml"} <= set(done["made"])
    assert (world.folder / "mine" / ".gitignore").read_text() == "mine\n"
    assert all((world.folder / "mine" / path).is_file() for path in done["made"])
    again = world.run("init", "mine", "--json").ok().json
    assert again["made"] == []
    example = (world.folder / "mine" / "request-example.yaml").read_text()
    (world.folder / "mine" / "requests" / "add" / "x.yaml").write_text(example)
    assert world.run("validate", "mine/requests/add/x.yaml").code == 0


@pytest.mark.parametrize("kind", ["add", "remove", "publish"])
def test_schemas_are_schemas(world: World, kind: str) -> None:
    schema = strict_json(world.run("schema", kind).ok().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert strict_json(world.run("schema").ok().out)[kind] == schema


def test_a_request_fits_its_schema(world: World) -> None:
    schema = strict_json(world.run("schema", "add").ok().out)
    jsonschema.validate({"hf_id": "acme/speech", "description": "x"}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"hf_id": "acme", "description": "x"}, schema)


# -- doctor ------------------------------------------------------------------------------------------------------------


def _checks(done: Done) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in done.json["checks"]}


def test_doctor_finds_what_is_wrong_and_says_what_to_do(world: World) -> None:
    (world.folder / "datasets").write_text("a file in the place of the folder")
    environ = {"HF_TOKEN": "hf_wrongWrongWrongWrongWrong", "PATH": str(world.folder), "STATE_DIR": "datasets/state"}
    done = world.run("doctor", "--json", **environ)
    checks = _checks(done)
    assert done.code == 1
    bad = {name: check["state"] for name, check in checks.items() if check["state"] != "ok"}
    assert bad["HF token"] == "problem"
    assert bad["ffmpeg"] == "warning"
    assert bad["storage"] == "problem"
    assert bad["state"] == "problem"
    assert "STORAGE_ROOT" in checks["storage"]["fix"]
    assert "STATE_DIR" in checks["state"]["fix"]
    assert all(checks[name]["fix"] for name in bad)


def test_doctor_without_a_hub(world: World) -> None:
    done = world.run("doctor", "--json", HF_ENDPOINT="http://127.0.0.1:9")
    assert (done.code, _checks(done)["Hub"]["state"]) == (1, "problem")


# -- secrets -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def _slack(world: World, canaries: Mapping[str, str]) -> None:
    """A world that has every secret there is."""
    world.settings |= {**canaries, "SLACK_CHANNEL": "data", "LOG_FILE": str(world.folder / "hugflow.log")}


@pytest.mark.usefixtures("_slack")
def test_no_secret_is_in_any_output_or_file(world: World, canaries: Mapping[str, str]) -> None:
    """Not when all goes well, nor when things fail; `run` looks at the output."""
    hf_id = world.new_id()
    sounds = (b"bad", SOUND, SOUND)
    world.serve(hf_id, [{"audio": audio_cell(sound, "x.wav"), "text": "x"} for sound in sounds])
    request = world.add(hf_id)
    assert world.run("local-sync", request, "--verbose").code == 3
    for arguments in (
        ["status", "--json"],
        ["doctor", "-v"],
        ["plan", request, "-v", "--json"],
        ["inspect", hf_id, "-v"],
    ):
        world.run(*arguments)
    world.hub.faults.add(Fault(route="/api/", status=500, message=f"echo {canaries['HF_TOKEN']}"))
    try:
        assert world.run("local-sync", request, "--restart", "--verbose", MAX_RETRIES="1").code == 1
    finally:
        world.hub.faults.clear()
    assert world.run("remove", world.remove(hf_id), "--verbose").code == 0
    files = [path for path in world.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert (world.folder / "hugflow.log") in files
    for path in files:
        data = path.read_bytes()
        for name, secret in canaries.items():
            assert secret.encode() not in data, f"{name} is in {path}"


def test_a_plan_tells_what_no_count_knows_and_what_is_left_out(world: World, hub: LocalHub) -> None:
    hf_id = world.new_id()
    hub.add_dataset(hf_id)
    hub.commit(hf_id, {"train.csv": b"path,n\nclips/a.wav,1\n", "clips/a.wav": SOUND})
    plan = world.run("plan", world.add(hf_id)).ok().out
    assert "unknown until they are read" in plan
    assert "! warning: 1 file of the repository is in no split (1 .wav): `clips/a.wav`. If a column names the" in plan
    document = world.run("plan", world.add(hf_id), "--json").ok().json["plans"][0]
    assert (document["rows"], document["audio_column"]) == (None, None)
    assert [finding["level"] for finding in document["findings"]] == ["info", "warning"]


def test_json_only_is_asked_for_by_null(world: World) -> None:
    hf_id = world.new_id()
    world.serve(hf_id, {"train": table_of([{"speech": audio_cell(SOUND, "x.wav"), "text": "a"}], audio=["speech"])})
    assert world.sync(world.add(hf_id)).code == 4
    request = world.add(hf_id, audio_column=None)
    (finding,) = world.run("plan", request, "--json").ok().json["plans"][0]["findings"]
    assert finding["message"].startswith("audio that is not extracted: `speech`")
    assert world.sync(request).ok().result["audio_bytes"] == 0
    assert world.dataset().rows()[0]["speech"]["bytes"]["omitted_bytes"] == len(SOUND)
