"""Every member of a webdataset is in the row of its name, or fails that row; compared with Python's tarfile."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import zstandard

from hugflow.formats.parquet_rows import without_row_errors
from hugflow.formats.rows import json_columns
from hugflow.formats.webdataset import TarSamples, plain_tar

Members = Sequence[tuple[str, bytes]]
MEDIA = {"wav", "flac", "mp3", "png"}
DECODERS = {"npy": lambda data: np.load(io.BytesIO(data), allow_pickle=False)}


def tar_of(
    members: Members, form: int = tarfile.PAX_FORMAT, links: Mapping[str, tuple[bytes, str]] | None = None
) -> bytes:
    """An archive of files, and of links: name -> (type, target)."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, (kind, target) in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    return file.getvalue()


def is_media(name: str) -> bool:
    return name.rpartition(".")[2].lower() in MEDIA


def read(data: bytes) -> list[dict[str, Any]]:
    """The rows of an archive: media are their bytes, columns without a value are left out, failed rows a reason."""
    opened = TarSamples.open(plain_tar(io.BytesIO(data)), "x.tar", is_media, DECODERS)
    rows = []
    for table in opened.tables():
        media = [name for name in table.column_names if is_media(name)]
        for batch in table.to_batches():
            values, errors = without_row_errors(batch)
            for sound, row, error in zip(values.to_pylist(), json_columns(values), errors, strict=True):
                row |= {name: sound[name] and sound[name]["bytes"] for name in media}
                found = {name: value for name, value in row.items() if value is not None and name != "__url__"}
                rows.append({"failed": error.reason, "message": error.message} if error else found)
    return rows


def expected(data: bytes) -> dict[str, dict[str, bytes]]:
    """What Python's tarfile has: the content of each member by key and suffix."""
    found: dict[str, dict[str, bytes]] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for info in archive:
            extracted = archive.extractfile(info) if not info.isdir() else None
            if extracted is not None:
                key, _, suffix = info.name.removeprefix("./").partition(".")
                found.setdefault(key, {})[suffix] = extracted.read()
    return found


def as_bytes(row: Mapping[str, Any]) -> dict[str, bytes]:
    return {name: value if isinstance(value, bytes) else value.encode() for name, value in row.items()}


def pairs(count: int = 4) -> list[tuple[str, bytes]]:
    return [(f"k{n}.{suffix}", f"{suffix} {n}".encode()) for n in range(count) for suffix in ("wav", "txt")]


ORDERS: dict[str, Members] = {
    "side by side": pairs(),
    "suffix by suffix": sorted(pairs(), key=lambda member: member[0].rpartition(".")[2]),
    "texts first": sorted(pairs(), key=lambda member: member[0].rpartition(".")[2], reverse=True)[::-1],
    "shuffled": [pairs()[at] for at in (5, 0, 3, 6, 1, 2, 7, 4)],
    "folders": [(f"a/b.c/{name}", data) for name, data in pairs()],
    "leading dots": [(f"./{name}", data) for name, data in pairs()],
    "some with dots": [(f"{'./' * (at % 2)}{name}", data) for at, (name, data) in enumerate(pairs())],
    "long names": [(f"{'long' * 60}/{'ü' * 40}{name}", data) for name, data in pairs()],
    "empty": [("a.wav", b""), ("a.txt", b""), ("b.txt", b"b")],
    "different members": [*pairs(2), ("x.png", b"x"), ("y.txt", b"y"), ("y.a.txt", b"z"), ("z.flac", b"f")],
}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
@pytest.mark.parametrize("name", ORDERS)
def test_members_of_a_sample_are_put_together(name: str, form: int) -> None:
    members = ORDERS[name]
    wanted: dict[str, dict[str, bytes]] = {}
    for path, data in members:
        folder, _, base = path.removeprefix("./").rpartition("/")
        key, _, suffix = base.partition(".")
        wanted.setdefault(f"{folder}/{key}" if folder else key, {})[suffix] = data
    assert wanted == expected(tar_of(members, form)) or name == "folders"
    rows = {row.pop("__key__"): row for row in read(tar_of(members, form))}
    assert {key: as_bytes(row) for key, row in rows.items()} == wanted


def test_the_same_key_twice_with_the_same_columns_is_two_rows() -> None:
    rows = read(tar_of([("a.wav", b"1"), ("a.txt", b"one"), ("b.wav", b"2"), ("a.wav", b"3"), ("a.txt", b"three")]))
    assert [(row["__key__"], row["wav"]) for row in rows] == [("a", b"1"), ("b", b"2"), ("a", b"3")]
    rows = read(tar_of([("a.wav", b"1"), ("a.wav", b"2")]))
    assert [row["wav"] for row in rows] == [b"1", b"2"]


