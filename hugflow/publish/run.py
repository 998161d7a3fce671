"""Plan and execute publish requests, from the request to the one commit and its result."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from hugflow.card import hub_rules as card_rules
from hugflow.hf_client.http import Hub
from hugflow.hf_client.outages import OutageWatch
from hugflow.hf_client.write.repository import Commit, Head, RepoInfo, Repository
from hugflow.model.errors import ExitCode, HugflowError, InvalidRequest, MissingUploads, Paused, Terminal
from hugflow.model.events import HubOutage, Reporter, Result, Warned
from hugflow.model.outcome import failed_result
from hugflow.model.plan import Difference, Finding, PublishPlan
from hugflow.model.publish_spec import PublishSpec
from hugflow.model.specs import repository_name
from hugflow.publish.ahead import read_ahead
from hugflow.publish.appending import fitted_to
from hugflow.publish.commit import Changes, publish_changes
from hugflow.publish.contents import Contents, NewState, has_changes
from hugflow.publish.estimate import expected, remembered, table_plan
from hugflow.publish.job import PublishJob, TableJob, open_job
from hugflow.publish.layout import CARD_FILE
from hugflow.publish.ledger import Ledger
from hugflow.publish.origin import read_citation
from hugflow.publish.profile.facts import TableFacts, gate, measure
from hugflow.publish.sending import Sender, UploadTally, changed
from hugflow.publish.state import BranchState, read_state, with_contents
from hugflow.publish.tables import FinalTable, PublishedTable
from hugflow.render.differences import difference_text
from hugflow.request.file import ParsedRequest
from hugflow.storage.disk import faults, refuse_links
from hugflow.storage.failpoints import Failpoints
from hugflow.storage.state import StateDir
from hugflow.storage.storage_root import Storage


@dataclass(frozen=True, slots=True)
class Outcome:
    """A publish that succeeded. `commit` is None when there was nothing to do; `version` is that of spec.json."""

    repo_id: str
    url: str
    sha: str
    commit: Commit | None
    version: str
    tables: tuple[FinalTable, ...]
    differences: tuple[Difference, ...] = ()

    @property
    def size_bytes(self) -> int:
        """The bytes of all tables on the Hub."""
        return sum(table.size_bytes for table in self.tables)

    @property
    def message(self) -> str:
        """One sentence about the outcome."""
        tables, are = ("1 table", "is") if len(self.tables) == 1 else (f"{len(self.tables)} tables", "are")
        if self.commit is None:
            return f"Nothing to publish: {tables} of {self.repo_id} {are} on the Hub already"
        return f"Published {tables} to {self.repo_id}" + (" as a pull request" if self.commit.pr_url else "")


@dataclass(frozen=True, slots=True)
class Publisher:
    """Plans and executes publishes. `root` is the folder that the paths of requests are relative to."""

    hub: Hub
    state: StateDir
    storage: Storage
    root: Path
    emit: Reporter
    should_stop: Callable[[], bool]
    now: Callable[[], datetime]
    failpoints: Failpoints = field(default_factory=Failpoints)
    _counted: dict[str, TableFacts] = field(default_factory=dict)

    # --- plans -----------------------------------------------------------------------------------------------------

    def plan(self, request: ParsedRequest, spec: PublishSpec) -> PublishPlan:
        """Plan a publish; changes nothing. Raises InvalidRequest, AuthenticationError, Transient."""
        job, unread = self._with_citation(open_job(request.path, spec, self.root, self.storage))
        ledger = Ledger.read(self.state, spec.repo_id, spec.revision)
        with tempfile.TemporaryDirectory(prefix="hugflow-plan-") as scratch:
            facts = [self.count(table, ledger, Path(scratch)) for table in job.tables]
        repository = repository_of(self.hub.impatient(), spec)
        info, head = _look(repository)
        findings = [*_findings(job, facts), *_visibility(job, info)]
        findings += [Finding(level="warning", message=unread)] if unread else []
        state, new, is_done = BranchState(), None, False
        try:
            state = read_branch(repository, job, head)
            job = fitted_to(job, state)
            known = remembered(job, facts, ledger)
            new = Contents(spec.repo_id, spec, known or expected(job, facts), self.now(), job.origin).on(state)
            is_done = known is not None and head is not None and not has_changes(head, new.changes)
            findings += [Finding(level="warning", message=message) for message in new.warnings]
        except InvalidRequest as error:
            findings.append(Finding(level="error", message=error.problem, field=error.field))
        return PublishPlan(
            request=request.path,
            spec=spec,
            action="create" if info is None else "nothing" if is_done else "update",
            private=_is_private(job, info),
            tables=tuple(table_plan(table, state.configs.get(table.name)) for table in expected(job, facts, ledger)),
            version=new.spec.version if new else None,
            version_before=state.spec.version if state.spec else None,
            differences=new.differences if new else (),
            findings=tuple(findings),
        )

    def _with_citation(self, job: PublishJob) -> tuple[PublishJob, str | None]:
        """Read the citation of the source of a stored dataset, unless the request has one."""
        if job.origin is None or job.spec.card.citation:
            return job, None
        origin, unread = read_citation(self.hub, job.origin)
        return replace(job, origin=origin), unread

    def count(self, table: TableJob, ledger: Ledger, scratch: Path) -> TableFacts:
        """The facts of a table; its rows are counted unless they were since its files changed."""
        fingerprint = table.fingerprint()
        known = ledger.facts(table.name, fingerprint) or self._counted.get(fingerprint or "")
        if known is not None:
            return known
        sources = [read_ahead(source, self.check) for source in table.sources]
        facts = measure(sources, table.table, scratch, at=table.at)
        if table.fingerprint() != fingerprint:
            raise changed(table.sources[0])
        if fingerprint is not None:
            self._counted[fingerprint] = facts
        return facts

    def check(self) -> None:
        """Raise Paused when the run was asked to stop."""
        if self.should_stop():
            raise Paused("publishing", "the run was asked to stop", "Run the same command again: it continues.")

    # --- work ------------------------------------------------------------------------------------------------------

    def execute(self, plan: PublishPlan) -> Result:
        """Carry out a plan; every error is in the result."""
        began, tally = time.monotonic(), UploadTally(rows_total=plan.rows)
        try:
            outcome = self.publish(open_job(plan.request, plan.spec, self.root, self.storage), tally)
        except HugflowError as error:
            return failed_result(
                plan.request,
                "publish",
                plan.repo_id,
                error,
                rows_total=tally.rows_total,
                rows_done=tally.rows_done,
                new_rows=tally.new_rows,
                sent_bytes=tally.sent_bytes,
                elapsed_s=time.monotonic() - began,
            )
        return Result(
            request=plan.request,
            kind="publish",
            name=plan.repo_id,
            status="published" if outcome.commit else "unchanged",
            exit_code=ExitCode.DONE,
            location=outcome.url,
            sha=outcome.sha,
            rows_total=tally.rows_total,
            rows_done=tally.rows_done,
            new_rows=tally.new_rows,
            size_bytes=outcome.size_bytes,
            sent_bytes=tally.sent_bytes,
            elapsed_s=time.monotonic() - began,
            message=outcome.message,
            differences=outcome.differences,
        )

    def publish(self, job: PublishJob, tally: UploadTally) -> Outcome:
        """Publish an opened request.

        Raises InvalidRequest (quality, card, tag), Locked, the errors of the Hub, StorageFault, Paused.
        """
        spec, doing = job.spec, f"publishing to {job.spec.repo_id}"
        stored = self.state.lock(spec.from_storage, f"publishing {spec.from_storage}") if spec.from_storage else None
        with self.state.lock(repository_name(spec.repo_id), doing), stored or nullcontext():
            ledger = Ledger.read(self.state, spec.repo_id, spec.revision)
            job, unread = self._with_citation(job)
            if unread:
                self.emit(Warned(job.request, unread))
            with self._scratch(spec) as scratch:
                return _Run(self, job, tally, ledger, scratch).publish()

    @contextmanager
    def _scratch(self, spec: PublishSpec) -> Iterator[Path]:
        """An empty folder for shards; files of a killed run are deleted. The caller has the lock."""
        folder = self.state.path / "publish" / f"{repository_name(spec.repo_id, spec.revision)}.scratch"
        refuse_links("preparing to publish", self.state.path, folder.parent, folder)
        with faults(f"preparing {folder}"):
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(slots=True)
class _Run:
    """One publish under its lock."""

    publisher: Publisher
    job: PublishJob
    tally: UploadTally
    ledger: Ledger
    scratch: Path
    _repository: Repository = field(init=False)
    _outages: OutageWatch = field(init=False)
    _told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._outages = OutageWatch(self._report_outage)
        hub = replace(self.publisher.hub, on_outage=self._outages.note)
        self._repository = repository_of(hub, self.job.spec)

    def publish(self) -> Outcome:
        """Count, check, send, commit, tag."""
        facts = self._count_and_check()
        state = self._ensure_branch(facts)
        self.job = fitted_to(self.job, state)
        frozen = self._read_frozen_tag()
        try:
            return self._commit(self._send_shards(facts, state, frozen), state, frozen)
        except MissingUploads:
            # the Hub forgets after a while what no commit names: sent once more, it is there
            self.ledger.forget()
            self.tally.rows_done = 0
            return self._commit(self._send_shards(facts, state, frozen), state, frozen)

    def _check(self) -> None:
        """Report the start and the end of an outage. Raises Paused when the run was asked to stop."""
        self._outages.publish()
        self.publisher.check()

    def _report_outage(self, problem: str) -> None:
        self.publisher.emit(HubOutage(self.job.request, self.job.spec.repo_id, problem))

    def _count_and_check(self) -> list[TableFacts]:
        """Count all tables and check the card and the quality rules. Raises InvalidRequest."""
        if errors := [problem for problem in card_rules.check(self.job.spec.card) if problem.level == "error"]:
            raise InvalidRequest(
                "checking the card",
                "; ".join(f"{problem.field}: {problem.message}" for problem in errors),
                "Correct it in the request. Nothing was published.",
                reason="invalid_card",
                field=errors[0].field,
            )
        facts = []
        for table in self.job.tables:
            facts.append(self.publisher.count(table, self.ledger, self.scratch))
            self.ledger.count(table.name, table.fingerprint(), facts[-1])
        self.publisher.failpoints.reach("publish_counted")
        gate(facts)
        return facts

    def _ensure_branch(self, facts: Sequence[TableFacts]) -> BranchState:
        """Create repository and branch where they are missing, if the request fits; returns the branch's state."""
        spec, repository = self.job.spec, self._repository
        info, head = _look(repository)
        visibility = list(_visibility(self.job, info))
        for finding in visibility:
            if finding.level == "error":
                fix = "Set `private: false` if the licence allows it, or publish to a private repository."
                raise InvalidRequest(
                    f"publishing to {spec.repo_id}", finding.message, fix, reason="private_source", field=finding.field
                )
        state = read_branch(repository, self.job, head)
        fitted = fitted_to(self.job, state)
        new = Contents(spec.repo_id, spec, expected(fitted, facts), self.publisher.now(), fitted.origin).on(state)
        for message in (*_notes(self.job), *(finding.message for finding in visibility), *new.warnings):
            self._warn(message)
        if info is None:
            repository.ensure(private=_is_private(self.job, info))
        if head is None:
            repository.ensure_branch()
            state = read_branch(repository, self.job, repository.read_head())
        self.publisher.failpoints.reach("publish_prepared")
        return state

    def _read_frozen_tag(self) -> Terminal | None:
        """The error for any change, where the request's tag is on a commit already; None where it is free."""
        tag = self.job.spec.tag
        sha = self._repository.tags().get(tag) if tag is not None else None
        if sha is None:
            return None
        return Terminal(
            f"publishing to {self._repository.repo_id}",
            f"the tag {tag!r} is on commit {sha[:12]} already, and the tables are not those of that commit",
            "Choose another tag: one that readers may have pinned is not moved.",
            reason="tag_exists",
        )

    def _send_shards(
        self, facts: Sequence[TableFacts], state: BranchState, frozen: Terminal | None
    ) -> tuple[PublishedTable, ...]:
        """Upload the shards of all tables."""
        publisher = self.publisher
        sender = Sender(
            job=self.job,
            repository=self._repository,
            files=state.files,
            ledger=self.ledger,
            scratch=self.scratch,
            emit=publisher.emit,
            check=self._check,
            tally=self.tally,
            failpoints=publisher.failpoints,
            frozen=frozen,
        )
        self.tally.rows_total = sum(one.rows for one in facts)
        tables = []
        for table, one in zip(self.job.tables, facts, strict=True):
            splits = {}
            for source in table.sources:
                splits[source.split] = sender.send(source)
                if sum(shard.rows for shard in splits[source.split]) != one.split_rows[source.split]:
                    raise changed(source)
            tables.append(PublishedTable(table, one, splits))
        sender.check()
        return tuple(tables)

    def _commit(self, tables: tuple[PublishedTable, ...], base: BranchState, frozen: Terminal | None) -> Outcome:
        spec, repository = self.job.spec, self._repository
        contents = Contents(spec.repo_id, spec, tables, self.publisher.now(), self.job.origin)
        if spec.create_pr:
            # to the byte what an earlier run has proposed, where it is the same
            contents = replace(contents, now=self.ledger.proposed_at(contents.fingerprint, contents.now))
        description = spec.commit_description or ""
        if spec.create_pr and not description:
            description = "\n".join(difference_text(each) for each in contents.on(base).differences)
        new: list[NewState] = []

        def read_changes(head: Head) -> Changes:
            is_base = base.head is not None and base.head.sha == head.sha
            new.append(contents.on(base if is_base else read_branch(repository, self.job, head)))
            return new[-1].changes

        def review(changes: Changes) -> None:
            if frozen is not None and changes:
                raise frozen
            self._check_card(changes)
            self.publisher.failpoints.reach("publish_commit")

        commit = publish_changes(
            repository,
            read_changes,
            contents.touches,
            message=spec.commit_message,
            description=description,
            base=base.head,
            review=review,
        )
        self.publisher.failpoints.reach("publish_committed")
        sha = commit.sha if commit else repository.head()
        if spec.tag is not None and frozen is None:
            repository.tag(spec.tag, sha)
            self.publisher.failpoints.reach("publish_tagged")
        url = (commit.pr_url if commit else None) or repository.url
        last = new[-1]
        told = last.differences if commit else ()
        return Outcome(spec.repo_id, url, sha, commit, last.spec.version or "", last.tables, told)

    def _check_card(self, changes: Changes) -> None:
        """Ask the Hub to check a card that changes; each of its warnings is reported once."""
        card = changes.adds.get(CARD_FILE)
        if isinstance(card, bytes):
            for warning in self._repository.check_card(card):
                self._warn(warning)

    def _warn(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            self.publisher.emit(Warned(self.job.request, message))


def repository_of(hub: Hub, spec: PublishSpec) -> Repository:
    """The repository that a request writes to."""
    return Repository(hub, spec.repo_id, spec.revision, spec.create_pr)


def read_branch(repository: Repository, job: PublishJob, head: Head | None) -> BranchState:
    """Read the state of a branch, as far as a publish depends on it."""
    wanted = {table.name: [source.split for source in table.sources] for table in job.tables}
    state = read_state(repository, head, wanted, keeps=not job.spec.replace, appends=job.spec.append)
    if not job.spec.append:
        return state
    old = [
        state.configs[name].splits.get(split) for name in wanted.keys() & state.configs.keys() for split in wanted[name]
    ]
    return with_contents(repository, state, [path for split in old if split for path in split.files])


def _look(repository: Repository) -> tuple[RepoInfo | None, Head | None]:
    """The repository and its head, as far as they exist."""
    info = repository.info()
    return info, repository.read_head() if info is not None and repository.has_branch() else None


def _notes(job: PublishJob) -> Iterator[str]:
    """Notes about the sources, such as rows that are left out."""
    for table in job.tables:
        for source in table.sources:
            yield from (f"{table.name}/{source.split}: {note}" for note in source.notes)


def _findings(job: PublishJob, facts: Sequence[TableFacts]) -> Iterator[Finding]:
    for note in _notes(job):
        yield Finding(level="warning", message=note)
    for problem in card_rules.check(job.spec.card):
        yield Finding(level=problem.level, message=f"{problem.field}: {problem.message}", field=problem.field)
    for one in facts:
        for broken in one.broken:
            yield Finding(level="error", message=broken.message, field=broken.field)


def _is_restricted(job: PublishJob) -> bool:
    """True if the source on the Hub is not open to everyone."""
    return job.origin is not None and (job.origin.private or job.origin.gated)


def _is_private(job: PublishJob, info: RepoInfo | None) -> bool:
    """The visibility that the repository has, or gets: that of a restricted source unless the request decides."""
    if info is not None:
        return info.private
    return _is_restricted(job) if job.spec.private is None else job.spec.private


def _visibility(job: PublishJob, info: RepoInfo | None) -> Iterator[Finding]:
    spec, origin = job.spec, job.origin
    if origin is not None and _is_restricted(job) and spec.private is not False:
        what = f"the source {origin.hf_id} is {'private' if origin.private else 'gated'}"
        if info is not None and not info.private:
            message = f"{what}, and {spec.repo_id} is public: it is published there only with `private: false`"
            yield Finding(level="error", message=message, field="private")
        elif info is None and spec.private is None:
            yield Finding(level="info", message=f"{what}: the repository is created private", field="private")
    if info is not None and spec.private and not info.private:
        message = "the repository is public: `private` counts only when a repository is made"
        yield Finding(level="warning", message=message, field="private")
