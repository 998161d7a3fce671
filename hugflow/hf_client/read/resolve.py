"""Resolution of a repository at one commit: configs, splits, columns, and the ordered shards with their row counts.

The files of a split are those that `datasets.load_dataset` would read; no data is loaded for it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import datasets
from datasets.exceptions import DatasetsError
from huggingface_hub.hf_api import DatasetInfo, RepoFile, RepoSibling

from hugflow.formats.rows import schema_text
from hugflow.hf_client.errors import chain, explain, gated
from hugflow.hf_client.http import Hub
from hugflow.hf_client.read.card_files import check_card
from hugflow.hf_client.read.licence import licence_of
from hugflow.hf_client.read.repository_reader import Resolved, SplitSummary, audio_column
from hugflow.hf_client.read.revisions import commit_of
from hugflow.hf_client.read.splits import SplitFiles
from hugflow.hf_client.read.transcode import UNREADABLE
from hugflow.hf_client.read.unused_files import unused_files
from hugflow.model.errors import HugflowError, InvalidRequest, Terminal, UnreadableSource
from hugflow.model.plan import DownloadPlan, HubFacts
from hugflow.model.records import EncoderSettings
from hugflow.model.specs import AddSpec, DatasetIdentity
from hugflow.request.file import InvalidRequestFile, ParsedRequest, Problem
from hugflow.request.validator import check_columns, check_repository
from hugflow.text.printable import shown


def resolve(
    hub: Hub, request: ParsedRequest, spec: AddSpec, encoder: EncoderSettings, *, sha: str | None = None
) -> Resolved:
    """Find the dataset of an add request, at the commit of its revision, or at `sha` if given.

    Raises InvalidRequestFile (config, split, column), NotFoundError (repository, revision), AuthenticationError,
    Transient.
    """
    info = repository(hub, spec.hf_id, sha or spec.revision)
    commit = commit_of(info)
    builder = _requested_builder(hub, request, spec, commit)
    configs, splits = _configs(builder), _splits(builder)
    _refuse(check_repository(request, configs=configs, default_config=builder.config.name, splits=splits))
    found = SplitFiles.of(hub, info, builder, spec.split).describe()
    _refuse(check_columns(request, found.columns))
    download = DownloadPlan(
        identity=DatasetIdentity.of(spec),
        sha=commit,
        format=found.format,
        columns=found.columns,
        arrow_schema=schema_text(found.schema),
        audio_column=audio_column(spec, found.columns),
        shards=found.shards,
        encoder=encoder,
        expected_rows=found.expected_rows,
    )
    configurations = [builder.config, *_other_configs(builder)]
    audio = download.audio_column is not None
    unused = unused_files(info, configurations, audio=audio, data_format=found.format)
    remarks = (*found.remarks, *unused)
    return Resolved(_facts(hub, info, configs, splits, remarks), download)


def inspect(hub: Hub, hf_id: str, revision: str) -> tuple[HubFacts, list[SplitSummary]]:
    """The facts of a repository, and each split of each config."""
    info = repository(hub, hf_id, revision)
    commit = commit_of(info)
    configs, all_splits, summaries = config_names(hub, hf_id, commit), dict[str, None](), []
    remarks: dict[str, None] = {}
    read: list[datasets.BuilderConfig] = []
    for config in configs:
        builder = _builder(hub, hf_id, commit, config)
        read.append(builder.config)
        for split in _splits(builder):
            all_splits[split] = None
            found = SplitFiles.of(hub, info, builder, split).describe()
            remarks |= dict.fromkeys(found.remarks)
            size = sum(shard.size_bytes for shard in found.shards)
            counted = all(shard.groups is not None for shard in found.shards)
            rows = sum(shard.rows for shard in found.shards) if counted else found.expected_rows
            summaries.append(SplitSummary(config, split, found.format, rows, size, len(found.shards), found.columns))
    return _facts(hub, info, configs, all_splits, (*remarks, *unused_files(info, read))), summaries


def repository(hub: Hub, hf_id: str, revision: str) -> DatasetInfo:
    """The repository's facts with the sizes and hashes of its files, at the current commit of `revision`."""

    def ask() -> DatasetInfo:
        return hub.api().dataset_info(hf_id, revision=revision, files_metadata=True, timeout=hub.read_timeout_s)

    info = hub.call(f"resolving {hf_id} at {revision}", ask)
    if info.siblings is None or any(file.size is None for file in info.siblings):
        info.siblings = _listed_files(hub, hf_id, commit_of(info))
    check_card(hub, info)
    return info


def _listed_files(hub: Hub, hf_id: str, sha: str) -> list[RepoSibling]:
    """The files with sizes and hashes from the listing of the tree: some mirrors drop them from the facts."""

    def ask() -> list[RepoSibling]:
        entries = hub.api().list_repo_tree(hf_id, recursive=True, revision=sha, repo_type="dataset")
        return [
            RepoSibling(rfilename=entry.path, size=entry.size, blob_id=entry.blob_id, lfs=entry.lfs)
            for entry in entries
            if isinstance(entry, RepoFile)
        ]

    return hub.call(f"listing the files of {hf_id}", ask)


