"""Tables as they are sent and as they are afterwards, with their entries in card and spec.json. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hugflow.card.published import CardConfig, CardSplit
from hugflow.card.spec_json import (
    DateRange,
    DistinctList,
    SpecColumn,
    SplitSize,
    TableEntry,
    TimeRange,
    columns_of,
)
from hugflow.hf_client.write.repository import Upload
from hugflow.publish.job import TableJob
from hugflow.publish.layout import (
    folder_of,
)
from hugflow.publish.profile.facts import TableFacts
from hugflow.publish.state import HubConfig


@dataclass(frozen=True, slots=True)
class SentShard:
    """A shard that the Hub has, or would have."""

    rows: int
    size_bytes: int
    uncompressed_bytes: int
    upload: Upload


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """A table as it is published: its facts, and the shards of each split that the request has."""

    job: TableJob
    facts: TableFacts
    splits: Mapping[str, tuple[SentShard, ...]]

    @property
    def name(self) -> str:
        """The config's name."""
        return self.job.name

    @property
    def columns(self) -> tuple[SpecColumn, ...]:
        """The columns with their types as spec.json has them."""
        return columns_of(self.job.features)

    @property
    def size_bytes(self) -> int:
        """The bytes of all its shards."""
        return sum(shard.size_bytes for shards in self.splits.values() for shard in shards)


@dataclass(frozen=True, slots=True)
class FinalSplit:
    """A split after a publish. `uploads` are its files that the commit adds; `kept`: it stays as it was."""

    name: str
    paths: tuple[str, ...]
    patterns: tuple[str, ...]
    rows: int
    size_bytes: int
    uncompressed_bytes: int
    uploads: Mapping[str, Upload]
    kept: bool = False


@dataclass(frozen=True, slots=True)
class FinalTable:
    """A config after a publish, with the splits that it keeps. `before` is the config as it was."""

    table: PublishedTable
    splits: Mapping[str, FinalSplit]
    before: HubConfig | None

    @property
    def name(self) -> str:
        """The config's name."""
        return self.table.name

    @property
    def rows(self) -> int:
        """The rows of all splits."""
        return sum(split.rows for split in self.splits.values())

    @property
    def size_bytes(self) -> int:
        """The bytes of all its files."""
        return sum(split.size_bytes for split in self.splits.values())

    @property
    def uploads(self) -> dict[str, Upload]:
        """The files that the commit adds."""
        return {path: upload for split in self.splits.values() for path, upload in split.uploads.items()}

    @property
    def patterns(self) -> list[str]:
        """The patterns by which the card names its files."""
        return [pattern for split in self.splits.values() for pattern in split.patterns]

    def config(self) -> CardConfig:
        """The config in the card."""
        splits = (
            CardSplit(each.name, each.rows, len(each.paths), each.uncompressed_bytes, each.size_bytes, each.patterns)
            for each in self.splits.values()
        )
        return CardConfig(self.name, folder_of(self.name), self.table.job.features, tuple(splits))

    def entry(self) -> TableEntry:
        """The table's entry in spec.json, but for what earlier rows add to it."""
        facts, table = self.table.facts, self.table.job.table
        days, times = _ranges(facts.date_range)
        return TableEntry(
            name=table.name,
            description=table.description,
            row_count=self.rows,
            size_bytes=self.size_bytes,
            date_range=days,
            time_range=times,
            timestamp_column=facts.timestamp_column,
            interval=table.interval,
            columns=self.table.columns,
            splits={
                split.name: SplitSize(
                    row_count=split.rows,
                    size_bytes=split.size_bytes,
                    path=split.patterns[0] if len(split.patterns) == 1 else split.patterns,
                )
                for split in self.splits.values()
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


def _ranges(both: tuple[str, str] | None) -> tuple[DateRange | None, TimeRange | None]:
    """The days of a table's rows, and the exact times where they are known."""
    if both is None:
        return None, None
    start, end = both
    has_times = "T" in start or "T" in end
    return DateRange(start=start[:10], end=end[:10]), TimeRange(start=start, end=end) if has_times else None
