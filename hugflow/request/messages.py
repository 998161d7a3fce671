"""Messages for wrong request fields, in place of pydantic's own texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from hugflow.model.spec_types import BETWEEN_FIELDS, Kind
from hugflow.model.specs import SPECS, Spec
from hugflow.request.yaml_tree import Fault, Group, Loc, Node, Position, RefusedYaml, Scalar, find
from hugflow.request.yaml_values import Reading, as_text, reading, value
from hugflow.text.printable import closest, listed, printable, shown

_SENTENCES = {
    "bool_type": "must be `true` or `false`, without quotes",
    "int_type": "must be a whole number, without quotes",
    "tuple_type": "must be a list, like `[one, two]`",
    "dict_type": "must be names with values, each pair on a line of its own, indented",
    "model_type": "must be fields with values, each on a line of its own, indented",
    "string_unicode": "must be text without half surrogate pairs",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_long": "must have at most {max_length:,} characters",
    "too_long": "must have at most {max_length:,} entries",
    "too_short": "must not be empty; leave it out if there is nothing to say",
}
_LEGACY = {Reading.LEGACY_TRUE: "true", Reading.LEGACY_FALSE: "false"}
_NO_VALUE = (Reading.NOTHING, Reading.NULL)


def spec_or_faults(root: Group, kind: Kind) -> tuple[Spec | None, list[Fault]]:
    """Build the spec of `kind` from the fields of a file, or list all that is wrong with them."""
    try:
        return SPECS[kind].model_validate(value(root)), []
    except ValidationError as error:
        return None, list(_Explainer(root, kind, _complaints_about_text(root, kind)).faults(error))


def label(loc: Loc) -> str:
    """Name a field for people: `tables[0].quality.range`. Keys come from the file and are escaped."""
    text = ""
    for step in loc:
        text += f"[{step}]" if isinstance(step, int) else ("." if text else "") + printable(step[:60])
    return text


def _complaints_about_text(root: Group, kind: Kind) -> dict[Loc, str]:
    """The problems that each value would have in quotes: where there would be none, the advice is to quote it."""
    try:
        SPECS[kind].model_validate(as_text(root))
    except ValidationError as error:
        details = error.errors(include_url=False)
        return {each["loc"]: str(each["ctx"]["error"]) for each in details if each["type"] == "value_error"}
    return {}


@dataclass(frozen=True, slots=True)
class _Explainer:
    root: Group
    kind: Kind
    text_complaints: Mapping[Loc, str]

    def faults(self, error: ValidationError) -> Iterator[Fault]:
        details = error.errors(include_url=False)
        meant = {self._meant(each["loc"]) for each in details if each["type"] == "extra_forbidden"}
        for each in details:
            loc = tuple(step for step in each["loc"] if step != "[key]")
            if each["type"] == "missing" and loc in meant:
                continue  # the misspelt key is reported already, with the right one
            at_key = each["type"] == "extra_forbidden" or "[key]" in each["loc"]
            message = self._message(each["type"], loc, each.get("ctx", {}), at_key=at_key)
            if message:
                yield Fault(self._at(loc, at_key=at_key), loc, message)

    def _at(self, loc: Loc, *, at_key: bool) -> Position:
        """The position of the value, or of the nearest group or list around an absent one."""
        parent = find(self.root, loc[:-1])
        if at_key and isinstance(parent, Group) and loc[-1] in parent.keys:
            return parent.keys[str(loc[-1])]
        while (node := find(self.root, loc)) is None:
            loc = loc[:-1]
        return node.at

    def _message(self, problem: str, loc: Loc, context: Mapping[str, Any], *, at_key: bool) -> str:
        """The message for one of pydantic's errors; empty where it only repeats another one."""
        node = None if at_key else find(self.root, loc)
        if isinstance(node, RefusedYaml):
            return ""
        if problem == "missing":
            return f"is missing; add {self._example(loc)}"
        if problem == "extra_forbidden":
            return self._unknown(loc)
        if problem == BETWEEN_FIELDS:
            return str(context["sentence"])
        if isinstance(node, Scalar) and reading(node) in _NO_VALUE:
            return "has no value; write one" + (", or leave the line out" if not self._required(loc) else "")
        if problem == "string_type":
            return self._not_text(node, loc)
        if problem == "literal_error":
            return _one_of(re.findall(r"'([^']*)'", context["expected"]), node)
        if problem == "value_error":
            return str(context["error"]) + _found(node)
        if problem == "bool_type" and isinstance(node, Scalar) and reading(node) in _LEGACY:
            return f"must be `true` or `false`; write `{_LEGACY[reading(node)]}` in place of {shown(node.text)}"
        sentence = _SENTENCES.get(problem, "is not a valid value of this field; see docs/requests.md")
        return sentence.format(**context) + ("" if problem.endswith("long") else _found(node, quotes=True))

    def _not_text(self, node: Node | None, loc: Loc) -> str:
        """The message for a value that YAML does not read as text: advice to quote it, if that makes it valid."""
        if not isinstance(node, Scalar):
            return "must be one text, not a list or a group of fields"
        if loc in self.text_complaints:
            return self.text_complaints[loc] + _found(node)
        name = f"{loc[-1]}: " if isinstance(loc[-1], str) else ""
        quoted = f'{printable(name)}"{printable(node.text[:60])}"'
        return f"must be text, but YAML reads {shown(node.text)} as {reading(node).value}; quote it: `{quoted}`"

    def _field(self, loc: Loc) -> FieldInfo | None:
        model = _model_at(SPECS[self.kind], loc[:-1])
        return model.model_fields.get(str(loc[-1])) if model and loc else None

    def _required(self, loc: Loc) -> bool:
        field = self._field(loc)
        return field is not None and field.is_required()

    def _example(self, loc: Loc) -> str:
        field = self._field(loc)
        return f"`{loc[-1]}: {field.examples[0] if field is not None and field.examples else '...'}`"

    def _meant(self, loc: Loc) -> Loc:
        """The field that an unknown key probably means; the key itself where there is none."""
        model = _model_at(SPECS[self.kind], loc[:-1])
        near = closest(str(loc[-1]), model.model_fields) if model else None
        return (*loc[:-1], near or loc[-1])

    def _unknown(self, loc: Loc) -> str:
        model, name = _model_at(SPECS[self.kind], loc[:-1]), str(loc[-1])
        of = f"of `{label(loc[:-1])}`" if len(loc) > 1 else f"of {_article(self.kind)} request"
        others = [kind for kind in SPECS if len(loc) == 1 and name in SPECS[kind].model_fields]
        if others:
            return f"is not a field {of}; it belongs to {others[0]} requests, which are in requests/{others[0]}/"
        meant = self._meant(loc)
        if meant != loc:
            return f"is not a field {of}; did you mean {shown(str(meant[-1]))}?"
        return f"is not a field {of}; the fields are {listed(model.model_fields if model else ())}"


def _model_at(model: type[BaseModel], loc: Loc) -> type[BaseModel] | None:
    """The model of the group of fields at `loc`."""
    found: type[BaseModel] | None = model
    for step in loc:
        if isinstance(step, str) and found is not None:
            field = found.model_fields.get(step)
            found = next(_models_in(field.annotation), None) if field is not None else None
    return found


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _one_of(allowed: list[str], node: Node | None) -> str:
    near = closest(node.text, allowed) if isinstance(node, Scalar) else None
    return f"must be one of {listed(allowed)}" + (f"; did you mean {shown(near)}?" if near else _found(node))


def _found(node: Node | None, *, quotes: bool = False) -> str:
    """Show the value of the file; with its quotes where they are the problem."""
    if not isinstance(node, Scalar) or not node.text.strip():
        return ""
    return f"; found {shown(node.text)}" + (" in quotes" if quotes and not node.plain else "")


def _article(kind: Kind) -> str:
    return f"an {kind}" if kind == "add" else f"a {kind}"
