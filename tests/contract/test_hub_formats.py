"""Unusual, broken and hostile repositories, read by the Hub client over HTTP: the result of each row."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from localhub import Fault, LocalHub, Settings
from tests.conftest import _safe_environ
from tests.support.hub_client import HubClient

Content = Mapping[str, bytes | str]
Serve = Callable[[Content], str]
BIG = 2**53 + 1


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    with LocalHub() as running:
        running.add_dataset("acme/other")
        running.commit("acme/other", {"rows.jsonl": lines({"secret": 1}).encode()})
        yield running


@pytest.fixture(scope="module")
def client(hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubClient]:
    folder = tmp_path_factory.mktemp("client")
    environ = _safe_environ(folder / "home") | {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    with HubClient.running(environ, folder) as running:
        yield running
    # what is read leaves nothing behind
    assert [path for path in folder.iterdir() if path.name != "home"] == []


@pytest.fixture
def serve(hub: LocalHub, request: pytest.FixtureRequest) -> Serve:
    """Put files into a repository named after the test; returns its id."""

    def put(files: Content) -> str:
        hf_id = f"acme/{hashlib.sha256(request.node.name.encode()).hexdigest()[:16]}"
        hub.add_dataset(hf_id)
        hub.commit(hf_id, {path: data.encode() if isinstance(data, str) else data for path, data in files.items()})
        return hf_id

    return put


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def card(text: str) -> str:
    return f"---\n{text}\n---\n"


def one_config(path: str, more: str = "") -> str:
    return card(f"configs:\n- config_name: default\n  data_files:\n  - {{split: train, path: '{path}'}}\n{more}")


def parquet_bytes(table: pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def tar_bytes(*members: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def zip_bytes(files: Content, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


# -- types -----------------------------------------------------------------------------------------------------------


def test_a_type_may_widen_in_a_later_shard(client: HubClient, serve: Serve) -> None:
    hf_id = serve(
        {
            "train-0.jsonl": lines({"n": BIG, "late": None, "s": {"a": 1}}),
            "train-1.jsonl": lines({"n": 1.5, "late": "x", "s": {"a": 2, "b": "new"}}),
            "train-2.jsonl": lines({"late": "y", "more": True}),
        }
    )
    assert client.rows(hf_id) == [
        {"n": BIG, "late": None, "s": {"a": 1}},
        {"n": 1.5, "late": "x", "s": {"a": 2, "b": "new"}},
        {"late": "y", "more": True},
    ]


def test_a_type_may_widen_in_the_middle_of_a_shard(client: HubClient, serve: Serve) -> None:
    """The reader takes 10 MB at a time, and finds the types of each part by itself."""
    filler = "x" * 1_000_000
    first = [{"n": number, "text": filler, "late": None} for number in range(11)]
    hf_id = serve({"train.jsonl": lines(*first, {"n": 0.5, "text": filler, "late": "at last"})})
    rows = client.rows(hf_id)
    assert [row["n"] for row in rows] == [*range(11), 0.5]
    assert [row["late"] for row in rows] == [None] * 11 + ["at last"]


def test_integers_are_exact(client: HubClient, serve: Serve) -> None:
    rows = [{"id": BIG + number, "share": number / 3} for number in range(5)] + [{"id": -(2**63), "share": 1.0}]
    assert client.rows(serve({"train.jsonl": lines(*rows)})) == rows


def test_integers_beyond_a_float_in_a_column_of_floats_are_exact(client: HubClient, serve: Serve) -> None:
    """Also where the float comes in a later part of the file than the integers."""
    filler = "x" * 1_000_000
    rows = [*({"n": BIG, "text": filler} for _ in range(11)), {"n": 0.5, "text": filler}]
    assert client.rows(serve({"train.jsonl": lines(*rows)})) == rows


def test_features_of_the_card_decide_the_types(client: HubClient, serve: Serve) -> None:
    features = """dataset_info:
  features:
  - {name: label, dtype: {class_label: {names: {'0': no, '1': yes}}}}
  - {name: words, sequence: string}
  - {name: n, dtype: float32}
"""
    hf_id = serve(
        {
            "README.md": card(features),
            "train.jsonl": lines({"label": 1, "words": ["a", "b"], "n": 1}, {"label": 0, "words": [], "n": 2}),
        }
    )
    answer = client.split(hf_id)
    assert answer["rows"] == [{"label": 1, "words": ["a", "b"], "n": 1.0}, {"label": 0, "words": [], "n": 2.0}]
    assert answer["columns"]["label"] == ["value", "int64"]
    assert answer["columns"]["n"][1] == "float"


def test_audio_in_the_cards_features_of_a_json_file(client: HubClient, serve: Serve) -> None:
    hf_id = serve(
        {
            "README.md": card(
                "dataset_info:\n  features:\n  - {name: audio, dtype: audio}\n  - {name: text, dtype: string}"
            ),
            "train.jsonl": lines({"audio": "clips/a.wav", "text": "a"}),
        }
    )
    answer = client.split(hf_id)
    assert answer["columns"]["audio"][0] == "audio"
    assert answer["rows"][0]["text"] == "a"
    audio = answer["rows"][0]["audio"]
    assert audio == "clips/a.wav" or audio["path"] == "clips/a.wav"


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "zip"])
def test_features_of_the_card_for_a_csv_file(client: HubClient, serve: Serve, suffix: str) -> None:
    features = """dataset_info:
  features:
  - {name: audio, dtype: audio}
  - {name: code, dtype: string}
  - {name: label, dtype: {class_label: {names: {'0': bad, '1': good}}}}
  - {name: score, dtype: float32}
  - {name: at, dtype: 'timestamp[ms]'}
