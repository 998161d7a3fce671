"""The licence of a repository: from the Hub's facts, else from its README.md, in front matter or text."""

from __future__ import annotations

import re
from typing import Any

from huggingface_hub.hf_api import DatasetInfo
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from hugflow.hf_client.http import Hub
from hugflow.hf_client.read.card_files import CARD, card_metadata
from hugflow.hf_client.remote_file import RepositoryFile

_HEADING = re.compile(r"(?im)^#{1,6}[ \t]*(?:the[ \t]+)?licen[cs](?:e|es|ing)\b.*$")
_PLACEHOLDER = re.compile(r"(?i)\[?\W*(?:more information needed|needs more information|tbd|todo|n/a)\W*")


def licence_of(hub: Hub, info: DatasetInfo) -> tuple[str | None, str | None]:
    """Return the licence by its identifiers; where there are none, the words of the README's section about it.

    Raises Transient. The card was checked before (`check_card`).
    """
    if stated := _stated(info.card_data.get("license") if info.card_data else None):
        return stated, None
    tags = [tag.removeprefix("license:") for tag in info.tags or [] if tag.startswith("license:")]
    file = next((file for file in info.siblings or [] if file.rfilename == CARD), None)
    if tags or file is None or not file.size or info.sha is None:
        return _stated(tags), None
    data = RepositoryFile(hub, info.id, info.sha, CARD, file.size).read(0, file.size)
    text = data.decode("utf-8-sig")
    metadata = card_metadata(text)
    if stated := _stated(metadata.get("license") if isinstance(metadata, dict) else None):
        return stated, None
    block = REGEX_YAML_BLOCK.search(text)
    return None, _section(text[block.end() :] if block else text)


def _stated(licence: Any) -> str | None:
    """Identifiers as one text; values of other types are none."""
    every = licence if isinstance(licence, list) else [licence]
    return ", ".join(each for each in every if isinstance(each, str) and each.strip()) or None


def _section(text: str) -> str | None:
    """The first paragraph under a heading about the licence."""
    for heading in _HEADING.finditer(text):
        body = re.split(r"(?m)^#{1,6}[ \t]", text[heading.end() :], maxsplit=1)[0]
        paragraph = " ".join(body.strip().partition("\n\n")[0].split())
        if paragraph and not _PLACEHOLDER.fullmatch(paragraph):
            return paragraph
    return None
