"""The exceptions with which libraries report broken content of a file."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib

import zstandard

BROKEN_CONTENT = (
    ArithmeticError,
    EOFError,
    LookupError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    zstandard.ZstdError,
)
"""pyarrow's errors are subclasses of some of these."""
