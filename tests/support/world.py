"""Helpers of the integration tests: datasets packed for the Hub, runs of the real command, checks of trees."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from numpy.typing import NDArray

from localhub import LocalHub
from tests.support.warm import WarmRun, WarmStarts

AUDIO_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES = {"audio": {"_type": "Audio"}, "image": {"_type": "Image"}}
DRIVER_WAIT_S = 60


# -- datasets as they lie on the Hub ---------------------------------------------------------------------------------


def clip(seed: int, seconds: float = 0.6, rate: int = 16_000, channels: int = 1) -> NDArray[np.int16]:
    """Something like a voice: harmonics of a gliding pitch, breath, syllables. Shape (N,) or (N, channels)."""
    random = np.random.default_rng(seed)
    at = np.arange(round(seconds * rate)) / rate
    pitch = random.uniform(90, 220) * (1 + 0.1 * np.sin(2 * np.pi * random.uniform(0.5, 3) * at))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    tone = sum(np.sin(k * phase + random.uniform(0, 6)) / k for k in range(1, 9))
    sound = (tone + 0.02 * random.standard_normal(len(at))) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * at)) * 0.2
    whole = np.stack([sound * (1 - 0.3 * channel) for channel in range(channels)], 1)
    pcm = np.rint(np.clip(whole, -0.9, 0.9) * 32767).astype(np.int16)
    return pcm[:, 0] if channels == 1 else pcm


def sound_file(pcm: NDArray[np.int16], rate: int = 16_000, kind: str = "WAV", subtype: str = "PCM_16") -> bytes:
    """The bytes of a file that holds these samples."""
    file = io.BytesIO()
    soundfile.write(file, pcm / 32768, rate, format=kind, subtype=subtype)
    return file.getvalue()


def audio_cell(data: bytes | None, path: str | None = None) -> dict[str, Any]:
    """A cell as `datasets` stores it."""
    return {"bytes": data, "path": path}


def features_of(special: Mapping[str, str]) -> bytes:
    """The metadata that tells `datasets` which columns are audio or images; the others it knows by their type."""
    return json.dumps({"info": {"features": {name: FEATURES[kind] for name, kind in special.items()}}}).encode()


def table_of(rows: Sequence[Mapping[str, Any]], audio: Sequence[str] = ("audio",)) -> pa.Table:
    """Rows as a table; the columns in `audio` that there are get the type and the feature of audio."""
    names = list(rows[0])
    special = {name: "audio" for name in audio if name in names}
    arrays = [pa.array([row[name] for row in rows], AUDIO_TYPE if name in special else None) for name in names]
    table = pa.Table.from_arrays(arrays, names=names)
    if not special:
        return table
    return table.replace_schema_metadata({b"huggingface": features_of(special)})


def pack(
    folder: Path, tables: Mapping[str, pa.Table], *, shards: int = 1, group_rows: int = 100, card: str = ""
) -> Path:
    """A dataset repository with a split per table, cut into `shards` parquet files; returns `folder`."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    for split, table in tables.items():
        cuts = [round(number * table.num_rows / shards) for number in range(shards + 1)]
        for number in range(shards):
            part = table.slice(cuts[number], cuts[number + 1] - cuts[number])
            pq.write_table(part, data / f"{split}-{number:05}-of-{shards:05}.parquet", row_group_size=group_rows)
    if card:
        (folder / "README.md").write_text(card)
    return folder


# -- the command -----------------------------------------------------------------------------------------------------


@dataclass
class Done:
    """How a run of the command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one strict JSON object on stdout."""
        return strict_json(self.out)

    @property
    def result(self) -> dict[str, Any]:
        """The result of the one request that was executed."""
        (result,) = self.json["results"]
        return result

    def ok(self) -> Done:
        """Itself, if it ended well."""
        assert self.code == 0, f"exit code {self.code}\n{self.out}\n{self.err}"
        return self


