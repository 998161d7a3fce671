"""Parses YAML to a tree whose values know their line and column; refuses YAML features that requests do not use.

Works on PyYAML's events, so nothing is constructed, followed or expanded: no tag, no alias, no merge key ever takes
effect, and nesting ends the reading before it can cost anything. Positions are counted from the character index,
because PyYAML counts rare line breaks (U+0085, U+2028) that editors and Git do not.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from hugflow.request.yaml_errors import explain
from hugflow.text.printable import shown

MAX_BYTES = 64 * 1024
MAX_DEPTH = 8

Loc = tuple[str | int, ...]
"""The place of a value in the tree: keys and list indexes from the root, such as `("tables", 0, "name")`."""

_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a text file, both counted from 1; `column` in characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value. `plain`: written without quotes, so that YAML readers guess its type."""

    at: Position
    text: str
    plain: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """A list."""

    at: Position
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Fields with their values, in the order of the file; of a repeated key, the first."""

    at: Position
    entries: dict[str, Node]
    keys: dict[str, Position]


@dataclass(frozen=True, slots=True)
class RefusedYaml:
    """A construct that has been reported already, so that no further message follows."""

    at: Position


Node = Scalar | Listing | Group | RefusedYaml


@dataclass(frozen=True, slots=True)
class Fault:
    """An error of the YAML itself, at a position; `loc` is empty for faults of the whole file."""

    at: Position
    loc: Loc
    message: str


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document. `root` is None where the text could not be parsed to its end, or has no fields."""

    root: Group | None
    faults: tuple[Fault, ...]


def read(data: bytes, example: str = "hf_id: org/name") -> Document:
    """Parse one YAML document whose root is a group of fields. Never raises, whatever `data` contains.

    `example` is a field that messages show to those who wrote none.
    """
    start = Position(1, 1)
    if len(data) > MAX_BYTES:
        return Document(None, (Fault(start, (), f"is larger than {MAX_BYTES // 1024} KiB; make it shorter"),))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        return Document(None, (Fault(_Places(before).at(len(before)), (), "is not UTF-8 text; save it as UTF-8"),))
    return _Reader(text, _Places(text), example).document()


def find(root: Node, loc: Loc) -> Node | None:
    """Return the value at `loc`; None where the tree has none."""
    node: Node | None = root
    for step in loc:
        if isinstance(node, Group) and isinstance(step, str):
            node = node.entries.get(step)
        elif isinstance(node, Listing) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
        else:
            return None
    return node


def walk(node: Node, loc: Loc = ()) -> Iterator[tuple[Loc, Node]]:
    """Yield each value of the tree with its place, outer ones first."""
    yield loc, node
    if isinstance(node, Group):
        for key, value in node.entries.items():
            yield from walk(value, (*loc, key))
    elif isinstance(node, Listing):
        for place, value in enumerate(node.items):
            yield from walk(value, (*loc, place))


def _index(event: yaml.Event) -> int:
    mark = event.start_mark
    return mark.index if mark is not None else 0


class _Stop(Exception):
    """Ends the parsing; the reason is among the faults."""


