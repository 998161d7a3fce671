"""The reference pages match the code: options, exit codes, reasons, the fields of files."""

from __future__ import annotations

import ast
import errno
import os
import re
from pathlib import Path
from typing import Any

import pytest

from hugflow.model.errors import ExitCode
from hugflow.model.events import Result, RunFinished
from hugflow.model.ranges import RowRanges
from hugflow.model.records import RowRecord
from hugflow.report.audit import AuditTrail
from hugflow.storage.index import INDEX_SCHEMA
from hugflow.storage.state import ArchivedRecord, DatasetRecord, ManifestEntry, write_progress
from tests.support.program import runnable_commands

ROOT = Path(__file__).resolve().parents[2]
# in the table at the top of the page, because every command has them
COMMON = {"--config", "--json", "--verbose", "--quiet", "--help"}


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one of its level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    found = re.search(rf"^{re.escape(heading)}[^\n]*\n(.*?)(?=^#{{1,{level}}} |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, f"there is no heading {heading}"
    return found[1]


def words(text: str) -> set[str]:
    """Every word that stands in a code span, and the keys in blocks of code."""
    spans = re.findall(r"`([^`\n]+)`", text)
    return {word for span in spans for word in re.findall(r"\w+", span)} | set(re.findall(r'"(\w+)":', text))


@pytest.mark.parametrize(("name", "command"), runnable_commands())
def test_a_command_s_section_lists_its_options(name: str, command: Any) -> None:
    text = page("commands.md")
    (heading,) = re.findall(rf"^#+ `{name}`", text, re.MULTILINE)
    listed = set(re.findall(r"^\| `(--[a-z-]+)", section(text, heading), re.MULTILINE))
    options = {word for parameter in command.params for word in parameter.opts if word.startswith("--")}
    assert listed == options - COMMON


def test_the_common_options_are_listed_once() -> None:
    listed = set(re.findall(r"^\| `(--[a-z-]+)", page("commands.md").split("\n## ")[0], re.MULTILINE))
    assert listed == COMMON


def test_every_exit_code_is_explained() -> None:
    rows = re.findall(r"^\| (\d+) \| ([a-z ]+) \| \S", page("exit-codes.md"), re.MULTILINE)
    assert {int(code): name.replace(" ", "_") for code, name in rows} == {
        int(code): code.name.lower() for code in ExitCode
    }


def test_every_reason_is_explained() -> None:
    reasons = set()
    for path in (ROOT / "hugflow").rglob("*.py"):
        for line in path.read_text("utf-8").splitlines():
            if re.search(r"\b(default_)?reason(: ClassVar\[str\])? ?= ?\"", line):
                reasons |= set(re.findall(r"(?:reason(?:: ClassVar\[str\])? ?= ?|else )\"([a-z_]+)\"", line))
    assert len(reasons) > 20, "the search is broken"
    unexplained = reasons - words(section(page("json-output.md"), "## Errors"))
    assert not unexplained


@pytest.mark.parametrize(
    ("heading", "fields"),
    [
        ("### `.hugflow/dataset.json`", set(DatasetRecord.model_fields)),
        ("### `.hugflow/index.parquet`", set(INDEX_SCHEMA.names)),
        ("### `.hugflow/index.parquet`", set(RowRecord._fields)),
        ("### Manifests", {*ManifestEntry.model_fields, *ArchivedRecord.model_fields}),
    ],
)
def test_every_field_of_a_file_is_explained(heading: str, fields: set[str]) -> None:
    assert not fields - words(section(page("storage-layout.md"), heading))


def test_every_field_of_a_progress_file_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    write_progress(path, "name", status="running", done=RowRanges(), rows_total=1, resumed_from=0)
    fields = set(re.findall(r'"(\w+)":', path.read_text()))
    assert fields == set(re.findall(r'"(\w+)":', section(page("storage-layout.md"), "### Progress files")))


def test_every_field_of_the_audit_trail_is_named(tmp_path: Path) -> None:
    trail = AuditTrail(tmp_path / "audit.jsonl", "somebody")
    trail(RunFinished(Result("a.yaml", "add", "name", "complete", ExitCode.DONE)))
    fields = set(re.findall(r'"(\w+)":', trail.path.read_text()))
    assert not fields - words(section(page("storage-layout.md"), "### The audit trail"))


def test_every_message_of_the_troubleshooting_table_is_one_of_ours() -> None:
    rows = section((ROOT / "README.md").read_text("utf-8"), "## Troubleshooting").splitlines()[3:]
    shown = [message for row in rows if row for message in re.findall(r"`([^`]+)`", row.split(" | ")[0])]
    assert len(shown) > 10
    # parts in place of which a message has a name or a number
    parts = [part.strip() for message in shown for part in re.split(r"\.\.\.|\bN\b|^\w+: ", message) if len(part) > 4]
    texts = our_texts()
    assert not [part for part in parts if not any(part in text for text in texts)]


def our_texts() -> list[str]:
    """Every piece of text in the program, and what the operating system calls a full disk."""
    trees = (ast.parse(path.read_text("utf-8")) for path in (ROOT / "hugflow").rglob("*.py"))
    nodes = (node for tree in trees for node in ast.walk(tree))
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [*texts, os.strerror(errno.ENOSPC)]
