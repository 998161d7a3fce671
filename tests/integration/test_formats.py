"""The same speech dataset in every format gives the same rows, in the same order, and the same MP3 files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.format_repositories import LAYOUTS, ROWS, Layout, Row, Speech, parquet, speech
from tests.integration.support import Stored, World


def _serve(world: World, hf_id: str, layout: Layout, rows: list[Speech]) -> None:
    world.repositories += 1
    folder = world.folder.parent / f"repository-{world.repositories}"
    folder.mkdir()
    layout.write(folder, rows)
    world.hub.add_dataset(hf_id, folder)


def _download(world: World, hf_id: str, layout: Layout, **environ: str) -> Stored:
    result = world.sync(world.add(hf_id, hf_id.partition("/")[2], **layout.fields), **environ).ok().result
    return Stored(Path(result["location"]))


@pytest.fixture(scope="module")
def rows() -> list[Speech]:
    return speech()


@pytest.fixture(scope="module")
def reference(shared_world: World, rows: list[Speech]) -> Stored:
    """The rows as one parquet file with one huge row group, by one worker."""
    layout = Layout(parquet())
    _serve(shared_world, "acme/reference", layout, rows)
    stored = _download(shared_world, "acme/reference", layout, WORKERS="1")
    expected = [{"audio": f"audio/{row.stem}__{number}.mp3", **row.values} for number, row in enumerate(rows)]
    assert list(stored.rows().values()) == expected
    return stored


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_format_gives_the_same_rows_and_the_same_mp3(
    shared_world: World, reference: Stored, rows: list[Speech], name: str
) -> None:
    layout = LAYOUTS[name]
    _serve(shared_world, f"acme/{name}", layout, rows)
    stored = _download(shared_world, f"acme/{name}", layout)
    found = [_of(layout.same(row), layout) for row in stored.rows().values()]
    assert found == [_of(row, layout) for row in reference.rows().values()]
    if "audio" in layout.compares:
        assert _mp3(stored) == _mp3(reference)


def _of(row: Row, layout: Layout) -> Row:
    return {name: row[name] for name in layout.compares}


def _mp3(stored: Stored) -> dict[str, str]:
    return {name: digest for name, digest in stored.tree().items() if name.startswith("audio/")}
