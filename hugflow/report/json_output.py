"""JSON output of commands (`--json`): plans, results and errors as documented, versioned values."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

from hugflow.model.errors import HugflowError
from hugflow.model.events import Result
from hugflow.model.plan import AddPlan, Plan, RemovePlan
from hugflow.render.views import RequestView
from hugflow.request.file import InvalidRequestFile

JSON_SCHEMA_VERSION = 1
_NOT_ASCII = re.compile(r"[^\x00-\x7e]")


def encode_json(value: Any, *, indent: int | None = None, ascii_only: bool = False) -> str:
    r"""Encode a value as JSON in which every character is visible.

    Bidi controls, line separators and other invisible characters are written as `\u...`, which JSON reads as the same
    text.
    """
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent, default=str)
    return _NOT_ASCII.sub(_visible, text)


def _visible(match: re.Match[str]) -> str:
    character = match.group()
    return character if character.isprintable() else json.dumps(character)[1:-1].replace("\x7f", "\\u007f")


def document(command: str, exit_code: int, **content: Any) -> dict[str, Any]:
    """Build the one object that a command prints on stdout."""
    return {"schema_version": JSON_SCHEMA_VERSION, "command": command, "exit_code": exit_code, **content}


def explanation(error: HugflowError) -> str:
    """Error for people: what was being done, what is wrong, what to do next."""
    return f"hugflow: {error.doing}: {error.problem}" + (f"\n  {error.fix}" if error.fix else "")


def error_json(error: HugflowError) -> dict[str, Any]:
    """Error for programs; each problem of request files with its line and column."""
    described: dict[str, Any] = {
        "doing": error.doing,
        "problem": error.problem,
        "fix": error.fix,
        "reason": error.reason,
    }
    if isinstance(error, InvalidRequestFile):
        described["problems"] = [asdict(problem) for problem in error.problems]
    return described


def result_json(result: Result) -> dict[str, Any]:
    """Result with all its fields."""
    differences = [each.model_dump(mode="json") for each in result.differences]
    return asdict(result) | {"exit_code": int(result.exit_code), "differences": differences}


def request_json(request: RequestView) -> dict[str, Any]:
    """State and problems of a request of a pull request."""
    problems = [{"line": p.line, "column": p.column, "message": p.message} for p in request.problems]
    return {"request": request.path, "kind": request.kind, "state": request.state, "problems": problems}


def plan_json(plan: Plan) -> dict[str, Any]:
    """Plan with its facts and findings."""
    if isinstance(plan, AddPlan):
        return _add_json(plan)
    if isinstance(plan, RemovePlan):
        return {"kind": "remove", "action": "remove", **plan.model_dump(mode="json")}
    facts = {"rows": plan.rows, "size_bytes": plan.size_bytes}
    return {"kind": "publish", "action": plan.action, "repo_id": plan.repo_id, **plan.model_dump(mode="json"), **facts}


def _add_json(plan: AddPlan) -> dict[str, Any]:
    download = plan.download
    return {
        "kind": "add",
        "action": plan.action,
        "request": plan.request,
        "name": plan.name,
        "location": plan.location,
        **plan.spec.model_dump(mode="json"),
        "sha": download.sha,
        "format": download.format,
        "columns": [column.model_dump() for column in download.columns],
        "audio_column": download.audio_column,
        "rows": download.known_rows,
        "rows_done": plan.rows_done,
        "shards": len(download.shards),
        "size_bytes": download.size_bytes,
        "licence": plan.facts.licence,
        "gated": plan.facts.gated,
        "private": plan.facts.private,
        "storage": plan.storage.model_dump() if plan.storage else None,
        "estimate": plan.estimate.model_dump() if plan.estimate else None,
        "findings": [finding.model_dump() for finding in plan.findings],
    }
