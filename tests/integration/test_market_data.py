"""The example pipeline: its tables, its request, and the steps of its workflow, which are run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from hugflow.model.publish_spec import PublishSpec
from hugflow.publish.freshness import max_age_s
from hugflow.request.file import load
from localhub import LocalHub
from tests.conftest import CANARIES, ROOT
from tests.support.publishing import Loader, Remote, writable_hub
from tests.support.pull_requests import GITHUB_WEB, Runner, serving
from tests.support.world import World

EXAMPLE = ROOT / "examples" / "market-data"
REPO = "acme/market-data"
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    """A Hub on which the pipeline may write."""
    with writable_hub() as running:
        yield running


def build(folder: Path, until: date) -> dict[str, list[dict[str, Any]]]:
    """The tables as they are built for a day."""
    command = [sys.executable, str(EXAMPLE / "build.py"), "--until", str(until), "--to", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return {path.stem: pq.read_table(path).to_pylist() for path in folder.glob("*.parquet")}


def test_a_day_always_has_the_same_rows(tmp_path: Path) -> None:
    first, again = (build(tmp_path / name, YESTERDAY) for name in ("one", "two"))
    assert first == again
    earlier = build(tmp_path / "three", YESTERDAY - timedelta(days=1))
    for name, rows in earlier.items():
        assert first[name][: len(rows)] == rows
    assert len(first["ohlcv_daily"]) - len(earlier["ohlcv_daily"]) == 3 * 4
    assert len(first["funding_rates"]) - len(earlier["funding_rates"]) == 3 * 4 * 3
    for row in first["ohlcv_daily"]:
        assert 0 < row["low"] <= min(row["open"], row["close"]) <= max(row["open"], row["close"]) <= row["high"]


def test_its_request_is_watched() -> None:
    spec = load(EXAMPLE / "requests" / "publish" / "market-data.yaml").spec
    assert isinstance(spec, PublishSpec)
    assert spec.repo_id == REPO
    assert max_age_s(spec) == 2 * 86_400


# -- the workflow ----------------------------------------------------------------------------------------------------


@dataclass
class Pipeline:
    """A GitHub runner that does the steps of the workflow; what it would install is this checkout's own Hugflow."""

    runner: Runner
    checkout: Path
    broken: bool = False
    log: list[str] = field(default_factory=list)

    def run(self) -> dict[str, str]:
        """All jobs of the workflow; returns how each of them ended."""
        workflow = yaml.safe_load((EXAMPLE / "pipeline.yml").read_text())
        return {name: self._job(job) for name, job in workflow["jobs"].items()}

    def _job(self, job: dict[str, Any]) -> str:
        status, outcomes = "success", {}
        for step in job["steps"]:
            if "run" not in step or "pip install" in step["run"]:
                continue
            skipped = status != "success" and step.get("if") != "always()"
            code = 0 if skipped else self._step(step, status, outcomes)
            outcomes[step.get("id", "")] = "skipped" if skipped else "failure" if code else "success"
            if code:
                status = "failure"
        return status

    def _step(self, step: dict[str, Any], status: str, outcomes: dict[str, str]) -> int:
        known = {
            "job.status": status,
            "steps.look.outcome": outcomes.get("look", ""),
            "github.token": CANARIES["GITHUB_TOKEN"],
            "secrets.HF_TOKEN": CANARIES["HF_TOKEN"],
        }
        env = {
            key: known.get(value.removeprefix("${{ ").removesuffix(" }}"), "") if value.startswith("${{") else value
            for key, value in step.get("env", {}).items()
        }
        folder = self.checkout / step.get("working-directory", ".")
        if "build.py" in step["run"] and self.broken:
            (folder / "build.py").write_text("raise SystemExit('the source of the data is down')\n")
        done = subprocess.run(
            ["bash", "-e", "-c", step["run"]],
            cwd=folder,
            env=self._environ() | env,
            capture_output=True,
            text=True,
            check=False,
        )
        self.log.append(f"{step['name']}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.returncode

    def _environ(self) -> dict[str, str]:
        state = self.runner.state
        bin_folder = self.checkout.parent / "bin"
        bin_folder.mkdir(exist_ok=True)
        (bin_folder / "hugflow").write_text(f'#!/bin/bash\nexec "{sys.executable}" -m hugflow "$@"\n')
        (bin_folder / "python").write_text(f'#!/bin/bash\nexec "{sys.executable}" "$@"\n')
        for path in bin_folder.iterdir():
            path.chmod(0o755)
        actions = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_REPO": state.full_name,
            "GITHUB_REPOSITORY": state.full_name,
            "GITHUB_RUN_ID": "42",
            "GITHUB_SERVER_URL": GITHUB_WEB,
            "GITHUB_API_URL": self.runner.github.api,
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
        }
        return self.runner.world.env | actions


