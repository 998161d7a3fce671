"""Specs of requests, validated and frozen, and the names of datasets in storage."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from hugflow.model.publish_spec import PublishSpec
from hugflow.model.spec_types import Column, Count, HfId, Kind, Prose, Request, Revision, Rule, Split, Subset

__all__ = ["SPECS", "AddSpec", "DatasetIdentity", "Kind", "PublishSpec", "RemoveSpec", "Spec", "storage_name"]

MAX_NAME_BYTES = 200


class AddSpec(Request):
    """Download one split of a dataset from the Hub to storage: audio to MP3, everything else to JSON."""

    kind: ClassVar[Kind] = "add"

    hf_id: HfId
    """The dataset's id on the Hub: `org/name`."""
    description: Prose = Field(examples=["Read speech for the dialogue team"])
    """Why the team wants this dataset; shown in the pull request and kept with the dataset."""
    revision: Revision = "main"
    """A branch, tag, commit sha or `refs/pr/N`; resolved once to a commit, which is then kept."""
    subset: Subset | None = None
    """The config of the dataset, where it has several."""
    split: Split = "train"
    """The split to download."""
    audio_column: Column | None = "audio"
    """The column that becomes an MP3 file. `null` asks for JSON only; a dataset without any audio needs no `null`."""
    text_column: Column = "text"
    """The column with the transcript; used for previews and reports."""
    max_failed_rows: Count = 0
    """How many rows may fail before the result counts as partial instead of complete."""
    reencode: StrictBool = False
    """Encode mono MP3 sources again, instead of copying them byte by byte."""

    @property
    def name(self) -> str:
        """The dataset's name in storage."""
        return storage_name(self.hf_id, self.subset, self.split, self.revision)

    def names(self, field: str) -> bool:
        """True when the request itself sets `field`, rather than taking its default."""
        return field in self.model_fields_set


class RemoveSpec(Request):
    """Remove a dataset from storage, or (`target: hub`) one config from a repository on the Hub."""

    kind: ClassVar[Kind] = "remove"

    hf_id: HfId
    """The dataset's id on the Hub: `org/name`."""
    reason: Prose = Field(examples=["Replaced by version 2"])
    """Why it is removed; kept in the archive. No other confirmation is needed."""
    subset: Subset | None = None
    """Only the dataset of this config."""
    split: Split | None = None
    """Only the dataset of this split."""
    revision: Revision | None = None
    """Only the dataset of this revision, as its request named it; with `target: hub` the branch, else `main`."""
    target: Literal["storage", "hub"] = "storage"
    """Where it is removed from."""

    @classmethod
    def between_fields(cls, values: Mapping[str, Any]) -> Iterator[Rule]:
        """`target: hub` deletes one whole config."""
        if values.get("target") != "hub":
            return
        if values.get("subset") is None:
            yield ("target",), "must come with `subset`: `target: hub` deletes one config of the repository, name it"
        if values.get("split") is not None:
            yield ("split",), "must be left out with `target: hub`: it deletes a config with all its splits"

    def matches(self, identity: DatasetIdentity) -> bool:
        """True when a dataset in storage is one that this request selects."""
        return (
            self.hf_id == identity.hf_id
            and (self.subset is None or self.subset == identity.subset)
            and (self.split is None or self.split == identity.split)
            and (self.revision is None or self.revision == identity.revision)
        )


Spec = AddSpec | RemoveSpec | PublishSpec
SPECS: dict[Kind, type[Spec]] = {"add": AddSpec, "remove": RemoveSpec, "publish": PublishSpec}


class DatasetIdentity(BaseModel):
    """Repository, config, split and revision of a dataset in storage."""

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


def is_storage_name(name: str) -> bool:
    """Tell if a text can be a name that `storage_name` gives: one safe path component, which is not hidden."""
    return re.fullmatch(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*", name) is not None and len(name) <= MAX_NAME_BYTES


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
    return _joined(parts)


def repository_name(repo_id: str, revision: str | None = None) -> str:
    """One safe path component for a repository on the Hub, or for a branch of it; never that of a dataset in storage.

    Capitals make no difference to the Hub, and make none here.
    """
    organisation, _, dataset = repo_id.casefold().partition("/")
    parts = ["hub", _escape(organisation), _escape(dataset)]
    return _joined(parts + (["rev_" + _escape(revision)] if revision is not None else []))


def _joined(parts: list[str]) -> str:
    name = "__".join(parts)
    if len(name) > MAX_NAME_BYTES:
        digest = hashlib.sha256(name.encode()).hexdigest()[:24]
        name = f"{name[: MAX_NAME_BYTES - 26]}~~{digest}"
    return name


def _escape(part: str) -> str:
    """Escape unsafe characters, and every `_` that could be read as part of the separator."""
    safe = "".join(
        character if re.match(r"[A-Za-z0-9._-]", character) else "".join(f"~{byte:02x}" for byte in character.encode())
        for character in part
    )
    return re.sub(r"\A_+|_+\Z|_{2,}", lambda match: "~5f" * len(match.group()), safe)
