"""A table as it would be published: from what is remembered of it, else from the sizes of its files."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hugflow.hf_client.write.repository import Upload
from hugflow.model.plan import TablePlan
from hugflow.publish.job import PublishJob, TableJob
from hugflow.publish.ledger import Ledger
from hugflow.publish.profile.facts import TableFacts
from hugflow.publish.sources.opening import Source
from hugflow.publish.state import HubConfig
from hugflow.publish.tables import PublishedTable, SentShard

# Measured on tables of prices and of text, against parquet with zstd; an estimate, not a promise.
_PACKED = {".csv": 0.25, ".tsv": 0.25, ".json": 0.15, ".jsonl": 0.15, ".ndjson": 0.15, ".arrow": 0.4, ".feather": 0.6}
_UNPACKED = 3


def remembered(job: PublishJob, facts: Sequence[TableFacts], ledger: Ledger) -> tuple[PublishedTable, ...] | None:
    """The tables with the shards that an earlier run made of the same files; None where one is missing."""
    tables = []
    for table, one in zip(job.tables, facts, strict=True):
        splits = {}
        for source in table.sources:
            record = ledger.split(f"{source.config}/{source.split}", job.fingerprint(source))
            if not record.complete:
                return None
            splits[source.split] = tuple(
                SentShard(each.rows, each.size_bytes, each.uncompressed_bytes, Upload(each.size_bytes, each.sha256))
                for each in record.shards
            )
        tables.append(PublishedTable(table, one, splits))
    return tuple(tables)


def expected(job: PublishJob, facts: Sequence[TableFacts], ledger: Ledger | None = None) -> tuple[PublishedTable, ...]:
    """The tables with about as many shards, of about such sizes, as will come of them; exactly where `ledger` knows."""
    known = remembered(job, facts, ledger) if ledger else None
    if known is not None:
        return known
    return tuple(_expected(job, table, one) for table, one in zip(job.tables, facts, strict=True))


def _expected(job: PublishJob, table: TableJob, facts: TableFacts) -> PublishedTable:
    splits = {source.split: _shards(job, source, facts.split_rows[source.split]) for source in table.sources}
    return PublishedTable(table, facts, splits)


def _shards(job: PublishJob, source: Source, rows: int) -> tuple[SentShard, ...]:
    suffix = source.files[0].suffix.lower() if source.files else ""
    size = int(source.source_bytes * _PACKED.get(suffix, 1.0))
    limit = job.options.max_shard_bytes
    count = job.options.num_shards or max(1, math.ceil(size / limit) if limit else 1)
    return tuple(
        SentShard(
            rows=rows * (index + 1) // count - rows * index // count,
            size_bytes=size // count,
            uncompressed_bytes=_UNPACKED * size // count,
            upload=Upload(size // count, ""),
        )
        for index in range(count)
    )


def table_plan(table: PublishedTable, before: HubConfig | None) -> TablePlan:
    """A table as plans show it."""
    shards = sum(len(each) for each in table.splits.values())
    return TablePlan(
        name=table.name,
        rows=table.facts.rows,
        size_bytes=table.size_bytes,
        shards=shards,
        rows_before=before.rows if before else None,
    )
