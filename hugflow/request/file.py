"""Parses a request file to a spec, or to all of its problems with line and column. Does no other I/O."""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Final

from hugflow.model.errors import InvalidRequest
from hugflow.model.spec_types import Kind
from hugflow.model.specs import SPECS, Spec
from hugflow.request.messages import label, spec_or_faults
from hugflow.request.yaml_tree import MAX_BYTES, Fault, Loc, Position, read, walk
from hugflow.text.printable import closest, listed, printable

WHOLE_FILE: Final = "file"
"""The field that problems of the whole file are reported under."""

_ROOT = "requests"
_KEPT_BESIDE_REQUESTS = frozenset({".gitkeep", "README.md"})


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One problem of a request file, and its correction.

    `line` and `column` count from 1. `path` is as it was given; `str()` escapes what is not harmless in it.
    """

    path: str
    line: int
    column: int
    field: str
    message: str

    def __str__(self) -> str:
        return printable(f"{self.path}:{self.line}:{self.column}: {self.field}: {self.message}")


class InvalidRequestFile(InvalidRequest):
    """One or more invalid request files; `problems` has all of their problems, in order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        paths = sorted({printable(problem.path) for problem in self.problems})
        count = "there is a problem" if len(self.problems) == 1 else f"there are {len(self.problems)} problems"
        super().__init__(
            f"reading {paths[0]}" if len(paths) == 1 else f"reading {len(paths)} requests",
            "\n  ".join([count, *map(str, self.problems)]),
            "The format of requests is described in docs/requests.md; `hugflow validate` checks a file.",
        )


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A spec, its file, and the position of each of its fields.

    `positions` has each value of the file by its place (`("tables", 0, "name")`); fields that took their default are
    not in it. It is empty for a spec that was not read from a file.
    """

    path: str
    spec: Spec
    positions: Mapping[Loc, Position]

    @property
    def kind(self) -> Kind:
        """The kind of the request."""
        return self.spec.kind

    def at(self, *loc: str | int) -> Position:
        """Return the position of the field; for an absent one, that of the group around it."""
        while loc and loc not in self.positions:
            loc = loc[:-1]
        return self.positions.get(loc, Position(1, 1))

    def at_field(self, field: str | None) -> Position:
        """Return the position of a field named in an error, such as `tables[0].quality`, or of the group around it."""
        named = {label(loc): loc for loc in self.positions}
        while field and field not in named:
            field = field[: max(field.rfind("."), field.rfind("["), 0)]
        return self.at(*named[field]) if field else self.at()

    def problem(self, *loc: str | int, message: str) -> Problem:
        """Build the problem of the field at `loc`, with line and column."""
        at = self.at(*loc)
        return Problem(self.path, at.line, at.column, label(loc) or WHOLE_FILE, message)


def kind_of(path: str | PurePath) -> Kind | None:
    """Tell the kind of the request at `path` by its directory; the file's name never decides.

    None for the few files that are allowed beside requests (`.gitkeep`, `README.md`). A path that is relative and
    begins with `requests/` is taken from the repository's root. InvalidRequestFile for a path that is no request's.
    """
    pure = PurePosixPath(path)
    folder = pure.parent
    if pure.name in _KEPT_BESIDE_REQUESTS:
        return None
    if _is_nested(pure):
        raise _misplaced(path, f"is in a nested folder; move it to {_right_folders()}")
    kind = next((kind for kind in SPECS if kind == folder.name), None)
    if kind is None:
        near = closest(folder.name, SPECS) if folder.parent.name == _ROOT else None
        hint = f"did you mean {_ROOT}/{near}/?" if near else f"put it into {_right_folders()}"
        raise _misplaced(path, f"is in no folder of requests; {hint}")
    if pure.suffix not in {".yaml", ".yml"}:
        raise _misplaced(path, "is not named as a request; the name must end with `.yaml` or `.yml`, in small letters")
    return kind


def parse(text: bytes, path: str, kind: Kind | None = None) -> ParsedRequest:
    """Read the content of a request file; `kind` None takes it from `path`.

    Raises InvalidRequestFile with every problem of the file.
    """
    kind = kind or kind_of(path)
    if kind is None:
        raise _misplaced(path, "is not a request")
    document = read(text)
    if document.root is None:
        raise InvalidRequestFile(_problem(path, fault) for fault in document.faults)
    spec, faults = spec_or_faults(document.root, kind)
    if spec is None or document.faults:
        raise InvalidRequestFile(_problem(path, fault) for fault in (*document.faults, *faults))
    return ParsedRequest(path, spec, {loc: node.at for loc, node in walk(document.root)})


def load(path: Path, kind: Kind | None = None) -> ParsedRequest:
    """Read a request file. Raises InvalidRequestFile, also for anything but a regular file of at most 64 KiB."""
    kind = kind or kind_of(path)
    try:
        text = _read_regular_file(path)
    except OSError as error:
        raise _misplaced(path, _why_unreadable(error)) from None
    except ValueError:  # a NUL or a half surrogate pair in the path
        raise _misplaced(path, "does not exist; check the path") from None
    return parse(text, str(path), kind)


def load_all(paths: Iterable[Path]) -> tuple[list[ParsedRequest], list[Problem]]:
    """Read several request files; one with problems does not hide those of the next."""
    requests: list[ParsedRequest] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            requests.append(load(path))
        except InvalidRequestFile as error:
            problems += error.problems
    return requests, problems


def _read_regular_file(path: Path) -> bytes:
    """Read at most one byte more than is allowed; does not follow links, and does not wait for a FIFO."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.ENOTSUP, "not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_BYTES + 1)
    finally:
        os.close(descriptor)


def _why_unreadable(error: OSError) -> str:
    reasons = {
        errno.ELOOP: "is a symbolic link; a request must be a file itself",
        errno.ENOENT: "does not exist; check the path",
        errno.ENOTDIR: "does not exist; check the path",
        errno.EISDIR: "is a folder; name the request files in it",
        errno.ENOTSUP: "is not a regular file",
        errno.ENXIO: "is not a regular file",
        errno.EACCES: "must not be read by this user; check its permissions",
    }
    return reasons.get(error.errno or 0, f"cannot be read: {error.strerror}")


def _problem(path: str, fault: Fault) -> Problem:
    return Problem(path, fault.at.line, fault.at.column, label(fault.loc) or WHOLE_FILE, fault.message)


def _misplaced(path: str | PurePath, message: str) -> InvalidRequestFile:
    return InvalidRequestFile([Problem(str(path), 1, 1, WHOLE_FILE, message)])


def _is_nested(path: PurePosixPath) -> bool:
    """True when the path continues below a folder of requests."""
    if not path.is_absolute() and path.parts[:1] == (_ROOT,):
        return len(path.parts) > 3  # noqa: PLR2004 - requests / add / name.yaml
    folders = path.parts[:-2]
    return any(folder == _ROOT and kind in SPECS for folder, kind in itertools.pairwise(folders))


def _right_folders() -> str:
    return listed(f"{_ROOT}/{kind}/" for kind in SPECS).replace(", ", " or ")
