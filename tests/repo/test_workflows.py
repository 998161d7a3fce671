"""The workflows and the action: their permissions, and that no code of a pull request is run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from hugflow.gitops import commands, dispatch
from hugflow.request.file import kind_of
from tests.doubles.openapi import NODE_MODULES
from tests.repo.workflow_runner import Runner, UnknownStepError

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github" / "workflows"
ACTION = ROOT / "action.yml"
EXAMPLE = ROOT / "examples" / "market-data" / "pipeline.yml"  # people copy it
NAMES = ("check", "dataset-sync", "commands", "apply", "watch")
# what a checkout may take: a commit that a pull request cannot choose
TRUSTED = frozenset({"${{ github.event.pull_request.base.sha }}", "${{ github.workflow_sha }}"})
SERVER = ["self-hosted", "hugflow"]
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40}")


def workflow(name: str) -> dict[str, Any]:
    """A workflow; YAML 1.1 reads its key `on` as true."""
    loaded: dict[Any, Any] = yaml.safe_load((FOLDER / f"{name}.yml").read_text())
    return {"on" if key is True else key: value for key, value in loaded.items()}


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every job of every workflow."""
    for name in NAMES:
        for job_name, job in workflow(name)["jobs"].items():
            yield f"{name}/{job_name}", job


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every step of every job, and of the action."""
    for name, job in jobs():
        for step in job["steps"]:
            yield name, step
    for step in yaml.safe_load(ACTION.read_text())["runs"]["steps"]:
        yield "action", step


def test_these_are_all_workflows_that_requests_need() -> None:
    assert set(NAMES) <= {path.stem for path in FOLDER.glob("*.yml")}


def test_permissions_are_none_but_what_a_job_names() -> None:
    for name in NAMES:
        assert workflow(name)["permissions"] == {}, name
    for name, job in jobs():
        assert job["permissions"], name
        assert isinstance(job["permissions"], dict), name


def test_actions_are_pinned_by_commit_with_their_version_beside() -> None:
    for path in [*FOLDER.glob("*.yml"), ACTION, EXAMPLE]:
        for line in path.read_text().splitlines():
            match = re.search(r"\buses: (\S+)(.*)", line)
            if match and not match.group(1).startswith("./"):
                assert PINNED.fullmatch(match.group(1)), line
                assert re.fullmatch(r" # v\d+\.\d+\.\d+", match.group(2)), line


def test_only_trusted_commits_are_checked_out_and_no_token_is_left_behind() -> None:
    found = 0
    for name, step in steps():
        if "actions/checkout" in step.get("uses", ""):
            found += 1
            assert step["with"]["ref"] in TRUSTED, name
            assert step["with"]["persist-credentials"] is False, name
    assert found == 3


def test_no_expression_stands_in_a_script() -> None:
    for name, step in steps():
        assert "${{" not in step.get("run", ""), name


def test_titles_bodies_and_branch_names_are_used_nowhere() -> None:
    for path in [*FOLDER.glob("*.yml"), ACTION, EXAMPLE]:
        text = path.read_text().replace("startsWith(github.event.comment.body, '/hugflow')", "")
        assert not re.search(
            r"\.(body|title|head_ref|label|name|email|message)\s*\}\}|head\.(ref|sha)|head_ref", text
        ), path


def test_the_server_runs_the_installed_release_and_nothing_else() -> None:
    seen = []
    for name, job in jobs():
        if job["runs-on"] == SERVER:
            seen.append(name)
            (step,) = job["steps"]
            assert re.fullmatch(r"exec hugflow [\w -]+", step["run"]), name  # exec: signals reach it
            assert job["environment"] == "hugflow", name
    assert seen == ["dataset-sync/sync", "apply/apply", "watch/watch"]


def test_secrets_are_only_in_jobs_of_the_environment() -> None:
    for name, job in jobs():
        if job["runs-on"] != SERVER:
            assert "secrets." not in json.dumps(job), name


def test_the_check_of_a_pull_request_can_write_nothing() -> None:
    (job,) = workflow("check")["jobs"].values()
    assert set(job["permissions"].values()) == {"read"}


def test_the_server_waits_for_the_gate() -> None:
    assert workflow("dataset-sync")["jobs"]["sync"]["needs"] == "gate"


def test_comments_of_strangers_start_no_job() -> None:
    condition = workflow("commands")["jobs"]["command"]["if"]
    found = re.search(r"contains\(fromJSON\('([^']*)'\), github\.event\.comment\.author_association\)", condition)
    assert found
    assert json.loads(found[1]) == ["OWNER", "MEMBER", "COLLABORATOR", "CONTRIBUTOR"]
    assert "&&" in condition
    assert "||" not in condition, "each part is needed"


def test_runs_of_a_pull_request_follow_each_other_and_are_not_cut_off() -> None:
    concurrency = workflow("dataset-sync")["concurrency"]
    assert concurrency["cancel-in-progress"] is False
    assert "github.event.pull_request.number || inputs.pull_request" in concurrency["group"]
    assert "github.sha" in workflow("apply")["concurrency"]["group"]


def test_jobs_end_themselves_before_the_token_does() -> None:
    for name in ("dataset-sync", "apply"):
        (job,) = (job for job in workflow(name)["jobs"].values() if job["runs-on"] == SERVER)
        assert "--max-runtime 20h" in job["steps"][0]["run"]
        assert 20 * 60 < job["timeout-minutes"] < 24 * 60


def test_the_code_and_the_workflows_agree_on_names() -> None:
    assert dispatch.SYNC_WORKFLOW == "dataset-sync.yml"
    assert dispatch.APPLY_WORKFLOW == "apply.yml"
    sync = workflow("dataset-sync")
    number = "${{ github.event.pull_request.number || inputs.pull_request }}"
    assert sync["run-name"].replace(number, "7") == dispatch.run_title(7)
    assert set(sync["on"]["workflow_dispatch"]["inputs"]) == {"pull_request", "sha", "mode", "only"}
    assert set(sync["on"]["workflow_dispatch"]["inputs"]["mode"]["options"]) == {"sync", "retry", "plan", "unlock"}
    assert set(workflow("apply")["on"]["workflow_dispatch"]["inputs"]) == {"pull_request", "before", "after"}
    for name in commands.NAMES:
        assert name in (FOLDER / "commands.yml").read_text()


def test_the_pre_commit_hook_takes_requests_and_nothing_else() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"] == "hugflow validate"
    for path in ("requests/add/a.yaml", "requests/remove/b.yml", "requests/publish/c.yaml"):
        assert kind_of(path)
        assert re.search(hook["files"], path)
    for path in ("requests/add/README.md", "requests/add/deep/a.yaml", "docs/requests/add/a.yaml", "requests/a.yaml"):
        assert not re.search(hook["files"], path)


# -- what other tools say


def tool(name: str) -> str:
    """A program of the virtual environment; the test is skipped where it is missing."""
    path = shutil.which(name, path=str(Path(sys.executable).parent))
    if path is None:
        pytest.skip(f"{name} is not installed in this environment (`make setup` installs it)")
    return path


def ended(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=ROOT)


def test_zizmor_finds_nothing_that_is_not_answered_in_place() -> None:
    done = ended(
        tool("zizmor"), "--offline", "--no-progress", "--persona", "regular", *map(str, (FOLDER, ACTION, EXAMPLE))
    )
    assert done.returncode == 0, done.stdout


def test_every_answer_to_zizmor_gives_its_reason() -> None:
    for path in FOLDER.glob("*.yml"):
        for line in path.read_text().splitlines():
            if "zizmor: ignore" in line:
                assert re.search(r"# zizmor: ignore\[[\w-]+\] \w.{20,}", line), line


def test_the_schemas_of_github_are_kept() -> None:
    program = tool("check-jsonschema")
    workflows = [*FOLDER.glob("*.yml"), EXAMPLE]
    for schema, paths in (("vendor.github-workflows", workflows), ("vendor.github-actions", [ACTION])):
        done = ended(program, "--builtin-schema", schema, *map(str, paths))
        assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def actionlint() -> list[str]:
    """The command that runs actionlint."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    if not (NODE_MODULES / "@tktco" / "node-actionlint").is_dir():
        pytest.skip("run `npm ci` in tests/prism first (`make setup` does)")
    return [node, str(ROOT / "tests" / "prism" / "lint-workflows.cjs")]


