"""What a newcomer does in an empty folder, and what surrounds a command: settings in files, terminals of all kinds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.demo import CLIPS
from examples.parquet_repository import pack
from localhub import LocalHub
from tests.conftest import RunHugflow

NAME = "acme__voices__split_train__rev_main"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    """A Hub with one dataset, which everybody may read."""
    repository = tmp_path_factory.mktemp("repository") / "voices"
    pack(CLIPS, repository, shards=1, licence="mit")
    with LocalHub() as hub:
        hub.add_dataset("acme/voices", repository)
        yield hub


@pytest.fixture
def environ(clean_environ: dict[str, str]) -> dict[str, str]:
    """The environment of a person who has set nothing."""
    for name in ("HF_ENDPOINT", "HF_TOKEN", "PROCESSED_ROOT"):
        del clean_environ[name]
    return clean_environ


@pytest.fixture
def project(tmp_path: Path, hub: LocalHub, run_hugflow: RunHugflow, environ: dict[str, str]) -> Path:
    """A folder that `hugflow init` made, with a request; only its `.env` says where the Hub is."""
    assert run_hugflow("init", cwd=tmp_path, env=environ).returncode == 0
    (tmp_path / ".env").write_text(f"HF_ENDPOINT={hub.url}\nPROCESSED_ROOT=processed\nWORKERS=1\n")
    (tmp_path / "requests/add/voices.yaml").write_text("hf_id: acme/voices\ndescription: A first try\n")
    return tmp_path


def test_from_nothing_to_a_dataset(project: Path, run_hugflow: RunHugflow, environ: dict[str, str]) -> None:
    for command in ("doctor", "validate", "plan", "local-sync requests/add/voices.yaml", "status"):
        done = run_hugflow(*command.split(), cwd=project, env=environ)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert NAME in done.stdout
    assert "complete" in done.stdout
    assert len(list((project / "datasets" / NAME / "audio").iterdir())) == 12
    assert (project / "processed" / NAME).resolve() == project / "datasets" / NAME


@pytest.mark.parametrize("command", ["plan", "inspect acme/voices"])
def test_the_address_of_the_hub_in_dot_env_reaches_the_libraries(
    project: Path, hub: LocalHub, run_hugflow: RunHugflow, environ: dict[str, str], command: str
) -> None:
    hub.clear_log()
    done = run_hugflow(*command.split(), cwd=project, env=environ)
    assert done.returncode == 0, done.stderr
    assert hub.requests("acme/voices")
    assert "huggingface.co" not in done.stderr


def test_the_address_of_the_hub_in_a_settings_file_reaches_the_libraries(
    project: Path, hub: LocalHub, run_hugflow: RunHugflow, environ: dict[str, str]
) -> None:
    (project / ".env").unlink()
    (project / "settings.yaml").write_text(f"hf_endpoint: {hub.url}\n")
    done = run_hugflow("plan", "--config", "settings.yaml", cwd=project, env=environ)
    assert done.returncode == 0, done.stderr


def test_what_the_hubs_library_logs_does_not_reach_the_terminal(
    project: Path, run_hugflow: RunHugflow, environ: dict[str, str]
) -> None:
    (project / ".env").write_text("HF_ENDPOINT=http://127.0.0.1:9\nMAX_RETRIES=0\n")
    done = run_hugflow("plan", cwd=project, env=environ)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 2, done.stderr  # what is wrong, and what to do
    assert "the Hub could not be reached" in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_without_our_signs_gets_others(
    project: Path, run_hugflow: RunHugflow, environ: dict[str, str], encoding: str
) -> None:
    done = run_hugflow("doctor", cwd=project, env={**environ, "PYTHONIOENCODING": encoding})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("+ Hub:"), done.stdout


def test_json_holds_the_same_whatever_the_terminal_can_show(
    project: Path, run_hugflow: RunHugflow, environ: dict[str, str]
) -> None:
    (project / "requests/add/voices.yaml").write_text("hf_id: acme/voices\ndescription: Jardín, 庭, 🌳\n", "utf-8")
    shown = [
        json.loads(run_hugflow("plan", "--json", cwd=project, env={**environ, "PYTHONIOENCODING": encoding}).stdout)
        for encoding in ("ascii", "utf-8")
    ]
    for document in shown:
        assert document["plans"][0].pop("storage")  # free space changes from one moment to the next
        assert document["plans"][0]["description"] == "Jardín, 庭, 🌳"
    assert shown[0] == shown[1]


def test_what_people_read_can_be_searched(project: Path, run_hugflow: RunHugflow, environ: dict[str, str]) -> None:
    done = run_hugflow("plan", cwd=project, env=environ)
    assert "\u00a0" not in done.stdout  # a no-break space looks like a space, and no search for a space finds it
