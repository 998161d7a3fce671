"""Samples of webdatasets: tar archives whose members belong together by their names up to the first dot.

The archive's directory is read first, so that members of a sample need not stand side by side and a member that fits
nowhere costs its row only. Memory: the directory, and one batch of samples.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import posixpath
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, BinaryIO, cast

import pyarrow as pa

from hugflow.formats.compression import decompressed
from hugflow.formats.json_values import dumps, kind_of, merged_kind, parse, to_array, type_of_kind
from hugflow.formats.parquet_rows import ROW_ERROR, row_errors
from hugflow.model.errors import RowError

BATCH_SAMPLES = 64
BATCH_BYTES = 8 << 20
MAX_MEMBER_BYTES = 1 << 30
MAX_LINKS = 16
DECODED_SAMPLES = 5
FIRST_BYTES = 16 << 20
"""No media are looked for behind this place of an archive on the Hub."""

MAX_SHOWN = 100

FILE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""The type of columns of media, as `datasets` stores Audio and Image."""

_NAME = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)", re.DOTALL)
_HIDDEN = re.compile(r"(?:.*/)?(?:\._[^/]*|\.DS_Store|\.git[^/]*|\.)|(?:.*/)?__MACOSX/.*", re.DOTALL)
_COMPRESSIONS = ("bz2", "gz", "lz4", "xz", "zst")
_TEXT = ("txt", "text", "transcript")
_INTEGER = ("cls", "cls2", "index", "inx", "id")
_JSON = ("json", "jsn")

Decoders = Mapping[str, Callable[[bytes], Any]]
"""Functions that decode members, by suffix: those of formats other than text, integers and JSON."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an archive. `sparse` is there for files with holes, `link` is the path that a link leads to."""

    name: str
    offset: int
    size: int
    link: str | None = None
    sparse: tarfile.TarInfo | None = None
    is_file: bool = True


@dataclass(slots=True)
class Sample:
    """Members with a common key, by their column; or why they are no sample."""

    key: str
    members: dict[str, Member] = field(default_factory=dict)
    problem: RowError | None = None


@dataclass(frozen=True, slots=True)
class TarSamples:
    """The samples of a tar archive, which stays open; `url` names the archive in the rows."""

    file: BinaryIO
    url: str
    samples: Sequence[Sample]
    is_media: Callable[[str], bool]
    decoders: Decoders

    @classmethod
    def open(
        cls,
        file: BinaryIO,
        url: str,
        is_media: Callable[[str], bool],
        decoders: Decoders,
        first: int | None = None,
        most: int = 5000,
    ) -> TarSamples:
        """Read the directory of an archive; with `first`, only until so many samples, and one with media, were found.

        At most `most` samples are then looked at. `is_media` tells columns of sounds and images. Raises TarError.
        """
        members: list[Member] = []
        try:
            for member in _members(file):
                members.append(member)
                if first and len(members) > first and _are_enough(members, first, most, is_media):
                    break
        except tarfile.TarError:
            if not first or len(members) <= 1:
                raise
            members.pop()
        return cls(file, url, _samples(members, is_media), is_media, decoders)

    def tables(self) -> Iterator[pa.Table]:
        """Return the samples as tables: a column for each suffix, then `__key__`, `__url__` and `ROW_ERROR`.

        Every member that is no media is read twice.
        """
        types = self._types(self.samples)
        for batch in self._batches():
            rows = [self._values(sample, with_media=True) for sample in batch]
            arrays = {name: to_array([row.get(name) for row in rows], kind) for name, kind in types.items()}
            keys = [None if sample.problem else sample.key for sample in batch]
            arrays["__key__"] = pa.array(keys, pa.string())
            arrays["__url__"] = pa.array([self.url] * len(batch), pa.string())
            arrays[ROW_ERROR] = row_errors([sample.problem for sample in batch])
            yield pa.table(arrays)

    def schema(self) -> pa.Schema:
        """Return the columns of all samples with the types that they have in the first few, which alone are read."""
        types = self._types(self.samples[:DECODED_SAMPLES])
        for sample in self.samples:
            for name in sample.members:
                types.setdefault(name, FILE if self.is_media(name) else pa.null())
        return pa.schema(list(types.items()) + [(name, pa.string()) for name in ("__key__", "__url__") if types])

    def _types(self, samples: Sequence[Sample]) -> dict[str, pa.DataType]:
        kinds: dict[str, pa.DataType] = {}
        for sample in samples:
            for name, value in self._values(sample, with_media=False).items():
                if self.is_media(name):
                    kinds[name] = FILE
                elif _decoder(name, self.decoders) is None:
                    kinds[name] = pa.binary()
                else:
                    kinds[name] = merged_kind(kinds.get(name, pa.null()), kind_of([value]))
        return {name: type_of_kind(kind) for name, kind in kinds.items()}

    def _batches(self) -> Iterator[list[Sample]]:
        batch: list[Sample] = []
        size = 0
        for sample in self.samples:
            size += sum(member.size for member in sample.members.values())
            batch.append(sample)
            if len(batch) == BATCH_SAMPLES or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _values(self, sample: Sample, *, with_media: bool) -> dict[str, Any]:
        """Return the columns of a sample, without the content of media unless asked for; none for one with a problem.

        A member that cannot be decoded becomes the sample's problem.
        """
        if sample.problem is not None:
            return {}
        values: dict[str, Any] = {}
        for name, member in sample.members.items():
            if not self.is_media(name):
                try:
                    values[name] = self._decoded(name, self._content(member))
                except RowError as error:
                    message = f"the member {_shown(f'{sample.key}.{name}')} {error.message}"
                    sample.problem = RowError(error.reason, message)
                    return {}
            elif with_media:
                values[name] = {"bytes": self._content(member), "path": f"{sample.key}.{name}"}
            else:
                values[name] = None
        return values

    def _content(self, member: Member) -> bytes:
        if member.sparse is not None:
            self.file.seek(0)
            with tarfile.open(fileobj=self.file, mode="r:") as archive:
                extracted = archive.extractfile(member.sparse)
                return extracted.read() if extracted else b""
        self.file.seek(member.offset)
        content = self.file.read(member.size)
        if len(content) < member.size:
            raise tarfile.ReadError(f"the archive ends inside of {_shown(member.name)}")
        return content

    def _decoded(self, name: str, content: bytes) -> Any:
        decode = _decoder(name, self.decoders)
        packed = _suffix(name, packed=True)
        try:
            if packed in _COMPRESSIONS:
                content = decompressed(io.BytesIO(content), f".{packed}").read(MAX_MEMBER_BYTES)
            value = content if decode is None else decode(content)
            if decode is not None and _suffix(name) in self.decoders:
                value = _plain(value)
                dumps(value)
        except UnicodeDecodeError as error:
            raise RowError("invalid_text", "is not valid UTF-8") from error
        except ImportError as error:
            raise RowError("invalid_value", f"needs the Python package {error.name} to be read") from error
        except MemoryError:
            raise
        except RowError as error:
            raise RowError(error.reason, f"cannot be kept: {error.message}") from error
        except Exception as error:  # decoders of several libraries read the row's data: it costs the row
            raise RowError("invalid_value", f"is no valid {_suffix(name)}") from error
        return value


