"""Differences that a publish makes, as lines of text for consoles and comments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hugflow.model.plan import Difference

_SIGNS = {"add": "+", "change": "~", "remove": "-", "move": ">", "keep": "="}
MAX_FILES = 10
"""Of more files with one effect than this, the others are only counted."""


def shown_differences(differences: Iterable[Difference]) -> Iterator[Difference]:
    """The differences without the version, which has a line of its own, and with few files of each kind."""
    files: dict[str, int] = {}
    for each in differences:
        if each.kind == "file":
            files[each.effect] = files.get(each.effect, 0) + 1
        if each.kind != "version" and files.get(each.effect, 0) <= MAX_FILES:
            yield each
    for effect, number in files.items():
        if number > MAX_FILES:
            name = f"{number - MAX_FILES} more; `hugflow plan --json` lists them"
            yield Difference.model_validate({"effect": effect, "kind": "file", "name": name})


def difference_text(difference: Difference) -> str:
    """One line, such as `- remove column default.price (float64)`."""
    words = f"{_SIGNS[difference.effect]} {difference.effect} {difference.kind} {difference.name}"
    before, after = difference.before, difference.after
    if difference.effect == "move":
        return f"{words} -> {after}"
    if difference.effect == "keep":
        told = ", ".join(each for each in (before, after) if each)
        return words + (f" ({told}): the request does not name it" if told else ": the request does not name it")
    if before is not None and after is not None:
        return f"{words}: {before} -> {after}"
    return words + (f" ({before or after})" if before or after else "")
