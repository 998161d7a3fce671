"""Cleanup after a run that ends early: files of unrecorded rows go, all others stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from hugflow.download.finish import remove_unrecorded
from hugflow.model.errors import StorageFault
from hugflow.model.ranges import RowRanges
from hugflow.storage.dataset_folder import DatasetFolder

DONE = RowRanges([[0, 2], [5, 5]])
RECORDED = {
    "audio/a__0.mp3",
    "audio/1.mp3",
    "audio/a__2.mp3",
    "json/0.json",
    "json/1.json",
    "json/2.json",
    "json/5.json",
}
UNRECORDED = {"audio/a__3.mp3", "audio/4.mp3", "audio/b__6.mp3", "json/3.json", "json/4.json", "json/6.json"}
# what an older tool called its files, and what others put there
OTHERS = {"audio/from-another-tool.mp3", "audio/a__03.mp3", "audio/notes", "json/x.json", "json/007.json"}


@pytest.fixture
def dataset(tmp_path: Path) -> DatasetFolder:
    dataset = DatasetFolder(tmp_path / "acme__speech")
    dataset.create()
    for inside in RECORDED | UNRECORDED | OTHERS:
        (dataset.path / inside).write_text("x")
    (dataset.audio / "7.mp3").mkdir()
    return dataset


def _files(dataset: DatasetFolder) -> set[str]:
    return {path.relative_to(dataset.path).as_posix() for path in dataset.path.rglob("*") if path.is_file()}


def test_only_the_files_of_rows_that_are_not_recorded_go(dataset: DatasetFolder) -> None:
    remove_unrecorded(dataset, DONE, within_s=60)
    assert _files(dataset) == RECORDED | OTHERS
    assert (dataset.audio / "7.mp3").is_dir()


def test_it_takes_no_longer_than_it_may(dataset: DatasetFolder) -> None:
    remove_unrecorded(dataset, RowRanges(), within_s=0)
    assert len(_files(dataset)) >= len(RECORDED | UNRECORDED | OTHERS) - 1


@pytest.mark.parametrize("part", ["audio", "json"])
def test_nothing_is_deleted_behind_a_link(dataset: DatasetFolder, tmp_path: Path, part: str) -> None:
    (dataset.path / part).rename(tmp_path / "theirs")
    (dataset.path / part).symlink_to(tmp_path / "theirs")
    before = sorted(path.name for path in (tmp_path / "theirs").iterdir())
    with pytest.raises(StorageFault, match="symbolic link"):
        remove_unrecorded(dataset, RowRanges(), within_s=60)
    assert sorted(path.name for path in (tmp_path / "theirs").iterdir()) == before


def test_a_dataset_that_was_not_begun_has_nothing_to_remove(tmp_path: Path) -> None:
    remove_unrecorded(DatasetFolder(tmp_path / "acme__speech"), RowRanges(), within_s=60)
