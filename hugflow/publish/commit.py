"""Exactly one commit on the Hub, even when the head moves, an answer is lost, or the commit is too large.

Readers see the state before or the state after. There is never a second commit: before a request is repeated, the
branch is searched for the commit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hugflow.hf_client.write.commits import number_of, ref_of
from hugflow.hf_client.write.repository import Commit, Head, RepoFile, Repository, Upload, upload_of
from hugflow.model.errors import Conflict, HugflowError, MissingUploads, MovedHead, Terminal, TooLarge, Transient

log = logging.getLogger(__name__)

MAX_ROUNDS = 5
MAX_OPERATIONS = 25_000  # the Hub's limit of files in one commit
_PULLS_TO_LOOK_AT = 5
_BAD_REQUEST = 400


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes of files in one commit. `copies` maps a new path to an existing one.

    Raises ValueError where a path is in two of its parts.
    """

    adds: Mapping[str, Upload | bytes] = field(default_factory=dict)
    deletes: frozenset[str] = frozenset()
    copies: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        twice = (self.adds.keys() & self.copies.keys()) | ((self.adds.keys() | self.copies.keys()) & self.deletes)
        if twice:
            raise ValueError(f"one commit cannot do two things to {sorted(twice)}")

    def __bool__(self) -> bool:
        return bool(self.adds or self.deletes or self.copies)


def pending(head: Head, changes: Changes) -> Changes:
    """The part of `changes` that makes a difference to the head."""
    files = head.files
    missing = set(changes.copies.values()) - files.keys()
    if missing:
        raise ValueError(f"commit {head.sha} has nothing to copy at {sorted(missing)}")
    return Changes(
        adds={path: new for path, new in changes.adds.items() if not _has_bytes_of(files.get(path), new)},
        deletes=changes.deletes & files.keys(),
        copies={new: old for new, old in changes.copies.items() if files.get(new) != files[old]},
    )


def _has_bytes_of(there: RepoFile | None, new: Upload | bytes) -> bool:
    return there is not None and there.has_bytes_of(upload_of(new) if isinstance(new, bytes) else new)


def publish_changes(
    repository: Repository,
    read_changes: Callable[[Head], Changes],
    touched: Callable[[str], bool],
    *,
    message: str,
    description: str = "",
    base: Head | None = None,
    review: Callable[[Changes], None] | None = None,
) -> Commit | None:
    """Commit the changes to the repository in one commit; None where there is nothing to change.

    `read_changes` is called with the newest head, and again with each newer one that comes in between; `review` with
    those changes that make a difference, before each attempt, and may raise. `base` is the head that the run began
    with: what others changed since then is kept where it is elsewhere, and refused with MovedHead where `touched` is
    true for its path. With `create_pr`, an open pull request that has these very files is returned in place of a new
    one. A commit that the Hub finds too large goes through a pull request, in parts, that is merged at once.

    Raises MovedHead, MissingUploads, Conflict where the head keeps moving, the errors of `review` and of `Hub.call`.
    """
    known = base
    for _ in range(MAX_ROUNDS):
        head = repository.read_head(known)
        changes = pending(head, read_changes(head))
        if review is not None:
            review(changes)
        if not changes:
            return None
        if base is not None:
            _refuse_moved(repository, base, head, touched)
        try:
            return _Publication(repository, head, message, description).post(_stage(repository, head, changes))
        except _MovedError:
            base = base or head
            known = head
    raise Conflict(
        f"committing to {repository.repo_id}",
        f"{repository.branch} moved {MAX_ROUNDS} times while the commit was being made",
        "Nothing was published. Run the same command again: what was uploaded is not sent twice.",
    )


class _MovedError(Exception):
    """The branch has another head than the one that the changes were built for."""


def _refuse_moved(repository: Repository, base: Head, head: Head, touched: Callable[[str], bool]) -> None:
    both = base.files.keys() | head.files.keys()
    paths = tuple(sorted(path for path in both if base.files.get(path) != head.files.get(path) and touched(path)))
    if paths:
        shown = ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")  # noqa: PLR2004 - as shown
        raise MovedHead(
            f"committing to {repository.repo_id}",
            f"somebody else changed what is to be published, up to commit {head.sha[:12]} of {repository.branch}: "
            f"{shown}",
            f"Nothing was published. Look at {repository.url}/commits/{repository.branch}; to replace those changes, "
            "run the same command again.",
            paths=paths,
            sha=head.sha,
        )


