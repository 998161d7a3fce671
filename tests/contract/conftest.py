"""Fixtures of the local Hub's contract tests: a running Hub, and real clients in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from localhub import LocalHub

ApiOf = Callable[[str | None], HfApi]
RunClient = Callable[..., Any]


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with LocalHub() as running:
        yield running


@pytest.fixture
def api_of(hub: LocalHub) -> ApiOf:
    """The real client as a user of the Hub; None is an anonymous one."""

    def api(user: str | None = None) -> HfApi:
        return HfApi(endpoint=hub.url, token=f"hf_{user}" if user else False)

    return api


@pytest.fixture
def run_client(hub: LocalHub, clean_environ: dict[str, str], tmp_path: Path) -> RunClient:
    """Run code in a process whose environment names the Hub only by HF_ENDPOINT, and give what it assigned to `result`.

    huggingface_hub and datasets read their environment at import, so code that needs another one needs a process.
    """

    def run(code: str, *, user: str | None = None, **environ: str) -> Any:
        env = clean_environ | {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_PROGRESS_BARS": "1"} | environ
        env.pop("HF_TOKEN")
        if user:
            env["HF_TOKEN"] = f"hf_{user}"
        # not torn down at its end: threads of Arrow's, which `datasets` reads with, now and then abort in that
        answer = "print('\\n' + json.dumps(result, default=str), flush=True)"
        script = f"{textwrap.dedent(code)}\nimport json, os\n{answer}\nos._exit(0)"
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """A small dataset folder: a card, a CSV file, a binary file of 3 MB, names that need quoting."""
    folder = tmp_path / "speech"
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\nlanguage: [en, fr]\ntags: [speech]\n---\n# Speech\n")
    (folder / "data" / "train.csv").write_text("text,speaker\nhello,1\nworld,2\n")
    (folder / "data" / "clip.mp3").write_bytes(bytes(range(256)) * 12_000)
    (folder / "data" / "été #1 50%+?.txt").write_text("a name that needs quoting")
    return folder