def config_names(hub: Hub, hf_id: str, sha: str) -> list[str]:
    """The configs (subsets) that the repository defines at a commit."""
    doing = f"reading the configs of {hf_id}"

    def ask() -> list[str]:
        with _translated(hub, doing):
            return list(datasets.get_dataset_config_names(_address(hf_id), revision=sha, token=_token(hub)))

    return hub.call(doing, ask)


def _requested_builder(hub: Hub, request: ParsedRequest, spec: AddSpec, sha: str) -> datasets.DatasetBuilder:
    try:
        return _builder(hub, spec.hf_id, sha, spec.subset)
    except _WrongConfig as error:
        configs = config_names(hub, spec.hf_id, sha)
        _refuse(check_repository(request, configs=configs, default_config=None, splits=None))
        raise Terminal(error.doing, error.problem, _CARD_FIX) from error


def _builder(hub: Hub, hf_id: str, sha: str, config: str | None) -> datasets.DatasetBuilder:
    """The builder of a config, as `datasets` would use it."""
    doing = f"reading the files of {hf_id}"

    def ask() -> datasets.DatasetBuilder:
        # a cache of its own: a builder that an earlier run cached must not be used when the Hub is out of reach
        with tempfile.TemporaryDirectory(prefix="hugflow-") as cache, _translated(hub, doing):
            return datasets.load_dataset_builder(
                _address(hf_id), config, revision=sha, token=_token(hub), cache_dir=cache
            )

    return hub.call(doing, ask)


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise InvalidRequestFile(problems)


def _configs(builder: datasets.DatasetBuilder) -> list[str]:
    return list(type(builder).builder_configs) or [builder.config.name]


def open_split(hub: Hub, plan: DownloadPlan) -> SplitFiles:
    """The files of a planned download at its commit, for formats that `datasets` has to read."""
    identity = plan.identity
    info = repository(hub, identity.hf_id, plan.sha)
    return SplitFiles.of(hub, info, _builder(hub, identity.hf_id, plan.sha, identity.subset), identity.split)


def _other_configs(builder: datasets.DatasetBuilder) -> list[datasets.BuilderConfig]:
    return [config for name, config in type(builder).builder_configs.items() if name != builder.config.name]


def _splits(builder: datasets.DatasetBuilder) -> list[str]:
    return [str(split) for split in builder.config.data_files or {}]


class _WrongConfig(HugflowError):
    """`datasets` found no config of that name, or several and no name."""


@contextmanager
def _translated(hub: Hub, doing: str) -> Iterator[None]:
    """Translate the exceptions that `datasets` raises for a repository's content into HugflowErrors."""
    try:
        yield
    except ValueError as error:
        text = str(error)
        if "BuilderConfig" in text or "Config name is missing" in text:
            raise _WrongConfig(doing, text) from error
        problem = f"`datasets` cannot read the repository: {text.partition(chr(10))[0]}"
        raise UnreadableSource(doing, problem, _CARD_FIX) from error
    except RuntimeError as error:
        if "Dataset scripts are no longer supported" not in str(error):
            raise
        raise InvalidRequest(
            doing,
            "the dataset needs a loading script, and running code from a dataset is not supported",
            "Use a dataset of data files (many have a converted branch: `revision: refs/convert/parquet`).",
            reason="needs_script",
            field="hf_id",
        ) from error
    except (DatasetsError, FileNotFoundError) as error:
        if "gated dataset" in str(error):
            # raised `from None`: only these words are left of the Hub's own error
            raise gated(doing, has_token=hub.token is not None) from error
        explained = explain(doing, error, has_token=hub.token is not None)
        if any(isinstance(cause, OSError) and hasattr(cause, "response") for cause in chain(error)):
            raise explained from error
        raise InvalidRequest(doing, explained.problem, _CARD_FIX, reason="no_data", field="hf_id") from error
    except UNREADABLE as error:
        problem = f"`datasets` cannot read the repository: {error}"
        raise UnreadableSource(doing, problem, _CARD_FIX) from error


_CARD_FIX = "Look at the dataset's page on the Hub: its files and the `configs` of its card decide what can be loaded."


def _address(hf_id: str) -> str:
    """The id with its scheme: without it `datasets` prefers a local folder of the same name."""
    return f"hf://datasets/{hf_id}"


def _token(hub: Hub) -> str | bool:
    return hub.token or False


def _facts(
    hub: Hub, info: DatasetInfo, configs: Iterable[str], splits: Iterable[str], remarks: Iterable[str]
) -> HubFacts:
    licence, words = licence_of(hub, info)
    told = [f"the licence is stated only in the text of README.md: {shown(words, 200)}"] if words else []
    return HubFacts(
        sha=commit_of(info),
        licence=licence,
        gated=bool(info.gated),
        private=bool(info.private),
        configs=tuple(configs),
        splits=tuple(splits),
        remarks=(*told, *remarks),
    )
