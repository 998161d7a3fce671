"""A file on the Hub read by HTTP ranges, for parquet footers and archive directories."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from huggingface_hub import get_session, hf_hub_url
from huggingface_hub.utils._headers import build_hf_headers
from huggingface_hub.utils._http import hf_raise_for_status

from hugflow.hf_client.http import Hub
from hugflow.version import __version__

_TAIL_BYTES = 64 * 1024
_AHEAD_BYTES = 256 * 1024
_PARTIAL_CONTENT = 206


@dataclass(frozen=True, slots=True)
class RepositoryFile:
    """A file of a dataset repository at one commit."""

    hub: Hub
    hf_id: str
    sha: str
    path: str
    size_bytes: int

    def read(self, first: int, stop: int) -> bytes:
        """Fetch the bytes `first`..`stop`. Raises NotFoundError, AuthenticationError, Transient."""
        url = hf_hub_url(self.hf_id, self.path, repo_type="dataset", revision=self.sha, endpoint=self.hub.endpoint)
        headers = build_hf_headers(token=self.hub.token or False, library_name="hugflow", library_version=__version__)

        def ask() -> bytes:
            if first >= stop:
                return b""
            response = get_session().get(url, headers=headers | {"Range": f"bytes={first}-{stop - 1}"})
            hf_raise_for_status(response)
            # a server that ignores Range sends the whole file
            whole = response.status_code != _PARTIAL_CONTENT
            data: bytes = response.content[first:stop] if whole else response.content
            if len(data) != stop - first:
                raise ConnectionError(f"{len(data)} bytes arrived instead of {stop - first}")
            return data

        return self.hub.call(f"reading {self.path} of {self.hf_id}", ask)


class RemoteFile(io.RawIOBase):
    """A seekable file over range requests. Its last 64 KiB come in one request; other reads fetch 256 KiB ahead."""

    def __init__(self, source: RepositoryFile) -> None:
        super().__init__()
        self._source = source
        self._size = source.size_bytes
        self._at = 0
        self._tail_at = max(0, self._size - _TAIL_BYTES)
        self._tail: bytes | None = None
        self._ahead_at, self._ahead = 0, b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the offset of the next read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes and return their number."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """Read the next `size` bytes, fewer at the end of the file."""
        stop = self._size if size < 0 else min(self._size, self._at + size)
        first, self._at = self._at, max(self._at, stop)
        if first >= stop:
            return b""
        if first >= self._tail_at:
            if self._tail is None:
                self._tail = self._source.read(self._tail_at, self._size)
            return self._tail[first - self._tail_at : stop - self._tail_at]
        if not self._ahead_at <= first < stop <= self._ahead_at + len(self._ahead):
            until = min(self._size, max(stop, first + _AHEAD_BYTES))
            self._ahead_at, self._ahead = first, self._source.read(first, until)
        return self._ahead[first - self._ahead_at : stop - self._ahead_at]
