"""Converts fetched shards to parquet, so that workers read one format, whatever the dataset's files are.

A fetched file of another format (JSON, CSV, text, Arrow, a webdataset tar) is read once, front to back, by the reader
that `datasets` has for it, and written to scratch as parquet with small row groups. That counts its rows, gives random
access for slices and resumes, and keeps memory flat. Errors of readers become errors of Hugflow here.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from datasets.exceptions import DatasetsError

from hugflow.formats.broken_content import BROKEN_CONTENT
from hugflow.formats.parquet_writer import write_rows
from hugflow.hf_client.errors import HUB_ERRORS
from hugflow.hf_client.http import Answer
from hugflow.hf_client.read.limited_process import renew_time
from hugflow.model.errors import HugflowError, UnreadableSource
from hugflow.storage.disk import faults

UNREADABLE = (*BROKEN_CONTENT, DatasetsError)


def transcode(doing: str, tables: Callable[[], Iterator[pa.Table]], target: Path) -> None:
    """Write the rows of `tables()` as parquet; it is called again where a later row widened a column's type.

    Raises Terminal when the rows cannot be read or have no common types, StorageFault when the disk is full.
    """
    with readable(doing):
        write_rows(lambda: _in_renewed_time(tables()), target)


def _in_renewed_time(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield tables; the time limit of this process applies to each of them by itself."""
    for table in tables:
        renew_time()
        yield table


@contextmanager
def readable(doing: str) -> Iterator[None]:
    """Turn errors of readers about a file's content into one error; disk and network errors pass unchanged."""
    try:
        yield
    except (HugflowError, MemoryError, *HUB_ERRORS):
        raise
    except OSError as error:
        # a missing path is named by the content, or is a reader's error; files in scratch do exist
        if error.errno not in (None, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG):
            with faults(doing):
                raise
        raise _unreadable(doing, error) from error
    except UNREADABLE as error:
        raise _unreadable(doing, error) from error


def read_ranges(doing: str, read: Callable[[], Answer]) -> Answer:
    """Return the result of `read`, which reads ranges of a file on the Hub; repeat it where they cannot be parsed.

    A range has no hash, so damage on the way shows only when it is parsed. Raises Terminal where it stays unreadable.
    """
    try:
        with readable(doing):
            return read()
    except UnreadableSource:
        pass
    with readable(doing):
        return read()


def _unreadable(doing: str, error: Exception) -> UnreadableSource:
    lines = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
    return UnreadableSource(doing, f"its rows cannot be read: {lines[0][:300]}", "Report it to the dataset's owners.")
