"""Plans of requests, as data: facts from the Hub and from storage, and no I/O.

A `DownloadPlan` also fixes what a run and all its resumes must agree on: the commit, the ordered shards with their
row counts, and the encoder's settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hugflow.model.records import EncoderSettings
from hugflow.model.specs import AddSpec, DatasetIdentity, Kind, PublishSpec, RemoveSpec

PLAN_SCHEMA_VERSION = 1


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Frozen):
    """A column of the split. `kind` is "audio", "image", "text" (strings) or "value" (anything else).

    `nested_audio` are the dotted paths of audio inside of the column's lists and structs, such as `turn.audio`.
    `class_names` are the names of class labels in the order of their ids, by the dotted path of the label.
    """

    name: str
    kind: Literal["audio", "image", "text", "value"]
    type: str
    nested_audio: tuple[str, ...] = ()
    class_names: dict[str, tuple[str, ...]] = {}

    def __hash__(self) -> int:
        """Hash without the dictionary: plans are keys of caches."""
        return hash((self.name, self.kind, self.type, self.nested_audio))


class Shard(_Frozen):
    """One source file of the split.

    `first_row` is the global index of its first row. `groups` are the row counts of its independently readable parts
    (a parquet file's row groups). Both are None for formats whose rows are only counted once the file is fetched.
    `largest_group_bytes` is the unpacked size of the largest row group, where the file's footer tells it.
    `sha256` is that of the file (LFS), or None where the Hub knows only `blob_id`.
    """

    path: str
    size_bytes: int
    sha256: str | None
    blob_id: str | None
    first_row: int | None = None
    groups: tuple[int, ...] | None = None
    largest_group_bytes: int | None = None

    @property
    def rows(self) -> int:
        """The number of rows, as far as they are counted."""
        return sum(self.groups or ())


class ShardCount(_Frozen):
    """The row count of a fetched shard: its first row, its groups, and its schema (base64)."""

    first_row: int
    groups: tuple[int, ...]
    arrow_schema: str


class DownloadPlan(_Frozen):
    """The fixed part of a download, kept in the dataset as `.hugflow/plan.json`.

    `arrow_schema` is the split's schema, as Arrow serialises it, in base64: it gives `metadata.parquet` its types.
    `expected_rows` is what the repository's card says, for formats whose rows are counted only while they are read.
    """

    identity: DatasetIdentity
    sha: str
    format: str
    columns: tuple[Column, ...]
    arrow_schema: str
    audio_column: str | None
    shards: tuple[Shard, ...]
    encoder: EncoderSettings
    expected_rows: int | None = None

    @property
    def is_counted(self) -> bool:
        """Return True if the rows are counted, and not only expected."""
        return all(shard.groups is not None for shard in self.shards)

    @property
    def rows(self) -> int:
        """The number of rows: exact when counted, else as the card says, or as far as is known."""
        known = sum(shard.rows for shard in self.shards)
        return known if self.is_counted else max(known, self.expected_rows or 0)

    @property
    def known_rows(self) -> int | None:
        """The number of rows for people; None while neither a count nor the card tells it."""
        return self.rows if self.is_counted or self.expected_rows else None

    def counted(self, counts: Mapping[int, ShardCount]) -> DownloadPlan:
        """The plan with the row counts of the shards that were fetched, by their index."""
        if not counts:
            return self
        shards = (
            shard.model_copy(update={"first_row": counts[i].first_row, "groups": counts[i].groups})
            if i in counts
            else shard
            for i, shard in enumerate(self.shards)
        )
        return self.model_copy(update={"shards": tuple(shards)})

    @property
    def size_bytes(self) -> int:
        """The number of bytes to fetch from the Hub."""
        return sum(shard.size_bytes for shard in self.shards)


class HubFacts(_Frozen):
    """The Hub's facts about the repository at the resolved commit.

    `remarks` are sentences about files of the repository that the dataset leaves out.
    """

    sha: str
    licence: str | None = None
    gated: bool = False
    private: bool = False
    configs: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class PlanFile(_Frozen):
    """The content of `.hugflow/plan.json`: the fixed plan, and the Hub's facts of that time."""

    schema_version: int = PLAN_SCHEMA_VERSION
    facts: HubFacts
    download: DownloadPlan


class StorageFacts(_Frozen):
    """Free and used space of the server. `quota_bytes` is None where there is no quota; inodes None where unlimited."""

    free_bytes: int
    free_inodes: int | None
    used_bytes: int = 0
    quota_bytes: int | None = None


class Estimate(_Frozen):
    """Estimated needs of a download. Bytes and files on the server, the largest scratch file, seconds."""

    stored_bytes: int
    files: int
    scratch_bytes: int
    seconds: float


class Finding(_Frozen):
    """A remark of the plan or of the policy. `level` "error" stops the request, "approval" waits for a person.

    `field` is the field of the request that it is about, such as `tables[0].quality.unique`; None: the whole of it.
    """

    level: Literal["info", "warning", "approval", "error"]
    message: str
    field: str | None = None


AddAction = Literal["download", "resume", "nothing"]


class AddPlan(_Frozen):
    """The plan of an add request. `max_rows` and `max_stored_bytes` are limits of the policy for its run."""

    request: str
    spec: AddSpec
    name: str
    action: AddAction
    location: str
    facts: HubFacts
    download: DownloadPlan
    rows_done: int = 0
    storage: StorageFacts | None = None
    estimate: Estimate | None = None
    findings: tuple[Finding, ...] = ()
    max_rows: int | None = Field(default=None, exclude=True)
    max_stored_bytes: int | None = Field(default=None, exclude=True)


class RemovePlan(_Frozen):
    """The plan of a remove request: the datasets to remove, with rows and bytes on disk.

    `completed_at` is the time at which the dataset was complete in storage. With `target: hub` the one name is that of
    a config on the Hub, and rows and bytes are those of its files there.
    """

    request: str
    spec: RemoveSpec
    names: tuple[str, ...]
    rows: int = 0
    stored_bytes: int = 0
    completed_at: datetime | None = None
    findings: tuple[Finding, ...] = ()


Effect = Literal["add", "change", "remove", "move", "keep"]


class Difference(_Frozen):
    """A difference between a repository before and after a publish, or a part of it that the request does not name.

    `name` is that of a config, `config/split`, `config.column`, or a path. "move": the old files stay under another
    path. "keep": it stays although the request does not name it.
    """

    effect: Effect
    kind: Literal["config", "split", "column", "file", "version"]
    name: str
    before: str | None = None
    after: str | None = None


class TablePlan(_Frozen):
    """A table that a publish request would write: its rows, and about how many bytes and shards it takes on the Hub.

    `rows_before` are those that the config has on the Hub now; None where that is not known, or it is new.
    """

    name: str
    rows: int
    size_bytes: int
    shards: int = 1
    rows_before: int | None = None


class PublishPlan(_Frozen):
    """The plan of a publish request.

    `action` "create" makes the repository first; "nothing": all of it is on the Hub already. `private` is what the
    repository is, or would be. `version` is that of spec.json afterwards, where it can be told, `version_before` the
    one that it has now. `differences` are those between the repository now and afterwards.
    """

    request: str
    spec: PublishSpec
    action: Literal["create", "update", "nothing"] = "update"
    private: bool = False
    tables: tuple[TablePlan, ...] = ()
    version: str | None = None
    version_before: str | None = None
    differences: tuple[Difference, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def repo_id(self) -> str:
        """The repository on the Hub."""
        return self.spec.repo_id

    @property
    def revision(self) -> str:
        """The branch that is committed to."""
        return self.spec.revision

    @property
    def rows(self) -> int:
        """The number of rows of all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def size_bytes(self) -> int:
        """The number of bytes of all tables."""
        return sum(table.size_bytes for table in self.tables)


Plan = AddPlan | RemovePlan | PublishPlan


def conflicts(fixed: DownloadPlan, wanted: DownloadPlan) -> list[str]:
    """The reasons why a resume of `fixed` under the settings of `wanted` would mix two datasets; empty if none.

    The commit may differ: a resume keeps the one that was fixed.
    """
    problems = []
    if fixed.identity != wanted.identity:
        problems.append(f"it holds {_identity(fixed.identity)}, the request asks for {_identity(wanted.identity)}")
    if fixed.audio_column != wanted.audio_column:
        problems.append(f"audio_column was {fixed.audio_column!r} and is now {wanted.audio_column!r}")
    before, after = asdict(fixed.encoder), asdict(wanted.encoder)
    problems += [f"{key} was {before[key]!r} and is now {after[key]!r}" for key in before if before[key] != after[key]]
    return problems


def is_refused(plan: Plan) -> bool:
    """Return True if the request cannot be carried out: no space, over the quota, a duplicate, a broken rule."""
    return any(finding.level == "error" for finding in plan.findings)


def has_changes(plans: list[Plan]) -> bool:
    """Return True if any of the plans would change something (`plan --detailed-exitcode`)."""
    return any(bool(plan.names) if isinstance(plan, RemovePlan) else plan.action != "nothing" for plan in plans)


def _identity(identity: DatasetIdentity) -> str:
    facts: dict[str, Any] = identity.model_dump(exclude_none=True)
    return ", ".join(f"{key} {value}" for key, value in facts.items())


def kind_of_plan(plan: Plan) -> Kind:
    """The kind of the request of a plan."""
    if isinstance(plan, AddPlan):
        return "add"
    return "remove" if isinstance(plan, RemovePlan) else "publish"


def name_of_plan(plan: Plan) -> str:
    """The subject of a plan: the dataset, the datasets, or the repository."""
    if isinstance(plan, AddPlan):
        return plan.name
    return ", ".join(plan.names) if isinstance(plan, RemovePlan) else plan.repo_id
