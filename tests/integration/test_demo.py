"""`make demo` succeeds, prints its steps, and leaves a complete dataset of the project's clips."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from examples.demo import CLIPS, Demo, NotShown

NAME = "demo__voices__split_train__rev_main"


def run_demo(folder: Path, environ: dict[str, str], repo_root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "examples.demo", "--folder", folder],
        cwd=repo_root,
        env=environ,
        timeout=180,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, repo_root: Path) -> tuple[Path, str]:
    """The folder that the demo left, and what it printed, on a machine whose settings would lead it elsewhere."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    # a user's own settings, which the demo must neither follow nor send to its Hub
    theirs = {"STORAGE_ROOT": str(folder.parent / "theirs"), "WORKERS": "none", "HF_TOKEN": "hf_" + "x" * 34}
    done = run_demo(folder, {**os.environ, **theirs}, repo_root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (folder.parent / "theirs").exists()
    return folder, done.stdout


def clips(repo_root: Path) -> list[tuple[Path, str]]:
    """The recordings of the demo with their texts, in the order of the rows."""
    folder = repo_root / "examples" / "clips"
    lines = [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()]
    return [(folder / line["file_name"], line["text"]) for line in lines]


def test_the_clips_are_a_dozen_in_four_formats_several_rates_and_one_in_stereo(repo_root: Path) -> None:
    infos = [soundfile.info(path) for path, _ in clips(repo_root)]
    assert len(infos) == 12
    assert {path.suffix for path, _ in clips(repo_root)} == {".flac", ".wav", ".opus", ".mp3"}
    assert len({info.samplerate for info in infos}) >= 3
    assert 2 in {info.channels for info in infos}


def test_it_shows_the_commands_and_their_answers_in_order(demo: tuple[Path, str]) -> None:
    _, said = demo
    shown = re.findall(r"^\$ (hugflow [a-z-]+)", said, re.MULTILINE)
    assert shown == ["hugflow plan", "hugflow local-sync", "hugflow status", "hugflow verify", "hugflow local-sync"]
    wanted = [
        "Plan: 1 to add",
        "12 of 12 rows",
        "└── metadata.parquet",
        '"text": ',
        "STATE",
        "already exists in storage",
    ]
    places = [said.index(words) for words in wanted]
    assert places == sorted(places)
    assert said.count("✓ the second run changed nothing") == 1


def test_every_row_has_its_text_and_its_audio(demo: tuple[Path, str], repo_root: Path) -> None:
    dataset = demo[0] / "datasets" / NAME
    for row, (source, text) in enumerate(clips(repo_root)):
        values = json.loads((dataset / "json" / f"{row}.json").read_bytes())
        mp3 = dataset / values["audio"]
        assert values["text"] == text
        assert mp3.name == f"{source.stem}__{row}.mp3"
        assert soundfile.info(mp3).channels == 1
        assert seconds(mp3.read_bytes()) == pytest.approx(seconds(source.read_bytes()), abs=0.001)
    assert len(list((dataset / "audio").iterdir())) == len(clips(repo_root))


def seconds(sound: bytes) -> float:
    """How long a sound is, by decoding all of it."""
    samples, rate = soundfile.read(io.BytesIO(sound))
    return len(samples) / rate


def test_afterwards_the_folder_works_without_the_hub(demo: tuple[Path, str], clean_environ: dict[str, str]) -> None:
    del clean_environ["HF_ENDPOINT"], clean_environ["PROCESSED_ROOT"]  # the demo's own .env says them
    done = subprocess.run(
        [sys.executable, "-m", "hugflow", "status", "--json"],
        cwd=demo[0],
        env=clean_environ,
        capture_output=True,
        timeout=60,
        check=True,
    )
    (dataset,) = json.loads(done.stdout)["datasets"]
    assert (dataset["name"], dataset["state"], dataset["rows_done"]) == (NAME, "complete", 12)
    assert dataset["request"] == "requests/add/voices.yaml"


def test_it_begins_anew_where_it_was_before(
    demo: tuple[Path, str], clean_environ: dict[str, str], repo_root: Path
) -> None:
    (demo[0] / "leftover").touch()
    done = run_demo(demo[0], clean_environ, repo_root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (demo[0] / "leftover").exists()


def test_it_leaves_a_folder_alone_that_it_did_not_make(
    tmp_path: Path, clean_environ: dict[str, str], repo_root: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("the only copy")
    done = run_demo(tmp_path, clean_environ, repo_root)
    assert done.returncode == 1
    assert f"{tmp_path} exists and was not made by the demo" in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "the only copy"


def test_it_fails_when_a_row_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recordings = tmp_path / "clips"
    shutil.copytree(CLIPS, recordings)
    whole = (recordings / "02-lantern.flac").read_bytes()
    (recordings / "02-lantern.flac").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NotShown, match=r"local-sync .* ended with exit code 3"):
        Demo(tmp_path / "demo", clips=recordings).run()
    assert "row 1: truncated_audio" in capfd.readouterr().err
