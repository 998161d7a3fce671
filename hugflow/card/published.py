"""The card of a published dataset: its front matter for the Hub and `datasets`, and generated sections of text.

Other text and fields stay byte for byte. Generated sections are between markers, and are replaced in place. A card has
no time in it: the same data gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hugflow.card.feature_text import yaml_list
from hugflow.card.front_matter import GONE, CardText, parse, updated
from hugflow.card.hub_rules import LICENCES, check_fields, size_category
from hugflow.card.sections import Origin, beginning, plain_glob, sections, with_sections
from hugflow.card.spec_json import SpecJson
from hugflow.model.errors import InvalidRequest
from hugflow.model.publish_spec import DEFAULT_CONFIG, Card
from hugflow.text.printable import shown

_OWN_FIELDS = ("pretty_name", "license", "license_name", "license_link", "language", "tags", "task_categories")
_REPLACED = frozenset(("config_name", "data_files", "data_dir"))
_ENCODING = "surrogateescape"  # bytes that are no UTF-8 come out as they went in


@dataclass(frozen=True, slots=True)
class CardSplit:
    """A split. `uncompressed_bytes` is its size as Arrow has it, `size_bytes` that of its files.

    `patterns` name its files; without them, it has `shards` in the folder of the config.
    """

    name: str
    rows: int
    shards: int
    uncompressed_bytes: int
    size_bytes: int
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CardConfig:
    """A config that was published: the folder of its files, and its features as the Hub writes them."""

    name: str
    folder: str
    features: Mapping[str, Any]
    splits: tuple[CardSplit, ...]


@dataclass(frozen=True, slots=True)
class BuiltCard:
    """The bytes of README.md, and warnings about fields that the Hub may not accept."""

    content: bytes
    warnings: tuple[str, ...] = ()


def build(
    old: bytes | None,
    repo_id: str,
    description: str | None,
    card: Card,
    configs: Sequence[CardConfig],
    spec: SpecJson,
    *,
    origin: Origin | None = None,
    files: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
    without: Sequence[str] = (),
    default: str | None = None,
) -> BuiltCard:
    """The card after `configs` were published; `spec` is the repository's new spec.json.

    `description` begins the card where there is none yet. Fields of `card` that are None stay as they are in `old`.
    `origin` gives what neither of them says. `files` names the files of other configs by split and pattern; those
    called `without` are removed; `default` is the config that is loaded without a name.
    Raises InvalidRequest: `invalid_card` for an old card that cannot be read, and for fields that the Hub refuses.
    """
    text, newline = _decoded(old)
    parts = CardText.of(text)
    front = parse(parts.matter)
    _check_shape(front)
    fields = _people_fields(front, card, origin) | _data_fields(front, configs, files or {}, without)
    if default is not None:
        fields["configs"] = _with_default(fields["configs"], default)
    merged = {name: value for name, value in (front | fields).items() if value is not GONE}
    warnings = tuple(_check_merged(merged, {name for name in fields if front.get(name) != merged.get(name)}))
    body = parts.body
    if not body.strip():
        title = merged.get("pretty_name") or repo_id.partition("/")[2]
        body = newline.join(beginning(str(title), description))
    body = with_sections(body, sections(repo_id, card.citation, spec, origin), newline)
    matter = updated(parts.matter, fields, newline)
    return BuiltCard(_encoded(CardText(parts.before, matter, body), newline), warnings)


def without_config(old: bytes, repo_id: str, name: str, spec: SpecJson | None) -> bytes:
    """The card after a config was deleted: `spec` is the repository's new spec.json, in which it is gone already.

    Raises InvalidRequest (`invalid_card`) for a card that cannot be read.
    """
    text, newline = _decoded(old)
    parts = CardText.of(text)
    front = parse(parts.matter)
    _check_shape(front)
    fields: dict[str, Any] = {}
    infos = _infos(front)
    rest = [info for info in infos if _name(info) != name]
    if len(rest) < len(infos):
        fields = {"dataset_info": _info_field(rest), "size_categories": GONE} | _size_field(rest)
    if "configs" in front:
        fields["configs"] = [each for each in _list(front["configs"]) if _name(each) != name] or GONE
    matter = updated(parts.matter, fields, newline)
    body = with_sections(parts.body, sections(repo_id, None, spec or SpecJson()), newline, add=False)
    return _encoded(CardText(parts.before, matter if matter.strip() else None, body), newline)


# -- bytes -----------------------------------------------------------------------------------------------------------


def _decoded(old: bytes | None) -> tuple[str, str]:
    """The card's text, and the line end of most of its lines."""
    text = (old or b"").decode("utf-8", _ENCODING)
    windows = text.count("\r\n")
    return text, "\r\n" if windows * 2 > text.count("\n") else "\n"


