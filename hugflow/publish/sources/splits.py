"""Splits of the files that a path names: by their names, a saved DatasetDict, or the card of a Hub repository."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hugflow.card.front_matter import CardText, parse
from hugflow.hf_client.data_files import splits_by_name, splits_by_patterns
from hugflow.model.errors import InvalidRequest
from hugflow.publish.sources.files import DataFile, Found, nothing_there
from hugflow.publish.sources.formats import file_kinds
from hugflow.publish.sources.media import FEATURES, is_metadata
from hugflow.text.printable import closest, listed, shown

DEFAULT_SPLIT = "train"
MAX_TEXT_BYTES = 1 << 24
_SPLIT_NAME = re.compile(r"\w+(?:\.\w+)*")
# fields of a config that do not change what its rows are
_NEUTRAL = frozenset({"config_name", "data_files", "data_dir", "default", "description", "version"})


@dataclass(frozen=True, slots=True)
class NamedSplit:
    """The files of a split, and sentences for people about those that are in none."""

    split: str
    found: Found
    notes: tuple[str, ...] = ()


def split_files(found: Found, split: str | None, config: str) -> list[NamedSplit]:
    """The splits of what a path names; one where the request says `split`, or where nothing tells them apart.

    `config` is the table's name: of a repository's configs the one of that name is taken. Raises InvalidRequest for
    files of which some are in a split by their names and others are not, and for cards that cannot be followed.
    """
    found = replace(found, files=_saved_files(found))
    if split is not None:
        return [NamedSplit(split, found, _joined(found, split))]
    if (saved := _of_saved(found)) is not None:
        return saved
    if (described := _of_card(found, config)) is not None:
        return described
    return _of_names(found)


# -- by name ----------------------------------------------------------------------------------------------------------


def _by_name(found: Found) -> tuple[dict[str, list[DataFile]], list[DataFile]]:
    """The files of each split by their names, and those that are in none."""
    data = file_kinds(found.files)
    metadata = [file for file in data if is_metadata(file) and any(kind in FEATURES for kind in data.values())]
    rows = {file.name: file for file in data if file not in metadata}
    try:
        names = splits_by_name(rows)
    except ValueError as error:
        raise _unclear(found, str(error)) from None
    splits = {split: [rows[name] for name in rows if name in set(some)] for split, some in names.items()}
    taken = {file for some in splits.values() for file in some}
    for file in metadata:
        folder = posixpath.dirname(file.name)
        inside = f"{folder}/" if folder else ""
        having = [split for split, some in splits.items() if any(one.name.startswith(inside) for one in some)]
        if len(having) > 1:
            problem = f"{shown(file.name)} describes files of the splits {listed(having)}"
            fix = "Put a metadata file into the folder of each split, or write `split: train` for all in one."
            raise found.place.error(problem, fix, reason="mixed_schema")
        if having or len(splits) == 1:
            having = having or list(splits)
            splits[having[0]].append(file)
            taken.add(file)
    return splits, [file for file in data if file not in taken]


def _of_names(found: Found) -> list[NamedSplit]:
    if found.is_file:
        return [NamedSplit(DEFAULT_SPLIT, found)]
    splits, left = _by_name(found)
    if found.is_glob and len(splits) == 1:
        return [NamedSplit(DEFAULT_SPLIT, found)]
    if not splits:
        raise nothing_there(found.place)
    if left:
        some = [file.name for file in left]
        raise _unclear(
            found, f"by their names some files are in {_of(splits)}, and {len(left)} in none: {listed(some[:5])}"
        )
    named = {file for some in splits.values() for file in some}
    others = tuple(file for file in found.files if file not in named)
    return [NamedSplit(split, replace(found, files=(*some, *others))) for split, some in splits.items()]


def _joined(found: Found, split: str) -> tuple[str, ...]:
    """A sentence about names that speak of other splits than the one that the request makes of all files."""
    if found.is_file:
        return ()
    try:
        splits, _ = _by_name(found)
    except InvalidRequest:
        return ()
    others = sorted(splits.keys() - {split})
    if len(splits) < 2 or not others:  # noqa: PLR2004 - nothing is joined
        return ()
    return (f"by their names the files are of {_of(splits)}; `split: {split}` makes one of them",)


def _of(splits: Mapping[str, Sequence[Any]]) -> str:
    return f"the split{'s' if len(splits) > 1 else ''} {listed(splits)}"


def _unclear(found: Found, problem: str) -> InvalidRequest:
    return found.place.error(
        problem,
        "Write `splits:` with a path for each split, or `split: train` to put all files into one.",
        reason="unclear_splits",
    )


# -- what `datasets` saves --------------------------------------------------------------------------------------------


def _named(found: Found, name: str) -> DataFile | None:
    return next((file for file in found.files if file.name == name), None) if not found.is_file else None


def _json(file: DataFile) -> dict[str, Any]:
    with file.opened() as content:
        value = json.loads(content.read(MAX_TEXT_BYTES))
    if not isinstance(value, dict):
        raise file.error("it is no JSON object", "Save the dataset again.")
    return value


def _saved_files(found: Found) -> tuple[DataFile, ...]:
    """The files without those in the folders of saved datasets that their `state.json` does not list.

    They are of an earlier save, or caches.
    """
    if found.is_file:
        return found.files
    files = {file.name: file for file in found.files}
    dropped: set[str] = set()
    for state in [file for file in found.files if posixpath.basename(file.name) == "state.json"]:
        folder = posixpath.dirname(state.name)
        prefix = f"{folder}/" if folder else ""
        listed_files = _json(state).get("_data_files")
        if not isinstance(listed_files, list):
            continue
        wanted = {prefix + str(each.get("filename")) for each in listed_files if isinstance(each, dict)}
        if missing := sorted(wanted - files.keys()):
            raise state.error(f"it lists {listed(missing)}, which is not there", "Save the dataset again.")
        dropped |= {
            name
            for name in files
            if name.endswith(".arrow") and posixpath.dirname(name) == folder and name not in wanted
        }
    return tuple(file for name, file in files.items() if name not in dropped)


def _of_saved(found: Found) -> list[NamedSplit] | None:
    """The splits of a DatasetDict or Dataset on disk."""
    if found.is_glob:
        return None
    if (saved := _named(found, "dataset_dict.json")) is not None:
        splits = _json(saved).get("splits")
        if not isinstance(splits, list) or not splits or not all(map(_is_split, splits)):
            raise saved.error("it lists no splits", "Save the dataset again.")
        parts = {split: tuple(file for file in found.files if file.name.startswith(f"{split}/")) for split in splits}
        if empty := [split for split, files in parts.items() if not file_kinds(files)]:
            raise saved.error(f"there are no files of the split {shown(empty[0])}", "Save the dataset again.")
        return [NamedSplit(split, replace(found, files=files)) for split, files in parts.items()]
    state = _named(found, "state.json")
    if state is None or not isinstance((values := _json(state)).get("_data_files"), list):
        return None
    split = values.get("_split")
    return [NamedSplit(str(split) if _is_split(split) else DEFAULT_SPLIT, found)]


def _is_split(value: Any) -> bool:
    return isinstance(value, str) and _SPLIT_NAME.fullmatch(value) is not None


# -- a clone of a repository ------------------------------------------------------------------------------------------


def _of_card(found: Found, config: str) -> list[NamedSplit] | None:
    """The splits of a config by the card of a repository that was cloned; None where there is no such card."""
    card = _named(found, "README.md")
    if card is None or found.is_glob:
        return None
    with card.opened() as content:
        text = content.read(MAX_TEXT_BYTES).decode()
    configs = parse(CardText.of(text).matter).get("configs")
    if not configs:
        return None
    values = _config(card, configs, config)
    if unknown := sorted(values.keys() - _NEUTRAL):
        raise card.error(
            f"its config {shown(str(values['config_name']))} sets {listed(map(str, unknown))}, which publishing"
            " does not follow",
            "Name the files of each split with `splits:`, and the types of columns with `columns:`.",
            reason="unsupported_card",
        )
    folder = str(values.get("data_dir") or "").strip("/").removeprefix("./")
    prefix = f"{folder}/" if folder not in {"", "."} else ""
    data = {f.name.removeprefix(prefix): f for f in file_kinds(found.files) if f.name.startswith(prefix)}
    try:
        patterns = values.get("data_files")
        names = splits_by_name(data) if patterns is None else splits_by_patterns(patterns, data)
    except ValueError as error:
        raise card.error(f"its `configs` cannot be followed: {error}", "Correct the card.") from None
    if empty := [split for split, some in names.items() if not some]:
        raise card.error(f"it names files of the split {shown(empty[0])}, and none are there", "Correct the card.")
    if not names:
        raise nothing_there(found.place)
    if wrong := [split for split in names if not _is_split(split)]:
        raise card.error(f"it names the split {shown(wrong[0])}, which cannot be one", "Correct the card.")
    notes = tuple(_unnamed(found, {file for some in names.values() for file in map(data.__getitem__, some)}))
    splits = [
        NamedSplit(split, replace(found, files=tuple(data[name] for name in some))) for split, some in names.items()
    ]
    return [replace(splits[0], notes=notes), *splits[1:]]


def _config(card: DataFile, configs: Any, name: str) -> Mapping[str, Any]:
    """The config of the table's name, the only one, or the one that the card calls default."""
    entries = [each for each in configs if isinstance(each, Mapping)] if isinstance(configs, list) else []
    by_name = {str(each.get("config_name")): each for each in entries}
    if not entries or "None" in by_name:
        raise card.error("its `configs` is no list of configs with names", "Correct the card.")
    if name in by_name:
        return by_name[name]
    defaults = [each for each in entries if each.get("default") is True]
    if len(entries) == 1 or (name == "default" and len(defaults) == 1):
        return (defaults or entries)[0]
    near = closest(name, list(by_name))
    raise card.error(
        f"its configs are {listed(by_name)}, and the table is called {shown(name)}"
        + (f"; did you mean {shown(near)}?" if near else ""),
        "Give the table the name of a config (`config_name`, or `name` in `tables`): each is a table of its own.",
        reason="unclear_config",
    )


def _unnamed(found: Found, taken: set[DataFile]) -> Iterator[str]:
    if others := [file.name for file in file_kinds(found.files) if file not in taken]:
        yield f"the card's config does not name {len(others)} files, which are left out: {listed(others[:5])}"
