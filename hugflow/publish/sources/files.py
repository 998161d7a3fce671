"""Find the files that a path of a publish request names: inside of the root, never hidden, in a fixed order."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

import pyarrow as pa

from hugflow.formats.broken_content import BROKEN_CONTENT
from hugflow.formats.compression import decompressed
from hugflow.model.errors import HugflowError, InvalidRequest, TryAgain
from hugflow.storage.disk import NotAFileError, faults, open_regular
from hugflow.text.printable import shown

NOTHING_THERE = "No parquet files found to publish"

_BOM = b"\xef\xbb\xbf"
_BUFFER_BYTES = 1 << 20
_LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
_MAX_POINTER_BYTES = 1024
_WILDCARDS = re.compile(r"[*?\[]")
_NO_SUCH = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}


@dataclass(frozen=True, slots=True)
class Place:
    """A path of a request: the path as it is written there, and the field that has it."""

    path: str
    field: str

    def error(self, problem: str, fix: str, *, reason: str, doing: str | None = None) -> InvalidRequest:
        """The error that names this place; its field is the one to change."""
        return InvalidRequest(doing or f"opening {shown(self.path)}", problem, fix, reason=reason, field=self.field)


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file to publish from, as it was when it was found.

    `name` is its path within the folder that the request names; `label` what people know it by: its path from the root.
    """

    path: Path
    name: str
    label: str
    place: Place
    size_bytes: int
    changed_ns: int

    @property
    def suffixes(self) -> list[str]:
        """The endings of its name, in small letters: [".csv", ".gz"]."""
        return [suffix.lower() for suffix in PurePosixPath(self.name).suffixes]

    @property
    def doing(self) -> str:
        """The action in errors about it."""
        return f"reading {shown(self.label, 200)}"

    def error(self, problem: str, fix: str, *, reason: str = "unreadable") -> InvalidRequest:
        """The error that names this file."""
        return self.place.error(problem, fix, reason=reason, doing=self.doing)

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Its content from the beginning. TryAgain (`file_changed`) when it is not what it was when it was found."""
        with self._readable():
            try:
                file = open_regular(self.path)
            except (FileNotFoundError, NotAFileError):
                raise self._changed() from None
            with file:
                self._check()
                yield file
                self._check()

    @contextmanager
    def unpacked(self) -> Iterator[io.BufferedReader]:
        """Its content as text is read: decompressed as its name says, without a byte order mark."""
        with self.opened() as raw:
            unpacked = _Borrowed(_unpacked(raw, self.name.lower()))
            content: io.BufferedReader = io.BufferedReader(unpacked, _BUFFER_BYTES)
            if content.peek(len(_BOM)).startswith(_BOM):
                content.read(len(_BOM))
            yield content

    def _check(self) -> None:
        now = self.path.lstat()
        if (now.st_size, now.st_mtime_ns) != (self.size_bytes, self.changed_ns):
            raise self._changed()

    def _changed(self) -> TryAgain:
        return TryAgain(
            self.doing,
            "the file changed while it was being published",
            "Run the same command again once nothing writes to it.",
            reason="file_changed",
        )

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn the errors of readers about the content into one; errors of the disk stay as they are."""
        try:
            yield
        except (HugflowError, MemoryError):
            raise
        except OSError as error:
            if error.errno is not None:
                with faults(self.doing):
                    raise
            raise self._unreadable(error) from error
        except BROKEN_CONTENT as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> InvalidRequest:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return self.error(f"it cannot be read: {shown(lines[0], 300)}", "Make the file again, or leave it out.")


def _unpacked(raw: BinaryIO, name: str) -> BinaryIO:
    """The content of a file that may be compressed; one that is cut off is an error, which zstandard's own is not."""
    if name.endswith(".zst"):
        return cast("BinaryIO", pa.CompressedInputStream(raw, "zstd"))
    return decompressed(raw, name)


