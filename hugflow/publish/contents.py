"""Files of a repository after a publish, and their differences from the files that it has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from hugflow.card import published as dataset_card
from hugflow.card import spec_json
from hugflow.card.published import BuiltCard, CardConfig, CardSplit
from hugflow.card.spec_json import DateRange, DistinctList, SpecJson, SplitSize, TableEntry, columns_of
from hugflow.hf_client.write.repository import Head, Repository, Upload
from hugflow.model.publish_spec import PublishSpec
from hugflow.publish.commit import Changes, pending
from hugflow.publish.job import TableJob
from hugflow.publish.layout import CARD_FILE, SPEC_FILE, backups, is_backup, stale
from hugflow.publish.profile.facts import TableFacts
from hugflow.publish.shards import shard_path


@dataclass(frozen=True, slots=True)
class SentShard:
    """A shard that the Hub has, or would have."""

    rows: int
    size_bytes: int
    uncompressed_bytes: int
    upload: Upload


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """A table as it is published: its facts, and the shards of each split."""

    job: TableJob
    facts: TableFacts
    splits: Mapping[str, tuple[SentShard, ...]]

    @property
    def files(self) -> dict[str, Upload]:
        """The table's files by their paths in the repository."""
        return {
            shard_path(self.job.name, split, index, len(shards)): shard.upload
            for split, shards in self.splits.items()
            for index, shard in enumerate(shards)
        }

    @property
    def patterns(self) -> list[str]:
        """The patterns by which the card names the table's files."""
        folder = self.job.table.folder
        return [dataset_card.files_of(folder, split, len(shards)) for split, shards in self.splits.items()]

    @property
    def size_bytes(self) -> int:
        """The bytes of all its files."""
        return sum(shard.size_bytes for shards in self.splits.values() for shard in shards)

    def entry(self) -> TableEntry:
        """The table's entry in spec.json."""
        facts, table = self.facts, self.job.table
        return TableEntry(
            name=table.name,
            description=table.description,
            row_count=facts.rows,
            size_bytes=self.size_bytes,
            date_range=DateRange(start=facts.date_range[0], end=facts.date_range[1]) if facts.date_range else None,
            timestamp_column=facts.timestamp_column,
            interval=table.interval,
            columns=columns_of(self.job.features),
            splits={
                split: SplitSize(row_count=facts.split_rows[split], size_bytes=sum(each.size_bytes for each in shards))
                for split, shards in self.splits.items()
            },
            missing_cells=facts.missing,
            distinct={
                name: DistinctList(
                    column=each.column,
                    count=each.count,
                    values=each.values,
                    sample=each.sample if each.values is None else None,  # else it is the beginning of the values
                )
                for name, each in facts.distinct.items()
            },
        )

    def config(self) -> CardConfig:
        """The table's config in the card."""
        splits = (
            CardSplit(
                name=split,
                rows=self.facts.split_rows[split],
                shards=len(shards),
                uncompressed_bytes=sum(each.uncompressed_bytes for each in shards),
                size_bytes=sum(each.size_bytes for each in shards),
            )
            for split, shards in self.splits.items()
        )
        return CardConfig(self.job.name, self.job.table.folder, self.job.features, tuple(splits))


@dataclass(frozen=True, slots=True)
class Contents:
    """The tables, card and spec.json that a publish writes. `now` is the time in spec.json if anything changes."""

    repository: Repository
    spec: PublishSpec
    tables: tuple[PublishedTable, ...]
    now: datetime

    def read_changes(self, head: Head) -> tuple[Changes, SpecJson]:
        """Read card and spec.json of a head; returns its changes in one commit, and the new spec.json.

        Raises InvalidRequest for a card that the Hub would refuse.
        """
        old, card = self._read_spec(head), self._read(head, CARD_FILE)
        data = self._data(head, old)
        merged = self.new_spec(old)
        if old is not None and spec_json.same_but_times(old, merged) and not has_changes(head, data):
            merged = old  # the data is as old as it was
        texts: dict[str, Upload | bytes] = {CARD_FILE: self.card(card, merged).content}
        if merged is not old:
            texts[SPEC_FILE] = spec_json.write(merged)
        return Changes(adds={**data.adds, **texts}, deletes=data.deletes, copies=data.copies), merged

    @property
    def fingerprint(self) -> str:
        """A hash of everything that is published, without the time."""
        files = {path: upload.sha256 for table in self.tables for path, upload in table.files.items()}
        entries = [table.entry().model_dump(mode="json") for table in self.tables]
        parts = [files, entries, self.spec.model_dump(mode="json")]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def new_spec(self, old: SpecJson | None) -> SpecJson:
        """The spec.json that would be written now."""
        entries = [table.entry() for table in self.tables]
        return spec_json.merge(old, entries, self.now, pipeline_version=self.spec.pipeline_version)

    def card(self, old: bytes | None, spec: SpecJson) -> BuiltCard:
        """The card that would be written. Raises InvalidRequest where the Hub would refuse it."""
        configs = [table.config() for table in self.tables]
        return dataset_card.build(old, self.spec.repo_id, self.spec.description, self.spec.card, configs, spec)

    def read_preview(self, head: Head | None) -> tuple[SpecJson, BuiltCard]:
        """Read spec.json and card of a head; returns the new ones, with the same errors as `read_changes`."""
        old, card = (self._read_spec(head), self._read(head, CARD_FILE)) if head else (None, None)
        merged = self.new_spec(old)
        return merged, self.card(card, merged)

    def touches(self, path: str) -> bool:
        """True if this publish may replace the file: nobody else may have changed it meanwhile."""
        return is_backup(path) or any(path.startswith(f"{table.job.table.folder}/") for table in self.tables)

    def _data(self, head: Head, old: SpecJson | None) -> Changes:
        """The changes of all files but the two that describe them."""
        adds: dict[str, Upload | bytes] = {}
        deletes: set[str] = set()
        for table in self.tables:
            adds |= table.files
            deletes |= stale(head.files, table.job.name, table.files, table.patterns)
        return Changes(adds=adds, deletes=frozenset(deletes), copies=self._backups(head, old))

    def _backups(self, head: Head, old: SpecJson | None) -> dict[str, str]:
        """Copies of the files of the version that the new one breaks with."""
        if old is None or spec_json.change(old, [table.entry() for table in self.tables]) != "major":
            return {}
        return backups(head.files, [table.name for table in old.tables], old.major)

    def _read_spec(self, head: Head) -> SpecJson | None:
        content = self._read(head, SPEC_FILE)
        return spec_json.read(content) if content is not None else None

    def _read(self, head: Head, path: str) -> bytes | None:
        return self.repository.read(path, head.sha) if path in head.files else None


def has_changes(head: Head, changes: Changes) -> bool:
    """True if the changes make a difference to a head."""
    return bool(pending(head, changes))
