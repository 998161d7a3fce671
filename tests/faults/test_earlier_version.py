"""Datasets and state of an earlier version (tests/data/README.md) are read, verified, continued and removed."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from localhub import LocalHub, Settings
from tests.faults.conftest import MakeWorld, NewFolder
from tests.support.faults import FaultWorld
from tests.support.world import visible

ARCHIVE = Path(__file__).parents[1] / "data" / "written_by_ad6698d.tar.xz"
CLOCK = 1793491200.0
HARBOUR, LEAVING, NOTES, LINES = (
    f"acme__{name}__split_train__rev_main" for name in ("harbour", "leaving", "notes", "lines")
)


@pytest.fixture(scope="module")
def new_folder(in_memory: NewFolder) -> NewFolder:
    return in_memory


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def hub(canaries: Mapping[str, str], written: Path) -> Iterator[LocalHub]:
    """A Hub with the repositories, under the commits that they had."""
    with LocalHub(settings=Settings(clock=lambda: CLOCK)) as running:
        running.add_user("reader", token=canaries["HF_TOKEN"])
        commits = json.loads((written / "commits.json").read_text())
        assert {hf_id: running.add_dataset(hf_id, written / "hub" / hf_id) for hf_id in commits} == commits
        yield running


@pytest.fixture
def world(make_world: MakeWorld) -> FaultWorld:
    """A checkout with the datasets, state and requests as the earlier version left them."""
    world = make_world("world")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(world.folder, filter="data")
    (world.folder / "storage").rename(world.storage)
    (world.folder / "state").rename(world.state)
    world.settings["TRASH_DAYS"] = "36500"
    return world


def test_status_lists_every_dataset(world: FaultWorld) -> None:
    done = world.quick("status", "--json")
    assert done.code == 0
    found = {
        each["name"]: (each["state"], each["rows_total"], each["rows_done"], each["added_by"])
        for each in done.json["datasets"]
    }
    assert found == {
        HARBOUR: ("complete", 6, 6, "alice"),
        LEAVING: ("complete", 6, 6, "alice"),
        NOTES: ("partial", 40, 20, None),
        LINES: ("partial", 20, 10, None),
    }


def test_verify_finds_no_damage(world: FaultWorld) -> None:
    before = world.dataset(HARBOUR).tree()
    assert world.quick("verify").code == 0
    assert world.dataset(HARBOUR).tree() == before


def test_verify_finds_a_file_that_was_changed_since(world: FaultWorld) -> None:
    (world.storage / HARBOUR / "json/3.json").write_text("{}")
    done = world.quick("verify", "--json")
    assert done.code != 0
    assert "json/3.json" in done.out


def test_a_changed_file_is_repaired(world: FaultWorld) -> None:
    good = world.dataset(HARBOUR).rows()
    (world.storage / HARBOUR / "json/3.json").write_text("{}")
    world.quick("verify", "--repair")
    assert world.dataset(HARBOUR).rows() == good
    assert world.quick("verify").code == 0


def test_the_request_of_a_complete_dataset_changes_nothing(world: FaultWorld) -> None:
    before = world.dataset(HARBOUR).tree()
    assert world.quick_sync("requests/add/harbour.yaml").ok().result["status"] == "unchanged"
    assert world.dataset(HARBOUR).tree() == before


@pytest.mark.parametrize(("request_name", "name"), [("notes", NOTES), ("lines", LINES)])
def test_an_interrupted_download_continues_with_its_rows(world: FaultWorld, request_name: str, name: str) -> None:
    recorded = {10: range(10), 20: range(20, 40)}[len(list((world.storage / name / "json").iterdir()))]
    kept = {row: (world.storage / name / f"json/{row}.json").stat().st_ino for row in recorded}
    result = world.quick_sync(f"requests/add/{request_name}.yaml").ok().result
    assert result["new_rows"] == 40 - len(recorded), "the rows in the journal are not converted again"
    stored = world.dataset(name)
    assert stored.rows() == {n: {"text": f"Line {n} of the log.", "id": n} for n in range(40)}
    assert {row: (stored.path / f"json/{row}.json").stat().st_ino for row in recorded} == kept
    assert world.quick("verify", name).code == 0


def test_datasets_are_removed_also_one_whose_removal_was_interrupted(world: FaultWorld) -> None:
    for name in ("harbour", "leaving"):
        world.quick_sync(world.remove(f"acme/{name}", name)).ok()
    assert visible(world.storage) == [LINES, NOTES]
    assert [record["identity"]["hf_id"] for record in world.archive()] == ["acme/gone", "acme/harbour", "acme/leaving"]
    assert not list((world.state / "removing").iterdir())
    assert len(list((world.storage / ".trash").iterdir())) == 3


def test_a_lost_manifest_is_written_again_from_the_markers(world: FaultWorld) -> None:
    (world.state / "active.json").unlink()
    assert world.quick("status").code == 0
    datasets = json.loads((world.state / "active.json").read_text())["datasets"]
    assert [each["dataset"]["name"] for each in datasets] == [HARBOUR, LEAVING]


def test_a_dataset_that_is_not_public_is_closed_to_others_by_its_request(world: FaultWorld) -> None:
    """Earlier versions made it readable for all."""
    folder = world.storage / HARBOUR
    plan = json.loads((folder / ".hugflow/plan.json").read_text())
    plan["facts"]["gated"] = True
    (folder / ".hugflow/plan.json").write_text(json.dumps(plan))
    folder.chmod(0o755)
    world.quick_sync("requests/add/harbour.yaml").ok()
    assert folder.stat().st_mode & 0o777 == 0o750
