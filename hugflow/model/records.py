"""Records that pass between the engine and its workers: encoder settings, and the result of each row.

Plain classes, without pydantic: a worker process imports this at its start, which takes half of the time so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """Settings that determine the bytes of an MP3; part of the plan, because a resume must not mix two of them."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    quality: int = 3
    reencode: bool = False
    max_audio_s: int = 6 * 3600


class RowRecord(NamedTuple):
    """Result of one row. `status` "no_audio" is a row whose audio is null in the source: it has a JSON file only.

    Hashes are SHA-256 in hexadecimal; `samples` counts mono samples at `sample_rate` (Hz). `peak` is the largest 16-bit
    sample without its sign: 0 is silence, None means not measured (a copied MP3, a row written by an older version).
    """

    row: int
    status: Literal["ok", "no_audio", "failed"]
    audio: str | None = None
    audio_bytes: int = 0
    audio_sha256: str | None = None
    json_bytes: int = 0
    json_sha256: str | None = None
    samples: int = 0
    sample_rate: int = 0
    source_sample_rate: int = 0
    source_channels: int = 0
    clipped: int = 0
    copied: bool = False
    reason: str | None = None
    message: str | None = None
    peak: int | None = None
