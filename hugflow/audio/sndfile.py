"""Files that libsndfile reads, decoded from memory in blocks."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import soundfile

from hugflow.audio.pcm import Block, Sound, block_frames, checked
from hugflow.audio.reasons import AudioReason
from hugflow.errors import RowError

_UNKNOWN_FRAMES = 1 << 62


class CannotOpen(Exception):
    """libsndfile does not know the codec, or the header is damaged; `message` is its own sentence."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class _Forward(soundfile.SoundFile):  # type: ignore[misc]  # soundfile publishes no types
    """Reads forward only. SoundFile seeks after each read to where it stands, which restarts a lossy decoder."""

    def seekable(self) -> bool:
        return False


@contextmanager
def open_sound(data: bytes, *, at_least: int | None = None) -> Iterator[Sound]:
    """Decode `data` with libsndfile. `at_least`: how many frames are known to be in it, where that is known.

    16-bit files come as int16, exactly as they are stored; all others as float32.

    Raises CannotOpen at the start, and RowError (truncated_audio, decode_failed) from the blocks.
    """
    try:
        file = _Forward(io.BytesIO(data))
    except soundfile.LibsndfileError as error:
        raise CannotOpen(error.error_string) from None
    with file:
        checked(file.samplerate, file.channels)
        frames = file.frames if 0 < file.frames < _UNKNOWN_FRAMES else None
        yield Sound(file.samplerate, file.channels, frames, _blocks(file, max(frames or 0, at_least or 0)))


def _blocks(file: _Forward, expected: int) -> Iterator[Block]:
    dtype = "int16" if file.subtype == "PCM_16" else "float32"
    size = block_frames(file.channels)
    shape = (min(size, expected) or size, file.channels)
    done = 0
    while True:
        block = np.empty(shape if file.channels > 1 else shape[0], dtype)
        count = _read(file, block, dtype)
        done += count
        if count:
            yield block[:count]
        if count < len(block):
            break
    if done < expected:
        message = f"it should have {expected:,} samples per channel, and only {done:,} can be decoded"
        raise RowError(AudioReason.TRUNCATED, message)


def _read(file: _Forward, block: Block, dtype: str) -> int:
    try:
        count: int = file.buffer_read_into(block, dtype)
    except soundfile.LibsndfileError as error:
        raise RowError(AudioReason.DECODE_FAILED, f"libsndfile cannot decode it: {error.error_string}") from None
    return count
