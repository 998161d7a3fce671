"""Files of a repository by config, and the paths of those of earlier versions. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from hugflow.card.front_matter import CardText, parse
from hugflow.model.errors import InvalidRequest
from hugflow.model.publish_spec import DEFAULT_CONFIG, DEFAULT_FOLDER

CARD_FILE = "README.md"
SPEC_FILE = "spec.json"
# older versions of `datasets` put a hash behind the numbers
_SHARD = r"[^/]+-\d{5}-of-\d{5}(?:-[0-9a-f]{16})?\.parquet"


def folder_of(config: str) -> str:
    """The folder of a config's shards."""
    return DEFAULT_FOLDER if config == DEFAULT_CONFIG else config


def shards_of(paths: Iterable[str], config: str) -> set[str]:
    """The files that are shards of a config by their names, whatever the card says."""
    pattern = re.compile(rf"{re.escape(folder_of(config))}/{_SHARD}")
    return {path for path in paths if pattern.fullmatch(path)}


def stale(paths: Iterable[str], config: str, kept: Iterable[str], patterns: Iterable[str]) -> frozenset[str]:
    """The files that have to go with a new state of a config: shards of earlier states, under whatever names.

    Whatever else `patterns`, those of the card for the new state, would load beside the new shards goes as well.
    """
    known, wanted = set(paths), list(patterns)
    loaded = {path for path in known if _matches(path, wanted)}
    return frozenset((shards_of(known, config) | loaded) - set(kept))


def backups(paths: Iterable[str], configs: Iterable[str], major: int) -> dict[str, str]:
    """The copies of a version's files when a new one breaks with it: old path by new path, under `v<N>/`."""
    known = set(paths)
    kept = {path for config in configs for path in shards_of(known, config)} | ({SPEC_FILE} & known)
    return {f"v{major}/{path}": path for path in sorted(kept)}


def is_backup(path: str) -> bool:
    """True if the file belongs to an earlier version."""
    return re.match(r"v\d+/", path) is not None


def configs_of(card: bytes | None) -> dict[str, tuple[str, ...]]:
    """The configs that a card names, each with the patterns of its files; none for a card that cannot be read."""
    try:
        configs = parse(CardText.of((card or b"").decode("utf-8", "replace")).matter).get("configs")
    except InvalidRequest:
        return {}
    listed = configs if isinstance(configs, list) else []
    named = [each for each in listed if isinstance(each, dict) and isinstance(each.get("config_name"), str)]
    return {each["config_name"]: tuple(_patterns(each.get("data_files"))) for each in named}


def files_of(paths: Iterable[str], config: str, card: bytes | None) -> set[str]:
    """Every file of a config: its shards, and what the card names for it and for no other config."""
    known = {path for path in paths if path not in (CARD_FILE, SPEC_FILE) and not is_backup(path)}
    configs = configs_of(card)
    others = [pattern for name, patterns in configs.items() if name != config for pattern in patterns]
    named = {path for path in known if _matches(path, configs.get(config, ())) and not _matches(path, others)}
    return shards_of(known, config) | named


def _patterns(data_files: Any) -> Iterator[str]:
    """The patterns in the ways that `data_files` is written: a path, a list of them, paths by split, entries."""
    if isinstance(data_files, str):
        yield data_files
    elif isinstance(data_files, Mapping):
        yield from _patterns(data_files["path"] if "path" in data_files else list(data_files.values()))
    elif isinstance(data_files, list):
        for each in data_files:
            yield from _patterns(each)


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(_matches_one(path.split("/"), pattern.split("/")) for pattern in patterns)


def _matches_one(parts: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches_one(parts[start:], pattern[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches_one(parts[1:], pattern[1:])
