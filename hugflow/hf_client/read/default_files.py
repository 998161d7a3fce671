"""The splits that `datasets` finds by the names of files, where the card of a repository names none."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path


def default_files(paths: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The paths of each split by the rules of `datasets` itself, applied to empty files with these names.

    Empty where no path is that of a data file.
    """
    from datasets.data_files import EmptyDatasetError, get_data_patterns  # noqa: PLC0415 - takes seconds, seldom needed

    with tempfile.TemporaryDirectory(prefix="hugflow-names-") as name:
        folder = Path(name).resolve()
        for path in paths:
            file = folder / path
            if not file.resolve().is_relative_to(folder):
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        try:
            patterns = get_data_patterns(str(folder))
        except (EmptyDatasetError, ValueError):  # no file, or a split's name that is none
            return {}
        return {str(split): tuple(_resolved(each, folder)) for split, each in patterns.items()}


def _resolved(patterns: Iterable[str], folder: Path) -> Iterator[str]:
    from datasets.data_files import resolve_pattern  # noqa: PLC0415 - as above

    for pattern in patterns:
        with suppress(FileNotFoundError):
            for file in resolve_pattern(pattern, str(folder)):
                yield Path(file).relative_to(folder).as_posix()
