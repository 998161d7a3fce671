"""Formatting of sizes, counts and times for people, and escaping of untrusted text for terminals and job logs.

Markdown, Slack and HTML have modules of their own.
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Literal

NBSP = "\u00a0"
ELLIPSIS = "\u2026"
NEWLINE_SIGN = "\u23ce"
NOTHING = "\u2014"

# Joiners that Persian, the Indic scripts and emoji are written with; every other format character is shown by number.
_KEPT_FORMAT_CHARACTERS = frozenset("\u200c\u200d")
_LINE_BREAK = re.compile(r"\r\n|[\n\u0085\u2028\u2029]")
# unit, seconds below which it is used, its seconds, the unit after it, that one's seconds
_SPANS = (("min", 3600, 60, "s", 1), ("h", 86_400, 3600, "min", 60), ("d", math.inf, 86_400, "h", 3600))
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def one_line(text: str, limit: int | None = None) -> str:
    """`text` on one line, with controls, ANSI, bidi overrides and lone surrogates replaced by visible signs.

    At most `limit` characters.
    """
    flat = text if text.isprintable() else "".join(map(_visible, _LINE_BREAK.sub(f" {NEWLINE_SIGN} ", text)))
    return shorten(flat.strip(), limit)


def lines(text: str, limit: int | None = None) -> str:
    """Like `one_line`, but keeps the line breaks."""
    return shorten("\n".join(one_line(line) for line in _LINE_BREAK.split(text)), limit)


def shorten(text: str, limit: int | None) -> str:
    """`text`, or its beginning and an ellipsis: at most `limit` characters."""
    if limit is None or len(text) <= limit:
        return text
    return text[: max(0, limit - 1)].rstrip() + ELLIPSIS


def _visible(character: str) -> str:
    code = ord(character)
    if code < 0x20:  # noqa: PLR2004 - the C0 controls, which Unicode has pictures of
        return chr(0x2400 + code)
    if code == 0x7F:  # noqa: PLR2004 - DEL
        return "\u2421"
    if character.isprintable() or character in _KEPT_FORMAT_CHARACTERS:
        return character
    return _by_category(character, code)


def _by_category(character: str, code: int) -> str:
    category = unicodedata.category(character)
    if category == "Cs" or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF:  # noqa: PLR2004 - noncharacters
        return "\ufffd"
    if category in ("Cc", "Cf", "Zl", "Zp"):
        return f"\u27e8U+{code:04X}\u27e9"
    return character


def size(number_of_bytes: float) -> str:
    """Bytes for people, in powers of 1000: `999 B`, `1.4 GB`, `120 MB`. Three digits at most."""
    value, unit = float(number_of_bytes), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:  # noqa: PLR2004 - what would be shown as 1000
        value, unit = value / 1000, unit + 1
    digits = 1 if unit and value < 99.95 else 0  # noqa: PLR2004 - what would be shown as 100.0
    return f"{value:.{digits}f}{NBSP}{_UNITS[unit]}"


def count(number: int) -> str:
    """A count with its thousands apart: `12 345`."""
    return f"{number:,}".replace(",", NBSP)


def plural(number: int, one: str, many: str | None = None) -> str:
    """A count and its noun: `1 row`, `12 345 rows`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def row_count(number: int | None) -> str:
    """A number of rows that may be unknown: `12 345 rows`, `unknown number of rows`."""
    return "unknown number of rows" if number is None else plural(number, "row")


def duration(seconds: float) -> str:
    """A time span in its two largest units: `42 s`, `3 min 07 s`, `1 h 05 min`, `2 d 03 h`."""
    whole = round(seconds)
    if whole < 1:
        return f"<{NBSP}1{NBSP}s" if seconds > 0 else f"0{NBSP}s"
    if whole < 60:  # noqa: PLR2004 - seconds of a minute
        return f"{whole}{NBSP}s"
    unit, _, span, next_unit, part = next(row for row in _SPANS if whole < row[1])
    return f"{whole // span}{NBSP}{unit}{NBSP}{whole % span // part:02d}{NBSP}{next_unit}"


def clock(seconds: float) -> str:
    """The length of a clip: `0:07.4`, `12:30.0`, `1:02:03.5`."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest // 10:02d}.{rest % 10}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"


def percent(part: float, whole: float) -> str:
    """`part` of `whole`, rounded down so that 100 % means all: `99 %`."""
    return f"{_percentage(part, whole)}{NBSP}%"


def bar(part: float, whole: float, width: int = 10) -> str:
    """A bar of text, filled by `part` of `whole`; full only when nothing is left."""
    filled = _percentage(part, whole) * width // 100
    return "\u2588" * filled + "\u2591" * (width - filled)


def _percentage(part: float, whole: float) -> int:
    return 100 if whole <= 0 else max(0, min(100, int(part * 100 // whole)))


def terminal(text: str) -> str:
    """Untrusted text for a terminal: line breaks stay, control characters become visible signs."""
    return lines(text)


def log_line(text: str) -> str:
    """Untrusted text on one line of a job's log, where `::name::` and `##[name]` would be commands.

    An invisible space breaks such a command; the text still reads the same.
    """
    return re.sub(r"(?<=:)(?=:)|(?<=##)(?=\[)", "\u200b", one_line(text))


def no_commands(text: str) -> str:
    """Lines for a job's log of which none is a command to the runner; they still read the same."""
    return re.sub(r"(?m)^[^\S\n]*:(?=:)|##(?=\[)", "\\g<0>\u200b", text)


def workflow_command(name: Literal["error", "warning", "notice"], message: str, **properties: str | int | None) -> str:
    """A command for the runner, like `::error file=a.yaml,line=3::message`, from text of unknown origin.

    Escaping: GitHub's toolkit, `packages/core/src/command.ts`.
    """
    pairs = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items() if value is not None)
    return f"::{name}{' ' if pairs else ''}{pairs}::{_data(lines(message))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(one_line(text)).replace(":", "%3A").replace(",", "%2C")
