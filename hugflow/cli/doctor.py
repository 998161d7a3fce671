"""The `doctor` command, which checks the installation before a run depends on it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import typer

from hugflow.cli.command import add_command
from hugflow.cli.wiring import Session
from hugflow.model.errors import ExitCode, HugflowError
from hugflow.render.humanize import count, size
from hugflow.report.json_output import document

LOW_SPACE_BYTES = 10_000_000_000
LOW_INODES = 1_000_000


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One finding. `fix` says what to do about it, where there is something to do."""

    name: str
    state: Literal["ok", "warning", "problem"]
    finding: str
    fix: str = ""


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "doctor", doctor, "Check that everything is set up, and say what to do.")


def doctor(
    session: Session,
) -> None:
    """Check token, Hub, ffmpeg, disk, permissions, GitHub and Slack settings; each finding says what to do.

    \b
    Example:
      hugflow doctor
    """
    checks: list[Diagnosis] = []
    for look in (_hub, _token, _ffmpeg, _storage, _state, _processed, _github, _slack):
        for check in look(session):
            checks.append(check)
            session.output.say(_line(check))
    bad = any(check.state == "problem" for check in checks)
    session.output.say("\nFix the errors above first." if bad else "\nReady.")
    code = ExitCode.FAILED if bad else ExitCode.DONE
    session.output.document(document("doctor", code, checks=[asdict(check) for check in checks]))
    raise typer.Exit(code)


def _line(check: Diagnosis) -> str:
    mark = {"ok": "✓", "warning": "!", "problem": "✗"}[check.state]
    return f"{mark} {check.name + ':':<12}{check.finding}" + (f"\n{'':14}{check.fix}" if check.fix else "")


def _hub(session: Session) -> Iterator[Diagnosis]:
    from dataclasses import replace

    endpoint = session.settings.hf_endpoint
    hub = replace(session.hub(), token=None, max_retries=0)
    try:
        # for any answer: the library requests lists five times, with waits in between
        hub.call(f"asking {endpoint}", lambda: hub.api().repo_exists("hugflow/doctor", repo_type="dataset"))
        yield Diagnosis("Hub", "ok", f"{endpoint} answers")
    except HugflowError as error:
        if error.reason in ("network", "hub_error"):
            yield Diagnosis("Hub", "problem", error.problem, "Check HF_ENDPOINT, the network, and a proxy's settings.")
        else:
            yield Diagnosis("Hub", "ok", f"{endpoint} answers")


def _token(session: Session) -> Iterator[Diagnosis]:
    if session.settings.hf_token is None:
        fix = "Set HF_TOKEN for private or gated datasets, and to publish."
        yield Diagnosis("HF token", "warning", "none: public datasets only", fix)
        return
    hub = session.hub()
    try:
        who = hub.call("checking the token", hub.api().whoami)
        yield Diagnosis("HF token", "ok", f"belongs to {who.get('name', 'an account')}")
    except HugflowError as error:
        yield Diagnosis("HF token", "problem", error.problem, error.fix)


def _ffmpeg(_: Session) -> Iterator[Diagnosis]:
    path = shutil.which("ffmpeg")
    if path is None:
        fix = "Install it (Debian: `apt-get install ffmpeg`) for M4A, WebM, AAC, WMA and AMR; the rest works without."
        yield Diagnosis("ffmpeg", "warning", "not found", fix)
        return
    said = subprocess.run([path, "-version"], capture_output=True, text=True, check=False, timeout=20)  # noqa: S603 - the program that was found
    yield Diagnosis("ffmpeg", "ok", said.stdout.partition("Copyright")[0].strip() or path)


def _storage(session: Session) -> Iterator[Diagnosis]:
    storage = session.storage()
    yield _writable("storage", "STORAGE_ROOT", storage.root)
    facts = storage.facts()
    space = f"{size(facts.free_bytes)} free"
    inodes = "" if facts.free_inodes is None else f", {count(facts.free_inodes)} inodes"
    low = facts.free_bytes < LOW_SPACE_BYTES or (facts.free_inodes or LOW_INODES) < LOW_INODES
    fix = "A million rows need about 2 million inodes." if low else ""
    yield Diagnosis("disk", "warning" if low else "ok", space + inodes, fix)


def _state(session: Session) -> Iterator[Diagnosis]:
    yield _writable("state", "STATE_DIR", session.state().path)


def _processed(session: Session) -> Iterator[Diagnosis]:
    root = session.storage().processed_root
    if root is not None:
        check = _writable("links", "PROCESSED_ROOT", root)
        yield check if check.state == "ok" else Diagnosis("links", "warning", check.finding, check.fix)


def _writable(name: str, setting: str, folder: Path) -> Diagnosis:
    """Tell if a folder can be written to or created, by its permissions alone: nothing is changed."""
    existing = folder
    while not existing.exists():
        existing = existing.parent
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return Diagnosis(
            name,
            "ok",
            f"{folder} is writable" if existing == folder else f"{folder} does not exist yet, and can be created",
        )
    fix = f"Set {setting} to a folder that this user may write to, or change the owner of {existing}."
    return Diagnosis(name, "problem", f"{folder} cannot be written to", fix)


def _github(session: Session) -> Iterator[Diagnosis]:
    settings = session.settings
    if settings.github_repo is None and settings.github_token is None:
        yield Diagnosis("GitHub", "ok", "not set up: fine for use on one machine")
    elif settings.github_token is None:
        yield Diagnosis("GitHub", "warning", "no GITHUB_TOKEN", "Set it, or log in with `gh auth login`.")
    elif settings.github_repo is None:
        yield Diagnosis("GitHub", "warning", "no GITHUB_REPO", "Set it to owner/name of the requests' repository.")
    else:
        yield Diagnosis("GitHub", "ok", f"{settings.github_repo} at {settings.github_api_url}")


def _slack(session: Session) -> Iterator[Diagnosis]:
    settings = session.settings
    if settings.slack_bot_token is not None:
        yield Diagnosis("Slack", "ok", f"bot, channel {settings.slack_channel}")
    elif settings.slack_webhook_url is not None:
        yield Diagnosis("Slack", "ok", "webhook")
    else:
        yield Diagnosis("Slack", "ok", "not set up: no messages are sent")
