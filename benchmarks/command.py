"""Starts the real `hugflow local-sync` for benchmarks, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HF_ID = "acme/rows"
NAME = "acme__rows__split_train__rev_main"
_ERRORS = "errors.txt"
_REQUEST = f"hf_id: {HF_ID}\ndescription: Short rows\n"


def local_sync(folder: Path, endpoint: str) -> subprocess.Popen[bytes]:
    """Start the command in `folder`, with storage and state in it; it prints nothing. See `failure`."""
    request = folder / "requests" / "add" / "rows.yaml"
    request.parent.mkdir(parents=True, exist_ok=True)
    request.write_text(_REQUEST, encoding="utf-8")
    with (folder / _ERRORS).open("w", encoding="utf-8") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "hugflow", "local-sync", request.relative_to(folder), "-q"],
            cwd=folder,
            env=_environment(folder, endpoint),
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )


def failure(process: subprocess.Popen[bytes], folder: Path) -> SystemExit:
    """The reason why the command in `folder` ended too early."""
    said = (folder / _ERRORS).read_text(encoding="utf-8")
    return SystemExit(f"hugflow ended with exit code {process.returncode}:\n{said}")


def _environment(folder: Path, endpoint: str) -> dict[str, str]:
    """The whole environment of the command: none of the machine's own settings and caches."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "TMPDIR") if name in os.environ}
    return kept | {
        "HOME": str(folder),
        "HF_HOME": str(folder / "hf"),
        "HF_ENDPOINT": endpoint,
        "STORAGE_ROOT": str(folder / "storage"),
        "PROCESSED_ROOT": str(folder / "processed"),
        "STATE_DIR": str(folder / "state"),
        "CLEANUP_PROGRESS_ON_SUCCESS": "false",
    }
