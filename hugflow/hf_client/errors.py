"""Error catalogue of the Hub: translates its library's errors and HTTP statuses to typed errors with explanations."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx2
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    XetDownloadError,
)

from hugflow.model.errors import (
    AuthenticationError,
    Conflict,
    Forbidden,
    HubUnavailable,
    HugflowError,
    NotFoundError,
    QuotaExceeded,
    RateLimited,
    RetryAfter,
    Terminal,
    TooLarge,
    Transient,
)

MAX_WAIT_S = 300.0


_QUOTA_STATUS = {402, 507}


# codes of S3, which other object stores use too; 400 is the status of most of them
_STORE_BUSY = re.compile(r"\b(RequestTimeout|SlowDown|InternalError|ServiceUnavailable|OperationAborted)\b")
_STORE_EXPIRED = re.compile(r"\b(ExpiredToken|NoSuchUpload)\b")


_STORAGE_FULL = re.compile(r"\b(storage|quota)\b.*\b(limit|exceeded|full)\b", re.IGNORECASE)


_REFUSED_STATUS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.GONE)


HUB_ERRORS = (
    HfHubHTTPError,
    HFValidationError,
    EntryNotFoundError,
    LocalEntryNotFoundError,
    XetDownloadError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    ConnectionError,
    TimeoutError,
)


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes; `datasets` wraps the Hub's errors in its own."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def explain(doing: str, error: BaseException, *, has_token: bool, writing: str = "") -> HugflowError:
    """Translate an error of the Hub, or of the connection to it, to a typed error with an explanation."""
    # an answer explains itself: its causes in the chain are errors that happened before the request
    causes = [error] if isinstance(error, HfHubHTTPError | httpx2.HTTPError) else list(chain(error))
    for cause in causes:
        if isinstance(cause, HugflowError):
            return cause
    for cause in causes:
        if isinstance(cause, HfHubHTTPError):
            return _explain_answer(doing, cause, has_token=has_token, writing=writing)
    for cause in causes:
        if isinstance(cause, httpx2.HTTPError | ConnectionError | TimeoutError | XetDownloadError):
            return _explain_connection(doing, cause, has_token=has_token, writing=writing)
    fix = "Check the request; `hugflow inspect ORG/NAME` shows what the Hub has."
    if writing and not isinstance(error, HFValidationError):
        fix = "Run the same command again. If the error stays, try HF_HUB_DISABLE_XET=1, which uploads in another way."
    return Terminal(doing, _short(error), fix)


def _explain_connection(doing: str, error: BaseException, *, has_token: bool, writing: str) -> HugflowError:
    # hf_xet raises ConnectionError for answers too, and tells which one only by its text: with a text of another form
    # it is an ordinary connection error
    answered = re.search(r"HTTP status (?:client|server) error \(([1-5][0-9]{2})\b.*?(https?://\S+)?$", str(error))
    if answered:
        status, url = int(answered[1]), answered[2]
        if url and _is_of_object_store(url):
            return _explain_object_store(doing, status, "", None)
        return explain_status(doing, status, "", has_token=has_token, writing=writing)
    return HubUnavailable(
        doing,
        f"the Hub could not be reached ({type(error).__name__}: {_short(error)})",
        "Check the network and HF_ENDPOINT (`hugflow doctor`), then run the same command again: it continues.",
        reason="network",
    )


def _explain_answer(doing: str, error: HfHubHTTPError, *, has_token: bool, writing: str) -> HugflowError:
    status = error.response.status_code
    wait_s = retry_after_s(error.response.headers.get("Retry-After"))
    if _is_of_object_store(str(error.response.request.url)):
        return _explain_object_store(doing, status, error.response.text, wait_s)
    if isinstance(error, DisabledRepoError):
        fix = "The repository's page on the Hub says why; only those who run the Hub can open it again."
        return Forbidden(doing, "the Hub has disabled the repository (403)", fix, status_code=status)
    if isinstance(error, GatedRepoError):
        return gated(doing, has_token=has_token)
    if isinstance(error, RevisionNotFoundError):
        return NotFoundError(
            doing,
            "the revision does not exist",
            "Name a branch, tag or commit that the repository has.",
            reason="no_revision",
            field="revision",
            status_code=status,
        )
    if isinstance(error, RepositoryNotFoundError) and not writing and status != HTTPStatus.UNAUTHORIZED:
        return NotFoundError(
            doing,
            "Repository not found, or it is private and the token has no access to it",
            "Check the id for typing errors. For a private dataset set HF_TOKEN to a token with read access to it.",
            reason="no_repository",
            field="hf_id",
            status_code=status,
        )
    if isinstance(error, EntryNotFoundError):
        writing = ""
    said = _without_queries((error.server_message or "").strip()[:500]) if writing else _short(error)
    return explain_status(doing, status, said, has_token=has_token, writing=writing, wait_s=wait_s)


def _is_of_object_store(url: str) -> bool:
    """True for a signed address, or one that is not of the Hub's API: the Hub hands both out for the bytes of files."""
    address = urlsplit(url)
    signed = re.search(r"(^|[&-])sig(nature)?=", address.query, re.IGNORECASE)
    return bool(signed) or not re.search(r"/(api|resolve)/|\.git/info/lfs/", address.path)


