"""Agreement of the runs of one dataset, and the sums of a plan."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from hugflow.model.plan import AddPlan, Column, DownloadPlan, Shard, ShardCount, conflicts, has_changes
from hugflow.model.records import EncoderSettings
from hugflow.model.specs import DatasetIdentity
from tests.support import sample_views as sample


def download(**changes: Any) -> DownloadPlan:
    return sample.add_plan().download.model_copy(update=changes)


def test_what_is_the_same_does_not_conflict() -> None:
    assert conflicts(download(), download()) == []
    assert conflicts(download(), download(sha="f" * 40)) == [], "a resume keeps the commit that was fixed"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"audio_column": "speech"}, "audio_column was 'audio' and is now 'speech'"),
        ({"audio_column": None}, "audio_column was 'audio' and is now None"),
        ({"encoder": EncoderSettings(quality=7)}, "quality was 3 and is now 7"),
        ({"encoder": EncoderSettings(reencode=True)}, "reencode was False and is now True"),
        ({"encoder": EncoderSettings(max_audio_s=5)}, "max_audio_s was 21600 and is now 5"),
        (
            {"identity": DatasetIdentity(hf_id="acme/other", subset="en", split="train", revision="main")},
            "it holds hf_id acme/voices, split train, revision main, the request asks for hf_id acme/other, subset en",
        ),
    ],
)
def test_each_difference_is_named(changes: dict[str, Any], said: str) -> None:
    (problem,) = conflicts(download(), download(**changes))
    assert problem.startswith(said)


def test_every_setting_of_the_encoder_is_compared() -> None:
    for name, value in asdict(EncoderSettings()).items():
        other = EncoderSettings(**{name: (not value) if isinstance(value, bool) else value + 1})
        assert len(conflicts(download(), download(encoder=other))) == 1, name


def test_several_differences_are_all_named() -> None:
    assert (
        len(conflicts(download(), download(audio_column=None, encoder=EncoderSettings(quality=5, reencode=True)))) == 3
    )


def shard(path: str, first_row: int | None, *groups: int) -> Shard:
    counted = groups if first_row is not None else None
    return Shard(path=path, size_bytes=100, sha256=None, blob_id=None, first_row=first_row, groups=counted)


def test_rows_and_bytes_are_those_of_the_shards() -> None:
    plan = download(shards=(shard("a", 0, 5, 5), shard("b", 10, 7)))
    assert (plan.rows, plan.size_bytes, plan.is_counted) == (17, 200, True)
    assert download(shards=()).rows == 0


def test_rows_that_are_not_counted_are_those_expected_or_known() -> None:
    plan = download(shards=(shard("a", 0, 5), shard("b", None)), expected_rows=20)
    assert (plan.rows, plan.is_counted) == (20, False)
    assert download(shards=plan.shards, expected_rows=3).rows == 5
    assert download(shards=plan.shards).rows == 5
    counted = plan.counted({1: ShardCount(first_row=5, groups=(2, 2), arrow_schema="")})
    assert (counted.rows, counted.is_counted, counted.shards[1].first_row) == (9, True, 5)
    assert counted.shards[0] == plan.shards[0]
    assert plan.counted({}) == plan


@pytest.mark.parametrize(
    ("plans", "changes"),
    [
        ([], False),
        ([sample.add_plan()], True),
        ([sample.add_plan(action="nothing")], False),
        ([sample.add_plan(action="nothing"), sample.add_plan(action="resume")], True),
        ([sample.remove_plan()], True),
        ([sample.publish_plan()], True),
        ([sample.publish_plan().model_copy(update={"action": "nothing"})], False),
    ],
)
def test_whether_there_is_anything_to_do(plans: list[AddPlan], changes: bool) -> None:
    assert has_changes(list(plans)) is changes


def test_a_column_with_class_names_can_be_a_key() -> None:
    column = Column(name="label", kind="value", type="int64", class_names={"label": ("no", "yes")})
    assert {column: 1}[column.model_copy()] == 1