def _encoded(parts: CardText, newline: str) -> bytes:
    return parts.joined(newline).encode("utf-8", _ENCODING)


# -- front matter ----------------------------------------------------------------------------------------------------


def _people_fields(front: Mapping[str, Any], card: Card, origin: Origin | None) -> dict[str, Any]:
    """The fields that the request sets. A licence that the Hub lists takes `license_name` away."""
    given = card.model_dump(exclude_none=True)
    if origin is not None and origin.licence and not given.get("license") and not front.get("license"):
        known = origin.licence in LICENCES
        given |= {"license": origin.licence} if known else {"license": "other", "license_name": origin.licence}
    fields = {name: _field(given[name]) for name in _OWN_FIELDS if name in given}
    if fields.get("license", "other") != "other":
        fields |= {name: GONE for name in ("license_name", "license_link") if name in front and name not in fields}
    return fields


def _field(value: Any) -> Any:
    return list(dict.fromkeys(value)) if isinstance(value, tuple) else value


def _data_fields(
    front: Mapping[str, Any],
    configs: Sequence[CardConfig],
    files: Mapping[str, Mapping[str, Sequence[str]]],
    without: Sequence[str],
) -> dict[str, Any]:
    """The fields from which the Hub and `datasets` load the data; entries of other configs stay."""
    mine = {config.name: config for config in configs}
    old_infos = [info for info in _infos(front) if _name(info) not in without]
    infos = [_info(mine[name]) if (name := _name(info)) in mine else info for info in old_infos]
    known = {_name(info) for info in infos}
    infos += [_info(config) for config in configs if config.name not in known]
    listed = [each for each in _list(front.get("configs")) if _name(each) not in without]
    known = {_name(each) for each in listed}
    listed = [*({"config_name": name} for name in files if name not in known), *listed]
    entries = [_entry(mine[name], each) if (name := _name(each)) in mine else each for each in listed]
    entries = [_with_files(name, files[name], each) if (name := _name(each)) in files else each for each in entries]
    known = {_name(each) for each in entries}
    entries += [_entry(config, {}) for config in configs if config.name not in known]
    return {"dataset_info": _info_field(infos), "configs": entries, **_size_field(infos)}


def _check_shape(front: Mapping[str, Any]) -> None:
    """Raise InvalidRequest for fields that could only be overwritten, not added to."""
    for field, kinds in (("configs", (list,)), ("dataset_info", (list, dict))):
        if front.get(field) is not None and not isinstance(front[field], kinds):
            raise InvalidRequest(
                "reading the card of the repository",
                f"`{field}` in its front matter is not a list",
                "Correct README.md on the Hub; it was not changed.",
                reason="invalid_card",
            )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _name(entry: Any) -> Any:
    """The config that an entry is about; the default one where it does not say."""
    return entry.get("config_name", DEFAULT_CONFIG) if isinstance(entry, dict) else None


def _infos(front: Mapping[str, Any]) -> list[Any]:
    """The entries of `dataset_info`, which is a single one where there is one config."""
    value = front.get("dataset_info")
    return [value] if isinstance(value, dict) else _list(value)


