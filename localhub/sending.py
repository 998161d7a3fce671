"""Sends answers over a socket, with the effects of faults."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import quote

from localhub.faults import Fault
from localhub.wire import FileSlice, Response

_BLOCK_BYTES = 1 << 20
_SENDFILE_BYTES = 8 << 20
_TICKS_PER_S = 20
_NO_FAULT = Fault()


class Sender:
    """Sends answers over one connection; `count` is called with the size of every body block sent."""

    def __init__(self, connection: socket.socket, stopping: threading.Event, count: Callable[[int], None]) -> None:
        self._connection = connection
        self._stopping = stopping
        self._count = count

    def send(self, response: Response, *, head_only: bool, fault: Fault = _NO_FAULT) -> bool:
        """Send the answer; False when the connection must be closed after it."""
        head = head_of(response)
        if head_only or response.length == 0:
            self._connection.sendall(head)
            return True
        if isinstance(response.body, FileSlice) and not _changes_body(fault):
            self._connection.sendall(head)
            self._send_file(response.body)
            return True
        return self._send_blocks(head, response, fault)

    def _send_file(self, part: FileSlice) -> None:
        with part.path.open("rb") as file:
            at, end = part.offset, part.offset + part.length
            while at < end and not self._stopping.is_set():
                sent = self._connection.sendfile(file, at, min(_SENDFILE_BYTES, end - at))
                if sent == 0:
                    raise ConnectionError(f"{part.path} is shorter than it was")
                at += sent
                self._count(sent)

    def _send_blocks(self, head: bytes, response: Response, fault: Fault) -> bool:
        """Send block by block; the head is sent together with the first one."""
        limit = _limit(response, fault)
        size = _BLOCK_BYTES if not fault.bytes_per_s else max(1, int(fault.bytes_per_s / _TICKS_PER_S))
        pending = head
        for block in _limited(_corrupted(_blocks(response.body, size), response, fault), limit):
            self._connection.sendall(pending + block)
            self._count(len(block))
            pending = b""
            if fault.bytes_per_s and self._stopping.wait(len(block) / fault.bytes_per_s):
                return False
        if pending:
            self._connection.sendall(pending)
        if fault.reset_after is not None and limit < response.length:
            reset_on_close(self._connection)
        return limit == response.length


def head_of(response: Response) -> bytes:
    """Status line and headers; values are made safe for a header (text beyond Latin-1 is percent-encoded)."""
    phrase = HTTPStatus(response.status).phrase if response.status in set(HTTPStatus) else "Status"
    lines = [f"HTTP/1.1 {response.status} {phrase}", f"Date: {formatdate(usegmt=True)}", "Server: localhub"]
    if response.status != HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {response.length}")
    lines += [f"{name}: {_clean(value)}" for name, value in response.headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def reset_on_close(connection: socket.socket) -> None:
    """Make the close of this connection a reset (RST) instead of an orderly end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def resets_on_close(connection: socket.socket) -> bool:
    size = struct.calcsize("ii")
    linger = connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, size)
    return struct.unpack("ii", linger) == (1, 0)


def _clean(value: str) -> str:
    line = " ".join(value.split())
    return line if line.isascii() else quote(line, safe=" !\"#$&'()*+,/:;<=>?@[]^`{|}~%")


def _changes_body(fault: Fault) -> bool:
    return fault.corrupt or any((fault.bytes_per_s, fault.reset_after is not None, fault.truncate_after is not None))


def _limit(response: Response, fault: Fault) -> int:
    limits = [limit for limit in (fault.reset_after, fault.truncate_after) if limit is not None]
    return min([response.length, *limits])


def _blocks(body: bytes | FileSlice, size: int) -> Iterator[bytes]:
    if isinstance(body, bytes):
        yield from (body[at : at + size] for at in range(0, len(body), size))
        return
    with body.path.open("rb") as file:
        file.seek(body.offset)
        left = body.length
        while left and (block := file.read(min(size, left))):
            left -= len(block)
            yield block


def _corrupted(blocks: Iterator[bytes], response: Response, fault: Fault) -> Iterator[bytes]:
    """The block with all bits of its middle byte inverted."""
    target = response.length // 2 if fault.corrupt else -1
    at = 0
    for block in blocks:
        if at <= target < at + len(block):
            place = target - at
            yield block[:place] + bytes([block[place] ^ 0xFF]) + block[place + 1 :]
        else:
            yield block
        at += len(block)


def _limited(blocks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    left = limit
    for block in blocks:
        if left <= 0:
            return
        yield block[:left]
        left -= len(block)
