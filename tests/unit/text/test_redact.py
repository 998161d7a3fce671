"""Secrets in text: each of their encodings is masked, other text is unchanged."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from hugflow.text.redact import Redactor

SECRET = 's3cr3t/with+odd="chars" é'
WEBHOOK = "https://hooks.example.org/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx"


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
    ],
)
def test_forms_of_a_secret(form: str) -> None:
    assert Redactor([SecretStr(SECRET)]).text(f"<{form}> and {form}") == "<***> and ***"


@given(
    st.text(max_size=9), st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=40), st.text(max_size=9)
)
def test_a_secret_inside_base64_does_not_come_out_again(before: str, secret: str, after: str) -> None:
    if len(secret.strip()) < 8:
        return
    whole = (before + secret.strip() + after).encode("utf-8", "surrogatepass")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        masked = Redactor([secret]).text(encode(whole).decode())
        assert "***" in masked


def test_a_basic_authorization_header() -> None:
    header = base64.b64encode(b"user:" + SECRET.encode()).decode()
    masked = Redactor([SECRET]).text(f"Authorization: Basic {header}")
    assert header[8:-4] not in masked


def test_the_path_of_a_secret_address_is_secret_on_its_own() -> None:
    message = "Max retries exceeded with url: /services/T00000000/B00000000/abcdefghijklmnopqrstuvwx (refused)"
    assert Redactor([WEBHOOK]).text(message) == "Max retries exceeded with url: *** (refused)"
    assert "abcdefghijklmnopqrstuvwx" not in Redactor([WEBHOOK]).text("token abcdefghijklmnopqrstuvwx")
    assert "hooks.example.org" in Redactor([WEBHOOK]).text("connecting to hooks.example.org")


@pytest.mark.parametrize(
    "unknown",
    [
        "hf_" + "aB3" * 11,
        "ghp_" + "aB3" * 12,
        "ghs_" + "aB3" * 12,
        "github_pat_" + "aB3_" * 10,
        "xoxb-1234567890-abcdefghij",
        "user:password",
    ],
)
def test_secrets_that_nobody_named_are_known_by_their_shape(unknown: str) -> None:
    assert Redactor().text(f"see https://{unknown}@example.org") == "see https://***@example.org"


def test_the_longest_secret_goes_first() -> None:
    assert Redactor(["secret", "secret-and-more"]).text("secret-and-more, secret") == "***, ***"


@pytest.mark.parametrize(
    "text", ["", "a", "hf_id: acme/speech", "https://example.org:8080/a@b", "xoxo, hf_hub and ghp"]
)
def test_other_text_is_left_alone(text: str) -> None:
    assert Redactor([None, "", "  ", "a", SecretStr("id:")]).text(text) == text


def test_spaces_around_a_secret_do_not_matter() -> None:
    assert Redactor(["  token-1234\n"]).text("token-1234") == "***"


def test_a_redactor_shows_nothing_of_itself() -> None:
    assert "token" not in repr(Redactor(["token-1234"]))
