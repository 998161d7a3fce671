"""Arguments and options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from hugflow.model.errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Config = Annotated[Path | None, typer.Option("--config", "-c", help="YAML file with settings.", metavar="FILE")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log everything.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Workers = Annotated[
    int | None, typer.Option("--workers", help="Worker processes; one per core by default.", metavar="N")
]
ProgressInterval = Annotated[
    int | None, typer.Option("--progress-interval", help="Rows between two lines of progress.", metavar="N")
]
Request = Annotated[Path, typer.Argument(help="A request: a YAML file in add/ or remove/.", metavar="FILE")]
Requests = Annotated[
    list[Path] | None, typer.Argument(help="Requests; all under requests/ when left out.", metavar="FILE")
]
PullRequestNumber = Annotated[
    int | None, typer.Option("--pull-request", help="Its number; that of the event unless given.", metavar="N")
]
Commit = Annotated[
    str | None, typer.Option("--sha", help="The commit to work on; that of the event, else the newest.", metavar="SHA")
]
MaxRuntime = Annotated[
    str | None, typer.Option("--max-runtime", help="Pause after this long: 90m, 20h, 2d.", metavar="TIME")
]


def seconds(text: str, option: str = "--max-runtime") -> float:
    """A time such as `90m` or `20h` in seconds, as `option` takes it. Raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"reading {option}", f"{text!r} is no time", "Write a number and s, m, h or d: 20h.")
    return float(match[1]) * _UNITS[match[2]]


def all_requests(cwd: Path) -> list[Path]:
    """Every request file under `requests/`, relative to the checkout."""
    found = (path for kind in ("add", "remove", "publish") for path in (cwd / "requests" / kind).glob("*"))
    return sorted(path.relative_to(cwd) for path in found if path.name not in {".gitkeep", "README.md"})
