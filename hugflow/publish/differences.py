"""Differences between a repository before and after a publish, as plans, pull requests and results show them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hugflow.card.spec_json import SpecColumn, SpecJson, is_same_type
from hugflow.model.plan import Difference, Effect
from hugflow.publish.commit import Changes
from hugflow.publish.layout import CARD_FILE, SPEC_FILE, is_backup
from hugflow.publish.state import BranchState, HubConfig, format_of
from hugflow.publish.tables import FinalTable
from hugflow.render.humanize import plural

MAX_FILES = 100
"""Of more files of one kind than this, the others are only counted."""


def differences(
    state: BranchState, final: Sequence[FinalTable], gone: Sequence[HubConfig], changes: Changes, spec: SpecJson
) -> Iterator[Difference]:
    """Changes that a publish makes, and parts of the repository that stay although the request does not name them."""
    before = state.spec.version if state.spec else None
    if before != spec.version:
        yield Difference(
            effect="change" if before else "add", kind="version", name="", before=before, after=spec.version
        )
    for table in final:
        yield from _table(table)
    for config in gone:
        yield Difference(effect="remove", kind="config", name=config.name, before=_rows(config.rows))
    names = {table.name for table in final} | {config.name for config in gone}
    for name, config in state.configs.items():
        if name not in names:
            yield Difference(effect="keep", kind="config", name=name, before=_rows(config.rows))
    yield from _files(state, final, changes)


def _table(table: FinalTable) -> Iterator[Difference]:
    old = table.before
    if old is None:
        yield Difference(effect="add", kind="config", name=table.name, after=_rows(table.rows))
        return
    if old.columns is not None:
        yield from _columns(table.name, old.columns, table.table.columns)
    for name, split in old.splits.items():
        place, after = f"{table.name}/{name}", table.splits.get(name)
        if after is None:
            yield Difference(effect="remove", kind="split", name=place, before=_rows(split.rows))
        elif after.kept:
            yield Difference(effect="keep", kind="split", name=place, before=_rows(split.rows))
        elif split.rows != after.rows:
            yield Difference(
                effect="change", kind="split", name=place, before=_rows(split.rows), after=_rows(after.rows)
            )
    for name, each in table.splits.items():
        if name not in old.splits:
            yield Difference(effect="add", kind="split", name=f"{table.name}/{name}", after=_rows(each.rows))


def _columns(config: str, before: Sequence[SpecColumn], after: Sequence[SpecColumn]) -> Iterator[Difference]:
    old, new = ({column.name: column.type for column in columns} for columns in (before, after))
    for name in {**old, **new}:
        was, will = old.get(name), new.get(name)
        if was is None or will is None or not is_same_type(was, will):
            effect: Effect = "add" if was is None else "remove" if will is None else "change"
            yield Difference(effect=effect, kind="column", name=f"{config}.{name}", before=was, after=will)


def _files(state: BranchState, final: Sequence[FinalTable], changes: Changes) -> Iterator[Difference]:
    """Files that go or move, and data files that nothing loads afterwards."""
    copied: dict[str, str] = {}
    for new, old in changes.copies.items():
        copied.setdefault(old, new)
    ours = {path for table in final for split in table.splits.values() for path in split.paths}
    deleted = sorted(changes.deletes & state.files.keys())
    moved = [path for path in deleted if path in copied]
    removed = [path for path in deleted if path not in copied]
    loaded = {path for config in state.configs.values() for path in config.files}
    replaced = {path for table in final if table.before for path in table.before.files}
    left = sorted(
        path
        for path in state.files.keys() - changes.deletes - ours
        if path not in (CARD_FILE, SPEC_FILE)
        and not is_backup(path)
        and (
            (path in replaced and not _is_kept(path, state, final))
            or (path not in loaded and format_of(path) == "parquet")
        )
    )
    yield from (
        Difference(effect="move", kind="file", name=path, before=path, after=copied[path]) for path in moved[:MAX_FILES]
    )
    yield from (Difference(effect="remove", kind="file", name=path) for path in removed[:MAX_FILES])
    yield from (Difference(effect="keep", kind="file", name=path, after="in no split") for path in left[:MAX_FILES])
    for paths, effect in ((moved, "move"), (removed, "remove"), (left, "keep")):
        if len(paths) > MAX_FILES:
            more = plural(len(paths) - MAX_FILES, "more file", "more files")
            yield Difference.model_validate({"effect": effect, "kind": "file", "name": more})


def _is_kept(path: str, state: BranchState, final: Sequence[FinalTable]) -> bool:
    """True if a config that the request does not name loads the file as well."""
    names = {table.name for table in final}
    return any(path in config.files for name, config in state.configs.items() if name not in names)


def _rows(count: int | None) -> str:
    return "unknown rows" if count is None else plural(count, "row")
