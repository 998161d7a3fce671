"""Plan file `.hugflow/plan.json`: the commit, source files and settings that all runs of a dataset share."""

from __future__ import annotations

import orjson
from pydantic import ValidationError

from hugflow.model.errors import StorageFault
from hugflow.model.plan import PLAN_SCHEMA_VERSION, PlanFile
from hugflow.storage.dataset_folder import DatasetFolder
from hugflow.storage.disk import NotAFileError, faults, read_regular, write_durably
from hugflow.storage.storage_root import Storage


def read_plan(storage: Storage, name: str) -> PlanFile | None:
    """Read the plan of a dataset; None if there is none.

    Raises StorageFault for one that is damaged, of a newer Hugflow, or missing beside a marker: the commit of the rows
    is then not known.
    """
    doing, dataset = f"reading the plan of {name}", storage.dataset(name)
    with faults(doing):
        try:
            data = read_regular(dataset.plan)
        except FileNotFoundError:
            if not dataset.marker.exists():
                return None
            raise StorageFault(doing, "it is missing", _PLAN_FIX, reason="damaged_plan") from None
        except NotAFileError:
            data = b""  # reported as damage
    try:
        if orjson.loads(data)["schema_version"] > PLAN_SCHEMA_VERSION:
            raise StorageFault(doing, "it was written by a newer Hugflow", "Upgrade this one.", reason="newer_schema")
        return PlanFile.model_validate_json(data)
    except (orjson.JSONDecodeError, ValidationError, KeyError, TypeError) as error:
        raise StorageFault(doing, "it is damaged", _PLAN_FIX, reason="damaged_plan") from error


_PLAN_FIX = (
    "`hugflow verify --repair` writes the plan of a complete dataset again; for one that is not complete, run its "
    "request with --restart."
)


def readable_plan(storage: Storage, name: str) -> PlanFile | None:
    """Read the plan of a dataset; None if it is missing or damaged."""
    try:
        return read_plan(storage, name)
    except StorageFault as fault:
        if fault.reason != "damaged_plan":
            raise
        return None


def write_plan(dataset: DatasetFolder, content: PlanFile) -> None:
    """Write the plan of a dataset durably."""
    with faults(f"writing {dataset.plan}"):
        dataset.meta.mkdir(parents=True, exist_ok=True)
    write_durably(dataset.plan, content.model_dump_json(indent=2).encode() + b"\n")
