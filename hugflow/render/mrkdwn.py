"""Slack's mrkdwn: text of unknown origin as text.

Slack reads `&`, `<` and `>` as markup (`<!channel>`, `<@U1>`, `<https://...|label>`), and has no escape for the signs
of bold, italic and code: those are kept from acting by a code span, in which only a backtick must not stand.
"""

from __future__ import annotations

import re

from hugflow.render.humanize import NOTHING, lines, one_line

_BROADCAST = re.compile(r"@(?=(?:here|channel|everyone|group)\b)", re.IGNORECASE)


def escape(text: str) -> str:
    """Our own sentences: the three characters of markup, and no broadcast word, whatever the workspace's settings."""
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _BROADCAST.sub("@\u2060", safe)


def code(text: str, limit: int | None = 150) -> str:
    """A code span that shows `one_line(text)`; its backticks become a look-alike; an em dash for blank text."""
    shown = one_line(text, limit)
    return f"`{escape(shown.replace('`', chr(0x2CB)))}`" if shown else NOTHING


def block(text: str, limit: int | None = 1500) -> str:
    """A block of code that shows `lines(text)`; its backticks become a look-alike."""
    return f"```{escape(lines(text, limit).replace('`', chr(0x2CB)))}```"


def link(label: str, url: str) -> str:
    """A link; both sides are escaped."""
    target = re.sub(r"[|\s<>]", lambda match: f"%{ord(match.group()):02X}", one_line(url))
    return f"<{target.replace('&', '&amp;')}|{escape(one_line(label)).replace('|', '/')}>"
