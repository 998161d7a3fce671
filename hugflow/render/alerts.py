"""Render the issues about scheduled work: a failed pipeline, stale published data."""

from __future__ import annotations

from collections.abc import Sequence

from hugflow.render.markdown import code, link, paragraphs, sentence, table

PIPELINE_FAILED = "Daily pipeline failed"
DATA_IS_STALE = "Published data is stale"


def pipeline_body(name: str, status: str, run_url: str) -> str:
    """Render the issue about a scheduled run that did not succeed."""
    run = link("The run", run_url) if run_url else "The run"
    what = "was stopped, or ran out of time" if status == "cancelled" else "failed"
    return paragraphs(
        f"{run} of the pipeline {code(name)} {what}. The Hub still has the last complete version.",
        "Its log has the error. This issue is closed by the next run that succeeds.",
    )


def pipeline_recovered(name: str, run_url: str) -> str:
    """Render the last comment of such an issue."""
    run = link("the newest run", run_url) if run_url else "the newest run"
    return f"The pipeline {code(name)} works again: {run} succeeded."


def stale_body(problems: Sequence[tuple[str, str, str]]) -> str:
    """Render the issue about stale data: repository, branch and problem of each."""
    rows = [(code(repo_id), code(revision), sentence(problem)) for repo_id, revision, problem in problems]
    return paragraphs(
        table(("Repository", "Branch", "Problem"), ("left", "left", "left"), rows),
        "Data is stale when `spec.json` is older than twice the shortest `interval` of its tables, and than two days. "
        "Look at the run that should have published it. This issue is closed when all of it is fresh again.",
    )
