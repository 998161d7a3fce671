"""The comment on the pull request in every state, compared with whole golden files.

`UPDATE_GOLDEN=1 pytest tests/unit/render/test_comment.py` writes them again; the diff is the review.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from hugflow.model.errors import ExitCode
from hugflow.model.plan import Difference
from hugflow.render import comment, markdown
from hugflow.render.views import Annotation, RequestView, State, exit_code
from tests.support import sample_views as sample
from tests.unit.render.test_humanize import ANYTHING, HOSTILE

FOLDER = Path(__file__).parents[2] / "golden" / "comments"
PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


@pytest.mark.parametrize("name", sample.GOLDEN)
def test_the_comment_is_the_golden_one(name: str) -> None:
    actual = comment.comment(sample.GOLDEN[name](), markdown.marker(comment.STICKY))
    golden = FOLDER / f"{name}.md"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(actual)
    assert actual == golden.read_text()


@pytest.mark.parametrize("name", sample.GOLDEN)
def test_every_comment_has_one_summary_table_and_one_next_step(name: str) -> None:
    shown = comment.comment(sample.GOLDEN[name](), "")
    head = shown.split("<details>")[0]
    tokens = [token.type for token in PARSER.parse(head)]
    assert tokens.count("table_open") == 1
    assert head.count("**Next:**") == 1
    assert shown.count("<details>") == shown.count("</details>")


def test_comment_check_and_job_summaries_are_one_document() -> None:
    view = sample.failure_view()
    marker = markdown.marker(comment.STICKY)
    assert comment.comment(view, marker) == f"{marker}\n\n{comment.check_summary(view)}"
    assert comment.job_summary(view) == comment.check_summary(view)


def test_what_a_publish_removes_is_shown_before_the_next_step_and_not_folded() -> None:
    head = comment.comment(sample.publish_view(), "").split("**Next:**")[0]
    assert "> ⚠️ `acme/market`: the publish removes column `ohlcv_daily.volume`, split" in head
    assert "> ⚠️ `acme/market`: the publish moves file `data/ohlcv.parquet`" in head
    assert "the publish adds" not in head
    assert "`acme/orders`: the publish" not in head, "it is done"


def test_a_publish_that_changes_everything_fits() -> None:
    names = [f"default.column_{index}_{'x' * 60}" for index in range(5_000)]
    differences = tuple(Difference(effect="remove", kind="column", name=name) for name in names)
    plan = sample.publish_plan().model_copy(update={"differences": differences})
    shown = comment.comment(sample.view(RequestView(sample.PUBLISH, "publish", plan=plan, runs_after_merge=True)), "")
    assert len(shown.encode()) <= 65_000
    shown = shown.replace("\u00a0", " ")
    assert "- … and 4 950 changes more" in shown
    assert "and 4 990 more" in shown
    assert "<details>" in shown


def test_forty_requests_fit_and_the_bad_ones_keep_their_details() -> None:
    view = sample.forty_view()
    shown = comment.comment(view, markdown.marker(comment.FINAL))
    assert len(shown.encode()) <= 65_000
    for request in view.having("partial"):
        assert f"<details><summary><code>{request.path}</code>" in shown
    assert len(comment.job_summary(view)) > len(shown)


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 120), ANYTHING)
def test_any_number_of_requests_fits(number: int, path: str) -> None:
    problems = tuple(Annotation(path, line, None, path * 10) for line in range(1, 60))
    view = sample.view(*(RequestView(path, "add", problems=problems) for _ in range(number)))
    assert len(comment.comment(view, "").encode()) <= 65_000
    assert len(comment.check_summary(view).encode()) <= 65_000


@pytest.mark.parametrize("value", HOSTILE)
def test_text_of_others_stays_text_wherever_it_is_shown(value: str) -> None:
    text = value.encode(errors="replace").decode()
    plan = sample.add_plan().model_copy(update={"location": text, "request": text})
    plan = plan.model_copy(update={"spec": plan.spec.model_copy(update={"description": text})})
    failed = sample.result(
        text, status="failed", error=text, fix=text, message=text, previews=(sample.Preview(0, text, 1.0),)
    )
    request = RequestView(text, "add", plan=plan, problems=(Annotation(text, 1, 1, text),), started=True, result=failed)
    view = sample.view(request, remark=text, warnings=(text,))
    rendered = PARSER.render(comment.comment(view, markdown.marker(comment.STICKY)))
    assert "<img" not in rendered
    assert "<script" not in rendered
    assert rendered.count("<!--") == 1
    ours = rendered.replace("https://github.example/", "").replace("https://huggingface.co/", "")
    outside_code = markdown_without_code(ours)
    for trigger in ("@team", "://", "::set-env", "\x1b", "\u202e", "<b>"):
        assert trigger not in outside_code


def markdown_without_code(rendered: str) -> str:
    """The HTML without what stands in `code` elements."""
    return re.sub(r"<code[^>]*>.*?</code>", "", rendered, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["complete", "unchanged"], ExitCode.DONE),
        (["complete", "failed"], ExitCode.PARTIAL),
        (["partial"], ExitCode.PARTIAL),
        (["failed", "invalid"], ExitCode.CHANGE_NEEDED),
        (["invalid"], ExitCode.CHANGE_NEEDED),
        (["complete", "invalid"], ExitCode.PARTIAL),
        (["complete", "paused"], ExitCode.PAUSED),
        (["waiting"], ExitCode.NEEDS_APPROVAL),
        (["after-merge", "deleted"], ExitCode.DONE),
        ([], ExitCode.DONE),
    ],
)
def test_exit_codes_of_several_requests(states: list[State], expected: ExitCode) -> None:
    assert exit_code(sample.view(*map(request_in, states))) == expected


def request_in(state: State) -> RequestView:
    """A request in `state`."""
    codes = {"partial": ExitCode.PARTIAL, "failed": ExitCode.FAILED, "paused": ExitCode.PAUSED}
    request = {
        "invalid": sample.INVALID,
        "waiting": sample.WAITING,
        "after-merge": sample.PLANNED_REMOVE,
        "deleted": RequestView(sample.ADD, "add", deleted=True),
    }.get(state) or RequestView(
        sample.ADD,
        "add",
        plan=sample.add_plan(),
        started=True,
        result=sample.result(status=state, exit_code=codes.get(state, ExitCode.DONE)),
    )
    assert request.state == state
    return request


def test_an_approved_removal_no_longer_waits() -> None:
    approved = replace(sample.WAITING, approved_by=("data-steward",))
    assert approved.state == "after-merge"
    assert f"approve-removal {sample.SHA}" not in comment.comment(sample.view(approved), "")
    assert f"approve-removal {sample.SHA}" in comment.comment(sample.view(sample.WAITING), "")


def test_a_run_that_waits_for_the_hub_says_so() -> None:
    running = replace(request_in("running"), outage="the Hub failed (503)")
    assert "waiting for the Hub" in comment.comment(sample.view(running), "")
    assert "waiting for the Hub" not in comment.comment(sample.view(replace(running, outage="")), "")
