"""Untrusted text in GitHub's and Slack's markup, read back by a real Markdown parser."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from hugflow.render import humanize as text
from hugflow.render import markdown, mrkdwn
from tests.unit.render.test_humanize import ANYTHING, HOSTILE

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def _inline(source: str) -> list[Token]:
    return [child for token in PARSER.parse(source) if token.type == "inline" for child in token.children or ()]


@given(ANYTHING)
@example("a `` b ` c")
@example(" x ")
def test_a_code_span_shows_exactly_the_text(value: str) -> None:
    shown = text.one_line(value)
    children = [token for token in _inline(f"before {markdown.code(value, None)} after") if token.type != "text"]
    if not shown:
        assert children == []
    else:
        assert [(token.type, token.content) for token in children] == [("code_inline", shown)]


@given(st.lists(st.tuples(ANYTHING, ANYTHING), min_size=1, max_size=3))
@example([("a|b\\|c\\\\|", "|")])
@example([("\\", "`|`")])
def test_a_table_keeps_its_cells_whatever_is_in_them(rows: list[tuple[str, str]]) -> None:
    source = markdown.table(
        ["A", "B"], ["left", "right"], [[markdown.code(a, None), markdown.code(b, None)] for a, b in rows]
    )
    tokens = PARSER.parse(source)
    cells = [
        "".join(child.content for child in tokens[index + 1].children or ())
        for index, token in enumerate(tokens)
        if token.type == "td_open"
    ]
    assert cells == [text.one_line(cell) or text.NOTHING for row in rows for cell in row]


@given(ANYTHING)
@example("unknown key `a|b`: @team see #1, GH-2, www.x.org, https://x/y, :tada:, a@b.org, 1. x, - y, # z")
@example("`` a")
@example("`a`@b `c`")
@example("see `x` at https://status.example/a_b_c, or ask @team")
def test_a_sentence_shows_its_words_and_links_nothing(value: str) -> None:
    source = markdown.sentence(value, None)
    children = _inline(f"before {source} after")
    assert {token.type for token in children} <= {"text", "code_inline"}
    shown = "".join(token.content for token in children).removeprefix("before ").removesuffix(" after")
    assert _letters(shown) == _letters(text.one_line(value))
    outside = "".join(token.content for token in children if token.type == "text")
    assert not re.search(r"[@#]|://|:\w+:|\bGH-\d|www\.\w", outside)


def _letters(shown: str) -> str:
    """`shown` without what quoting changes: backquotes, spaces, the dash for nothing."""
    return re.sub(rf"[`\s{text.NOTHING}]", "", shown)


@given(st.sampled_from(["1. x", "- x", "+ x", "# x", "= x", "12) x", "> x", "    x", "| a |", "1", ". x"]))
def test_a_sentence_is_one_paragraph_wherever_it_begins(value: str) -> None:
    tokens = [token.type for token in PARSER.parse(markdown.sentence(value))]
    assert tokens == ["paragraph_open", "inline", "paragraph_close"]


@given(ANYTHING)
@example("```\n~~~\n    x\n````")
def test_a_fence_shows_exactly_the_text(value: str) -> None:
    tokens = PARSER.parse(f"before\n\n{markdown.fence(value, None)}\n\nafter")
    fences = [token.content for token in tokens if token.type == "fence"]
    assert fences == [text.lines(value, None) + "\n"]
    assert len(tokens) == 7


@pytest.mark.parametrize("value", HOSTILE)
def test_nothing_hostile_becomes_markup(value: str) -> None:
    source = markdown.details(
        f"See {markdown.html_code(value)}", f"- {markdown.code(value)}\n\n{markdown.fence(value)}\n"
    )
    rendered = PARSER.render(source)
    allowed = {"details", "summary", "code", "ul", "li", "pre", "p"}
    assert set(re.findall(r"</?(\w+)", rendered)) <= allowed
    outside_code = re.sub(r"<code[^>]*>.*?</code>", "", rendered, flags=re.DOTALL)
    assert not re.search(r"@|#|://|<!", outside_code)


@given(ANYTHING)
def test_a_summary_line_is_one_element_of_text(value: str) -> None:
    element = markdown.html_code(value, None)
    assert html.unescape(element.removeprefix("<code>").removesuffix("</code>")) == text.one_line(value)
    assert not re.search(r"[<>]", element.removeprefix("<code>").removesuffix("</code>"))


@given(ANYTHING)
@example("https://x/) [a](b")
@example("a>b<c d")
def test_a_link_stays_one_link(url: str) -> None:
    opened = [token for token in _inline(markdown.link("here", f"https://host/{url}")) if token.type == "link_open"]
    assert len(opened) == 1


def test_markers_take_no_text_of_others() -> None:
    assert markdown.marker("final", "run:12-1") == "<!-- hugflow:final run:12-1 -->"
    with pytest.raises(ValueError, match="marker"):
        markdown.marker("final", "x --> <b>")


@given(st.lists(ANYTHING), st.integers(300, 2000))
def test_what_is_fitted_fits(parts: list[str], limit: int) -> None:
    whole = "\n".join(parts).encode(errors="replace").decode()
    assert len(markdown.fit(limit, lambda: whole * 2, lambda: whole).encode()) <= limit
    assert markdown.fit(10**9, lambda: whole, lambda: "short") == whole


@given(ANYTHING)
@example("<!channel> <@U1> & @here @CHANNEL")
def test_slack_sees_no_markup(value: str) -> None:
    for shown in (mrkdwn.escape(value), mrkdwn.code(value), mrkdwn.block(value)):
        assert not re.search(r"[<>]", shown)
        assert not re.search(r"&(?!(?:amp|lt|gt);)", shown)
        assert not re.search(r"@(?:here|channel|everyone)\b", shown, re.IGNORECASE)
    assert mrkdwn.code(value).strip("`").count("`") == 0


@given(ANYTHING)
def test_slack_shows_the_text(value: str) -> None:
    shown = html.unescape(mrkdwn.escape(text.one_line(value))).replace("@\u2060", "@")
    # html.unescape also decodes entities that were in the text itself only if they were not escaped
    assert shown == text.one_line(value)


@given(ANYTHING, ANYTHING)
def test_slack_links_stay_one_link(label: str, url: str) -> None:
    assert re.fullmatch(r"<https://h/[^<>|\s]*\|[^<>|]*>", mrkdwn.link(label, "https://h/" + url))