def _explain_object_store(doing: str, status: int, body: str, wait_s: float | None) -> HugflowError:
    """The error for an answer of the object store: it does not see the token, so that none is to blame."""
    code = re.search(r"<Code>(\w+)</Code>", body) or _STORE_BUSY.search(body) or _STORE_EXPIRED.search(body)
    answered = f"{status} {code[1]}" if code else f"{status}"
    if status in _QUOTA_STATUS or status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return explain_status(doing, status, "", has_token=True)
    if _is_busy(status) or _STORE_BUSY.search(body):
        return _retriable(doing, status, wait_s, f"the Hub's object store failed ({answered})")
    if status in _REFUSED_STATUS or _STORE_EXPIRED.search(body):
        return HubUnavailable(
            doing,
            f"the Hub's object store refused the address that the Hub gave ({answered}): such addresses expire",
            "Run the same command again: it asks the Hub for new addresses and continues. If the error stays, a proxy "
            "or firewall between here and the object store refuses them.",
            status_code=status,
        )
    # of unknown meaning, or of a body that hf_xet does not show: tried again a few times, but not waited for
    return Transient(
        doing,
        f"the Hub's object store did not do what it was asked to ({answered})",
        "Run the same command again: it continues. If the error stays, tell those who run the Hub.",
        status_code=status,
    )


def _is_quota(status: int, said: str) -> bool:
    """True for a full account, which the Hub also tells by 403 and a text."""
    return status in _QUOTA_STATUS or (status == HTTPStatus.FORBIDDEN and bool(_STORAGE_FULL.search(said)))


def _is_busy(status: int) -> bool:
    """True for what passes: time-outs, rate limits and failures of servers and of the proxies before them."""
    return status in (408, 425, 429) or (status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in _QUOTA_STATUS)


def explain_status(
    doing: str, status: int, said: str, *, has_token: bool, writing: str = "", wait_s: float | None = None
) -> HugflowError:
    """Translate an HTTP status to a typed error; `said` is the Hub's message, `wait_s` its time to wait."""
    if writing:
        refusal = _explain_write(doing, status, said, has_token=has_token, repo_id=writing)
        if refusal is not None:
            return refusal
    if status == HTTPStatus.UNAUTHORIZED:
        return _unauthorized(doing, has_token=has_token)
    if _is_busy(status):
        return _retriable(doing, status, wait_s, f"the Hub failed ({status})")
    if status in (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED):
        return Conflict(
            doing,
            f"somebody else changes the repository at the same time ({status})",
            "Run the same command again.",
            status_code=status,
        )
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(
            doing, "the request is too large for the Hub (413)", "Publish less at once.", status_code=status
        )
    if _is_quota(status, said):
        return QuotaExceeded(
            doing,
            f"Storage quota exceeded ({status})" + _quoted(said),
            "Free some space on the Hub (settings of the account or organisation, Storage), or buy more.",
            status_code=status,
        )
    if status == HTTPStatus.FORBIDDEN:
        return Forbidden(doing, "the Hub refused access (403)", _ACCESS_FIX, status_code=status)
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(doing, f"not found: {said}", "Check the names in the request.", status_code=status)
    fix = "Check the request; `hugflow inspect ORG/NAME` shows what the Hub has."
    return Terminal(doing, f"the Hub answered {status}" + _quoted(said), fix, status_code=status)


