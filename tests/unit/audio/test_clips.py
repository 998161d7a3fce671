"""The spoken clips of the demo match their list, and can be converted."""

from __future__ import annotations

import json

from examples.make_clips import CLIPS, SCRIPT, described
from hugflow.audio import Mp3
from tests.support.sounds import converted, correlation, damage, decoded, lag, needs_mp3val


def converted_clips() -> dict[str, Mp3]:
    return {
        clip.file_name: converted({"bytes": (CLIPS / clip.file_name).read_bytes(), "path": None}) for clip in SCRIPT
    }


def test_the_folder_holds_the_clips_of_the_script_and_their_list() -> None:
    files = {path.name for path in CLIPS.iterdir()}
    lines = (CLIPS / "metadata.jsonl").read_text("utf-8").splitlines()

    assert files == {clip.file_name for clip in SCRIPT} | {"metadata.jsonl"}
    assert [json.loads(line) for line in lines] == [described(clip) for clip in SCRIPT]
    assert sum(path.stat().st_size for path in CLIPS.iterdir()) < 600_000


def test_each_clip_becomes_a_short_mp3_at_its_rate() -> None:
    mp3s = converted_clips()

    assert {clip.file_name: mp3s[clip.file_name].sample_rate for clip in SCRIPT} == {
        clip.file_name: clip.sample_rate for clip in SCRIPT
    }
    assert all(1 < mp3.duration_s < 3 for mp3 in mp3s.values())
    assert all(len(decoded(mp3.data)[0]) == mp3.samples for mp3 in mp3s.values())
    assert {name for name, mp3 in mp3s.items() if mp3.source_channels == 2} == {"05-market.flac", "09-duet.mp3"}


def test_the_mono_mp3_is_copied_and_nothing_else() -> None:
    mp3s = converted_clips()

    assert [name for name, mp3 in mp3s.items() if mp3.copied] == ["08-kettle.mp3"]
    assert mp3s["08-kettle.mp3"].data == (CLIPS / "08-kettle.mp3").read_bytes()


@needs_mp3val
def test_the_speech_stays_the_speech() -> None:
    mp3s = converted_clips()

    for name, mp3 in mp3s.items():
        source, rate = decoded((CLIPS / name).read_bytes())
        mono = source if source.ndim == 1 else source.mean(1)
        back = decoded(mp3.data)[0]
        assert (len(back), mp3.sample_rate, lag(mono, back)) == (len(mono), rate, 0), name
        assert correlation(mono, back) > 0.99, name
    assert damage([mp3.data for mp3 in mp3s.values()]) == []
