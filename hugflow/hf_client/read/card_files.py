"""A repository's card may name data files anywhere; only those of the repository itself are ever opened.

This is looked at before `datasets` reads the card: it would follow an address to other hosts, or to this machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from huggingface_hub.hf_api import DatasetInfo

from hugflow.hf_client.http import Hub
from hugflow.hf_client.remote_file import RepositoryFile
from hugflow.model.errors import InvalidRequest

_CARD = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)\r?\n---", re.DOTALL)
MAX_CARD_BYTES = 20 << 20


def check_addresses(hub: Hub, info: DatasetInfo) -> None:
    """Refuse a repository whose card names data files outside of it.

    Raises InvalidRequest (`foreign_files`), Transient.
    """
    for name in ("README.md", ".huggingface.yaml"):
        text = _read(hub, info, name)
        card = _CARD.match(text) if name == "README.md" else None
        foreign = next(_foreign(_parsed(card.group(1) if card else "" if name == "README.md" else text)), None)
        if foreign is not None:
            raise InvalidRequest(
                f"reading the files of {info.id}",
                f"its card names files that are not in the repository: {foreign}",
                "Only datasets whose files are in their own repository can be downloaded.",
                reason="foreign_files",
                field="hf_id",
            )


def _read(hub: Hub, info: DatasetInfo, path: str) -> str:
    file = next((sibling for sibling in info.siblings or [] if sibling.rfilename == path), None)
    if file is None or not file.size or info.sha is None:
        return ""
    size = min(file.size, MAX_CARD_BYTES)
    return RepositoryFile(hub, info.id, info.sha, path, file.size).read(0, size).decode(errors="replace")


def _parsed(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return None  # `datasets` says what is wrong with it


def _foreign(card: Any) -> Iterator[str]:
    configs = card.get("configs") if isinstance(card, dict) else None
    for config in configs if isinstance(configs, list) else ():
        if isinstance(config, dict):
            for key in ("data_files", "data_dir"):
                yield from filter(leads_out, _texts(config.get(key)))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def leads_out(path: str) -> bool:
    """Whether a path or pattern of a card is an address, absolute, or climbs out of its folder."""
    return "://" in path or "::" in path or path.startswith(("/", "~", "\\")) or ".." in re.split(r"[/\\]", path)
