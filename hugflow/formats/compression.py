"""Compressed files, opened by what their name says."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zipfile
from collections.abc import Callable
from functools import partial
from typing import BinaryIO, cast

import pyarrow as pa

Open = Callable[[], BinaryIO]
"""Opens a file's content at its beginning."""


def decompressed(file: BinaryIO, path: str) -> BinaryIO:
    """Return the content of a file that may be compressed, as the suffix of its path says."""
    if path.endswith((".gz", ".tgz")):
        return cast("BinaryIO", gzip.GzipFile(fileobj=file))
    if path.endswith(".bz2"):
        return cast("BinaryIO", bz2.BZ2File(file))
    if path.endswith((".xz", ".lzma")):
        return cast("BinaryIO", lzma.LZMAFile(file))
    if path.endswith(".lz4"):
        return cast("BinaryIO", pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "lz4"))
    if path.endswith(".zst"):
        import zstandard  # noqa: PLC0415 - only files of this kind need it

        return cast("BinaryIO", zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True))
    return file


def contents(open_file: Open, path: str) -> list[Open]:
    """Return the files in a file: itself, decompressed, or the visible members of a zip archive by name."""
    if not path.endswith(".zip"):
        return [lambda: decompressed(open_file(), path)]
    with zipfile.ZipFile(open_file()) as archive:
        names = sorted(info.filename for info in archive.infolist() if not info.is_dir())
    hidden = re.compile(r"(?:\A|/)(?:\.|__)")
    return [partial(_member, open_file, name) for name in names if not hidden.search(name)]


def _member(open_file: Open, name: str) -> BinaryIO:
    return decompressed(cast("BinaryIO", zipfile.ZipFile(open_file()).open(name)), name)
