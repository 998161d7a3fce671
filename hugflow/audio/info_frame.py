"""Info frame of an MP3, which makes its length exact, as LAME 3.100 writes it."""

from __future__ import annotations

import struct

from fastcrc import crc16

from hugflow.audio.mpeg import Frame, frame_header, highest_kbps, parse_frame

ENCODER_DELAY = 576
"""Samples of silence that LAME puts before the source."""


def info_frame(
    sample_rate: int, samples: int, quality: int, audio: bytes | bytearray | memoryview, lead: int = 0
) -> bytes:
    """Build the Info frame that goes before `audio`: the CBR mono frames that LAME made of `lead` + `samples` samples.

    It states the frame and byte counts, a seek table, the delay (576, and the `lead` of silence put before the
    source) and the padding that bring a decoder back to exactly `samples`, and LAME's checksums. The fields hold what
    LAME 3.100 itself writes for these settings.
    """
    kbps = highest_kbps(sample_rate)
    head = frame_header(sample_rate, kbps)
    frame = parse_frame(head)
    assert frame is not None, "the header of our own frame is valid"
    frames = round(len(audio) * 8 * sample_rate / (frame.samples * kbps * 1000))
    total = frame.size + len(audio)
    delay = ENCODER_DELAY + lead
    padding = frames * frame.samples - delay - samples
    body = bytearray(head + bytes(frame.info_offset - 4))
    body += struct.pack(">4sIII", b"Info", 0b1111, frames, total)
    body += _seek_table(frames, frame.size, len(audio))
    body += struct.pack(">I9s", 100 - 10 * 4 - quality, b"LAME3.100")
    body += _lame_tag(frame, quality, delay, padding)
    body += struct.pack(">IH", total, crc16.arc(audio))
    body += crc16.arc(body).to_bytes(2, "big")
    return bytes(body) + bytes(frame.size - len(body))


def info_frame_size(sample_rate: int) -> int:
    """Return how many bytes `info_frame` returns at that rate."""
    frame = parse_frame(frame_header(sample_rate, highest_kbps(sample_rate)))
    assert frame is not None, "the header of our own frame is valid"
    return frame.size


def _lame_tag(frame: Frame, quality: int, delay: int, padding: int) -> bytes:
    """Return the LAME header between version string and music length: CBR, no replay gain, delay and padding."""
    lowpass = min(frame.sample_rate // 2, 20500) // 100
    unwise = frame.sample_rate <= 32000  # noqa: PLR2004 - LAME calls it so up to this rate
    source = 0 if unwise else 1 if frame.sample_rate == 44100 else 2  # noqa: PLR2004 - LAME's classes of rates
    noise_shaping = 0 if quality > 6 else 1 if frame.version == 1 else 2  # noqa: PLR2004 - LAME turns it off there
    misc = source << 6 | unwise << 5 | noise_shaping
    delays = (delay << 12 | padding).to_bytes(3, "big")
    psy_model_and_ath = 0x14
    before = struct.pack(">BB8xBB", 0x01, lowpass, psy_model_and_ath, min(frame.kbps, 255))
    return before + delays + struct.pack(">BBH", misc, 0, frame.kbps)


def _seek_table(frames: int, before: int, audio: int) -> bytes:
    """For each percent of the time, the place in the file as a 256th of its length."""
    total = before + audio
    return bytes([256 * (before + audio * (percent * frames // 100) // frames) // total for percent in range(100)])