def test_members_of_which_nobody_can_tell_what_belongs_together_are_failed_rows() -> None:
    rows = read(tar_of([("a.wav", b"1"), ("a.txt", b"x"), ("b.wav", b"2"), ("a.wav", b"3")]))
    assert [row.get("failed") for row in rows] == ["bad_sample", None, "bad_sample"]
    assert "`a.wav`" in rows[0]["message"]


ODD: dict[str, tuple[Members, list[Any]]] = {
    "a dot in a name": ([("talk.1.wav", b"o"), ("talk.1.txt", b"o")], ["bad_sample"]),
    "two names with dots and one key": ([("t.1.wav", b"o"), ("t.2.wav", b"o")], ["bad_sample"] * 2),
    "a dot behind the key of another": ([("k1.old.wav", b"o")], ["bad_sample"]),
    "no suffix": ([("readme", b"o")], ["bad_sample"]),
    "a dot at the end": ([("x.", b"o")], ["bad_sample"]),
    "a dot at the beginning": ([(".x.wav", b"o")], ["bad_sample"]),
    "latin-1": ([("x.wav", b"o"), ("x.txt", b"\xff")], ["invalid_text"]),
    "no number": ([("x.wav", b"o"), ("x.cls", b"one")], ["invalid_value"]),
    "no JSON": ([("x.wav", b"o"), ("x.json", b"{")], ["invalid_value"]),
    "empty JSON": ([("x.wav", b"o"), ("x.json", b"")], ["invalid_value"]),
    "JSON with a key twice": ([("x.wav", b"o"), ("x.json", b'{"a":1,"a":2}')], ["invalid_value"]),
    "no array": ([("x.wav", b"o"), ("x.npy", b"no")], ["invalid_value"]),
    "no gzip": ([("x.wav", b"o"), ("x.json.gz", b"no")], ["invalid_value"]),
    "a name that is no UTF-8": ([("x\udcff.wav", b"o")], ["invalid_text"]),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_member_costs_its_row_and_no_other(name: str) -> None:
    odd, reasons = ODD[name]
    usual = pairs()
    rows = read(tar_of([*usual[:4], *odd, *usual[4:]]))
    assert [row["failed"] for row in rows if "failed" in row] == reasons
    good = [row for row in rows if "failed" not in row]
    assert [(row["__key__"], row["wav"], row["txt"]) for row in good] == [
        (f"k{n}", f"wav {n}".encode(), f"txt {n}") for n in range(4)
    ]


def test_the_reason_names_the_sample() -> None:
    (row,) = read(tar_of([("deep/name.txt", b"\xff")]))
    assert "`deep/name.txt`" in row["message"]


def test_suffixes_in_another_letter_case_are_of_the_same_column() -> None:
    rows = read(tar_of([*pairs(), ("x.WAV", b"loud"), ("x.Txt", b"text")]))
    assert rows[-1] == {"__key__": "x", "wav": b"loud", "txt": "text"}


def test_columns_with_dots_that_all_samples_have_are_columns() -> None:
    members = [(f"{n}.{side}.wav", f"{side}{n}".encode()) for n in range(3) for side in ("left", "right")]
    rows = read(tar_of([*members, ("2.wav", b"both")]))
    assert [row["left.wav"] for row in rows] == [b"left0", b"left1", b"left2"]


LINKS = {
    "hard": (tarfile.LNKTYPE, "k0.wav"),
    "soft": (tarfile.SYMTYPE, "k0.wav"),
    "soft by folder": (tarfile.SYMTYPE, "./x/../k0.wav"),
}


@pytest.mark.parametrize("name", LINKS)
def test_links_are_followed_inside_of_the_archive(name: str) -> None:
    rows = read(tar_of(pairs(1), links={"x.wav": LINKS[name], "y.wav": (tarfile.SYMTYPE, "x.wav")}))
    assert [(row["__key__"], row["wav"]) for row in rows] == [("k0", b"wav 0"), ("x", b"wav 0"), ("y", b"wav 0")]


@pytest.mark.parametrize("target", ["/etc/hostname", "../../etc/hostname", "gone.wav", "x.wav", "k0.txt/.."])
@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE], ids=["hard", "soft"])
def test_links_that_lead_elsewhere_cost_their_row(target: str, kind: bytes) -> None:
    rows = read(tar_of(pairs(1), links={"x.wav": (kind, target)}))
    assert [row.get("failed") for row in rows] == [None, "bad_sample"]