@dataclass(frozen=True, slots=True)
class _Order:
    """Changes with all that the request for a commit needs."""

    puts: Mapping[str, Upload]
    deletes: frozenset[str]

    def is_done_in(self, files: Mapping[str, RepoFile]) -> bool:
        """True if the files of a commit are those that this order makes."""
        return not self.deletes & files.keys() and all(
            _has_bytes_of(files.get(path), put) for path, put in self.puts.items()
        )

    def __len__(self) -> int:
        return len(self.puts) + len(self.deletes)

    def halves(self) -> tuple[_Order, _Order]:
        """Two orders that together do the same; deletions first, because a folder may take a file's name."""
        operations: list[tuple[str, Upload | None]] = [(path, None) for path in sorted(self.deletes)]
        operations += sorted(self.puts.items())
        middle = len(operations) // 2
        return _from_operations(operations[:middle]), _from_operations(operations[middle:])


def _from_operations(operations: Sequence[tuple[str, Upload | None]]) -> _Order:
    puts = {path: upload for path, upload in operations if upload is not None}
    return _Order(puts, frozenset(path for path, upload in operations if upload is None))


def _stage(repository: Repository, head: Head, changes: Changes) -> _Order:
    """Prepare all files of a commit: copies of large files by their hashes, small ones with their bytes."""
    puts = {path: new for path, new in changes.adds.items() if isinstance(new, Upload)}
    small = {path: new for path, new in changes.adds.items() if isinstance(new, bytes)}
    for new, old in changes.copies.items():
        there = head.files[old]
        if there.sha256 is not None:
            puts[new] = Upload(there.size_bytes, there.sha256)
        else:
            data = repository.read(old, head.sha)
            assert data is not None, f"{old} is a file of commit {head.sha}"
            small[new] = data
    return _Order(puts | repository.stage(small), changes.deletes)


@dataclass(frozen=True, slots=True)
class _Publication:
    """An order on its way to the branch, on top of `head`."""

    repository: Repository
    head: Head
    message: str
    description: str

    def post(self, order: _Order) -> Commit:
        """Post the commit, whole or in parts. Raises _MovedError."""
        if len(order) <= MAX_OPERATIONS:
            try:
                return self._single(order, self.head.sha, open_pull=self.repository.create_pr).ensure()
            except TooLarge as error:
                log.warning("%s: %s; it goes in parts through a pull request", error.doing, error.problem)
        return self._post_in_parts(order)

    def _single(self, order: _Order, parent: str, *, onto: str | None = None, open_pull: bool = False) -> _Single:
        return _Single(self.repository, order, parent, self.message, self.description, onto, open_pull)

    def _post_in_parts(self, order: _Order) -> Commit:
        """Post the parts to a pull request, where readers do not see them, and merge it: all parts appear at once."""
        waiting = [*reversed(_parts_of(order))]
        first = self._post_next(waiting, self.head.sha, None)
        pr_url = first.pr_url or ""
        num = number_of(pr_url)
        try:
            last = first
            while waiting:
                last = self._post_next(waiting, last.sha, ref_of(num))
            return replace(last, pr_url=pr_url) if self.repository.create_pr else self._merge(num)
        except (HugflowError, _MovedError):
            self._close(num)
            raise

    def _post_next(self, waiting: list[_Order], parent: str, onto: str | None) -> Commit:
        """Commit the next part; one that is too large gives way to its halves."""
        while True:
            part = waiting.pop()
            try:
                return self._single(part, parent, onto=onto, open_pull=onto is None).ensure()
            except TooLarge as error:
                waiting += reversed(_parts_of(part, too_large=error))

    def _merge(self, num: int) -> Commit:
        repository = self.repository
        if repository.head() != self.head.sha:
            raise _MovedError
        try:
            repository.pulls.merge(num)
        except Conflict as error:
            raise _MovedError from error
        sha = repository.head()
        return Commit(sha, f"{repository.url}/commit/{sha}")

    def _close(self, num: int) -> None:
        try:
            self.repository.pulls.close(num)
        except HugflowError as error:
            log.warning("pull request %d stays open: %s", num, error.problem)


