"""Plan file `.hugflow/plan.json`: the commit, source files and settings that all runs of a dataset share."""

from __future__ import annotations

import base64
import re

import orjson
import pyarrow as pa
from pydantic import ValidationError

from hugflow.model.errors import StorageFault
from hugflow.model.plan import PLAN_SCHEMA_VERSION, PlanFile, Shard
from hugflow.storage.dataset_folder import DatasetFolder
from hugflow.storage.disk import NotAFileError, faults, read_regular, write_durably
from hugflow.storage.row_checks import is_inside
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
        plan = PlanFile.model_validate_json(data)
    except (orjson.JSONDecodeError, ValidationError, KeyError, TypeError) as error:
        raise StorageFault(doing, "it is damaged", _PLAN_FIX, reason="damaged_plan") from error
    if (problem := _problem(plan, name)) is not None:
        raise StorageFault(doing, f"it is damaged: {problem}", _PLAN_FIX, reason="damaged_plan")
    return plan


def _problem(plan: PlanFile, name: str) -> str | None:
    """Why a plan cannot be one that Hugflow made for the dataset `name`: others may be able to write in its folder."""
    download = plan.download
    if download.identity.name != name:
        return f"it is the plan of {download.identity.name}"
    if not re.fullmatch(r"[0-9a-f]{40}", download.sha):
        return "its commit is no commit"
    try:
        pa.ipc.read_schema(pa.py_buffer(base64.b64decode(download.arrow_schema, validate=True)))
    except (ValueError, OSError, pa.ArrowException):
        return "its schema cannot be read"
    is_listing = download.format.endswith("folder")
    return next((problem for shard in download.shards if (problem := _shard_problem(shard, is_listing))), None)


def _shard_problem(shard: Shard, is_listing: bool) -> str | None:
    """Why a source file cannot be one of a repository. Folder datasets have one shard without a file: their listing."""
    if shard.size_bytes < 0 or min(shard.groups or (0,)) < 0 or (shard.first_row or 0) < 0:
        return f"a size or row count of {shard.path!r} is negative"
    if is_listing and not shard.path:
        return None
    if not is_inside(shard.path):
        return f"{shard.path!r} is not the path of a file in a repository"
    if not re.fullmatch(r"[0-9a-f]{64}", shard.sha256 or "0" * 64) or not re.fullmatch(
        r"[0-9a-f]{40}", shard.blob_id or "0" * 40
    ):
        return f"a hash of {shard.path!r} is no hash"
    return f"there is no hash of {shard.path!r}" if shard.sha256 is None and shard.blob_id is None else None


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