@dataclass
class World:
    """A checkout with storage and state of its own, beside a Hub; `run` is the real command in it."""

    folder: Path
    hub: LocalHub
    environ: dict[str, str]
    secrets: Mapping[str, str]
    repositories: int = 0
    settings: dict[str, str] = field(default_factory=dict)
    starts: WarmStarts | None = None
    outputs: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    def make(
        cls,
        folder: Path,
        hub: LocalHub,
        environ: dict[str, str],
        secrets: Mapping[str, str],
        starts: WarmStarts | None = None,
    ) -> World:
        """An empty checkout in `folder`, with one worker (quick to start), that waits little between attempts.

        With `starts`, runs are forks of a process that has imported everything.
        """
        checkout = folder / "checkout"
        checkout.mkdir()
        settings = {"WORKERS": "1", "RETRY_BACKOFF": "0.05", "OUTAGE_PATIENCE": "0"}
        return cls(checkout, hub, environ | settings, secrets, starts=starts)

    @property
    def storage(self) -> Path:
        return self.folder / "datasets"

    @property
    def state(self) -> Path:
        return self.folder / ".hugflow-state"

    @property
    def processed(self) -> Path:
        return self.folder / "processed"

    @property
    def env(self) -> dict[str, str]:
        """The environment that runs get."""
        return self.environ | {"HF_ENDPOINT": self.hub.url, "PROCESSED_ROOT": str(self.processed)} | self.settings

    def serve(self, hf_id: str, rows: Sequence[Mapping[str, Any]] | Mapping[str, pa.Table], **packing: Any) -> str:
        """Put rows (of the split `train`), or splits, on the Hub; returns the commit."""
        tables = rows if isinstance(rows, Mapping) else {"train": table_of(rows)}
        self.repositories += 1
        folder = self.folder.parent / f"repository-{self.repositories}"
        return self.hub.add_dataset(hf_id, pack(folder, tables, **packing))

    def new_id(self) -> str:
        """An id that no other test of the file gives to a dataset."""
        self.repositories += 1
        return f"acme/{re.sub('[^a-z0-9]+', '-', self.folder.parent.name.lower())[-60:].strip('-')}-{self.repositories}"

    def downloaded(self, rows: Sequence[Mapping[str, Any]] | Mapping[str, pa.Table], **fields: Any) -> Stored:
        """Serve rows as a dataset, and download it by a request with `fields`."""
        hf_id = self.new_id()
        self.serve(hf_id, rows)
        return self.dataset(self.sync(self.add(hf_id, **fields)).ok().result["name"])

    def add(self, hf_id: str, name: str = "one", **fields: Any) -> str:
        """Write an add request; returns its path from the checkout."""
        return self.request("add", name, {"hf_id": hf_id, "description": "For the tests.", **fields})

    def remove(self, hf_id: str, name: str = "gone", **fields: Any) -> str:
        """Write a remove request; returns its path from the checkout."""
        return self.request("remove", name, {"hf_id": hf_id, "reason": "Not needed any more.", **fields})

    def request(self, kind: str, name: str, fields: Mapping[str, Any]) -> str:
        path = Path("requests") / kind / f"{name}.yaml"
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in fields.items()))
        return str(path)

    def run(self, *arguments: str, timeout: float = 180, **environ: str) -> Done:
        """Run the command to its end. No secret may be in what it prints."""
        with self.running(*arguments, **environ) as process:
            out, err = process.communicate(timeout=timeout)
        self.check_no_secret(out, err)
        assert process.returncode is not None
        return Done(process.returncode, out, err)

    def sync(self, request: str, *arguments: str, **environ: str) -> Done:
        """`hugflow local-sync --json`."""
        return self.run("local-sync", request, "--json", *arguments, **environ)

    @contextmanager
    def running(self, *arguments: str, **environ: str) -> Iterator[subprocess.Popen[str] | WarmRun]:
        """The command while it runs, in a process group of its own, which does not outlive the block."""
        if self.starts is not None:
            output = self.folder.parent / f"run-{next(self.outputs)}"
            run = self.starts.start(arguments, self.folder, self.env | environ, output)
            try:
                yield run
            finally:
                kill_group(run)
                run.wait(60)
                run.close()
            return
        process = subprocess.Popen(
            [sys.executable, "-m", "hugflow", *arguments],
            cwd=self.folder,
            env=self.env | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )
        try:
            yield process
        finally:
            kill_group(process)
            process.wait()
            for stream in (process.stdout, process.stderr):
                assert stream is not None
                stream.close()

    def check_no_secret(self, *texts: str) -> None:
        for name, secret in self.secrets.items():
            assert not any(secret in text for text in texts), f"the secret {name} was written"

    def dataset(self, name: str = "") -> Stored:
        """The one dataset in storage, or that of this name."""
        names = [name] if name else visible(self.storage)
        assert len(names) == 1, names
        return Stored(self.storage / names[0])

    def untouched(self) -> bool:
        """Whether nothing was made in storage, state, or the folder of links."""
        return not any(folder.exists() for folder in (self.storage, self.state, self.processed))


