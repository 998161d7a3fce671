"""A proxy that validates requests of a client and answers of the double by GitHub's OpenAPI description."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

NODE_MODULES = Path(__file__).resolve().parent.parent / "prism" / "node_modules"
DESCRIPTION = NODE_MODULES / "@octokit" / "openapi" / "generated" / "api.github.com.json"
_COMMAND = NODE_MODULES / "@stoplight" / "prism-cli" / "dist" / "index.js"
_START_S = 120.0


def why_missing() -> str | None:
    """Why the proxy cannot run here, in words for a skipped test; None when it can."""
    if shutil.which("node") is None:
        return "node is not installed"
    if not DESCRIPTION.is_file() or not _COMMAND.is_file():
        return "run `npm ci` in tests/prism first (`make setup` does)"
    return None


def excerpt(description: dict[str, Any], patterns: Iterable[str]) -> dict[str, Any]:
    """The paths that a double serves, with everything that they refer to: the whole takes half a minute to load.

    `patterns` have one `{name}` for each step of a path that varies, whatever the description calls it.
    """
    patterns = list(patterns)
    wanted = {_anonymous(pattern) for pattern in patterns}
    branches = {_anonymous(pattern) for pattern in patterns if pattern.endswith("*}")}
    paths = {
        # GitHub takes slashes in a reference (`heads/main`); Prism matches one step of a path, so one is named here
        re.sub(r"\{ref\}$", "heads/{ref}", path) if _anonymous(path) in branches else path: item
        for path, item in description["paths"].items()
        if _anonymous(path) in wanted
    }
    missing = wanted - {_anonymous(path.replace("heads/", "")) for path in paths}
    if missing:
        raise ValueError(f"the description has no {sorted(missing)}")
    kept: dict[str, dict[str, Any]] = {}
    _collect(paths, description, kept)
    head = {key: description[key] for key in ("openapi", "info")}
    return {**head, "servers": [{"url": "https://api.github.com"}], "paths": paths, "components": kept}


def _anonymous(path: str) -> str:
    return re.sub(r"\{\w+\*?\}", "{}", path)


def _collect(node: Any, description: dict[str, Any], kept: dict[str, dict[str, Any]]) -> None:
    if isinstance(node, list):
        for item in node:
            _collect(item, description, kept)
    elif isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):
            _keep(reference, description, kept)
        for item in node.values():
            _collect(item, description, kept)


def _keep(reference: str, description: dict[str, Any], kept: dict[str, dict[str, Any]]) -> None:
    _, _, kind, name = reference.split("/", 3)
    if name not in kept.setdefault(kind, {}):
        kept[kind][name] = description["components"][kind][name]
        _collect(kept[kind][name], description, kept)


class Prism:
    """The validating proxy in front of `upstream`, for the paths of `patterns`. Files go to `folder`."""

    def __init__(self, upstream: str, patterns: Iterable[str], folder: Path) -> None:
        self._upstream = upstream
        self._patterns = tuple(patterns)
        self._document = folder / "github.json"
        self._log = folder / "prism.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port: int = free.getsockname()[1]

    @property
    def url(self) -> str:
        """The address of the proxy."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        description = json.loads(DESCRIPTION.read_bytes())
        self._document.write_text(json.dumps(excerpt(description, self._patterns)))
        command = [
            "node",
            str(_COMMAND),
            "proxy",
            str(self._document),
            self._upstream,
            "--errors",
            "-p",
            str(self._port),
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    def _wait(self) -> None:
        end = time.monotonic() + _START_S
        while b"Prism is listening" not in self._log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > end:
                self._process.kill()
                self._process.wait()
                raise RuntimeError(f"prism did not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.1)
