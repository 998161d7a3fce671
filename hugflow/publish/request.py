"""Publish requests without a file: those of `hugflow push` and of the Python API."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hugflow.model.errors import InvalidRequest
from hugflow.model.publish_spec import PublishSpec
from hugflow.request.messages import label

_WILDCARD = re.compile(r"[*?\[]")


def spec_of(values: Mapping[str, Any], doing: str) -> PublishSpec:
    """The request with these fields; None counts as left out. Raises InvalidRequest that names all that is wrong."""
    given = {name: value for name, value in values.items() if value is not None}
    try:
        return PublishSpec.model_validate(given)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        problems = [f"{label(each['loc']) or 'the request'}: {_sentence(each['msg'])}" for each in details]
        raise InvalidRequest(doing, "; ".join(problems), "Correct it, and try again.") from None


def located(path: Path) -> tuple[Path, str]:
    """A path anywhere on this machine, as the folder to publish from and what a request would say.

    The folder is the one that a file or a folder is in; for a glob, the last one before its first `*`.
    """
    parts = Path(os.path.abspath(path)).parts  # noqa: PTH100 - links are followed, and judged, where files are opened
    first = next((place for place, part in enumerate(parts) if _WILDCARD.search(part)), len(parts) - 1)
    first = first if first < len(parts) and not Path(*parts).exists() else len(parts) - 1
    return Path(*parts[:first]), "/".join(parts[first:])


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ")
