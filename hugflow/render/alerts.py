"""What the issues of scheduled work say: a pipeline that failed, published data that is stale. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hugflow.render.markdown import code, link, paragraphs, sentence, table

PIPELINE_FAILED = "Daily pipeline failed"
DATA_IS_STALE = "Published data is stale"


def pipeline_body(name: str, status: str, run_url: str) -> str:
    """The issue about a scheduled run that did not succeed."""
    run = link("The run", run_url) if run_url else "The run"
    what = "was stopped, or ran out of time" if status == "cancelled" else "failed"
    return paragraphs(
        f"{run} of the pipeline {code(name)} {what}. What readers of the Hub see is the last state that was whole.",
        "Its log says what went wrong. This issue closes itself with the next run that succeeds.",
    )


def pipeline_green(name: str, run_url: str) -> str:
    """The last comment of such an issue."""
    run = link("the newest run", run_url) if run_url else "the newest run"
    return f"The pipeline {code(name)} is green again: {run} succeeded."


def stale_body(problems: Sequence[tuple[str, str, str]]) -> str:
    """The issue about data that is older than it may be: repository, branch and problem of each."""
    rows = [(code(repo_id), code(revision), sentence(problem)) for repo_id, revision, problem in problems]
    return paragraphs(
        table(("Repository", "Branch", "Problem"), ("left", "left", "left"), rows),
        "Data is stale when `spec.json` is older than twice the shortest `interval` of its tables, and than two days. "
        "Look at the run that should have published it. This issue closes itself when all of it is fresh again.",
    )
