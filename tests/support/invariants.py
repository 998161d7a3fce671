"""Checks the invariants I1 to I8 of storage and state, which are true after every event.

Everything is read here without hugflow's own readers: a reader that is wrong in the same way as its writer would find
nothing wrong.
"""

from __future__ import annotations

import hashlib
import json
import stat
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

META = ".hugflow"
MARKER = f"{META}/dataset.json"
WORKSPACE = {f"{META}/tmp", f"{META}/scratch"}
SUMMARIES = {f"{META}/plan.json", f"{META}/index.parquet", "metadata.parquet", "README.md"}
# what the progress file says when a run ended with this code; 0 also when there is none, as after a clean-up
PROGRESS_STATUS = {0: "complete", 1: "failed", 3: "partial", 74: "failed", 75: "paused"}
FAULTS = (1, 74)
Tree = Mapping[str, str]


class BrokenInvariant(AssertionError):
    """What does not hold, by the number of its invariant."""


@dataclass
class Record:
    """What is recorded of a row, by the journal or by the index."""

    row: int
    status: str
    audio: str | None
    audio_bytes: int
    audio_sha256: str | None
    json_bytes: int
    json_sha256: str | None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Record:
        return cls(**{name: values[name] for name in cls.__dataclass_fields__})


@dataclass
class Recorded:
    """All rows that are recorded; `doubled` are those that were recorded as done more than once."""

    rows: dict[int, Record] = field(default_factory=dict)
    doubled: list[int] = field(default_factory=list)

    def add(self, record: Record) -> None:
        known = self.rows.get(record.row)
        if known is not None and known.status != "failed":
            self.doubled.append(record.row)
        self.rows[record.row] = record

    @property
    def done(self) -> set[int]:
        return {row for row, record in self.rows.items() if record.status != "failed"}

    @property
    def failed(self) -> set[int]:
        return {row for row, record in self.rows.items() if record.status == "failed"}


@dataclass(frozen=True)
class Place:
    """Where one dataset stands, and what is known of it there."""

    storage_root: Path
    state_dir: Path
    name: str

    @property
    def folder(self) -> Path:
        return self.storage_root / self.name

    @property
    def marker(self) -> dict[str, Any] | None:
        path = self.folder / MARKER
        return strict_json(path.read_bytes()) if path.exists() else None

    @property
    def progress(self) -> dict[str, Any] | None:
        path = self.state_dir / "progress" / f"{self.name}.json"
        return strict_json(path.read_bytes()) if path.exists() else None

    @property
    def manifest(self) -> dict[str, dict[str, Any]]:
        path = self.state_dir / "active.json"
        entries = strict_json(path.read_bytes())["datasets"] if path.exists() else []
        return {entry["dataset"]["name"]: entry["dataset"] for entry in entries}

    def journal(self) -> Recorded:
        """The rows of the journal's whole lines; a torn last line counts as not written."""
        recorded = Recorded()
        path = self.state_dir / "journal" / f"{self.name}.jsonl"
        columns: list[str] = []
        for value in journal_values(path.read_bytes() if path.exists() else b""):
            columns = value.get("columns", columns)
            for values in value.get("rows", ()):
                recorded.add(Record.of(dict(zip(columns, values, strict=True))))
        return recorded

    def index(self) -> Recorded:
        recorded = Recorded()
        for values in pq.read_table(self.folder / META / "index.parquet").to_pylist():
            recorded.add(Record.of(values))
        return recorded

    def recorded(self) -> Recorded:
        """The index of a complete dataset; else the journal."""
        return self.index() if (self.folder / MARKER).exists() else self.journal()


