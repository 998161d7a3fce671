"""Output of `status` and `inspect`, compared with whole golden files.

`UPDATE_GOLDEN=1 pytest tests/unit/render/test_tables.py` writes them again; the diff is the review.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hugflow.hf_client.read.repository_reader import SplitSummary
from hugflow.model.events import FailedRow
from hugflow.model.plan import Column, HubFacts
from hugflow.model.specs import DatasetIdentity
from hugflow.render.tables import inspection_text, status_text, table
from hugflow.storage.inventory import DatasetStatus
from tests.unit.render.test_console import check, harmless

IDENTITY = DatasetIdentity(hf_id="acme/voices", subset=None, split="train", revision="main")
SHA = "9b74c9897bac770ffc029102a200c5de3f2a91c0"


def status(name: str, state: str, **facts: object) -> DatasetStatus:
    return DatasetStatus(name, state, IDENTITY, **facts)  # type: ignore[arg-type]  # the fields of DatasetStatus


COMPLETE = status(
    "acme__voices__split_train__rev_main",
    "complete",
    sha=SHA,
    rows_total=24_690,
    rows_done=24_688,
    rows_failed=2,
    size_bytes=814_770_000,
    duration_s=224_679.0,
    added_by="ann",
    added_at="2026-03-01T10:00:00+00:00",
    request="requests/add/voices.yaml",
)
RUNNING = status(
    "acme__radio__split_train__rev_main",
    "running",
    sha=SHA,
    rows_total=1_250_000,
    rows_done=310_000,
    size_bytes=9_100_000_000,
    duration_s=3_000.0,
    request="requests/add/radio.yaml",
)
MISSING = status("acme__new__split_train__rev_main", "missing", request="requests/add/new.yaml")
LOST = status("acme__gone__split_train__rev_main", "lost", sha=SHA, added_by="bob")
PARTIAL = status("acme__half__split_train__rev_main", "partial", sha=SHA, rows_total=10, rows_done=9, rows_failed=1)

STATUSES = {
    "status-nothing": [],
    "status-one": [COMPLETE],
    "status-all": [COMPLETE, RUNNING, MISSING, LOST, PARTIAL],
}


@pytest.mark.parametrize("name", STATUSES)
def test_status(name: str) -> None:
    check(name, status_text(STATUSES[name]))


def test_status_of_one_with_its_failed_rows() -> None:
    rows = [FailedRow(3, "decode_failed", "it is damaged"), FailedRow(1_200, "truncated_audio", "it is\ncut off")]
    check("status-failed-rows", status_text([COMPLETE], rows))


def test_inspection() -> None:
    columns = (
        Column(name="audio", kind="audio", type="struct<bytes: binary, path: string>"),
        Column(name="text", kind="text", type="string"),
        Column(name="age", kind="value", type="int64"),
    )
    facts = HubFacts(sha=SHA, licence="cc-by-4.0", gated=True, configs=("de", "en"), splits=("train", "test"))
    splits = [
        SplitSummary("de", "train", "parquet", 12_000, 1_400_000_000, 3, columns),
        SplitSummary("de", "test", "parquet", 1_000, 110_000_000, 1, columns),
        SplitSummary("en", "train", "parquet", 1, 2_000, 1, columns[1:2]),
    ]
    check("inspect", inspection_text("acme/voices", "main", facts, splits))


def test_inspection_of_classes_nested_audio_and_unused_files() -> None:
    columns = (
        Column(name="label", kind="value", type="int64", class_names={"label": ("no", "yes")}),
        Column(
            name="turn",
            kind="value",
            type="struct<...>",
            nested_audio=("turn.mic",),
            class_names={"turn.mood": tuple(f"mood {number}" for number in range(30))},
        ),
    )
    facts = HubFacts(sha=SHA, remarks=("2 files of the repository are in no split: `a\x1b[0m.wav`, `b.wav`",))
    split = SplitSummary("default", "train", "parquet", None, 2_000, 1, columns)
    check("inspect-labels", inspection_text("acme/moods", "main", facts, [split]))


def test_inspection_of_a_repository_without_splits() -> None:
    check("inspect-nothing", inspection_text("acme/empty", "v1", HubFacts(sha=SHA, private=True), []))


@given(st.lists(st.tuples(st.text(max_size=150), st.text(max_size=150)), max_size=5))
def test_a_table_is_a_table_whatever_is_in_it(rows: list[tuple[str, str]]) -> None:
    lines = table(("NAME", "COUNT"), ("left", "right"), rows).split("\n")
    assert len(lines) == len(rows) + 1
    assert all(map(harmless, lines))
