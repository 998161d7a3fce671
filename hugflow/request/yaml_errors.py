"""Translates PyYAML's syntax errors to plain words, with the place in the file to look at."""

from __future__ import annotations

import re
from typing import NamedTuple

import yaml


class _Meaning(NamedTuple):
    """A message for errors whose text matches `pattern`. `begin`: point at the construct's start, not at the error."""

    pattern: str
    message: str
    begin: bool = False


_TEXT_AFTER = "has text after a value that is complete; put the whole value in quotes, of the other kind if it has some"
_LINE_ABOVE = "does not follow from the line above: check its indentation, and that each colon has a space after it"
_NO_NAME = "has a colon without a name before it"
_NOT_YAML = "is not YAML from here on; check quotes, brackets and indentation"

# Matched in order against "<context>: <problem>"; the tests let Hypothesis look for errors that none of them explains.
_MEANINGS = (
    _Meaning(r"found character '\\t'", "has a tab here; YAML is indented with spaces"),
    _Meaning(
        r"found character", "has a value that begins with a character that YAML reserves; put the value in quotes"
    ),
    _Meaning(r"simple key.*expected ':'", "has a line that is no field; write `name: value`, with a colon", begin=True),
    _Meaning(r"sequence entries are not", "has a list item (`- `) here; begin the list on a line of its own"),
    _Meaning(r"mapping keys are not", "has a `?` where no field can begin; put the value in quotes"),
    _Meaning(r"mapping values are not", "has a second `: ` on the line; put the value in quotes if it contains one"),
    _Meaning(r"unexpected document separator", "has a quoted text that is not closed", begin=True),
    _Meaning(r"quoted scalar.*end of stream", "has a quoted text that is not closed", begin=True),
    _Meaning(r"double-quoted", "has a backslash that means nothing in double quotes; use single quotes"),
    _Meaning(r"block scalar", "has text right after `|` or `>`; begin it on the next line, or put it in quotes"),
    _Meaning(r"(anchor|alias)", "has a value that begins with `&` or `*`; put it in quotes", begin=True),
    _Meaning(r"tag", "has a value that begins with `!`; put it in quotes", begin=True),
    _Meaning(r"directive|incompatible YAML", "has a line that begins with `%`, a YAML directive; remove it"),
    _Meaning(r"flow sequence", "has a list that is not closed with `]`, or lacks a comma", begin=True),
    _Meaning(
        r"flow mapping", "has braces that are not closed with `}`, or lack a comma; quote braces of text", begin=True
    ),
    _Meaning(r"block (mapping|collection)", "is indented differently from the lines around it"),
    _Meaning(r"node content", "has a comma, bracket or brace where a value should begin; put the value in quotes"),
    _Meaning(r"document start", "has something after the end of its fields; check the indentation of this line"),
)


def explain(error: yaml.MarkedYAMLError, text: str) -> tuple[int, str]:
    """Return the character index to point at, the problem there, and its correction."""
    technical = f"{error.context}: {error.problem}"
    meaning = next((known for known in _MEANINGS if re.search(known.pattern, technical)), _Meaning("", _NOT_YAML))
    marks = [error.context_mark, error.problem_mark] if meaning.begin else [error.problem_mark, error.context_mark]
    index = next((mark.index for mark in marks if mark is not None), 0)
    return index, _closer(technical, text, index) or meaning.message


def _closer(technical: str, text: str, index: int) -> str | None:
    """Return a more exact message than PyYAML's, from the text of the line itself."""
    before = re.split(r"[\r\n]", text[:index])[-1]
    if "mapping values" in technical and ": " not in before:
        return _LINE_ABOVE
    if "<block end>" in technical and text[index : index + 1] == ":":
        return _NO_NAME
    if "<block end>" in technical and before.strip():
        return _TEXT_AFTER
    return None
