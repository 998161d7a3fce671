"""What stands on the server's disk: dataset folders, durable writes, links and the trash.

Everything that writes goes through here, so that there is one place where a full or broken disk becomes a
`StorageFault`, and one place that makes sure that nothing is written outside the root or through a symbolic link.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from hugflow.errors import StorageFault

if TYPE_CHECKING:
    from hugflow.plan import StorageFacts

TRASH = ".trash"
META = ".hugflow"
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FIXES = {
    errno.ENOSPC: "Free space (or inodes: `df -i`) on that file system and run the same command again: it continues.",
    errno.EDQUOT: "Ask for a larger disk quota or free space, and run the same command again: it continues.",
    errno.EFBIG: "Raise the file size limit (`ulimit -f`) and run the same command again: it continues.",
    errno.EROFS: "Mount the file system writable again and run the same command: it continues.",
    errno.EACCES: "Give the user that runs hugflow the right to write there.",
    errno.ELOOP: "It is a symbolic link, which hugflow does not follow there: move it away.",
    errno.ENOTSUP: "It is no regular file: move it away.",
    errno.EPERM: "Give the user that runs hugflow the right to write there.",
}


@contextlib.contextmanager
def faults(doing: str) -> Iterator[None]:
    """Turn what the operating system says about the disk into a `StorageFault`."""
    try:
        yield
    except OSError as error:
        code = error.errno or 0
        where = f" ({error.filename})" if error.filename else ""
        raise StorageFault(
            doing,
            f"{error.strerror or error}{where}",
            _FIXES.get(code, "Check the disk (`dmesg`, `df`), then run the same command again: it continues."),
            reason="no_space" if code in _NO_SPACE else "read_only" if code == errno.EROFS else "io_error",
        ) from error


def write_durably(path: Path, data: bytes) -> None:
    """Replace `path` by `data` so that after a power cut it holds the old or the new content, whole."""
    with faults(f"writing {path.name}"):
        # always the same name: what a kill leaves there is written over by the next one (writers hold a lock)
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            write_synced(temporary, data)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def write_synced(path: Path | str, data: bytes) -> None:
    """Write a new file and sync it; an existing one of that name (a leftover of a kill) is replaced, not followed."""
    write_all_synced([(path, data)])


def write_all_synced(files: Iterable[tuple[Path | str, bytes]]) -> None:
    """Write new files and sync each of them, as `write_synced` does, for less than half of the time.

    All are on their way to the disk before the first is waited for: one commit of the file system's own log then
    holds all of them, where files that are synced one by one each cost one.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptors: list[int] = []
    try:
        for path, data in files:
            descriptors.append(os.open(path, flags, 0o644))
            view = memoryview(data)
            while view:
                view = view[os.write(descriptors[-1], view) :]
            # begins to write without waiting; what it says of the cache holds for clean pages, of which there are none
            os.posix_fadvise(descriptors[-1], 0, 0, os.POSIX_FADV_DONTNEED)
        for descriptor in descriptors:
            os.fsync(descriptor)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file. Links are not followed, FIFOs not waited for: NotAFileError."""
    with open_regular(path) as file:
        return file.read()


class NotAFileError(OSError):
    """What stands at a path is a link, a folder, a FIFO or a device."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, as `read_regular` does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            raise NotAFileError(error.errno, "not a regular file", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotAFileError(errno.ENOTSUP, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def sync_directory(path: Path | str) -> None:
    """Make renames and unlinks in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class DatasetDir:
    """The folder of one dataset. `audio/`, `json/`, and our own files under `.hugflow/`."""

    path: Path

    @property
    def audio(self) -> Path:
        """The MP3 files."""
        return self.path / "audio"

    @property
    def json(self) -> Path:
        """One JSON file a row, named by its number."""
        return self.path / "json"

    @property
    def meta(self) -> Path:
        """Our own files: plan, marker, index, temporary and scratch files."""
        return self.path / META

    @property
    def tmp(self) -> Path:
        """Files on their way into `audio/` and `json/`."""
        return self.meta / "tmp"

    @property
    def scratch(self) -> Path:
        """Shards fetched from the Hub, for as long as they are read."""
        return self.meta / "scratch"

    @property
    def plan(self) -> Path:
        """What every run of this dataset agrees on."""
        return self.meta / "plan.json"

    @property
    def marker(self) -> Path:
        """Exists only in a complete dataset, and describes it."""
        return self.meta / "dataset.json"

    @property
    def index(self) -> Path:
        """Every row's files with sizes and hashes (parquet)."""
        return self.meta / "index.parquet"

    @property
    def metadata(self) -> Path:
        """The rows as a table, for `datasets.load_dataset`."""
        return self.path / "metadata.parquet"

    @property
    def readme(self) -> Path:
        """The dataset's own card."""
        return self.path / "README.md"

    @property
    def summaries(self) -> tuple[Path, ...]:
        """The files that are neither rows nor the marker."""
        return (self.plan, self.index, self.metadata, self.readme)

    def exists(self) -> bool:
        """Whether the folder is there and is one of ours."""
        return self.plan.is_file() or self.marker.is_file()

    def create(self, *, known: bool = False) -> None:
        """Make the folder and those in it; refuse what is not ours or leads elsewhere.

        `known`: the state says that the folder is this dataset's, though nothing in it does (an older tool made it).
        Raises StorageFault: a symbolic link or a file in the place of a folder, a folder without our marker.
        """
        doing = f"preparing {self.path}"
        refuse_links(doing, self.path, self.meta, self.audio, self.json, self.tmp, self.scratch)
        if not known and self.path.is_dir() and not self.exists() and any(self._foreign()):
            raise StorageFault(
                doing,
                "the folder is not empty and was not made by hugflow",
                "Move it away, or choose another STORAGE_ROOT. Nothing in it was changed.",
                reason="foreign_directory",
            )
        with faults(doing):
            for folder in (self.path, self.meta, self.audio, self.json, self.tmp, self.scratch):
                folder.mkdir(parents=folder is self.path, exist_ok=True)
            for folder in (self.path.parent, self.path, self.meta):
                sync_directory(folder)

    def _foreign(self) -> Iterator[Path]:
        """What in the folder a kill during `create` cannot have left there."""
        ours = {self.audio, self.json, self.meta}
        for entry in self.path.iterdir():
            if entry not in ours or (entry != self.meta and any(entry.iterdir())):
                yield entry

    def strangers(self) -> list[str]:
        """What stands in the folder, or beside our own files in it, and is not ours; paths from the folder."""
        ours = {self.audio, self.json, self.meta, self.tmp, self.scratch, self.marker, *self.summaries}
        with faults(f"reading {self.path}"):
            entries = [entry for folder in (self.path, self.meta) if folder.is_dir() for entry in folder.iterdir()]
        return [entry.relative_to(self.path).as_posix() for entry in entries if entry not in ours]

    def unmark(self) -> None:
        """Take the marker away: the dataset is not complete any more."""
        doing = f"opening {self.path}"
        refuse_links(doing, self.path, self.meta)
        with faults(doing):
            self.marker.unlink(missing_ok=True)
            if self.meta.is_dir():
                sync_directory(self.meta)

    def disown(self) -> None:
        """Delete what vouches for the rows: the marker and the index."""
        self.unmark()
        with faults(f"clearing {self.path}"):
            self.index.unlink(missing_ok=True)
            sync_directory(self.meta)

    def clear(self, set_aside: Callable[[list[str]], None]) -> None:
        """Delete everything of ours in the folder, to start again: first what vouches for rows, the plan last.

        `set_aside` is given what is not ours while the plan still says whose folder it is: what stays there without it
        would make it somebody else's.
        """
        doing = f"clearing {self.path}"
        refuse_links(doing, self.path, self.meta, self.audio, self.json, self.tmp, self.scratch)
        self.disown()
        self.sweep()
        set_aside(self.strangers())
        with faults(doing):
            for folder in (self.audio, self.json, self.tmp, self.scratch):
                shutil.rmtree(folder, ignore_errors=False) if folder.is_dir() else None
            for file in (self.metadata, self.readme, self.plan):
                file.unlink(missing_ok=True)
            sync_directory(self.meta)

    def remove_workspace(self) -> None:
        """Delete the folders that only a run needs."""
        with faults(f"tidying {self.path}"):
            for folder in (self.tmp, self.scratch):
                if folder.is_dir():
                    shutil.rmtree(folder)

    def sweep(self) -> None:
        """Delete what a kill left half-written. Shards in scratch are kept: they are verified before use."""
        refuse_links(f"sweeping {self.tmp}", self.path, self.meta, self.tmp)
        with faults(f"sweeping {self.tmp}"):
            for folder in (self.path, self.meta, self.tmp):
                for entry in folder.iterdir() if folder.is_dir() else ():
                    if folder == self.tmp or (entry.name.startswith(".") and entry.name.endswith(".tmp")):
                        entry.unlink()