def check(
    storage_root: Path,
    state_dir: Path,
    name: str,
    *,
    rows_total: int | None = None,
    code: int | None = None,
    reference_tree: Tree | None = None,
    canary: Canary | None = None,
    progress_refused: bool = False,
    others_killed: bool = False,
) -> None:
    """Raise BrokenInvariant with everything that does not hold of a dataset.

    `code` is the exit code of the run that was the last to touch it, None for one that was killed: then what only the
    end of a run can put right (temporary files, the progress file, the manifest) is not asked for.
    `reference_tree` is `tree()` of an uninterrupted run, asked for where the dataset is complete. `progress_refused`
    says that the disk took nothing any more: no progress file, perhaps no deletion either; `others_killed`, that runs
    of other datasets may have left something in the state.
    """
    place = Place(storage_root, state_dir, name)
    problems = [*_rows(place, rows_total), *_json_files(place)]
    if code is not None:
        problems += _leftovers(place, refused=progress_refused, own=others_killed)
        problems += _complete(place, rows_total, code)
        problems += _agreement(place, code, progress_refused=progress_refused)
    if reference_tree is not None and (code == 0 or place.marker is not None):
        problems += _same(reference_tree, tree(place.folder), place)
    if canary is not None:
        problems += canary.changes()
    if problems:
        more = f"\n... and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise BrokenInvariant("\n".join(problems[:20]) + more)


# -- I1, I2: rows ----------------------------------------------------------------------------------------------------


def _rows(place: Place, rows_total: int | None) -> Iterator[str]:
    recorded = place.recorded()
    for record in recorded.rows.values():
        if record.status != "failed":
            yield from _row(place, record)
    yield from (f"I2 row {row} is recorded as done twice" for row in sorted(set(recorded.doubled)))
    if place.marker is not None:
        total = place.marker["rows_total"]
        if rows_total not in (None, total):
            yield f"I2 the marker speaks of {total} rows, there are {rows_total}"
        missing = set(range(total)) - recorded.rows.keys()
        if missing or len(recorded.rows) != total:
            yield f"I2 {len(recorded.rows)} rows are recorded of {total}; missing: {sorted(missing)[:10]}"
        if list(recorded.rows) != sorted(recorded.rows):
            yield "I2 the index is not in the order of the rows"
        if len(recorded.failed) != place.marker["rows_failed"]:
            yield f"I2 {len(recorded.failed)} rows failed, the marker says {place.marker['rows_failed']}"
    elif rows_total is not None and any(row >= rows_total for row in recorded.rows):
        yield f"I2 a row is recorded that does not exist: {max(recorded.rows)} of {rows_total}"


def _row(place: Place, record: Record) -> Iterator[str]:
    if (record.audio is None) != (record.audio_sha256 is None):
        yield f"I1 row {record.row}: an audio name without a hash, or the other way round"
    files = [(place.folder / "json" / f"{record.row}.json", record.json_bytes, record.json_sha256)]
    if record.audio is not None:
        files.append((place.folder / "audio" / record.audio, record.audio_bytes, record.audio_sha256))
    for path, size, digest in files:
        if path.is_symlink() or not path.is_file():
            yield f"I1 row {record.row}: there is no file {path.name}"
            continue
        data = path.read_bytes()
        if (len(data), hashlib.sha256(data).hexdigest()) != (size, digest):
            yield f"I1 row {record.row}: {path.name} is not what was recorded ({len(data)} bytes, {size} recorded)"


# -- I3: leftovers ---------------------------------------------------------------------------------------------------


