"""What a request asks for, validated and frozen, and the name under which storage knows it."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)

Kind = Literal["add", "remove", "publish"]

MAX_NAME_BYTES = 200
_HF_ID_PART = re.compile(r"\w(?:[\w.-]*\w)?\Z", re.ASCII)
_SPLIT = re.compile(r"\w+(?:\.\w+)*\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def _hf_id(value: str) -> str:
    if value.startswith(("http://", "https://", "hf://")):
        raise ValueError("write only the id, like `org/name`, not an address")
    parts = value.split("/")
    if len(parts) != 2:  # noqa: PLR2004 - an id is `org/name`
        raise ValueError("must be `org/name`, with one slash")
    for part in parts:
        if not _HF_ID_PART.match(part) or ".." in part or "--" in part:
            raise ValueError(
                "must be `org/name` of letters, digits, `-`, `_` and `.`, each part beginning and ending with a "
                "letter, a digit or `_`, without `--` or `..`"
            )
    if len(value) > 96:  # noqa: PLR2004 - the Hub's own limit
        raise ValueError("must have at most 96 characters")
    return value


def _revision(value: str) -> str:
    if not value.strip() or value != value.strip() or re.search(r"[\s~^:?*\[\\\x00-\x1f\x7f]", value):
        raise ValueError("must be a branch, a tag, a commit sha or `refs/pr/N`, without spaces or any of ~^:?*[\\")
    if value.startswith(("-", "/", ".")) or value.endswith(("/", ".", ".lock")) or ".." in value or "//" in value:
        raise ValueError(
            "is no valid Git revision: no leading `-`, `/` or `.`, no trailing `/` or `.`, no `..` or `//`"
        )
    if len(value) > 255:  # noqa: PLR2004
        raise ValueError("must have at most 255 characters")
    return value


def _subset(value: str) -> str:
    if not value or value != value.strip():
        raise ValueError(
            "must not be empty or begin or end with a space; leave the line out for a dataset without configs"
        )
    if _CONTROL.search(value) or re.search(r"[<>:/\\|?*]", value):
        raise ValueError("is the name of a config, without control characters or any of <>:/\\|?*")
    return value


def _split(value: str) -> str:
    if "[" in value or "+" in value:
        raise ValueError("names a whole split, like `train`; slices such as `train[:10%]` are not supported")
    if not _SPLIT.match(value):
        raise ValueError("is the name of a split: letters, digits, `_` and single dots")
    return value


def _column(value: str) -> str:
    if not value or _CONTROL.search(value):
        raise ValueError("is the name of a column; it must not be empty or have control characters")
    return value


def _prose(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty: a sentence for the people who read the pull request")
    return value


HfId = Annotated[StrictStr, AfterValidator(_hf_id)]
Revision = Annotated[StrictStr, AfterValidator(_revision)]
Subset = Annotated[StrictStr, AfterValidator(_subset)]
Split = Annotated[StrictStr, AfterValidator(_split)]
Column = Annotated[StrictStr, Field(max_length=255), AfterValidator(_column)]
Prose = Annotated[StrictStr, Field(max_length=10_000), AfterValidator(_prose)]


class Spec(BaseModel):
    """The base of all request specs: frozen, and strict about keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    kind: ClassVar[Kind]


class AddSpec(Spec):
    """Download one split of a dataset from the Hub to storage: audio to MP3, everything else to JSON."""

    kind: ClassVar[Kind] = "add"

    hf_id: HfId
    """The dataset's id on the Hub: `org/name`."""
    description: Prose
    """Why the team wants this dataset; shown in the pull request and kept with the dataset."""
    revision: Revision = "main"
    """A branch, tag, commit sha or `refs/pr/N`; resolved once to a commit, which is then kept."""
    subset: Subset | None = None
    """The config of the dataset, where it has several."""
    split: Split = "train"
    """The split to download."""
    audio_column: Column = "audio"
    """The column that becomes an MP3 file. A dataset without audio columns gives JSON only."""
    text_column: Column = "text"
    """The column with the transcript; used for previews, reports and exports."""
    max_failed_rows: Annotated[StrictInt, Field(ge=0)] = 0
    """How many rows may fail before the result counts as partial instead of complete."""
    reencode: StrictBool = False
    """Encode mono MP3 sources again, instead of copying them byte by byte."""

    @property
    def name(self) -> str:
        """The dataset's name in storage."""
        return storage_name(self.hf_id, self.subset, self.split, self.revision)

    def names(self, field: str) -> bool:
        """Whether the request itself names `field`, rather than taking its default."""
        return field in self.model_fields_set


