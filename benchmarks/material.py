"""Inputs of the benchmarks: spoken clips, and datasets whose shards are in scratch as if just fetched."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import soxr
from numpy.typing import NDArray

from benchmarks.measure import Pause, Sample, sample
from hugflow.download.pool import PoolSettings
from hugflow.download.run import DownloadRun, RunContext
from hugflow.formats.rows import schema_text
from hugflow.hf_client.http import Hub
from hugflow.hf_client.read.limited_process import ProcessLimits
from hugflow.hf_client.read.repository_reader import RepositoryReader
from hugflow.model.events import Event, Progress
from hugflow.model.plan import AddPlan, Column, DownloadPlan, HubFacts, Shard
from hugflow.model.records import EncoderSettings
from hugflow.model.specs import AddSpec, DatasetIdentity
from hugflow.storage.state import StateDir
from hugflow.storage.storage_root import Storage

CLIPS = Path(__file__).resolve().parent.parent / "examples" / "clips"
SAMPLE_RATE = 16_000
CLIP_S = 9
AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
ROW_GROUP = 100
"""Rows in a row group: what the Hub's own tools write for audio."""


def clips(count: int) -> list[NDArray[np.int16]]:
    """So many different clips of 9 s of synthesised speech, 16 kHz, mono: 148 kB as FLAC, where LibriSpeech has 151."""
    voices = [_voice(path) for path in sorted([*CLIPS.glob("*.wav"), *CLIPS.glob("*.flac")])]
    return [_clip(voices, number) for number in range(count)]


def _voice(path: Path) -> NDArray[np.float32]:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(samples.mean(axis=1), rate, SAMPLE_RATE), np.float32)


def _clip(voices: list[NDArray[np.float32]], number: int) -> NDArray[np.int16]:
    random = np.random.default_rng(number)
    speech = np.concatenate([voices[i] for i in random.permutation(len(voices))])
    speech = np.resize(speech, CLIP_S * SAMPLE_RATE) * random.uniform(0.5, 0.9)
    return np.rint(np.clip(speech, -0.99, 0.99) * 32767).astype(np.int16)


def audio_file(pcm: NDArray[np.int16], container: str) -> bytes:
    """A clip as a file of 16 bits: "FLAC" or "WAV"."""
    file = io.BytesIO()
    soundfile.write(file, pcm, SAMPLE_RATE, format=container, subtype="PCM_16")
    return file.getvalue()


def audio_table(files: list[bytes], suffix: str, first: int, stop: int) -> pa.Table:
    """Rows `first`..`stop` of a speech dataset: audio, which repeats `files`, and its text."""
    cells = [{"bytes": files[row % len(files)], "path": f"clip{row:07}{suffix}"} for row in range(first, stop)]
    return pa.table({"audio": pa.array(cells, AUDIO), "text": [_text(row) for row in range(first, stop)]})


def value_table(first: int, stop: int) -> pa.Table:
    """Rows `first`..`stop` of a dataset without audio."""
    rows = range(first, stop)
    return pa.table({"id": list(rows), "text": [_text(row) for row in rows], "score": [row / 7 for row in rows]})


def _text(row: int) -> str:
    return f"Row {row:,}: she lit a lantern and walked home along the quiet harbour, counting the boats as she went."


@dataclass(frozen=True, slots=True)
class Run:
    """A download run of `rows` rows: its start and end, and when its first and last rows were recorded.

    The moments are of the machine's own clock, in seconds; `first` and `last` have the number of rows then.
    Processor time is known of the whole only; `steady` has its share of it.
    """

    rows: int
    cpu_s: float
    began: float
    first: tuple[float, int]
    last: tuple[float, int]
    ended: float

    @property
    def whole(self) -> Sample:
        """Rows and seconds of the whole run."""
        return Sample(self.rows, self.ended - self.began, self.cpu_s)

    @property
    def steady(self) -> Sample:
        """Rows and seconds between the first and the last recorded rows."""
        rows = self.last[1] - self.first[1]
        return Sample(rows, self.last[0] - self.first[0], self.cpu_s * rows / self.rows)

    @property
    def before_first_s(self) -> float:
        """Seconds until the first rows were recorded."""
        return self.first[0] - self.began

    @property
    def after_last_s(self) -> float:
        """Seconds from the last recorded rows to the end of the run."""
        return self.ended - self.last[0]

    def without(self, pauses: Sequence[Pause]) -> Run:
        """The run as if the pauses had taken no time."""

        def earlier(moment: float) -> float:
            return moment - sum(min(moment, stop) - start for start, stop in pauses if start < moment)

        (first, first_rows), (last, last_rows) = self.first, self.last
        return replace(
            self,
            began=earlier(self.began),
            first=(earlier(first), first_rows),
            last=(earlier(last), last_rows),
            ended=earlier(self.ended),
        )