def _decoder(name: str, decoders: Decoders) -> Callable[[bytes], Any] | None:
    """Return the function that decodes the members of a column, or None for bytes."""
    suffix = _suffix(name)
    if suffix in _TEXT:
        return bytes.decode
    if suffix in _INTEGER:
        return int
    if suffix in _JSON:
        return lambda content: parse(content.decode("utf-8-sig"))
    return decoders.get(suffix)


def _suffix(name: str, *, packed: bool = False) -> str:
    """Return the last suffix of a column's name, without one of compression unless `packed`."""
    parts = name.lower().split(".")
    return parts[-2] if not packed and len(parts) > 1 and parts[-1] in _COMPRESSIONS else parts[-1]


def _plain(value: Any) -> Any:
    """Return arrays, also inside of objects and lists, as lists of Python numbers."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


# -- the directory of an archive -------------------------------------------------------------------------------------


def plain_tar(file: BinaryIO) -> BinaryIO:
    """Return the content of a tar archive that may be compressed, whatever its name says."""
    head = file.read(6)
    file.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return cast("BinaryIO", gzip.GzipFile(fileobj=file))
    if head.startswith(b"BZh"):
        return cast("BinaryIO", bz2.BZ2File(file))
    if head.startswith(b"\xfd7zXZ"):
        return cast("BinaryIO", lzma.LZMAFile(file))
    return decompressed(file, ".zst") if head.startswith(b"\x28\xb5\x2f\xfd") else file


def _members(file: BinaryIO) -> Iterator[Member]:
    """Yield the members of an archive, and of those that were appended to it.

    Raises tarfile.ReadError also for damage in the middle, at which `tarfile` ends as if nothing followed.
    """
    start = 0
    while True:
        file.seek(start)
        with tarfile.open(fileobj=file, mode="r:", errors="surrogateescape") as archive:
            while (info := archive.next()) is not None:
                if not info.isdir():
                    yield _member(info)
                archive.members = []  # type: ignore[attr-defined]  # kept by tarfile for lookups that nobody makes
            at = archive.offset
        file.seek(at)
        found = next((block for block in iter(lambda: file.read(tarfile.BLOCKSIZE), b"") if block.strip(b"\0")), None)
        if found is None:
            return
        start = file.tell() - len(found)
        if start == at:
            raise tarfile.ReadError(f"the archive is damaged at byte {at}")


def _member(info: tarfile.TarInfo) -> Member:
    sparse = info if info.issparse() else None
    link = info.linkname if info.islnk() else None
    if info.issym():
        # what leads out of the archive is no name of a member
        link = posixpath.normpath(posixpath.join(posixpath.dirname(info.name), info.linkname))
    return Member(info.name, info.offset_data, info.size, link, sparse, info.isreg())


def _are_enough(members: list[Member], first: int, most: int, is_media: Callable[[str], bool]) -> bool:
    samples = _samples(members[:-1], is_media) if len(members) % first == 0 else []
    has_media = any(is_media(name) for sample in samples for name in sample.members)
    is_far = members[-1].offset > FIRST_BYTES
    return len(samples) >= (first if has_media or is_far else most)


def _samples(members: Sequence[Member], is_media: Callable[[str], bool]) -> list[Sample]:
    found: list[Sample] = []
    by_name: dict[str, Member] | None = None
    for member in members:
        if _HIDDEN.fullmatch(member.name):
            continue
        match = _NAME.fullmatch(member.name.removeprefix("./"))
        if match is None or not match[2]:
            if member.is_file:
                found.append(Sample(member.name, problem=_bad(member.name, "has no suffix that names a column")))
            continue
        key, column = match.groups()
        if not found or found[-1].key != key or column in found[-1].members or not found[-1].members:
            found.append(Sample(key))
        problem, target = None, None
        if member.link is not None:
            by_name = by_name or {posixpath.normpath(other.name): other for other in members}
            target = _followed(member, by_name)
            problem = None if target else _bad(member.name, "is a link to nothing in the archive")
        elif not member.is_file:
            problem = _bad(member.name, "is no file")
        if (target or member).size > MAX_MEMBER_BYTES:
            text = f"the member {_shown(member.name)} has more than {MAX_MEMBER_BYTES} bytes"
            problem = RowError("file_too_large", text)
        if not _is_unicode(member.name):
            problem = RowError("invalid_text", f"the name of the member {_shown(member.name)} is not valid UTF-8")
        found[-1].members[column] = target or member
        found[-1].problem = found[-1].problem or problem
    return _with_usual_columns(_joined(found), is_media)


def _followed(member: Member, by_name: Mapping[str, Member]) -> Member | None:
    """Return the file that a link leads to inside of the archive."""
    for _ in range(MAX_LINKS):
        if member.link is None:
            return member if member.is_file else None
        target = by_name.get(posixpath.normpath(member.link))
        if target is None:
            return None
        member = target
    return None


def _joined(samples: Sequence[Sample]) -> list[Sample]:
    """Join samples of the same key that stand apart in the archive, at the place of the first.

    Those that have the same columns are rows of their own, as `datasets` reads them; where some columns are the same,
    nobody can tell which belong together, and all of them are failed rows.
    """
    by_key: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.members:
            by_key.setdefault(sample.key, []).append(sample)
    joined: set[int] = set()
    for key, parts in by_key.items():
        columns = [part.members.keys() for part in parts]
        if all(column == columns[0] for column in columns):
            continue
        twice = next((one & two for one, two in combinations(columns, 2) if one & two), None)
        for part in parts:
            if twice:
                name = _shown(f"{key}.{min(twice)}")
                part.problem = RowError("bad_sample", f"the archive has the member {name} more than once")
            elif part is not parts[0]:
                parts[0].members |= part.members
                parts[0].problem = parts[0].problem or part.problem
                joined.add(id(part))
    return [sample for sample in samples if id(sample) not in joined]


def _with_usual_columns(samples: Sequence[Sample], is_media: Callable[[str], bool]) -> list[Sample]:
    """Find members whose names make columns that the other samples do not have.

    A suffix in other letter case than in most samples becomes theirs. A dot inside of a name, as in `talk.1.wav`, makes
    the column `1.wav`: where others have `wav`, that is a failed row for each such name.
    """
    counts = Counter(name for sample in samples for name in sample.members)
    found: list[Sample] = []
    for sample in samples:
        odd: dict[str, str] = {}
        for name in list(sample.members):
            usual = name.lower().rpartition(".")[2]
            if name == usual or usual not in counts:
                continue
            alone = usual not in sample.members and counts[usual] >= counts[name]
            if name.lower() == usual and alone:
                sample.members[usual] = sample.members.pop(name)
            elif "." in name and (
                (alone and (is_media(usual) or counts[name] == 1))
                or (is_media(usual) and counts[name] == 1 < counts[usual])
            ):
                odd.setdefault(name.rpartition(".")[0], name)
        sample.members = {n: m for n, m in sample.members.items() if n.rpartition(".")[0] not in odd or "." not in n}
        if sample.members or not odd:
            found.append(sample)
        for stem, name in odd.items():
            text = f"has a dot in its name, which makes it the column {_shown(name)} of the sample {_shown(sample.key)}"
            found.append(Sample(f"{sample.key}.{stem}", problem=_bad(f"{sample.key}.{name}", text)))
    return found


def _is_unicode(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _bad(name: str, problem: str) -> RowError:
    return RowError("bad_sample", f"the member {_shown(name)} {problem}")


def _shown(name: str) -> str:
    """Return a member's name as messages show it."""
    return f"`{name[:MAX_SHOWN]}{'...' if len(name) > MAX_SHOWN else ''}`".encode(errors="replace").decode()