"""
    text = b"audio,code,label,score,at,more\nclips/a.wav,007,good,1,2024-01-01 10:00:00,x\n,,bad,,,\n"
    data = {"csv": text, "csv.gz": gzip.compress(text), "zip": zip_bytes({"rows.csv": text})}[suffix]
    hf_id = serve({"README.md": one_config(f"rows.{suffix}", features), f"rows.{suffix}": data, "clips/a.wav": b"a"})
    answer = client.split(hf_id)
    assert "columns" in answer, answer
    assert answer["columns"]["audio"][0] == "audio"
    assert answer["rows"] == [
        {
            "audio": {"bytes": None, "path": "clips/a.wav"},
            "code": "007",
            "label": 1,
            "score": 1.0,
            "at": "2024-01-01T10:00:00.000",
            "more": "x",
        },
        {"audio": None, "code": None, "label": 0, "score": None, "at": None, "more": None},
    ]


CELLS: dict[str, list[Any]] = {
    "optional keys": [{"path": "a.wav"}, {"path": "b.wav", "speaker": "x"}, None],
    "texts and objects": ["a.wav", {"path": "b.wav"}, None],
    "samples": [{"array": [0, 0.5], "sampling_rate": 8000}, {"array": [0.25], "sampling_rate": 16000}],
}


@pytest.mark.parametrize("name", CELLS)
def test_audio_of_the_card_may_be_objects_in_json(client: HubClient, serve: Serve, name: str) -> None:
    card_text = card("dataset_info:\n  features:\n  - {name: audio, dtype: audio}\n  - {name: n, dtype: float32}")
    rows = [{"audio": cell, "n": n} for n, cell in enumerate(CELLS[name])]
    answer = client.split(serve({"README.md": card_text, "train.jsonl": lines(*rows)}))
    assert answer["columns"]["audio"][0] == "audio"
    assert answer["rows"] == rows


def test_a_json_array_is_exact(client: HubClient, serve: Serve) -> None:
    """The reader of `datasets` rounds floats of arrays to ten digits, and takes texts of digits for numbers."""
    rows: list[dict[str, Any]] = [
        {"f": 0.12345678901234566, "i": BIG, "code": "007", "text": "line\nbreak"},
        {"f": 1e-300, "i": -BIG, "code": "008", "text": "語"},
    ]
    assert client.rows(serve({"train.json": json.dumps(rows, indent=1, ensure_ascii=False)})) == rows


def test_a_json_array_under_a_key(client: HubClient, serve: Serve) -> None:
    document = {"about": {"items": [1]}, "items": [{"a": [1, 2], "code": "007"}], "more": [{}]}
    card_text = one_config("all.json.gz", "  field: items")
    hf_id = serve({"README.md": card_text, "all.json.gz": gzip.compress(json.dumps(document).encode())})
    assert client.rows(hf_id) == [{"a": [1, 2], "code": "007"}]


def test_csv_floats_are_exact(client: HubClient, serve: Serve) -> None:
    values = [0.1 + 0.2, 1 / 3, 6.02214076e23, 8.41470984807896e-05]
    rows = client.rows(serve({"train.csv": "x\n" + "".join(f"{value!r}\n" for value in values)}))
    assert [row["x"] for row in rows] == values


def test_a_column_of_a_csv_file_that_has_values_only_later(client: HubClient, serve: Serve) -> None:
    """It is read 10,000 lines at a time."""
    lines_of = ["id,late", *(f"{number}," for number in range(10_000)), "10000,x"]
    rows = client.rows(serve({"train.csv": "\n".join(lines_of) + "\n"}))
    assert [rows[0], rows[-1]] == [{"id": 0, "late": None}, {"id": 10_000, "late": "x"}]


def test_objects_without_keys(client: HubClient, serve: Serve) -> None:
    rows = [{"a": 1, "extra": {}, "in": {"b": {}}}, {"a": 2, "extra": {}, "in": None}]
    assert client.rows(serve({"train.jsonl": lines(*rows)})) == rows


def test_lists_of_objects_with_different_keys(client: HubClient, serve: Serve) -> None:
    messages = [[{"role": "user"}], [{"role": "tool", "calls": [1]}], []]
    rows = client.rows(serve({"train.jsonl": lines(*({"messages": several} for several in messages))}))
    assert [row["messages"] for row in rows] == messages


def test_values_of_several_types_in_a_column(client: HubClient, serve: Serve) -> None:
    values = [1, "x", {"k": [1]}, "1", True, "true", None, "null", '"', 1.5, [], "{}"]
    rows = client.rows(serve({"train.jsonl": lines(*({"v": value} for value in values))}))
    assert [(type(row["v"]), row["v"]) for row in rows] == [(type(value), value) for value in values]


def test_one_odd_value_late_in_a_file_changes_no_other(client: HubClient, serve: Serve) -> None:
    """The text of a column stays text, and gains no quotes, where 12 MB later there is a number."""
    filler = "x" * 1_000_000
    values: list[Any] = ["2024-01-01", "1", '"quoted"', *[filler] * 11, "2024-01-02T10:00:00", 7, "2"]
    deep = [{"a": [{"b": value}]} for value in values]
    rows = [{"v": value, "deep": below} for value, below in zip(values, deep, strict=True)]
    assert client.rows(serve({"train.jsonl": lines(*rows)})) == rows


def test_dates_and_digits_in_texts_stay_texts(client: HubClient, serve: Serve) -> None:
    rows = [{"day": "2024-01-01", "at": "2024-01-01T10:00:00", "code": "007", "yes": "true", "empty": ""}]
    assert client.rows(serve({"train.jsonl": lines(*rows)})) == rows


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv"])
def test_integers_of_any_size(client: HubClient, serve: Serve, suffix: str) -> None:
    sizes = [2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63) - 1, 10**40, 0]
    rows: list[dict[str, Any]] = [{"n": size, "several": [size, 1], "in": {"n": size}} for size in sizes]
    text = lines(*rows) if suffix == "jsonl" else json.dumps(rows)
    if suffix == "csv":
        rows = [{"n": size} for size in sizes]
        text = "n\n" + "".join(f"{size}\n" for size in sizes)
    assert client.rows(serve({f"train.{suffix}": text})) == rows


ROWS_THAT_FAIL = {
    "a key twice": (b'{"a": 1, "a": 2}', "invalid_value"),
    "a key twice inside": (b'{"a": {"b": 1, "b": 1}}', "invalid_value"),
    "no float": (b'{"a": 1e400}', "invalid_value"),
    "digits": (b'{"a": ' + b"9" * 5000 + b"}", "invalid_value"),
    "depth": (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "invalid_value"),
    "surrogate": (b'{"a": "\\ud800"}', "invalid_text"),
    "surrogate in a key": (b'{"\\ud800": 1}', "invalid_text"),
    "latin-1": ('{"a": "\xfc"}'.encode("latin-1"), "invalid_text"),
}


@pytest.mark.parametrize("name", ROWS_THAT_FAIL)
def test_a_value_that_cannot_be_kept_costs_its_row(client: HubClient, serve: Serve, name: str) -> None:
    bad, reason = ROWS_THAT_FAIL[name]
    rows = client.rows(serve({"train.jsonl": b'{"a": 1}\n' + bad + b'\n{"a": 3}\n'}))
    assert [row.get("failed") for row in rows] == [None, reason, None]
    assert [rows[0], rows[2]] == [{"a": 1}, {"a": 3}]


def test_nan_and_infinity_become_null(client: HubClient, serve: Serve) -> None:
    rows = client.rows(serve({"train.jsonl": '{"a": NaN, "b": [Infinity, 1, "x"]}\n{"a": 0.5, "b": [-Infinity]}\n'}))
    strict = json.loads(json.dumps(rows), parse_constant=lambda _: None)
    assert strict == [{"a": None, "b": [None, 1, "x"]}, {"a": 0.5, "b": [None]}]


def test_keys_that_are_missing_and_keys_that_are_null(client: HubClient, serve: Serve) -> None:
    """Inside of values they are told apart; a column that a row lacks is null."""
    rows = [{"in": {"a": 1}, "b": 1}, {"in": {"a": None}, "b": None}, {"in": {"a": 1, "c": None}}, {"in": {}, "b": 2}]
    found = client.rows(serve({"train.jsonl": lines(*rows)}))
    assert found == [{"b": None} | row for row in rows]


def test_one_json_object_over_several_lines_is_a_row(client: HubClient, serve: Serve) -> None:
    rows = [{"a": [1, "x"], "n": BIG}, {"a": [], "n": 1}]
    text = "\n".join(json.dumps(row, indent=2) for row in rows)
    assert client.rows(serve({"train.json": text})) == rows


def test_lines_that_are_no_objects_become_texts(client: HubClient, serve: Serve) -> None:
    assert client.rows(serve({"train.jsonl": '"a"\n1\n[2]\n'})) == [{"text": "a"}, {"text": 1}, {"text": [2]}]


def test_json_in_a_zip_archive_is_as_exact(client: HubClient, serve: Serve) -> None:
    rows = [{"v": BIG}, {"v": 0.5}, {"v": "1"}]
    members = {"b.jsonl": lines(*rows[2:]), "a/c.jsonl": lines(*rows[:2]), "__MACOSX/a.jsonl": "x"}
    hf_id = serve({"README.md": one_config("all.zip"), "all.zip": zip_bytes(members)})
    assert client.rows(hf_id) == rows


def arrow_bytes(table: pa.Table) -> bytes:
    file = io.BytesIO()
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


@pytest.mark.parametrize("write", [parquet_bytes, arrow_bytes])
def test_columns_of_json_are_values(client: HubClient, serve: Serve, write: Callable[[pa.Table], bytes]) -> None:
    """As `datasets` stores values of several types: the extension type `arrow.json`, at any depth."""
    values = [1, "x", None, {"a": [1, "y"]}, BIG, 2**70]
    texts = pa.array([None if value is None else json.dumps(value) for value in values])
    column = pa.ExtensionArray.from_storage(pa.json_(), texts)
    listed = pa.ListArray.from_arrays(pa.array(range(7), pa.int32()), column)
    table = pa.table({"v": column, "several": listed, "in": pa.StructArray.from_arrays([column], ["v"])})
    rows = client.rows(serve({f"train.{write.__name__.partition('_')[0]}": write(table)}))
    assert rows == [{"v": value, "several": [value], "in": {"v": value}} for value in values]


# -- few rows, many files, odd names ---------------------------------------------------------------------------------


EMPTY = {
    "jsonl": ("jsonl", b""),
    "csv": ("csv", b"id,text\n"),
    "parquet": (
        "parquet",
        parquet_bytes(pa.table({"id": pa.array([], pa.int64()), "text": pa.array([], pa.string())})),
    ),
    "text": ("txt", b""),
}


@pytest.mark.parametrize("kind", EMPTY)
def test_a_shard_without_rows_between_others(client: HubClient, serve: Serve, kind: str) -> None:
    suffix, empty = EMPTY[kind]
    full = {
        "jsonl": lines({"id": 1, "text": "a"}).encode(),
        "csv": b"id,text\n1,a\n",
        "parquet": parquet_bytes(pa.table({"id": [1], "text": ["a"]})),
        "text": b"a\n",
    }[kind]
    answer = client.split(serve({f"train-0.{suffix}": full, f"train-1.{suffix}": empty, f"train-2.{suffix}": full}))
    assert answer["shards"] == [1, 0, 1]
    assert [row["text"] for row in answer["rows"]] == ["a", "a"]


@pytest.mark.parametrize("kind", EMPTY)
def test_a_split_without_rows(client: HubClient, serve: Serve, kind: str) -> None:
    suffix, empty = EMPTY[kind]
    answer = client.split(serve({f"train.{suffix}": empty, f"test.{suffix}": empty}))
    assert answer.get("rows") == [] or answer["error"]["reason"] == "unreadable", answer


ODD = "naïve 語 #1 50%25 a+b? &=;'"


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_names_of_shards_that_addresses_must_quote(client: HubClient, serve: Serve, suffix: str) -> None:
    data = parquet_bytes(pa.table({"text": ["a"]})) if suffix == "parquet" else lines({"text": "a"}).encode()
    answer = client.split(serve({f"{ODD}/train {ODD}.{suffix}": data}))
    assert answer.get("rows") == [{"text": "a"}], answer
    assert answer["files"] == [f"{ODD}/train {ODD}.{suffix}"]


def test_names_of_audio_that_addresses_must_quote(client: HubClient, serve: Serve) -> None:
    names = [f"{ODD} {number}.wav" for number in range(3)]
    metadata = io.StringIO()
    writer = csv.writer(metadata)
    writer.writerows([["file_name", "text"], *([f"{ODD}/{name}", name] for name in names)])
    files: dict[str, bytes | str] = {f"{ODD}/{name}": name.encode() for name in names}
    hf_id = serve({**files, "metadata.csv": metadata.getvalue()})
    rows = client.rows(hf_id)
    assert [row["audio"]["path"] for row in rows] == [f"{ODD}/{name}" for name in names]
    found = client.ask("files", hf_id=hf_id, paths=[row["audio"]["path"] for row in rows])
    assert all("sha256" in read for read in found.values()), found


GAPS = {
    "metadata.csv": "file_name,text,n\n0.wav,a,\n1.wav,,2\n",
    "metadata.jsonl": lines({"file_name": "0.wav", "text": "a"}, {"file_name": "1.wav", "text": None, "n": 2}),
    "metadata.parquet": parquet_bytes(
        pa.table({"file_name": ["0.wav", "1.wav"], "text": ["a", None], "n": pa.array([None, 2], pa.int64())})
    ),
}


@pytest.mark.parametrize("name", GAPS)
def test_metadata_may_lack_values(client: HubClient, serve: Serve, name: str) -> None:
    """In the first row or in a later one, as an empty field, a null or a missing key."""
    hf_id = serve({name: GAPS[name], "0.wav": b"x", "1.wav": b"x"})
    assert [(row["text"], row["n"]) for row in client.rows(hf_id)] == [("a", None), (None, 2)]


FOLDER_ROWS: dict[str, list[dict[str, Any]]] = {
    "metadata.jsonl": [
        {"id": 2**64 - 1, "v": 1, "in": {"a": 1}, "day": "2024-01-01", "big": 2**70},
        {"id": BIG, "v": "1", "in": {"a": 1, "b": None}, "day": "2024-01-02", "big": 1},
        {"id": 0, "v": [1, "x"], "in": None, "day": None, "big": 0.5},
    ],
    "metadata.csv": [
        {"id": BIG, "code": "007", "phone": "+41", "big": 2**64},
        {"id": None, "code": "1", "phone": "41", "big": -1},
        {"id": 3, "code": "x", "phone": None, "big": 1},
    ],
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", FOLDER_ROWS)
def test_values_of_metadata_files_are_exact(client: HubClient, serve: Serve, name: str, packed: bool) -> None:
    rows = [{"file_name": f"{n}.wav"} | row for n, row in enumerate(FOLDER_ROWS[name])]
    if name.endswith(".csv"):
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        metadata = text.getvalue()
    else:
        metadata = lines(*rows)
    files: dict[str, bytes | str] = {name: metadata} | {f"{n}.wav": b"x" for n in range(3)}
    found = client.rows(serve({"train.zip": zip_bytes(files)} if packed else files))
    assert [{key: row[key] for key in expected} for row, expected in zip(found, FOLDER_ROWS[name], strict=True)] == (
        FOLDER_ROWS[name]
    )
    assert [row["audio"]["path"].partition("::")[0].rpartition("/")[2] for row in found] == ["0.wav", "1.wav", "2.wav"]


def test_a_folder_of_2500_files(client: HubClient, serve: Serve) -> None:
    """The listing of a repository comes in pages of 1,000 files."""
    files: dict[str, bytes | str] = {f"clips/c{number:05}.wav": b"%d" % number for number in range(2_500)}
    answer = client.split(serve(files))
    assert [row["audio"]["path"] for row in answer["rows"]] == sorted(files)
    assert sum(answer["groups"][0]) == 2_500


# -- mirrors and licences --------------------------------------------------------------------------------------------


def test_a_mirror_that_drops_sizes_and_card(tmp_path: Path) -> None:
    """Sizes and hashes come from the listing, the licence from README.md, and the card is checked all the same."""
    with LocalHub(settings=Settings(mirror=True)) as mirror:
        mirror.add_dataset("acme/mirrored")
        mirror.commit("acme/mirrored", {"README.md": card("license: [mit, cc0-1.0]").encode(), "train.csv": b"a\n1\n"})
        mirror.add_dataset("acme/away")
        mirror.commit("acme/away", {"README.md": one_config("https://example.com/x.csv").encode(), "x.csv": b"a\n1\n"})
        environ = _safe_environ(tmp_path / "home") | {"HF_ENDPOINT": mirror.url, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
        with HubClient.running(environ, tmp_path) as client:
            answer = client.split("acme/mirrored")
            assert len(answer["rows"]) == 1
            assert answer["facts"]["licence"] == "mit, cc0-1.0"
            assert client.refusal("acme/away")["reason"] == "foreign_files"


@pytest.mark.parametrize(
    ("text", "licence", "words"),
    [
        ("---\nlicense: mit\n---\n# License\nAll of it.", "mit", None),
        ("# Data\n\n## License\n\nCC BY 4.0,\nsee LICENSE\n\nMore\n", None, "CC BY 4.0, see LICENSE"),
        ("---\npretty_name: x\n---\n### Licensing Information\n\nFree for research.\n", None, "Free for research."),
        ("## Licence\n[More Information Needed]\n## The license of the sounds\n\nODbL\n", None, "ODbL"),
        ("## License\n\n[Needs More Information]\n", None, None),
        ("## License\n## Contact\nme\n", None, None),
        ("# Data\nNo word about it.\n", None, None),
    ],
)
def test_a_licence_that_only_the_readme_has(
    client: HubClient, serve: Serve, text: str, licence: str | None, words: str | None
) -> None:
    facts = client.split(serve({"README.md": text, "train.csv": "a\n1\n"}), describe_only=True)["facts"]
    told = [f"the licence is stated only in the text of README.md: `{words}`"] if words else []
    assert (facts["licence"], facts["remarks"]) == (licence, told)


# -- class labels ----------------------------------------------------------------------------------------------------


def labels(answer: Mapping[str, Any]) -> list[Any]:
    return [row.get("label") for row in answer["rows"]]


@pytest.mark.parametrize(
    ("files", "split", "names", "ids"),
    [
        pytest.param(
            ["train/a/1.wav", "train/b/2.wav", "train/c/3.wav", "test/c/4.wav", "test/b/5.wav"],
            "test",
            ["a", "b", "c"],
            [1, 2],
            id="the test split lacks a class",
        ),
        pytest.param(
            ["train/a/1.wav", "train/b/2.wav", "test/0/3.wav", "test/b/4.wav"],
            "train",
            ["0", "a", "b"],
            [1, 2],
            id="a class that only another split has",
        ),
        pytest.param(["train/a/1.wav", "test/b/2.wav"], "test", ["a", "b"], [1], id="one class in each split"),
        pytest.param(["data/a/1.wav", "data/b/2.wav"], "train", ["a", "b"], [0, 1], id="no folders of splits"),
        pytest.param(["train/1.wav", "test/2.wav"], "train", None, [None], id="splits are no classes"),
        pytest.param(["train/1.wav", "dev/2.wav"], "validation", None, [None], id="nor by another word"),
        pytest.param(["train/a/1.wav", "train/2.wav"], "train", None, [None, None], id="folders of different depth"),
        pytest.param(["train/a/1.wav", "test/a/2.wav"], "train", None, [None], id="one class in all"),
    ],
)
def test_labels_of_folders_are_those_of_the_dataset(
    client: HubClient, serve: Serve, files: list[str], split: str, names: list[str] | None, ids: list[int | None]
) -> None:
    answer = client.split(serve(dict.fromkeys(files, b"sound")), split=split)
    assert answer["class_names"] == ({"label": names} if names else {})
    assert labels(answer) == ids


def test_labels_of_folders_inside_of_archives(client: HubClient, serve: Serve) -> None:
    """`datasets` knows them by the archive's own folder, and fails."""
    train = zip_bytes({"dog/1.wav": b"a", "cat/2.wav": b"b", "__MACOSX/dog/._1.wav": b"", "note.txt": b""})
    hf_id = serve({"train.zip": train, "test.zip": zip_bytes({"dog/3.wav": b"c"})})
    answer = client.split(hf_id, split="test")
    assert (answer["class_names"], labels(answer)) == ({"label": ["cat", "dog"]}, [1])
    assert [row["audio"]["path"] for row in answer["rows"]] == ["zip://dog/3.wav::test.zip"]


