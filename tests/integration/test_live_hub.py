"""The real Hub: push, load, count, change, delete. Only with HF_TOKEN and HUGFLOW_LIVE_REPO (`org/name`) set.

The repository is made private if it is not there, and keeps what other configs it has. The first test says why the
others are skipped.
"""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

_ALL = """
import json, sys
import pyarrow as pa
from datasets import load_dataset
from hugflow import check_freshness, delete_from_hub, publish_table
repo, config = sys.argv[1:]
rows = pa.table({"n": range(1000), "text": [f"row {n}" for n in range(1000)]})
options = {"private": True, "num_shards": 3, "distinct": {f"{config}_texts": "text"}, "card": {"license": "mit"}}
said = {}
try:
    first = publish_table(rows, repo, config, **options)
    said["first"] = [first.rows[config], first.commit_url is not None, first.sent_bytes > 0]
    again = publish_table(rows, repo, config, **options)
    said["again"] = [again.commit_url, again.sent_bytes]
    loaded = load_dataset(repo, config, split="train", revision=first.sha)
    said["loaded"] = [loaded.num_rows, loaded[999]["text"]]
    more = publish_table(rows.append_column("m", rows["n"]), repo, config, **options)
    said["more"] = load_dataset(repo, config, split="train", revision=more.sha).column_names
    said["stale"] = check_freshness(repo).is_stale
finally:
    said["deleted"] = delete_from_hub(repo, config, reason="The end of the live test.").commit_url is not None
print(json.dumps(said))
"""


@pytest.fixture(params=["0", "1"], ids=["Xet", "LFS"])
def said(request: pytest.FixtureRequest, live_environ: dict[str, str], tmp_path: Path) -> dict[str, Any]:
    """What one round on the real Hub said; its config has a name of its own, and is gone at the end."""
    command = [sys.executable, "-c", _ALL, live_environ["HUGFLOW_LIVE_REPO"], f"live_{uuid.uuid4().hex[:12]}"]
    environ = live_environ | {"HF_HUB_DISABLE_XET": request.param}
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=550, check=False)
    output = (done.stdout + done.stderr).replace(live_environ["HF_TOKEN"], "***")
    assert done.returncode == 0, output
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_push_load_count_and_delete_on_the_real_hub(said: dict[str, Any]) -> None:
    assert said == {
        "first": [1000, True, True],
        "again": [None, 0],
        "loaded": [1000, "row 999"],
        "more": ["n", "text", "m"],
        "stale": False,
        "deleted": True,
    }
