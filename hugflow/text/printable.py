"""Makes text from requests, datasets and other systems safe to show in a message: one line, escaped, short."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MAX_SHOWN = 60
MAX_LISTED = 20


def printable(text: str) -> str:
    r"""Escape characters that a terminal or a reader could misread: controls, ANSI, bidi, line breaks.

    What is left is one line of characters that show themselves; the rest reads like `\x1b` or `\u202e`.
    """
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def shown(text: str, limit: int = MAX_SHOWN) -> str:
    """Quote `text` as a value inside a sentence: escaped, shortened to about `limit` characters, in backquotes."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    return f"`{printable(short).replace('`', chr(0x27))}`"


def listed(names: Iterable[str], limit: int = MAX_LISTED) -> str:
    """Name all choices, as `a`, `b`, `c`; after `limit` of them, how many more there are."""
    every = list(names)
    text = ", ".join(shown(name) for name in every[:limit])
    return text + (f" and {len(every) - limit} more" if len(every) > limit else "")


def closest(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that the author of `name` probably meant; None when none is similar."""
    wanted = _folded(name[:200])
    folded = {_folded(other): other for other in names}
    begun = [other for other in folded if len(wanted) > 2 and other.startswith(wanted)]  # noqa: PLR2004 - "id" begins too much
    near = begun if len(begun) == 1 else difflib.get_close_matches(wanted, list(folded), n=1, cutoff=0.6)
    return folded[near[0]] if near else None


def _folded(name: str) -> str:
    return name.casefold().replace("-", "_")


def _escape(character: str) -> str:
    """Spell one character as Python would inside a string, half surrogate pairs included."""
    return ascii(character)[1:-1]
