"""Why a row's audio cannot become an MP3: the reason codes of docs/row-errors.md that audio has."""

from __future__ import annotations

from enum import StrEnum


class AudioReason(StrEnum):
    """The `reason` of every `RowError` that `hugflow.audio` raises."""

    BAD_CELL = "bad_audio_cell"
    MISSING = "audio_missing"
    REFUSED_PATH = "refused_path"
    EMPTY = "empty_audio"
    UNSUPPORTED = "unsupported_audio"
    TRUNCATED = "truncated_audio"
    DECODE_FAILED = "decode_failed"
    TIMEOUT = "decode_timeout"
    TOO_LONG = "audio_too_long"
    FFMPEG_MISSING = "ffmpeg_missing"
