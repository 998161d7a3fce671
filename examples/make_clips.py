"""Generates the spoken clips of the demo: our own sentences, in several formats, rates and voices.

`python -m examples.make_clips` writes `examples/clips/`: the same bytes each time with the same programs. It needs
espeak-ng, sox, flac, opusenc and lame. The clips are committed, so that the demo and the tests need none of them.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

CLIPS = Path(__file__).resolve().parent / "clips"


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip: its sentence, its espeak voice, and its file. `sample_rate` in Hz."""

    file_name: str
    text: str
    voice: str
    language: str
    sample_rate: int
    second_voice: str | None = None


SCRIPT = (
    Clip("01-harbour.wav", "The harbour master counts the boats.", "en-gb", "en", 16000),
    Clip("02-lantern.flac", "She lit a lantern and walked home.", "en-us+f3", "en", 16000),
    Clip("03-bicycle.flac", "Her red bicycle leans on the gate.", "en-gb-scotland", "en", 22050),
    Clip("04-violin.flac", "He tunes the violin before breakfast.", "en-us+m3", "en", 44100),
    Clip("05-market.flac", "Two people, one market, no hurry.", "en-gb+f2", "en", 48000, second_voice="en-us+m7"),
    Clip("06-orchard.opus", "Apples fall in the quiet orchard.", "en-gb+f4", "en", 48000),
    Clip("07-ferry.opus", "The last ferry leaves at nine.", "en-us", "en", 16000),
    Clip("08-kettle.mp3", "Put the kettle on, we have guests.", "en-gb+m2", "en", 16000),
    Clip("09-duet.mp3", "You sing low and I sing high.", "en-us+f5", "en", 44100, second_voice="en-gb+m5"),
    Clip("10-telephone.wav", "Hello, can you hear me now?", "en-us+m1", "en", 8000),
    Clip("11-fenster.flac", "Das Fenster steht seit gestern offen.", "de+f2", "de", 22050),
    Clip("12-jardin.flac", "El gato duerme en el jardín.", "es+m4", "es", 8000),
)


def main() -> None:
    """Write all clips and their `metadata.jsonl`."""
    CLIPS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for clip in SCRIPT:
            make(clip, Path(scratch))
    rows = [json.dumps(described(clip), ensure_ascii=False) for clip in SCRIPT]
    (CLIPS / "metadata.jsonl").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")


def described(clip: Clip) -> dict[str, str]:
    """The clip's line of `metadata.jsonl`."""
    speaker = clip.voice if clip.second_voice is None else f"{clip.voice} and {clip.second_voice}"
    return {"file_name": clip.file_name, "text": clip.text, "language": clip.language, "speaker": speaker}


def make(clip: Clip, scratch: Path) -> None:
    """Speak the clip and write its file; with two voices, one in the left channel and one in the right."""
    spoken = [speak(clip.text, voice, scratch) for voice in (clip.voice, clip.second_voice) if voice]
    wav = scratch / "mixed.wav"
    run(
        "sox",
        "-R",
        *(["-M"] if len(spoken) > 1 else []),
        *spoken,
        "-r",
        clip.sample_rate,
        "-b",
        16,
        wav,
        "gain",
        "-n",
        -3,
    )
    target = CLIPS / clip.file_name
    if target.suffix == ".wav":
        run("sox", "-R", "--no-dither", wav, target)
    elif target.suffix == ".flac":
        run("flac", "--silent", "--force", "--best", "--no-padding", "-o", target, wav)
    elif target.suffix == ".opus":
        run("opusenc", "--quiet", "--serial", 1, "--bitrate", 24, wav, target)
    else:
        mode: list[str | int] = ["-m", "m", "-b", 64] if len(spoken) == 1 else ["-m", "s", "-b", 128]
        run("lame", "--quiet", *mode, wav, target)


def speak(text: str, voice: str, scratch: Path) -> Path:
    """The sentence by one voice, as a 22.05 kHz WAV."""
    path = scratch / f"{voice}.wav"
    run("espeak-ng", "-v", voice, "-s", 165, "-w", path, text)
    return path


def run(*command: str | int | Path) -> None:
    """Run a program; raise an error if it fails."""
    subprocess.run([str(word) for word in command], check=True)


if __name__ == "__main__":
    main()
