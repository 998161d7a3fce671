"""Turn every exception that leaves the Python API into one of `hugflow.errors`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import pyarrow as pa

from hugflow.model.errors import Bug, HugflowError, InvalidRequest
from hugflow.storage.disk import faults
from hugflow.text.printable import shown

P = ParamSpec("P")
T = TypeVar("T")


def own_errors(doing: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function of the API; `doing` is what it does, for the messages of errors that it did not expect."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return function(*args, **kwargs)
            except (HugflowError, MemoryError):
                raise
            except OSError as error:
                with faults(doing):
                    raise
                raise AssertionError from error
            except pa.ArrowException as error:
                raise InvalidRequest(
                    doing, _first_line(error), "Correct the data.", reason="unsupported_type"
                ) from error
            except Exception as error:  # the boundary: programs catch HugflowError
                problem = f"{type(error).__name__}: {_first_line(error)}"
                raise Bug(doing, problem, "Report it, with the traceback.") from error

        return call

    return decorate


def _first_line(error: Exception) -> str:
    return shown((str(error).strip().splitlines() or [type(error).__name__])[0], 300)
