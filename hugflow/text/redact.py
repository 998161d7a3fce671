"""Masks secrets in text that leaves the process: known ones in each of their encodings, others by their shape."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus, urlsplit

from pydantic import SecretStr

MASK = "***"
MIN_LENGTH = 4
"""Shorter values are not masked: they would tear holes into every word, and are no secrets."""

_DERIVED_MIN_LENGTH = 8
_SHAPES = (
    r"\bhf_[A-Za-z0-9]{20,}",
    r"\bgh[opsur]_[A-Za-z0-9]{20,}",
    r"\bgithub_pat_[A-Za-z0-9_]{20,}",
    r"\bxox[a-z]-[A-Za-z0-9-]{10,}",
    r"(?<=hooks\.slack\.com/services/)[A-Za-z0-9/]+",
    r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)",
)


class Redactor:
    """Masks secrets in text. Its own text forms show none of them."""

    def __init__(self, secrets: Iterable[SecretStr | str | None] = ()) -> None:
        plain = [secret.get_secret_value() if isinstance(secret, SecretStr) else secret or "" for secret in secrets]
        self._secrets = plain
        forms = {form for secret in plain for form in _forms(secret.strip())}
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join([*map(re.escape, longest_first), *_SHAPES]))

    def text(self, text: str) -> str:
        """Return `text` with every secret in it replaced by `***`."""
        return self._pattern.sub(MASK, text)

    def knowing(self, secret: str) -> Redactor:
        """Return a redactor that masks another secret as well."""
        return Redactor([*self._secrets, secret])

    def __repr__(self) -> str:
        return "Redactor(...)"


def _forms(secret: str) -> Iterator[str]:
    """The secret itself, and its encodings in URLs, JSON and headers."""
    if len(secret) < MIN_LENGTH:
        return
    yield secret
    if len(secret) < _DERIVED_MIN_LENGTH:
        return
    yield from (quote(secret, safe=""), quote(secret), quote_plus(secret))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1])
    yield from _base64_forms(secret.encode("utf-8", "surrogatepass"))
    yield from _address_parts(secret)


def _base64_forms(secret: bytes) -> Iterator[str]:
    """The base64 characters that the secret determines at each offset in a longer text (`Basic user:secret`)."""
    for before in range(3):
        start, end = -(-before * 8 // 6), (before + len(secret)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * before + secret).decode()[start:end]


def _address_parts(secret: str) -> Iterator[str]:
    """The path of a URL that is itself secret (a webhook), because HTTP libraries print it on its own."""
    try:
        address = urlsplit(secret)
    except ValueError:
        return
    if address.scheme in ("http", "https") and len(address.path) >= _DERIVED_MIN_LENGTH:
        yield address.path
        yield from (part for part in address.path.split("/") if len(part) >= 2 * _DERIVED_MIN_LENGTH)
        yield from filter(None, [address.query if len(address.query) >= _DERIVED_MIN_LENGTH else ""])
