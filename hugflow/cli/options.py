"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hugflow.cli.wiring import Common, Session, Shell

Config = Annotated[Path | None, typer.Option("--config", "-c", help="YAML file with settings.", metavar="FILE")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log everything.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Workers = Annotated[int | None, typer.Option("--workers", help="Worker processes; one a core unless set.", metavar="N")]
Request = Annotated[Path, typer.Argument(help="A request: a YAML file in add/ or remove/.", metavar="FILE")]
Requests = Annotated[
    list[Path] | None, typer.Argument(help="Requests; all under requests/ when left out.", metavar="FILE")
]


def session(
    context: typer.Context, config: Path | None, *, json: bool, verbose: bool, quiet: bool, **overrides: Any
) -> Session:
    """The session of a command with these options; `overrides` are settings that the command line gives."""
    shell: Shell = context.obj
    return shell.session(Common(config, json, verbose, quiet), **overrides)


def all_requests(cwd: Path) -> list[Path]:
    """Every request file under `requests/`, relative to the checkout."""
    found = (path for kind in ("add", "remove", "publish") for path in (cwd / "requests" / kind).glob("*"))
    return sorted(path.relative_to(cwd) for path in found if path.name not in {".gitkeep", "README.md"})