def test_the_card_names_the_classes(client: HubClient, serve: Serve) -> None:
    features = "dataset_info:\n  features:\n  - {name: audio, dtype: audio}\n"
    features += "  - {name: label, dtype: {class_label: {names: {'0': zebra, '1': ape}}}}\n"
    hf_id = serve({"README.md": card(features), "train/ape/1.wav": b"a", "train/zebra/2.wav": b"b"})
    answer = client.split(hf_id)
    assert (answer["class_names"], labels(answer)) == ({"label": ["zebra", "ape"]}, [1, 0])


def test_a_card_that_does_not_know_all_classes_does_not_count(client: HubClient, serve: Serve) -> None:
    features = "dataset_info:\n  features:\n  - {name: audio, dtype: audio}\n"
    features += "  - {name: label, dtype: {class_label: {names: {'0': zebra}}}}\n"
    hf_id = serve({"README.md": card(features), "train/ape/1.wav": b"a", "train/zebra/2.wav": b"b"})
    answer = client.split(hf_id)
    assert (answer["class_names"], labels(answer)) == ({"label": ["ape", "zebra"]}, [0, 1])


def test_where_there_is_metadata_folders_are_no_classes(client: HubClient, serve: Serve) -> None:
    metadata = lines({"file_name": "a/1.wav", "text": "one"}, {"file_name": "b/2.wav", "text": "two"})
    files = {"train/a/1.wav": b"1", "train/b/2.wav": b"2", "train/metadata.jsonl": metadata, "test/a/3.wav": b"3"}
    hf_id = serve(files | {"test/b/4.wav": b"4"})
    assert [sorted(row) for row in client.rows(hf_id)] == [["audio", "text"]] * 2
    answer = client.split(hf_id, split="test")
    assert [row["audio"]["path"] for row in answer["rows"]] == ["test/a/3.wav", "test/b/4.wav"]
    assert labels(answer) == [None, None]
    assert answer["facts"]["remarks"] == [
        "the split test has no metadata file, unlike train: its rows have no more columns"
    ]


