"""The orchestrator: a request becomes a plan, a plan becomes work, and what happens becomes events.

It names no reporter. Everything that it needs of the outside is handed to it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace

from hugflow.download.preflight import estimate, left_out, memory, space
from hugflow.download.repair import Repairer
from hugflow.download.run import DownloadRun, RunContext, manifest_entry
from hugflow.hf_client.read.repository_reader import audio_column
from hugflow.hf_client.read.revisions import check_source_files
from hugflow.model.errors import Bug, ExitCode, HugflowError, InvalidRequest, StorageFault
from hugflow.model.events import Result, RunFinished, RunStarted, Warned
from hugflow.model.outcome import failed_result
from hugflow.model.plan import (
    PLAN_SCHEMA_VERSION,
    AddAction,
    AddPlan,
    DownloadPlan,
    Estimate,
    Finding,
    Plan,
    PlanFile,
    PublishPlan,
    RemovePlan,
    StorageFacts,
    conflicts,
    kind_of_plan,
    name_of_plan,
)
from hugflow.model.ranges import RowRanges
from hugflow.model.records import EncoderSettings
from hugflow.model.specs import AddSpec, DatasetIdentity, RemoveSpec
from hugflow.publish.deletion import HubRemover
from hugflow.publish.run import Publisher
from hugflow.request.file import InvalidRequestFile, ParsedRequest
from hugflow.request.validator import check_columns
from hugflow.storage import journal
from hugflow.storage.disk import close_to_others, faults
from hugflow.storage.index import read_index
from hugflow.storage.inventory import Inventory
from hugflow.storage.plan_file import read_plan
from hugflow.storage.removal import Remover
from hugflow.storage.state import DatasetRecord, read_marker, read_progress, write_progress
from hugflow.storage.verify import Verified, Verifier

BUG_FIX = "Nothing that was done is lost. Please report it, with the lines of the log that begin at Traceback."
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the command line that complement a request."""

    restart: bool = False
    retry_failed: bool = False


