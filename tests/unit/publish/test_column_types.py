"""Column types of a request: every value becomes that type, or the first that cannot is named."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hugflow.model.errors import InvalidRequest
from hugflow.model.publish_spec import PublishSpec
from hugflow.publish.sources.opening import Source, of_arrow, open_tables, with_types

Value = dict[str, Any]
JAN_1 = dt.datetime(2024, 1, 1, 8, 30)  # noqa: DTZ001 - without a zone


def opened(root: Path, name: str, **columns: Any) -> Source:
    spec = PublishSpec.model_validate({"repo_id": "acme/x", "path": name, "columns": columns})
    (source,) = open_tables(spec, root)
    return source


def values(source: Source, name: str = "v") -> list[Any]:
    assert all(batch.schema.equals(source.schema) for batch in source.batches())
    return [value for batch in source.batches([name]) for value in batch.column(0).to_pylist()]


def csv(root: Path, texts: Sequence[str]) -> str:
    (root / "x.csv").write_text("v,n\n" + "".join(f"{text},1\n" for text in texts))
    return "x.csv"


@pytest.mark.parametrize(
    ("given", "texts", "expected", "feature"),
    [
        ("string", ["1", "2024-01-01", ""], ["1", "2024-01-01", None], "string"),
        ("string", ["NA", "true"], ["NA", "true"], "string"),
        ("float64", ["1.10", "1e5", "+2", "NA"], [1.1, 1e5, 2.0, None], "float64"),
        ("int64", ["007", "+1", ""], [7, 1, None], "int64"),
        ("uint8", ["0", "255"], [0, 255], "uint8"),
        ("bool", ["1", "0", "True"], [True, False, True], "bool"),
        ("date", ["2024-02-29", "null"], [dt.date(2024, 2, 29), None], "date32"),
        ("timestamp", ["2024-01-01 08:30:00"], [JAN_1], "timestamp[us]"),
        ("timestamp[s]", ["2024-01-01T08:30:00"], [JAN_1], "timestamp[ms]"),
        (
            "timestamp[ms, tz=UTC]",
            ["2024-01-01T10:30:00+02:00"],
            [JAN_1.replace(tzinfo=dt.UTC)],
            "timestamp[ms, tz=UTC]",
        ),
        ("decimal(10, 2)", ["1.10", "-3"], [Decimal("1.10"), Decimal("-3.00")], "decimal128(10, 2)"),
        ("binary", ["ab"], [b"ab"], "binary"),
    ],
)
def test_text_of_csv(tmp_path: Path, given: str, texts: list[str], expected: list[Any], feature: str) -> None:
    source = opened(tmp_path, csv(tmp_path, texts), v=given)
    assert values(source) == expected
    assert source.features["v"] == {"dtype": feature, "_type": "Value"}
    assert source.features["n"] == {"dtype": "int64", "_type": "Value"}
    assert source.parquet_files == ()


def test_class_labels_from_names_and_from_ids(tmp_path: Path) -> None:
    label = {"class_label": ["no", "yes"]}
    named = opened(tmp_path, csv(tmp_path, ["yes", "no", ""]), v=label)
    assert values(named) == [1, 0, None]
    assert named.features["v"] == {"names": ["no", "yes"], "_type": "ClassLabel"}
    pq.write_table(pa.table({"v": pa.array([1, None, 0], pa.int8())}), tmp_path / "ids.parquet")
    assert values(opened(tmp_path, "ids.parquet", v=label)) == [1, None, 0]
    words = pa.table({"v": pa.array(["no", "yes", None]).dictionary_encode()})
    pq.write_table(words, tmp_path / "words.parquet")
    assert values(opened(tmp_path, "words.parquet", v=label)) == [0, 1, None]


def test_json_keeps_texts_that_look_like_dates(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"v": "2024-01-01", "d": "2024-01-01"}\n')
    source = opened(tmp_path, "x.jsonl", v="string")
    assert (values(source), values(source, "d")) == (["2024-01-01"], [dt.date(2024, 1, 1)])


def test_folders_that_are_columns(tmp_path: Path) -> None:
    for year in ("2024", "2025"):
        (tmp_path / f"data/v={year}").mkdir(parents=True)
        pq.write_table(pa.table({"n": [1]}), tmp_path / f"data/v={year}/x.parquet")
    assert values(opened(tmp_path, "data", v="string")) == ["2024", "2025"]


def test_paths_become_audio(tmp_path: Path) -> None:
    source = opened(tmp_path, csv(tmp_path, ["clips/a.wav", ""]), v="audio")
    assert values(source) == [{"bytes": None, "path": "clips/a.wav"}, None]
    assert source.features["v"] == {"_type": "Audio"}
    assert source.files == (), "the files that rows name are known only after a scan"
    pq.write_table(pa.table({"v": [b"RIFF", None]}), tmp_path / "x.parquet")
    assert values(opened(tmp_path, "x.parquet", v="image")) == [{"bytes": b"RIFF", "path": None}, None]


def test_parquet_and_memory(tmp_path: Path) -> None:
    table = pa.table({"v": [1, 2], "w": ["a", "b"]})
    pq.write_table(table, tmp_path / "x.parquet")
    assert values(opened(tmp_path, "x.parquet", v="float32")) == [1.0, 2.0]
    (source,) = with_types([of_arrow(table, "default", "train")], {"v": "string"}, "columns")
    assert values(source) == ["1", "2"]


BAD: list[tuple[str, Callable[[Path], str], Any, str]] = [
    ("a date", lambda root: csv(root, ["2024-01-01"] * 5 + ["2024-02-30"]), "date", "row 6 .*`2024-02-30`.*no date"),
    ("an int", lambda root: csv(root, ["1", "1.5"]), "int64", "row 2 .*`1.5`.*no int64"),
    ("too large", lambda root: csv(root, ["256"]), "uint8", "row 1 .*`256`.*no uint8"),
    ("a class", lambda root: csv(root, ["a", "c"]), {"class_label": ["a", "b"]}, "row 2 .*`c`.*no class of `a`, `b`"),
    ("an id", lambda root: csv(root, ["x"]), {"class_label": ["0"]}, "row 1 .*`x`"),
    ("digits", lambda root: csv(root, ["1.005"]), "decimal(5, 2)", "row 1 .*`1.005`"),
    ("a zone", lambda root: csv(root, ["2024-01-01T00:00:00Z"]), "timestamp", "row 1 "),
]


@pytest.mark.parametrize(("make", "given", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_values_that_do_not_fit(tmp_path: Path, make: Callable[[Path], str], given: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        values(opened(tmp_path, make(tmp_path), v=given))
    assert (caught.value.reason, caught.value.field) == ("wrong_type", "columns.v")


def test_types_that_cannot_be(tmp_path: Path) -> None:
    table = pa.table({"v": [[1]], "w": [1.5]})
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(InvalidRequest, match="cannot become date") as caught:
        opened(tmp_path, "x.parquet", v="date")
    assert caught.value.field == "columns.v"
    with pytest.raises(InvalidRequest, match="cannot become audio"):
        opened(tmp_path, "x.parquet", w="audio")
    with pytest.raises(InvalidRequest, match=r"has no column `vv`; did you mean `v`\?") as caught:
        opened(tmp_path, "x.parquet", vv="date")
    assert (caught.value.reason, caught.value.field) == ("unknown_column", "columns.vv")
    with pytest.raises(InvalidRequest, match="is no type of a column"):
        opened(tmp_path, "x.parquet", w="decimal(99, 2)")