CLASSES = {"_type": "ClassLabel", "names": ["no", "yes"]}
INFO = {
    "label": CLASSES,
    "tags": {"_type": "List", "feature": CLASSES},
    "old": [CLASSES],
    "who": {"sure": CLASSES, "id": {"_type": "Value", "dtype": "int64"}},
    "turns": [{"mood": CLASSES}],
}


def test_class_names_of_parquet_at_any_depth(client: HubClient, serve: Serve) -> None:
    row = {"label": 1, "tags": [0, 1], "old": [1], "who": {"sure": 0, "id": 7}, "turns": [{"mood": 1}]}
    meta = {b"huggingface": json.dumps({"info": {"features": INFO}}).encode()}
    hf_id = serve({"train.parquet": parquet_bytes(pa.Table.from_pylist([row]).replace_schema_metadata(meta))})
    answer = client.split(hf_id)
    paths = ["label", "tags", "old", "who.sure", "turns.mood"]
    assert answer["class_names"] == {path: ["no", "yes"] for path in paths}
    assert answer["rows"] == [row]


def test_texts_of_parquet_that_the_card_calls_labels_are_ids(client: HubClient, serve: Serve) -> None:
    features = "dataset_info:\n  features:\n  - {name: y, dtype: {class_label: {names: {'0': neg, '1': pos}}}}\n"
    features += "  - {name: n, dtype: int64}\n"
    table = pa.table({"y": ["pos", "neg", None], "n": [1, 2, 3]})
    answer = client.split(serve({"README.md": card(features), "train.parquet": parquet_bytes(table)}))
    assert answer["class_names"] == {"y": ["neg", "pos"]}
    assert answer["rows"] == [{"y": 1, "n": 1}, {"y": 0, "n": 2}, {"y": None, "n": 3}]