@dataclass(frozen=True, slots=True)
class Orchestrator:
    """Plans requests and executes plans.

    `encoder` is what the settings say of the encoder; requests add to it. `quota_bytes` None: no quota.
    """

    context: RunContext
    remover: Remover
    publisher: Publisher
    hub_remover: HubRemover
    encoder: EncoderSettings
    quota_bytes: int | None = None
    check_duplicates: bool = True
    validate_hf_id: bool = True
    options: Options = field(default_factory=Options)

    # --- plans -----------------------------------------------------------------------------------------------------

    def plan(self, request: ParsedRequest) -> Plan:
        """The plan of a request; changes nothing.

        Raises InvalidRequest, AuthenticationError, Transient, StorageFault, and Bug for what nobody expected.
        """
        spec = request.spec
        try:
            if isinstance(spec, AddSpec):
                return self._plan_add(request, spec, None)
            if isinstance(spec, RemoveSpec):
                return (self.hub_remover if spec.target == "hub" else self.remover).plan(request, spec)
            return self.publisher.plan(request, spec)
        except HugflowError:
            raise
        except Exception as error:
            raise _bug(f"planning {request.path}", error) from error

    def _plan_add(self, request: ParsedRequest, spec: AddSpec, planned: PlanFile | None) -> AddPlan:
        """`planned` is what the Hub said when the request was planned: it is asked once, and gives one commit."""
        kept = None if self.options.restart else read_plan(self.context.storage, spec.name)
        encoder = replace(self.encoder, reencode=spec.reencode)
        marker = None
        if kept is None:
            kept = planned or self._resolve(request, spec, encoder)
            action: AddAction = "download"
        else:
            self._check_agreement(request, spec, kept, encoder)
            marker = read_marker(self.context.storage.dataset(spec.name).marker)
            is_done = marker is not None and not (self.options.retry_failed and marker.rows_failed)
            action = "nothing" if is_done else "resume"
        storage = self.context.storage.facts(self.quota_bytes)
        done = self._rows_done(spec.name, kept.download, action, marker)
        needs = estimate(kept.download, done, self.context.pool.workers)
        return AddPlan(
            request=request.path,
            spec=spec,
            name=spec.name,
            action=action,
            location=str(self.context.storage.dataset(spec.name).path),
            facts=kept.facts,
            download=kept.download,
            rows_done=done,
            storage=storage,
            estimate=needs,
            findings=self._findings(spec, kept, action, needs, storage),
        )

    def _check_agreement(self, request: ParsedRequest, spec: AddSpec, kept: PlanFile, encoder: EncoderSettings) -> None:
        """Refuse to mix two datasets: what is in storage was begun under settings that the request does not have."""
        doing = f"continuing {spec.name}"
        if kept.schema_version > PLAN_SCHEMA_VERSION:
            raise StorageFault(doing, "it was begun by a newer Hugflow", "Upgrade this one.", reason="newer_schema")
        if problems := check_columns(request, kept.download.columns):
            raise InvalidRequestFile(problems)
        wanted = kept.download.model_copy(
            update={
                "identity": DatasetIdentity.of(spec),
                "audio_column": audio_column(spec, kept.download.columns),
                "encoder": encoder,
            }
        )
        if differences := conflicts(kept.download, wanted):
            raise InvalidRequest(
                doing,
                f"the dataset in storage has other settings: {'; '.join(differences)}",
                "Put the request back to what it was, or run with --restart to delete what is there and begin again.",
                reason="conflict",
            )

    def _resolve(self, request: ParsedRequest, spec: AddSpec, encoder: EncoderSettings) -> PlanFile:
        resolved = self.context.reader.resolve(self.context.hub.impatient(), request, spec, encoder)
        return PlanFile(facts=resolved.facts, download=resolved.download)

    def _rows_done(self, name: str, download: DownloadPlan, action: AddAction, marker: DatasetRecord | None) -> int:
        if action == "nothing":
            return download.rows
        if action == "download":
            return 0
        if marker is not None:
            return marker.rows_total - marker.rows_failed
        # a second old at most, and at once there: the journal of a million rows takes a second, and the run reads it
        progress = read_progress(self.context.state.progress(name))
        if progress is not None:
            return len(progress.rows)
        state = journal.read(self.context.state.journal(name))
        return len(state.done) if state else 0

    def _findings(
        self, spec: AddSpec, kept: PlanFile, action: AddAction, needs: Estimate, storage: StorageFacts
    ) -> tuple[Finding, ...]:
        if action == "nothing":
            return (Finding(level="info", message="Dataset already exists in storage"),)
        download = kept.download
        duplicates = self._duplicates(spec, download.sha) if self.check_duplicates else []
        remarks = (Finding(level="warning", message=remark) for remark in kept.facts.remarks)
        told = (*left_out(spec, download), *remarks)
        return (*space(needs, storage), *memory(download, self.context.pool.memory_bytes), *duplicates, *told)

    def _duplicates(self, spec: AddSpec, sha: str) -> list[Finding]:
        """The same rows under another name, because two revisions mean the same commit."""
        return [
            Finding(level="error", message=f"the same commit of this dataset is in storage already, as {name}")
            for name, entry in self.context.state.datasets().items()
            if name != spec.name
            and entry.dataset.sha == sha
            and entry.dataset.identity.model_copy(update={"revision": spec.revision}) == DatasetIdentity.of(spec)
        ]

    # --- work ------------------------------------------------------------------------------------------------------

    def execute(self, plan: Plan) -> Result:
        """Do what a plan says. The result, good or bad, is also the last event of the request.

        Raises nothing: an error is in the result, so that the other requests of a run go on.
        """
        self.context.emit(RunStarted(plan.request, plan))
        try:
            if not _is_of_the_hub(plan):
                # a lost manifest is rebuilt from all datasets before this request writes its own entry into it
                Inventory(self.context.storage, self.context.state).recover()
            result = self._execute(plan)
        except HugflowError as error:
            result = failed_result(plan.request, kind_of_plan(plan), name_of_plan(plan), error)
        except Exception as error:  # noqa: BLE001 - a bug costs the request that met it, not the others
            bug = _bug(f"executing {plan.request or name_of_plan(plan)}", error)
            result = failed_result(plan.request, kind_of_plan(plan), name_of_plan(plan), bug)
        self.context.emit(RunFinished(result))
        return result

    def repair(self, verified: Verified) -> Result:
        """Repair a dataset that `verify` found damaged.

        Where the index was damaged, only the mended dataset shows what else does not belong: then it is done again.
        """
        verifier = Verifier(self.context.storage, self.context.state)
        try:
            Inventory(self.context.storage, self.context.state).recover()
            result = Repairer(self.context).repair(verified)
            if not verified.index_intact and result.status == "complete":
                again = verifier.verify(verified.name)
                result = Repairer(self.context).repair(again) if again.damage else result
        except HugflowError as error:
            result = failed_result("", "add", verified.name, error)
        self.context.emit(RunFinished(result))
        return result

    def _execute(self, plan: Plan) -> Result:
        if isinstance(plan, RemovePlan):
            return (self.hub_remover if plan.spec.target == "hub" else self.remover).execute(plan)
        if isinstance(plan, PublishPlan):
            return self.publisher.execute(plan)
        with self.context.state.lock(plan.name, f"downloading {plan.name}"):
            self.remover.finish_interrupted(plan.name)
            # what was planned without the lock is looked at again: another run may have come first
            planned = PlanFile(facts=plan.facts, download=plan.download)
            limits = {"max_rows": plan.max_rows, "max_stored_bytes": plan.max_stored_bytes}
            plan = self._plan_add(ParsedRequest(plan.request, plan.spec, {}), plan.spec, planned)
            plan = plan.model_copy(update=limits)
            self.remover.empty_trash(plan.request)
            if plan.action == "nothing":
                return self._unchanged(plan)
            if self.check_duplicates and (duplicates := self._duplicates(plan.spec, plan.download.sha)):
                raise InvalidRequest(
                    f"adding {plan.name}",
                    "; ".join(finding.message for finding in duplicates),
                    "Remove the other one first, or set CHECK_DUPLICATES=false to keep both.",
                    reason="duplicate",
                    field="revision",
                )
            if errors := [finding.message for finding in plan.findings if finding.level == "error"]:
                fix = "Free space, raise the limit, or remove a dataset, and run the same command again."
                raise StorageFault(
                    f"checking the free space for {plan.name}", "; ".join(errors), fix, reason="preflight"
                )
            if plan.action == "resume" and (self.validate_hf_id or plan.rows_done < plan.download.rows):
                check_source_files(self.context.hub, plan.download)
            if self.options.restart:
                self._forget(plan.name)
            return DownloadRun(plan, self.context, self.options.retry_failed, _quota_left(plan.storage)).run()

    def _forget(self, name: str) -> None:
        """Begin again: what vouches for rows goes before the rows, so that a kill leaves none that are not there."""
        dataset = self.context.storage.dataset(name)
        if existed := dataset.exists():
            self.context.state.deactivate(name)
            dataset.delete_marker_and_index()
        self.context.state.forget(name)
        if existed:
            now = self.context.now()
            dataset.clear(lambda foreign: self.context.storage.trash_files(name, foreign, now))

    def _tidy(self, name: str, record: DatasetRecord) -> None:
        """Do what a run that was killed behind its marker had left to do."""
        dataset, state = self.context.storage.dataset(name), self.context.state
        dataset.sweep()
        dataset.remove_workspace()
        entry = state.datasets().get(name)
        if entry is None:
            state.activate(manifest_entry(self.context, record))
        elif entry.dataset != record:
            # a marker that was damaged and can still be read must not become what the manifest says
            fix = "`hugflow verify --repair` makes it again."
            problem = "its marker says something else than the manifest"
            raise StorageFault(f"looking at {name}", problem, fix, reason="damaged_marker")
        if self.context.cleanup_progress:
            state.forget(name)
        elif (progress := read_progress(state.progress(name))) is not None and progress.status != "complete":
            done = RowRanges()
            done.update(row.row for row in read_index(dataset) if row.status != "failed")
            path, rows = state.progress(name), record.rows_total
            write_progress(path, name, status="complete", done=done, rows_total=rows, resumed_from=len(done))

    def _unchanged(self, plan: AddPlan) -> Result:
        """The dataset is complete: make sure that manifest and link say so, and download nothing."""
        record = read_marker(self.context.storage.dataset(plan.name).marker)
        assert record is not None, "the plan says that the dataset is complete"
        self._tidy(plan.name, record)
        if plan.facts.private or plan.facts.gated:
            with faults(f"closing {plan.location} to others"):
                close_to_others(self.context.storage.dataset(plan.name).path)
        if warning := self.context.storage.link(plan.name):
            self.context.emit(Warned(plan.request, warning))
        return Result(
            request=plan.request,
            kind="add",
            name=plan.name,
            status="unchanged",
            exit_code=ExitCode.DONE,
            location=plan.location,
            sha=record.sha,
            rows_total=record.rows_total,
            rows_done=record.rows_total - record.rows_failed,
            rows_failed=record.rows_failed,
            audio_bytes=record.audio_bytes,
            json_bytes=record.json_bytes,
            duration_s=record.duration_s,
            rows_without_audio=record.rows_without_audio,
            clipped_clips=record.clipped_clips,
            silent_clips=record.silent_clips,
            message="Dataset already exists in storage",
        )


def _bug(doing: str, error: Exception) -> Bug:
    """The bug that `error` shows, with its traceback in the log."""
    log.error("a bug in Hugflow while %s", doing, exc_info=error)
    return Bug(doing, f"a bug in Hugflow: {type(error).__name__}: {error}", BUG_FIX)


def _is_of_the_hub(plan: Plan) -> bool:
    """True for a plan that changes nothing on this server."""
    return isinstance(plan, PublishPlan) or (isinstance(plan, RemovePlan) and plan.spec.target == "hub")


def _quota_left(storage: StorageFacts | None) -> int | None:
    """Bytes that the quota leaves; None without one."""
    return None if storage is None or storage.quota_bytes is None else storage.quota_bytes - storage.used_bytes