class _Places:
    """Turns a character index into line and column."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer(r"\r\n|\n|\r", text))]

    def at(self, index: int) -> Position:
        line = bisect.bisect_right(self._starts, index)
        return Position(line, index - self._starts[line - 1] + 1)


@dataclass(slots=True)
class _Reader:
    """Parses one text and collects its faults."""

    text: str
    places: _Places
    example: str
    faults: list[Fault] = field(default_factory=list)

    def document(self) -> Document:
        root = None
        unreadable = _UNREADABLE.search(self.text)
        if unreadable:
            self._fault(unreadable.start(), (), f"has the control character {shown(unreadable[0])} here; remove it")
        else:
            try:
                root = self._root(self._events())
            except _Stop:
                root = None
        return Document(root, tuple(self.faults))

    def _events(self) -> Iterator[yaml.Event]:
        """PyYAML's events; a syntax error becomes a fault and ends the reading."""
        try:
            yield from yaml.parse(self.text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            index, message = explain(error, self.text)
            self._fault(index, (), message)
            raise _Stop from None
        except (yaml.YAMLError, ValueError, OverflowError):
            # PyYAML lets these out for escapes and version numbers beyond all bounds, without a position
            suspect = re.search(r"\\U(?!000|0010)[0-9A-Fa-f]{8}|%YAML", self.text)
            index = suspect.start() if suspect else 0
            self._fault(index, (), "has a number that is too large for YAML; look for `\\U` or `%YAML`")
            raise _Stop from None

    def _root(self, events: Iterator[yaml.Event]) -> Group | None:
        root: Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                self._fault(_index(event), (), "a second document begins here; keep one in each file")
                break
            if isinstance(event, yaml.NodeEvent):
                root = self._node(event, events, ())
        if isinstance(root, Group):
            return root
        self._no_fields(root)
        return None

    def _no_fields(self, root: Node | None) -> None:
        example = f"write fields, one on each line, like `{self.example}`"
        if root is None or (isinstance(root, Scalar) and root.plain and not root.text):
            self.faults.append(Fault(Position(1, 1), (), f"is empty; {example}"))
        elif isinstance(root, Listing):
            self.faults.append(Fault(root.at, (), f"is a list; {example}, without `- ` before them"))
        elif isinstance(root, Scalar):
            hint = ", with a space after the colon" if re.match(r"\w+:", root.text) else ""
            self.faults.append(Fault(root.at, (), f"is a single text; {example}{hint}"))

    def _node(self, event: yaml.NodeEvent, events: Iterator[yaml.Event], loc: Loc) -> Node:
        at = self._at(event)
        if isinstance(event, yaml.AliasEvent):
            self._fault(_index(event), loc, "must be written out: aliases (`*name`) are not supported")
            return RefusedYaml(at)
        if event.anchor is not None:
            self._fault(_index(event), loc, "must have no anchor (`&name`); remove it")
        node = self._content(event, events, loc, at)
        if getattr(event, "tag", None) is not None:
            self._fault(_index(event), loc, "must have no tag; quote a text that begins with `!`")
            return RefusedYaml(at)
        return node

    def _content(self, event: yaml.NodeEvent, events: Iterator[yaml.Event], loc: Loc, at: Position) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(at, event.value, plain=event.style is None)
        if len(loc) >= MAX_DEPTH:
            self._fault(_index(event), loc, f"is nested more than {MAX_DEPTH} levels deep")
            raise _Stop
        return (self._listing if isinstance(event, yaml.SequenceStartEvent) else self._group)(events, loc, at)

    def _listing(self, events: Iterator[yaml.Event], loc: Loc, at: Position) -> Node:
        items: list[Node] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            assert isinstance(event, yaml.NodeEvent)
            items.append(self._node(event, events, (*loc, len(items))))
        return Listing(at, tuple(items))

    def _group(self, events: Iterator[yaml.Event], loc: Loc, at: Position) -> Node:
        """Parse fields; those of a group with an impossible key are parsed for their own faults only."""
        group = Group(at, {}, {})
        possible = True
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            assert isinstance(event, yaml.NodeEvent)
            possible &= self._entry(group, event, events, loc)
        return group if possible or not loc else RefusedYaml(at)

    def _entry(self, group: Group, event: yaml.NodeEvent, events: Iterator[yaml.Event], loc: Loc) -> bool:
        """Parse a key and its value into the group; False when no field can have such a key."""
        index, before = _index(event), len(self.faults)
        key = self._node(event, events, (*loc, ""))
        name = key.text if isinstance(key, Scalar) else ""
        following = next(events)
        assert isinstance(following, yaml.NodeEvent)
        value = self._node(following, events, (*loc, name))
        if not isinstance(key, Scalar) or (key.plain and not name):
            if len(self.faults) == before:
                self._fault(index, loc, "has no name for a field here; put a text with braces or brackets in quotes")
            return False
        if key.plain and name == "<<":
            self._fault(index, loc, "merge keys (`<<`) are not supported; write the fields out")
        elif name in group.entries:
            first = group.keys[name].line
            self._fault(index, (*loc, name), f"is set twice, first on line {first}; keep one of them")
        else:
            group.entries[name] = value
            group.keys[name] = key.at
        return True

    def _at(self, event: yaml.Event) -> Position:
        return self.places.at(_index(event))

    def _fault(self, index: int, loc: Loc, message: str) -> None:
        self.faults.append(Fault(self.places.at(index), tuple(step for step in loc if step != ""), message))
