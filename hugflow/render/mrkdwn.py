"""Escape text of unknown origin for Slack's mrkdwn.

Slack reads `&`, `<` and `>` as markup (`<!channel>`, `<@U1>`, `<https://...|label>`), and has no escape for the signs
of bold, italic and code: such text is put into a code span, which must not contain a backtick.
"""

from __future__ import annotations

import re

from hugflow.render.humanize import NOTHING, lines, one_line

_BROADCAST = re.compile(r"@(?=(?:here|channel|everyone|group)\b)", re.IGNORECASE)


def escape(text: str) -> str:
    """Escape the three characters of markup and broadcast words such as `@here` in our own sentences."""
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _BROADCAST.sub("@\u2060", safe)


def code(text: str, limit: int | None = 150) -> str:
    """Render a code span of `one_line(text)`, backticks replaced by a look-alike; an em dash for blank text."""
    shown = one_line(text, limit)
    return f"`{escape(shown.replace('`', chr(0x2CB)))}`" if shown else NOTHING


def block(text: str, limit: int | None = 1500) -> str:
    """Render a code block of `lines(text)`, backticks replaced by a look-alike."""
    return f"```{escape(lines(text, limit).replace('`', chr(0x2CB)))}```"


def link(label: str, url: str) -> str:
    """Render a link; label and address are escaped."""
    target = re.sub(r"[|\s<>]", lambda match: f"%{ord(match.group()):02X}", one_line(url))
    return f"<{target.replace('&', '&amp;')}|{escape(one_line(label)).replace('|', '/')}>"