def _parts_of(order: _Order, too_large: TooLarge | None = None) -> list[_Order]:
    """Halves of an order, none of them with more operations than the Hub takes."""
    if len(order) <= 1:
        path = next(iter((*order.puts, *order.deletes)))
        problem = f"{path} alone is too large for a commit of the Hub (413)"
        raise TooLarge("committing", problem, "Make the file smaller.", status_code=413) from too_large
    parts = [*order.halves()]
    while max(map(len, parts)) > MAX_OPERATIONS:
        parts = [half for part in parts for half in part.halves()]
    return parts


@dataclass(slots=True)
class _Single:
    """One commit on the branch or on `onto`, posted until it is known whether it was made."""

    repository: Repository
    order: _Order
    parent: str
    message: str
    description: str
    onto: str | None
    open_pull: bool
    _asked: bool = False

    def ensure(self) -> Commit:
        """Post the commit unless it is on the Hub. Raises _MovedError, and the errors of `Hub.call`."""
        doing = f"committing to {self.repository.repo_id}"
        try:
            return self.repository.hub.call(doing, self._attempt, writing=self.repository.repo_id)
        except Transient as error:
            found = self._find_after_failure()
            if found is None:
                raise
            log.warning("%s: %s; but the commit was made", error.doing, error.problem)
            return found

    def _attempt(self) -> Commit:
        # an earlier run may have been killed right after it opened the pull request
        if self._asked or self.open_pull:
            found = self._find(self.repository)
            if found is not None:
                return found
        self._asked = True
        try:
            return self._post()
        except Conflict:
            found = self._find(self.repository)
            if found is None:
                raise
            return found
        except Terminal as error:
            if error.status_code == _BAD_REQUEST:
                self._explain_bad_request(error)
            raise

    def _post(self) -> Commit:
        return self.repository.post_commit(
            self.order.puts,
            self.order.deletes,
            parent=self.parent,
            message=self.message,
            description=self.description,
            onto=self.onto,
            open_pull=self.open_pull,
        )

    def _explain_bad_request(self, error: Terminal) -> None:
        paths = self.repository.missing(self.order.puts)
        if paths:
            raise MissingUploads(
                error.doing,
                f"{error.problem} (uploads that the Hub does not know: {len(paths)})",
                "Run the same command again: it uploads them again.",
                paths=paths,
                status_code=error.status_code,
            ) from error

    def _find_after_failure(self) -> Commit | None:
        """Look for the commit after the last attempt, whose answer may have been lost, without retries."""
        if not self._asked:
            return None
        repository = replace(self.repository, hub=replace(self.repository.hub, max_retries=0))
        try:
            return self._find(repository)
        except HugflowError:
            return None

    def _find(self, repository: Repository) -> Commit | None:
        """The commit, if it is on the Hub already. Raises _MovedError where another commit came first."""
        return self._find_pull_request(repository) if self.open_pull else self._find_on_ref(repository)

    def _find_on_ref(self, repository: Repository) -> Commit | None:
        sha = repository.head(self.onto)
        if sha == self.parent:
            return None
        newest = repository.newest(self.onto)
        # a commit with our parent can only be the one after it
        candidate = newest[newest.index(self.parent) - 1] if self.parent in newest[1:] else sha
        if self.order.is_done_in(repository.files(candidate)):
            return Commit(candidate, f"{repository.url}/commit/{candidate}")
        raise _MovedError

    def _find_pull_request(self, repository: Repository) -> Commit | None:
        for num in repository.pulls.open_ones(self.message, at_most=_PULLS_TO_LOOK_AT):
            sha = repository.head(ref_of(num))
            if self.order.is_done_in(repository.files(sha)):
                return Commit(sha, f"{repository.url}/commit/{sha}", repository.pulls.url(num))
        return None
