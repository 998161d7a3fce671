"""Text tables for a terminal: `status`, `inspect`, `verify`. Pure: values in, text out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

from hugflow.model.events import FailedRow
from hugflow.model.plan import Column, HubFacts
from hugflow.render.humanize import count, duration, one_line, percent, plural, size

Align = Literal["left", "right"]


class DatasetStatusView(Protocol):
    """A line of `hugflow status`."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def sha(self) -> str | None: ...
    @property
    def rows_total(self) -> int: ...
    @property
    def rows_done(self) -> int: ...
    @property
    def rows_failed(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def duration_s(self) -> float: ...
    @property
    def added_by(self) -> str | None: ...
    @property
    def added_at(self) -> str | None: ...
    @property
    def request(self) -> str | None: ...
    @property
    def upstream(self) -> str | None: ...
    @property
    def waiting_for_hub(self) -> str | None: ...


class DamageView(Protocol):
    """A file that `hugflow verify` found damaged."""

    @property
    def path(self) -> str: ...
    @property
    def state(self) -> str: ...


class SplitView(Protocol):
    """A split in `hugflow inspect`."""

    @property
    def config(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def rows(self) -> int | None: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def shards(self) -> int: ...
    @property
    def columns(self) -> Sequence[Column]: ...


def table(header: Sequence[str], align: Sequence[Align], rows: Iterable[Sequence[str]]) -> str:
    """A table with columns as wide as their widest cell, two spaces apart, without a frame."""
    lines = [tuple(header), *(tuple(one_line(cell, 120) for cell in row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if side == "right" else cell.ljust(width)
            for cell, width, side in zip(line, widths, align, strict=True)
        ).rstrip()
        for line in lines
    )


def status_text(datasets: Sequence[DatasetStatusView], failed: Sequence[FailedRow] = ()) -> str:
    """The datasets in storage, the differences from the requests, and the failed rows if they were asked for."""
    if not datasets:
        return "Storage holds no dataset, and no request asks for one.\n"
    header: tuple[str, ...] = ("DATASET", "STATE", "ROWS", "FAILED", "AUDIO", "SIZE", "COMMIT", "ADDED")
    align: tuple[Align, ...] = ("left", "left", "right", "right", "right", "right", "left", "left")
    rows = [_status_row(dataset) for dataset in datasets]
    if any(dataset.upstream for dataset in datasets):
        header, align = (*header, "UPSTREAM"), (*align, "left")
        rows = [(*row, dataset.upstream or "-") for row, dataset in zip(rows, datasets, strict=True)]
    parts = [table(header, align, rows)]
    parts += [f"{d.name}: waiting for the Hub: {one_line(d.waiting_for_hub)}" for d in datasets if d.waiting_for_hub]
    parts += _drift(datasets)
    if failed:
        failures = ((str(row.row), row.reason, row.message) for row in failed)
        parts.append(table(("ROW", "REASON", "MESSAGE"), ("right", "left", "left"), failures))
    return "\n\n".join(parts) + "\n"


def _status_row(dataset: DatasetStatusView) -> tuple[str, ...]:
    whole = dataset.rows_done + dataset.rows_failed >= dataset.rows_total
    share = "" if whole else f" ({percent(dataset.rows_done, dataset.rows_total)})"
    added = f"{dataset.added_at[:10]} {dataset.added_by or ''}" if dataset.added_at else "-"
    return (
        dataset.name,
        dataset.state,
        count(dataset.rows_done) + share,
        count(dataset.rows_failed) if dataset.rows_failed else "-",
        duration(dataset.duration_s) if dataset.duration_s else "-",
        size(dataset.size_bytes) if dataset.size_bytes else "-",
        (dataset.sha or "-")[:12],
        added.strip(),
    )


def _drift(datasets: Sequence[DatasetStatusView]) -> list[str]:
    """The differences between the requests of this checkout and storage."""
    missing = [
        f"  {d.request}: not in storage yet; `hugflow local-sync` downloads it"
        for d in datasets
        if d.state == "missing"
    ]
    unasked = [f"  {d.name}: no request in this checkout asks for it" for d in datasets if not d.request]
    lost = [f"  {d.name}: in the manifest, but not in storage" for d in datasets if d.state == "lost"]
    lines = [*missing, *lost, *(unasked if any(d.request for d in datasets) else [])]
    return ["\n".join(["Drift:", *lines])] if lines else []


def inspection_text(hf_id: str, revision: str, facts: HubFacts, splits: Sequence[SplitView]) -> str:
    """The configs, splits and columns of a repository on the Hub."""
    access = [word for word, is_so in (("gated", facts.gated), ("private", facts.private)) if is_so] or ["public"]
    head = [
        f"{hf_id}, {revision} at {facts.sha[:12]}",
        f"licence: {one_line(facts.licence or 'not stated', 100)}; {', '.join(access)}",
    ]
    rows = [
        (s.config, s.split, "?" if s.rows is None else count(s.rows), size(s.size_bytes), count(s.shards), s.format)
        for s in splits
    ]
    header = ("CONFIG", "SPLIT", "ROWS", "SIZE", "FILES", "FORMAT")
    parts = ["\n".join(head), table(header, ("left", "left", "right", "right", "right", "left"), rows)]
    for config in dict.fromkeys(split.config for split in splits):
        columns = next(split.columns for split in splits if split.config == config)
        lines = ((column.name, column.kind, column.type) for column in columns)
        title = f"Columns of {one_line(config, 80)} ({plural(len(columns), 'column')})"
        parts.append(f"{title}\n{table(('NAME', 'KIND', 'TYPE'), ('left', 'left', 'left'), lines)}")
        classes = [(path, names) for column in columns for path, names in column.class_names.items()]
        if classes:
            labels = ((path, count(len(names)), ", ".join(names)) for path, names in classes)
            parts.append(table(("CLASS LABEL", "CLASSES", "NAMES, FROM ID 0"), ("left", "right", "left"), labels))
        nested = [path for column in columns for path in column.nested_audio]
        if nested:
            parts.append(
                f"Audio inside of lists and structs, of which no MP3 files are made: {one_line(', '.join(nested), 500)}"
            )
    parts += [f"! {one_line(remark)}" for remark in facts.remarks]
    return "\n\n".join(parts) + "\n"


def verified_text(name: str, rows: int, damage: Sequence[DamageView]) -> str:
    """The outcome of `verify` for a dataset: each damaged file by its name."""
    if not damage:
        return f"✓ {one_line(name)}: {plural(rows, 'row')}, all files match their hashes\n"
    lines = [f"  {found.state:<8} {one_line(found.path)}" for found in damage]
    return (
        "\n".join([f"✗ {one_line(name)}: {plural(len(damage), 'file')} of {plural(rows, 'row')} damaged", *lines])
        + "\n"
    )
