"""Set single fields of a card's front matter; all other text stays byte for byte (docs/decisions/0014).

The text of a field that changes is replaced; comments, order, quotes and line ends of all others stay. The result is
parsed again and compared: where the text could not be replaced that way, the document is serialised from its nodes,
and only comments are lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from hugflow.model.errors import InvalidRequest

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_NUMBER_LIKE = re.compile(r"[-+]?\.?[0-9][0-9a-fA-F_.:oxbe+-]*", re.IGNORECASE)
GONE = object()
"""As the value of a field: it is removed."""


@dataclass(frozen=True, slots=True)
class CardText:
    """A card in its parts: `before` the front matter (a byte order mark), `matter` the YAML
    between the lines of dashes, None where there is none, and `body` the Markdown after it.
    """

    before: str
    matter: str | None
    body: str

    @classmethod
    def of(cls, text: str) -> CardText:
        """Split a card into its parts, by the same rule as the Hub's own library."""
        mark = "\ufeff" if text.startswith("\ufeff") else ""
        lines = [line for line in _LINE.findall(text.removeprefix(mark)) if line]
        first = next((index for index, line in enumerate(lines) if line.strip()), None)
        if first is None or not _is_fence(lines[first]) or lines[first].startswith((" ", "\t")):
            return cls(mark, None, text.removeprefix(mark))
        last = next((index for index in range(first + 1, len(lines)) if _is_fence(lines[index])), None)
        if last is None:
            return cls(mark, None, text.removeprefix(mark))
        return cls(mark, "".join(lines[first + 1 : last]), "".join(lines[last + 1 :]))

    def joined(self, newline: str) -> str:
        """The card's text again."""
        matter = "" if self.matter is None else f"---{newline}{_ended(self.matter, newline)}---{newline}"
        return f"{self.before}{matter}{self.body}"


def parse(matter: str | None) -> dict[str, Any]:
    """The fields of a front matter. Raises InvalidRequest (`invalid_card`) for one that is no YAML mapping."""
    try:
        value = yaml.safe_load(matter or "")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f", near its line {line + 2}"
        raise _invalid(f"its front matter is no valid YAML{where}") from error
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise _invalid("its front matter is not a mapping of field names to values")
    return value


def updated(matter: str | None, fields: Mapping[str, Any], newline: str) -> str:
    """The front matter with `fields` set, or removed where a value is `GONE`. Fields that have their value stay as is.

    Raises InvalidRequest (`invalid_card`) for a front matter that is no YAML mapping.
    """
    text, old = matter or "", parse(matter)
    changed = {name: value for name, value in fields.items() if not _same(old.get(name, GONE), value)}
    if not changed:
        return text
    wanted = {name: value for name, value in (old | changed).items() if value is not GONE}
    result = text
    for name, value in changed.items():
        result = _with_field(result, name, value, newline)
    try:
        if _same(yaml.safe_load(result) or {}, wanted):
            return result
    except yaml.YAMLError:
        pass  # an anchor, or a style of which only the parser knows where it ends
    return _serialised(text, changed, newline)


def dump(value: Any, newline: str = "\n") -> str:
    """YAML that every parser reads the same: one line a value, nothing that looks like another type unquoted."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"), default_flow_style=False
    )
    return text.replace("\n", newline)


# -- one field -------------------------------------------------------------------------------------------------------


def _with_field(text: str, name: str, value: Any, newline: str) -> str:
    begin, end = _span(text, name)
    if begin is None or end is None:
        added = "" if value is GONE else dump({name: value}, newline)
        return (_ended(text, newline) if text.strip() else text) + added
    if value is GONE:
        return text[:begin] + text[end:]
    spliced = _spliced(text, name, value, newline) if isinstance(value, list) else None
    return spliced or text[:begin] + dump({name: value}, newline) + text[end:]


def _root(text: str) -> yaml.MappingNode | None:
    """The mapping of a front matter that is written in blocks."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None
    return node if isinstance(node, yaml.MappingNode) and not node.flow_style else None


def _span(text: str, name: str) -> tuple[int | None, int | None]:
    """The first and last position of a field's lines, without comments and blank lines after them."""
    root = _root(text)
    starts = [(key.value, key.start_mark.index) for key, _ in root.value] if root is not None else []
    for place, (key, begin) in enumerate(starts):
        if key == name:
            return begin, _trimmed(text, begin, starts[place + 1][1] if place + 1 < len(starts) else len(text))
    return None, None


