"""The GitHub Actions job that a command runs in: its event, its inputs, its summary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hugflow.model.errors import UsageError


@dataclass(frozen=True, slots=True)
class ActionsJob:
    """The job's event and addresses; all empty outside of Actions."""

    event_name: str
    payload: dict[str, Any]
    run_url: str
    run_key: str
    workspace: Path | None
    summary_path: Path | None

    @classmethod
    def of(cls, env: Mapping[str, str]) -> ActionsJob:
        """The job that the variables of Actions describe, with its event's payload."""
        event = env.get("GITHUB_EVENT_PATH")
        payload: dict[str, Any] = json.loads(Path(event).read_text(encoding="utf-8")) if event else {}
        run_id, attempt = env.get("GITHUB_RUN_ID", ""), env.get("GITHUB_RUN_ATTEMPT", "1")
        server, repository = env.get("GITHUB_SERVER_URL", ""), env.get("GITHUB_REPOSITORY", "")
        workspace, summary = env.get("GITHUB_WORKSPACE"), env.get("GITHUB_STEP_SUMMARY")
        return cls(
            event_name=env.get("GITHUB_EVENT_NAME", ""),
            payload=payload,
            run_url=f"{server}/{repository}/actions/runs/{run_id}" if run_id and server else "",
            run_key=f"{run_id}-{attempt}" if run_id else "local",
            workspace=Path(workspace) if workspace else None,
            summary_path=Path(summary) if summary else None,
        )

    @property
    def inputs(self) -> dict[str, str]:
        """The inputs of a dispatched workflow."""
        return {key: str(value or "") for key, value in (self.payload.get("inputs") or {}).items()}

    def sender_who_dispatched(self) -> tuple[str, ...]:
        """The person who dispatched the run by hand, which takes write access; empty for a workflow that did so."""
        login = str((self.payload.get("sender") or {}).get("login", ""))
        by_hand = self.event_name == "workflow_dispatch" and login and not login.endswith("[bot]")
        return (login,) if by_hand else ()

    def pull_request_number(self, option: int | None) -> int:
        """The number that `option` gives, else that of the job's inputs or event. Raises UsageError."""
        event = self.payload.get("pull_request") or {}
        found: Any = option or self.inputs.get("pull_request") or event.get("number")
        if not str(found or "").isdecimal():
            raise UsageError("finding the pull request", "there is no number", "Name it with --pull-request.")
        return int(found)

    def write_summary(self, text: str) -> None:
        """Append to the job's summary, if there is a job."""
        if self.summary_path is not None:
            with self.summary_path.open("a", encoding="utf-8") as file:
                file.write(text + "\n")
