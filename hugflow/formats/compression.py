"""Compressed files, opened by what their name says."""

from __future__ import annotations

import bz2
import gzip
import lzma
from typing import BinaryIO, cast

import pyarrow as pa


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