@pytest.fixture
def pipeline(world: World, tmp_path: Path) -> Iterator[Pipeline]:
    """A checkout with the example in it."""
    checkout = tmp_path / "actions"
    shutil.copytree(EXAMPLE, checkout / "examples" / "market-data", ignore=shutil.ignore_patterns("data", ".hugflow*"))
    world.settings |= {"HF_HUB_DISABLE_XET": "1"}
    with serving(world) as runner:
        yield Pipeline(runner, checkout)


def test_the_pipeline_publishes_alerts_and_recovers(pipeline: Pipeline, hub: LocalHub, tmp_path: Path) -> None:
    remote = Remote(hub, REPO)
    assert pipeline.run() == {"publish": "success", "freshness": "success"}, pipeline.log
    assert remote.commits() == ["Market data of the day"]
    spec = remote.spec
    assert (spec["exchanges"], spec["exchanges_count"]) == (["aurora", "boreal", "cirrus"], 3)
    assert (spec["symbols_count"], spec["intervals"]["ohlcv_daily"]) == (4, "1d")
    assert remote.table("ohlcv_daily")["date_range"]["end"] == YESTERDAY.isoformat()
    assert remote.table("funding_rates")["time_range"]["end"] == f"{YESTERDAY}T16:00:00Z"
    assert spec["data_quality"]["validation_passed"]
    assert pipeline.runner.state.issues == {}
    with Loader.running(hub, tmp_path) as loader:
        expected = pq.read_table(pipeline.checkout / "examples/market-data/data/ohlcv_daily.parquet").to_pylist()
        assert loader.load(REPO, "ohlcv_daily").rows == expected

    # the source of the data is down, and what readers see grows old
    good = (pipeline.checkout / "examples/market-data/build.py").read_text()
    pipeline.broken = True
    assert pipeline.run() == {"publish": "failure", "freshness": "success"}
    (failed,) = pipeline.runner.state.issues.values()
    assert (failed.title, failed.state) == ("Daily pipeline failed", "open")
    assert "/actions/runs/42" in failed.body
    old = json.dumps(spec | {"updated_at": "2026-01-01T00:00:00Z", "update_time": "2026-01-01"})
    hub.commit(REPO, {"spec.json": old.encode()})
    assert pipeline.run() == {"publish": "failure", "freshness": "failure"}
    _, stale = pipeline.runner.state.issues.values()
    assert (stale.title, stale.state) == ("Data is stale", "open")
    assert "Data is stale: last update 2026-01-01" in "".join(pipeline.log)

    # it comes back
    pipeline.broken = False
    (pipeline.checkout / "examples/market-data/build.py").write_text(good.replace("0.02, 0.4", "0.02, 0.5"))
    assert pipeline.run() == {"publish": "success", "freshness": "success"}
    assert [issue.state for issue in pipeline.runner.state.issues.values()] == ["closed", "closed"]
    assert CANARIES["HF_TOKEN"] not in "".join(pipeline.log)


def test_a_broken_rule_keeps_the_day_before(pipeline: Pipeline, hub: LocalHub) -> None:
    remote = Remote(hub, REPO)
    before = remote.head if remote.exists else None
    build_py = pipeline.checkout / "examples/market-data/build.py"
    build_py.write_text(build_py.read_text().replace("chance.gauss(1e-4, 3e-4)", "1.0"))
    assert pipeline.run()["publish"] == "failure"
    assert (remote.head if remote.exists else None) == before
    assert "`funding_rates` has" in "".join(pipeline.log)
    assert "Daily pipeline failed" in [issue.title for issue in pipeline.runner.state.issues.values()]
