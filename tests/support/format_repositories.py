"""One speech dataset as every kind of repository: the same rows, in the files of each format that the Hub knows."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.world import audio_cell, clip, sound_file, table_of

ROWS = 200
# sample rate, channels, container, encoding, suffix
KINDS = [
    (16_000, 1, "WAV", "PCM_16", "wav"),
    (8_000, 2, "WAV", "PCM_16", "wav"),
    (22_050, 1, "FLAC", "PCM_16", "flac"),
    (16_000, 1, "MP3", "MPEG_LAYER_III", "mp3"),
    (48_000, 1, "WAV", "FLOAT", "wav"),
    (16_000, 1, "OGG", "VORBIS", "ogg"),
    (48_000, 1, "OGG", "OPUS", "opus"),
    (96_000, 1, "FLAC", "PCM_24", "flac"),
]
Row = dict[str, Any]


@dataclass(frozen=True)
class Speech:
    """A row of the dataset: its audio file, and its other columns."""

    file_name: str
    data: bytes
    values: Row

    @property
    def stem(self) -> str:
        return self.file_name.partition(".")[0]


def speech(rows: int = ROWS) -> list[Speech]:
    """The rows; each has a sound, a name and a text of its own."""
    return [_speech(number) for number in range(rows)]


def _speech(number: int) -> Speech:
    rate, channels, kind, subtype, suffix = KINDS[number % len(KINDS)]
    data = sound_file(clip(number, 0.12 + number % 5 / 50, rate, channels), rate, kind, subtype)
    values = {"text": f"Sentence {number}, «naïve» 語", "number": number * 7 - 3, "score": number + 0.25}
    return Speech(f"clip-{number:04}.{suffix}", data, values)


@dataclass(frozen=True)
class Layout:
    """A way to put the dataset on the Hub.

    `write` fills a folder. `fields` are what a request needs beside `hf_id`; `same` makes of a downloaded row what the
    row of the reference is, and `compares` names the columns that the format can hold.
    """

    write: Callable[[Path, Sequence[Speech]], None]
    fields: Mapping[str, Any] = field(default_factory=dict)
    same: Callable[[Row], Row] = dict
    compares: tuple[str, ...] = ("audio", "text", "number", "score")


def put(folder: Path, path: str, data: bytes | str) -> None:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data.encode() if isinstance(data, str) else data)


def card(folder: Path, text: str) -> None:
    put(folder, "README.md", f"---\n{text}\n---\n")


def embedded(rows: Sequence[Speech]) -> pa.Table:
    """The rows with their audio in them."""
    return table_of([{"audio": audio_cell(row.data, row.file_name), **row.values} for row in rows])


def halves(rows: Sequence[Speech]) -> list[Sequence[Speech]]:
    """Two parts of different lengths."""
    cut = len(rows) * 3 // 5
    return [rows[:cut], rows[cut:]]


def parquet(shards: int = 1, group_rows: int = 1_000) -> Callable[[Path, Sequence[Speech]], None]:
    def write(folder: Path, rows: Sequence[Speech]) -> None:
        (folder / "data").mkdir(parents=True)
        size = -(-len(rows) // shards)
        for number in range(shards):
            part = embedded(rows[number * size : (number + 1) * size])
            pq.write_table(
                part, folder / "data" / f"train-{number:05}-of-{shards:05}.parquet", row_group_size=group_rows
            )

    return write


def parquet_columns(folder: Path, rows: Sequence[Speech]) -> None:
    """A card that takes some of the columns only."""
    (folder / "data").mkdir(parents=True)
    for number, part in enumerate(halves(rows)):
        table = embedded(part)
        table = table.append_column("unwanted", pa.array(["x"] * table.num_rows))
        pq.write_table(table.replace_schema_metadata(None), folder / "data" / f"{number}.parquet")
    configs = "configs:\n- config_name: default\n  data_files: data/*.parquet\n  columns: [audio, text, number, score]"
    card(folder, configs)


def arrow(*, stream: bool) -> Callable[[Path, Sequence[Speech]], None]:
    def write(folder: Path, rows: Sequence[Speech]) -> None:
        for number, part in enumerate(halves(rows)):
            table = embedded(part)
            file = io.BytesIO()
            new = pa.ipc.new_stream if stream else pa.ipc.new_file
            with new(file, table.schema) as writer:
                writer.write_table(table, max_chunksize=30)
            put(folder, f"data/train-{number:05}-of-00002.arrow", file.getvalue())

    return write


def _put_clips(folder: Path, rows: Sequence[Speech], below: str = "clips") -> list[Row]:
    """The audio as files; returns rows that name them from the folder above."""
    named = []
    for row in rows:
        put(folder, f"{below}/{row.file_name}", row.data)
        named.append({"audio": f"{below.rpartition('/')[2]}/{row.file_name}", **row.values})
    return named


def lines(rows: Sequence[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


ONE_CONFIG = "configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: {}"


def _json_layout(pack: Callable[[list[Row]], bytes], suffix: str) -> Callable[[Path, Sequence[Speech]], None]:
    """Two files of JSON beside the folder with the audio that they name."""

    def write(folder: Path, rows: Sequence[Speech]) -> None:
        for number, part in enumerate(halves(rows)):
            put(folder, f"tables/train-{number}.{suffix}", pack(_put_clips(folder, part)))
        card(folder, ONE_CONFIG.format(f"tables/*.{suffix}"))

    return write


def json_array(rows: list[Row]) -> bytes:
    return json.dumps(rows).encode()


def zstd(rows: list[Row]) -> bytes:
    return bytes(pa.compress(lines(rows).encode(), codec="zstd", asbytes=True))


def json_field(folder: Path, rows: Sequence[Speech]) -> None:
    named = _put_clips(folder, rows)
    put(folder, "all.json", json.dumps({"version": 3, "items": named}))
    card(folder, "configs:\n- config_name: default\n  data_files: all.json\n  field: items")


def jsonl_beside(folder: Path, rows: Sequence[Speech]) -> None:
    """Paths are relative to the folder of the JSON file, deep in the repository."""
    put(folder, "corpus/v1/rows.jsonl", lines(_put_clips(folder, rows, "corpus/v1/clips")))
    card(folder, ONE_CONFIG.format("corpus/v1/rows.jsonl"))


def csv_text(rows: Sequence[Row], separator: str = ",") -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def csv_separator(folder: Path, rows: Sequence[Speech]) -> None:
    put(folder, "rows.csv", csv_text(_put_clips(folder, rows), ";"))
    card(folder, 'configs:\n- config_name: default\n  data_files: rows.csv\n  sep: ";"')


def text(folder: Path, rows: Sequence[Speech]) -> None:
    for number, part in enumerate(halves(rows)):
        put(folder, f"train-{number}.txt", "".join(row.values["text"] + "\n" for row in part))


# -- folders of audio ------------------------------------------------------------------------------------------------


def metadata_rows(rows: Sequence[Speech]) -> list[Row]:
    return [{"file_name": row.file_name, **row.values} for row in rows]


def metadata_file(rows: Sequence[Speech], kind: str) -> bytes:
    listed = metadata_rows(rows)
    if kind == "csv":
        return csv_text(listed).encode()
    if kind == "jsonl":
        return lines(listed).encode()
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(listed), file)
    return file.getvalue()


def audiofolder(kind: str) -> Callable[[Path, Sequence[Speech]], None]:
    """The order of the metadata counts, not that of the names: the files lie in folders the other way round."""

    def write(folder: Path, rows: Sequence[Speech]) -> None:
        for row in rows:
            put(folder, row.file_name, row.data)
        put(folder, f"metadata.{kind}", metadata_file(rows, kind))

    return write


def two_metadata_files(folder: Path, rows: Sequence[Speech]) -> None:
    for name, part in zip(("a", "b"), halves(rows), strict=True):
        for row in part:
            put(folder, f"{name}/{row.file_name}", row.data)
        put(folder, f"{name}/metadata.jsonl", metadata_file(part, "jsonl"))


def no_metadata(folder: Path, rows: Sequence[Speech]) -> None:
    """Labels are the folders' names; rows come in the order of the paths."""
    for name, part in zip(("cats", "dogs"), halves(rows), strict=True):
        for row in part:
            put(folder, f"{name}/{row.file_name}", row.data)


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def zip_with_metadata(folder: Path, rows: Sequence[Speech]) -> None:
    for name, part in zip(("one", "two"), halves(rows), strict=True):
        files = {row.file_name: row.data for row in part}
        put(folder, f"{name}.zip", zip_bytes(files | {"metadata.csv": metadata_file(part, "csv")}))


