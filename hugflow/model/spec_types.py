"""Value types of requests, and the base of all specs: strict, frozen, all problems reported at once.

Each type refuses with a sentence that begins with "must" and says what would be right; it never repeats the value,
which may be hostile. The patterns beside the types are for editors (JSON Schema): they accept all that the types
accept, and refuse as much of the rest as a regular expression can.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

Kind = Literal["add", "remove", "publish"]
Rule = tuple[tuple[str | int, ...], str]
"""A problem between fields: where it is reported, such as `("tables", 1, "name")`, and the sentence."""

MAX_PROSE = 10_000
BETWEEN_FIELDS = "between_fields"

_HF_ID_PART = re.compile(r"\w(?:[\w.-]*\w)?\Z", re.ASCII)
_SPLIT = re.compile(r"\w+(?:\.\w+)*\Z")
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NEVER_STORED = re.compile(r"[\x00\ud800-\udfff]")


def _hf_id(value: str) -> str:
    address = re.match(r"(?:https?://[^/]+/|hf://)?(?:datasets/)([\w.-]+/[\w.-]+)", value, re.ASCII)
    if address:
        raise ValueError(f"must be the id alone: `{address[1]}`")
    if "://" in value:
        raise ValueError("must be the id alone, like `org/name`, not an address")
    parts = value.split("/")
    if len(parts) != 2:  # noqa: PLR2004 - an id is `org/name`
        raise ValueError("must be `org/name`, with one slash")
    if any(not _HF_ID_PART.match(part) or ".." in part or "--" in part for part in parts):
        raise ValueError(
            "must be `org/name` of letters, digits, `-`, `_` and `.`, each part beginning and ending with a letter, "
            "a digit or `_`, without `--` or `..`"
        )
    if value.endswith(".git"):
        raise ValueError("must be the id without `.git`")
    if any(len(part) > 96 for part in parts):  # noqa: PLR2004 - the Hub's own limit
        raise ValueError("must have at most 96 characters on each side of the slash")
    return value


def _revision(value: str) -> str:
    if not value or _INVISIBLE.search(value) or re.search(r"[\s~^:?*\[\\]|@\{", value):
        raise ValueError("must be a branch, a tag, a commit or `refs/pr/N`, without spaces or any of ~^:?*[\\")
    parts = value.split("/")
    if value.startswith("-") or value.endswith(".") or ".." in value or value == "@":
        raise ValueError("must be a valid Git revision: no leading `-`, no trailing `.`, no `..`")
    if any(not part or part.startswith(".") or part.endswith(".lock") for part in parts):
        raise ValueError("must be a valid Git revision: between slashes, nothing empty, no leading `.`, no `.lock`")
    if len(value) > 255:  # noqa: PLR2004 - what file systems and Git servers take
        raise ValueError("must have at most 255 characters")
    return value


def _branch(value: str) -> str:
    if re.fullmatch(r"[0-9a-fA-F]{40}", value):
        raise ValueError("must be a branch: a commit cannot be changed")
    return value


def _subset(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty; leave the line out for a dataset without configs")
    if value != value.strip():
        raise ValueError("must not begin or end with a space")
    if _INVISIBLE.search(value) or re.search(r"[<>:/\\|?*]", value):
        raise ValueError("must be the name of a config, without control characters or any of <>:/\\|?*")
    return value


def _split(value: str) -> str:
    if "[" in value or "+" in value:
        raise ValueError("must be one whole split, like `train`; slices such as `train[:10%]` are not supported")
    if not _SPLIT.match(value):
        raise ValueError("must be the name of a split, like `train`: letters, digits, `_` and single dots")
    return value


def _column(value: str) -> str:
    if not value.strip() or _INVISIBLE.search(value):
        raise ValueError("must be the name of a column: not empty, without control characters")
    return value


def _prose(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty: write a sentence for the people who read the pull request")
    return _storable(value)


def _storable(value: str) -> str:
    if _NEVER_STORED.search(value):
        raise ValueError("must be text without NUL characters and half surrogate pairs")
    return value


def _line(value: str) -> str:
    if not value.strip() or _INVISIBLE.search(value):
        raise ValueError("must be one line of text: not empty, without line breaks or control characters")
    return value


def _path(value: str) -> str:
    if not value.strip() or _INVISIBLE.search(value):
        raise ValueError("must be a path: not empty, without control characters")
    # the checks are applied to the returned value: `./~` and `.//C:x` are paths from `~` and `C:` once `.` is gone
    path = PurePosixPath(value)
    parts, normal = path.parts, str(path)
    if "://" in value or "\\" in value or re.match(r"[A-Za-z]:", normal):
        raise ValueError("must be a path inside the repository or PUBLISH_ROOT, with `/` between folders")
    if normal.startswith(("/", "~")):
        raise ValueError("must be relative, like `data/table.parquet`: inside the repository or PUBLISH_ROOT")
    if ".." in parts:
        raise ValueError("must stay inside the repository or PUBLISH_ROOT: `..` is not allowed")
    if any(part.startswith(".") for part in parts):
        raise ValueError("must not name hidden files or folders: they hold settings and secrets, not data")
    if not parts:
        raise ValueError("must name a file, a folder or a glob, not the whole checkout")
    if len(value) > 1000:  # noqa: PLR2004 - far above any real path, below what systems refuse
        raise ValueError("must have at most 1000 characters")
    return normal


def _editor(pattern: str, *examples: str, max_length: int | None = None) -> Any:
    """JSON Schema keywords of a text type, for editors; here only `max_length` is enforced, the rest by its check."""
    return Field(max_length=max_length, examples=list(examples) or None, json_schema_extra={"pattern": pattern})


_ID_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_VISIBLE = r"[^\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]"

HfId = Annotated[
    StrictStr,
    _editor(rf"^(?!.*(?:--|\.\.))(?!.*\.git$){_ID_PART}/{_ID_PART}$", "acme/speech"),
    AfterValidator(_hf_id),
]
Revision = Annotated[
    StrictStr,
    _editor(r"^(?![-/.])(?!.*(?:\.\.|//|/\.|@\{))(?!.*(?:/|\.|\.lock)$)[^\s~^:?*\[\\]{1,255}$"),
    AfterValidator(_revision),
]
Branch = Annotated[Revision, AfterValidator(_branch)]
Subset = Annotated[
    StrictStr, _editor(rf"^(?! )(?!.* $)(?:(?![<>:/\\|?*]){_VISIBLE})+$", max_length=255), AfterValidator(_subset)
]
Split = Annotated[
    StrictStr, _editor(r"^[^\s\[\]+./\\:-]+(?:\.[^\s\[\]+./\\:-]+)*$", "train", max_length=255), AfterValidator(_split)
]
Column = Annotated[StrictStr, _editor(rf"^(?!\s*$){_VISIBLE}+$", max_length=255), AfterValidator(_column)]
Prose = Annotated[StrictStr, _editor(r"\S", max_length=MAX_PROSE), AfterValidator(_prose)]
Line = Annotated[StrictStr, _editor(rf"^(?!\s*$){_VISIBLE}+$", max_length=500), AfterValidator(_line)]
DataPath = Annotated[
    StrictStr,
    _editor(r"^(?![/~]|[A-Za-z]:)(?!.*://)(?!.*(?:^|/)\.\.(?:/|$))[^\\]{1,1000}$", "data/table.parquet"),
    AfterValidator(_path),
]
Count = Annotated[StrictInt, Field(ge=0)]


class Spec(BaseModel):
    """The base of all specs: frozen, strict about unknown keys, and complete in what it reports.

    `between_fields` yields what is wrong between fields; it sees the values as they were given, of any type, so that
    such problems are reported together with those of the single fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    @classmethod
    def between_fields(cls, values: Mapping[str, Any]) -> Iterator[Rule]:  # noqa: ARG003 - for those that override
        """Yield the place and the sentence of each broken rule; `values` are not validated."""
        yield from ()

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once(cls, values: Any, handler: Callable[[Any], Self]) -> Self:
        if not isinstance(values, Mapping):
            return handler(values)
        found = [_broken(place, sentence) for place, sentence in cls.between_fields(values)]
        try:
            spec = handler(values)
        except ValidationError as error:
            found += [_again(details) for details in _own_problems(error)]
        if found:
            raise ValidationError.from_exception_data(cls.__name__, found, hide_input=True)
        return spec


class Request(Spec):
    """The base of the three kinds of request."""

    kind: ClassVar[Kind]


def _broken(place: tuple[str | int, ...], sentence: str) -> InitErrorDetails:
    problem = PydanticCustomError(BETWEEN_FIELDS, "{sentence}", {"sentence": sentence})
    return InitErrorDetails(type=problem, loc=place, input=None)


def _own_problems(error: ValidationError) -> Iterator[Any]:
    """Leave out that a list or group is too short where all of its items are invalid."""
    details = error.errors(include_url=False)
    around = {each["loc"][:depth] for each in details for depth in range(len(each["loc"]))}
    return (each for each in details if each["type"] != "too_short" or each["loc"] not in around)


def _again(details: Any) -> InitErrorDetails:
    """Turn a reported error back into one that can be raised: rules between fields are unknown to pydantic."""
    context = details.get("ctx", {})
    custom = details["type"] == BETWEEN_FIELDS
    problem = PydanticCustomError(BETWEEN_FIELDS, "{sentence}", context) if custom else details["type"]
    return InitErrorDetails(type=problem, loc=details["loc"], input=details["input"], ctx=context)
