"""Audio cells of a dataset's rows: bytes, a path, an array, or a decoder object."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hugflow.audio.pcm import Sound, from_array
from hugflow.audio.reasons import AudioReason
from hugflow.model.errors import RowError

logger = logging.getLogger(__name__)

Fetch = Callable[[str], bytes]
"""Reads a path of the dataset's own repository, at the commit of the run."""

_REPOSITORY_SCHEMES = ("hf", "zip", "tar")
"""Schemes with which `datasets` writes paths in a repository: `hf://...`, and `zip://x.wav::hf://...` in an archive."""

_ELSEWHERE = re.compile(r"[/\\~]|[A-Za-z][A-Za-z0-9+.-]*:[/\\]")


def read_cell(cell: Any, fetch: Fetch | None) -> bytes | Sound | None:
    """Return a cell's file as bytes, or its samples; None when the cell is null.

    Where a cell holds several forms, the bytes go first, then the array, then the path. A path is only ever given to
    `fetch`; what `fetch` raises is passed on.

    Raises RowError (bad_audio_cell, audio_missing, refused_path, empty_audio, unsupported_audio, decode_failed).
    """
    if cell is None:
        return None
    if isinstance(cell, bytes | bytearray | memoryview):
        return bytes(cell)
    if isinstance(cell, str):
        return _fetch(cell, fetch)
    if isinstance(cell, Mapping):
        return _read_mapping(cell, fetch)
    if hasattr(cell, "get_all_samples"):
        return _read_decoder(cell)
    raise RowError(AudioReason.BAD_CELL, f"a cell of type {type(cell).__name__} is no audio")


def audio_name(cell: Any) -> str | None:
    """Return the audio's own path as the dataset gives it, for naming only; None where it gives none."""
    if isinstance(cell, str):
        return cell or None
    # `datasets` keeps what it decoded from at the decoder it returns.
    source = cell if isinstance(cell, Mapping) else getattr(cell, "_hf_encoded", None)
    path = source.get("path") if isinstance(source, Mapping) else None
    return path if isinstance(path, str) and path else None


def _read_mapping(cell: Mapping[str, Any], fetch: Fetch | None) -> bytes | Sound | None:
    data, array, path = cell.get("bytes"), cell.get("array"), cell.get("path")
    if path is not None:  # where other rows have more keys, this one gets empty values for them
        data = None if _is_empty(data) else data
        array = None if _is_empty(array) or cell.get("sampling_rate") is None else array
    if data is not None:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise RowError(AudioReason.BAD_CELL, f"its `bytes` are of type {type(data).__name__}")
        return bytes(data)
    if array is not None:
        return _read_array(array, cell.get("sampling_rate"))
    if path is not None:
        if not isinstance(path, str):
            raise RowError(AudioReason.BAD_CELL, f"its `path` is of type {type(path).__name__}")
        return _fetch(path, fetch)
    if not cell.keys() & {"bytes", "array", "path"}:
        raise RowError(AudioReason.BAD_CELL, "it has none of the fields `bytes`, `array` and `path`")
    return None


def _is_empty(value: Any) -> bool:
    return isinstance(value, str | list | np.ndarray) and not len(value)


def _fetch(path: str, fetch: Fetch | None) -> bytes:
    """Get the file from the dataset's repository, and from nowhere else."""
    if not path.strip():
        raise RowError(AudioReason.MISSING, "its path is empty, and there are no bytes")
    if not _inside_repository(path):
        message = "its path points out of the dataset's repository (to a disk, an address or a parent folder)"
        raise RowError(AudioReason.REFUSED_PATH, message)
    if fetch is None:
        raise RowError(AudioReason.MISSING, "the row names a file, and has no bytes")
    return fetch(path)


def _inside_repository(path: str) -> bool:
    """Tell whether each link of `inner::outer` is relative, or of a scheme that means the repository."""
    for link in path.split("::"):
        scheme, separator, rest = link.partition("://")
        name = rest if separator and scheme in _REPOSITORY_SCHEMES else link
        if _ELSEWHERE.match(name) or "\0" in name or ".." in re.split(r"[/\\]", name):
            return False
    return True


def _read_array(array: Any, sampling_rate: Any) -> Sound:
    rate = _whole_number(sampling_rate)
    try:
        samples = np.asarray(array)
    except (TypeError, ValueError, RuntimeError):  # lists of different lengths, or no list at all
        raise RowError(
            AudioReason.BAD_CELL, "its array is no array of numbers (its channels may have different lengths)"
        ) from None
    return from_array(samples, rate)


def _whole_number(sampling_rate: Any) -> int:
    if isinstance(sampling_rate, int | float | np.integer | np.floating) and sampling_rate == sampling_rate // 1:
        return int(sampling_rate)
    raise RowError(AudioReason.BAD_CELL, "it has an array, but no whole number as `sampling_rate`")


def _read_decoder(decoder: Any) -> Sound:
    """Read the samples of a torchcodec decoder, or of any object with its methods; torch itself is not needed."""
    logger.info("Found AudioDecoder object, extracting audio")
    try:
        samples = decoder.get_all_samples()
        array, rate = _as_numpy(samples.data), int(samples.sample_rate)
    except MemoryError:
        raise
    except Exception as error:  # the decoder is foreign code that decodes the row's data: what it raises costs the row
        message = f"its AudioDecoder failed ({type(error).__name__})"
        raise RowError(AudioReason.DECODE_FAILED, message) from error
    sound = from_array(array, rate, planar=True)
    logger.info("Successfully extracted and converted AudioDecoder audio")
    return sound


def _as_numpy(tensor: Any) -> NDArray[Any]:
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
    return np.asarray(tensor.numpy() if hasattr(tensor, "numpy") else tensor)