class _Borrowed(io.RawIOBase):
    """A file's content that can be closed without closing the file."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the one kind of buffer that asks for it
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


@dataclass(frozen=True, slots=True)
class Found:
    """The files of a path in natural order, and the folder that their names are relative to."""

    folder: Path
    files: tuple[DataFile, ...]
    place: Place
    is_file: bool = False
    is_glob: bool = False
    hidden: tuple[str, ...] = ()
    """Names with `_` in front, of files or their folders, which other programs hide as well."""


def find(root: Path, place: Place) -> Found:
    """The files that `place.path` names, relative to `root`: one file, all below a folder, or those of a glob.

    Raises InvalidRequest: nothing there, outside of `root` (by `..` or by links), hidden, no regular file.
    """
    root = root.resolve()
    parts = PurePosixPath(place.path).parts
    if place.path.startswith("/") or ".." in parts or any(part.startswith(".") for part in parts):
        raise _outside(place, "it is absolute, hidden, or has `..` in it")
    target = root.joinpath(*parts)
    kind = _kind(target)
    if kind is None and _WILDCARDS.search(place.path):
        return _glob(root, parts, place)
    if kind is None:
        raise nothing_there(place, f"there is no {shown(place.path)}")
    target = inside(target, root, place)
    _refuse_tables(target, root, place)
    if kind == "folder":
        paths = list(_walk(target, root, place))
        return _found(target, paths, parts, place)
    return Found(target.parent, (_data_file(target, parts[-1], place.path, place),), place, is_file=True)


def _found(folder: Path, paths: Iterable[Path], parts: tuple[str, ...], place: Place, *, glob: bool = False) -> Found:
    """The files of a folder or a glob, without those that are hidden."""
    names = {path: path.relative_to(folder).as_posix() for path in paths}
    hidden = (
        {}
        if glob and any(part.startswith("_") for part in PurePosixPath(place.path).parts)
        else {path: name for path, name in names.items() if any(map(_is_hidden, name.split("/")))}
    )
    files = _in_order((path for path in names if path not in hidden), folder, parts, place)
    return Found(folder, files, place, is_glob=glob, hidden=tuple(sorted(hidden.values())))


def _is_hidden(part: str) -> bool:
    """Test for a name that Spark, Hive and Arrow hide: of files that are being written, logs, marks."""
    return part.startswith("_") and "=" not in part


def _refuse_tables(path: Path, root: Path, place: Place) -> None:
    """Raise InvalidRequest for a folder within a table whose log says which of its files count."""
    while True:
        if kind := _table_kind(path):
            name = shown(path.name if path != root else place.path)
            raise place.error(
                f"{name} is a table of {kind}, whose log says which of its files count",
                f"Write its rows to parquet files with a reader of {kind}, and name those.",
                reason="unsupported_format",
            )
        if path == root or root not in path.parents:
            return
        path = path.parent


def _table_kind(folder: Path) -> str | None:
    """The format of a table with a log, by the folders that it has."""
    if (folder / "_delta_log").is_dir():
        return "Delta Lake"
    if (folder / ".hoodie").is_dir():
        return "Apache Hudi"
    if any((folder / "_versions").glob("*.manifest")):
        return "Lance"
    metadata = folder / "metadata"
    if metadata.is_dir() and ((metadata / "version-hint.text").is_file() or any(metadata.glob("*.metadata.json"))):
        return "Apache Iceberg"
    return None


def nothing_there(place: Place, why: str = "", fix: str = "") -> InvalidRequest:
    """The error for a path without anything to publish."""
    return place.error(
        f"{NOTHING_THERE}: {why}" if why else NOTHING_THERE,
        fix or "Name a file, a folder or a glob with parquet, Arrow, CSV or JSON files, audio or images.",
        reason="no_data",
    )


def natural(name: str) -> tuple[list[list[str | int]], str]:
    """Sort key for names in natural order: `part-2` before `part-10`; equal only for equal names."""
    # of each part of the path the texts between numbers stand at even places, the numbers at odd ones
    pieces = (re.split(r"([0-9]+)", part) for part in name.split("/"))
    return [[int(piece) if i % 2 else piece for i, piece in enumerate(part)] for part in pieces], name


def _glob(root: Path, parts: tuple[str, ...], place: Place) -> Found:
    fixed = next(i for i, part in enumerate(parts) if _WILDCARDS.search(part))
    folder = root.joinpath(*parts[:fixed])
    if _kind(folder) != "folder":
        raise nothing_there(place, "no file has such a name")
    folder = inside(folder, root, place)
    _refuse_tables(folder, root, place)
    pattern = [*parts[fixed:], "**"]  # a folder that matches stands for all that is in it
    names = [path for path in _walk(folder, root, place) if _matches(path.relative_to(folder).parts, pattern)]
    if not names:
        raise nothing_there(place, "no file has such a name")
    return _found(folder, names, parts[:fixed], place, glob=True)


def _matches(parts: tuple[str, ...], pattern: list[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        rest = pattern[1:]
        return not rest or any(_matches(parts[i:], rest) for i in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _walk(folder: Path, root: Path, place: Place) -> Iterator[Path]:
    """Every file below a folder that is not hidden, in any order. Links to files are followed within the root."""
    with faults(f"reading {folder.name}"):
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    for entry in entries:
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            if _table_kind(path):
                _refuse_tables(path, root, place)
            yield from _walk(path, root, place)
        else:
            if entry.is_symlink():
                _check_link(path, root, place)
            yield path


def _check_link(path: Path, root: Path, place: Place) -> None:
    """Raise InvalidRequest for a link among the files that does not lead to a file inside of the root."""
    kind = _kind(path)
    if kind is None:
        raise place.error(f"the link {shown(path.name)} leads nowhere", "Remove it.", reason="unreadable")
    if _kind(inside(path, root, place)) == "folder":
        raise place.error(
            f"{shown(path.name)} is a symbolic link to a folder", "Name that folder itself.", reason="outside_root"
        )


def _in_order(paths: Iterable[Path], folder: Path, parts: tuple[str, ...], place: Place) -> tuple[DataFile, ...]:
    names = ((path, path.relative_to(folder).as_posix()) for path in paths)
    files = (_data_file(path, name, "/".join([*parts, name]), place) for path, name in names)
    return tuple(sorted(files, key=lambda file: natural(file.name)))


def _data_file(path: Path, name: str, label: str, place: Place) -> DataFile:
    with faults(f"reading {shown(name)}"):
        facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise place.error(f"{shown(name)} is no regular file", "Move it away.", reason="unreadable")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise place.error(f"the name {shown(name)} is not UTF-8", "Rename it.", reason="unreadable") from None
    if len(_LFS_POINTER) < facts.st_size < _MAX_POINTER_BYTES and _is_lfs_pointer(path):
        problem = f"{shown(name)} is a pointer of Git LFS, not the file itself"
        raise place.error(problem, "Run `git lfs pull` in the clone.", reason="unreadable")
    return DataFile(path.resolve(), name, label, place, facts.st_size, facts.st_mtime_ns)


def _is_lfs_pointer(path: Path) -> bool:
    with faults(f"reading {path.name}"), path.open("rb") as file:
        return file.read(len(_LFS_POINTER)) == _LFS_POINTER


def _kind(path: Path) -> str | None:
    """The kind of a path, links followed: "folder", "file" (anything else that exists), or None."""
    try:
        return "folder" if stat.S_ISDIR(path.stat().st_mode) else "file"
    except OSError as error:
        if error.errno in _NO_SUCH:
            return None
        with faults(f"reading {path.name}"):
            raise
    except ValueError:  # a NUL in the name
        return None


def inside(path: Path, root: Path, place: Place) -> Path:
    """The path without links. Raises InvalidRequest when it leads out of the root, or to something hidden in it."""
    try:
        resolved = path.resolve()
    except RuntimeError:
        raise _outside(place, f"{shown(path.name)} is a link that leads to itself") from None
    if not resolved.is_relative_to(root):
        raise _outside(place, f"{shown(path.name)} is a link that leads out of it")
    if any(part.startswith(".") for part in resolved.relative_to(root).parts):
        raise _outside(place, f"{shown(path.name)} is a link to hidden files")
    return resolved


def _outside(place: Place, why: str) -> InvalidRequest:
    return place.error(
        f"the path must stay inside of the folder that is published from, and {why}",
        "Name files inside of the repository or PUBLISH_ROOT.",
        reason="outside_root",
    )
