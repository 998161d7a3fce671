"""Storage root: dataset folders, their links in PROCESSED_ROOT, free space, and the trash."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hugflow.model.specs import is_storage_name
from hugflow.storage.dataset_folder import DatasetFolder
from hugflow.storage.disk import faults, make_folder, open_folder, refuse_links

if TYPE_CHECKING:
    from hugflow.model.plan import StorageFacts

TRASH = ".trash"


@dataclass(frozen=True, slots=True)
class Storage:
    """The dataset folders under `root`, and links to them under `processed_root`."""

    root: Path
    processed_root: Path | None = None

    def dataset(self, name: str) -> DatasetFolder:
        """The folder of a dataset, whether it exists or not. `name` is one path component."""
        if not is_storage_name(name):
            raise ValueError(f"not the name of a dataset: {name!r}")
        return DatasetFolder(self.root / name)

    def names(self) -> list[str]:
        """The datasets in storage, complete or not, by name."""
        if not self.root.is_dir():
            return []
        with faults(f"reading {self.root}"):
            entries = sorted(entry.name for entry in self.root.iterdir() if is_storage_name(entry.name))
        return [name for name in entries if not (self.root / name).is_symlink() and self.dataset(name).exists()]

    def facts(self, quota_bytes: int | None = None) -> StorageFacts:
        """Free bytes and inodes of the storage root's file system; the bytes in use only if there is a quota."""
        from hugflow.model.plan import StorageFacts  # noqa: PLC0415 - workers import this module, and need no pydantic

        with faults(f"measuring {self.root}"):
            free = os.statvfs(_existing(self.root))
        return StorageFacts(
            free_bytes=free.f_bavail * free.f_frsize,
            free_inodes=free.f_favail if free.f_files else None,
            used_bytes=self.usage() if quota_bytes else 0,
            quota_bytes=quota_bytes,
        )

    def lacks_reserve(self, reserve_bytes: int) -> bool:
        """True when less than the reserve is free; at most a twentieth of the file system is reserved."""
        with faults(f"measuring {self.root}"):
            disk = os.statvfs(_existing(self.root))
        return disk.f_bavail * disk.f_frsize < min(reserve_bytes, disk.f_blocks * disk.f_frsize // 20)

    def usage(self, name: str | None = None) -> int:
        """Bytes on disk of one dataset, or of all (including the trash)."""
        folder = self.dataset(name).path if name else self.root
        return sum(_allocated(entry) for entry in _walk(folder))

    def link(self, name: str) -> str | None:
        """Link `processed_root/<name>` to the dataset. Returns a warning if that fails."""
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
        """Delete the link to a dataset, if it points there."""
        if self.processed_root is None:
            return
        link = self.processed_root / name
        if link.is_symlink() and link.readlink() == self.dataset(name).path.resolve():
            with faults(f"removing the link {link}"):
                link.unlink()

    def trash_name(self, name: str, now: datetime) -> str:
        """An unused name in the trash for a dataset that is removed now."""
        stamp, number = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}", 1
        while (self.root / TRASH / f"{stamp}.{number}--{name}").exists():
            number += 1
        return f"{stamp}.{number}--{name}"

    def trash(self, name: str, trash_name: str) -> None:
        """Move a dataset into the trash with one rename; does nothing if that was done already."""
        dataset, target = self.dataset(name), self.root / TRASH / trash_name
        refuse_links(f"removing {name}", dataset.path, target.parent)
        if not dataset.path.exists():
            return
        with faults(f"moving {name} to the trash"):
            make_folder(target.parent)
            with open_folder(self.root) as root, open_folder(self.root, TRASH) as trash:
                os.rename(name, trash_name, src_dir_fd=root, dst_dir_fd=trash)
                os.fsync(root)
                os.fsync(trash)

    def trash_files(self, name: str, paths: Iterable[str], now: datetime) -> None:
        """Move single files or folders of a dataset into the trash; missing ones are skipped.

        A link is moved, not what it leads to; nothing is moved through a link. The trash of a dataset is as closed to
        others as the dataset.
        """
        dataset, trash = self.dataset(name), self.root / TRASH / self.trash_name(name, now)
        refuse_links(f"moving files of {name} to the trash", dataset.path, self.root / TRASH)
        with faults(f"moving files of {name} to the trash"):
            for path in paths:
                below, _, file = path.rpartition("/")
                with contextlib.suppress(FileNotFoundError), open_folder(dataset.path, below) as source:
                    os.stat(file, dir_fd=source, follow_symlinks=False)
                    make_folder(trash.parent)
                    make_folder(trash, like=dataset.path)
                    (trash / below).mkdir(parents=True, exist_ok=True)
                    with open_folder(trash, below) as target:
                        os.rename(file, file, src_dir_fd=source, dst_dir_fd=target)

    def empty_trash(self, days: float, now: datetime) -> list[str]:
        """Delete entries that have been in the trash for more than `days`; returns their names."""
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
    """The nearest existing folder at or above `path`: `path` will be on its file system."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def _allocated(entry: os.DirEntry[str]) -> int:
    """The bytes that a file takes on disk; 0 if it was renamed or deleted meanwhile."""
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