def test_a_card_that_is_about_other_columns_changes_no_text(client: HubClient, serve: Serve) -> None:
    features = "dataset_info:\n  features:\n  - {name: y, dtype: {class_label: {names: {'0': neg, '1': pos}}}}\n"
    table = pa.table({"y": ["pos", None], "more": ["a", "b"]})
    hf_id = serve({"README.md": card(features), "train.parquet": parquet_bytes(table)})
    assert client.rows(hf_id) == [{"y": "pos", "more": "a"}, {"y": None, "more": "b"}]


# -- audio that a request does not get -------------------------------------------------------------------------------

SOUND = {"_type": "Audio"}
CELL = {"bytes": b"sound", "path": "a.wav"}


@pytest.mark.parametrize(
    ("feature", "value", "named"),
    [
        pytest.param({"_type": "List", "feature": SOUND}, [CELL, CELL], ["x"], id="a list"),
        pytest.param(
            {"mic": SOUND, "n": {"_type": "Value", "dtype": "int64"}}, {"mic": CELL, "n": 1}, ["x.mic"], id="a struct"
        ),
        pytest.param([{"a": SOUND, "b": [SOUND]}], [{"a": CELL, "b": [CELL]}], ["x.a", "x.b"], id="a list of structs"),
    ],
)
def test_audio_inside_of_columns_is_named(
    client: HubClient, serve: Serve, feature: Any, value: Any, named: list[str]
) -> None:
    meta = {b"huggingface": json.dumps({"info": {"features": {"x": feature}}}).encode()}
    hf_id = serve({"train.parquet": parquet_bytes(pa.Table.from_pylist([{"x": value}]).replace_schema_metadata(meta))})
    error = client.refusal(hf_id)
    assert all(f"`{path}`" in error["problem"] for path in named), error
    answer = client.split(hf_id, audio_column=None)
    assert (answer["audio_column"], answer["nested_audio"]) == (None, named)


def test_audio_whose_bytes_have_a_wider_type_is_audio(client: HubClient, serve: Serve) -> None:
    """Other writers use large_binary and large_string, from which `datasets` does not know its own feature again."""
    kind = pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())])
    table = pa.table({"speech": pa.array([CELL], kind)})
    meta = {b"huggingface": json.dumps({"info": {"features": {"speech": SOUND}}}).encode()}
    hf_id = serve({"train.parquet": parquet_bytes(table.replace_schema_metadata(meta))})
    assert "`audio_column: speech`" in client.refusal(hf_id)["problem"]
    assert client.split(hf_id, audio_column="speech")["columns"]["speech"][0] == "audio"


@pytest.mark.parametrize(
    ("metadata", "columns"),
    [
        ({"file_names": ["0.wav", "1.wav"]}, {"audios": ["audios"]}),
        ({"mic_file_names": ["0.wav"]}, {"mic": ["mic"]}),
        ({"cat_file_name": "0.wav", "dog_file_name": "1.wav"}, {"cat": [], "dog": []}),
    ],
)
def test_other_columns_of_metadata_that_name_files(
    client: HubClient, serve: Serve, metadata: dict[str, Any], columns: dict[str, list[str]]
) -> None:
    hf_id = serve({"0.wav": b"0", "1.wav": b"1", "metadata.jsonl": lines({**metadata, "text": "a"})})
    error = client.refusal(hf_id)
    assert all(f"`{name}`" in error["problem"] for name in columns), error
    answer = client.split(hf_id, audio_column=None)
    assert answer["nested_audio"] == [path for paths in columns.values() for path in paths]
    kinds = {name: kind for name, (kind, _) in answer["columns"].items() if name != "text"}
    assert kinds == {name: "value" if paths else "audio" for name, paths in columns.items()}


# -- files that are in no split --------------------------------------------------------------------------------------


