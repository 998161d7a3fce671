"""Packs a folder of recordings as a dataset repository of the Hub: parquet files and a card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def pack(recordings: Path, repository: Path, *, shards: int, licence: str) -> int:
    """Write the recordings that `metadata.jsonl` lists to `repository`, as split "train"; returns their number.

    A line of `metadata.jsonl` is an object: `file_name`, and a value for each further column.
    """
    lines = (recordings / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    table = _table(recordings, [json.loads(line) for line in lines if line.strip()])
    (repository / "data").mkdir(parents=True)
    for shard in range(shards):
        start, stop = (table.num_rows * part // shards for part in (shard, shard + 1))
        name = f"train-{shard:05d}-of-{shards:05d}.parquet"
        pq.write_table(table.slice(start, stop - start), repository / "data" / name)
    (repository / "README.md").write_text(f"---\nlicense: {licence}\n---\n\n# {repository.name}\n", encoding="utf-8")
    return int(table.num_rows)


def _table(recordings: Path, rows: list[dict[str, Any]]) -> pa.Table:
    """The audio in the form of the Hub's parquet files (the file's own bytes and its name), and the other columns."""
    cells = [{"bytes": (recordings / row["file_name"]).read_bytes(), "path": row["file_name"]} for row in rows]
    others = pa.Table.from_pylist([{name: row[name] for name in row if name != "file_name"} for row in rows])
    table = others.add_column(0, "audio", pa.array(cells, AUDIO))
    features = {"audio": {"_type": "Audio"}} | {field.name: _feature(field) for field in others.schema}
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def _feature(field: pa.Field) -> dict[str, str]:
    names = {"double": "float64"}  # what `datasets` calls otherwise than Arrow does
    return {"_type": "Value", "dtype": names.get(str(field.type), str(field.type))}
