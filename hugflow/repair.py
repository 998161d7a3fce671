"""Mends a dataset that `verify` found damaged: what does not hold goes to the trash, and is downloaded again."""

from __future__ import annotations

from dataclasses import dataclass

from hugflow import journal
from hugflow.errors import ExitCode
from hugflow.events import Result
from hugflow.hf_client.resolve import resolve
from hugflow.journal import JournalState
from hugflow.plan import AddPlan, PlanFile
from hugflow.removal import read_plan
from hugflow.request_file import ParsedRequest
from hugflow.specs import AddSpec
from hugflow.state import DatasetRecord
from hugflow.verify import Verified, good_records
from hugflow.workers.run import DownloadRun, RunContext


@dataclass(frozen=True, slots=True)
class Repairer:
    """Repairs datasets; needs the Hub only for what has to be fetched again."""

    context: RunContext

    def repair(self, verified: Verified) -> Result:
        """Make a dataset again what it was, byte for byte. Raises Locked, StorageFault, Transient, AuthenticationError.

        One that is not complete is only rid of what does not hold: the next run of its request makes it again.
        """
        name = verified.name
        with self.context.state.lock(name, f"repairing {name}"):
            self._take_out(verified)
            if verified.record is None:
                return Result(
                    request="",
                    kind="add",
                    name=name,
                    status="partial",
                    exit_code=ExitCode.PARTIAL,
                    message="What does not hold was taken out",
                    fix="Run the dataset's request again: it makes those rows again and completes the dataset.",
                )
            return DownloadRun(self._plan(verified.record), self.context).run()

    def _take_out(self, verified: Verified) -> None:
        """Journal first, then the files: killed in between, what is left is found by the next `verify`."""
        name = verified.name
        path = self.context.state.journal(name)
        kept = read_plan(self.context.storage, name)
        if verified.record is not None:
            state = JournalState(name, verified.record.sha)
        else:
            known = journal.read(path) if verified.index_holds else None
            assert kept is not None, "a dataset that is not complete is known by its plan"
            state = known or JournalState(name, kept.download.sha)
        journal.rewrite(path, state, good_records(self.context.storage.dataset(name), path, verified))
        files = [damage.path for damage in verified.damage if not damage.path.startswith("journal of ")]
        self.context.storage.trash_files(name, files, self.context.now())

    def _plan(self, record: DatasetRecord) -> AddPlan:
        spec = AddSpec.model_validate(record.spec)
        kept = read_plan(self.context.storage, record.name)
        if kept is None:
            request = ParsedRequest(record.request, spec, {})
            resolved = resolve(self.context.hub, request, spec, record.encoder, sha=record.sha)
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
