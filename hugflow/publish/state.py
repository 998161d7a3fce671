"""The published state of a branch: its configs with their splits, files and columns, its card and its spec.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import pyarrow.parquet as pq

from hugflow.card import spec_json
from hugflow.card.front_matter import CardText, parse
from hugflow.card.spec_json import SpecColumn, SpecJson
from hugflow.formats.broken_content import BROKEN_CONTENT
from hugflow.hf_client.read.default_files import default_files
from hugflow.hf_client.remote_file import RemoteFile, RepositoryFile
from hugflow.hf_client.write.repository import Head, RepoFile, Repository, Upload, upload_of
from hugflow.model.errors import InvalidRequest, Terminal
from hugflow.model.publish_spec import DEFAULT_CONFIG
from hugflow.publish.layout import (
    CARD_FILE,
    SPEC_FILE,
    data_dir_of,
    entries_of,
    explicit_patterns,
    is_backup,
    matching,
    split_patterns,
)
from hugflow.publish.sources.features import Columns, columns_of
from hugflow.text.printable import shown

PARQUET = "parquet"
_FORMATS = {
    **dict.fromkeys((".parquet",), PARQUET),
    **dict.fromkeys((".csv", ".tsv"), "csv"),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), "json"),
    **dict.fromkeys((".arrow",), "arrow"),
    **dict.fromkeys((".tar",), "webdataset"),
    **dict.fromkeys((".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a"), "audiofolder"),
    **dict.fromkeys((".jpg", ".jpeg", ".png", ".webp", ".gif"), "imagefolder"),
    **dict.fromkeys((".mp4", ".mkv", ".avi", ".mov", ".webm"), "videofolder"),
    **dict.fromkeys((".txt",), "text"),
    **dict.fromkeys((".xml",), "xml"),
}
_PACKED = frozenset((".gz", ".bz2", ".xz", ".zst", ".zip"))
# files of these formats lie in many repositories that have no data: as data they count only where the card names them
_SELDOM_DATA = frozenset(("text", "imagefolder", "videofolder", "xml"))
_MAX_FOOTERS = 32
"""Above so many files, rows that no document tells are counted only where they must be known."""


@dataclass(frozen=True, slots=True)
class HubSplit:
    """A split on the Hub. `rows` and `uncompressed_bytes` are None where they are not known."""

    name: str
    files: Mapping[str, RepoFile]
    patterns: tuple[str, ...]
    rows: int | None = None
    uncompressed_bytes: int | None = None

    @property
    def size_bytes(self) -> int:
        """The bytes of its files."""
        return sum(file.size_bytes for file in self.files.values())


@dataclass(frozen=True, slots=True)
class HubConfig:
    """A config on the Hub. `entry` is that of the card; None where the card has none, and `datasets` finds the files.

    `columns` are None where they are not known. `read` are those of a file's footer, where it was read.
    """

    name: str
    splits: Mapping[str, HubSplit]
    entry: Mapping[str, Any] | None
    columns: tuple[SpecColumn, ...] | None = None
    read: Columns | None = None

    @property
    def files(self) -> dict[str, RepoFile]:
        """The files of all splits by path."""
        return {path: file for split in self.splits.values() for path, file in split.files.items()}

    @property
    def format(self) -> str | None:
        """The format that most of its files have; None without any data file."""
        return next((name for name, _ in Counter(filter(None, map(format_of, self.files))).most_common(1)), None)

    @property
    def rows(self) -> int | None:
        """The rows of all splits, where they are known."""
        known = [split.rows for split in self.splits.values() if split.rows is not None]
        return sum(known) if len(known) == len(self.splits) else None


@dataclass(frozen=True, slots=True)
class BranchState:
    """A head with what it publishes. `contents` are the bytes of shards that are stored in Git itself, by path.

    `script` is the loading script of the dataset: where there is one, `datasets` loads nothing of the repository.
    """

    head: Head | None = None
    card: bytes | None = None
    spec: SpecJson | None = None
    configs: Mapping[str, HubConfig] = field(default_factory=dict)
    contents: Mapping[str, Upload] = field(default_factory=dict)
    script: str | None = None

    @property
    def files(self) -> Mapping[str, RepoFile]:
        """All files by path."""
        return self.head.files if self.head else {}

    def upload(self, path: str) -> Upload:
        """The upload with which a commit gives a shard another name."""
        file = self.files[path]
        return Upload(file.size_bytes, file.sha256) if file.sha256 is not None else self.contents[path]


def format_of(path: str) -> str | None:
    """The format of a data file by its name, without the suffix of a compression."""
    name = PurePosixPath(path)
    suffixes = [suffix.lower() for suffix in name.suffixes]
    return next((_FORMATS.get(suffix) for suffix in reversed(suffixes) if suffix not in _PACKED), None)


def read_state(
    repository: Repository,
    head: Head | None,
    wanted: Mapping[str, Sequence[str]],
    *,
    keeps: bool,
    appends: bool = False,
) -> BranchState:
    """Read the configs of a head. `wanted` has the splits of each config that are published; `keeps`: others stay,
    `appends`: all stay.

    Of a wanted config, the columns and rows are read from footers where spec.json and card do not tell, or where
    splits of it stay. Raises InvalidRequest for a card or spec.json that cannot be read, and the errors of the Hub.
    """
    if head is None:
        return BranchState()
    card, spec = (_read(repository, head, path) for path in (CARD_FILE, SPEC_FILE))
    state = BranchState(head, card, spec_json.read(spec) if spec is not None else None)
    known = {
        path: file for path, file in head.files.items() if path not in (CARD_FILE, SPEC_FILE) and not is_backup(path)
    }
    configs = {config.name: config for config in _configs(known, card)}
    configs = {name: _with_told_sizes(config, state) for name, config in configs.items()}
    for name in wanted.keys() & configs.keys():
        stay = set(configs[name].splits) - (set() if appends else set(wanted[name])) if keeps else set()
        configs[name] = _Footers(repository, head.sha).described(configs[name], state, stay)
    script = f"{repository.repo_id.rpartition('/')[2]}.py"
    return replace(state, configs=configs, script=script if script in head.files else None)


def with_contents(repository: Repository, state: BranchState, paths: Iterable[str]) -> BranchState:
    """The state with the bytes of those files that are stored in Git itself, which a commit cannot copy by hash."""
    if state.head is None:
        return state
    contents = dict(state.contents)
    for path in paths:
        if state.files[path].sha256 is None:
            contents[path] = upload_of(repository.read(path, state.head.sha) or b"")
    return replace(state, contents=contents)


def _read(repository: Repository, head: Head, path: str) -> bytes | None:
    return repository.read(path, head.sha) if path in head.files else None


def _configs(known: Mapping[str, RepoFile], card: bytes | None) -> Iterator[HubConfig]:
    """The configs as `datasets` finds them: those of the card, else one of all data files."""
    entries = entries_of(card)
    if not entries:
        splits = _default_splits(known)
        if any(split.files for split in splits.values()):
            yield HubConfig(DEFAULT_CONFIG, splits, None)
    for name, entry in entries.items():
        patterns = split_patterns(entry)
        if patterns is None:
            base = data_dir_of(entry)
            splits = _default_splits({path: file for path, file in known.items() if path.startswith(base)}, base)
        else:
            splits = {
                split: HubSplit(split, {path: known[path] for path in matching(known, each)}, tuple(each))
                for split, each in patterns.items()
            }
        yield HubConfig(name, splits, entry)


def _default_splits(known: Mapping[str, RepoFile], base: str = "") -> dict[str, HubSplit]:
    """The splits of files that no card names; of one format, which most of them have."""
    candidates = [path for path in known if format_of(path) not in (None, *(() if base else _SELDOM_DATA))]
    if not candidates:
        return {}
    found = default_files(path.removeprefix(base) for path in candidates)
    usual = Counter(format_of(path) for paths in found.values() for path in paths).most_common(1)
    splits = {}
    for split, paths in found.items():
        files = {base + path: known[base + path] for path in paths if [format_of(path)] == [name for name, _ in usual]}
        if files:
            splits[split] = HubSplit(split, files, tuple(explicit_patterns(files, known)))
    return splits


def _with_told_sizes(config: HubConfig, state: BranchState) -> HubConfig:
    """The config with the sizes of its splits that card and spec.json agree on."""
    entry, told = state.spec.table(config.name) if state.spec else None, _told_sizes(state.card, config.name)
    splits = {}
    for name, split in config.splits.items():
        rows, plain = told.get(name, (None, None))
        listed = entry.splits.get(name) if entry and entry.splits else None
        counts = {count for count in (rows, listed.row_count if listed else None) if count is not None}
        # two documents that differ: somebody changed the files, and only one of them
        splits[name] = replace(split, rows=counts.pop() if len(counts) == 1 else None, uncompressed_bytes=plain)
    return replace(config, splits=splits)


@dataclass(frozen=True, slots=True)
class _Footers:
    """Reads the footers of parquet files at a commit."""

    repository: Repository
    sha: str

    def described(self, config: HubConfig, state: BranchState, stay: set[str]) -> HubConfig:
        """The config with its columns, and with the rows of its splits."""
        splits = dict(config.splits)
        for name, split in config.splits.items():
            rows, plain = split.rows, split.uncompressed_bytes
            is_parquet = all(format_of(path) == PARQUET for path in split.files)
            if is_parquet and (rows is None or plain is None) and (name in stay or len(split.files) <= _MAX_FOOTERS):
                footers = self._read_all(split.files, must=name in stay)
                if footers:
                    rows = sum(each.num_rows for each in footers)
                    groups = [each.row_group(i).total_byte_size for each in footers for i in range(each.num_row_groups)]
                    plain = sum(groups)
            splits[name] = replace(split, rows=rows, uncompressed_bytes=plain)
        entry = state.spec.table(config.name) if state.spec else None
        columns, read = entry.columns if entry else None, None
        if stay or columns is None:
            read = self._read_columns(config, stay)
            columns = spec_json.columns_of(read.features) if read else columns
        return replace(config, splits=splits, columns=columns, read=read)

    def _read_columns(self, config: HubConfig, stay: set[str]) -> Columns | None:
        names = [*(name for name in config.splits if name in stay), *config.splits]
        files = {path: file for name in names for path, file in config.splits[name].files.items()}
        first = next((path for path in files if format_of(path) == PARQUET), None)
        if first is None:
            return None
        doing = f"reading the columns of {first}"
        try:
            footers = self._read_all({first: files[first]}, must=bool(stay))
            return columns_of(footers[0].schema.to_arrow_schema(), _complain(doing)) if footers else None
        except InvalidRequest:
            if stay:
                raise
            return None

    def _read_all(self, files: Mapping[str, RepoFile], *, must: bool) -> list[pq.FileMetaData]:
        """The footers of files, or none where one cannot be read and need not be."""
        try:
            with ThreadPoolExecutor(self.repository.hub.max_concurrent_downloads) as threads:
                return list(threads.map(self._read, files.items()))
        except Terminal:
            if must:
                raise
            return []

    def _read(self, item: tuple[str, RepoFile]) -> pq.FileMetaData:
        path, file = item
        source = RepositoryFile(self.repository.hub, self.repository.repo_id, self.sha, path, file.size_bytes)
        doing = f"reading the footer of {path}"
        try:
            try:
                return pq.read_metadata(RemoteFile(source))
            except BROKEN_CONTENT:  # a range has no hash: what is damaged on the way shows only here
                return pq.read_metadata(RemoteFile(source))
        except BROKEN_CONTENT as error:
            fix = "Look at the file on the Hub; `replace: true` removes what the request does not name."
            raise Terminal(
                doing, f"it is no parquet file: {shown(str(error), 200)}", fix, reason="unreadable"
            ) from error


def _complain(doing: str) -> Any:
    return lambda problem, fix: InvalidRequest(doing, shown(problem), fix, reason="unsupported_type")


def _told_sizes(card: bytes | None, config: str) -> dict[str, tuple[int | None, int | None]]:
    """Rows and uncompressed bytes of the splits of a config, as `dataset_info` of the card has them."""
    infos = parse(CardText.of((card or b"").decode("utf-8", "replace")).matter).get("dataset_info")
    for info in infos if isinstance(infos, list) else [infos]:
        if isinstance(info, Mapping) and info.get("config_name", DEFAULT_CONFIG) == config:
            splits = info.get("splits")
            return {
                str(each.get("name")): (_count(each.get("num_examples")), _count(each.get("num_bytes")))
                for each in (splits if isinstance(splits, list) else [])
                if isinstance(each, Mapping)
            }
    return {}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
