"""Hugflow's Hub client in a process of its own, which answers questions as JSON lines.

The Hub's libraries read the environment at import, so the address of a test's Hub must be there before them; and one
process for many questions spares each test the seconds that these imports take.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Answer = dict[str, Any]


@dataclass
class HubClient:
    """The test's end. Every method raises AssertionError when the other end died."""

    process: subprocess.Popen[str]

    @classmethod
    @contextmanager
    def running(cls, environ: Mapping[str, str], folder: Path, module: str = __name__) -> Iterator[HubClient]:
        """A client for as long as the block lasts; its environment names the Hub, `module` answers."""
        with subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=Path(__file__).resolve().parents[2],
            env={**environ, "TMPDIR": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            yield cls(process)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(20) == 0

    def ask(self, question: str, **arguments: Any) -> Any:
        """The answer to a question: what one of the functions below returns, or `{"error": ...}` as `_error` has it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([question, arguments]), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        assert line, f"the client died at {question} {arguments}"
        return json.loads(line)

    def split(self, hf_id: str, **arguments: Any) -> Answer:
        """A split's columns, shards and rows, read as a run reads them."""
        answer: Answer = self.ask("split", hf_id=hf_id, **arguments)
        return answer

    def rows(self, hf_id: str, **arguments: Any) -> list[Any]:
        """Only the rows; an error is a failure of the test."""
        answer = self.split(hf_id, **arguments)
        assert "error" not in answer, answer
        rows: list[Any] = answer["rows"]
        return rows

    def refusal(self, hf_id: str, **arguments: Any) -> Answer:
        """The error that a split gives."""
        answer = self.split(hf_id, **arguments)
        assert "error" in answer, answer
        error: Answer = answer["error"]
        return error


# -- the other end ---------------------------------------------------------------------------------------------------


def _hub(settings: Mapping[str, Any] | None) -> Any:
    from hugflow.hf_client.http import Hub

    slept: list[float] = []
    hub = Hub(os.environ["HF_ENDPOINT"], **{"backoff": 0.01, "sleep": slept.append} | dict(settings or {}))
    hub.connect()
    return hub, slept


def split(
    hf_id: str, hub: Mapping[str, Any] | None = None, keep: bool = False, describe_only: bool = False, **fields: Any
) -> Answer:
    """Resolve a request and read all of its shards."""
    from hugflow.hf_client.read.resolve import open_split, resolve
    from hugflow.model.records import EncoderSettings
    from hugflow.model.specs import AddSpec
    from hugflow.request.file import ParsedRequest

    ours, slept = _hub(hub)
    spec = AddSpec(hf_id=hf_id, description="For the tests.", **fields)
    resolved = resolve(ours, ParsedRequest("requests/add/x.yaml", spec, {}), spec, EncoderSettings())
    plan = resolved.download
    answer: Answer = {
        "format": plan.format,
        "sha": plan.sha,
        "columns": {column.name: [column.kind, column.type] for column in plan.columns},
        "class_names": {path: names for column in plan.columns for path, names in column.class_names.items()},
        "nested_audio": [path for column in plan.columns for path in column.nested_audio],
        "audio_column": plan.audio_column,
        "files": [shard.path for shard in plan.shards],
        "expected_rows": plan.expected_rows,
        "groups": [shard.groups for shard in plan.shards],
        "facts": resolved.facts.model_dump(),
        "slept": slept,
    }
    if describe_only:
        return answer
    opened = open_split(ours, plan)
    with tempfile.TemporaryDirectory() as scratch:
        found = [_shard(opened, index, Path(scratch) / str(index)) for index in range(len(plan.shards))]
    return answer | {
        "shards": [len(rows) for rows, _ in found],
        "rows": [row for rows, _ in found for row in rows],
        "left": [left for _, left in found],
    }


def _shard(opened: Any, index: int, folder: Path) -> tuple[list[Any], list[str]]:
    from hugflow.formats.parquet_rows import parquet_batches, without_row_errors
    from hugflow.formats.rows import json_columns

    path = opened.fetch_rows(index, folder)
    rows: list[Any] = []
    for batch in parquet_batches(path, 0, 1 << 40, 16):
        values, errors = without_row_errors(batch)
        found = json_columns(values) if values.num_columns else [{}] * batch.num_rows
        rows += [{"failed": e.reason, "message": e.message} if e else row for row, e in zip(found, errors, strict=True)]
    return rows, sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def files(
    hf_id: str,
    paths: list[str],
    shard: str = "data.jsonl",
    revision: str = "main",
    hub: Mapping[str, Any] | None = None,
) -> Answer:
    """What `RepositoryFiles` reads at some paths: the content's hash, or the reason why there is none."""
    from hugflow.hf_client.read.audio_paths import RepositoryFiles
    from hugflow.hf_client.read.revisions import newest_commit
    from hugflow.model.errors import RowError

    ours, _ = _hub(hub)
    found = RepositoryFiles(ours, hf_id, newest_commit(ours, hf_id, revision)).read(paths, shard)
    return {
        path: {"reason": read.reason} if isinstance(read, RowError) else {"sha256": hashlib.sha256(read).hexdigest()}
        for path, read in found.items()
    }


def inspect(hf_id: str, revision: str = "main", hub: Mapping[str, Any] | None = None) -> Answer:
    """What `hugflow inspect` shows."""
    from hugflow.hf_client.read.resolve import inspect as look

    facts, summaries = look(_hub(hub)[0], hf_id, revision)
    return {
        "facts": facts.model_dump(),
        "splits": [[s.config, s.split, s.format, s.rows, s.shards] for s in summaries],
    }


def newest_commit(hf_id: str, revision: str = "main", hub: Mapping[str, Any] | None = None) -> Answer:
    """The commit of a revision, and what was waited for it."""
    from hugflow.hf_client.read.revisions import newest_commit as newest

    ours, slept = _hub(hub)
    return {"sha": newest(ours, hf_id, revision), "slept": slept}


def fetch(hf_id: str, left: str = "", limit_bytes: int | None = None, hub: Mapping[str, Any] | None = None) -> Answer:
    """Fetch the first shard of a split; `left` is what an earlier run left of it: "whole", "changed" or "cut"."""
    import resource

    from hugflow.hf_client.read.fetch import fetch_shard

    ours, slept = _hub(hub)
    plan = _plan(ours, hf_id)
    shard = plan.shards[0]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "shard"
        if left:
            path = fetch_shard(ours, hf_id, plan.sha, shard, folder)
            data = path.read_bytes()
            changed = data[:-1] + bytes([data[-1] ^ 1])
            path.write_bytes({"whole": data, "changed": changed, "cut": data[:-5]}[left])
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes if limit_bytes is not None else before[0], before[1]))
        try:
            data = fetch_shard(ours, hf_id, plan.sha, shard, folder).read_bytes()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {"sha256": hashlib.sha256(data).hexdigest(), "slept": slept, "files": files}


