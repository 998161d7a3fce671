"""Text of requests, datasets and the Hub is escaped in every output, and no secret is in any."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from markdown_it import MarkdownIt

from localhub import Fault
from tests.conftest import CANARIES
from tests.support.pull_requests import (
    FINAL,
    STICKY,
    Job,
    Runner,
    add,
    message_text,
    request,
    serving,
    speech,
)
from tests.support.world import World, audio_cell, pack, table_of
from tests.unit.render.test_humanize import HOSTILE

OUR_ELEMENTS = frozenset(
    "h3 table thead tbody tr th td code a strong p ul li pre sub details summary blockquote br".split()  # noqa: SIM905 - easier to read
)
HOSTILE_LINE = "@team #1 <!channel> <img src=x> ![i](https://evil.example) ##[set-env]x"
FILE = "requests/add/@team ![i](x) <b>x ::notice::y.yaml"
LEAK = "hf_somebodyHasPutTheirTokenIntoAFileName"
SHARD = f"train-@team <!channel> <img src=x> ![i](x) `x` {LEAK}.parquet"
CARD = f"---\nlicense: '@team <img src=x>'\npretty_name: {HOSTILE_LINE!r}\n---\n"
ACTS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def runner(shared_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """A Hub with hostile data and error messages."""
    rows = speech(len(HOSTILE))
    for row, text in zip(rows, HOSTILE, strict=True):
        row["text"] = text.encode(errors="replace").decode()
        row[HOSTILE_LINE] = "x"
    rows[1]["audio"] = audio_cell(b"no sound", "::error::\n@team <!channel>.wav")
    shared_world.serve("acme/evil", rows, card=CARD)
    folder = pack(tmp_path_factory.mktemp("boom"), {"train": table_of(speech(2))})
    (shard,) = (folder / "data").iterdir()
    shard.rename(shard.with_name(SHARD))
    shared_world.hub.add_dataset("acme/boom", folder)
    with serving(shared_world) as runner:
        words = f"{HOSTILE_LINE} ::error::x \u202e token {CANARIES['HF_TOKEN']} and {CANARIES['GITHUB_TOKEN']}"
        fault = Fault(route="acme/boom/resolve/.*parquet", method="GET", after=1, status=503, message=words)
        runner.hub.faults.add(fault)
        yield runner.with_bot()


@pytest.fixture(scope="module")
def number(runner: Runner) -> int:
    """A pull request with hostile text in every field."""
    texts = [text for text in HOSTILE if text.isprintable() or "\n" in text]
    files = {
        "requests/add/evil.yaml": add("acme/evil", description=" ".join(texts).replace("\n", " "), max_failed_rows=1),
        "requests/add/boom.yaml": add("acme/boom"),
        "requests/add/bad.yaml": request({"hf_id": HOSTILE_LINE, "description": "x", HOSTILE[6]: HOSTILE[7]}),
        FILE: request({"hf_id": "acme/evil", "descr\x1b[31m": "@team"}),
    }
    return runner.propose(files, "@team-`x`-$(id)", title=f"{HOSTILE_LINE}\n::error::title")


@pytest.fixture(scope="module")
def job(runner: Runner, number: int) -> Job:
    """The run, with the messages of all libraries in its log."""
    return runner.sync(number, "--verbose", LOG_FILE=str(runner.folder / "log.txt"))


def test_the_run_ends_as_it_should(runner: Runner, number: int, job: Job) -> None:
    job.ended(3)
    states = re.findall(r"(?m)^\| \S+ +\| (`+ ?.*? ?`+) +\| .*?\| +([\w ]+?) +\|", runner.sticky(number))
    assert [state for _, state in states] == ["invalid", "invalid", "failed", "in storage"]


def test_comments_and_summary_render_to_nothing_but_our_own_elements(runner: Runner, number: int, job: Job) -> None:
    for text in (runner.sticky(number), *runner.finals(number), job.summary, runner.checks(number)[0].summary):
        rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
        assert set(re.findall(r"<(\w+)", rendered)) <= OUR_ELEMENTS
        assert not re.search(r"<a href=\"(?!https?://127\.0\.0\.1:|https://github\.example)", rendered)
        outside = re.sub(r"<code[^>]*>.*?</code>|<a href[^>]*>", "", rendered, flags=re.DOTALL)
        outside = re.sub(rf"\A{STICKY}|\A{FINAL}[^>]*>", "", outside)
        assert not re.search(r"@team|#1|::set-env|://|<!--|!channel", outside)
        assert not ACTS.search(text)


def test_nothing_of_it_acts_in_slack(runner: Runner, job: Job) -> None:
    assert runner.slack.messages
    for message in runner.slack.messages:
        text = message_text(message)
        assert not re.search(r"<[!@#]|<https://evil|@(here|channel|everyone)", text)
        assert not ACTS.search(text)


def test_nothing_of_it_acts_in_the_log(runner: Runner, job: Job) -> None:
    assert "fetching data/train-@team <!channel>" in job.out
    for line in f"{job.out}\n{job.err}".split("\n"):
        # how the runner finds commands: `::` after blanks at the beginning, `##[` anywhere
        assert not line.lstrip().startswith("::"), line
        assert "##[" not in line
        assert not ACTS.search(line), line
    assert not ACTS.search((runner.folder / "log.txt").read_text())


def test_annotations_are_text(runner: Runner, number: int, job: Job) -> None:
    (check,) = runner.checks(number)
    assert {annotation["path"] for annotation in check.annotations} == {"requests/add/bad.yaml", FILE}
    for annotation in check.annotations:
        assert not ACTS.search(annotation["message"] + annotation["title"])


def test_no_secret_is_written_anywhere(runner: Runner, number: int, job: Job) -> None:
    text = runner.everything() + (runner.folder / "log.txt").read_text()
    assert "token *** and ***" in text, "what the Hub said is in the log"
    assert "<img src=x> ![i](x) `x` ***.parquet" in runner.sticky(number)
    for name, secret in CANARIES.items():
        assert secret not in text, f"the secret {name} was written"


def test_a_strangers_token_is_masked_where_people_read(runner: Runner, number: int, job: Job) -> None:
    texts = (job.out, job.summary, *runner.comments(number), (runner.state_dir / "audit.jsonl").read_text())
    for text in (*texts, *map(message_text, runner.slack.messages)):
        assert LEAK not in text
    assert "***.parquet of acme/boom: the Hub failed (503)" in texts[-1]


def test_the_workflow_commands_of_the_check_hold_no_others(runner: Runner, number: int) -> None:
    job = runner.job("ci", "check", event=runner.pull_event(number)).ended(4)
    commands = [line for line in job.out.split("\n") if "::" in line and line.lstrip().startswith("::")]
    assert commands
    for line in commands:
        assert re.fullmatch(r"::error title=[^,:]*,file=[^,:]*,line=\d+,col=\d+::[^\n\r]*", line), line
    assert not any("##[" in line for line in job.out.split("\n") if not line.startswith("::"))