def kill_group(process: subprocess.Popen[str] | WarmRun, number: int = signal.SIGKILL) -> None:
    """Send a signal to a run and everything that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def group_members(group: int) -> list[int]:
    """The living processes of a process group."""
    members = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                members.append(int(folder.name))
    return members


def wait_until(what: Callable[[], Any], timeout_s: float = DRIVER_WAIT_S, every_s: float = 0.005) -> Any:
    """Wait for something to become true, and return it."""
    deadline = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(every_s)
    return found


# -- what stands in storage ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stored:
    """The folder of a dataset."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def rows(self) -> dict[int, dict[str, Any]]:
        """The JSON of every row, by number; each must be strict."""
        return {
            int(file.stem): strict_json(file.read_text("utf-8"))
            for file in sorted((self.path / "json").iterdir(), key=lambda file: int(file.stem))
        }

    def audio_names(self) -> list[str]:
        return sorted(file.name for file in (self.path / "audio").iterdir())

    def mp3(self, row: Mapping[str, Any], column: str = "audio") -> bytes:
        """The MP3 that a row's JSON names."""
        path = (self.path / row[column]).resolve()
        assert path.parent == (self.path / "audio").resolve(), f"{row[column]} is not inside audio/"
        return path.read_bytes()

    def marker(self) -> dict[str, Any]:
        return strict_json((self.path / ".hugflow" / "dataset.json").read_text())

    def index(self) -> list[dict[str, Any]]:
        return pq.read_table(self.path / ".hugflow" / "index.parquet").to_pylist()

    def tree(self) -> dict[str, str]:
        return tree(self.path)


def visible(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(".")) if folder.is_dir() else []


def tree(folder: Path) -> dict[str, str]:
    """Everything under a folder: files by their hashes, links by their targets, empty folders as such."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif not path.is_dir():
            found[name] = "neither file nor folder"
        elif not any(path.iterdir()):
            found[name + "/"] = ""
    return found


def leftovers(*folders: Path) -> list[str]:
    """Temporary files, and what else should not survive a run."""
    return [str(path) for folder in folders for path in folder.rglob("*") if path.name.endswith(".tmp")]


def strict_json(text: str) -> Any:
    """Parse JSON that has no NaN, no infinity and no key twice."""

    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is no JSON")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        assert len(keys) == len(set(keys)), f"a key stands twice: {keys}"
        return dict(pairs)

    return json.loads(text, parse_constant=refuse, object_pairs_hook=once)


def journal_rows(path: Path) -> list[int]:
    """The rows that the whole lines of a journal speak of, read without hugflow's own reader."""
    rows: list[int] = []
    if path.exists():
        for line in path.read_bytes().split(b"\n")[:-1]:
            try:
                value = json.loads(line)["v"]
            except ValueError:
                continue
            rows += [record[0] for record in value.get("rows", ())]
    return rows


# -- sound -----------------------------------------------------------------------------------------------------------


def decode(data: bytes) -> tuple[NDArray[np.float64], int]:
    """Samples (mono files only) and rate of a file, as libsndfile decodes it."""
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float64")
    return samples, rate


def mono(samples: NDArray[Any]) -> NDArray[np.float64]:
    """The mean of the channels."""
    values = np.asarray(samples, np.float64)
    return values if values.ndim == 1 else values.mean(axis=1)


def correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """How alike two sounds of the same length are, at lag 0."""
    return float(np.corrcoef(np.asarray(one, np.float64), np.asarray(other, np.float64))[0, 1])