def _plan(hub: Any, hf_id: str) -> Any:
    from hugflow.hf_client.read.resolve import resolve
    from hugflow.model.records import EncoderSettings
    from hugflow.model.specs import AddSpec
    from hugflow.request.file import ParsedRequest

    spec = AddSpec(hf_id=hf_id, description="For the tests.")
    return resolve(hub, ParsedRequest("requests/add/x.yaml", spec, {}), spec, EncoderSettings()).download


def ranges(hf_id: str, path: str, size: int, reads: list[list[int]], hub: Mapping[str, Any] | None = None) -> Answer:
    """Seek and read in a file on the Hub; returns what came, in hexadecimal."""
    from hugflow.hf_client.remote_file import RemoteFile, RepositoryFile

    file = RemoteFile(RepositoryFile(_hub(hub)[0], hf_id, "main", path, size))
    found = []
    for offset, count in reads:
        file.seek(offset)
        found.append(file.read(count).hex())
    return {"found": found, "at": file.tell()}


def _error(error: Any) -> Answer:
    fields = {"type": type(error).__name__, "doing": error.doing, "problem": error.problem, "fix": error.fix}
    known = {"reason": error.reason, "exit_code": int(error.exit_code), "status_code": error.status_code}
    return {"error": fields | known | {"paths": getattr(error, "paths", None)}}


QUESTIONS: dict[str, Callable[..., Answer]] = {
    function.__name__: function for function in (split, files, inspect, newest_commit, fetch, ranges)
}


def serve(questions: Mapping[str, Callable[..., Answer]]) -> None:
    """Answer questions until there are no more, then end the process."""
    from hugflow.model.errors import HugflowError

    for line in sys.stdin:
        question, arguments = json.loads(line)
        try:
            answer = questions[question](**arguments)
        except HugflowError as error:
            answer = _error(error)
        except Exception:  # noqa: BLE001 - a bug: the test that asked shows it, and the next one can ask
            answer = {"error": {"type": "bug", "reason": None, "problem": traceback.format_exc(), "fix": ""}}
        print(json.dumps(answer, default=str), flush=True)
    os._exit(0)  # as hugflow ends: nothing is torn down around the threads of libraries


if __name__ == "__main__":
    serve(QUESTIONS)
