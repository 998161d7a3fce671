"""Plans and results on a terminal, compared with whole golden files.

`UPDATE_GOLDEN=1 pytest tests/unit/render/test_console.py` writes them again; the diff is the review.
"""

from __future__ import annotations

import os
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from hugflow.model.errors import ExitCode
from hugflow.model.events import FailedRow, Result
from hugflow.model.plan import AddPlan, Finding, HubFacts, Plan
from hugflow.render.console import plan_text, result_text
from tests.support import sample_views as sample
from tests.unit.render.test_humanize import HOSTILE

FOLDER = Path(__file__).parents[2] / "golden" / "cli"


def check(name: str, text: str) -> None:
    """Compare with the golden file; no-break spaces are shown as the plain ones that a terminal gets."""
    shown = text.replace("\u00a0", " ")
    golden = FOLDER / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(shown)
    assert shown == golden.read_text()


def _json_only() -> AddPlan:
    plan = sample.add_plan("requests/add/prices.yaml", "acme/prices", 3)
    return plan.model_copy(
        update={
            "download": plan.download.model_copy(update={"audio_column": None, "shards": plan.download.shards[:1]}),
            "facts": HubFacts(sha=sample.COMMIT, gated=True, private=True),
        }
    )


PLANS: dict[str, list[Plan]] = {
    "plan-nothing": [],
    "plan-download": [sample.add_plan()],
    "plan-all": [
        sample.add_plan(),
        sample.add_plan(sample.SECOND, "acme/radio", 1_250_000, action="resume", rows_done=310_000),
        _json_only(),
        sample.add_plan(
            "requests/add/done.yaml",
            "acme/done",
            action="nothing",
            rows_done=24_690,
            findings=(Finding(level="info", message="Dataset already exists in storage"),),
        ),
        sample.remove_plan(Finding(level="approval", message="removals need one approval")),
        sample.publish_plan(),
        sample.add_plan(
            "requests/add/big.yaml",
            "acme/big",
            findings=(
                Finding(level="error", message="not enough space: at least 3.2 GB is needed, 1.0 GB is free"),
                Finding(level="warning", message="the repository is gated"),
            ),
        ),
    ],
}


@pytest.mark.parametrize("name", PLANS)
def test_plans(name: str) -> None:
    check(name, plan_text(PLANS[name]))


def _failed(count: int) -> tuple[FailedRow, ...]:
    return tuple(FailedRow(3 * row, "decode_failed", "the MPEG audio is damaged") for row in range(count))


RESULTS: dict[str, Result] = {
    "result-complete": sample.result(),
    "result-some-failed": sample.result(rows_done=24_688, new_rows=24_688, rows_failed=2, errors=_failed(2)),
    "result-resumed": sample.result(new_rows=690, elapsed_s=42.0),
    "result-without-audio": sample.result(audio_bytes=0, duration_s=0.0),
    "result-empty": sample.result(rows=0),
    "result-unchanged": sample.result(
        status="unchanged", new_rows=0, elapsed_s=0.0, message="Dataset already exists in storage"
    ),
    "result-partial": sample.result(
        status="partial",
        exit_code=ExitCode.PARTIAL,
        rows_done=24_678,
        new_rows=24_678,
        rows_failed=12,
        errors=_failed(12),
        error="12 rows could not be converted, 0 are allowed",
        fix="Run it again with --retry-failed, or allow them with `max_failed_rows` in the request.",
    ),
    "result-sounds-to-check": sample.result(rows_without_audio=3, clipped_clips=1, silent_clips=1_200),
    "result-paused": sample.result(
        status="paused",
        exit_code=ExitCode.PAUSED,
        rows_done=9_000,
        new_rows=9_000,
        error="downloading: the run was asked to stop",
        fix="Run the same command again: it continues.",
    ),
    "result-failed": Result(
        request=sample.ADD,
        kind="add",
        name=sample.add_plan().name,
        status="failed",
        exit_code=ExitCode.STORAGE_FAULT,
        error="writing rows of acme__voices: No space left on device",
        fix="Free space and run the same command again: it continues.",
        reason="no_space",
    ),
    "result-removed": Result(
        request=sample.REMOVE,
        kind="remove",
        name="acme__noise__split_train__rev_main",
        status="removed",
        exit_code=ExitCode.DONE,
        rows_total=8_000,
        message="Removed acme__noise__split_train__rev_main; kept in the trash for 7 days",
    ),
}


@pytest.mark.parametrize("name", RESULTS)
def test_results(name: str) -> None:
    check(name, result_text(RESULTS[name]))


def harmless(line: str) -> bool:
    """Whether nothing in a line acts; the joiners that some scripts need are no danger."""
    acts = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return all(unicodedata.category(sign) not in acts or sign in "\u200c\u200d" for sign in line)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_text_from_data_and_requests_does_nothing_on_a_terminal(hostile: str) -> None:
    plan = sample.add_plan(findings=(Finding(level="warning", message=hostile),))
    plan = plan.model_copy(update={"facts": HubFacts(sha=sample.COMMIT, licence=hostile)})
    failed = replace(
        sample.result(message=hostile, fix=hostile, error=hostile), errors=(FailedRow(1, "decode_failed", hostile),)
    )
    for text in (plan_text([plan]), result_text(failed)):
        assert all(map(harmless, text.split("\n"))), text
