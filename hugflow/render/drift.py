"""Render the issue about datasets that differ from their requests or from the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from hugflow.render.markdown import code, paragraphs, table


class Dataset(Protocol):
    """Fields of a dataset that decide whether it differs."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def request(self) -> str | None: ...
    @property
    def upstream(self) -> str | None: ...


Known = TypeVar("Known", bound=Dataset)


def drifted(datasets: Sequence[Known]) -> list[Known]:
    """Return the datasets that differ from their requests or from the Hub."""
    return [dataset for dataset in datasets if _differences(dataset)]


def drift_body(datasets: Sequence[Dataset]) -> str:
    """Render the issue: a line for every dataset, and what to do."""
    rows = [(code(dataset.name), "; ".join(_differences(dataset))) for dataset in datasets]
    return paragraphs(
        table(("Dataset", "Difference"), ("left", "left"), rows),
        "A moved dataset is downloaded again by a request for the new commit, or with `--restart`. "
        "This issue is closed when nothing differs any more.",
    )


def _differences(dataset: Dataset) -> list[str]:
    reasons = []
    if dataset.state == "missing":
        reasons.append(f"asked for by {code(dataset.request or '')}, not in storage")
    if dataset.state == "lost":
        reasons.append("in the manifest, not in storage")
    if dataset.state == "partial":
        reasons.append("not complete")
    if dataset.request is None and dataset.state == "complete":
        reasons.append("no request asks for it")
    if dataset.upstream not in (None, "current", "unknown"):
        reasons.append(f"on the Hub: {dataset.upstream}")
    return reasons
