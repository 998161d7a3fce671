"""The metadata block of a README.md: what the Hub shows of it and what it refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

MAX_VALUES = 500_000
_BLOCK = re.compile(r"\A\ufeff?---[ \t]*\r?\n(?P<yaml>.*?)(?:\r?\n)?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]+)*\Z")
_SIZE = re.compile(r"(?:n<1K|\d+[KMBT]?<n<\d+[KMBT]|n>1T|unknown)\Z")
_LISTS = ("tags", "task_categories", "task_ids", "size_categories", "source_datasets", "annotations_creators")
_CREATIVE = (
    "cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 "
    "cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0"
)
_SOFTWARE = (
    "afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 ecl-2.0 epl-1.0 "
    "epl-2.0 eupl-1.1 eupl-1.2 gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr lppl-1.3c mit mpl-2.0 ms-pl ncsa "
    "ofl-1.1 osl-3.0 postgresql unlicense wtfpl zlib"
)
_DATA_AND_MODELS = (
    "apple-amlr apple-ascl bigcode-openrail-m bigscience-bloom-rail-1.0 bigscience-openrail-m c-uda "
    "cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license etalab-2.0 "
    "fair-noncommercial-research-license gemma gfdl h-research intel-research llama2 llama3 llama3.1 llama3.2 llama3.3 "
    "llama4 odbl odc-by open-mdw openmdw-1.0 openrail openrail++ pddl unknown other"
)
LICENSES = frozenset(f"{_CREATIVE} {_SOFTWARE} {_DATA_AND_MODELS}".split())


@dataclass
class CardCheck:
    """Problems of a card; with an error the Hub refuses it."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "errors": [{"message": message} for message in self.errors],
            "warnings": [{"message": message} for message in self.warnings],
        }


def card_data(readme: str) -> dict[str, Any]:
    """The metadata of a README, empty when there is none or it cannot be read."""
    try:
        data = _parsed(readme)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def tags(card: dict[str, Any]) -> list[str]:
    """The tags that the Hub derives from the metadata, like `license:mit` and `language:en`."""
    found = []
    for key in ("task_categories", "task_ids", "language", "license", "size_categories"):
        found += [f"{key}:{value}" for value in _listed(card.get(key))]
    return found + [str(tag) for tag in _listed(card.get("tags"))]


def check(readme: str) -> CardCheck:
    """The Hub's rules for the metadata of a dataset card."""
    result = CardCheck()
    try:
        data = _parsed(readme)
    except ValueError as error:
        result.errors.append(f"Invalid YAML in the metadata block: {error}")
        return result
    if data is None:
        result.warnings.append("empty or missing yaml metadata in repo card")
    elif not isinstance(data, dict):
        result.errors.append("The metadata block must be a mapping")
    else:
        _check_values(data, result)
        _check_layout(data, result)
    return result


def _parsed(readme: str) -> Any:
    block = _BLOCK.match(readme)
    if block is None:
        return None
    import yaml  # noqa: PLC0415 - the server starts without it

    try:
        data = yaml.safe_load(block["yaml"])
        if _is_larger(data, MAX_VALUES):
            raise ValueError(f"it has more than {MAX_VALUES} values")
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return data


def _is_larger(data: Any, limit: int) -> bool:
    """True when more than `limit` values result from writing out each alias."""
    waiting, seen = [data], 0
    while waiting and seen <= limit:
        value = waiting.pop()
        seen += 1
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return seen > limit


def _check_values(data: dict[str, Any], result: CardCheck) -> None:
    for licence in _listed(data.get("license")):
        if licence not in LICENSES:
            result.errors.append(f'"license" must be one of [{", ".join(sorted(LICENSES))}], not {licence!r}')
    for language in _listed(data.get("language")):
        if language not in ("code", "multilingual") and not _LANGUAGE.match(str(language)):
            result.errors.append(f'"language" must be an ISO 639 code such as `en` or `gsw`, not {language!r}')
    for size in _listed(data.get("size_categories")):
        if not _SIZE.match(str(size)):
            result.warnings.append(f'"size_categories" must look like `1K<n<10K`, not {size!r}')
    for key in _LISTS:
        if any(not isinstance(value, str) for value in _listed(data.get(key))):
            result.errors.append(f'"{key}" must be a list of strings')


def _check_layout(data: dict[str, Any], result: CardCheck) -> None:
    configs = data.get("configs", [])
    if not isinstance(configs, list):
        result.errors.append('"configs" must be a list')
        return
    for number, config in enumerate(configs):
        if not isinstance(config, dict) or not isinstance(config.get("config_name"), str):
            result.errors.append(f'"configs[{number}].config_name" must be a string')
        elif not isinstance(config.get("data_files", ""), str | list | dict):
            result.errors.append(f'"configs[{number}].data_files" must be a path, a list or a mapping')
    if not isinstance(data.get("dataset_info", {}), dict | list):
        result.errors.append('"dataset_info" must be a mapping or a list of mappings')


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
