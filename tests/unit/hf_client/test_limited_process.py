"""Processes with limits: any event in one becomes a result or an error of the call, in bounded time."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hugflow.hf_client.read.limited_process import LimitedProcess, ProcessLimits, child_environment
from hugflow.model.errors import ExitCode, HugflowError, InvalidRequest, Paused, TryAgain, UnreadableSource
from tests.support.world import wait_until

MODULE = "tests.support.limited_functions"
ROOT = Path(__file__).parents[3]
MB = 1 << 20


@contextmanager
def started(folder: Path, memory_bytes: int = 400 * MB, cpu_s: float = 20) -> Iterator[LimitedProcess]:
    path = f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"
    environment = child_environment(os.environ) | {"PYTHONPATH": path}
    with LimitedProcess.start(folder, ProcessLimits(memory_bytes, cpu_s), environment) as process:
        yield process


def call(process: LimitedProcess, function: str, *args: Any, disk_bytes: int = 100 * MB, **more: Any) -> Any:
    wait = more.pop("wait", lambda _: None)
    return process.call("reading a test", f"{MODULE}:{function}", *args, wait=wait, disk_bytes=disk_bytes, **more)


def refusal(process: LimitedProcess, function: str, *args: Any, **more: Any) -> HugflowError:
    with pytest.raises(HugflowError) as caught:
        call(process, function, *args, **more)
    assert caught.value.doing == "reading a test"
    assert caught.value.fix
    return caught.value


def test_calls_return_values_one_after_the_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with started(tmp_path) as process, caplog.at_level(logging.WARNING):
        assert call(process, "add", 1, 2) == 3
        assert call(process, "add", 3, 4) == 7
        assert call(process, "temporary_folder") == (str(tmp_path), str(tmp_path))
    assert [(record.name, record.message) for record in caplog.records] == [
        ("hugflow.tests", "adding 1"),
        ("hugflow.tests", "adding 3"),
    ]


def test_our_errors_keep_their_type_and_text(tmp_path: Path) -> None:
    with started(tmp_path) as process, pytest.raises(InvalidRequest) as caught:
        call(process, "refuse", "subset")
    error = caught.value
    assert (error.doing, error.problem, error.fix) == ("reading", "it is no good", "Mend it.")
    assert (error.reason, error.field, error.status_code) == ("no_good", "subset", 418)


@pytest.mark.parametrize(
    ("function", "args", "problem", "reason"),
    [
        ("leave", (), "it cannot be read (SystemExit: bye)", "unreadable"),
        ("recurse", (), "it cannot be read (RecursionError: maximum recursion depth exceeded", "unreadable"),
        ("answer_without_form", (), "it cannot be read (", "unreadable"),
        ("crash", (), "its content crashes the library that reads it (SIGSEGV)", "unreadable"),
        ("end", (3,), "its content crashes the library that reads it (exit code 3)", "unreadable"),
        ("allocate", (500 * MB,), "reading it takes more than 419 MB of memory", "reader_limit"),
        ("answer", (65 * MB,), "reading it takes more than a description of 64 MB", "reader_limit"),
    ],
)
def test_what_content_does_to_its_reader_is_an_error(
    tmp_path: Path, function: str, args: tuple[Any, ...], problem: str, reason: str
) -> None:
    with started(tmp_path) as process:
        error = refusal(process, function, *args)
    assert isinstance(error, UnreadableSource)
    assert error.problem.startswith(problem)
    assert (error.reason, error.exit_code) == (reason, ExitCode.CHANGE_NEEDED)


@pytest.mark.parametrize(("function", "args"), [("backtrack", ()), ("spin", (1, 60, False))])
def test_computing_has_a_limit(tmp_path: Path, function: str, args: tuple[Any, ...]) -> None:
    with started(tmp_path, cpu_s=1) as process:
        error = refusal(process, function, *args)
    assert (error.problem, error.reason) == ("reading it takes more than 1 s of computing", "reader_limit")
    assert "raise PLAN_TIMEOUT" in error.fix


def test_progress_gives_the_time_again(tmp_path: Path) -> None:
    with started(tmp_path, cpu_s=1) as process:
        assert call(process, "spin", 4, 0.5, True) == "done"
        assert refusal(process, "spin", 4, 0.5, False).reason == "reader_limit"


def test_every_call_has_the_whole_time(tmp_path: Path) -> None:
    with started(tmp_path, cpu_s=1) as process:
        assert [call(process, "spin", 1, 0.6, False) for _ in range(3)] == ["done"] * 3


def test_a_hang_ends_by_the_clock_and_may_pass(tmp_path: Path) -> None:
    with started(tmp_path, cpu_s=0.3) as process:
        error = refusal(process, "wait", 60, True)
    assert isinstance(error, TryAgain)
    assert (error.problem, error.reason, error.exit_code) == ("it took longer than 3 s", "reader_timeout", 1)


def test_waiting_for_a_busy_hub_is_not_counted(tmp_path: Path) -> None:
    with started(tmp_path, cpu_s=0.3) as process:
        assert call(process, "wait", 5, False) == "done"


@pytest.mark.parametrize("where", ["scratch", "folder"])
def test_temporary_files_have_a_limit(tmp_path: Path, where: str) -> None:
    folders = [tmp_path / "scratch", tmp_path / "folder"]
    for folder in folders:
        folder.mkdir()
    with started(folders[0]) as process:
        error = refusal(process, "fill", str(tmp_path / where), 200 * MB, disk_bytes=20 * MB, folders=[folders[1]])
    assert (error.problem, error.reason) == ("reading it takes more than 20 MB of temporary files", "reader_limit")
    assert (tmp_path / where / "file").stat().st_size < 150 * MB


def test_a_kill_from_outside_may_pass(tmp_path: Path) -> None:
    with started(tmp_path) as process:

        def kill(_: float) -> None:
            process._process.kill()

        error = refusal(process, "wait", 60, True, wait=kill)
    assert isinstance(error, TryAgain)
    assert (error.reason, error.exit_code) == ("reader_killed", 1)


def test_a_wish_to_stop_ends_the_call_and_the_process(tmp_path: Path) -> None:
    def stop(_: float) -> None:
        raise Paused("waiting", "the run was asked to stop")

    began = time.monotonic()
    with pytest.raises(Paused), started(tmp_path) as process:
        call(process, "backtrack", wait=stop)
    assert process._process.returncode == -signal.SIGKILL
    assert time.monotonic() - began < 5


def test_it_does_not_outlive_its_parent(tmp_path: Path) -> None:
    """Nor while a regular expression holds the lock of its interpreter."""
    code = (
        "import sys; from pathlib import Path; from tests.unit.hf_client.test_limited_process import call, started\n"
        "with started(Path(sys.argv[1]), cpu_s=600) as process:\n"
        "    print(process._process.pid, flush=True); call(process, 'backtrack')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        wait_until(lambda: _cpu_ticks(child) > 50)
        parent.kill()
        parent.wait()
    wait_until(lambda: not Path(f"/proc/{child}/cwd").exists(), timeout_s=5)


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_no_token_reaches_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"HF_TOKEN", "GITHUB_TOKEN", "SLACK_BOT_TOKEN", "SLACK_WEBHOOK_URL", "PYTHON_API_KEY", "DATABASE_URL"}
    for name in secrets:
        monkeypatch.setenv(name, f"secret-{name}")
    for name in ("HF_ENDPOINT", "https_proxy", "LC_ALL"):
        monkeypatch.setenv(name, "kept")
    with started(tmp_path) as process:
        found = call(process, "environment")
    assert not secrets & set(found)
    assert "secret-" not in str(found)
    assert {found[name] for name in ("HF_ENDPOINT", "https_proxy", "LC_ALL")} == {"kept"}


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/a", "webhdfs://127.0.0.1:9/a", "memory://a", "data:,a", "github://a:b@c/d"]
)
def test_no_other_file_system_is_opened(tmp_path: Path, address: str) -> None:
    """Whatever gets past the check of the card."""
    with started(tmp_path, memory_bytes=700 * MB) as process:
        error = refusal(process, "open_as_reader", address)
    assert error.problem == "it cannot be read (ValueError: files outside of the repository are not opened)"