def test_files_in_no_split_are_named(client: HubClient, serve: Serve) -> None:
    text = "configs:\n- config_name: one\n  data_files: one/*.jsonl\n- config_name: two\n  data_files: two/**\n"
    files: dict[str, bytes | str] = {
        "README.md": card(text),
        "LICENSE.txt": "x",
        "one/a.jsonl": lines({"x": 1}),
        "two/deep/b.jsonl": lines({"x": 1}),
        "clips/a.wav": b"a",
        "clips/b.wav": b"b",
        "old.csv": "x",
    }
    remark = (
        "3 files of the repository are in no split (2 .wav, 1 .csv): `clips/a.wav`, `clips/b.wav`, `old.csv`"
        ". If a column names the sounds, write `audio_column` with the name of that column"
    )
    answer = client.split(serve(files), subset="one")
    assert answer["facts"]["remarks"] == [remark]


def test_sounds_that_rows_name_are_not_in_no_split(client: HubClient, serve: Serve) -> None:
    rows = lines({"clip": "clips/a.wav"})
    hf_id = serve({"train.jsonl": rows, "clips/a.wav": b"a", "clips.zip": zip_bytes({"b.wav": b"b"}), "notes.csv": "x"})
    assert client.split(hf_id, audio_column="clip")["facts"]["remarks"] == [
        "1 file of the repository is in no split (1 .csv): `notes.csv`"
    ]


def test_sounds_beside_parquet_may_be_named_by_rows(client: HubClient, serve: Serve) -> None:
    table = pa.table({"audio": pa.array([CELL], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))})
    hf_id = serve({"train.parquet": parquet_bytes(table), "extra.wav": b"a"})
    (remark,) = client.split(hf_id)["facts"]["remarks"]
    assert remark == (
        "1 file of the repository is in no split (1 .wav): `extra.wav`. "
        "Of the sounds only those are downloaded that a row names"
    )


def test_a_repository_whose_files_are_all_used_has_no_remark(client: HubClient, serve: Serve) -> None:
    files = {"README.md": "words", "train/a/1.wav": b"1", "train/b/2.wav": b"2", "test/a/3.wav": b"3"}
    assert client.split(serve(files))["facts"]["remarks"] == []


def test_files_that_no_line_of_the_metadata_names(client: HubClient, serve: Serve) -> None:
    archive = zip_bytes({"metadata.jsonl": lines({"file_name": "d.wav"}), "d.wav": b"d", "e.wav": b"e"})
    metadata = lines({"file_name": "a.wav"}, {"file_name": "deep/b.wav"})
    files = {"metadata.jsonl": metadata, "a.wav": b"a", "deep/b.wav": b"b", "deep/c.wav": b"c", "more.zip": archive}
    answer = client.split(serve(files))
    assert len(answer["rows"]) == 3
    assert answer["facts"]["remarks"] == [
        "2 files of the split in no line of the metadata, and so in no row: `deep/c.wav`, `zip://e.wav::more.zip`"
    ]


@pytest.mark.parametrize("name", ["a[1].wav", "b*.wav", "c?.wav", "{d}.wav"])
def test_names_that_look_like_patterns(client: HubClient, serve: Serve, name: str) -> None:
    hf_id = serve({f"train/{name}": b"x", "train/plain.wav": b"y"})
    assert {row["audio"]["path"] for row in client.rows(hf_id)} == {f"train/{name}", "train/plain.wav"}


# -- webdatasets -----------------------------------------------------------------------------------------------------


def test_members_of_a_webdataset_may_be_missing(client: HubClient, serve: Serve) -> None:
    """`datasets` takes the columns from the first tar; a later tar may lack some from its first sample on."""
    hf_id = serve(
        {
            "train-0.tar": tar_bytes(("a.wav", b"A"), ("a.txt", b"one"), ("b.wav", b"B"), ("b.txt", b"two")),
            "train-1.tar": tar_bytes(("c.wav", b"C"), ("d.wav", b"D"), ("d.txt", b"four")),
        }
    )
    rows = client.rows(hf_id, audio_column="wav")
    assert [row["__key__"] for row in rows] == ["a", "b", "c", "d"]
    assert [row["txt"] for row in rows] == ["one", "two", None, "four"]
    assert [row["__url__"] for row in rows] == ["train-0.tar"] * 2 + ["train-1.tar"] * 2
    assert [row["wav"]["path"] for row in rows] == ["a.wav", "b.wav", "c.wav", "d.wav"]


def test_members_of_a_webdataset_may_be_missing_in_the_first_samples(client: HubClient, serve: Serve) -> None:
    tar = tar_bytes(("a.wav", b"A"), ("b.wav", b"B"), ("b.txt", b"two"), ("c.txt", b"three"), ("d.mp3", b"D"))
    rows = client.rows(serve({"train.tar": tar}), audio_column="wav")
    assert [row["__key__"] for row in rows] == ["a", "b", "c", "d"]
    assert [row.get("txt") for row in rows] == [None, "two", "three", None]
    assert [row["wav"] and row["wav"]["path"] for row in rows] == ["a.wav", "b.wav", None, None]
    assert rows[3]["mp3"]["path"] == "d.mp3"


def test_json_members_of_a_webdataset_may_have_different_keys(client: HubClient, serve: Serve) -> None:
    values: list[dict[str, Any]] = [{"n": 1}, {"n": 2.5, "who": "x"}, {"list": [1, 2]}, {}]
    members = [(f"k{number}.json", json.dumps(value).encode()) for number, value in enumerate(values)]
    rows = client.rows(serve({"train.tar": tar_bytes(*members)}))
    assert [row["json"] for row in rows] == values


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_members_of_a_webdataset_may_be_ordered_by_suffix(
    client: HubClient, serve: Serve, pack: Callable[[bytes], bytes]
) -> None:
    """Also where the sounds come behind more texts than the first samples."""
    members = [(f"{n}.{suffix}", f"{suffix}{n}".encode()) for suffix in ("txt", "wav") for n in range(100)]
    answer = client.split(serve({"train.tar": pack(tar_bytes(*members))}), audio_column="wav")
    assert answer["columns"]["wav"][0] == "audio"
    assert [(row["__key__"], row["txt"]) for row in answer["rows"]] == [(f"{n}", f"txt{n}") for n in range(100)]
    sounds = [hashlib.sha256(f"wav{n}".encode()).hexdigest() for n in range(100)]
    assert [row["wav"]["bytes"]["sha256"] for row in answer["rows"]] == sounds


def test_a_member_of_a_webdataset_that_cannot_be_read_costs_its_row(client: HubClient, serve: Serve) -> None:
    members = [(f"{n}.{suffix}", b"1") for n in range(4) for suffix in ("wav", "txt", "cls", "json")]
    bad = {"0.txt": b"\xff", "1.cls": b"one", "2.json": b"["}
    rows = client.rows(
        serve({"train.tar": tar_bytes(*((n, bad.get(n, data)) for n, data in members))}), audio_column="wav"
    )
    assert [row.get("failed") for row in rows] == ["invalid_text", "invalid_value", "invalid_value", None]
    assert [name in row["message"] for name, row in zip(bad, rows, strict=False)] == [True] * 3


