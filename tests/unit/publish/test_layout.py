"""Paths in a repository: shards, their patterns, earlier versions, and paths in a card."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hugflow.model.publish_spec import Layout
from hugflow.publish.layout import (
    backup_path,
    data_dir_of,
    data_paths,
    entries_of,
    explicit_patterns,
    is_backup,
    matching,
    pattern_of,
    shards_of,
    split_patterns,
)

NAMES = st.from_regex(r"[A-Za-z0-9_]{1,8}(\.[a-z0-9]{1,4})?", fullmatch=True)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@pytest.mark.parametrize(
    ("config", "count", "layout", "is_only", "paths"),
    [
        ("default", 1, "shards", True, ["data/dev-00000-of-00001.parquet"]),
        ("x", 2, "shards", True, ["x/dev-00000-of-00002.parquet", "x/dev-00001-of-00002.parquet"]),
        ("x", 1, "tables", True, ["data/x.parquet"]),
        ("x", 1, "tables", False, ["data/x/dev-00000-of-00001.parquet"]),
        ("x", 2, "tables", True, ["data/x/dev-00000-of-00002.parquet", "data/x/dev-00001-of-00002.parquet"]),
        ("default", 1, "tables", True, ["data/default.parquet"]),
    ],
)
def test_paths_by_layout(config: str, count: int, layout: Layout, is_only: bool, paths: list[str]) -> None:
    assert data_paths(config, "dev", count, layout, is_only=is_only) == paths
    others = ["data/y.parquet", "x/test-00000-of-00001.parquet", "data/dev-00000-of-00009.parquet"]
    pattern = pattern_of(config, "dev", count, layout, is_only=is_only)
    assert matching([*paths, *others], [pattern]) == paths
    assert shards_of([*paths, *others[:1]], config, "dev") == set(paths)
    backups = [backup_path(path, 3, layout) for path in paths]
    assert all(map(is_backup, backups))
    assert not any(map(is_backup, paths))
    assert not shards_of(backups, config)


@pytest.mark.parametrize(
    ("entry", "patterns"),
    [
        ({"data_files": "x/*"}, {"train": ["x/*"]}),
        ({"data_files": ["./x/*", "y"]}, {"train": ["x/*", "y"]}),
        (
            {"data_files": [{"split": "dev", "path": "x"}, {"split": "test", "path": ["y", "z"]}]},
            {"dev": ["x"], "test": ["y", "z"]},
        ),
        ({"data_files": {"dev": "x"}}, {"dev": ["x"]}),
        ({"data_files": "*.csv", "data_dir": "./en/"}, {"train": ["en/*.csv"]}),
        ({"data_files": [7, None]}, {"train": []}),
        ({"data_files": []}, {"train": []}),
        ({"data_dir": "en"}, None),
        ({}, None),
    ],
)
def test_every_way_to_name_files(entry: dict[str, Any], patterns: dict[str, list[str]] | None) -> None:
    assert split_patterns(entry) == patterns


def test_entries_of_odd_cards() -> None:
    assert entries_of(None) == entries_of(b"# words\n") == entries_of(b"---\nconfigs: 7\n---\n") == {}
    card = b"---\nconfigs:\n- 3\n- data_files: x\n- {config_name: 7, data_dir: .}\n---\n"
    assert list(entries_of(card)) == ["default", "7"]
    assert data_dir_of(entries_of(card)["7"]) == ""


@given(paths=st.sets(PATHS, max_size=60), data=st.data())
def test_explicit_patterns_name_just_these_files(paths: set[str], data: st.DataObject) -> None:
    files = [path for path in sorted(paths) if data.draw(st.booleans())]
    assert set(matching(paths, explicit_patterns(files, paths))) == set(files)


def test_many_files_of_a_folder_become_a_pattern() -> None:
    files = [f"deep/x/{n}.tar.gz" for n in range(50)]
    assert explicit_patterns(files, [*files, "deep/x/y.csv", "x.tar.gz"]) == ["deep/x/*.tar.gz"]
    assert len(explicit_patterns(files[1:], files)) == 49