def refuse_links(doing: str, *folders: Path) -> None:
    """Raise StorageFault where something else than a folder stands in the place of one; what is missing is fine."""
    for folder in folders:
        try:
            mode = folder.lstat().st_mode
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(mode):
            raise StorageFault(
                doing,
                f"{folder} is a {'symbolic link' if stat.S_ISLNK(mode) else 'file'}, not a folder",
                "Move it away: hugflow writes only into folders that it made.",
                reason="foreign_directory",
            )


@dataclass(frozen=True, slots=True)
class Storage:
    """The server's collection: dataset folders under `root`, links to them under `processed_root`."""

    root: Path
    processed_root: Path | None = None

    def dataset(self, name: str) -> DatasetDir:
        """The folder of a dataset, whether it exists or not. `name` is one path component."""
        if not name or "/" in name or name in {".", ".."} or name.startswith("."):
            raise ValueError(f"not the name of a dataset: {name!r}")
        return DatasetDir(self.root / name)

    def names(self) -> list[str]:
        """The datasets in storage, complete or not, by name."""
        if not self.root.is_dir():
            return []
        with faults(f"reading {self.root}"):
            entries = sorted(entry.name for entry in self.root.iterdir() if not entry.name.startswith("."))
        return [name for name in entries if not (self.root / name).is_symlink() and self.dataset(name).exists()]

    def facts(self, quota_bytes: int | None = None) -> StorageFacts:
        """Free bytes and inodes where the datasets are, and what they use when there is a quota to compare it with."""
        from hugflow.plan import StorageFacts  # noqa: PLC0415 - workers import this module, and need no pydantic

        with faults(f"measuring {self.root}"):
            free = os.statvfs(_existing(self.root))
        return StorageFacts(
            free_bytes=free.f_bavail * free.f_frsize,
            free_inodes=free.f_favail if free.f_files else None,
            used_bytes=self.usage() if quota_bytes else 0,
            quota_bytes=quota_bytes,
        )

    def usage(self, name: str | None = None) -> int:
        """Bytes on disk of one dataset, or of all (trash included)."""
        folder = self.dataset(name).path if name else self.root
        return sum(_allocated(entry) for entry in _walk(folder))

    def link(self, name: str) -> str | None:
        """Point `processed_root/<name>` to the dataset. Returns a warning when that cannot be done."""
        if self.processed_root is None:
            return None
        link, target = self.processed_root / name, self.dataset(name).path.resolve()
        try:
            self.processed_root.mkdir(parents=True, exist_ok=True)
            if link.is_symlink() and link.readlink() == target:
                return None
            if link.exists() and not link.is_symlink():
                return f"{link} exists and is no symbolic link; it was left as it is"
            temporary = link.with_name(f".{link.name}.tmp")
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(target)
            temporary.replace(link)
        except OSError as error:
            return (
                f"the link {link} could not be made ({error.strerror}); set PROCESSED_ROOT to a folder that is writable"
            )
        return None

    def unlink(self, name: str) -> None:
        """Take the link to a dataset away, if it is one of ours."""
        if self.processed_root is None:
            return
        link = self.processed_root / name
        if link.is_symlink() and link.readlink() == self.dataset(name).path.resolve():
            with faults(f"removing the link {link}"):
                link.unlink()

    def trash_name(self, name: str, now: datetime) -> str:
        """What a dataset that goes now is called in the trash."""
        stamp, number = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}", 1
        while (self.root / TRASH / f"{stamp}.{number}--{name}").exists():
            number += 1
        return f"{stamp}.{number}--{name}"

    def trash(self, name: str, trash_name: str) -> None:
        """Move a dataset into the trash with one rename; nothing happens when that was done already."""
        dataset, target = self.dataset(name), self.root / TRASH / trash_name
        refuse_links(f"removing {name}", dataset.path, target.parent)
        if not dataset.path.exists():
            return
        with faults(f"moving {name} to the trash"):
            target.parent.mkdir(exist_ok=True)
            dataset.path.rename(target)
            sync_directory(self.root)
            sync_directory(target.parent)

    def trash_files(self, name: str, paths: Iterable[str], now: datetime) -> None:
        """Move single files or folders of a dataset into the trash; what is not there is passed over."""
        dataset, trash = self.dataset(name), self.root / TRASH / self.trash_name(name, now)
        refuse_links(f"moving files of {name} to the trash", dataset.path, self.root / TRASH)
        with faults(f"moving files of {name} to the trash"):
            for path in paths:
                source, target = dataset.path / path, trash / path
                if source.is_symlink() or source.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    source.rename(target)

    def empty_trash(self, days: float, now: datetime) -> list[str]:
        """Delete what has been in the trash for more than `days`; returns its names."""
        gone = []
        folder = self.root / TRASH
        for entry in sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else ():
            stamp = entry.name.partition("--")[0].partition(".")[0]
            with contextlib.suppress(ValueError):
                put = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
                if (now - put).total_seconds() >= days * 86400 and entry.is_dir() and not entry.is_symlink():
                    with faults(f"emptying the trash of {entry.name}"):
                        shutil.rmtree(entry)
                    gone.append(entry.name)
        return gone


def _existing(path: Path) -> Path:
    """The nearest folder above `path` that exists: its file system is where `path` will be."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def _allocated(entry: os.DirEntry[str]) -> int:
    """The bytes that a file takes on disk; none when a run has renamed or deleted it meanwhile."""
    try:
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        return 0


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))
            else:
                yield entry
