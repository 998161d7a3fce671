"""Durable file operations that follow no symbolic link, and disk errors as `StorageFault`."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from hugflow.model.errors import StorageFault

_BLOCK_BYTES = 1 << 20
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FIXES = {
    errno.ENOSPC: "Free space (or inodes: `df -i`) on that file system and run the same command again: it continues.",
    errno.EDQUOT: "Ask for a larger disk quota or free space, and run the same command again: it continues.",
    errno.EFBIG: "Raise the file size limit (`ulimit -f`) and run the same command again: it continues.",
    errno.EROFS: "Mount the file system writable again and run the same command: it continues.",
    errno.EACCES: "Give the user that runs hugflow the right to write there.",
    errno.ELOOP: "It is a symbolic link, which hugflow does not follow there: move it away.",
    errno.ENOTDIR: "It must be a folder, not a file or a symbolic link: move it away.",
    errno.ENOTSUP: "It is no regular file: move it away.",
    errno.EPERM: "Give the user that runs hugflow the right to write there.",
}


@contextlib.contextmanager
def faults(doing: str) -> Iterator[None]:
    """Raise errors of the operating system as `StorageFault`."""
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


@contextlib.contextmanager
def open_folder(root: Path, below: str = "") -> Iterator[int]:
    """Open a folder and yield its descriptor. Neither `root` itself nor a folder of the path `below` may be a link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(root, flags)
    try:
        for name in PurePosixPath(below).parts:
            parent, descriptor = descriptor, os.open(name, flags, dir_fd=descriptor)
            os.close(parent)
        yield descriptor
    finally:
        os.close(descriptor)


def new_file(name: str, folder: int) -> int:
    """Create a file in an open folder for writing; returns its descriptor. Nothing that exists is opened or followed.

    The file is for the accounts that the umask allows, and never for others where its folder is closed to others.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, 0o666 if os.fstat(folder).st_mode & stat.S_IRWXO else 0o660, dir_fd=folder)


def make_folder(path: Path, like: Path | None = None) -> None:
    """Create a folder, unless it exists; it is closed to others where its parent (or the folder `like`) is."""
    open_to_others = (like or path.parent).stat().st_mode & stat.S_IRWXO
    with contextlib.suppress(FileExistsError):
        path.mkdir(0o777 if open_to_others else 0o770)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that replaces `path` durably when the block ends; after an error `path` is as it was.

    The temporary file has a name that cannot be guessed. Temporary files that a kill left of the same file are deleted:
    writers of one file hold a lock.
    """
    with open_folder(path.parent) as folder:
        remove_temporaries(path.name, folder)
        temporary = temporary_name(path.name)
        try:
            with open(new_file(temporary, folder), "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            raise
        os.fsync(folder)


def temporary_name(name: str) -> str:
    """A name for a temporary file beside `name`, which nobody can have used before."""
    return f".{name}.{secrets.token_hex(8)}.tmp"


def remove_temporaries(name: str, folder: int) -> None:
    """Delete the temporary files that a kill left of the file `name` in an open folder."""
    for entry in os.listdir(folder):
        if entry.startswith(f".{name}.") and entry.endswith(".tmp"):
            os.unlink(entry, dir_fd=folder)


def write_durably(path: Path, data: bytes) -> None:
    """Replace the content of `path`; after a power cut it has the old or the new content, never a part."""
    with faults(f"writing {path.name}"), replacing(path) as file:
        file.write(data)


def write_all_synced(folder: int, files: Iterable[tuple[str, bytes]]) -> None:
    """Write new files, by name, into an open folder and sync each of them.

    Writing of all files is started before the first is synced: one transaction of the file system's journal then
    covers all of them, where files that are synced one by one need one each (more than twice the time).
    """
    descriptors: list[int] = []
    try:
        for name, data in files:
            descriptors.append(new_file(name, folder))
            view = memoryview(data)
            while view:
                view = view[os.write(descriptors[-1], view) :]
            # starts writing without waiting; it drops only clean pages from the cache, and there are none yet
            os.posix_fadvise(descriptors[-1], 0, 0, os.POSIX_FADV_DONTNEED)
        for descriptor in descriptors:
            os.fsync(descriptor)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def read_regular(path: Path) -> bytes:
    """Read a regular file. Raises NotAFileError for links, FIFOs and everything else."""
    with open_regular(path) as file:
        return file.read()


class NotAFileError(OSError):
    """The path is a link, a folder, a FIFO or a device."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, as `read_regular` does. Only the file itself may be no link."""
    try:
        return _regular(os.open(path, _READ), path)
    except OSError as error:
        raise _explained(error, path) from error


def open_inside(root: Path, path: str) -> BinaryIO:
    """Open a regular file by its path below `root`. Neither the file, nor a folder above it, nor `root` may be a link.

    Raises NotAFileError, FileNotFoundError.
    """
    below, _, name = path.rpartition("/")
    try:
        with open_folder(root, below) as folder:
            return _regular(os.open(name, _READ, dir_fd=folder), root / path)
    except OSError as error:
        raise _explained(error, root / path) from error


def read_inside(root: Path, path: str) -> bytes:
    """Read a regular file by its path below `root`, as `open_inside` opens it."""
    with open_inside(root, path) as file:
        return file.read()


_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def _regular(descriptor: int, path: Path) -> BinaryIO:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotAFileError(errno.ENOTSUP, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def _explained(error: OSError, path: Path) -> OSError:
    if error.errno in {errno.ELOOP, errno.ENXIO, errno.ENOTDIR}:
        return NotAFileError(error.errno, "not a regular file", str(path))
    return error


def close_to_others(path: Path) -> None:
    """Take all rights on a folder from others, whatever the umask is; its owner and group keep theirs."""
    mode = path.stat().st_mode
    if mode & stat.S_IRWXO:
        path.chmod(stat.S_IMODE(mode) & ~stat.S_IRWXO)


def sync_directory(path: Path | str) -> None:
    """Make renames and unlinks in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_links(doing: str, *folders: Path) -> None:
    """Raise StorageFault if one of `folders` is a link or a file; missing folders are accepted."""
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


def digest_of(file: BinaryIO, digest: hashlib._Hash) -> str:
    """Add the rest of a file to a digest, and return it in hexadecimal."""
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. A symbolic link is not followed."""
    with faults(f"reading {path.name}"), open_regular(path) as file:
        return digest_of(file, hashlib.sha256())
