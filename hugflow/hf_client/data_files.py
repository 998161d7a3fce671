"""Assigns data files to splits by their names and by a card's configs, as `datasets` does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fsspec.utils import glob_translate

_ROOT = "root/"


def splits_by_name(names: Iterable[str]) -> dict[str, list[str]]:
    """The names of each split, by `train`, `test`, `dev` and the like in them; without any of these, all are `train`.

    Names are paths with `/`. Those that no split has are left out. Raises ValueError for a split that cannot exist.
    """
    from datasets.data_files import _get_data_files_patterns  # noqa: PLC0415 - half a second

    names = list(names)
    found = _matcher(names)
    # what the library calls for each of its patterns; there is no public function that does not list a file system
    patterns = _get_data_files_patterns(found) if names else {}
    return {str(split): _matching(found, some) for split, some in patterns.items()}


def splits_by_patterns(data_files: Any, names: Iterable[str]) -> dict[str, list[str]]:
    """The names of each split by the `data_files` of a card's config. Raises ValueError for an invalid field."""
    found = _matcher(list(names))
    patterns = {split: [str(one).removeprefix("./") for one in some] for split, some in _patterns(data_files).items()}
    return {split: _matching(found, some) for split, some in patterns.items()}


def _patterns(data_files: Any) -> dict[str, list[str]]:
    from datasets.data_files import sanitize_patterns  # noqa: PLC0415 - as above

    try:
        patterns: dict[str, list[str]] = sanitize_patterns(data_files)
    except TypeError as error:
        raise ValueError(str(error)) from error
    return patterns


def _matcher(names: Sequence[str]) -> Callable[[str], list[str]]:
    def matching(pattern: str) -> list[str]:
        expression = re.compile(glob_translate(_ROOT + pattern))
        return [name for name in names if expression.match(_ROOT + name)]

    return matching


def _matching(found: Callable[[str], list[str]], patterns: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name for pattern in patterns for name in found(pattern)))
