"""Checks of row records that are read from disk: they may name files of their dataset only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

_STATUSES = {"ok", "no_audio", "failed"}
_CHECKED = 7  # the columns up to `json_sha256`; no other column is used as a path or a row number


def is_inside(path: str) -> bool:
    """True for a relative path of plain components: it cannot leave its root."""
    return "\0" not in path and all(part not in {"", ".", ".."} for part in path.split("/"))


def check_rows(rows: Iterable[Sequence[Any]]) -> None:
    """Raise ValueError unless these are values of row records. They are tested by column, for speed."""
    try:
        row, status, audio, audio_bytes, audio_sha256, json_bytes, json_sha256 = (
            *zip(*(values[:_CHECKED] for values in rows), strict=True),
        )
        if not (_are_counts(row) and set(status) <= _STATUSES):
            raise ValueError("a row has no number, or a status that does not exist")
        if not (_are_counts(audio_bytes) and _are_counts(json_bytes)):
            raise ValueError("a size is not a number of bytes")
        if not {*map(type, audio), *map(type, audio_sha256), *map(type, json_sha256)} <= {str, type(None)}:
            raise ValueError("a name or a hash is not text")
    except TypeError as error:
        raise ValueError(f"a row has other values than a record: {error}") from error
    names = [name for name in audio if name is not None]
    if not _are_plain_names(names) and not all(is_inside(name) for name in names):
        raise ValueError("a row names a file outside of its dataset")


def _are_plain_names(names: list[str]) -> bool:
    """True when all names are single safe components: tested together, because a resume tests every row's name."""
    text = "\0".join(["", *names, ""])
    return (
        "/" not in text
        and text.count("\0") == len(names) + 1
        and not any(f"\0{name}\0" in text for name in ("", ".", ".."))
    )


def _are_counts(values: Sequence[Any]) -> bool:
    return set(map(type, values)) == {int} and min(values) >= 0
