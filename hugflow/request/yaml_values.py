"""Classifies unquoted YAML values: the value that YAML reads, and the text that its author may have meant.

YAML 1.1 (PyYAML) and YAML 1.2 (most editors) disagree about `yes`, `0123`, `1e3`, `12:30`. A value that any of the two
reads as something else than text is never taken for text, and one on which they disagree is never taken for anything:
it becomes `UNCLEAR`, which no field accepts, and the message asks for quotes.
"""

from __future__ import annotations

import math
import re
from enum import Enum
from typing import Any, Final

from hugflow.request.yaml_tree import Group, Listing, Node, RefusedYaml, Scalar


class Reading(Enum):
    """The type that YAML gives to a value; the words follow "as" in messages."""

    TEXT = "text"
    NOTHING = "nothing"
    NULL = "null"
    TRUE = "true"
    FALSE = "false"
    LEGACY_TRUE = "true (in YAML 1.1)"
    LEGACY_FALSE = "false (in YAML 1.1)"
    INTEGER = "a whole number"
    DECIMAL = "a decimal number"
    OTHER_NUMBER = "a number of another notation"
    DATE = "a date"


class _Unclear:
    """A value that no field accepts."""

    def __repr__(self) -> str:
        return "UNCLEAR"


UNCLEAR: Final = _Unclear()

_READINGS = (
    (Reading.NOTHING, r""),
    (Reading.NULL, r"~|null|Null|NULL"),
    (Reading.TRUE, r"true|True|TRUE"),
    (Reading.FALSE, r"false|False|FALSE"),
    (Reading.LEGACY_TRUE, r"yes|Yes|YES|on|On|ON"),
    (Reading.LEGACY_FALSE, r"no|No|NO|off|Off|OFF"),
    (Reading.DATE, r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9].*)?"),
    (Reading.INTEGER, r"[-+]?(?:0|[1-9][0-9]{0,17})"),
    (Reading.DECIMAL, r"[-+]?(?:0|[1-9][0-9]{0,17})\.[0-9]{0,30}(?:[eE][-+]?[0-9]{1,3})?"),
    (Reading.DECIMAL, r"[-+]?(?:0|[1-9][0-9]{0,17})[eE][-+]?[0-9]{1,3}"),
    (Reading.OTHER_NUMBER, r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)(?:[eE][-+]?[0-9]+)?"),
    (Reading.OTHER_NUMBER, r"[-+]?0(?:b[01_]+|o[0-7_]+|x[0-9a-fA-F_]+)"),
    (Reading.OTHER_NUMBER, r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"),
    (Reading.OTHER_NUMBER, r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"),
)


def reading(scalar: Scalar) -> Reading:
    """Tell the type that YAML readers give to a value as it is written."""
    if not scalar.plain:
        return Reading.TEXT
    return next((known for known, pattern in _READINGS if re.fullmatch(pattern, scalar.text)), Reading.TEXT)


def value(node: Node) -> Any:
    """Return the plain Python value of a tree; `UNCLEAR` for what has no certain meaning."""
    if isinstance(node, Group):
        return {key: value(child) for key, child in node.entries.items()}
    if isinstance(node, Listing):
        return [value(child) for child in node.items]
    return UNCLEAR if isinstance(node, RefusedYaml) else _scalar(node)


def as_text(node: Node) -> Any:
    """Return the same tree with each unclear or guessed value as the text of the file."""
    if isinstance(node, Group):
        return {key: as_text(child) for key, child in node.entries.items()}
    if isinstance(node, Listing):
        return [as_text(child) for child in node.items]
    return UNCLEAR if isinstance(node, RefusedYaml) else node.text


def _scalar(node: Scalar) -> Any:
    match reading(node):
        case Reading.TEXT:
            return node.text
        case Reading.NULL:
            return None
        case Reading.TRUE:
            return True
        case Reading.FALSE:
            return False
        case Reading.INTEGER:
            return int(node.text)
        case Reading.DECIMAL if math.isfinite(float(node.text)):
            return float(node.text)
        case _:
            return UNCLEAR