def _info_field(infos: Sequence[Any]) -> Any:
    """`dataset_info` as `datasets` writes it: one entry is no list, and the default config needs no name then."""
    if not infos:
        return GONE
    named = [{"config_name": _name(info), **info} if isinstance(info, dict) else info for info in infos]
    if len(named) > 1 or not isinstance(named[0], dict):
        return named
    return {key: value for key, value in named[0].items() if (key, value) != ("config_name", DEFAULT_CONFIG)}


def _info(config: CardConfig) -> dict[str, Any]:
    return {
        "config_name": config.name,
        "features": yaml_list(config.features),
        "splits": [
            {"name": split.name, "num_bytes": split.uncompressed_bytes, "num_examples": split.rows}
            for split in config.splits
        ],
        "download_size": sum(split.size_bytes for split in config.splits),
        "dataset_size": sum(split.uncompressed_bytes for split in config.splits),
    }


def _entry(config: CardConfig, old: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of `configs`. Its other keys stay, but for those about other files or columns."""
    files = {
        split.name: split.patterns or (files_of(config.folder, split.name, split.shards),) for split in config.splits
    }
    return _with_files(config.name, files, {key: value for key, value in old.items() if key != "features"})


def _with_files(name: str, splits: Mapping[str, Sequence[str]], old: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of `configs` whose splits have the files that match these patterns."""
    return {
        "config_name": name,
        "data_files": [
            {"split": split, "path": patterns[0] if len(patterns) == 1 else list(patterns)}
            for split, patterns in splits.items()
        ],
        **{key: value for key, value in old.items() if key not in _REPLACED},
    }


def _with_default(entries: Sequence[Any], default: str) -> list[Any]:
    """The entries of `configs` with one of them as the default."""
    if default not in map(_name, entries):
        raise InvalidRequest(
            "checking the card",
            f"`default_config` names {shown(default)}, and the repository has no such config",
            "Name one of its configs, or leave the field out.",
            reason="invalid_card",
            field="default_config",
        )
    rest = [{k: v for k, v in each.items() if k != "default"} if isinstance(each, dict) else each for each in entries]
    if default == DEFAULT_CONFIG:
        return rest
    return [{**each, "default": True} if _name(each) == default else each for each in rest]


def files_of(folder: str, split: str, shards: int) -> str:
    """The pattern of a split's files: the number of shards is in it, so that no file of another set is caught."""
    return f"{plain_glob(folder)}/{plain_glob(split)}-*-of-{shards:05d}.parquet"


def _size_field(infos: Sequence[Any]) -> dict[str, Any]:
    """`size_categories` from the rows of all configs of which they are known; nothing where none are."""
    splits = [split for info in infos if isinstance(info, dict) for split in _list(info.get("splits"))]
    rows = [split.get("num_examples") for split in splits if isinstance(split, dict)]
    known = [each for each in rows if isinstance(each, int)]
    return {"size_categories": [size_category(sum(known))]} if known else {}


def _check_merged(front: Mapping[str, Any], changed: set[str]) -> Iterator[str]:
    """Yield warnings; raise InvalidRequest where the Hub would refuse a field that this publish changes."""
    problems = list(check_fields(front))
    named = changed | ({"license_name"} if "license" in changed else set())
    errors = [each for each in problems if each.level == "error" and each.field in named]
    if errors:
        raise InvalidRequest(
            "checking the card",
            "; ".join(f"`card.{each.field}`: {each.message}" for each in errors),
            "Change it in the request.",
            reason="invalid_card",
            field=f"card.{errors[0].field}",
        )
    defaults = [_name(each) for each in _list(front.get("configs")) if _is_default(each)]
    if len(defaults) > 1:
        raise InvalidRequest(
            "checking the card",
            f"its `configs` have several defaults: {', '.join(map(str, defaults))}",
            "Leave one of them in README.md on the Hub, or give the table another name.",
            reason="invalid_card",
        )
    yield from (f"README.md, `{each.field}`: {each.message}" for each in problems)


def _is_default(entry: Any) -> bool:
    return isinstance(entry, dict) and (_name(entry) == DEFAULT_CONFIG or bool(entry.get("default")))