def _leftovers(place: Place, *, refused: bool, own: bool) -> Iterator[str]:
    """Nothing stands there that no row is recorded with, but where the disk refused to delete it."""
    for path in place.state_dir.rglob("*") if place.state_dir.is_dir() else ():
        is_left = path.name.endswith(".tmp") or path.parent.name == "removing"
        if is_left and (not own or place.name in path.name):
            yield f"I3 {path.relative_to(place.state_dir)} is left in the state"
    for path in place.storage_root.iterdir() if place.storage_root.is_dir() else ():
        if path.name.endswith(".tmp"):
            yield f"I3 {path.name} is left in storage"
    if not place.folder.is_dir():
        return
    recorded = place.recorded()
    wanted = {f"json/{row}.json" for row in recorded.done}
    wanted |= {f"audio/{record.audio}" for record in recorded.rows.values() if record.audio is not None}
    wanted |= SUMMARIES | {MARKER}
    complete = place.marker is not None
    unfinished = ("audio/", "json/", f"{META}/tmp/") if refused and not complete else ()
    for path in place.folder.rglob("*"):
        inside = path.relative_to(place.folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            if inside not in {"audio", "json", META} | (set() if complete else WORKSPACE) and not _in_scratch(inside):
                yield f"I3 a folder is left: {inside}"
        elif inside not in wanted and not inside.startswith(unfinished) and (complete or not _in_scratch(inside)):
            yield f"I3 a file is left: {inside}"


def _in_scratch(inside: str) -> bool:
    """Shards in scratch are kept until the dataset is complete: they are verified before use."""
    return inside.startswith(f"{META}/scratch/")


# -- I4: JSON --------------------------------------------------------------------------------------------------------


def _json_files(place: Place) -> Iterator[str]:
    audio_column = (place.marker or {}).get("audio_column") or "audio"
    for record in place.recorded().rows.values():
        path = place.folder / "json" / f"{record.row}.json"
        if record.status == "failed" or not path.is_file():
            continue
        try:
            values = strict_json(path.read_bytes())
        except (ValueError, UnicodeDecodeError) as error:
            yield f"I4 {path.name}: {error}"
            continue
        if not isinstance(values, dict):
            yield f"I4 {path.name} is no object"
        elif record.audio is not None:
            yield from _audio_path(place, record, values.get(audio_column))


def _audio_path(place: Place, record: Record, given: Any) -> Iterator[str]:
    if given != f"audio/{record.audio}":
        yield f"I4 row {record.row} names {given!r}, recorded is audio/{record.audio}"
    elif (place.folder / given).resolve().parent != place.folder.resolve() / "audio":
        yield f"I4 row {record.row} leads out of the dataset: {given!r}"


def strict_json(data: bytes) -> Any:
    """Parse JSON in UTF-8 that has no NaN, no infinity and no key twice; else ValueError."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(keys) != len(set(keys)):
            raise ValueError(f"a key stands twice: {keys}")
        return dict(pairs)

    return json.loads(data.decode("utf-8"), parse_constant=refuse, object_pairs_hook=once)


# -- I5: complete ----------------------------------------------------------------------------------------------------


def _complete(place: Place, rows_total: int | None, code: int) -> Iterator[str]:
    """A fault (1, 74) may come between the marker and the manifest: then the next run says what this one could not."""
    marker, entry = place.marker, place.manifest.get(place.name)
    if (marker is None) != (entry is None) and (code not in FAULTS or marker is None):
        yield f"I5 marker: {marker is not None}, manifest: {entry is not None}"
    if marker is None:
        recorded = place.journal()
        if code in (0, 3) and rows_total and recorded.done == set(range(rows_total)) and not recorded.failed:
            yield "I5 every row is done, and the dataset is not complete"
        return
    if entry is not None and entry != marker:
        yield "I5 the manifest says something else than the marker"
    if marker["name"] != place.name:
        yield f"I5 the marker is of {marker['name']}"
    yield from _totals(place.index(), marker)
    for path, digest in marker["files"].items():
        if not (place.folder / path).is_file() or _sha256(place.folder / path) != digest:
            yield f"I5 {path} is not what the marker says"
    if marker["files"].keys() != SUMMARIES:
        yield f"I5 the marker speaks of {sorted(marker['files'])}"
    else:
        yield from _metadata(place)


def _totals(recorded: Recorded, marker: Mapping[str, Any]) -> Iterator[str]:
    records = recorded.rows.values()
    totals = {
        "audio_files": sum(record.audio is not None for record in records),
        "audio_bytes": sum(record.audio_bytes for record in records),
        "json_bytes": sum(record.json_bytes for record in records),
    }
    for key, total in totals.items():
        if marker[key] != total:
            yield f"I5 the marker's {key} is {marker[key]}, the index adds up to {total}"


def _metadata(place: Place) -> Iterator[str]:
    table = pq.read_table(place.folder / "metadata.parquet")
    done = [record for record in place.index().rows.values() if record.status != "failed"]
    if table.num_rows != len(done):
        yield f"I5 metadata.parquet has {table.num_rows} rows, {len(done)} are done"
    elif "file_name" in table.column_names:
        names = [None if record.audio is None else f"audio/{record.audio}" for record in done]
        if table.column("file_name").to_pylist() != names:
            yield "I5 metadata.parquet names other audio files than the index"


# -- I6: canary ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Canary:
    """A folder outside of storage, as it was: its content, permissions, times and inodes must stay."""

    folder: Path
    before: Mapping[str, tuple[Any, ...]]

    @classmethod
    def plant(cls, folder: Path) -> Canary:
        """Fill a folder with what something that goes astray would change."""
        for inside in ("audio", "json", f"{META}/tmp", f"{META}/scratch"):
            (folder / inside).mkdir(parents=True)
        for inside in ("audio/0.mp3", "json/0.json", f"{META}/tmp/0.json", "README.md", "metadata.parquet", "x.tmp"):
            (folder / inside).write_text("not yours\n")
        (folder / "link").symlink_to("README.md")
        return cls(folder, _facts(folder))

    def changes(self) -> Iterator[str]:
        now = _facts(self.folder)
        for path in sorted(self.before.keys() | now.keys()):
            if self.before.get(path) != now.get(path):
                yield f"I6 the canary's {path} was {self.before.get(path)}, is {now.get(path)}"


def _facts(folder: Path) -> dict[str, tuple[Any, ...]]:
    facts = {}
    for path in (folder, *folder.rglob("*")):
        one = path.lstat()
        content = path.readlink() if path.is_symlink() else _sha256(path) if path.is_file() else ""
        # the time of a link's or a folder's last reading is not compared, that of writing is
        facts[path.relative_to(folder).as_posix()] = (stat.filemode(one.st_mode), one.st_ino, one.st_mtime_ns, content)
    return facts


# -- I7: code and progress -------------------------------------------------------------------------------------------


def _agreement(place: Place, code: int, *, progress_refused: bool) -> Iterator[str]:
    complete = place.marker is not None
    if code not in PROGRESS_STATUS:
        return  # the run did not begin: 2, 4, 5, 6
    if complete != (code == 0) and code not in FAULTS:
        yield f"I7 the exit code is {code}, and the dataset is {'' if complete else 'not '}complete"
    progress = place.progress
    if progress is None or progress_refused:
        return
    if progress["status"] != PROGRESS_STATUS[code]:
        yield f"I7 the exit code is {code}, the progress file says {progress['status']!r}"
    resume = progress["resume_data"]
    rows = {row for first, last in resume["completed_rows"] for row in range(first, last + 1)}
    if rows != place.recorded().done:
        yield f"I7 the progress file speaks of {len(rows)} rows, recorded are {len(place.recorded().done)}"
    facts = (progress["dataset_name"], progress["downloaded_files"], resume["last_successful_row"], resume["version"])
    if facts != (place.name, len(rows), max(rows, default=None), "3.0"):
        yield f"I7 the progress file contradicts itself: {facts}"
    total = progress["total_files"]
    # rounded down, as every share of a whole that people see: 100 means all
    if progress["percent_complete"] != (10_000 * len(rows) // total / 100 if total else 100.0):
        yield f"I7 {progress['percent_complete']} % of {total} is not {len(rows)}"


# -- I8: trees -------------------------------------------------------------------------------------------------------


def tree(folder: Path) -> dict[str, str]:
    """Everything under a folder: files by their hashes, links by their targets, folders as such."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_dir():
            found[name + "/"] = ""
        else:
            found[name] = _sha256(path)
    return found


def _same(reference: Tree, found: Tree, place: Place) -> Iterator[str]:
    for path in sorted(reference.keys() | found.keys()):
        if reference.get(path) != found.get(path):
            how = "missing" if path not in found else "extra" if path not in reference else "different"
            yield f"I8 {place.name}/{path} is {how}"


# -- the journal -----------------------------------------------------------------------------------------------------


def journal_values(data: bytes) -> Iterator[dict[str, Any]]:
    """The values of a journal's whole and undamaged lines."""
    for line in data.split(b"\n")[:-1]:
        checksum, body = line[8:16], line[22:-1]
        if line[:8] == b'{"crc":"' and line[16:22] == b'","v":' and checksum == b"%08x" % zlib.crc32(body):
            yield json.loads(body)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def unrecorded(storage_root: Path, state_dir: Path, name: str, rows: Iterable[int]) -> set[int]:
    """Those of `rows` whose files stand in their places and have no line in the journal: a next run redoes them."""
    place = Place(storage_root, state_dir, name)
    known = place.recorded().rows.keys()
    return {row for row in rows if row not in known and (place.folder / "json" / f"{row}.json").exists()}