def _explain_write(doing: str, status: int, said: str, *, has_token: bool, repo_id: str) -> HugflowError | None:
    """The meaning of a refusal for a publish to `repo_id`; None where writing adds nothing to the general meaning."""
    owner = repo_id.partition("/")[0]
    if status == HTTPStatus.UNAUTHORIZED:
        why = "the Hub does not accept the token" if has_token else "there is no token"
        return AuthenticationError(
            doing,
            f"Authentication required: {why} (401)",
            f"Make a token that may write to {owner} (https://huggingface.co/settings/tokens, type Write, or a "
            "fine-grained one with write access) and set it as HF_TOKEN; `hugflow doctor` checks it.",
            reason="bad_token" if has_token else "authentication",
            status_code=status,
        )
    if status == HTTPStatus.FORBIDDEN and not _is_quota(status, said):
        return Forbidden(
            doing,
            f"the token may not write to {repo_id} (403)" + _quoted(said),
            f"Use a token with write access of an account that may write to {owner} "
            "(https://huggingface.co/settings/tokens), as HF_TOKEN, or open a pull request (`create_pr: true`).",
            status_code=status,
        )
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(
            doing,
            f"Repository not found: {repo_id}",
            "Check the id for typing errors, and that the account of HF_TOKEN may see the repository.",
            reason="no_repository",
            field="repo_id",
            status_code=status,
        )
    return None


def _quoted(said: str) -> str:
    return f": {said}" if said else ""


_ACCESS_FIX = (
    "Use a token of an account that has access (Hub settings, Access Tokens), as HF_TOKEN; `hugflow doctor` checks it."
)


def gated(doing: str, *, has_token: bool) -> AuthenticationError:
    """The error for a dataset whose owners have not granted access to this account."""
    return AuthenticationError(
        doing,
        "the dataset is gated: its owners grant access to accounts, and yours has none yet",
        "Open the dataset's page on the Hub, accept its terms with the account of HF_TOKEN, and try again."
        if has_token
        else "Accept its terms on the dataset's page on the Hub, and set HF_TOKEN to a token of that account.",
        reason="gated",
        status_code=HTTPStatus.FORBIDDEN if has_token else HTTPStatus.UNAUTHORIZED,
    )


def _unauthorized(doing: str, *, has_token: bool) -> HugflowError:
    if has_token:
        return AuthenticationError(
            doing,
            "the Hub refused the token (401)",
            _ACCESS_FIX,
            reason="bad_token",
            status_code=HTTPStatus.UNAUTHORIZED,
        )
    # the Hub answers so for what does not exist, too
    return NotFoundError(
        doing,
        "Repository not found, or it is private: there is no token to ask with (401)",
        "Check the id for typing errors. For a private or gated dataset set HF_TOKEN.",
        reason="no_repository",
        field="hf_id",
        status_code=HTTPStatus.UNAUTHORIZED,
    )


def _retriable(doing: str, status: int, wait_s: float | None, failed: str) -> Transient:
    fix = "Run the same command again later: it continues."
    seconds = None if wait_s is None else min(wait_s, MAX_WAIT_S)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(doing, "the Hub was asked too often (429)", fix, seconds=seconds, status_code=status)
    if seconds is not None:
        return RetryAfter(doing, f"the Hub is busy ({status})", fix, seconds=seconds, status_code=status)
    return HubUnavailable(doing, failed, fix, status_code=status)


def retry_after_s(value: str | None) -> float | None:
    """Seconds to wait by a Retry-After header, which has seconds or a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _short(error: BaseException) -> str:
    """The first line of a message, without the request ids and help texts that follow."""
    lines = str(error).strip().splitlines()
    return _without_queries(lines[0])[:300] if lines else type(error).__name__


def _without_queries(text: str) -> str:
    """The text without the query parts of URLs: upload URLs are signed there."""
    return re.sub(r"(https?://[^\s?'\"]+)\?[^\s'\"]*", r"\1", text)
