"""The outcome policy: the exit code of several requests together, and the result of a request that an error ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hugflow.model.errors import ExitCode, HugflowError, InvalidRequest, Paused
from hugflow.model.events import Result, Status
from hugflow.model.specs import Kind

# These are about the run as a whole and decide what follows, so they take precedence over every other code.
RUN_CODES = (ExitCode.INTERRUPTED, ExitCode.PAUSED, ExitCode.STORAGE_FAULT, ExitCode.BUG)
# Failures that a retry cannot help come before those that it can.
WORST_FIRST = (
    *RUN_CODES,
    ExitCode.CHANGE_NEEDED,
    ExitCode.USAGE,
    ExitCode.NEEDS_APPROVAL,
    ExitCode.FAILED,
    ExitCode.LOCKED,
    ExitCode.PARTIAL,
    ExitCode.DONE,
)


def combined_exit_code(codes: Iterable[ExitCode]) -> ExitCode:
    """The exit code of several requests: the worst one, or PARTIAL where some of them succeeded and others did not."""
    ended = set(codes) or {ExitCode.DONE}
    worst = min(ended, key=WORST_FIRST.index)
    return ExitCode.PARTIAL if ExitCode.DONE in ended and worst not in {*RUN_CODES, ExitCode.DONE} else worst


def failed_result(request: str, kind: Kind, name: str, error: HugflowError, **counts: Any) -> Result:
    """The result of a request that `error` ended; `counts` are what it had done by then."""
    status: Status = "failed"
    if isinstance(error, Paused):
        status = "paused"
    elif isinstance(error, InvalidRequest):
        status = "invalid"
    return Result(
        request=request,
        kind=kind,
        name=name,
        status=status,
        exit_code=error.exit_code,
        error=f"{error.doing}: {error.problem}",
        fix=error.fix,
        reason=error.reason,
        **counts,
    )
