"""Every kind of column becomes strict JSON; audio is read in every form that datasets store."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from localhub import LocalHub
from tests.support.world import (
    World,
    audio_cell,
    clip,
    correlation,
    decode,
    features_of,
    pack,
    sound_file,
    table_of,
)

SOUND = sound_file(clip(6, 0.2))


def _omitted(data: bytes) -> dict[str, object]:
    return {"omitted_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_columns_of_every_kind(world: World) -> None:
    image = b"\x89PNG not really"
    table = pa.table(
        {
            "text": ['Grüezi \u2028 \0 "', None],
            "id": pa.array([2**63 - 1, -(2**63)], pa.int64()),
            "unsigned": pa.array([2**64 - 1, 0], pa.uint64()),
            "score": [float("nan"), float("-inf")],
            "ok": [True, None],
            "at": pa.array([1_772_368_200_123_456, None], pa.timestamp("us")),
            "zoned": pa.array([datetime(2026, 3, 1, 12, tzinfo=UTC), None], pa.timestamp("ms", "Europe/Zurich")),
            "day": [date(2026, 3, 1), None],
            "clock": [time(12, 30, 1), None],
            "took": pa.array([timedelta(seconds=90), None], pa.duration("ms")),
            "price": pa.array([Decimal("12.30"), None], pa.decimal128(10, 2)),
            "raw": [b"\x00\xff", None],
            "nested": [[[1, None], []], None],
            "deep": [{"a": [{"b": 1.5, "c": b"x"}], "d": {"e": "f"}}, None],
            "pairs": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int32())),
            "class": pa.array(["x", "y"]).dictionary_encode(),
            "image": pa.array(
                [{"bytes": image, "path": "i.png"}, None], pa.struct([("bytes", pa.binary()), ("path", pa.string())])
            ),
            "nothing": pa.nulls(2),
        }
    )
    table = table.replace_schema_metadata({b"huggingface": features_of({"image": "image"})})
    stored = world.downloaded({"train": table})
    assert stored.rows()[0] == {
        "text": 'Grüezi \u2028 \0 "',
        "id": 2**63 - 1,
        "unsigned": 2**64 - 1,
        "score": None,
        "ok": True,
        "at": "2026-03-01T12:30:00.123456",
        "zoned": "2026-03-01T13:00:00.000+01:00",
        "day": "2026-03-01",
        "clock": "12:30:01.000000",
        "took": "PT90S",
        "price": "12.30",
        "raw": _omitted(b"\x00\xff"),
        "nested": [[1, None], []],
        "deep": {"a": [{"b": 1.5, "c": _omitted(b"x")}], "d": {"e": "f"}},
        "pairs": [{"key": "k", "value": 1}],
        "class": "x",
        "image": {"bytes": _omitted(image), "path": "i.png"},
        "nothing": None,
    }
    second = stored.rows()[1]
    assert (second["id"], second["class"], second["unsigned"]) == (-(2**63), "y", 0)
    assert [name for name, value in second.items() if value is not None] == ["id", "unsigned", "class"]
    assert list(second) == table.column_names
    assert stored.audio_names() == []
    assert stored.marker()["audio_column"] is None


def test_a_dataset_without_audio_has_json_only(world: World) -> None:
    stored = world.downloaded([{"text": f"row {n}", "n": n} for n in range(70)])
    assert stored.rows() == {n: {"text": f"row {n}", "n": n} for n in range(70)}
    assert stored.audio_names() == []
    assert {row["status"] for row in stored.index()} == {"ok"}


def test_rows_of_null_audio_have_json_only(world: World) -> None:
    table = table_of([{"audio": None if n % 2 else audio_cell(SOUND, "x.wav"), "n": n} for n in range(4)])
    stored = world.downloaded({"train": table})
    assert [row["audio"] for row in stored.rows().values()] == ["audio/x__0.mp3", None, "audio/x__2.mp3", None]
    assert [row["status"] for row in stored.index()] == ["ok", "no_audio", "ok", "no_audio"]
    assert stored.marker()["audio_files"] == 2


def test_audio_that_is_all_null_is_said(world: World) -> None:
    hf_id = world.new_id()
    world.serve(hf_id, {"train": table_of([{"audio": None, "n": 1}])})
    done = world.run("local-sync", world.add(hf_id)).ok()
    assert "Audio column exists but no audio files extracted" in done.err


def test_samples_with_their_rate_are_audio(world: World) -> None:
    sounds = [clip(seed, 0.2, 8_000) / 32768 for seed in range(2)]
    kind = pa.struct([("path", pa.string()), ("array", pa.list_(pa.float32())), ("sampling_rate", pa.int64())])
    cells = [{"path": f"s{n}.wav", "array": sound.tolist(), "sampling_rate": 8_000} for n, sound in enumerate(sounds)]
    table = pa.table({"audio": pa.array([*cells, None], kind), "text": ["a", "b", "c"]})
    hf_id = world.new_id()
    world.serve(hf_id, {"train": table})
    stored = world.dataset(world.sync(world.add(hf_id, audio_column="audio")).ok().result["name"])
    assert stored.rows()[2] == {"audio": None, "text": "c"}
    for number, sound in enumerate(sounds):
        got, rate = decode(stored.mp3(stored.rows()[number]))
        assert (len(got), rate) == (1_600, 8_000)
        assert correlation(np.asarray(sound), got) > 0.99


def test_paths_are_read_from_the_repository_and_nowhere_else(world: World, hub: LocalHub) -> None:
    outside = world.folder.parent / "secret.wav"
    outside.write_bytes(SOUND)
    paths = [
        "sounds/a.wav",  # from the root
        "b.wav",  # from beside the shard
        "../sounds/a.wav",  # would end inside; what goes up is refused all the same
        "sounds/none.wav",
        str(outside),
        f"file://{outside}",
        "../../secret.wav",
        "https://evil.example/x.wav",
        "hf://datasets/acme/other/x.wav",
        f"{hub.url}/datasets/acme/other/resolve/main/x.wav",
    ]
    folder = world.folder.parent / "with-files"
    pack(folder, {"train": table_of([{"audio": audio_cell(None, path), "n": n} for n, path in enumerate(paths)])})
    (folder / "sounds").mkdir()
    (folder / "sounds" / "a.wav").write_bytes(SOUND)
    (folder / "data" / "b.wav").write_bytes(SOUND)
    hub.add_dataset("acme/files", folder)
    hub.clear_log()
    # the card says which files are the table: `datasets` would take the folder for one of audio
    hub.commit(
        "acme/files", {"README.md": b"---\nconfigs:\n- config_name: default\n  data_files: data/*.parquet\n---\n"}
    )
    done = world.sync(world.add("acme/files", max_failed_rows=10)).ok().result
    assert (done["rows_done"], done["rows_failed"]) == (2, 8)
    refused = dict.fromkeys(range(2, 10), "refused_path")
    assert {row["row"]: row["reason"] for row in done["errors"]} == refused | {3: "audio_missing"}
    assert [record.target for record in hub.requests("other|evil|secret")] == []
    rows = world.dataset().rows()
    assert (rows[0]["audio"], rows[1]["audio"]) == ("audio/a__0.mp3", "audio/b__1.mp3")
    assert world.dataset().mp3(rows[0]) == world.dataset().mp3(rows[1])


CONFIG = "---\nconfigs:\n- config_name: default\n  data_files: {}\n---\n"


def test_audio_cells_of_json_may_have_optional_keys(world: World) -> None:
    """Objects whose keys differ, texts and nulls in one column: each is an audio cell."""
    samples = (clip(5, 0.2, 8_000) / 32768).tolist()
    cells = [
        {"path": "clips/a.wav"},
        {"path": "clips\\a.wav", "speaker": "x"},
        "clips/a.wav",
        None,
        {"array": samples, "sampling_rate": 8_000},
        {"path": "clips/gone.wav", "bytes": None},
    ]
    rows = "".join(json.dumps({"audio": cell, "n": n}) + "\n" for n, cell in enumerate(cells))
    files = {"rows.jsonl": rows.encode(), "clips/a.wav": SOUND, "README.md": CONFIG.format("rows.jsonl").encode()}
    hf_id = world.new_id()
    world.hub.add_dataset(hf_id)
    world.hub.commit(hf_id, files)
    done = world.sync(world.add(hf_id, audio_column="audio", max_failed_rows=1)).ok().result
    assert [(error["row"], error["reason"]) for error in done["errors"]] == [(5, "audio_missing")]
    stored = world.dataset()
    found = stored.rows()
    assert [found[n]["audio"] is None for n in range(5)] == [False, False, False, True, False]
    assert stored.mp3(found[0]) == stored.mp3(found[1]) == stored.mp3(found[2])
    assert len(decode(stored.mp3(found[4]))[0]) == 1_600


def test_values_of_several_types_are_values_in_json_and_text_in_the_table(world: World) -> None:
    values = [1, "1", {"a": 1}, {"a": 1, "b": None}, [1, "x"], 2**70, "text", None]
    rows = [{"v": value, "several": [value, {"k": value}], "n": n} for n, value in enumerate(values)]
    hf_id = world.new_id()
    world.hub.add_dataset(hf_id)
    world.hub.commit(hf_id, {"train.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode()})
    world.sync(world.add(hf_id)).ok()
    stored = world.dataset()
    assert list(stored.rows().values()) == rows
    table = pq.read_table(stored.path / "metadata.parquet").to_pydict()
    assert [value if isinstance(value, str | None) else json.dumps(value) for value in values] == [
        value if value is None or value[:1] not in "{[" else json.dumps(json.loads(value)) for value in table["v"]
    ]
    assert table["n"] == list(range(len(values)))


def test_rows_that_cannot_be_read_fail_with_the_name_of_their_sample(world: World) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in [
            *((f"{n}.wav", SOUND) for n in range(4)),
            *((f"{n}.json", b'{"tags": [1, "a"]}' if n else b"{") for n in range(4)),
            ("take.2.wav", SOUND),
        ]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    hf_id = world.new_id()
    world.hub.add_dataset(hf_id)
    world.hub.commit(hf_id, {"train.tar": file.getvalue()})
    done = world.sync(world.add(hf_id, audio_column="wav", max_failed_rows=1))
    assert done.code == 3
    failed = {error["row"]: (error["reason"], error["message"]) for error in done.result["errors"]}
    assert [(row, reason) for row, (reason, _) in failed.items()] == [(0, "invalid_value"), (4, "bad_sample")]
    assert "`0.json`" in failed[0][1]
    assert "`take.2.wav`" in failed[4][1]
    rows = world.dataset().rows()
    assert [row["json"] for row in rows.values()] == [{"tags": [1, "a"]}] * 3
    assert all(row["wav"] for row in rows.values())
