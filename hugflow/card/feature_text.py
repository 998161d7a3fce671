"""The Hub's features as a card's front matter has them, and as one line of text for people and for spec.json."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_LISTS = {"List": "list", "LargeList": "large_list", "Sequence": "list"}


def type_name(feature: Any) -> str:
    """A feature's type as text, such as `int64`, `audio`, `list<string>` or `struct<a: int64>`."""
    if isinstance(feature, list):
        return f"list<{type_name(feature[0])}>"
    kind = feature.get("_type")
    if not isinstance(kind, str):
        return f"struct<{', '.join(f'{name}: {type_name(part)}' for name, part in feature.items())}>"
    if kind == "Value":
        return str(feature["dtype"])
    name = _LISTS.get(kind) or _snake(kind)
    inner = [type_name(feature["feature"])] if "feature" in feature else [str(each) for each in _arguments(feature)]
    if isinstance(feature.get("length"), int) and feature["length"] >= 0:
        inner.append(str(feature["length"]))
    return f"{name}<{', '.join(inner)}>" if inner else name


def _arguments(feature: Mapping[str, Any]) -> list[Any]:
    """The arguments that tell two features of one kind apart: labels, shapes, languages; not decoding options."""
    found = (feature.get(key) for key in ("names", "languages", "dtype", "shape"))
    return [part for each in found if each is not None for part in (each if isinstance(each, list | tuple) else [each])]


def yaml_list(features: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The features as `dataset_info` has them in a card: a list of names with types, the form that `datasets` reads."""
    return [{"name": name, **_yaml(feature)} for name, feature in features.items()]


def _yaml(feature: Any) -> dict[str, Any]:
    if isinstance(feature, list | tuple):
        return {"list": _short(_yaml(feature[0]))}
    kind = feature.get("_type")
    if not isinstance(kind, str):
        return {"struct": yaml_list(feature)}
    rest = {key: value for key, value in feature.items() if key != "_type"}
    if kind in _LISTS:
        inner = _short(_yaml(rest.pop("feature")))
        return {_LISTS[kind]: inner, **rest}
    if kind == "Value":
        return rest
    if not rest:
        return {"dtype": _snake(kind)}
    return {"dtype": {_snake(kind): _with_label_ids(rest)}}


def _short(inner: dict[str, Any]) -> Any:
    """The element of a list, as a bare type where it has no other key."""
    return next(iter(inner.values())) if list(inner) in (["dtype"], ["struct"]) else inner


def _with_label_ids(arguments: dict[str, Any]) -> dict[str, Any]:
    """Labels by their number: the Hub's front matter takes them only as a mapping with text for keys."""
    names = arguments.get("names")
    if isinstance(names, list | tuple):
        return arguments | {"names": {str(index): name for index, name in enumerate(names)}}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in arguments.items()}


def _snake(kind: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind).lower()