class RemoveSpec(Spec):
    """Remove a dataset from storage, or (`target: hub`) one config from a repository on the Hub."""

    kind: ClassVar[Kind] = "remove"

    hf_id: HfId
    """The dataset's id on the Hub: `org/name`."""
    reason: Prose
    """Why it goes; kept in the archive. The request with its reason is the consent: nothing else is asked."""
    subset: Subset | None = None
    """Only the dataset of this config."""
    split: Split | None = None
    """Only the dataset of this split."""
    revision: Revision | None = None
    """Only the dataset of this revision, as its request named it."""
    target: Literal["storage", "hub"] = "storage"
    """Where it is removed from."""

    @model_validator(mode="after")
    def _hub_target_names_a_config(self) -> Self:
        if self.target == "hub" and self.subset is None:
            raise ValueError("`target: hub` deletes one config of the repository: name it with `subset`")
        return self

    def matches(self, identity: DatasetIdentity) -> bool:
        """Whether a dataset in storage is one that this request speaks of."""
        return (
            self.hf_id == identity.hf_id
            and (self.subset is None or self.subset == identity.subset)
            and (self.split is None or self.split == identity.split)
            and (self.revision is None or self.revision == identity.revision)
        )


class DatasetIdentity(BaseModel):
    """Which dataset a folder in storage holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    hf_id: str
    subset: str | None
    split: str
    revision: str

    @classmethod
    def of(cls, spec: AddSpec) -> DatasetIdentity:
        """The identity that an add request describes."""
        return cls(hf_id=spec.hf_id, subset=spec.subset, split=spec.split, revision=spec.revision)

    @property
    def name(self) -> str:
        """The dataset's name in storage."""
        return storage_name(self.hf_id, self.subset, self.split, self.revision)


def storage_name(hf_id: str, subset: str | None, split: str, revision: str) -> str:
    """One safe path component for a dataset: `org__dataset[__subset_X]__split_Y__rev_Z`.

    Different datasets never share a name: inside a part every byte but ASCII letters, digits, `.`, `-` and a
    single inner `_` is written `~XX` (hexadecimal), so that `__` only ever separates parts. A name over
    `MAX_NAME_BYTES` keeps its beginning and ends with `~~` and a hash of the whole.
    """
    organisation, _, dataset = hf_id.partition("/")
    parts = [_escape(organisation), _escape(dataset)]
    if subset is not None:
        parts.append("subset_" + _escape(subset))
    parts += ["split_" + _escape(split), "rev_" + _escape(revision)]
    name = "__".join(parts)
    if len(name) > MAX_NAME_BYTES:
        digest = hashlib.sha256(name.encode()).hexdigest()[:24]
        name = f"{name[: MAX_NAME_BYTES - 26]}~~{digest}"
    return name


def _escape(part: str) -> str:
    """Escape what is unsafe, and every `_` that could be taken for a part of the separator."""
    safe = "".join(
        character if re.match(r"[A-Za-z0-9._-]", character) else "".join(f"~{byte:02x}" for byte in character.encode())
        for character in part
    )
    return re.sub(r"\A_+|_+\Z|_{2,}", lambda match: "~5f" * len(match.group()), safe)


SPECS: dict[Kind, type[Spec]] = {"add": AddSpec, "remove": RemoveSpec}


def spec_fields(kind: Kind) -> dict[str, Any]:
    """The fields of a request kind, by name, as pydantic describes them."""
    return dict(SPECS[kind].model_fields)