# -- repositories that cannot be read --------------------------------------------------------------------------------


def test_a_script_is_not_run(client: HubClient, serve: Serve, hub: LocalHub) -> None:
    hf_id = serve({"train.txt": "a"})
    script = f"{hf_id.partition('/')[2]}.py"
    hub.commit(hf_id, {script: b"raise SystemExit('the script was run')", "train.txt": None})
    error = client.refusal(hf_id)
    assert (error["type"], error["reason"]) == ("InvalidRequest", "needs_script")
    assert "refs/convert/parquet" in error["fix"]


def test_an_empty_repository(client: HubClient, serve: Serve) -> None:
    error = client.refusal(serve({"README.md": "# Nothing yet\n"}))
    assert (error["type"], error["reason"]) == ("InvalidRequest", "no_data")


def test_a_format_that_is_not_supported(client: HubClient, serve: Serve) -> None:
    error = client.refusal(serve({"train.fasta": ">one\nACGT\n"}))
    assert (error["type"], error["reason"]) == ("InvalidRequest", "unsupported_format")
    assert "fasta" in error["problem"]


def test_a_card_that_names_files_which_are_not_there(client: HubClient, serve: Serve) -> None:
    error = client.refusal(serve({"README.md": one_config("gone/*.jsonl"), "train.jsonl": lines({"a": 1})}))
    assert (error["type"], error["reason"]) == ("InvalidRequest", "no_data")


FOREIGN = ["https://example.org/rows.jsonl", "hf://datasets/acme/other/rows.jsonl", "/etc/passwd", "../../etc/passwd"]


@pytest.mark.parametrize("path", FOREIGN)
def test_a_card_that_names_files_elsewhere(client: HubClient, serve: Serve, path: str) -> None:
    error = client.refusal(serve({"README.md": one_config(path), "train.jsonl": lines({"a": 1})}))
    assert error["type"] in ("InvalidRequest", "UnreadableSource"), error
    assert error["reason"] in ("foreign_files", "no_data"), error


GOOD_PARQUET = parquet_bytes(pa.table({"a": list(range(1000))}), compression="none", use_dictionary=False)
CORRUPT: dict[str, Content] = {
    "parquet-footer": {"train.parquet": b"PAR1" + bytes(200) + b"PAR1"},
    "parquet-no-parquet": {"train.parquet": b"<html>"},
    "parquet-empty-file": {"train.parquet": b""},
    "parquet-pages": {"train.parquet": GOOD_PARQUET[:4] + b"\xff" * 400 + GOOD_PARQUET[404:]},
    "gzip-bytes": {"train.jsonl.gz": b"\x1f\x8b\x08\x00" + bytes(100)},
    "gzip-cut": {"train.jsonl.gz": gzip.compress(lines(*({"a": n} for n in range(1000))).encode())[:-30]},
    "gzip-crc": {"train.jsonl.gz": gzip.compress(lines({"a": 1}).encode())[:-8] + bytes(8)},
    "json-syntax": {"train.json": b'[{"a": 1}, {"a": '},
    "jsonl-syntax": {"train.jsonl": lines({"a": 1}).encode() + b'{"a": \n{"a": 3}\n'},
    "jsonl-binary": {"train.jsonl": bytes(range(256))},
    "csv-columns": {"train.csv": b"a,b\n1,2\n1,2,3,4\n"},
    "csv-not-utf8": {"train.csv": b"a,b\n\xff\xfe,2\n"},
    "text-not-utf8": {"train.txt": b"\xff\xfe\n"},
    "arrow-bytes": {"train.arrow": bytes(1000)},
    "tar-cut": {"train.tar": tar_bytes(("a.txt", b"x" * 5000))[:2000]},
    "tar-bytes": {"train.tar": b"no tar at all" * 100},
    "zip-bytes": {"train.zip": b"no zip" * 100, "a.wav": b"x"},
    "zip-cut": {"train.zip": zip_bytes({"a.wav": b"x" * 5000, "metadata.csv": "file_name\na.wav\n"})[:-40]},
    "metadata-no-file-name": {"metadata.csv": "name,text\na.wav,x\n", "a.wav": b"x"},
    "metadata-not-utf8": {"metadata.csv": b"file_name,text\na.wav,\xff\n", "a.wav": b"x"},
    "metadata-syntax": {"metadata.jsonl": b'{"file_name": "a.wav"', "a.wav": b"x"},
    "metadata-parquet": {"metadata.parquet": b"PAR1 no", "a.wav": b"x"},
    "metadata-leads-out": {"metadata.csv": "file_name\n../../../etc/passwd\n", "a.wav": b"x"},
    "metadata-absolute": {"metadata.csv": "file_name\n/etc/passwd\n", "a.wav": b"x"},
    "metadata-address": {"metadata.csv": "file_name\nfile:///etc/passwd\n", "a.wav": b"x"},
    "mixed-types": {
        "train-0.parquet": parquet_bytes(pa.table({"a": [1]})),
        "train-1.parquet": parquet_bytes(pa.table({"a": ["x"]})),
    },
}


@pytest.mark.parametrize("name", CORRUPT)
def test_broken_files_are_an_error_that_says_so(client: HubClient, serve: Serve, name: str) -> None:
    error = client.refusal(serve(CORRUPT[name]))
    assert error["type"] in ("InvalidRequest", "UnreadableSource"), error
    assert error["reason"] in ("unreadable", "mixed_schema", "no_data"), error
    assert error["fix"]
    assert "/tmp" not in error["problem"], error


# -- audio that rows give as a path ----------------------------------------------------------------------------------

REFUSED = [
    "hf://datasets/acme/other/rows.jsonl",
    "hf://datasets/acme/other@main/rows.jsonl",
    "https://example.org/a.wav",
    "http://127.0.0.1:1/a.wav",
    "file:///etc/passwd",
    "ftp://example.org/a.wav",
    "s3://bucket/a.wav",
    "data:audio/wav;base64,AAAA",
    "/etc/passwd",
    "\\\\server\\share\\a.wav",
    "~/a.wav",
    "C:\\a.wav",
    "../a.wav",
    "../../../../etc/passwd",
    "clips/../../a.wav",
    "a\0.wav",
]


def test_paths_that_lead_elsewhere_are_refused(client: HubClient, serve: Serve, hub: LocalHub) -> None:
    hf_id = serve({"a.wav": b"inside"})
    hub.clear_log()
    found = client.ask("files", hf_id=hf_id, paths=REFUSED, shard="rows.jsonl")
    assert {path: read.get("reason") for path, read in found.items()} == dict.fromkeys(REFUSED, "refused_path")
    assert not hub.requests("resolve|paths-info")


