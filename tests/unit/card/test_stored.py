"""A stored dataset's README.md, read by `datasets`, by the Hub's own rules and by people."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard
from hypothesis import given
from hypothesis import strategies as st

from hugflow.card.stored import storage_card
from hugflow.download.finish import metadata_names
from hugflow.model.plan import Column
from hugflow.model.specs import AddSpec, DatasetIdentity
from tests.support import sample_views as sample


def card(
    licence: str | None = "mit", rows: int = 10, failed: int = 0, audio: str | None = "audio", **fields: Any
) -> str:
    spec = AddSpec(**{"hf_id": "acme/voices", "description": "Read speech."} | fields)
    plan = sample.add_plan().download.model_copy(update={"identity": DatasetIdentity.of(spec), "audio_column": audio})
    return storage_card(spec, plan, licence, rows=rows, failed=failed)


def front(text: str) -> dict[str, Any]:
    """The front matter, as YAML that any parser reads."""
    begin, matter, _ = text.split("---\n", 2)
    assert begin == ""
    return yaml.safe_load(matter)


def test_it_says_how_to_load_the_folder() -> None:
    assert front(card())["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": ["metadata.parquet", "audio/*.mp3"]}]}
    ]
    assert front(card(audio=None))["configs"][0]["data_files"][0]["path"] == ["metadata.parquet"]


@pytest.mark.parametrize("split", ["train", "test", "no", "on", "null", "1", "1.5", "a_b.c"])
def test_the_split_stays_text(split: str) -> None:
    assert front(card(split=split))["configs"][0]["data_files"][0]["split"] == split


@pytest.mark.parametrize("licence", ["cc-by-4.0", "no", "1.0", "a: b # c", "mit, apache-2.0", "'\"\n---\n"])
def test_the_licence_stays_text(licence: str) -> None:
    assert front(card(licence))["license"] == " ".join(licence.split())


def test_without_a_licence_it_says_nothing_of_one() -> None:
    assert "license" not in front(card(None))


def test_the_hubs_own_parser_reads_it() -> None:
    parsed = DatasetCard(card())
    assert parsed.data.license == "mit"
    assert parsed.text.strip().startswith("# voices")


def test_people_read_where_it_is_from() -> None:
    text = card(subset="en", split="test", revision="v2", rows=1_234, failed=3, description="  Why we have it.\n")
    assert "\nWhy we have it.\n" in text
    assert f"`acme/voices`, revision `v2` at commit `{sample.COMMIT}`" in text
    for line in ("- **Config**: `en`", "- **Split**: `test`", "- **Rows**: 1234 (3 could not be converted)"):
        assert line in text.split("\n")
    assert "- **Rows**: 10\n" in card()
    assert "**Config**" not in card()
    assert "audio/*.mp3" not in card(audio=None)
    assert 'load_dataset("path/to/this/folder", split="test")' in text


@given(st.text(min_size=1).filter(str.strip))
def test_a_description_changes_nothing_of_the_front_matter(description: str) -> None:
    try:
        text = card(description=description)
    except ValueError:
        return  # a request cannot have it
    assert front(text) == front(card())


# -- names in metadata.parquet -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "audio", "names"),
    [
        (["text", "audio"], "audio", {"text": "text"}),
        (["text", "audio"], None, {"text": "text", "audio": "audio"}),
        (["file_name", "x_file_names"], None, {"file_name": "file_name", "x_file_names": "x_file_names"}),
        (["audio", "speech"], "speech", {"audio": "source_audio"}),
        (
            ["audio", "source_audio", "speech"],
            "speech",
            {"audio": "source_source_audio", "source_audio": "source_audio"},
        ),
        (["audio", "file_name"], "audio", {"file_name": "file_name_"}),
        (
            ["audio", "x_file_name", "x_file_name_"],
            "audio",
            {"x_file_name": "source_x_file_name_", "x_file_name_": "x_file_name_"},
        ),
        (
            ["audio", "file_names", "profile_name"],
            "audio",
            {"file_names": "file_names_", "profile_name": "profile_name"},
        ),
    ],
)
def test_names_that_datasets_would_take_for_files(columns: list[str], audio: str | None, names: dict[str, str]) -> None:
    assert metadata_names(columns, audio) == names


column = st.sampled_from(
    ["a", "audio", "file_name", "file_name_", "source_audio", "source_file_name_", "x_file_names", "x_file_names_"]
)


@given(st.lists(column, unique=True), column)
def test_every_column_has_a_name_of_its_own(columns: list[str], audio: str) -> None:
    names = metadata_names(columns, audio)
    assert names.keys() == set(columns) - {audio}
    assert len(set(names.values())) == len(names)
    assert not {"audio", "file_name"} & set(names.values())
    assert not any(name.endswith(("_file_name", "file_names")) for name in names.values())


def test_it_names_the_classes() -> None:
    columns = (
        Column(name="label", kind="value", type="int64", class_names={"label": ("cat", "d`o\ng")}),
        Column(name="who", kind="value", type="struct", class_names={"who.id": tuple(map(str, range(1_002)))}),
    )
    plan = sample.add_plan().download.model_copy(update={"columns": columns})
    spec = AddSpec(hf_id="acme/voices", description="Read speech.")
    text = storage_card(spec, plan, None, rows=1, failed=0)
    assert "## Class labels\n\n- `label`: 0 `cat`, 1 `d'o\\ng`\n- `who.id`: 0 `0`, 1 `1`, " in text
    assert "999 `999`, and 2 more in the schema of `metadata.parquet`\n\n## Use" in text
    assert "Class labels" not in card()
