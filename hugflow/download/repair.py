"""Repair of a dataset that `verify` found damaged: bad files go to the trash and are downloaded again."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from pydantic import ValidationError

from hugflow.download.run import DownloadRun, RunContext
from hugflow.hf_client.read.revisions import check_source_files
from hugflow.model.errors import ExitCode, StorageFault
from hugflow.model.events import Result
from hugflow.model.plan import AddPlan, PlanFile
from hugflow.model.specs import AddSpec, DatasetIdentity
from hugflow.request.file import ParsedRequest
from hugflow.storage import journal
from hugflow.storage.dataset_folder import META
from hugflow.storage.journal import JournalState
from hugflow.storage.plan_file import read_plan, write_plan
from hugflow.storage.state import DatasetRecord
from hugflow.storage.verify import MARKER, PLAN, Verified, intact_records

_ROWS_AUDIO, _ROWS_JSON = "audio", "json"


@dataclass(frozen=True, slots=True)
class Repairer:
    """Repairs datasets; needs the Hub only for what has to be fetched again."""

    context: RunContext

    def repair(self, verified: Verified) -> Result:
        """Restore a dataset byte for byte. Raises Locked, StorageFault, Transient, AuthenticationError.

        From one that is not complete only the damaged files are removed: the next run of its request makes them again.
        """
        name = verified.name
        with self.context.state.lock(name, f"repairing {name}"):
            if verified.record is None:
                return self._remove_damage(verified)
            # asks the Hub where the plan is damaged: before anything is changed
            plan = self._plan(verified, verified.record)
            self._move_damage_to_trash(verified, JournalState(name, verified.record.sha), plan)
            return DownloadRun(plan, self.context).run()

    def _remove_damage(self, verified: Verified) -> Result:
        """Remove the damaged files of a dataset that is not complete."""
        name = verified.name
        kept = read_plan(self.context.storage, name)
        assert kept is not None, "a dataset that is not complete is known by its plan"
        damaged = JournalState(name, kept.download.sha)
        state = journal.read(self.context.state.journal(name)) if verified.index_intact else damaged
        self._move_damage_to_trash(verified, state)
        return Result(
            request="",
            kind="add",
            name=name,
            status="partial",
            exit_code=ExitCode.PARTIAL,
            message="The damaged files were removed",
            fix="Run the dataset's request again: it makes those rows again and completes the dataset.",
        )

    def _move_damage_to_trash(
        self, verified: Verified, state: JournalState | None, plan: AddPlan | None = None
    ) -> None:
        """Remove the damaged files: journal first, then plan and marker, then the rest, so that a kill loses nothing.

        Without `state` there is no journal, and none is made. Without `plan` the dataset is not complete and keeps its
        plan.
        """
        name, now = verified.name, self.context.now()
        storage, dataset = self.context.storage, self.context.storage.dataset(verified.name)
        path = self.context.state.journal(name)
        if state is not None:
            journal.rewrite(path, state, intact_records(dataset, path, verified))
        bad = [damage.path for damage in verified.damage if damage.state != "missing" and not damage.is_journal]
        storage.trash_files(name, [path for path in bad if plan is not None and path in {META, PLAN}], now)
        if plan is not None and verified.is_damaged(PLAN):
            write_plan(dataset, PlanFile(facts=plan.facts, download=plan.download))
        if MARKER not in bad:
            dataset.delete_marker()
        if plan is not None and not verified.index_intact:
            bad += [_ROWS_AUDIO, _ROWS_JSON]  # no record of any row is left: all are made again, into empty folders
        storage.trash_files(name, [path for path in bad if path not in {META, PLAN}], now)

    def _plan(self, verified: Verified, record: DatasetRecord) -> AddPlan:
        spec = _spec(record)
        kept = None if verified.is_damaged(PLAN) else read_plan(self.context.storage, record.name)
        if kept is not None and kept.download.sha == record.sha:
            if verified.damaged_rows or not verified.index_intact:
                check_source_files(self.context.hub, kept.download)
        else:
            request = ParsedRequest(record.request, spec, {})
            resolved = self.context.reader.resolve(self.context.hub, request, spec, record.encoder, sha=record.sha)
            kept = PlanFile(facts=resolved.facts, download=resolved.download)
        return AddPlan(
            request=record.request,
            spec=spec,
            name=record.name,
            action="resume",
            location=str(self.context.storage.dataset(record.name).path),
            facts=kept.facts,
            download=kept.download,
        )


def _spec(record: DatasetRecord) -> AddSpec:
    """The request of a dataset, as its record keeps it. Raises StorageFault for one that is not of this dataset."""
    with suppress(ValidationError):
        spec = AddSpec.model_validate(record.spec)
        if DatasetIdentity.of(spec) == record.identity:
            return spec
    raise StorageFault(
        f"repairing {record.name}",
        "the request in its record is not that of the dataset",
        "The record was changed. Run the dataset's request with --restart.",
        reason="damaged_marker",
    )