def test_paths_are_relative_to_the_repository_or_to_the_shard(client: HubClient, serve: Serve, hub: LocalHub) -> None:
    hf_id = serve(
        {"a.wav": b"root", "deep/a.wav": b"deep", "deep/b.wav": b"beside", "x.zip": zip_bytes({"m/a.wav": b"m"})}
    )
    paths = ["a.wav", "./a.wav", "b.wav", "../a.wav", f"hf://datasets/{hf_id}/deep/b.wav", "zip://m/a.wav::x.zip"]
    paths += [f"hf://datasets/{hf_id}@main/a.wav", "zip://m/a.wav::../x.zip"]
    found = client.ask("files", hf_id=hf_id, paths=paths, shard="deep/rows.jsonl")
    expected = [b"root", b"root", b"beside", b"root", b"beside", b"m", b"root", b"m"]
    assert [found[path].get("sha256") for path in paths] == [hashlib.sha256(data).hexdigest() for data in expected]


NFC, NFD = (unicodedata.normalize(form, "Zürich/é.wav") for form in ("NFC", "NFD"))
SPELLINGS: dict[str, tuple[dict[str, bytes], str, bytes | str]] = {
    "composed for decomposed": ({NFD: b"x"}, NFC, b"x"),
    "decomposed for composed": ({NFC: b"x"}, NFD, b"x"),
    "a folder in one form and a name in the other": ({NFD[:8] + NFC[7:]: b"x"}, NFC, b"x"),
    "the exact one first": ({NFD: b"no", NFC: b"x"}, NFC, b"x"),
    "Windows": ({"clips/de/a.wav": b"x"}, "clips\\de\\a.wav", b"x"),
    "Windows, beside the shard": ({"data/clips/a.wav": b"x"}, ".\\clips\\a.wav", b"x"),
    "Windows, decomposed": ({NFD: b"x"}, NFC.replace("/", "\\"), b"x"),
    "a name with a backslash": ({"a\\b.wav": b"x", "a/b.wav": b"no"}, "a\\b.wav", b"x"),
    "two that fit": ({NFC: b"x", "data/" + NFC: b"y"}, NFD, "ambiguous_path"),
    "two forms that fit": ({NFD[:8] + NFC[7:]: b"x", NFC[:7] + NFD[8:]: b"y"}, NFC, "ambiguous_path"),
    "none": ({"a.wav": b"x"}, "b\\a.wav", "audio_missing"),
    "out of the repository": ({"a.wav": b"x"}, "b\\..\\..\\..\\a.wav", "audio_missing"),
    "another letter case": ({"A.wav": b"x"}, "a.wav", "audio_missing"),
    "in an archive": ({"x.zip": zip_bytes({NFD: b"x"})}, f"zip://{NFC}::x.zip", b"x"),
    "in an archive of Windows": ({"x.zip": zip_bytes({"m/a.wav": b"x"})}, "zip://m\\a.wav::x.zip", b"x"),
    "two in an archive": (
        {"x.zip": zip_bytes({NFD[:8] + NFC[7:]: b"x", NFC[:7] + NFD[8:]: b"y"})},
        f"zip://{NFC}::x.zip",
        "ambiguous_path",
    ),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_path_in_another_spelling_is_found_when_one_file_fits(client: HubClient, serve: Serve, name: str) -> None:
    files, path, expected = SPELLINGS[name]
    (read,) = client.ask("files", hf_id=serve(files), paths=[path], shard="data/rows.csv").values()
    assert (
        read == {"reason": expected} if isinstance(expected, str) else {"sha256": hashlib.sha256(expected).hexdigest()}
    )


def test_files_that_are_not_there_have_a_reason(client: HubClient, serve: Serve) -> None:
    bomb = bytearray(zip_bytes({"big.wav": b"x" * 1000}))
    for at in (bomb.find(b"PK\1\2") + 24,):  # the directory claims 2 GB
        bomb[at : at + 4] = (2 << 30).to_bytes(4, "little")
    hf_id = serve({"a.wav": b"a", "folder/b.wav": b"b", "x.zip": zip_bytes({"a.wav": b"a"}), "bomb.zip": bytes(bomb)})
    expected = {
        "gone.wav": "audio_missing",
        "folder": "audio_missing",
        "zip://gone.wav::x.zip": "audio_missing",
        "zip://a.wav::gone.zip": "audio_missing",
        "zip://big.wav::bomb.zip": "file_too_large",
        "zip://a.wav::https://example.org/x.zip": "refused_path",
    }
    found = client.ask("files", hf_id=hf_id, paths=list(expected))
    assert {path: read.get("reason") for path, read in found.items()} == expected


def test_many_large_files_are_not_held_at_once(client: HubClient, serve: Serve) -> None:
    """Files beyond 64 MiB together are fetched when their row comes; they are the same files."""
    data = {f"{number}.wav": bytes([number]) * (25 << 20) for number in range(4)}
    hf_id = serve(data)
    found = client.ask("files", hf_id=hf_id, paths=list(data))
    assert {path: read["sha256"] for path, read in found.items()} == {
        path: hashlib.sha256(content).hexdigest() for path, content in data.items()
    }


def test_an_archive_that_arrives_damaged_is_read_again(client: HubClient, serve: Serve, hub: LocalHub) -> None:
    metadata = "file_name,text\n" + "".join(f"{number}.wav,{'long ' * 1000}\n" for number in range(3))
    files = {"metadata.csv": metadata} | {f"{number}.wav": b"x" for number in range(3)}
    hf_id = serve({"train.zip": zip_bytes(files, zipfile.ZIP_STORED)})
    whole = client.split(hf_id)
    # `datasets` has read its directory, in three ranges, before
    damaged = hub.faults.add(Fault(route="train.zip", method="GET", corrupt=True, after=3, count=1))
    assert client.split(hf_id) == whole
    assert hub.faults.fired(damaged) == 1


def test_a_metadata_file_that_claims_to_be_huge_is_refused(client: HubClient, serve: Serve) -> None:
    bomb = bytearray(zip_bytes({"a.wav": b"a", "metadata.csv": "file_name\na.wav\n"}))
    at = bomb.rfind(b"PK\1\2") + 24
    bomb[at : at + 4] = (2 << 30).to_bytes(4, "little")
    error = client.refusal(serve({"train.zip": bytes(bomb)}))
    assert error["reason"] in ("too_large", "unreadable"), error


@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_the_order_of_several_metadata_files_is_not_left_to_chance(
    hub: LocalHub, serve: Serve, tmp_path: Path, seed: str
) -> None:
    names = [f"f{number}" for number in range(6)]
    files: dict[str, bytes | str] = {f"{name}/a.wav": b"x" for name in names}
    hf_id = serve(files | {f"{name}/metadata.jsonl": lines({"file_name": "a.wav", "text": name}) for name in names})
    environ = _safe_environ(tmp_path / "home") | {"HF_ENDPOINT": hub.url, "PYTHONHASHSEED": seed}
    with HubClient.running(environ, tmp_path) as client:
        assert [row["text"] for row in client.rows(hf_id)] == names
