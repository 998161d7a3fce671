"""A finished dataset loads with the real `datasets`, under its own split name, with all rows, columns and files."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.support.world import World, audio_cell, clip, sound_file, table_of

SOUND = sound_file(clip(4, 0.2))

# In a process of its own, whose environment is all that `datasets` reads. Without torch only Arrow tables can be had;
# row by row, because a table of several rows would need a type for the nulls in the first. The process is not torn down
# at its end: threads of Arrow's, with which `datasets` reads JSON, now and then abort in that (apache/arrow#45214).
LOAD = """
import json, os, sys
from datasets import load_dataset
options = {"decode_num_threads": 0} if sys.argv[2] == "audio" else {}
loaded = load_dataset(sys.argv[1], streaming=True, **options)
arrow = {split: part.with_format("arrow") for split, part in loaded.items()}
rows = {split: [row for table in part for row in table.to_pylist()] for split, part in arrow.items()}
print(json.dumps(rows), flush=True)
os._exit(0)
"""


def load(world: World, folder: Path, how: str = "audio") -> dict[str, list[dict[str, Any]]]:
    """All splits that `load_dataset(folder)` gives; audio as the name of its file, which must be there."""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", LOAD, folder, how],
        cwd=world.folder,
        env=world.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    splits = json.loads(done.stdout.splitlines()[-1])
    for row in (row for rows in splits.values() for row in rows):
        if isinstance(row.get("audio"), dict):
            path = Path(row["audio"]["path"])
            assert path.parent == folder / "audio"
            assert path.is_file()
            row["audio"] = path.name
    return splits


def test_rows_columns_and_audio_are_all_there(world: World) -> None:
    rows = [
        {"text": f"row {n}", "audio": audio_cell(SOUND, f"c{n}.wav"), "number": 2**60 + n, "tags": ["a", str(n)]}
        for n in range(3)
    ]
    assert load(world, world.downloaded(rows).path) == {
        "train": [
            {"text": f"row {n}", "audio": f"c{n}__{n}.mp3", "number": 2**60 + n, "tags": ["a", str(n)]}
            for n in range(3)
        ]
    }


@pytest.mark.parametrize("split", ["train", "test", "validation", "my_split.v2", "dev"])
def test_the_split_keeps_its_name_whatever_the_files_are_called(world: World, split: str) -> None:
    words = ["test", "dev", "train", "validation", "eval", "a-test-b", "x.json.1", "y.parquet.2", "z.zip.3", "plain"]
    rows = [{"audio": audio_cell(SOUND, f"{word}.wav"), "text": word} for word in words]
    loaded = load(world, world.downloaded({split: table_of(rows)}, split=split).path)
    assert list(loaded) == [split]
    assert [row["text"] for row in loaded[split]] == words


def test_rows_without_audio_are_rows_all_the_same(world: World) -> None:
    rows = [
        {"audio": audio_cell(SOUND, "x.wav") if n % 2 else None, "text": None if n == 1 else f"row {n}"}
        for n in range(4)
    ]
    stored = world.downloaded({"train": table_of(rows)})
    assert [row["audio"] for row in stored.rows().values()] == [None, "audio/x__1.mp3", None, "audio/x__3.mp3"]
    assert load(world, stored.path)["train"] == [
        {"audio": None, "text": "row 0"},
        {"audio": "x__1.mp3", "text": None},
        {"audio": None, "text": "row 2"},
        {"audio": "x__3.mp3", "text": "row 3"},
    ]


def test_failed_rows_are_left_out(world: World) -> None:
    rows = [{"audio": audio_cell(SOUND if n != 1 else b"bad", "x.wav"), "text": f"row {n}"} for n in range(3)]
    stored = world.downloaded(rows, max_failed_rows=1)
    assert [row["text"] for row in load(world, stored.path)["train"]] == ["row 0", "row 2"]


def test_a_single_row_loads(world: World) -> None:
    stored = world.downloaded([{"audio": audio_cell(SOUND, "x.wav"), "text": "alone"}])
    assert load(world, stored.path) == {"train": [{"audio": "x__0.mp3", "text": "alone"}]}


def test_columns_that_are_called_like_files_stay_columns(world: World) -> None:
    row = {
        "audio": audio_cell(SOUND, "x.wav"),
        "file_name": "original.wav",
        "speaker_file_name": "speaker.json",
        "file_names": ["a", "b"],
        "source_audio": "taken",
        "nested": [{"image_file_name": "i.png", "deep": {"file_name": None}}, None],
    }
    loaded = load(world, world.downloaded([row, row]).path)
    assert loaded["train"][0] == {
        "audio": "x__0.mp3",
        "file_name_": "original.wav",
        "speaker_file_name_": "speaker.json",
        "file_names_": ["a", "b"],
        "source_audio": "taken",
        "nested": [{"image_file_name_": "i.png", "deep": {"file_name_": None}}, None],
    }


def test_another_column_may_hold_the_audio(world: World) -> None:
    table = table_of([{"speech": audio_cell(SOUND, "x.wav"), "audio": "a text"}], audio=["speech"])
    stored = world.downloaded({"train": table}, audio_column="speech")
    assert stored.rows()[0] == {"speech": "audio/x__0.mp3", "audio": "a text"}
    assert load(world, stored.path)["train"] == [{"audio": "x__0.mp3", "source_audio": "a text"}]


def test_a_dataset_without_audio_loads_with_its_columns(world: World) -> None:
    rows = [{"text": f"row {n}", "file_name": f"{n}.txt", "score": n / 2} for n in range(3)]
    assert load(world, world.downloaded(rows).path, "table") == {"train": rows}


def test_a_dataset_whose_audio_is_all_null_loads(world: World) -> None:
    stored = world.downloaded({"train": table_of([{"audio": None, "text": f"row {n}"} for n in range(2)])})
    loaded = load(world, stored.path, "table")
    assert [row["text"] for row in loaded["train"]] == ["row 0", "row 1"]


def test_a_split_without_rows_is_complete(world: World) -> None:
    stored = world.downloaded({"train": table_of([{"audio": audio_cell(SOUND), "text": "x"}]).slice(0, 0)})
    assert (stored.marker()["rows_total"], stored.rows(), stored.audio_names()) == (0, {}, [])
    assert load(world, stored.path, "table") == {"train": []}


CLASSES = {"_type": "ClassLabel", "names": ["no", "yes"]}
FEATURES = """
import json, os, sys
from datasets import load_dataset
options = {"decode_num_threads": 0} if sys.argv[2] == "audio" else {}
loaded = load_dataset(sys.argv[1], split="train", streaming=True, **options)
names = {"label": loaded.features["label"].names, "tags": loaded.features["tags"].feature.names}
print(json.dumps(names | {"mood": loaded.features["who"]["mood"].names}), flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("how", ["audio", "table"])
def test_class_labels_keep_their_names(world: World, how: str) -> None:
    row = {"audio": audio_cell(SOUND, "x.wav"), "label": 1, "tags": [0, 1], "who": {"mood": 0, "n": 3}}
    if how == "table":
        del row["audio"]
    table = table_of([row])
    features = {"label": CLASSES, "tags": {"_type": "List", "feature": CLASSES}}
    features |= {"who": {"mood": CLASSES, "n": {"_type": "Value", "dtype": "int64"}}}
    features |= {"audio": {"_type": "Audio"}} if how == "audio" else {}
    meta = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    stored = world.downloaded({"train": table.replace_schema_metadata(meta)})
    assert stored.rows()[0]["label"] == 1
    done = subprocess.run(
        [sys.executable, "-c", FEATURES, stored.path, how],
        cwd=world.folder,
        env=world.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {name: ["no", "yes"] for name in ("label", "tags", "mood")}
    assert "- `label`: 0 `no`, 1 `yes`" in (stored.path / "README.md").read_text()


def test_rows_without_audio_and_sounds_to_check_are_counted(world: World) -> None:
    silence, loud = np.zeros(8_000, np.int16), clip(3).astype(np.float64)
    loud = loud / abs(loud).max() * 1.5
    file = io.BytesIO()
    soundfile.write(file, loud, 16_000, format="WAV", subtype="FLOAT")
    cells = [audio_cell(sound_file(silence)), None, audio_cell(file.getvalue()), audio_cell(SOUND), audio_cell(None)]
    hf_id = world.new_id()
    world.serve(hf_id, [{"audio": cell, "text": "x"} for cell in cells])
    counts = {"rows_without_audio": 2, "clipped_clips": 1, "silent_clips": 1}
    for _ in range(2):  # the second run finds it complete
        result = world.sync(world.add(hf_id)).ok().result
        assert {name: result[name] for name in counts} == counts
    assert (
        "2 rows without audio in the source, 1 clipped clip, 1 silent clip"
        in world.run("local-sync", world.add(hf_id), "--restart").out
    )
