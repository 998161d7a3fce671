"""Issues and Slack messages about scheduled work, raised and cleared by the `hugflow ci` commands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hugflow.cli.wiring import Session, slack_channel
from hugflow.gitops.alerts import clear_alert, is_raised, raise_alert
from hugflow.gitops.client import GitHub
from hugflow.model.errors import HugflowError


@dataclass(frozen=True)
class Alerts:
    """Alerts: an issue for each problem, and a Slack message when it is opened and when it is closed."""

    session: Session
    github: GitHub

    def put(self, key: str, title: str, body: str, words: str, run_url: str = "") -> int:
        """Open the issue `key`, or update it; returns its number."""
        is_new = not is_raised(self.github, key)
        number = raise_alert(self.github, key, title, body)
        self.session.output.say(f"{words}; see issue {number}")
        if is_new:
            self._post(f"{words} (issue {number})", run_url)
        return number

    def clear(self, key: str, why: str, words: str = "", run_url: str = "") -> None:
        """Close the issue `key`, if it is open; `why` is its last comment (Markdown), `words` are for Slack."""
        if clear_alert(self.github, key, why):
            self._post(words or why, run_url)

    @cached_property
    def _channel(self) -> Any:
        return slack_channel(self.session)

    def _post(self, text: str, run_url: str = "") -> None:
        if self._channel is None:
            return
        from hugflow.slack.blocks import alerted

        try:
            self._channel.post(alerted(text, self.session.settings.github_repo or "", run_url))
        except HugflowError as error:
            # the issue is open already; Slack only repeats it
            self.session.output.complain(f"warning: Slack could not be notified: {error.problem}")
