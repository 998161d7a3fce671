"""Reads repositories of the Hub, each in a process of its own with limits (`limited_process`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from hugflow.hf_client.http import Hub
from hugflow.hf_client.read.fetch import fetch_shard
from hugflow.hf_client.read.limited_process import LimitedProcess, ProcessLimits, report_outage, sleep_uncounted
from hugflow.model.plan import Column, DownloadPlan, HubFacts
from hugflow.model.records import EncoderSettings
from hugflow.model.specs import AddSpec
from hugflow.request.file import ParsedRequest

FOLDERS = frozenset({"audiofolder", "imagefolder"})
PLAN_DISK_BYTES = 1 << 30
UNPACKED_PER_BYTE = 20
"""How much larger than its file a shard may become while it is unpacked, beyond `PLAN_DISK_BYTES`."""

_CALLS = "hugflow.hf_client.read.limited_calls"

FetchRows = Callable[[int, Path], Path]


@dataclass(frozen=True, slots=True)
class Resolved:
    """A request's dataset at one commit: facts for people, and the plan that all runs of it share."""

    facts: HubFacts
    download: DownloadPlan


@dataclass(frozen=True, slots=True)
class SplitSummary:
    """One split, as `hugflow inspect` shows it. `rows` is None where only a download can tell."""

    config: str
    split: str
    format: str
    rows: int | None
    size_bytes: int
    shards: int
    columns: tuple[Column, ...]


def audio_column(spec: AddSpec, columns: Iterable[Column]) -> str | None:
    """The column to convert to MP3 files, or None for a dataset without audio. `check_columns` has refused the rest."""
    return spec.audio_column if any(column.name == spec.audio_column for column in columns) else None


@dataclass(frozen=True, slots=True)
class RepositoryReader:
    """Starts the processes that read repositories.

    `environment` is all that they are given of it. `plan_limits` are those of a whole plan; `row_limits` those of
    making a shard's rows, where the time counts for every table of rows by itself.
    """

    environment: Mapping[str, str]
    plan_limits: ProcessLimits
    row_limits: ProcessLimits

    def resolve(
        self, hub: Hub, request: ParsedRequest, spec: AddSpec, encoder: EncoderSettings, *, sha: str | None = None
    ) -> Resolved:
        """Resolve an add request, at the commit of its revision or at `sha` if given.

        Raises InvalidRequestFile (config, split, column), NotFoundError (repository, revision), AuthenticationError,
        UnreadableSource, Transient.
        """
        doing = f"planning {spec.hf_id}"
        return cast("Resolved", self._once(doing, hub, "resolve", request, spec, encoder, sha))

    def inspect(self, hub: Hub, hf_id: str, revision: str) -> tuple[HubFacts, list[SplitSummary]]:
        """The contents of a repository: facts, and each split of each config. Raises as `resolve` does."""
        found = self._once(f"inspecting {hf_id}", hub, "inspect", hf_id, revision)
        return cast("tuple[HubFacts, list[SplitSummary]]", found)

    def _once(self, doing: str, hub: Hub, function: str, *args: Any) -> Any:
        with (
            TemporaryDirectory(prefix="hugflow-") as scratch,
            LimitedProcess.start(Path(scratch), self.plan_limits, self.environment) as process,
        ):
            return process.call(
                doing,
                f"{_CALLS}:{function}",
                hub.for_process(sleep_uncounted, report_outage),
                *args,
                wait=hub.sleep,
                disk_bytes=PLAN_DISK_BYTES,
                on_outage=hub.on_outage,
            )

    @contextmanager
    def rows(self, hub: Hub, plan: DownloadPlan) -> Iterator[FetchRows]:
        """Fetch shards of a format other than parquet, and convert each to a parquet file, one at a time.

        What is given out raises Transient, AuthenticationError, UnreadableSource, StorageFault.
        """
        hf_id, packed = plan.identity.hf_id, plan.model_dump_json()
        with (
            TemporaryDirectory(prefix="hugflow-") as scratch,
            LimitedProcess.start(Path(scratch), self.row_limits, self.environment) as process,
        ):

            def fetch_rows(index: int, folder: Path) -> Path:
                shard = plan.shards[index]
                if plan.format in FOLDERS:
                    folder.mkdir(parents=True, exist_ok=True)
                else:
                    fetch_shard(hub, hf_id, plan.sha, shard, folder / "source")
                path = process.call(
                    f"reading {shard.path or 'the folders'} of {hf_id}",
                    f"{_CALLS}:make_rows",
                    hub.for_process(sleep_uncounted, report_outage),
                    packed,
                    index,
                    folder,
                    wait=hub.sleep,
                    disk_bytes=PLAN_DISK_BYTES + UNPACKED_PER_BYTE * shard.size_bytes,
                    folders=[folder],
                    on_outage=hub.on_outage,
                )
                return cast("Path", path)

            yield fetch_rows
