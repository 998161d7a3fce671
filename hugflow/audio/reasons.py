"""Reason codes for audio that cannot become an MP3, as in docs/row-errors.md."""

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
