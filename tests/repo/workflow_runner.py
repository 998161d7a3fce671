"""A small runner for our own workflows: real Git, real shells, and GitHub's expressions as far as they are used.

It takes the workflow from the commit that GitHub would take it from, checks out what `actions/checkout` is told to, and
runs every `run` step. Installing is recorded, not done.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_CHECKOUT = "actions/checkout@"
_SETUP = "actions/setup-python@"


class UnknownStepError(AssertionError):
    """A workflow does something that this runner, and so the test, knows nothing of."""


@dataclass
class Runner:
    """Runs the jobs of a workflow for one event, in `folder`. `programs` comes first in PATH."""

    repository: Path
    folder: Path
    programs: Path
    contexts: dict[str, Any]
    log: list[str] = field(default_factory=list)
    _workspace: Path = field(init=False)

    def run(self, workflow: Mapping[str, Any]) -> str:
        """Run all jobs, whatever their conditions say; returns everything that was printed."""
        for name, job in workflow["jobs"].items():
            self._workspace = self.folder / name / "workspace"
            self._workspace.mkdir(parents=True)
            for step in job["steps"]:
                self._step(step, {})
        return "\n".join(self.log)

    def _step(self, step: Mapping[str, Any], inputs: Mapping[str, str], action: Path | None = None) -> None:
        uses = step.get("uses", "")
        given = {key: self._text(value, inputs, action) for key, value in step.get("with", {}).items()}
        if uses.startswith(_CHECKOUT):
            self._checkout(given["ref"])
        elif uses == "./":
            self._action(given)
        elif "run" in step:
            self._shell(step, inputs, action)
        elif not uses.startswith(_SETUP):
            raise UnknownStepError(step)

    def _checkout(self, ref: str) -> None:
        command = f'git -C "{self.repository}" archive "{ref}" | tar -x -C "{self._workspace}"'
        subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)

    def _action(self, given: Mapping[str, str]) -> None:
        action = yaml.safe_load((self._workspace / "action.yml").read_text())
        defaults = {name: self._text(spec.get("default", ""), {}, None) for name, spec in action["inputs"].items()}
        for step in action["runs"]["steps"]:
            self._step(step, {**defaults, **given}, self._workspace)

    def _shell(self, step: Mapping[str, Any], inputs: Mapping[str, str], action: Path | None) -> None:
        env = {key: self._text(value, inputs, action) for key, value in step.get("env", {}).items()}
        temporary = self._workspace.parent / "temp"
        temporary.mkdir(exist_ok=True)
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", self._text(step["run"], inputs, action)],
            cwd=self._workspace,
            env={**env, "PATH": f"{self.programs}:{os.environ['PATH']}", "RUNNER_TEMP": str(temporary)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.log.append(done.stdout + done.stderr)

    def _text(self, value: object, inputs: Mapping[str, str], action: Path | None) -> str:
        def evaluate(match: re.Match[str]) -> str:
            for alternative in match.group(1).split("||"):
                found = self._look_up(alternative.strip(), inputs, action)
                if found:
                    return str(found)
            return ""

        return _EXPRESSION.sub(evaluate, str(value))

    def _look_up(self, path: str, inputs: Mapping[str, str], action: Path | None) -> object:
        if path == "github.action_path":
            return str(action)
        node: Any = {**self.contexts, "inputs": inputs or self.contexts.get("inputs", {})}
        for step in path.split("."):
            node = node.get(step) if isinstance(node, dict) else None
        return node
