"""Checks before the first byte: memory, estimates, and the columns that a dataset will not contain."""

from __future__ import annotations

import pyarrow as pa
import pytest

from hugflow.download.preflight import estimate, left_out, memory
from hugflow.formats.rows import schema_text
from hugflow.model.plan import Column, DownloadPlan, Shard
from hugflow.model.records import EncoderSettings
from hugflow.model.specs import AddSpec, DatasetIdentity


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


def test_the_needs_of_rows_that_nobody_has_counted_are_those_of_their_files() -> None:
    counted = plan(None).model_copy(update={"format": "json", "expected_rows": 10})
    unknown = counted.model_copy(update={"expected_rows": None})
    assert (counted.known_rows, unknown.known_rows) == (10, None)
    shards = tuple(shard.model_copy(update={"size_bytes": 50_000_000}) for shard in unknown.shards)
    needs = estimate(unknown.model_copy(update={"shards": shards}), 0, workers=1)
    assert needs.stored_bytes == 200_000_000
    assert needs.scratch_bytes == 100_000_000
    assert needs.seconds == pytest.approx(5)


CELL = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SCHEMA = pa.schema(
    [
        ("audio", CELL),
        ("noise", CELL),
        ("turn", pa.struct([("mic", CELL)])),
        ("photo", CELL),
        ("odd", CELL),
        ("raw", pa.list_(pa.large_binary())),
        ("sentence", pa.string()),
        ("n", pa.int64()),
    ]
)
KINDS = {"audio": "audio", "noise": "audio", "photo": "image", "sentence": "text"}


def told(*names: str, audio: str | None = "audio", **fields: str | None) -> list[tuple[str, str]]:
    schema = pa.schema([SCHEMA.field(name) for name in names])
    columns = tuple(
        Column.model_validate(
            {
                "name": name,
                "kind": KINDS.get(name, "value"),
                "type": "",
                "nested_audio": ["turn.mic"] if name == "turn" else [],
            }
        )
        for name in names
    )
    update = {"columns": columns, "arrow_schema": schema_text(schema), "audio_column": audio}
    spec = AddSpec.model_validate({"hf_id": "acme/x", "description": "x", **fields})
    return [(finding.level, finding.message) for finding in left_out(spec, plan().model_copy(update=update))]


def test_a_dataset_that_keeps_everything_has_no_finding() -> None:
    assert told("audio", "sentence", "n", text_column="sentence") == []
    assert told("audio", "n") == []


def test_audio_that_is_not_extracted_is_named_with_what_to_write() -> None:
    assert told("audio", "noise", "turn") == [
        (
            "warning",
            (
                "audio that is not extracted: `noise`, `turn.mic`; the JSON has paths, sizes and SHA-256 only. "
                "For MP3 files write `audio_column: noise`: one column for each dataset in storage. "
                "Of audio inside of lists and structs no MP3 files are made."
            ),
        )
    ]
    assert [level for level, _ in told("audio", audio=None, audio_column=None)] == ["warning"]


def test_bytes_that_are_left_out_are_named() -> None:
    assert told("audio", "photo", "raw") == [
        ("warning", "bytes that are left out: `photo`, `raw`; the JSON has paths, sizes and SHA-256 only.")
    ]
    ((_, message),) = told("odd", "raw", audio=None)
    assert message == (
        "bytes that are left out: `odd`, `raw`; the JSON has paths, sizes and SHA-256 only. "
        "If `odd` is audio, write `audio_column: odd`."
    )
    assert "If" not in told("odd", audio=None, audio_column=None)[0][1]


def test_a_text_column_that_is_missing_is_told() -> None:
    assert told("audio", "sentence") == [
        (
            "info",
            (
                "there is no column `text`: previews and reports have no text. Columns of text: `sentence`; write "
                "`text_column: sentence`, for example."
            ),
        )
    ]
