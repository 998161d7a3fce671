"""The ffmpeg process: it accesses only its pipes, ends in time, and leaves nothing behind."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from hugflow.audio import AudioReason, ffmpeg, to_mp3
from hugflow.model.errors import RowError
from hugflow.model.records import EncoderSettings
from tests.support.sounds import by_ffmpeg, needs_ffmpeg, packed, reason, voice

pytestmark = needs_ffmpeg


@pytest.fixture(scope="module")
def m4a() -> bytes:
    return by_ffmpeg(packed(voice(32000)), "-c:a", "aac", suffix=".m4a")


@pytest.fixture
def listener() -> Iterator[tuple[int, list[str]]]:
    """A server that notes who connects."""
    callers: list[str] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        server.settimeout(0.1)
        done = threading.Event()

        def listen() -> None:
            while not done.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                callers.append("somebody")
                connection.close()

        thread = threading.Thread(target=listen)
        thread.start()
        yield server.getsockname()[1], callers
        done.set()
        thread.join()


def samples(data: bytes, demuxer: str, **options: float) -> int:
    with ffmpeg.open_sound(data, demuxer, **options) as sound:
        return sum(len(block) for block in sound.blocks)


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split())


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_playlists_reach_neither_files_nor_network(tmp_path: Path, listener: tuple[int, list[str]]) -> None:
    """Also when a playlist came as far as to ffmpeg, under the demuxer that would follow it."""
    port, callers = listener
    inside = tmp_path / "inside.wav"
    inside.write_bytes(packed(voice(16000)))
    head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n"
    targets = [f"http://127.0.0.1:{port}/a.ts", f"file://{inside}", str(inside), f"tcp://127.0.0.1:{port}"]

    for target in targets:
        playlist = f"{head}#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n".encode()
        concat = f"ffconcat version 1.0\nfile '{target}'\n".encode()
        assert reason(playlist) == reason(concat) == AudioReason.UNSUPPORTED
        for demuxer, text in (("hls", playlist), ("concat", concat)):
            with pytest.raises(RowError):
                samples(text, demuxer)

    assert callers == []


def test_an_index_at_the_end_needs_no_file(m4a: bytes) -> None:
    assert m4a.index(b"moov") > m4a.index(b"mdat")

    assert samples(m4a, "mov") >= 32000


def test_a_large_source_and_result_go_through_the_pipes_block_by_block() -> None:
    source = packed(voice(1_000_000, channels=2), kind="W64", subtype="PCM_24")

    with ffmpeg.open_sound(source, "w64") as sound:
        shapes = {block.shape for block in sound.blocks}

    assert (sound.sample_rate, sound.channels) == (16000, 2)
    assert max(shape[0] for shape in shapes) == 1 << 17
    assert {shape[1] for shape in shapes} == {2}


def test_samples_are_those_of_the_source() -> None:
    sound = np.round(voice(50_000, channels=3) * 32768) / 32768

    with ffmpeg.open_sound(packed(sound), "wav") as decoded:
        assert np.array_equal(np.concatenate(list(decoded.blocks)), sound)


def test_time_limit(m4a: bytes) -> None:
    with pytest.raises(RowError) as caught:
        samples(m4a, "mov", wait_limit_s=0.0)

    assert caught.value.reason == AudioReason.TIMEOUT


def test_a_sound_that_is_too_long_stops_ffmpeg(m4a: bytes) -> None:
    before = children()

    with pytest.raises(RowError) as caught:
        to_mp3(m4a, EncoderSettings(max_audio_s=1))

    assert caught.value.reason == AudioReason.TOO_LONG
    assert children() == before


@pytest.mark.parametrize("data", [b"\0\0\0\x18ftypM4A " + bytes(12), b"\x1aE\xdf\xa3" + bytes(90)])
def test_nothing_is_left_behind(data: bytes, m4a: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    before, files = children(), open_files()

    assert reason(data) in {AudioReason.DECODE_FAILED, AudioReason.TRUNCATED}
    assert to_mp3(m4a, EncoderSettings()) is not None

    assert children() == before
    assert open_files() == files
    assert list(tmp_path.iterdir()) == []


def test_a_server_without_ffmpeg(m4a: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(RowError, match="apt install ffmpeg") as caught:
        to_mp3(m4a, EncoderSettings())

    assert caught.value.reason == AudioReason.FFMPEG_MISSING


def test_an_ffmpeg_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nexec sleep 100000\n", "ascii")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    before = children()

    with pytest.raises(RowError) as caught:
        samples(bytes(1 << 20), "wav", wait_limit_s=0.3)

    assert caught.value.reason == AudioReason.TIMEOUT
    assert children() == before


def test_ffmpeg_sees_no_secret_and_no_signal_of_the_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text('#!/bin/sh\nset > "${0%/*}/environment"\nps -o pgid= -p $$ > "${0%/*}/group"\n', "ascii")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("HF_TOKEN", "hf_canary")

    with pytest.raises(RowError):
        samples(b"x", "wav")

    assert "hf_canary" not in (tmp_path / "environment").read_text("utf-8")
    assert int((tmp_path / "group").read_text("ascii")) != os.getpgrp()


def test_what_ffmpeg_says_stays_out_of_the_message() -> None:
    titled = (
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x34\x12\1\0\x80>\0\0\0}\0\0\2\0\x10\0data\xff\xff\xff\xffsecret words"
    )

    with pytest.raises(RowError) as caught:
        to_mp3(titled, EncoderSettings())

    assert caught.value.reason == AudioReason.DECODE_FAILED
    assert "secret" not in str(caught.value)
    assert "0x" not in str(caught.value)