def test_actionlint_finds_nothing(actionlint: list[str]) -> None:
    done = ended(*actionlint, *map(str, FOLDER.glob("*.yml")), str(EXAMPLE))
    assert (done.returncode, done.stdout) == (0, "")


def test_actionlint_can_find_something(actionlint: list[str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.yml"
    bad.write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps: [{run: 'echo ${{ github.head_ref }}'}]\n"
    )
    done = ended(*actionlint, str(bad))
    assert done.returncode == 1
    assert "untrusted" in done.stdout


# -- a pull request that changes everything

PYTHON = """#!/bin/bash
# stands in for the runner's Python: notes what is installed, and runs the real one on what is to be run
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; exit; fi
if [ "$1 $2" = "-m pip" ]; then echo "installed ${@: -1}"; head -1 "${@: -1}"; exit; fi
exec REAL "$@"
"""


@pytest.fixture
def repository(tmp_path: Path) -> tuple[Path, str, str]:
    """A repository with our workflows, and a pull request that replaces every file: (folder, base, head)."""
    folder = tmp_path / "repository"
    folder.mkdir()

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "--quiet", "--initial-branch", "main")
    shutil.copytree(ROOT / ".github", folder / ".github")
    shutil.copy(ACTION, folder / "action.yml")
    _write(
        folder,
        {"hugflow/__init__.py": "", "hugflow/__main__.py": "print('TRUSTED')", "constraints-runtime.txt": "TRUSTED"},
    )
    git("add", ".")
    git("commit", "--quiet", "-m", "base")
    base = git("rev-parse", "HEAD")
    everything = git("ls-files").splitlines()
    evil = {path: _evil(path) for path in everything}
    extra = ("sitecustomize.py", "usercustomize.py", "requests/__init__.py", "yaml.py", ".env", "setup.py", "Makefile")
    _write(folder, evil | {path: _evil(path) for path in extra} | {"requests/add/x.yaml": "hf_id: $(echo PWNED)\n"})
    git("add", "--force", ".")
    git("commit", "--quiet", "-m", "$(echo PWNED)")
    return folder, base, git("rev-parse", "HEAD")


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def _evil(path: str) -> str:
    if path == "action.yml":
        step = {"run": "echo PWNED", "shell": "bash"}
        return yaml.safe_dump({"inputs": {}, "runs": {"using": "composite", "steps": [step]}})
    return "print('PWNED')\n" if path.endswith(".py") else "PWNED\n"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Programs in the PATH of the runner: Python, and on the server the installed release."""
    folder = tmp_path / "programs"
    _write(folder, {"python": PYTHON.replace("REAL", sys.executable), "hugflow": '#!/bin/bash\necho INSTALLED "$@"\n'})
    for path in folder.iterdir():
        path.chmod(0o755)
    return folder


def contexts(base: str, head: str) -> dict[str, Any]:
    """GitHub's contexts of an event of the pull request, with everything in them that its author can choose."""
    chosen = '$(echo PWNED)"; echo PWNED; echo "`echo PWNED`'
    pull = {"number": 7, "title": chosen, "body": chosen, "base": {"sha": base}, "head": {"sha": head, "ref": chosen}}
    comment = {"body": f"/hugflow retry {chosen}", "user": {"login": chosen}}
    return {
        "github": {
            "event": {"pull_request": pull, "comment": comment, "issue": {"title": chosen, "pull_request": {}}},
            "workflow_sha": base,
            "repository": "acme/data",
            "head_ref": chosen,
            "token": "ghs_token",
        },
        "secrets": {"HF_TOKEN": "hf_token"},
        "vars": {"AUTO_MERGE": "false"},
    }


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_a_pull_request_is_run(
    name: str, repository: tuple[Path, str, str], programs: Path, tmp_path: Path
) -> None:
    folder, base, head = repository
    text = subprocess.run(
        ["git", "-C", str(folder), "show", f"{base}:.github/workflows/{name}.yml"], capture_output=True, check=True
    ).stdout
    log = Runner(folder, tmp_path / "runner", programs, contexts(base, head)).run(yaml.safe_load(text))
    assert "PWNED" not in log
    assert "TRUSTED" in log or "INSTALLED" in log