def zip_without_metadata(folder: Path, rows: Sequence[Speech]) -> None:
    for name, part in zip(("one", "two"), halves(rows), strict=True):
        put(folder, f"{name}.zip", zip_bytes({row.file_name: row.data for row in part}))


# -- webdatasets -----------------------------------------------------------------------------------------------------


def tar_bytes(members: Sequence[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def samples(rows: Sequence[Speech]) -> list[tuple[str, bytes]]:
    """The members of a tar: `.wav` whatever is in it, so that all rows have the same columns."""
    members = []
    for row in rows:
        members += [(f"{row.stem}.wav", row.data), (f"{row.stem}.json", json.dumps(row.values).encode())]
    return members


def webdataset(folder: Path, rows: Sequence[Speech]) -> None:
    for number in range(3):
        part = rows[number * len(rows) // 3 : (number + 1) * len(rows) // 3]
        put(folder, f"data/train-{number:04}.tar", tar_bytes(samples(part)))


def _unpacked(row: Row) -> Row:
    return {"audio": row["wav"], **row["json"]}


# -- layouts of repositories -----------------------------------------------------------------------------------------


def configs_and_splits(folder: Path, rows: Sequence[Speech]) -> None:
    """Three splits in two configs; the request wants one of them."""
    for name, part in (("en", rows[:3]), ("de", rows)):
        for split in ("train", "held.out"):
            (folder / name).mkdir(exist_ok=True)
            pq.write_table(embedded(part if split == "held.out" else part[:2]), folder / name / f"{split}.parquet")
    card(
        folder,
        "configs:\n"
        "- config_name: en\n  data_files: [{split: train, path: en/train.parquet}]\n"
        "- config_name: de\n  data_files:\n"
        "  - {split: train, path: de/train.parquet}\n  - {split: held.out, path: de/held.out.parquet}",
    )


LAYOUTS: dict[str, Layout] = {
    "parquet-many-groups": Layout(parquet(shards=3, group_rows=7)),
    "parquet-columns-of-the-card": Layout(parquet_columns),
    "arrow-stream": Layout(arrow(stream=True)),
    "arrow-file": Layout(arrow(stream=False)),
    "json-array": Layout(_json_layout(json_array, "json")),
    "jsonl": Layout(_json_layout(lambda rows: lines(rows).encode(), "jsonl")),
    "jsonl-gz": Layout(_json_layout(lambda rows: gzip.compress(lines(rows).encode()), "jsonl.gz")),
    "jsonl-zst": Layout(_json_layout(zstd, "jsonl.zst")),
    "json-field": Layout(json_field),
    "jsonl-deep-paths": Layout(jsonl_beside),
    "csv-separator": Layout(csv_separator),
    "text": Layout(text, compares=("text",)),
    "audiofolder-csv": Layout(audiofolder("csv")),
    "audiofolder-jsonl": Layout(audiofolder("jsonl")),
    "audiofolder-parquet": Layout(audiofolder("parquet")),
    "audiofolder-two-metadata": Layout(two_metadata_files),
    "audiofolder-labels": Layout(no_metadata, compares=("audio",)),
    "zip-with-metadata": Layout(zip_with_metadata),
    "zip-without-metadata": Layout(zip_without_metadata, compares=("audio",)),
    "webdataset": Layout(webdataset, {"audio_column": "wav"}, same=_unpacked),
    "configs-and-splits": Layout(configs_and_splits, {"subset": "de", "split": "held.out"}),
}
