"""Paths of a repository: those of a config's shards, of earlier versions, and of the files that a card names. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from hugflow.card.front_matter import CardText, parse
from hugflow.card.published import files_of
from hugflow.card.sections import plain_glob
from hugflow.model.publish_spec import DEFAULT_CONFIG, DEFAULT_FOLDER, Layout

CARD_FILE = "README.md"
SPEC_FILE = "spec.json"
# older versions of `datasets` put a hash behind the numbers
_NUMBERS = r"-\d{5}-of-\d{5}(?:-[0-9a-f]{16})?\.parquet"
_LISTED_FILES = 20
"""More files of one folder than this are named by a pattern, where one matches no other file."""


def folder_of(config: str, layout: Layout = "shards") -> str:
    """The folder of a config's shards."""
    if layout == "tables":
        return f"{DEFAULT_FOLDER}/{config}"
    return DEFAULT_FOLDER if config == DEFAULT_CONFIG else config


def data_paths(config: str, split: str, count: int, layout: Layout = "shards", *, is_only: bool = False) -> list[str]:
    """The paths of a split's shards. In `layout` "tables" the one shard of the only split has a path of its own."""
    folder = folder_of(config, layout)
    if layout == "tables" and is_only and count == 1:
        return [f"{folder}.parquet"]
    return [f"{folder}/{split}-{index:05d}-of-{count:05d}.parquet" for index in range(count)]


def pattern_of(config: str, split: str, count: int, layout: Layout = "shards", *, is_only: bool = False) -> str:
    """The pattern in the card for the paths of `data_paths`: it matches no shard of another set."""
    if layout == "tables" and is_only and count == 1:
        return plain_glob(data_paths(config, split, count, layout, is_only=True)[0])
    return files_of(folder_of(config, layout), split, count)


def shards_of(paths: Iterable[str], config: str, split: str | None = None) -> set[str]:
    """The files that are shards of a config by their names, in any layout; only those of `split` where it is given."""
    name = r"[^/]+" if split is None else re.escape(split)
    folders = "|".join(re.escape(folder_of(config, layout)) for layout in ("shards", "tables"))
    pattern = re.compile(rf"(?:{folders})/{name}{_NUMBERS}|{re.escape(folder_of(config, 'tables'))}\.parquet")
    return {path for path in paths if pattern.fullmatch(path)}


def backup_path(path: str, version: int, layout: Layout = "shards") -> str:
    """The path of a file of an earlier version."""
    if layout == "tables":
        return f"{DEFAULT_FOLDER}/v{version}/{path.removeprefix(f'{DEFAULT_FOLDER}/')}"
    return f"v{version}/{path}"


def is_backup(path: str) -> bool:
    """True if the file belongs to an earlier version."""
    return re.match(rf"(?:{DEFAULT_FOLDER}/)?v\d+/", path) is not None


# -- the card's `configs` --------------------------------------------------------------------------------------------


def entries_of(card: bytes | None) -> dict[str, Mapping[str, Any]]:
    """The entries of `configs` in a card by their names. Raises InvalidRequest for a card that cannot be read."""
    configs = parse(CardText.of((card or b"").decode("utf-8", "replace")).matter).get("configs")
    named = [each for each in configs if isinstance(each, Mapping)] if isinstance(configs, list) else []
    return {str(each.get("config_name", DEFAULT_CONFIG)): each for each in named}


def split_patterns(entry: Mapping[str, Any]) -> dict[str, list[str]] | None:
    """The patterns of each split of an entry, relative to the repository; None where `datasets` looks by itself."""
    data_files, base = entry.get("data_files"), data_dir_of(entry)
    if data_files is None:
        return None
    if isinstance(data_files, list) and data_files and all(isinstance(each, Mapping) for each in data_files):
        by_split = [(str(each.get("split", "train")), each.get("path")) for each in data_files]
    elif isinstance(data_files, Mapping):
        by_split = [(str(split), paths) for split, paths in data_files.items()]
    else:
        by_split = [("train", data_files)]
    return {split: [f"{base}{pattern}" for pattern in _texts(paths)] for split, paths in by_split}


def data_dir_of(entry: Mapping[str, Any]) -> str:
    """The folder of an entry, with a `/` at its end; empty for the whole repository."""
    folder = str(entry.get("data_dir") or "").strip("/").removeprefix("./")
    return f"{folder}/" if folder not in ("", ".") else ""


def _texts(paths: Any) -> Iterator[str]:
    for each in paths if isinstance(paths, list) else [paths]:
        if isinstance(each, str):
            yield each.removeprefix("./")


def matching(paths: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """The paths that any of the patterns matches, as `datasets` orders them: by pattern, then by name."""
    known = sorted(paths)
    found = (path for pattern in patterns for path in known if _matches(path.split("/"), pattern.split("/")))
    return list(dict.fromkeys(found))


def explicit_patterns(files: Iterable[str], paths: Iterable[str]) -> list[str]:
    """Patterns that match just `files` of all `paths`, and nothing that another folder gets later."""
    folders: dict[tuple[str, str], list[str]] = {}
    for file in files:
        folder, _, name = file.rpartition("/")
        folders.setdefault((folder, name[name.find(".") :] if "." in name else ""), []).append(file)
    everything: list[str] = list(paths)
    patterns: list[str] = []
    for (folder, suffix), group in folders.items():
        pattern = f"{plain_glob(folder)}/*{plain_glob(suffix)}" if folder else f"*{plain_glob(suffix)}"
        is_many = len(group) > _LISTED_FILES
        is_exact = is_many and set(matching(everything, [pattern])) == set(group)
        patterns += [pattern] if is_exact else [plain_glob(file) for file in group]
    return patterns


def _matches(parts: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[start:], pattern[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])