def test_what_is_no_file_costs_its_row_and_folders_are_none() -> None:
    links = {"x.wav": (tarfile.FIFOTYPE, ""), "folder.d": (tarfile.DIRTYPE, ""), "y": (tarfile.DIRTYPE, "")}
    rows = read(tar_of(pairs(1), links=links))
    assert [row.get("failed") for row in rows] == [None, "bad_sample"]


def test_what_systems_leave_in_archives_is_no_data() -> None:
    rows = read(tar_of([("._k0.wav", b"x"), ("a/.DS_Store", b"x"), ("__MACOSX/k0.wav", b"x"), *pairs(1)]))
    assert [row["__key__"] for row in rows] == ["k0"]


def test_archives_behind_one_another_are_read_to_the_end() -> None:
    rows = read(tar_of(pairs(2)) + tar_of([("late.wav", b"late")]))
    assert [row["__key__"] for row in rows] == ["k0", "k1", "late"]


def test_damage_in_the_middle_is_an_error_and_not_the_end() -> None:
    data = bytearray(tar_of([(f"{n}.txt", b"x" * 600) for n in range(5)], tarfile.USTAR_FORMAT))
    at = 2 * (512 + 1024)
    data[at : at + 100] = b"\xff" * 100
    with pytest.raises(tarfile.TarError, match="damaged"):
        read(bytes(data))
    with pytest.raises(tarfile.TarError):
        read(bytes(data[: 3 * 1536 + 700]))


PACKED = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


@pytest.mark.parametrize("name", PACKED)
def test_members_may_be_compressed(name: str) -> None:
    values = {"n": 2**60, "list": [1, "x"]}
    rows = read(tar_of([(f"a.json.{name}", PACKED[name](json.dumps(values).encode()))]))
    assert rows == [{"__key__": "a", f"json.{name}": values}]


def test_values_are_those_of_the_members() -> None:
    array = io.BytesIO()
    np.save(array, np.array([[1, 2**60 + 1], [3, 4]]))
    values = [{"a": 1}, {"a": "1", "b": None}, [1, "x"], "text", 2**70, 0.5, None, {}]
    rows = read(tar_of([(f"{n}.json", json.dumps(value).encode()) for n, value in enumerate(values)]))
    assert [row.get("json") for row in rows] == values
    (row,) = read(tar_of([("a.npy", array.getvalue()), ("a.cls", b" 12\n"), ("a.bin", b"raw")]))
    assert row["npy"] == [[1, 2**60 + 1], [3, 4]]
    assert row["cls"] == 12
    assert row["bin"]["omitted_bytes"] == 3


def test_a_file_with_holes_is_read_whole() -> None:
    content = b"x" * 512 + bytes(1024) + b"y" * 512
    info = tarfile.TarInfo("a.wav")
    info.size = 1024
    info.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.map": "0,512,1536,512",
        "GNU.sparse.size": "2048",
    }
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(b"x" * 512 + b"y" * 512))
    (row,) = read(file.getvalue())
    assert row["wav"] == content


def columns(data: bytes) -> dict[str, str]:
    """The columns that the first samples of an archive name, and their types."""
    opened = TarSamples.open(io.BytesIO(data), "x.tar", is_media, DECODERS, first=20)
    return {field.name: str(field.type) for field in opened.schema()}


def test_the_first_samples_are_enough_to_name_the_columns() -> None:
    members = sorted(pairs(200), key=lambda member: member[0].rpartition(".")[2])
    found = columns(tar_of(members))
    assert found["txt"] == "string"
    assert found["wav"] == "struct<bytes: binary, path: string>", "sounds are looked for behind all texts"
    assert columns(tar_of([("a.wav", b""), ("a.json", b"{}"), ("a.bin", b"x")])) == {
        "wav": "struct<bytes: binary, path: string>",
        "json": "extension<arrow.json>",
        "bin": "binary",
        "__key__": "string",
        "__url__": "string",
    }


class Counting(io.BytesIO):
    """A file that counts the bytes that are read."""

    total = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.total += len(data)
        return data


def test_the_first_samples_cost_no_reading_of_sounds_or_of_the_whole_archive() -> None:
    sounds = Counting(tar_of([(f"{n}.{suffix}", bytes(100_000)) for n in range(100) for suffix in ("wav", "txt")]))
    TarSamples.open(sounds, "x.tar", is_media, DECODERS, first=20).schema()
    assert sounds.total < 1_000_000
    texts = Counting(tar_of([(f"{n}.txt", bytes(1_000_000)) for n in range(100)]))
    opened = TarSamples.open(texts, "x.tar", is_media, DECODERS, first=20)
    assert len(opened.samples) <= 40
