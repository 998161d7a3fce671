"""The audit trail: one line for every finished request, append-only, also with several writers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hugflow.model.errors import ExitCode, StorageFault
from hugflow.model.events import Progress, RunFinished, Warned
from hugflow.report.audit import AuditTrail, utc_now
from tests.support import sample_views as sample

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_request_that_ended_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "state" / "audit.jsonl"
    trail = AuditTrail(path, "ann", now=lambda: NOW)
    trail(RunFinished(sample.result(elapsed_s=1.23456)))
    assert lines(path) == [
        {
            "schema_version": 1,
            "time": "2026-03-01T12:30:00+00:00",
            "actor": "ann",
            "request": "requests/add/voices.yaml",
            "kind": "add",
            "name": "acme__voices__split_train__rev_main",
            "status": "complete",
            "exit_code": 0,
            "sha": sample.COMMIT,
            "rows_total": 24_690,
            "rows_done": 24_690,
            "rows_failed": 0,
            "new_rows": 24_690,
            "elapsed_s": 1.235,
            "message": "",
        }
    ]


def test_an_error_says_what_was_wrong(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    failed = sample.result(status="failed", exit_code=ExitCode.STORAGE_FAULT, message="m", error="disk\nfull")
    AuditTrail(path, "ann")(RunFinished(failed))
    (line,) = lines(path)
    assert (line["status"], line["exit_code"], line["message"]) == ("failed", 74, "disk\nfull")
    assert abs((utc_now() - datetime.fromisoformat(line["time"])).total_seconds()) < 600


def test_other_events_leave_no_trace(tmp_path: Path) -> None:
    trail = AuditTrail(tmp_path / "audit.jsonl", "ann")
    trail(Warned("r", "w"))
    trail(Progress("r", "n", 1, 1, 0, 1, 1, 1.0))
    assert list(tmp_path.iterdir()) == []


def test_it_is_only_ever_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"old": 1}\n')
    trail = AuditTrail(path, "ann")
    for _ in range(3):
        trail(RunFinished(sample.result()))
    assert lines(path)[0] == {"old": 1}
    assert len(lines(path)) == 4


@pytest.mark.parametrize("place", ["link", "fifo", "folder"])
@pytest.mark.timeout(30)
def test_something_else_in_its_place_is_a_fault(tmp_path: Path, place: str) -> None:
    path, other = tmp_path / "audit.jsonl", tmp_path / "other"
    other.write_text("")
    {"link": lambda: path.symlink_to(other), "fifo": lambda: os.mkfifo(path), "folder": path.mkdir}[place]()
    with pytest.raises(StorageFault, match="writing the audit trail"):
        AuditTrail(path, "ann")(RunFinished(sample.result()))
    assert other.read_text() == ""


WRITE = """
import sys
from pathlib import Path
from hugflow.report.audit import AuditTrail
from hugflow.model.errors import ExitCode
from hugflow.model.events import Result, RunFinished
sys.stdin.read()
trail = AuditTrail(Path(sys.argv[1]), sys.argv[2] * 500)
for row in range(20):
    trail(RunFinished(Result("r", "add", "n", "complete", ExitCode.DONE, rows_total=row)))
"""


def test_lines_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITE, path, actor], stdin=subprocess.PIPE) for actor in "abcd"]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.close()
    assert [writer.wait(60) for writer in writers] == [0] * 4
    written = [(line["actor"], line["rows_total"]) for line in lines(path)]
    assert sorted(written) == [(actor * 500, row) for actor in "abcd" for row in range(20)]
