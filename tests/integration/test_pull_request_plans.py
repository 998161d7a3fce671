"""Plans and checks: many requests, the same plan in a terminal, the check without secrets, and lock holders."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator

import pytest

from localhub import Fault
from tests.support.pull_requests import (
    BOT,
    NBSP,
    STICKY,
    Runner,
    add,
    remove,
    serving,
    speech,
)
from tests.support.world import World, table_of, wait_until

MANY = 40
DELETED = 70
VOICES = "acme__voices__split_train__rev_main"
CARD = "---\nlicense: cc-by-4.0\n---\n"


@pytest.fixture(scope="module")
def runner(shared_world: World) -> Iterator[Runner]:
    """A Hub with a dataset of many small configs, and a repository with many old requests."""
    configs = [{"config_name": config(number), "data_files": "data/*.parquet"} for number in range(MANY)]
    card = f"---\nconfigs: {json.dumps(configs)}\n---\n"
    shared_world.serve("acme/tables", {"train": table_of([{"text": "x", "number": 1}])}, card=card)
    shared_world.serve("acme/voices", speech(3), card=CARD)
    with serving(shared_world) as runner:
        old = {f"requests/add/old-{number:02}.yaml": add(f"acme/old-{number:02}") for number in range(DELETED)}
        runner.state.commit("main", {**old, "requests/add/before.yaml": table(MANY - 1)})
        runner.settings["WORKERS"] = "1"
        yield runner


@pytest.fixture(scope="module")
def many(runner: Runner) -> int:
    """A pull request with forty adds, one of them a renamed file, and seventy deletions, in a long conversation."""
    files = {f"requests/add/table-{number:02}.yaml": table(number) for number in range(MANY - 1)}
    files |= {"requests/add/after.yaml": table(MANY - 1), "requests/add/before.yaml": None}
    files |= {f"requests/add/old-{number:02}.yaml": None for number in range(DELETED)}
    number = runner.propose(files, "many")
    for _ in range(120):
        runner.state.add_comment(number, "eve", f"{STICKY}\nNot yours.")
    return number


def config(number: int) -> str:
    """The name of a config of the dataset."""
    return f"table-{number:02}"


def table(number: int) -> str:
    """A request with a long description."""
    return add(
        "acme/tables", subset=config(number), description=f"Table {number}. " + "It is needed for many things. " * 30
    )


def test_forty_requests_fit_into_one_comment(runner: Runner, many: int) -> None:
    job = runner.sync(many, "--json", timeout_s=300).ended(0)
    assert {result["status"] for result in job.results.values()} == {"complete"}
    assert len(job.results) == MANY
    assert job.results["requests/add/after.yaml"]["name"].endswith("subset_table-39__split_train__rev_main")
    assert "requests/add/before.yaml" not in {request["request"] for request in job.json["requests"]}
    sticky = runner.sticky(many)
    assert f"### ✅ Hugflow: {MANY} in storage\n" in sticky
    assert sticky.count("| in storage") == MANY
    assert sticky.count("| request deleted") == DELETED
    assert len(runner.state.pull_changes(many)) == MANY + DELETED
    assert len(runner.stored) == MANY
    listings = [each for each in runner.github.requests if each.path.endswith("/files")]
    assert listings == [], "the list of files is of whatever the head is at that moment"


def test_the_sticky_comment_is_found_on_any_page(runner: Runner, many: int) -> None:
    (before,) = (c for c in runner.state.comments_of(many) if c.user == BOT and c.body.startswith(STICKY))
    runner.sync(many, "--mode", "plan").ended(0)
    (after,) = (c for c in runner.state.comments_of(many) if c.user == BOT and c.body.startswith(STICKY))
    assert (after.id, after.body != before.body) == (before.id, False)
    assert all(body == f"{STICKY}\nNot yours." for body in runner.comments(many, "eve"))
    # a plan of what is done already says so, and closes nothing that was open
    assert runner.labels(many) == ["hugflow: ready"]
    assert runner.checks(many)[-1].conclusion == "success"


# -- the plan in a terminal ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planned(runner: Runner) -> tuple[int, str]:
    """A planned pull request, and its comment."""
    number = runner.propose({"requests/add/voices.yaml": add("acme/voices")}, "voices")
    runner.sync(number, "--mode", "plan").ended(0)
    return number, runner.sticky(number)


def checkout(runner: Runner) -> dict[str, str]:
    """The environment of a person on the server; the request lies in their checkout."""
    path = runner.world.folder / "requests" / "add" / "voices.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(add("acme/voices"))
    return {"STORAGE_ROOT": str(runner.storage), "STATE_DIR": str(runner.state_dir), "WORKERS": "1"}


def test_the_terminal_shows_the_plan_of_the_comment(runner: Runner, planned: tuple[int, str]) -> None:
    _, comment = planned
    environ = checkout(runner)
    text = runner.world.run("plan", "requests/add/voices.yaml", **environ).ok().out
    said = dict(re.findall(r"(?m)^ +(\w+): +(.*)$", text))
    in_comment = dict(re.findall(r"(?m)^- \*\*(\w+):\*\* (.*)$", comment.replace(NBSP, " ")))
    assert re.search(r"commit \[`(\w{7})`\]", in_comment["Revision"])[1] == said["revision"].rpartition(" ")[2][:7]
    assert in_comment["Source"].startswith(f"{said['rows']}, {said['source'].partition(' in ')[0]} in 1 parquet file")
    assert in_comment["Location"] == f"`{said['to']}`"
    assert in_comment["Licence"] == f"`{said['licence']}`, open"
    needs = said["needs"].removeprefix("about ").partition(" of ")[0]
    assert in_comment["Expected"].startswith(f"about {needs} in 6 files")
    plan = runner.world.run("plan", "requests/add/voices.yaml", "--json", **environ).ok().json["plans"][0]
    assert plan["sha"].startswith(re.search(r"commit \[`(\w{7})`\]", in_comment["Revision"])[1])
    assert (plan["rows"], plan["licence"], plan["location"]) == (3, "cc-by-4.0", said["to"])


def test_the_exit_code_of_a_plan_tells_of_changes(runner: Runner, planned: tuple[int, str]) -> None:
    environ = checkout(runner)
    plan = ("plan", "requests/add/voices.yaml", "--detailed-exitcode")
    assert runner.world.run(*plan, **environ).code == 2
    runner.sync(planned[0]).ended(0)
    done = runner.world.run(*plan, "--json", **environ)
    assert (done.code, done.json["changes"]) == (0, False)
    (runner.world.folder / "requests" / "add" / "voices.yaml").write_text(add("acme/none-such"))
    assert runner.world.run(*plan, **environ).code == 1


# -- the check -------------------------------------------------------------------------------------------------------


def test_the_check_marks_lines_and_writes_nothing(runner: Runner) -> None:
    number = runner.propose(
        {
            "requests/add/typo.yaml": "hf_id: acme/typo\ndescripton: x\n",
            "requests/add/twice.yaml": add("acme/voices"),
            "requests/remove/twice.yaml": remove("acme/voices"),
            "hugflow.yaml": "datasets:\n  max_gb: lots\n",
        },
        "check",
    )
    runner.github.requests.clear()
    runner.hub.clear_log()
    token = "ghs_readonlyreadonlyreadonlyreadonlyread"
    runner.state.add_token(token, scopes=())
    # a hosted runner: nothing is set but what Actions sets, and data would lie in the workspace
    nothing = dict.fromkeys(("STORAGE_ROOT", "STATE_DIR", "HF_TOKEN", "PROCESSED_ROOT"), "")
    job = runner.job("ci", "check", event=runner.pull_event(number), name="pull_request", GITHUB_TOKEN=token, **nothing)
    commands = [line for line in job.ended(4).out.split("\n") if line.startswith("::")]
    places = [re.match(r"::error title=[\w ]+,file=([^,]+),line=(\d+),col=(\d+)::", line).groups() for line in commands]
    assert places == [
        ("requests/add/twice.yaml", "1", "8"),
        ("requests/add/typo.yaml", "2", "1"),
        ("requests/remove/twice.yaml", "1", "8"),
        ("hugflow.yaml", "2", "11"),
    ]
    assert "4 problems in 3 requests" in job.out
    assert {request.method for request in runner.github.requests} == {"GET"}
    assert runner.hub.requests() == []
    assert (runner.comments(number), runner.checks(number)) == ([], [])


def test_a_check_of_right_requests_is_quiet(runner: Runner, planned: tuple[int, str]) -> None:
    job = runner.job("ci", "check", event=runner.pull_event(planned[0]), name="pull_request").ended(0)
    assert "::" not in job.out
    assert job.out.startswith("0 problems in 1 request")


# -- locks -----------------------------------------------------------------------------------------------------------


def test_a_lock_names_its_holder_and_ends_with_it(runner: Runner) -> None:
    runner.world.serve("acme/slow", speech(2, seed=50))
    fault = runner.hub.faults.add(Fault(route="acme/slow/resolve/.*parquet", method="GET", after=1, delay_s=1))
    numbers = [runner.propose({f"requests/add/{name}.yaml": add("acme/slow")}, name) for name in ("one", "other")]
    with runner.running("sync", "--ci-mode", event=runner.pull_event(numbers[0])) as running:
        wait_until(lambda: runner.hub.faults.fired(fault))
        running.process.send_signal(signal.SIGSTOP)  # so that it holds the lock for as long as others look at it
        unlock = runner.sync(numbers[1], "--mode", "unlock").ended(6)
        assert f"process {running.process.pid}" in unlock.summary
        assert runner.comments(numbers[1])[-1].strip() == unlock.summary.strip()
        locked = runner.sync(numbers[1], "--json").ended(6)
        assert locked.results["requests/add/other.yaml"]["reason"] == "locked"
        running.process.send_signal(signal.SIGCONT)
        running.end().ended(0)
    runner.hub.faults.clear()
    assert "no dataset of this pull request is locked" in runner.sync(numbers[1], "--mode", "unlock").ended(0).summary
