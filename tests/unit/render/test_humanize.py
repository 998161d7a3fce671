"""Sizes, counts and times for people; untrusted text without effect."""

# ruff: noqa: RUF001 - words of other scripts are the point of one test

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hugflow.render import humanize as text

HOSTILE = [
    "@team @org/team please look",
    "<img src=x onerror=alert(1)><script>alert(1)</script>",
    "![i](https://evil.example/x.png) [l](https://evil.example)",
    "```\nfence\n```",
    "`` ` `` ` `",
    "a|b\\|c\\\\|d",
    "::set-env name=PATH::/tmp\n::error::x\n##[set-env]y",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202egnp.exe\u2066x\u2069\u200e\u061c",
    "<!channel> <@U123> <https://evil.example|ok> @here @channel @everyone",
    "a\r\nb\rc\nd\u2028e\u2029f\u0085g",
    "\x00\x7f\x9f\ud800\ufffe\U000e0041",
    "   ",
    "`",
    "`a`",
    "</code></summary></details>",
    "<!-- hugflow:sticky -->",
    "--> <b>",
]
ANYTHING = st.text(
    alphabet=st.one_of(st.characters(), st.sampled_from("`|\\<>&@#:*_~[]()!-\n\r\t\x1b\u202e\u2066\u200b\ud800"))
)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_400_000_000, "1.4 GB"),
        (99_949_999, "99.9 MB"),
        (99_950_000, "100 MB"),
        (999_499_999, "999 MB"),
        (999_600_000, "1.0 GB"),
        (5e20, "500 EB"),
    ],
)
def test_sizes_have_three_digits_at_most(number: float, expected: str) -> None:
    assert text.size(number) == expected.replace(" ", text.NBSP)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (0.4, "< 1 s"),
        (42, "42 s"),
        (59.6, "1 min 00 s"),
        (187, "3 min 07 s"),
        (3599.7, "1 h 00 min"),
        (3900, "1 h 05 min"),
        (86_399.7, "1 d 00 h"),
        (183_600, "2 d 03 h"),
    ],
)
def test_durations_have_two_units(seconds: float, expected: str) -> None:
    assert text.duration(seconds) == expected.replace(" ", text.NBSP)


def test_counts_and_clip_lengths() -> None:
    assert [text.count(number).replace(text.NBSP, " ") for number in (0, 999, 12_345, 1_000_000)] == [
        "0",
        "999",
        "12 345",
        "1 000 000",
    ]
    assert [text.clock(seconds) for seconds in (7.44, 59.96, 750, 3723.5)] == [
        "0:07.4",
        "1:00.0",
        "12:30.0",
        "1:02:03.5",
    ]
    assert (text.plural(1, "row"), text.plural(2, "row"), text.plural(0, "entry", "entries")) == (
        "1 row",
        "2 rows",
        "0 entries",
    )


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_a_hundred_percent_and_a_full_bar_mean_all(part: int, whole: int) -> None:
    assert (text.percent(part, whole) == f"100{text.NBSP}%") == (part >= whole)
    assert (text.bar(part, whole) == "\u2588" * 10) == (part >= whole)
    assert len(text.bar(part, whole)) == 10


@given(ANYTHING)
@example("\u202e")
def test_one_line_has_nothing_that_acts(value: str) -> None:
    shown = text.one_line(value)
    assert "\n" not in shown
    shown.encode()  # no lone surrogates
    acting = {c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - {"\u200c", "\u200d"}
    assert not acting
    assert text.one_line(shown) == shown


@given(ANYTHING, st.integers(1, 50))
def test_limits_hold(value: str, limit: int) -> None:
    assert len(text.one_line(value, limit)) <= limit
    assert len(text.lines(value, limit)) <= limit


def test_words_of_all_scripts_stay_as_they_are() -> None:
    for words in (
        "Grüße",
        "日本語のテキスト",
        "مرحبا بالعالم",
        "नमस्ते क्\u200dष",
        "می\u200cخواهم",
        "👩\u200d🚀",
        "ｆｕｌｌ",
    ):
        assert text.one_line(words) == words


def test_hidden_text_is_shown_by_sign() -> None:
    assert text.one_line("a\x1b[31mb\u202ec\r\nd") == "a\u241b[31mb\u27e8U+202E\u27e9c \u23ce d"
    assert text.terminal("a\x1b[2J\nb") == "a\u241b[2J\nb"


@given(ANYTHING)
@example("::error::x")
@example(":::add-mask::x")
@example("##[group]")
def test_a_log_line_is_no_command(value: str) -> None:
    line = text.log_line(value)
    assert "\n" not in line
    assert "::" not in line
    assert "##[" not in line


def _runner_reads(line: str) -> tuple[str, dict[str, str], str]:
    """A workflow command as the runner decodes it."""
    match = re.fullmatch(r"::(\w[\w-]*)(?: ([^:]*))?::(.*)", line, re.DOTALL)
    assert match, line
    name, properties, data = match.group(1), match.group(2) or "", match.group(3)

    def decoded(value: str, codes: tuple[str, ...]) -> str:
        for code in codes:
            value = value.replace(code, chr(int(code[1:], 16)))
        return value.replace("%25", "%")

    pairs = dict(pair.split("=", 1) for pair in properties.split(",") if pair)
    return (
        name,
        {key: decoded(value, ("%0D", "%0A", "%3A", "%2C")) for key, value in pairs.items()},
        decoded(data, ("%0D", "%0A")),
    )


@given(ANYTHING, ANYTHING)
@example("%0A::add-mask::", "a,line=9::x")
def test_a_workflow_command_carries_its_text_and_nothing_else(message: str, path: str) -> None:
    line = text.workflow_command("error", message, file=path, line=3, col=None)
    assert "\n" not in line
    assert "\r" not in line
    name, properties, data = _runner_reads(line)
    assert name == "error"
    assert properties == {"file": text.one_line(path), "line": "3"}
    assert data == text.lines(message)
