"""Every way in which Hugflow can fail, as types: what it means for the exit code, and whether trying again helps.

An error for people says what was being done, what went wrong, and what to do next. Whether something is worth
another attempt is the error's type (`Transient`, `RetryAfter`, `Terminal`), never the text of its message.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, ClassVar


class ExitCode(IntEnum):
    """Exit codes of the process; documented in `hugflow --help` and docs/exit-codes.md."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    CHANGE_NEEDED = 4
    NEEDS_APPROVAL = 5
    LOCKED = 6
    BUG = 70
    STORAGE_FAULT = 74
    PAUSED = 75
    INTERRUPTED = 130


class HugflowError(Exception):
    """Base class of all errors of Hugflow.

    `doing` is what was being attempted ("resolving the revision of acme/speech"), `problem` what is wrong,
    `fix` what a person can do next. `reason` is a stable, machine-readable word for `--json` and reports.
    `status_code` is what a server answered over HTTP, where the error comes from such an answer.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED
    default_reason: ClassVar[str] = "failed"

    def __init__(
        self, doing: str, problem: str, fix: str = "", *, reason: str | None = None, status_code: int | None = None
    ) -> None:
        super().__init__(doing, problem, fix)
        self.doing = doing
        self.problem = problem
        self.fix = fix
        self.reason = reason or self.default_reason
        self.status_code = status_code

    def __str__(self) -> str:
        return f"{self.doing}: {self.problem}" + (f"\n{self.fix}" if self.fix else "")

    def __reduce__(self) -> tuple[Any, ...]:
        # errors are pickled in worker processes, with their keyword arguments
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[HugflowError], args: tuple[Any, ...], state: dict[str, Any]) -> HugflowError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class Transient(HugflowError):
    """A failure that may pass, so that the same call can succeed later: a reset, a time-out, a 5xx."""

    default_reason = "transient"


class RetryAfter(Transient):
    """A transient failure with the server's time to wait, in `seconds`."""

    default_reason = "rate_limited"

    def __init__(
        self,
        doing: str,
        problem: str,
        fix: str = "",
        *,
        seconds: float,
        reason: str | None = None,
        status_code: int | None = None,
    ) -> None:
        super().__init__(doing, problem, fix, reason=reason, status_code=status_code)
        self.seconds = seconds


class HubUnavailable(Transient):
    """The Hub fails (5xx, 408) or cannot be reached at all."""

    default_reason = "hub_error"


class RateLimited(Transient):
    """Too many requests to the Hub (429). `seconds` is the time to wait, where the Hub gives it."""

    default_reason = "rate_limited"

    def __init__(
        self,
        doing: str,
        problem: str,
        fix: str = "",
        *,
        seconds: float | None = None,
        reason: str | None = None,
        status_code: int | None = None,
    ) -> None:
        super().__init__(doing, problem, fix, reason=reason, status_code=status_code)
        self.seconds = seconds


class Conflict(Transient):
    """A concurrent change of the repository on the Hub (409, 412)."""

    default_reason = "hub_conflict"


class Terminal(HugflowError):
    """A person has to change the request, the data, a token or a setting: a retry cannot help."""

    exit_code = ExitCode.CHANGE_NEEDED
    default_reason = "failed"


class TryAgain(Terminal):
    """Hugflow does not repeat the attempt by itself, but the same command may succeed later."""

    exit_code = ExitCode.FAILED


class Bug(HugflowError):
    """An unexpected error, caused by Hugflow itself."""

    exit_code = ExitCode.BUG
    default_reason = "unexpected"


class AuthenticationError(Terminal):
    """The token is missing, invalid, or lacks a permission (401, 403, gated)."""

    default_reason = "authentication"


class Forbidden(AuthenticationError):
    """The token is valid, but lacks the permission for this call (403)."""

    default_reason = "forbidden"


class TooLarge(Terminal):
    """The Hub refuses a request of this size, and it cannot be split any further (413)."""

    default_reason = "payload_too_large"


class QuotaExceeded(Terminal):
    """The storage quota of the account or organisation on the Hub is used up (507)."""

    default_reason = "storage_quota"


class MovedHead(TryAgain):
    """A concurrent commit changed files that were about to be published: `paths`, up to the commit `sha`."""

    default_reason = "moved_head"

    def __init__(
        self, doing: str, problem: str, fix: str = "", *, paths: tuple[str, ...], sha: str, reason: str | None = None
    ) -> None:
        super().__init__(doing, problem, fix, reason=reason)
        self.paths = paths
        self.sha = sha


class MissingUploads(TryAgain):
    """The Hub no longer has the uploads for `paths`: they must be sent again."""

    default_reason = "missing_uploads"

    def __init__(
        self,
        doing: str,
        problem: str,
        fix: str = "",
        *,
        paths: tuple[str, ...],
        reason: str | None = None,
        status_code: int | None = None,
    ) -> None:
        super().__init__(doing, problem, fix, reason=reason, status_code=status_code)
        self.paths = paths


class UsageError(Terminal):
    """The command line or the configuration is wrong."""

    exit_code = ExitCode.USAGE
    default_reason = "usage"


class InvalidRequest(Terminal):
    """An invalid request, by its text or by what it names. `field` is the field to change."""

    default_reason = "invalid_request"

    def __init__(
        self,
        doing: str,
        problem: str,
        fix: str = "",
        *,
        reason: str | None = None,
        field: str | None = None,
        status_code: int | None = None,
    ) -> None:
        super().__init__(doing, problem, fix, reason=reason, status_code=status_code)
        self.field = field


class UnsupportedData(InvalidRequest, TypeError):
    """A value passed to the Python API that is no table, split or path."""

    default_reason = "unsupported_data"


class UnreadableSource(Terminal):
    """A source dataset that cannot be read, or not within the limits for reading it."""

    default_reason = "unreadable"


class NotFoundError(InvalidRequest):
    """The repository, revision, config, split or column that a request names does not exist."""

    default_reason = "not_found"


class NeedsApproval(Terminal):
    """The policy requires an approval first."""

    exit_code = ExitCode.NEEDS_APPROVAL
    default_reason = "needs_approval"


class Locked(Transient):
    """Another process works on the same dataset."""

    exit_code = ExitCode.LOCKED
    default_reason = "locked"


class StorageFault(HugflowError):
    """The disk is full, read-only or broken, or its contents are not what Hugflow wrote."""

    exit_code = ExitCode.STORAGE_FAULT
    default_reason = "storage"


class Paused(HugflowError):
    """The run was stopped on request; its state is saved and the next run continues."""

    exit_code = ExitCode.PAUSED
    default_reason = "paused"


class RowError(Exception):
    """One row cannot be converted; it costs that row, not the run.

    `reason` is a code of docs/row-errors.md, `message` a sentence for people without any of the row's data.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"
