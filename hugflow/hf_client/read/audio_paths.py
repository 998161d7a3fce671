"""Reads audio files that rows name by path, from the dataset's own repository and no other place.

Never from this machine's files, another repository or another host, whatever the path says. Files are verified by the
hash that the Hub lists, members of zip archives by their CRC.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Literal

from huggingface_hub.hf_api import RepoFile, RepoFolder

from hugflow.hf_client.http import Hub
from hugflow.hf_client.remote_file import RemoteFile, RepositoryFile
from hugflow.model.errors import RowError, Transient

MAX_FILE_BYTES = 1 << 30
MAX_OPEN_ARCHIVES = 8
_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
AHEAD_BYTES = 64 << 20

_AMBIGUOUS = "several files have the path that the row gives, in other spellings, and none has it exactly"
_FIX = "Run the same command again: it continues. If it stays, a proxy changes files, or the Hub's copy is damaged."

Read = bytes | RowError


@dataclass(frozen=True, slots=True)
class _Read(Mapping[str, Read]):
    """Files that were read ahead, and files that are read on access and not kept."""

    found: dict[str, Read]
    later: dict[str, Callable[[], Read]]

    def __getitem__(self, path: str) -> Read:
        if path in self.found:
            return self.found[path]
        try:
            return self.later[path]()
        except RowError as error:
            return error

    def __iter__(self) -> Iterator[str]:
        return iter((*self.found, *self.later))

    def __len__(self) -> int:
        return len(self.found) + len(self.later)


@dataclass(slots=True)
class RepositoryFiles:
    """Reader for the files of one repository at one commit, several at a time."""

    hub: Hub
    hf_id: str
    sha: str
    _archives: dict[str, zipfile.ZipFile] = field(default_factory=dict)

    def read(self, paths: Iterable[str], shard: str) -> Mapping[str, Read]:
        """Read the files at `paths`, named by rows of the file `shard`: the bytes of each, or why there are none.

        Files are fetched in parallel up to `AHEAD_BYTES` together; those beyond are fetched on access, one by one.
        A path is relative to the repository's root or to the shard's folder; `zip://a.wav::x.zip` is a member of an
        archive. Errors are `refused_path`, `audio_missing`, `ambiguous_path`, `file_too_large`, `unreadable_archive`.
        Raises Transient, AuthenticationError.
        """
        found: dict[str, Read] = {}
        later: dict[str, Callable[[], Read]] = {}
        plain: dict[str, list[str]] = {}
        held = 0
        for path in dict.fromkeys(paths):
            try:
                if not (path.startswith("zip://") and "::" in path):
                    plain[path] = candidates(path, shard, self.hf_id)
                elif held < AHEAD_BYTES:
                    found[path] = data = self._member(path, shard)
                    held += len(data)
                else:
                    later[path] = partial(self._member, path, shard)
            except RowError as error:
                found[path] = error
        self._files(plain, found, later)
        return _Read(found, later)

    def _files(
        self, wanted: dict[str, list[str]], found: dict[str, Read], later: dict[str, Callable[[], Read]]
    ) -> None:
        """Read files by the first of their candidates that the repository has: one request looks up all of them."""
        entries = self._entries({candidate for several in wanted.values() for candidate in several})
        missing = {path: several for path, several in wanted.items() if not entries.keys() & set(several)}
        similar = {path: spellings(several) for path, several in missing.items()}
        entries |= self._entries({spelling for several in similar.values() for spelling in several})
        hits: dict[str, RepoFile] = {}
        held = 0
        for path, several in wanted.items():
            fitting = [entries[p] for p in similar.get(path, several) if p in entries]
            entry = next(iter(fitting), None)
            if entry is None:
                found[path] = RowError("audio_missing", "the repository has no file at the path that the row gives")
            elif path in similar and len(fitting) > 1:
                found[path] = RowError("ambiguous_path", _AMBIGUOUS)
            elif entry.size > MAX_FILE_BYTES:
                found[path] = RowError("file_too_large", f"the file has {entry.size} bytes, over {MAX_FILE_BYTES}")
            elif held + entry.size <= AHEAD_BYTES:
                hits[path] = entry
                held += entry.size
            else:
                later[path] = partial(self._verified, entry)
        with ThreadPoolExecutor(self.hub.max_concurrent_downloads) as threads:
            found |= zip(hits, threads.map(self._verified, hits.values()), strict=True)

    def _entries(self, paths: set[str]) -> dict[str, RepoFile]:
        if not paths:
            return {}

        def ask() -> list[RepoFile | RepoFolder]:
            return self.hub.api().get_paths_info(self.hf_id, sorted(paths), repo_type="dataset", revision=self.sha)

        entries = self.hub.call(f"looking up files of {self.hf_id}", ask)
        return {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}

    def _verified(self, entry: RepoFile) -> bytes:
        source = RepositoryFile(self.hub, self.hf_id, self.sha, entry.path, entry.size)

        def ask() -> bytes:
            data = source.read(0, entry.size)
            if not _is_whole(data, entry):
                problem = "its bytes are not those that the Hub lists (hash mismatch)"
                raise Transient(f"fetching {entry.path}", problem, _FIX, reason="hash_mismatch")
            return data

        return self.hub.call(f"fetching {entry.path} of {self.hf_id}", ask)

    def _member(self, path: str, shard: str) -> bytes:
        member, _, archive = path.removeprefix("zip://").partition("::")
        return self.hub.call(f"reading {member} in {archive}", partial(self._read_member, member, archive, shard))

    def _read_member(self, member: str, archive: str, shard: str) -> bytes:
        opened = self._archive(archive, shard)
        try:
            info = opened.getinfo(_name_in(opened, member))
            if info.file_size > MAX_FILE_BYTES:
                raise RowError("file_too_large", f"the file has {info.file_size} bytes, over {MAX_FILE_BYTES}")
            return opened.read(info)
        except KeyError as error:
            raise RowError("audio_missing", "the archive has no such member") from error
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            # the CRC does not match: the archive's directory may have arrived damaged, so it is read again as well
            self._archives.clear()
            raise Transient(f"reading {member} in {archive}", f"its bytes are damaged: {error}") from error
        except (NotImplementedError, RuntimeError) as error:
            raise RowError("unreadable_archive", "the member is encrypted or packed in an unknown way") from error

    def _archive(self, path: str, shard: str) -> zipfile.ZipFile:
        if path not in self._archives:
            entries = self._entries(set(candidates(path, shard, self.hf_id)))
            if not entries:
                raise RowError("audio_missing", "the repository has no archive at the path that the row gives")
            entry = next(iter(entries.values()))
            source = RepositoryFile(self.hub, self.hf_id, self.sha, entry.path, entry.size)
            if len(self._archives) >= MAX_OPEN_ARCHIVES:
                self._archives.clear()
            try:
                self._archives[path] = zipfile.ZipFile(RemoteFile(source))
            except zipfile.BadZipFile as error:
                raise Transient(f"opening {entry.path}", f"it is no valid zip archive: {error}") from error
        return self._archives[path]


def candidates(path: str, shard: str, hf_id: str) -> list[str]:
    """Return the paths in the repository that a row's path may mean: from the root, or from its shard's folder.

    Raises RowError (`refused_path`) for paths that lead out of the repository.
    """
    own = re.match(rf"hf://datasets/{re.escape(hf_id)}(?:@[^/]+)?/", path)
    relative = path[own.end() :] if own else path
    if not relative or "\0" in relative or (not own and re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|[/\\~]", relative)):
        raise RowError("refused_path", "the row gives its audio as an address or an absolute path")
    found = (posixpath.normpath(posixpath.join(base, relative)) for base in ("", posixpath.dirname(shard)))
    inside = dict.fromkeys(candidate for candidate in found if not candidate.startswith(".."))
    if not inside:
        raise RowError("refused_path", "the row gives a path that leads out of the repository")
    return list(inside)


def spellings(paths: Iterable[str]) -> list[str]:
    """Return other spellings of paths: with `/` for backslashes, and in the forms NFC and NFD of Unicode."""
    found: dict[str, None] = {}
    for path in paths:
        for written in (path, posixpath.normpath(path.replace("\\", "/"))):
            folder, slash, name = written.rpartition("/")
            for one, other in product(_FORMS, repeat=2):
                spelling = unicodedata.normalize(one, folder) + slash + unicodedata.normalize(other, name)
                found[spelling] = None
    return [path for path in found if path not in paths and not path.startswith("..")]


def _name_in(archive: zipfile.ZipFile, member: str) -> str:
    """Return the name of a zip member, also where its spelling differs in Unicode form or backslashes."""
    if member in archive.NameToInfo:
        return member

    def plain(name: str) -> str:
        return unicodedata.normalize("NFC", name.replace("\\", "/"))

    fitting = [name for name in archive.NameToInfo if plain(name) == plain(member)]
    if len(fitting) > 1:
        raise RowError("ambiguous_path", _AMBIGUOUS)
    return fitting[0] if fitting else member


def _is_whole(data: bytes, entry: RepoFile) -> bool:
    if entry.lfs is not None:
        return hashlib.sha256(data).hexdigest() == entry.lfs.sha256
    # Git names a blob by the SHA-1 of its content behind this header
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == entry.blob_id
