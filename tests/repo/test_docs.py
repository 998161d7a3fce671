"""The documents match the repository: links have targets, and every shown command and option exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts import check_docs
from scripts.check_docs import Command

PROGRAM = Command(
    frozenset({"--version"}),
    {
        "sync": Command(frozenset({"--ci-mode", "-v"}), {}),
        "state": Command(frozenset(), {"show": Command(frozenset(), {})}),
    },
)


def test_documents_are_right() -> None:
    found = list(check_docs.problems())
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("link", ["[a](nowhere.md)", "![a](nowhere.png)", "[a](#nothing)", "[a](there.md#nothing)"])
def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, link: str) -> None:
    (tmp_path / "there.md").write_text("# Something\n")
    assert list(check_docs.broken_links(tmp_path / "here.md", f"# Here\n{link}\n"))


def test_links_that_lead_somewhere_pass(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# Something `else`!\n## Twice\n## Twice\n")
    text = (
        "# Here it is\n[a](there.md#something-else) [b](#here-it-is) [c](there.md#twice-1) [d](https://example.org)\n"
    )
    assert not list(check_docs.broken_links(tmp_path / "here.md", text + "`[no](link)`\n```\n[no](link)\n```\n"))


def test_commands_are_found_in_shell_blocks_only() -> None:
    text = "hugflow prose\n```console\n$ hugflow sync \\\n  -v\nhugflow says\n```\n```yaml\nhugflow: x\n```\n"
    assert list(check_docs.shown_commands(text)) == ["hugflow sync    -v", "hugflow says"]


@pytest.mark.parametrize("command", ["hugflow push", "hugflow sync --now", "hugflow state hide", "hugflow --loud sync"])
def test_a_command_that_does_not_exist_is_found(command: str) -> None:
    assert list(check_docs.unknown_words(command, PROGRAM))


@pytest.mark.parametrize(
    "command",
    ["hugflow", "hugflow sync --ci-mode=1 a.yaml -v", "hugflow state show x | less -R", "hugflow --version # why"],
)
def test_a_command_that_exists_passes(command: str) -> None:
    assert not list(check_docs.unknown_words(command, PROGRAM))


def test_the_threat_model_names_tests_that_there_are() -> None:
    root = Path(__file__).parents[2]
    named = set(re.findall(r"`(test_\w+)`", (root / "docs/threat-model.md").read_text("utf-8")))
    defined = {
        name
        for path in (root / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)\(", path.read_text("utf-8"))
    }
    assert len(named) > 20
    assert not named - defined
