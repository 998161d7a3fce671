"""Containers that libsndfile does not read, decoded by an ffmpeg process that can reach nothing but its pipes."""

from __future__ import annotations

import os
import selectors
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import numpy as np

from hugflow.audio.pcm import Block, Sound, block_frames, checked
from hugflow.audio.reasons import AudioReason
from hugflow.model.errors import RowError

WAIT_LIMIT_S = 300.0
"""Seconds to wait for ffmpeg in all, for one file. Time that LAME takes meanwhile is not counted."""

_CHUNK_BYTES = 1 << 18
_MAX_ALLOC_BYTES = 1 << 29
_MAX_ERROR_BYTES = 4096
_AU_HEADER = struct.Struct(">4sIIIII")
_NO_STREAM = b"matches no streams"
_HARMLESS = b"[cache @ "


@contextmanager
def open_sound(data: bytes, demuxer: str, *, wait_limit_s: float = WAIT_LIMIT_S) -> Iterator[Sound]:
    """Decode the first audio stream of `data` with ffmpeg's `demuxer`, as float32.

    ffmpeg gets the bytes on its standard input, no other protocol than `pipe` and its own `cache` (which makes the
    input seekable, for MP4 files whose index stands at the end), no environment, and limits of time and memory.
    Every message of it is taken for an error: by itself it would decode less and report success.

    Raises RowError (ffmpeg_missing, decode_failed, decode_timeout, unsupported_audio), here and from the blocks.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        message = "its format needs ffmpeg, which is not installed on the server (on Debian: apt install ffmpeg)"
        raise RowError(AudioReason.FFMPEG_MISSING, message)
    process = subprocess.Popen(  # noqa: S603 - the server's program, with fixed arguments
        _command(program, demuxer),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env={},
        process_group=0,  # an ffmpeg that gets Ctrl-C looks like a file that cannot be decoded
    )
    with process:
        try:
            yield _sound(_exchange(process, data, wait_limit_s))
        finally:
            process.kill()


def _command(program: str, demuxer: str) -> list[str]:
    common = ["-nostdin", "-hide_banner", "-v", "repeat+error", "-xerror", "-max_alloc", str(_MAX_ALLOC_BYTES)]
    source = ["-threads", "1", "-protocol_whitelist", "cache,pipe", "-read_ahead_limit", "-1"]
    source += ["-f", demuxer, "-i", "cache:pipe:0"]
    target = ["-map", "0:a:0", "-map_metadata", "-1", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
    return [program, *common, *source, *target]


def _exchange(process: subprocess.Popen[bytes], data: bytes, wait_limit_s: float) -> Iterator[bytes]:
    """Feed ffmpeg and yield what it writes. Neither side waits for the other, so nothing piles up in memory."""
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
    assert stdin is not None and stdout is not None and stderr is not None, "all three are pipes"  # noqa: PT018 - one fact
    rest, complaints, waited_s = memoryview(data), b"", 0.0
    with selectors.DefaultSelector() as selector:
        selector.register(stdin, selectors.EVENT_WRITE)
        selector.register(stdout, selectors.EVENT_READ)
        selector.register(stderr, selectors.EVENT_READ)
        os.set_blocking(stdin.fileno(), False)
        while selector.get_map():
            before = time.monotonic()
            ready = {key.fileobj for key, _ in selector.select(wait_limit_s - waited_s)}
            waited_s += time.monotonic() - before
            if waited_s >= wait_limit_s:
                raise RowError(AudioReason.TIMEOUT, f"ffmpeg did not decode it within {wait_limit_s:g} seconds")
            if stdin in ready:
                rest = _feed(stdin, rest)
                if not rest:
                    selector.unregister(stdin)
                    stdin.close()
            for pipe in ready & {stdout, stderr}:
                chunk = os.read(pipe.fileno(), _CHUNK_BYTES)  # type: ignore[union-attr]  # both are files
                if not chunk:
                    selector.unregister(pipe)
                elif pipe is stdout:
                    yield chunk
                else:
                    complaints = (complaints + chunk)[:_MAX_ERROR_BYTES]
    if process.wait() or _serious(complaints):
        raise _failure(complaints)


def _feed(stdin: IO[bytes], rest: memoryview) -> memoryview:
    """Write what the pipe takes now; nothing is left when ffmpeg stopped reading."""
    try:
        return rest[os.write(stdin.fileno(), rest[:_CHUNK_BYTES]) :]
    except BrokenPipeError:
        return rest[:0]


def _serious(complaints: bytes) -> bool:
    """Tell whether there is more than the `cache` protocol's remark that a pipe has no end to seek to."""
    return any(line.strip() and not line.startswith(_HARMLESS) for line in complaints.splitlines())


def _failure(complaints: bytes) -> RowError:
    """Say why it failed, without ffmpeg's own words: they may quote the file."""
    if _NO_STREAM in complaints:
        return RowError(AudioReason.UNSUPPORTED, "it has no audio stream")
    return RowError(AudioReason.DECODE_FAILED, "ffmpeg cannot decode it: the file is damaged, or its codec unknown")


def _sound(output: Iterator[bytes]) -> Sound:
    """Read AU, the format in which ffmpeg writes: its header is short and needs no length."""
    head = bytearray()
    start = _AU_HEADER.size
    for chunk in output:
        head += chunk
        if len(head) >= _AU_HEADER.size:
            _, start, _, _, sample_rate, channels = _AU_HEADER.unpack_from(head)
            if len(head) >= start:
                break
    else:
        raise RowError(AudioReason.EMPTY, "it has no samples")
    checked(sample_rate, channels)
    return Sound(sample_rate, channels, None, _blocks(head[start:], output, channels))


def _blocks(pending: bytearray, output: Iterator[bytes], channels: int) -> Iterator[Block]:
    size = block_frames(channels) * channels * 4
    for chunk in output:
        pending += chunk
        while len(pending) >= size:
            yield _floats(pending[:size], channels)
            del pending[:size]
    if pending:
        yield _floats(pending, channels)


def _floats(data: bytearray, channels: int) -> Block:
    samples = np.frombuffer(data, ">f4").astype(np.float32)
    return samples if channels == 1 else samples.reshape(-1, channels)
