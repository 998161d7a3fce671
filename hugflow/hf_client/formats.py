"""What is in the files of a split, by their format: columns, and how many rows each file has. Fetches no data."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import get_session, hf_hub_url
from huggingface_hub.hf_api import DatasetInfo, RepoSibling
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils._http import hf_raise_for_status

from hugflow.errors import InvalidRequest, Terminal
from hugflow.hf_client.connection import Hub
from hugflow.plan import Column, Shard

_TAIL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class SplitFiles:
    """The files of one split, in their order, as the Hub knows them."""

    hf_id: str
    sha: str
    format: str
    files: tuple[RepoSibling, ...]
    features: datasets.Features | None

    @classmethod
    def of(cls, info: DatasetInfo, builder: datasets.DatasetBuilder, addresses: list[str]) -> SplitFiles:
        """The files at `addresses` (`hf://datasets/org/name@sha/path`), which a builder of `datasets` listed."""
        known = {sibling.rfilename: sibling for sibling in info.siblings or []}
        prefix = f"hf://datasets/{info.id}@{info.sha}/"
        paths = [address.removeprefix(prefix) for address in addresses]
        strange = [path for path in paths if path not in known]
        if strange:
            raise InvalidRequest(
                f"listing the files of {info.id}",
                f"the repository's card names files that are not in it: {strange[0]}",
                "Only datasets whose files are in their own repository can be downloaded.",
                reason="foreign_files",
                field="hf_id",
            )
        module = type(builder).__module__.rsplit(".", 1)[-1]
        files = tuple(known[path] for path in paths)
        return cls(info.id, info.sha or "", module, files, builder.info.features)


@dataclass(frozen=True, slots=True)
class Description:
    """What is in a split: its columns, its Arrow schema, and its shards with their row counts."""

    columns: tuple[Column, ...]
    schema: pa.Schema
    shards: tuple[Shard, ...]


def describe(hub: Hub, split: SplitFiles) -> Description:
    """What a split holds, without fetching its data."""
    if split.format != "parquet":
        raise InvalidRequest(
            f"reading the files of {split.hf_id}",
            f"its files are of the format {split.format!r}",
            "Parquet is supported (many datasets have a converted branch: `revision: refs/convert/parquet`).",
            reason="unsupported_format",
            field="hf_id",
        )
    with ThreadPoolExecutor(hub.max_concurrent_downloads) as threads:
        footers = list(threads.map(lambda file: _footer(hub, split, file), split.files))
    schema = _common_schema(split, [footer.schema.to_arrow_schema() for footer in footers])
    shards: list[Shard] = []
    first_row = 0
    for file, footer in zip(split.files, footers, strict=True):
        groups = tuple(footer.row_group(i).num_rows for i in range(footer.num_row_groups))
        shards.append(_shard(file, first_row, groups))
        first_row += sum(groups)
    return Description(_columns(schema, split.features), schema, tuple(shards))


def _shard(file: RepoSibling, first_row: int, groups: tuple[int, ...]) -> Shard:
    if file.size is None:
        raise Terminal(f"reading the size of {file.rfilename}", "the Hub does not tell it", "Try again later.")
    return Shard(
        path=file.rfilename,
        size_bytes=file.size,
        sha256=file.lfs.sha256 if file.lfs else None,
        blob_id=file.blob_id,
        first_row=first_row,
        groups=groups,
    )


def _footer(hub: Hub, split: SplitFiles, file: RepoSibling) -> pq.FileMetaData:
    """A parquet file's footer, by one range request (two for the few that are longer than 64 KiB)."""
    doing = f"reading the footer of {file.rfilename}"
    url = hf_hub_url(split.hf_id, file.rfilename, repo_type="dataset", revision=split.sha, endpoint=hub.endpoint)
    headers = build_hf_headers(token=hub.token or False, library_name="hugflow")

    def read(first: int, stop: int) -> bytes:
        def ask() -> bytes:
            response = get_session().get(url, headers=headers | {"Range": f"bytes={first}-{stop - 1}"})
            hf_raise_for_status(response)
            # a server that ignores Range sends the whole file
            data: bytes = response.content if response.status_code == 206 else response.content[first:stop]  # noqa: PLR2004
            if len(data) != stop - first:
                raise ConnectionError(f"{len(data)} bytes arrived instead of {stop - first}")
            return data

        return hub.call(doing, ask)

    try:
        return pq.read_metadata(_RemoteFile(read, file.size or 0))
    except pa.ArrowInvalid as error:
        raise Terminal(doing, f"it is no valid parquet file: {error}", "Report it to the dataset's owners.") from error


class _RemoteFile(io.RawIOBase):
    """A seekable file over range reads; reads near its end come from one fetched tail."""

    def __init__(self, read: Any, size: int) -> None:
        super().__init__()
        self._fetch = read
        self._size = size
        self._at = 0
        self._tail_at = max(0, size - _TAIL_BYTES)
        self._tail: bytes | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        stop = self._size if size < 0 else min(self._size, self._at + size)
        first, self._at = self._at, max(self._at, stop)
        if first >= stop:
            return b""
        if first < self._tail_at:
            data: bytes = self._fetch(first, stop)
            return data
        if self._tail is None:
            self._tail = self._fetch(self._tail_at, self._size)
        return self._tail[first - self._tail_at : stop - self._tail_at]


def _common_schema(split: SplitFiles, schemas: list[pa.Schema]) -> pa.Schema:
    try:
        return pa.unify_schemas(schemas, promote_options="permissive") if schemas else pa.schema([])
    except pa.ArrowInvalid as error:
        raise Terminal(
            f"comparing the columns of {split.hf_id}",
            f"its files have different types for the same column: {error}",
            "Report it to the dataset's owners; `datasets` cannot load it either.",
            reason="mixed_schema",
        ) from error


def _columns(schema: pa.Schema, features: datasets.Features | None) -> tuple[Column, ...]:
    known = features or datasets.Features.from_arrow_schema(schema)
    return tuple(Column(name=f.name, kind=_kind(known.get(f.name), f.type), type=str(f.type)) for f in schema)


def _kind(feature: Any, kind: pa.DataType) -> Literal["audio", "image", "text", "value"]:
    if isinstance(feature, datasets.Audio):
        return "audio"
    if isinstance(feature, datasets.Image):
        return "image"
    return "text" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else "value"
