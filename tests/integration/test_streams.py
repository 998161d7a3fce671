"""Runs with closed or unread output streams: the work is done all the same."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.world import Done, World, audio_cell, clip, sound_file

SOUND = sound_file(clip(4, 0.2))
ROWS = [{"audio": audio_cell(SOUND, f"c{n}.wav"), "text": f"row {n}"} for n in range(3)]


def _run(world: World, redirected: str, *arguments: str, code: str = "-m hugflow") -> Done:
    """The command as a shell runs it with these redirections. Its standard error goes to a file, in any case."""
    errors = world.folder / "errors.txt"
    errors.touch()
    script = f'exec {sys.executable} {code} "$@" 2>>{errors} {redirected}'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *arguments],
        cwd=world.folder,
        env=world.env,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    world.check_no_secret(done.stdout, errors.read_text())
    return Done(done.returncode, done.stdout, errors.read_text())


@pytest.mark.parametrize(
    ("redirected", "asked", "code", "said"),
    [
        pytest.param("> >(exec true) 2>&1", [], 0, "", id="nobody-reads"),
        pytest.param("> >(exec true)", ["--json"], 0, "", id="nobody-reads-json"),
        pytest.param(">/dev/full", ["--json"], 74, "No space left on device", id="no-room"),
        pytest.param(">/dev/full 2>&1", [], 74, "", id="no-room-for-errors-either"),
        pytest.param(">&-", ["--json"], 0, "", id="no-stdout"),
        pytest.param("<&- >&- 2>&-", [], 0, "", id="no-streams"),
    ],
)
def test_a_dataset_is_whole_whatever_takes_the_output(
    world: World, redirected: str, asked: list[str], code: int, said: str
) -> None:
    hf_id = world.new_id()
    world.serve(hf_id, ROWS)
    done = _run(world, redirected, "local-sync", world.add(hf_id), *asked)
    assert done.code == code, done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert "should not happen" not in done.err
    assert [row["text"] for row in world.dataset().rows().values()] == ["row 0", "row 1", "row 2"]
    # a stream that is closed leaves its number to the next file, into which everything printed would go
    world.run("verify").ok()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["schema"]], ids=" ".join)
def test_a_command_says_that_its_result_was_not_printed(world: World, arguments: list[str]) -> None:
    done = _run(world, ">/dev/full", *arguments)
    assert done.code == 74
    assert done.err.startswith("hugflow: printing the result: No space left on device\n")
    assert _run(world, "> >(exec true)", *arguments).code == 0


def test_a_failure_keeps_its_exit_code_when_it_cannot_be_printed(world: World) -> None:
    assert _run(world, ">/dev/full", "validate", "--json").code == world.run("validate", "--json").code == 2


def test_the_interpreter_is_not_torn_down_around_the_threads_of_libraries(world: World) -> None:
    # what Arrow's threads do now and then, this does each time
    abort = "import atexit, os, sys; atexit.register(os.abort); from hugflow.__main__ import main; main()"
    assert json.loads(_run(world, "", "schema", "add", code=f"-c '{abort}'").ok().out)["type"] == "object"
