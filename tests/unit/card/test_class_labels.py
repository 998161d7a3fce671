"""Class names in the schema of a stored table, as `datasets` itself reads them."""

from __future__ import annotations

import datasets
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from hugflow.card.class_labels import hub_feature, with_label_ids

NAMES = ("no", "yes", "~null")


def test_datasets_reads_the_names_back_at_any_depth() -> None:
    labels = dict.fromkeys(["flat", "listed", "who.sure", "turns.mood"], NAMES)
    kinds = {
        "flat": pa.int8(),
        "listed": pa.large_list(pa.uint16()),
        "who": pa.struct(
            [("sure", pa.int32()), ("id", pa.uint64()), ("text", pa.string()), ("x", pa.float64()), ("y", pa.bool_())]
        ),
        "turns": pa.large_list(pa.struct([("mood", pa.int64()), ("n", pa.null()), ("z", pa.float32())])),
    }
    types = {name: with_label_ids(kind, name, labels) for name, kind in kinds.items()}
    features = {name: hub_feature(kind, name, labels) for name, kind in types.items()}
    schema = pa.schema(list(types.items()), metadata={"huggingface": orjson.dumps({"info": {"features": features}})})
    file = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), file)
    read = pq.read_schema(pa.BufferReader(file.getvalue()))
    found = datasets.Features.from_arrow_schema(read)
    label = datasets.ClassLabel(names=list(NAMES))
    assert found["flat"] == label
    assert found["listed"] == datasets.LargeList(label)
    assert found["who"]["sure"] == label
    assert found["turns"].feature["mood"] == label
    assert found.arrow_schema.equals(read)


def test_columns_without_labels_keep_their_types() -> None:
    for kind in (pa.int8(), pa.string(), pa.large_list(pa.struct([("label", pa.int32())]))):
        assert with_label_ids(kind, "x", {"label": NAMES}) == kind


def test_a_label_that_is_text_stays_text() -> None:
    assert with_label_ids(pa.string(), "x", {"x": NAMES}) == pa.string()
    assert hub_feature(pa.string(), "x", {"x": NAMES}) == {"dtype": "string", "_type": "Value"}
