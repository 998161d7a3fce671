"""GitHub's Markdown: text of unknown origin as text, and the few constructs that our comments are made of.

Text of unknown origin goes into code spans and fences only: GitHub looks for mentions, issue numbers, addresses, emoji
and HTML nowhere in code. (An HTML entity would not do: mentions are found after entities are decoded.)
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from hugflow.render.humanize import ELLIPSIS, NOTHING, lines, one_line, plural

Align = Literal["left", "right", "center"]

# Comments hold 65,536 characters and check-run summaries 65,535; bytes are the stricter count.
COMMENT_BYTES = 65_000
STEP_SUMMARY_BYTES = 1_000_000
_WORD = re.compile(r"[^ ]+")
# What makes GitHub link, notify, or draw an emoji: mentions, issue numbers, addresses, `GH-1`, `:name:`.
_LINKED = re.compile(r"[@#]|://|www\.|GH-\d|:[\w+-]+:|mailto:|xmpp:", re.IGNORECASE)
# Such a word right beside a quoted value: the two code spans would run into each other.
_LINKED_EDGE = re.compile(rf"\A[^ ]*?(?:{_LINKED.pattern})|(?:{_LINKED.pattern})[^ ]*\Z", re.IGNORECASE)
_SIGNS = re.compile(r"[\\*_~\[\]<>&!|$]")
_AT_START = re.compile(r"\A(\d*)([-+.)=:])")
_RULES: dict[Align, Callable[[int], str]] = {
    "left": lambda width: ":" + "-" * (width - 1),
    "right": lambda width: "-" * (width - 1) + ":",
    "center": lambda width: ":" + "-" * (width - 2) + ":",
}


def code(text: str, limit: int | None = 200) -> str:
    """A code span that shows exactly `one_line(text)`, whatever is in it; an em dash for blank text."""
    shown = one_line(text, limit)
    if not shown:
        return NOTHING
    ticks = "`" * (_longest_run(shown) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{ticks}{pad}{shown}{pad}{ticks}"


def sentence(text: str, limit: int | None = 600) -> str:
    """Render a message with values in backquotes: values as code, the rest as plain text.

    Outside the quotes, a word that GitHub would turn into a link or a notification is shown as code too; Markdown
    signs are escaped in all others.
    """
    parts = one_line(text, limit).split("`")
    unpaired = len(parts) % 2 == 0  # no telling which parts are quoted
    if unpaired or any(_LINKED_EDGE.search(part) for part in parts[::2]):
        return code(text, limit)
    shown = (code(part, None) if index % 2 else _WORD.sub(_word, part) for index, part in enumerate(parts))
    return _AT_START.sub(r"\1\\\2", "".join(shown))


def _word(match: re.Match[str]) -> str:
    word = match.group()
    return code(word, None) if _LINKED.search(word) else _SIGNS.sub(r"\\\g<0>", word)


def fence(text: str, limit: int | None = 4000) -> str:
    """A fenced block that shows `lines(text)`, whatever is in it."""
    shown = lines(text, limit)
    ticks = "`" * max(3, _longest_run(shown) + 1)
    return f"{ticks}text\n{shown}\n{ticks}"


def html_code(text: str, limit: int | None = 200) -> str:
    """`code` for places that are HTML to Markdown, such as the summary line of `details`."""
    return f"<code>{html.escape(one_line(text, limit))}</code>"


def link(label: str, url: str) -> str:
    """A link. `label` is Markdown already; of `url` only what is safe between angle brackets is kept."""
    safe = re.sub(r"[\s<>\\]", lambda match: f"%{ord(match.group()):02X}", one_line(url))
    return f"[{label}](<{safe}>)"


def table(header: Sequence[str], align: Sequence[Align], rows: Iterable[Sequence[str]]) -> str:
    """Render a table of Markdown cells, padded so that it is readable as plain text too."""
    cells = [[cell.replace("|", r"\|") for cell in row] for row in (header, *rows)]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(header))]
    out = [_row(_padded(cells[0], widths, align))]
    out.append(_row(_RULES[how](width) for how, width in zip(align, widths, strict=True)))
    out += [_row(_padded(row, widths, align)) for row in cells[1:]]
    return "\n".join(out)


def details(summary: str, body: str) -> str:
    """Render a folded part. `summary` is HTML, `body` Markdown."""
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def marker(name: str, value: str = "") -> str:
    """Render a hidden HTML comment by which we find our own comments."""
    if not re.fullmatch(r"[\w:./ -]*", name + value, re.ASCII):
        raise ValueError(f"a marker is letters, digits and :./-, not {name + value!r}")
    return f"<!-- hugflow:{name}{' ' if value else ''}{value} -->"


def paragraphs(*parts: str) -> str:
    """Join the non-empty parts with blank lines; one line break at the end."""
    return "\n\n".join(part for part in parts if part) + "\n"


def fit(limit_bytes: int, *versions: Callable[[], str]) -> str:
    """Return the first of `versions` (longest first) that fits; else the last one, cut at the end of a line."""
    text = ""
    for version in versions:
        text = version()
        if len(text.encode()) <= limit_bytes:
            return text
    return cut(text, limit_bytes)


def cut(text: str, limit_bytes: int) -> str:
    """Return the first lines of `text` that fit, with the number of missing lines."""
    if len(text.encode()) <= limit_bytes:
        return text
    room = limit_bytes - 100  # for the last sentence
    kept = text.encode()[:room].decode(errors="ignore").rpartition("\n")[0]
    missing = text.count("\n", len(kept))
    return f"{kept}\n\n{ELLIPSIS} and {plural(missing, 'line')} more.\n"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _padded(row: Sequence[str], widths: Sequence[int], align: Sequence[Align]) -> Iterable[str]:
    for cell, width, how in zip(row, widths, align, strict=True):
        yield cell.rjust(width) if how == "right" else cell.ljust(width)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