@dataclass(slots=True)
class Commits:
    """A reporter that notes when rows were recorded."""

    seen: list[tuple[float, int]] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        """Note the time and the number of rows so far."""
        if isinstance(event, Progress):
            self.seen.append((time.perf_counter(), event.rows_done))


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset that is still to be downloaded; its verified shards are in scratch, so the Hub is not called."""

    folder: Path
    plan: AddPlan

    @classmethod
    def build(cls, folder: Path, tables: Iterable[pa.Table]) -> Dataset:
        """Write the shards, one a table, and plan their download."""
        spec = AddSpec(hf_id="acme/bench", description="What a benchmark downloads")
        scratch = Storage(folder / "storage").dataset(spec.name).scratch
        shards: list[Shard] = []
        for index, table in enumerate(tables):
            path = Path("data") / f"train-{index:05}.parquet"
            place = scratch / f"shard-{index}" / path
            place.parent.mkdir(parents=True)
            pq.write_table(table, place, row_group_size=ROW_GROUP)
            shards.append(_shard(place, path.as_posix(), sum(shard.rows for shard in shards), table.num_rows))
        return cls(folder, _plan(spec, table.schema, tuple(shards)))

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.plan.download.rows

    def download(self, workers: int) -> Run:
        """Convert all rows, and finish the dataset."""
        commits = Commits()
        context = RunContext(
            hub=Hub("http://127.0.0.1:9"),
            reader=RepositoryReader({}, ProcessLimits(700_000_000, 40), ProcessLimits(2_000_000_000, 600)),
            storage=Storage(self.folder / "storage"),
            state=StateDir(self.folder / "state"),
            pool=PoolSettings(workers, row_timeout_s=300, memory_bytes=0),
            max_concurrent_downloads=5,
            cleanup_progress=False,
            actor="benchmark",
            emit=commits,
            should_stop=lambda: False,
            now=lambda: datetime.now(UTC),
        )
        began = time.perf_counter()
        whole = sample(self.rows, lambda: _complete(DownloadRun(self.plan, context)))
        return Run(self.rows, whole.cpu_s, began, commits.seen[0], commits.seen[-1], began + whole.wall_s)


def _complete(run: DownloadRun) -> None:
    result = run.run()
    if result.status != "complete":
        raise RuntimeError(f"the benchmark's download ended as {result.status}: {result.error}")


def _shard(place: Path, path: str, first_row: int, rows: int) -> Shard:
    data = place.read_bytes()
    groups = tuple(min(ROW_GROUP, rows - start) for start in range(0, rows, ROW_GROUP))
    digest = hashlib.sha256(data).hexdigest()
    return Shard(path=path, size_bytes=len(data), sha256=digest, blob_id=None, first_row=first_row, groups=groups)


def _plan(spec: AddSpec, schema: pa.Schema, shards: tuple[Shard, ...]) -> AddPlan:
    sha = "0" * 40
    columns = tuple(
        Column(name=field.name, kind="audio" if field.name == "audio" else "value", type=str(field.type))
        for field in schema
    )
    download = DownloadPlan(
        identity=DatasetIdentity.of(spec),
        sha=sha,
        format="parquet",
        columns=columns,
        arrow_schema=schema_text(schema),
        audio_column="audio" if "audio" in schema.names else None,
        shards=shards,
        encoder=EncoderSettings(),
    )
    return AddPlan(
        request="requests/add/bench.yaml",
        spec=spec,
        name=spec.name,
        action="download",
        location="",
        facts=HubFacts(sha=sha),
        download=download,
    )
