"""docs/row-errors.md explains every reason code of a failed row, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from hugflow.audio import AudioReason

ROOT = Path(__file__).resolve().parents[2]
WORDS = re.compile(r"[a-z]+(?:_[a-z]+)*\Z")


def _codes(source: Path) -> Iterator[str]:
    """First arguments of `RowError(...)`, and reasons of `_remove_worker(worker, ...)`."""
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            at = {"RowError": 0, "_remove_worker": 1}.get(name)
            if at is not None and len(node.args) > at and isinstance(node.args[at], ast.Constant):
                yield str(node.args[at].value)


def test_docs_explain_every_reason() -> None:
    in_code = {code for source in (ROOT / "hugflow").rglob("*.py") for code in _codes(source)}
    in_code |= {str(reason) for reason in AudioReason}
    in_docs = set(re.findall(r"^\| `([a-z_]+)` \|", (ROOT / "docs/row-errors.md").read_text("utf-8"), re.MULTILINE))
    assert all(WORDS.match(code) for code in in_code)
    assert in_docs == in_code
