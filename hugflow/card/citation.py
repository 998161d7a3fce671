"""Find the citation in the text of a dataset's card. Pure."""

from __future__ import annotations

import re

from hugflow.card.front_matter import CardText

_HEADING = re.compile(r"^#{1,6}[ \t]*[^\n]*\b(?:citation|citing|cite)\b[^\n]*$", re.IGNORECASE | re.MULTILINE)
_NEXT_HEADING = re.compile(r"^#{1,6}[ \t]", re.MULTILINE)
_FENCE = re.compile(r"^(?P<ticks>`{3,}|~{3,})[^\n]*\n(?P<text>.*?)^(?P=ticks)[ \t]*$", re.DOTALL | re.MULTILINE)
_BIBTEX = re.compile(r"^\s*@\w+\s*\{", re.MULTILINE)
_PLACEHOLDER = "[More Information Needed]"
MAX_CHARACTERS = 10_000


def citation_of(card: str) -> str | None:
    """The citation of a card: the block below its heading, or a BibTeX block anywhere; None where it has none."""
    body = CardText.of(card.replace("\r\n", "\n")).body
    for heading in _HEADING.finditer(body):
        rest = body[heading.end() :]
        end = _NEXT_HEADING.search(_FENCE.sub(lambda found: " " * len(found.group()), rest))
        section = rest[: end.start()] if end else rest
        found = [fence["text"] for fence in _FENCE.finditer(section)] or [section]
        text = "\n".join(each.strip() for each in found).strip()
        if text and _PLACEHOLDER.casefold() not in text.casefold() and len(text) <= MAX_CHARACTERS:
            return text
    blocks = (fence["text"].strip() for fence in _FENCE.finditer(body))
    return next((each for each in blocks if _BIBTEX.match(each) and len(each) <= MAX_CHARACTERS), None)
