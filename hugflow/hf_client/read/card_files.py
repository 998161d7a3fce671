"""Checks a repository's card before `datasets` reads it: its size, its YAML, and the files that it names.

`datasets` would follow an address in `data_files` to other hosts, other repositories or this machine's files. The card
is parsed here by the same code as there, so that no spelling means one thing to the check and another to the reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from huggingface_hub import DatasetCard
from huggingface_hub.hf_api import DatasetInfo
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from hugflow.hf_client.http import Hub
from hugflow.hf_client.remote_file import RepositoryFile
from hugflow.model.errors import InvalidRequest, UnreadableSource

CARD, STANDALONE, LEGACY = "README.md", ".huggingface.yaml", "dataset_infos.json"
"""The files of a repository that `datasets` reads by itself."""
MAX_CARD_BYTES = 20_000_000
MAX_YAML_NODES = 300_000
MAX_YAML_DEPTH = 100

_PATH_KEYS = frozenset({"data_files", "data_dir"})
_FIX = "Report it to the dataset's owners."


def check_card(hub: Hub, info: DatasetInfo) -> None:
    """Refuse a card that names data files outside of its repository, or exceeds the limits for reading it.

    Raises InvalidRequest (`foreign_files`), UnreadableSource, Transient.
    """
    doing = f"reading the card of {info.id}"
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or []}
    for name in (CARD, STANDALONE, LEGACY):
        if sizes.get(name, 0) > MAX_CARD_BYTES:
            problem = f"its {name} has {sizes[name]:,} bytes, over {MAX_CARD_BYTES:,}"
            raise UnreadableSource(doing, problem, _FIX, reason="reader_limit")
    for name in (CARD, STANDALONE):
        if not sizes.get(name) or info.sha is None:
            continue
        data = RepositoryFile(hub, info.id, info.sha, name, sizes[name]).read(0, sizes[name])
        try:
            metadata = card_metadata(data.decode("utf-8-sig" if name == CARD else "utf-8"), name)
        except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            problem = f"its {name} cannot be read: {' '.join(str(error).split())[:300]}"
            raise UnreadableSource(doing, problem, _FIX) from error
        foreign = next((path for path in named_paths(metadata) if leads_out(path)), None)
        if foreign is not None:
            raise InvalidRequest(
                f"reading the files of {info.id}",
                f"its card names files that are not in the repository: {foreign[:300]}",
                "Only datasets whose files are in their own repository can be downloaded.",
                reason="foreign_files",
                field="hf_id",
            )


def card_metadata(text: str, name: str = CARD) -> Any:
    """The metadata in a card's YAML block, or in the standalone YAML file, as `datasets` finds them.

    Raises yaml.YAMLError, ValueError (also for YAML of too many nodes), TypeError.
    """
    if name != CARD:
        _check_yaml(text)
        return yaml.safe_load(text)
    if block := REGEX_YAML_BLOCK.search(text):
        _check_yaml(block.group(2))
    metadata: Any = DatasetCard(text).data.to_dict()  # type: ignore[no-untyped-call]  # theirs has no types
    return metadata


def _check_yaml(text: str) -> None:
    """Limit depth and node count, with each alias counted as its target, before any value is built."""
    sizes: dict[str, int] = {}
    # of each collection that is open: its anchor, and its nodes
    unclosed: list[tuple[str | None, int]] = [(None, 0)]
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            unclosed.append((event.anchor, 1))
            if len(unclosed) > MAX_YAML_DEPTH:
                raise ValueError(f"its YAML is nested deeper than {MAX_YAML_DEPTH} levels")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, nodes = unclosed.pop()
        elif isinstance(event, yaml.NodeEvent):
            anchor = event.anchor
            nodes = sizes.get(anchor or "", 1) if isinstance(event, yaml.AliasEvent) else 1
        else:
            continue
        if anchor:
            sizes[anchor] = nodes
        unclosed[-1] = (unclosed[-1][0], unclosed[-1][1] + nodes)
        if unclosed[-1][1] > MAX_YAML_NODES:
            raise ValueError(f"its YAML has more than {MAX_YAML_NODES:,} nodes")


def named_paths(value: Any) -> Iterator[str]:
    """The paths, patterns and addresses under every `data_files` and `data_dir` of a card's metadata."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item) if key in _PATH_KEYS else named_paths(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from named_paths(item)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _texts(item)
    elif value is not None:
        yield value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def leads_out(path: str) -> bool:
    """Tell if a path or pattern of a card is a URL, absolute, or climbs out of its folder."""
    is_address = "://" in path or "::" in path or re.match(r"\s*[A-Za-z][A-Za-z0-9+.-]*:", path) is not None
    return is_address or path.lstrip().startswith(("/", "~", "\\")) or ".." in re.split(r"[/\\]", path)
