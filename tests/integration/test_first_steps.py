"""First use in an empty folder: settings in files, terminals of all kinds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.demo import CLIPS
from examples.parquet_repository import pack
from localhub import LocalHub
from tests.conftest import RunHugflow

DOCS = Path(__file__).resolve().parents[2] / "docs"
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


def fields(value: Any) -> set[str]:
    """Every key of a JSON value, at any depth."""
    if isinstance(value, dict):
        return set(value).union(*map(fields, value.values()))
    return set().union(*map(fields, value)) if isinstance(value, list) else set()


# in this order in one folder, each with the part of the page that describes its output
RESULTS = "## `local-sync`, `remove`, `publish` and `push`"
DOCUMENTED = (
    ("init again", "## `init`"),
    ("validate", "## `validate`"),
    ("doctor", "## `doctor`"),
    ("inspect acme/voices", "## `inspect`"),
    ("plan", "## `plan`"),
    ("local-sync requests/add/voices.yaml", RESULTS),
    ("push acme/lines rows.csv", RESULTS),
    ("publish others/publish/lines.yaml", RESULTS),
    ("freshness acme/lines", "## `freshness`"),
    ("plan others/publish/lines.yaml", "## `plan`"),
    ("status --check-upstream", "## `status`"),
    ("verify", "## `verify`"),
    ("plan others/remove/voices.yaml", "## `plan`"),
    ("remove others/remove/voices.yaml", RESULTS),
    ("plan --config nowhere.yaml", "## Errors"),
    ("local-sync others/remove/wrong.yaml", "## Errors"),
)


def test_every_field_of_the_json_output_is_documented(
    project: Path, hub: LocalHub, run_hugflow: RunHugflow, environ: dict[str, str]
) -> None:
    (project / "others/remove").mkdir(parents=True)
    (project / "others/remove/voices.yaml").write_text("hf_id: acme/voices\nreason: Enough\n")
    (project / "others/remove/wrong.yaml").write_text("hf_id: acme/voices\nreasons: Enough\n")
    (project / "rows.csv").write_text("n\n1\n")
    (project / "others/publish").mkdir(parents=True)
    (project / "others/publish/lines.yaml").write_text("repo_id: acme/lines\npath: rows.csv\n")
    hub.add_user("writer", token="hf_writer", role="write")
    environ = environ | {"HF_TOKEN": "hf_writer"}
    page = (DOCS / "json-output.md").read_text("utf-8")
    undocumented = {}
    for command, heading in DOCUMENTED:
        document = json.loads(run_hugflow(*command.split(), "--json", cwd=project, env=environ).stdout)
        assert document["command"] == command.split(maxsplit=1)[0]
        assert ("error" in document) == (heading == "## Errors"), document
        described = documented(page.split("\n## ", maxsplit=1)[0]) | documented(section(page, heading))
        # the fields of the request itself are described with requests
        described |= documented((DOCS / "requests.md").read_text("utf-8")) if "others" in command else set()
        undocumented[command] = fields(document) - described
    assert not {command: names for command, names in undocumented.items() if names}


def documented(text: str) -> set[str]:
    return {word for span in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"\w+", span)}


def section(text: str, heading: str) -> str:
    return text.split(f"\n{heading}\n")[1].split("\n## ", maxsplit=1)[0]