def _trimmed(text: str, begin: int, end: int) -> int:
    """The end of the last line of `text[begin:end]` that is neither blank nor a comment."""
    lines = [line for line in _LINE.findall(text[begin:end]) if line]
    while len(lines) > 1 and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
        end -= len(lines.pop())
    return end


# -- the items of a list, such as `configs` --------------------------------------------------------------------------


def _spliced(text: str, name: str, value: Sequence[Any], newline: str) -> str | None:
    """`text` with only those items of a list replaced that differ, found by their `config_name`.

    None where the list is not written as one item a block, or becomes empty, so that it has to be replaced as a whole.
    """
    items = list(_items(text, name))
    new = {_config(item): item for item in value}
    if not items or not new or len(new) < len(value) or None in {*new, *(config for config, _, _ in items)}:
        return None
    parts, at = [], 0
    indent = text[items[0][1] : items[0][2]].partition("-")[0]
    for config, begin, end in items:
        old = yaml.safe_load(text[begin:end])[0]
        item = new.pop(config, GONE)
        kept = text[begin:end] if _same(old, item) else "" if item is GONE else _item(item, indent, newline)
        parts += [text[at:begin], kept]
        at = end
    added = "".join(_item(item, indent, newline) for item in new.values())
    return "".join(parts) + (newline if added and not "".join(parts).endswith(("\n", "\r")) else "") + added + text[at:]


def _items(text: str, name: str) -> Iterator[tuple[str | None, int, int]]:
    """The items of a field's block list: the config that each is about, and where its lines begin and end."""
    root, (_, end) = _root(text), _span(text, name)
    node = next((value for key, value in root.value if key.value == name), None) if root is not None else None
    if not isinstance(node, yaml.SequenceNode) or node.flow_style or end is None:
        return
    starts = [_line_start(text, item.start_mark.index) for item in node.value]
    for item, begin, stop in zip(node.value, starts, [*starts[1:], end], strict=True):
        dashed = re.match(r"[ ]*- ", text[begin:stop]) and isinstance(item, yaml.MappingNode) and not item.flow_style
        names = {key.value: value.value for key, value in item.value} if dashed else {}
        yield names.get("config_name"), begin, _trimmed(text, begin, stop)


def _line_start(text: str, index: int) -> int:
    return max(text.rfind("\n", 0, index), text.rfind("\r", 0, index)) + 1


def _item(item: Any, indent: str, newline: str) -> str:
    return "".join(indent + line for line in _LINE.findall(dump([item], newline)) if line)


def _config(item: Any) -> Any:
    return item.get("config_name") if isinstance(item, dict) else None


# -- the whole document ----------------------------------------------------------------------------------------------


def _serialised(text: str, changed: Mapping[str, Any], newline: str) -> str:
    """The document from its nodes, which keep each value as it was spelled; only comments are lost."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    pairs = {key.value: (key, value) for key, value in root.value} if isinstance(root, yaml.MappingNode) else {}
    for name, value in changed.items():
        if value is GONE:
            pairs.pop(name, None)
        else:
            new = yaml.compose(dump({name: value}), Loader=yaml.SafeLoader)
            assert isinstance(new, yaml.MappingNode)
            pairs[name] = new.value[0]
    node = yaml.MappingNode("tag:yaml.org,2002:map", list(pairs.values()), flow_style=False)
    text_again: str = yaml.serialize(node, Dumper=yaml.SafeDumper, allow_unicode=True, width=float("inf"))
    return text_again.replace("\n", newline)


class _Dumper(yaml.SafeDumper):
    """Writes text in quotes where a parser of another YAML would take it for a number, and on one line always."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the same value is written out each time
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if not text.isprintable() else "'" if _NUMBER_LIKE.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def _same(one: Any, two: Any) -> bool:
    """True if two values have the same YAML: 1 is not true, and NaN equals NaN."""
    if one is GONE or two is GONE:
        return one is two
    return bool(type(one) is type(two) and yaml.safe_dump(one) == yaml.safe_dump(two))


def _is_fence(line: str) -> bool:
    return line.rstrip() == "---"


def _ended(text: str, newline: str) -> str:
    return text if not text or text.endswith(("\n", "\r")) else text + newline


def _invalid(problem: str) -> InvalidRequest:
    return InvalidRequest(
        "reading the card of the repository",
        problem,
        "Correct README.md on the Hub; it was not changed.",
        reason="invalid_card",
    )
