"""Whether there is memory for a split's row groups is known before the first byte."""

from __future__ import annotations

import pytest

from hugflow.download.preflight import estimate, memory
from hugflow.model.plan import DownloadPlan, Shard
from hugflow.model.records import EncoderSettings
from hugflow.model.specs import DatasetIdentity


def plan(*sizes: int | None) -> DownloadPlan:
    shards = tuple(
        Shard(path=f"{i}.parquet", size_bytes=1, sha256=None, blob_id=None, largest_group_bytes=size)
        for i, size in enumerate(sizes)
    )
    identity = DatasetIdentity(hf_id="acme/x", subset=None, split="train", revision="main")
    return DownloadPlan(
        identity=identity,
        sha="0" * 40,
        format="parquet",
        columns=(),
        arrow_schema="",
        audio_column=None,
        shards=shards,
        encoder=EncoderSettings(),
    )


@pytest.mark.parametrize(
    ("sizes", "bound", "level"),
    [
        ((), 1000, None),
        ((None, None), 1000, None),
        ((400, None), 1000, None),
        ((400, 500), 1000, "warning"),
        ((1000,), 1000, "warning"),
        ((1001, 3), 1000, "error"),
        ((10**12,), 0, None),
    ],
)
def test_a_row_group_must_fit_into_a_worker(sizes: tuple[int | None, ...], bound: int, level: str | None) -> None:
    assert [finding.level for finding in memory(plan(*sizes), bound)] == ([level] if level else [])


def test_the_finding_names_the_file_and_what_to_set() -> None:
    (finding,) = memory(plan(10, 3_000_000_000), 2_048_000_000)
    assert finding.message == (
        "not enough memory: 1.parquet has a row group of 3.0 GB, and a worker may use 2.0 GB: "
        "set WORKER_MEMORY_MB to 6300 or more (and WORKERS to what the machine has memory for)"
    )


@pytest.mark.parametrize(
    ("kind", "shards", "expected"),
    [("parquet", 1, 1), ("parquet", 9, 3), ("json", 1, 2), ("json", 9, 3), ("audiofolder", 1, 0)],
)
def test_scratch_holds_a_shard_for_each_worker_and_one(kind: str, shards: int, expected: int) -> None:
    sizes: list[int | None] = [None] * shards
    of_kind = plan(*sizes).model_copy(update={"format": kind, "expected_rows": 10})
    assert estimate(of_kind, 0, workers=2).scratch_bytes == expected
