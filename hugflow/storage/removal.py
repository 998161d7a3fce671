"""Removal of datasets: moves a dataset's folder into the trash with one rename, then updates the state.

A record of the removal is written first, so that an interrupted removal is finished by running the same request again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hugflow.model.errors import ExitCode
from hugflow.model.events import Reporter, Result, Warned
from hugflow.model.plan import RemovePlan
from hugflow.model.specs import DatasetIdentity, RemoveSpec
from hugflow.request.file import InvalidRequestFile, ParsedRequest, Problem
from hugflow.request.validator import matching
from hugflow.storage.failpoints import Failpoints
from hugflow.storage.plan_file import readable_plan
from hugflow.storage.state import ArchivedRecord, ManifestEntry, StateDir, readable_marker
from hugflow.storage.storage_root import Storage


@dataclass(frozen=True, slots=True)
class Remover:
    """Plans and executes remove requests. `actor` is who requested it, `trash_days` the days that the trash is kept."""

    storage: Storage
    state: StateDir
    actor: str
    trash_days: float
    now: Callable[[], datetime]
    emit: Reporter
    failpoints: Failpoints = field(default_factory=Failpoints)

    def plan(self, request: ParsedRequest, spec: RemoveSpec) -> RemovePlan:
        """Find the dataset that a request names. Raises InvalidRequestFile when there is none, or several."""
        entries = self.state.datasets()
        found = matching(request, self.known(entries).values(), self._removed())
        if isinstance(found, Problem):
            raise InvalidRequestFile([found])
        entry = entries.get(found.name)
        rows = entry.dataset.rows_total - entry.dataset.rows_failed if entry else 0
        return RemovePlan(
            request=request.path,
            spec=spec,
            names=(found.name,),
            rows=rows,
            stored_bytes=self.storage.usage(found.name),
            completed_at=datetime.fromisoformat(entry.completed_at).astimezone(UTC) if entry else None,
        )

    def _removed(self) -> Iterator[tuple[DatasetIdentity, str]]:
        """The removed datasets with the day of their removal."""
        for record in self.state.removed():
            yield record.identity, record.removed_at[:10]

    def known(self, entries: Mapping[str, ManifestEntry]) -> dict[str, DatasetIdentity]:
        """All datasets in storage, in the manifest (`entries`), or with an unfinished removal, by name."""
        known = {name: entry.dataset.identity for name, entry in entries.items()}
        for name in self.storage.names():
            identity = self._identity(name)
            if identity is not None:
                known[name] = identity
        for record in self.state.removals():
            known[record.name] = record.identity
        return known

    def execute(self, plan: RemovePlan) -> Result:
        """Move the dataset into the trash and update the state. Raises Locked while a run writes it."""
        (name,) = plan.names
        with self.state.lock(name, f"removing {name}"):
            record = next((record for record in self.state.removals() if record.name == name), None)
            if record is None:
                record = self._intent(name, plan)
                self.state.begin_removal(record)
            self.failpoints.reach("remove_intent")
            self.storage.unlink(name)
            self.failpoints.reach("remove_unlinked")
            if record.trash is not None:
                self.storage.trash(name, record.trash)
            self.failpoints.reach("remove_trashed")
            self.state.forget(name)
            self.failpoints.reach("remove_forgotten")
            self.state.archive(record)
            self.failpoints.reach("remove_archived")
            self.state.end_removal(name)
        self.empty_trash(plan.request)
        kept = f"; kept in the trash for {self.trash_days:g} days" if record.trash and self.trash_days else ""
        return Result(
            request=plan.request,
            kind="remove",
            name=name,
            status="removed",
            exit_code=ExitCode.DONE,
            rows_total=plan.rows,
            message=f"Removed {name}{kept}",
        )

    def empty_trash(self, request: str) -> None:
        """Delete datasets that have been in the trash for `trash_days`; called by every run."""
        for gone in self.storage.empty_trash(self.trash_days, self.now()):
            self.emit(Warned(request, f"deleted from the trash after {self.trash_days:g} days: {gone}"))

    def finish_interrupted(self, name: str) -> None:
        """Finish or cancel an interrupted removal of a dataset that is requested again; the caller holds its lock.

        A dataset that is in the trash already stays there and is archived; one that is not is kept.
        """
        for record in self.state.removals():
            if record.name == name:
                if not self.storage.dataset(name).path.exists():
                    self.state.forget(name)
                    self.state.archive(record)
                self.state.end_removal(name)

    def _intent(self, name: str, plan: RemovePlan) -> ArchivedRecord:
        entry = self.state.datasets().get(name)
        identity = entry.dataset.identity if entry else self._identity(name)
        assert identity is not None, "a plan names only datasets that are known"
        now = self.now()
        return ArchivedRecord(
            name=name,
            identity=identity,
            reason=plan.spec.reason,
            request=plan.request,
            removed_by=self.actor,
            removed_at=now.isoformat(timespec="seconds"),
            trash=self.storage.trash_name(name, now) if self.storage.dataset(name).path.exists() else None,
            dataset=entry,
        )

    def _identity(self, name: str) -> DatasetIdentity | None:
        """The identity in a folder's marker or plan; None if neither can be read."""
        dataset = self.storage.dataset(name)
        if (record := readable_marker(dataset.marker)) is not None:
            return record.identity
        plan = readable_plan(self.storage, name)
        return plan.download.identity if plan else None