def test_the_proof_can_fail(repository: tuple[Path, str, str], programs: Path, tmp_path: Path) -> None:
    folder, base, head = repository
    careless = workflow("check")
    careless["jobs"]["requests"]["steps"][0]["with"]["ref"] = "${{ github.event.pull_request.head.sha }}"
    assert "PWNED" in Runner(folder, tmp_path / "one", programs, contexts(base, head)).run(careless)
    echoing = {"jobs": {"x": {"steps": [{"run": 'echo "${{ github.head_ref }}"'}]}}}
    assert "PWNED" in Runner(folder, tmp_path / "two", programs, contexts(base, head)).run(echoing)
    unknown = {"jobs": {"x": {"steps": [{"uses": "somebody/else@v1"}]}}}
    with pytest.raises(UnknownStepError):
        Runner(folder, tmp_path / "three", programs, contexts(base, head)).run(unknown)


def test_a_pull_requests_files_in_the_current_folder_are_not_imported(
    repository: tuple[Path, str, str], programs: Path, tmp_path: Path
) -> None:
    """Another repository uses the action with its own checkout as the current folder."""
    folder, base, head = repository
    runner = Runner(folder, tmp_path / "runner", programs, contexts(base, head))
    ours = tmp_path / "action"
    ours.mkdir()
    subprocess.run(["bash", "-c", f'git -C "{folder}" archive {base} | tar -x -C "{ours}"'], check=True)
    runner._workspace = tmp_path / "runner" / "theirs"
    runner._workspace.mkdir(parents=True)
    runner._checkout(head)
    for step in yaml.safe_load(ACTION.read_text())["runs"]["steps"]:
        runner._step(step, {"command": "ci check", "token": "t", "python-version": "3.12"}, ours)
    assert "TRUSTED" in "".join(runner.log)
    assert "PWNED" not in "".join(runner.log)
