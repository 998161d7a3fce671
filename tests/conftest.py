"""Isolates every test from the network, the home directory and real secrets.

Nothing of hugflow is patched. What a test process or a program that it starts could reach by accident is taken away
before any test module is imported, because huggingface_hub and datasets read most of the environment at import.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, settings

from tests.guard import sitecustomize as network_guard

# Machines are shared: the time that an example takes says nothing about the code. `make test` takes the same examples
# for everyone; `make soak` looks for new ones, but not in continuous integration, which judges a change.
settings.register_profile("same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("new", deadline=None, derandomize=False, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("new" if os.environ.get("HUGFLOW_SOAK") and not os.environ.get("CI") else "same")

ROOT = Path(__file__).resolve().parent.parent
GUARD = Path(network_guard.__file__).parent
# nothing listens on the discard port: what forgets to name its double is refused at once
NOWHERE = "http://127.0.0.1:9"

# Shaped like the real ones, so that masking by shape meets them as well.
CANARIES = {
    "HF_TOKEN": "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",
    "GITHUB_TOKEN": "ghp_CANARYcanaryCANARYcanaryCANARYcanary",
    "AWS_SECRET_ACCESS_KEY": "CANARYcanaryCANARYcanaryCANARYcanaryCANA",
    "SLACK_BOT_TOKEN": "xoxb-111111111111-CANARYcanaryCANARYcanary",
    "SLACK_WEBHOOK_URL": NOWHERE + "/services/T00CANARY/B00CANARY/CANARYcanaryCANARYcanary",
}
# Slack's would switch Slack on: a test of Slack puts them into its own environment
ALWAYS_SET = {name: secret for name, secret in CANARIES.items() if not name.startswith("SLACK_")}
_SECRET_PREFIXES = ("HF_", "HUGGING", "GITHUB_", "GH_", "ACTIONS_", "RUNNER_", "SLACK_", "AWS_", "HUGFLOW_", "XDG_")
_PASSED_ON = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
_HOME_KEY: pytest.StashKey[Path] = pytest.StashKey()
# what the tests against the real Hub need: kept for them alone (run them with `-n 0`, in the process that is asked)
LIVE = ("HF_TOKEN", "HUGFLOW_LIVE_REPO")
_LIVE_KEY: pytest.StashKey[dict[str, str]] = pytest.StashKey()


class RunHugflow(Protocol):
    """Runs `python -m hugflow ARGS` to its end and gives its exit code and output; see the fixture."""

    def __call__(
        self,
        *args: str | os.PathLike[str],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]: ...


def _safe_environ(home: Path) -> dict[str, str]:
    """The whole environment of a program that a test starts: homes in `home`, services nowhere, canaries as secrets."""
    passed_on = {name: os.environ[name] for name in os.environ if name in _PASSED_ON or name.startswith("COVERAGE_")}
    return passed_on | {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "XDG_STATE_HOME": str(home / ".local/state"),
        "HF_HOME": str(home / ".cache/huggingface"),
        "HF_ENDPOINT": NOWHERE,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "GITHUB_API_URL": NOWHERE,
        "PROCESSED_ROOT": str(home / "processed"),  # its default is a folder of the machine
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "A Tester",
        "GIT_AUTHOR_EMAIL": "tester@example.org",
        "GIT_COMMITTER_NAME": "A Tester",
        "GIT_COMMITTER_EMAIL": "tester@example.org",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(GUARD),
        **ALWAYS_SET,
    }


def pytest_configure(config: pytest.Config) -> None:
    """Take away the developer's environment before the first test module is imported."""
    home = Path(tempfile.mkdtemp(prefix="hugflow-test-home-"))
    config.stash[_HOME_KEY] = home
    config.stash[_LIVE_KEY] = {name: os.environ[name] for name in LIVE if os.environ.get(name)}
    for name in [name for name in os.environ if name.startswith(_SECRET_PREFIXES)]:
        del os.environ[name]
    os.environ.update(_safe_environ(home))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the home directory that the run had."""
    shutil.rmtree(config.stash[_HOME_KEY], ignore_errors=True)


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The repository's folder."""
    return ROOT


@pytest.fixture(scope="session")
def speech_dir(repo_root: Path) -> Path:
    """Six recordings of people that lie beside the repository, not in it."""
    folder = repo_root.parent / "shared" / "data" / "speech"
    if not folder.is_dir():
        pytest.skip("the shared recordings (../shared/data/speech) are not on this machine")
    return folder


@pytest.fixture
def live_environ(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """An environment for a program that may reach the real Hub; the test is skipped unless somebody set it up."""
    given = request.config.stash[_LIVE_KEY]
    if missing := [name for name in LIVE if name not in given]:
        pytest.skip(f"the real Hub is only asked where {' and '.join(missing)} is set")
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return kept | given | {"HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hf"), "LANG": "C.UTF-8"}


@pytest.fixture(scope="session")
def canaries() -> Mapping[str, str]:
    """False secrets by variable, which must appear in no output.

    The whole run carries them in its environment, but for Slack's, which would switch Slack on. A double that checks
    tokens must be told of the one that it should take, such as `canaries["HF_TOKEN"]`.
    """
    return CANARIES


@pytest.fixture
def clean_environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A whole environment for a program that the test starts, with an empty home of its own; change it freely."""
    return _safe_environ(tmp_path_factory.mktemp("home"))


def _check_no_canary(args: tuple[object, ...], done: subprocess.CompletedProcess[str]) -> None:
    for name, secret in CANARIES.items():
        for stream, text in (("stdout", done.stdout), ("stderr", done.stderr)):
            assert secret not in text, f"hugflow {args} wrote the secret {name} to {stream}"


@pytest.fixture
def run_hugflow(clean_environ: dict[str, str], tmp_path: Path) -> Iterator[RunHugflow]:
    """Run `python -m hugflow ARGS` in `cwd` (tmp_path) with exactly `env` (clean_environ); never reads stdin.

    The output is decoded as UTF-8. No secret may be in it, whatever the test is about.
    """

    def run(
        *args: str | os.PathLike[str],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "hugflow", *args],
            cwd=cwd or tmp_path,
            env=clean_environ if env is None else env,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        _check_no_canary(args, done)
        return done

    return run
