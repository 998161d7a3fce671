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
from hugflow.card.spec_json import SpecJson
from hugflow.hf_client.http import Hub
from hugflow.hf_client.write.repository import Commit, Head, RepoInfo, Repository
from hugflow.model.errors import ExitCode, HugflowError, InvalidRequest, MissingUploads, Paused, Terminal
from hugflow.model.events import Reporter, Result, Status, Warned
from hugflow.model.plan import Finding, PublishPlan
from hugflow.model.publish_spec import PublishSpec
from hugflow.model.specs import repository_name
from hugflow.publish.ahead import read_ahead
from hugflow.publish.commit import Changes, publish_changes
from hugflow.publish.contents import Contents, PublishedTable, has_changes
from hugflow.publish.estimate import expected, remembered, table_plan
from hugflow.publish.job import PublishJob, TableJob, open_job
from hugflow.publish.layout import CARD_FILE
from hugflow.publish.ledger import Ledger
from hugflow.publish.profile.facts import TableFacts, gate, measure
from hugflow.publish.sending import Sender, UploadTally, changed
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
    tables: tuple[PublishedTable, ...]

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
        job = open_job(request.path, spec, self.root, self.storage)
        ledger = Ledger.read(self.state, spec.repo_id, spec.revision)
        with tempfile.TemporaryDirectory(prefix="hugflow-plan-") as scratch:
            facts = [self.count(table, ledger, Path(scratch)) for table in job.tables]
        repository = repository_of(self.hub, spec)
        info, head = _look(repository)
        known = remembered(job, facts, ledger)
        contents = Contents(repository, spec, known or expected(job, facts), self.now())
        findings = [*_findings(job, facts), *_visibility(spec, info)]
        version, is_done = None, False
        try:
            version = contents.read_preview(head)[0].version
            is_done = known is not None and head is not None and not has_changes(head, contents.read_changes(head)[0])
        except InvalidRequest as error:
            findings.append(Finding(level="error", message=error.problem, field=error.field))
        return PublishPlan(
            request=request.path,
            spec=spec,
            action="create" if info is None else "nothing" if is_done else "update",
            private=info.private if info else spec.private,
            tables=tuple(map(table_plan, contents.tables)),
            version=version,
            findings=tuple(findings),
        )

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
            return _failed(plan, tally, error, time.monotonic() - began)
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
        )

    def publish(self, job: PublishJob, tally: UploadTally) -> Outcome:
        """Publish an opened request.

        Raises InvalidRequest (quality, card, tag), Locked, the errors of the Hub, StorageFault, Paused.
        """
        spec, doing = job.spec, f"publishing to {job.spec.repo_id}"
        stored = self.state.lock(spec.from_storage, f"publishing {spec.from_storage}") if spec.from_storage else None
        with self.state.lock(repository_name(spec.repo_id), doing), stored or nullcontext():
            ledger = Ledger.read(self.state, spec.repo_id, spec.revision)
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
    _told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._repository = repository_of(self.publisher.hub, self.job.spec)

    def publish(self) -> Outcome:
        """Count, check, send, commit, tag."""
        facts = self._count_and_check()
        head = self._ensure_branch(facts)
        frozen = self._read_frozen_tag()
        try:
            return self._commit(self._send_shards(facts, head, frozen), head, frozen)
        except MissingUploads:
            # the Hub forgets after a while what no commit names: sent once more, it is there
            self.ledger.forget()
            self.tally.rows_done = 0
            return self._commit(self._send_shards(facts, head, frozen), head, frozen)

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

    def _ensure_branch(self, facts: Sequence[TableFacts]) -> Head:
        """Create repository and branch where they are missing, if the card is valid; returns the branch's head."""
        spec, repository = self.job.spec, self._repository
        info, head = _look(repository)
        Contents(repository, spec, expected(self.job, facts), self.publisher.now()).read_preview(head)
        for message in (*_notes(self.job), *(finding.message for finding in _visibility(spec, info))):
            self._warn(message)
        if info is None:
            repository.ensure(private=spec.private)
        if head is None:
            repository.ensure_branch()
            head = repository.read_head()
        self.publisher.failpoints.reach("publish_prepared")
        return head

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
        self, facts: Sequence[TableFacts], head: Head, frozen: Terminal | None
    ) -> tuple[PublishedTable, ...]:
        """Upload the shards of all tables."""
        publisher = self.publisher
        sender = Sender(
            job=self.job,
            repository=self._repository,
            head=head,
            ledger=self.ledger,
            scratch=self.scratch,
            emit=publisher.emit,
            check=publisher.check,
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

    def _commit(self, tables: tuple[PublishedTable, ...], base: Head, frozen: Terminal | None) -> Outcome:
        spec, repository = self.job.spec, self._repository
        contents = Contents(repository, spec, tables, self.publisher.now())
        if spec.create_pr:
            # to the byte what an earlier run has proposed, where it is the same
            contents = replace(contents, now=self.ledger.proposed_at(contents.fingerprint, contents.now))
        specs: list[SpecJson] = []

        def read_changes(head: Head) -> Changes:
            changes, described = contents.read_changes(head)
            specs.append(described)
            return changes

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
            description=spec.commit_description or "",
            base=base,
            review=review,
        )
        self.publisher.failpoints.reach("publish_committed")
        sha = commit.sha if commit else repository.head()
        if spec.tag is not None and frozen is None:
            repository.tag(spec.tag, sha)
            self.publisher.failpoints.reach("publish_tagged")
        url = (commit.pr_url if commit else None) or repository.url
        return Outcome(spec.repo_id, url, sha, commit, specs[-1].version or "", tables)

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


def _visibility(spec: PublishSpec, info: RepoInfo | None) -> Iterator[Finding]:
    if info is not None and spec.private and not info.private:
        message = "the repository is public: `private` counts only when a repository is made"
        yield Finding(level="warning", message=message, field="private")


def _failed(plan: PublishPlan, tally: UploadTally, error: HugflowError, elapsed_s: float) -> Result:
    status: Status = "failed"
    if isinstance(error, Paused | InvalidRequest):
        status = "paused" if isinstance(error, Paused) else "invalid"
    return Result(
        request=plan.request,
        kind="publish",
        name=plan.repo_id,
        status=status,
        exit_code=error.exit_code,
        rows_total=tally.rows_total,
        rows_done=tally.rows_done,
        new_rows=tally.new_rows,
        sent_bytes=tally.sent_bytes,
        elapsed_s=elapsed_s,
        error=f"{error.doing}: {error.problem}",
        fix=error.fix,
        reason=error.reason,
    )
