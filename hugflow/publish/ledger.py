"""The record of uploaded shards and counted tables that lets the next run resume. Losing it costs time, and no data."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from hugflow.model.errors import StorageFault
from hugflow.model.specs import repository_name
from hugflow.publish.profile.facts import TableFacts
from hugflow.storage.disk import NotAFileError, faults, read_regular, refuse_links, write_durably
from hugflow.storage.state import StateDir

LEDGER_SCHEMA_VERSION = 1
OFTEN = 500
"""Above so many shards the file is written once a second, and no longer for each shard."""

_FACTS: TypeAdapter[TableFacts] = TypeAdapter(TableFacts)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShardRecord(_Record):
    """A shard that the Hub has: what a commit needs to name it."""

    rows: int
    size_bytes: int
    uncompressed_bytes: int
    sha256: str


class SplitRecord(_Record):
    """The shards of a split, from the first on. `fingerprint` says of which files and options; `complete`: all."""

    fingerprint: str
    shards: tuple[ShardRecord, ...] = ()
    complete: bool = False


class FactsRecord(_Record):
    """The facts of a table; `fingerprint` says of which files and rules."""

    fingerprint: str
    facts: dict[str, Any]


class Proposal(_Record):
    """The newest pull request: a fingerprint of its contents, and the time that is written in it."""

    fingerprint: str
    at: datetime


class LedgerFile(_Record):
    """The content of `publish/<repository>__rev_<branch>.json`. Splits are named `<config>/<split>`."""

    schema_version: int = LEDGER_SCHEMA_VERSION
    repo_id: str
    revision: str
    splits: dict[str, SplitRecord] = {}
    tables: dict[str, FactsRecord] = {}
    proposal: Proposal | None = None


@dataclass(slots=True)
class Ledger:
    """The record of the publishes to one branch of a repository. Its writer has the repository's lock."""

    path: Path
    repo_id: str
    revision: str
    _splits: dict[str, SplitRecord] = field(default_factory=dict)
    _tables: dict[str, FactsRecord] = field(default_factory=dict)
    _proposal: Proposal | None = None
    _written: float = 0.0

    @classmethod
    def read(cls, state: StateDir, repo_id: str, revision: str) -> Ledger:
        """Read the file; an empty ledger where there is none, or a damaged one. Raises StorageFault for a newer one."""
        path = state.path / "publish" / f"{repository_name(repo_id, revision)}.json"
        content = _read(path)
        if content is None or (content.repo_id, content.revision) != (repo_id, revision):
            return cls(path, repo_id, revision)
        return cls(path, repo_id, revision, dict(content.splits), dict(content.tables), content.proposal)

    # --- shards ----------------------------------------------------------------------------------------------------

    def split(self, name: str, fingerprint: str | None) -> SplitRecord:
        """The shards of a split that the Hub has, if they were made of these very files and options."""
        record = self._splits.get(name)
        if record is None or fingerprint is None or record.fingerprint != fingerprint:
            return SplitRecord(fingerprint=fingerprint or "")
        return record

    def add(self, name: str, fingerprint: str | None, shards: Sequence[ShardRecord], *, complete: bool) -> None:
        """Write the shards of a split, durably."""
        if fingerprint is None:
            return
        self._splits[name] = SplitRecord(fingerprint=fingerprint, shards=tuple(shards), complete=complete)
        if complete or len(shards) <= OFTEN or time.monotonic() - self._written >= 1.0:
            self._write()

    def forget(self) -> None:
        """Forget all shards: the Hub has lost what was uploaded."""
        self._splits.clear()
        self._write()

    # --- facts -----------------------------------------------------------------------------------------------------

    def facts(self, name: str, fingerprint: str | None) -> TableFacts | None:
        """The facts of a table, if they are of these very files and rules."""
        record = self._tables.get(name)
        if record is None or fingerprint is None or record.fingerprint != fingerprint:
            return None
        try:
            return _FACTS.validate_python(record.facts)
        except ValidationError:
            return None

    def count(self, name: str, fingerprint: str | None, facts: TableFacts) -> None:
        """Write the facts of a table, durably."""
        if fingerprint is None:
            return
        self._tables[name] = FactsRecord(fingerprint=fingerprint, facts=_FACTS.dump_python(facts, mode="json"))
        self._write()

    # --- pull requests ---------------------------------------------------------------------------------------------

    def proposed_at(self, fingerprint: str, now: datetime) -> datetime:
        """The time to write in a pull request: where the same was proposed before, that time, so that it is found."""
        if self._proposal is None or self._proposal.fingerprint != fingerprint:
            self._proposal = Proposal(fingerprint=fingerprint, at=now)
            self._write()
        return self._proposal.at

    def _write(self) -> None:
        content = LedgerFile(
            repo_id=self.repo_id,
            revision=self.revision,
            splits=self._splits,
            tables=self._tables,
            proposal=self._proposal,
        )
        refuse_links("remembering what was published", self.path.parent.parent, self.path.parent)
        with faults(f"writing {self.path}"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(self.path, content.model_dump_json(indent=1).encode() + b"\n")
        self._written = time.monotonic()


def _read(path: Path) -> LedgerFile | None:
    doing = f"reading {path}"
    with faults(doing):
        try:
            data = read_regular(path)
        except (FileNotFoundError, NotADirectoryError, NotAFileError):
            return None
    try:
        version = orjson.loads(data)["schema_version"]
        if version <= LEDGER_SCHEMA_VERSION:
            return LedgerFile.model_validate_json(data)
    except (orjson.JSONDecodeError, ValidationError, KeyError, TypeError):
        return None  # it only saves work: the work is done again
    raise StorageFault(
        doing, "it was written by a newer Hugflow", "Upgrade this one, or delete the file.", reason="newer_schema"
    )
