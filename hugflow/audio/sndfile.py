"""Files that libsndfile reads, decoded from memory in blocks."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
import soundfile

from hugflow.audio.pcm import Block, Sound, block_frames, checked

_UNKNOWN_FRAMES = 1 << 62


class CannotDecode(Exception):
    """libsndfile cannot decode the file; `message` is its reason."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class _Memory(io.BytesIO):
    """Ignore seeks to impossible positions of damaged headers: soundfile would print an exception and lose it."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        with suppress(ValueError, OverflowError):
            return super().seek(offset, whence)
        return self.tell()


class _Forward(soundfile.SoundFile):  # type: ignore[misc]  # soundfile publishes no types
    """Read forward only. SoundFile seeks to its own position after each read, which restarts a lossy decoder."""

    def seekable(self) -> bool:
        return False


@contextmanager
def open_sound(data: bytes, *, frames: int | None = None) -> Iterator[Sound]:
    """Decode `data` with libsndfile. `frames`: how many are known to be in it; None takes what its header says.

    16-bit files come as int16, exactly as they are stored; all others as float32.

    Raises RowError (unsupported_audio), and CannotDecode here and from the blocks.
    """
    try:
        file = _Forward(_Memory(data))
    except soundfile.LibsndfileError as error:
        raise CannotDecode(error.error_string) from None
    with file:
        checked(file.samplerate, file.channels)
        if file.frames < (frames or 0):
            raise CannotDecode("it would stop at a length that it guesses")
        known = _declared(file) if frames is None else frames
        yield Sound(file.samplerate, file.channels, known, _blocks(file, known))


def _declared(file: _Forward) -> int | None:
    """Return the number of frames in the header; None where it is unknown, or a guess as for MP3 in WAV."""
    guessed = file.subtype.startswith("MPEG")
    return file.frames if 0 < file.frames < _UNKNOWN_FRAMES and not guessed else None


def _blocks(file: _Forward, frames: int | None) -> Iterator[Block]:
    dtype = "int16" if file.subtype == "PCM_16" else "float32"
    size = min(block_frames(file.channels), frames or _UNKNOWN_FRAMES)
    while True:
        block = np.empty(size if file.channels == 1 else (size, file.channels), dtype)
        count = _read(file, block, dtype)
        if count:
            yield block[:count]
        if count < size:
            break


def _read(file: _Forward, block: Block, dtype: str) -> int:
    try:
        count: int = file.buffer_read_into(block, dtype)
    except soundfile.LibsndfileError as error:
        raise CannotDecode(error.error_string) from None
    return count
