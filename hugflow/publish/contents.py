"""Files of a repository after a publish, and their differences from those before. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hugflow.card import published as dataset_card
from hugflow.card import spec_json
from hugflow.card.published import BuiltCard, CardConfig
from hugflow.card.sections import Origin
from hugflow.card.spec_json import (
    SpecJson,
    SplitSize,
    TableEntry,
)
from hugflow.hf_client.write.repository import Head, Upload
from hugflow.model.errors import InvalidRequest
from hugflow.model.plan import Difference
from hugflow.model.publish_spec import DEFAULT_CONFIG, MAX_SHARDS, PublishSpec
from hugflow.publish.commit import Changes, pending
from hugflow.publish.differences import differences
from hugflow.publish.job import TableJob
from hugflow.publish.layout import (
    CARD_FILE,
    SPEC_FILE,
    backup_path,
    data_paths,
    explicit_patterns,
    folder_of,
    is_backup,
    matching,
    pattern_of,
    shards_of,
)
from hugflow.publish.state import PARQUET, BranchState, HubConfig, HubSplit
from hugflow.publish.tables import FinalSplit, FinalTable, PublishedTable
from hugflow.text.printable import listed, shown


@dataclass(frozen=True, slots=True)
class NewState:
    """The changes that lead from one state of a branch to the next, with its card and spec.json.

    `warnings` are for people: parts of the repository that nobody can load, facts that are no longer known.
    """

    changes: Changes
    spec: SpecJson
    card: BuiltCard
    tables: tuple[FinalTable, ...]
    differences: tuple[Difference, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """The tables, card and spec.json that a publish writes. `now` is the time in spec.json if anything changes."""

    repo_id: str
    spec: PublishSpec
    tables: tuple[PublishedTable, ...]
    now: datetime
    origin: Origin | None = None

    @property
    def fingerprint(self) -> str:
        """A hash of everything that is published, without the time."""
        shards = [
            [table.name, split, [shard.upload.sha256 for shard in shards]]
            for table in self.tables
            for split, shards in table.splits.items()
        ]
        entries = [[table.name, repr(table.facts)] for table in self.tables]
        parts = [shards, entries, self.spec.model_dump(mode="json")]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def touches(self, path: str) -> bool:
        """True if this publish may replace the file: nobody else may have changed it meanwhile."""
        folders = [f"{folder_of(table.name, layout)}/" for table in self.tables for layout in ("shards", "tables")]
        own = {f"{folder_of(table.name, 'tables')}.parquet" for table in self.tables}
        return is_backup(path) or path in own or any(path.startswith(folder) for folder in folders)

    def on(self, state: BranchState) -> NewState:
        """The publish on top of a state of the branch.

        Raises InvalidRequest for a card that the Hub would refuse, and for tables that cannot be beside what stays.
        """
        _check_formats(state, {table.name for table in self.tables}, keeps=not self.spec.replace)
        final = tuple(self._final(table, state) for table in self.tables)
        names = {table.name for table in final}
        gone = [each for each in state.configs.values() if self.spec.replace and each.name not in names]
        deletes = self._deletes(state, final, gone)
        _check_paths(state, final, gone)
        old = state.spec
        how = "major" if gone else spec_json.change(_comparable(old, final), [table.entry() for table in final])
        merged = spec_json.merge(
            old,
            [_merged_entry(table, old, appends=self.spec.append) for table in final],
            self.now,
            how=how if old is not None else "first",
            pipeline_version=self.spec.pipeline_version,
            without=[config.name for config in gone],
        )
        copies = self._backups(state, final, gone) if how == "major" else {}
        data = Changes(adds=_uploads(final), deletes=deletes, copies=copies)
        if (
            old is not None
            and spec_json.same_but_times(old, merged)
            and not (state.head and has_changes(state.head, data))
        ):
            merged = old  # the data is as old as it was
        card = self._card(state, final, gone, merged)
        texts: dict[str, Upload | bytes] = {CARD_FILE: card.content}
        if merged is not old:
            texts[SPEC_FILE] = spec_json.write(merged)
        changes = Changes(adds={**data.adds, **texts}, deletes=data.deletes, copies=data.copies)
        told = tuple(differences(state, final, gone, changes, merged))
        return NewState(changes, merged, card, final, told, tuple(_warnings(state, final)))

    # -- splits ------------------------------------------------------------------------------------------------------

    def _final(self, table: PublishedTable, state: BranchState) -> FinalTable:
        """A config with the splits that it keeps, and with the shards that it had where rows are appended."""
        before = state.configs.get(table.name)
        there = [split for split in before.splits.values() if split.files] if before else []
        stay = [split for split in there if split.name not in table.splits and not self.spec.replace]
        appended = {split.name: split for split in there if split.name in table.splits and self.spec.append}
        if before is not None and (stay or appended):
            _check_columns(table, before, [split.name for split in (*stay, *appended.values())])
        names = [*(before.splits if before else ()), *table.splits]
        order = [
            name for name in dict.fromkeys(names) if name in table.splits or name in {split.name for split in stay}
        ]
        splits = {}
        for name in order:
            if name in table.splits:
                is_only = len(order) == 1
                splits[name] = self._new_split(table, name, appended.get(name), state, is_only=is_only)
            else:
                assert before is not None
                splits[name] = _kept_split(before.splits[name])
        new = {path for split in splits.values() if not split.kept for path in split.paths}
        for name, split in splits.items():
            if split.kept and matching(new, split.patterns):
                patterns = explicit_patterns(split.paths, state.files.keys() | new)
                splits[name] = replace(split, patterns=tuple(patterns))
        return FinalTable(table, splits, before)

    def _new_split(
        self, table: PublishedTable, name: str, old: HubSplit | None, state: BranchState, *, is_only: bool
    ) -> FinalSplit:
        shards, layout = table.splits[name], self.spec.layout
        rows = sum(shard.rows for shard in shards)
        uploads = [shard.upload for shard in shards]
        size, plain = sum(shard.size_bytes for shard in shards), sum(shard.uncompressed_bytes for shard in shards)
        if old is not None:
            there = [state.upload(path) for path in old.files]
            if _is_appended(table.job, name, there, uploads):
                uploads, rows, size, plain = [], 0, 0, 0
            uploads = [*there, *uploads]
            rows, size = rows + (old.rows or 0), size + old.size_bytes
            plain += old.uncompressed_bytes or old.size_bytes
        if len(uploads) > MAX_SHARDS:
            raise InvalidRequest(
                f"appending to {table.name}/{name}",
                f"it would have more than {MAX_SHARDS} files in one folder, which the Hub does not take",
                "Publish the whole split again without `append`: its rows then share fewer files.",
                reason="too_large",
                field="append",
            )
        paths = data_paths(table.name, name, len(uploads), layout, is_only=is_only)
        pattern = pattern_of(table.name, name, len(uploads), layout, is_only=is_only)
        by_path = dict(zip(paths, uploads, strict=True))
        return FinalSplit(name, tuple(paths), (pattern,), rows, size, plain, by_path)

    # -- files -------------------------------------------------------------------------------------------------------

    def _deletes(self, state: BranchState, final: Sequence[FinalTable], gone: Sequence[HubConfig]) -> frozenset[str]:
        """The files that the new state does not load any more, as far as they are ours to delete."""
        old: set[str] = set()
        still_loaded = {path for each in state.configs.values() for path in each.files}
        for table in final:
            before = table.before.splits if table.before else {}
            for split in table.table.splits:
                named = shards_of(state.files, table.name, split)
                loaded = set(before[split].files) if split in before else set()
                moved = loaded if self.spec.append or self.spec.replace else loaded & shards_of(state.files, table.name)
                # shards by their names that no config loads: those of an interrupted or foreign publish
                old |= moved | (named & loaded) | (named - still_loaded)
            dropped = before.keys() - table.splits.keys()
            old |= {path for split in dropped for path in before[split].files}
            new = [pattern for split in table.splits.values() if not split.kept for pattern in split.patterns]
            old |= set(matching(state.files, new))
        old |= {path for config in gone for path in config.files}
        if self.spec.replace and state.script:
            old.add(state.script)
        return frozenset(old - _staying(state, final, gone) - _uploads(final).keys())

    def _backups(self, state: BranchState, final: Sequence[FinalTable], gone: Sequence[HubConfig]) -> dict[str, str]:
        """Copies of the files of the version that the new one breaks with; version 0 was made by others."""
        version = state.spec.major if state.spec else 0
        names = [table.name for table in state.spec.tables] if state.spec else []
        names = [*dict.fromkeys([*names, *(table.name for table in final), *(config.name for config in gone)])]
        kept = {path for name in names for path in shards_of(state.files, name) if not is_backup(path)}
        kept |= {path for name in names if name in state.configs for path in state.configs[name].files}
        kept |= {SPEC_FILE} & state.files.keys()
        return {backup_path(path, version, self.spec.layout): path for path in sorted(kept)}

    # -- the card ----------------------------------------------------------------------------------------------------

    def _card(
        self, state: BranchState, final: Sequence[FinalTable], gone: Sequence[HubConfig], spec: SpecJson
    ) -> BuiltCard:
        configs = [table.config() for table in final]
        others = [c for c in state.configs.values() if c.name not in {t.name for t in final} and c not in gone]
        new = {path for table in final for split in table.splits.values() if not split.kept for path in split.paths}
        named = {
            config.name: {split.name: patterns for split, patterns in _own_patterns(config, state, new)}
            for config in others
            if config.entry is None or _catches(config, final, new)
        }
        return dataset_card.build(
            state.card,
            self.repo_id,
            self.spec.description,
            self.spec.card,
            configs,
            spec,
            origin=self.origin,
            files={name: splits for name, splits in named.items() if splits},
            without=[config.name for config in gone],
            default=self.spec.default_config or _old_default(state, configs, gone),
        )


def _kept_split(split: HubSplit) -> FinalSplit:
    return FinalSplit(
        name=split.name,
        paths=tuple(split.files),
        patterns=split.patterns,
        rows=split.rows or 0,
        size_bytes=split.size_bytes,
        uncompressed_bytes=split.uncompressed_bytes or split.size_bytes,
        uploads={},
        kept=True,
    )


def _is_appended(job: TableJob, split: str, there: Sequence[Upload], new: Sequence[Upload]) -> bool:
    """True if these very shards of files are in the split already, so that a request can be run again.

    Rows in memory are always new: a program that sends the same batch twice means two batches.
    """
    source = next(source for source in job.sources if source.split == split)
    old, wanted = [upload.sha256 for upload in there], [upload.sha256 for upload in new]
    places = range(len(old) - len(wanted) + 1)
    return bool(source.files) and any(old[at : at + len(wanted)] == wanted for at in places)


def _uploads(final: Sequence[FinalTable]) -> dict[str, Upload | bytes]:
    return {path: upload for table in final for path, upload in table.uploads.items()}


def _staying(state: BranchState, final: Sequence[FinalTable], gone: Sequence[HubConfig]) -> set[str]:
    """The files that are loaded after the publish as they were before."""
    names = {table.name for table in final} | {config.name for config in gone}
    kept = {path for name, config in state.configs.items() if name not in names for path in config.files}
    return kept | {path for table in final for split in table.splits.values() if split.kept for path in split.paths}


def _catches(config: HubConfig, final: Sequence[FinalTable], new: set[str]) -> bool:
    """True if a config that stays would load new shards beside its own files.

    One that has loaded files of the same tables before is meant to: its patterns name whatever there is.
    """
    published = {path for table in final if table.before for path in table.before.files}
    if published & config.files.keys():
        return False
    if config.entry is not None and config.entry.get("data_files") is None:
        base = str(config.entry.get("data_dir") or "").strip("/")
        return any(not base or path.startswith(f"{base}/") for path in new)
    return any(matching(new, split.patterns) for split in config.splits.values())


def _own_patterns(config: HubConfig, state: BranchState, new: set[str]) -> Iterator[tuple[HubSplit, list[str]]]:
    """Patterns for the splits of a config that match its own files only."""
    paths = state.files.keys() | new
    for split in config.splits.values():
        if split.files:
            yield split, explicit_patterns(split.files, paths)


def _old_default(state: BranchState, configs: Sequence[CardConfig], gone: Sequence[HubConfig]) -> str | None:
    """The config that `load_dataset` loads without a name, where only the number of configs made it the default."""
    if len(state.configs) != 1 or gone or any(config.name == DEFAULT_CONFIG for config in configs):
        return None
    (only,) = state.configs
    return only if any(config.name != only for config in configs) else None


# -- what cannot be beside each other --------------------------------------------------------------------------------


def _check_formats(state: BranchState, names: set[str], *, keeps: bool) -> None:
    """Refuse parquet beside files of another format that stay: `datasets` reads all configs by one reader."""
    first = next(iter(state.configs.values()), None)
    if not keeps or first is None or first.format in (PARQUET, None):
        return
    others = [
        config.name for config in state.configs.values() if config.name not in names and config.format == first.format
    ]
    if others:
        what = "config " + listed(others) if len(others) == 1 else "configs " + listed(others)
        raise InvalidRequest(
            "comparing the request with the repository",
            f"the {what} of the repository has files of the format {first.format}: `datasets` reads all configs of a"
            " repository with the reader of the first one, so that parquet beside them could not be loaded",
            "Publish to another repository, publish that config as parquet first, or remove it with `replace: true`.",
            reason="mixed_formats",
        )


def _check_columns(table: PublishedTable, before: HubConfig, splits: Sequence[str]) -> None:
    """Refuse splits of one config with different columns: nobody could load them."""
    which = f"the split{'s' if len(splits) > 1 else ''} {listed(splits)} of {shown(table.name)}"
    stays = "stay" if len(splits) > 1 else "stays"
    if any(before.splits[name].files and _format(before.splits[name]) != PARQUET for name in splits):
        raise InvalidRequest(
            "comparing the request with the repository",
            f"{which} {stays} on the Hub, with files that are no parquet; a config cannot have both",
            "Name every split in the request, give the table another name, or set `replace: true`.",
            reason="mixed_formats",
        )
    old = {column.name: column.type for column in before.columns or ()}
    new = {column.name: column.type for column in table.columns}
    told = [f"{shown(name)} is missing in the request" for name in old if name not in new]
    told += [f"{shown(name)} is new" for name in new if name not in old]
    told += [
        f"{shown(name)} was {shown(old[name])} and is now {shown(new[name])}"
        for name in new
        if name in old and not spec_json.is_same_type(old[name], new[name])
    ]
    if before.columns is not None and told:
        raise InvalidRequest(
            "comparing the request with the repository",
            f"{which} {stays} on the Hub with other columns than the request has: {'; '.join(told)}",
            "Name every split in the request, give the table another name, or set `replace: true`, which removes what"
            " the request does not name.",
            reason="mixed_schema",
        )


def _format(split: HubSplit) -> str | None:
    return HubConfig("", {split.name: split}, None).format


def _check_paths(state: BranchState, final: Sequence[FinalTable], gone: Sequence[HubConfig]) -> None:
    """Refuse to overwrite a file that a part of the repository still loads."""
    taken = sorted(_staying(state, final, gone) & _uploads(final).keys())
    if taken:
        raise InvalidRequest(
            "comparing the request with the repository",
            f"{shown(taken[0])} would be overwritten, which another split or config of the repository loads",
            "Give the table or the split another name, or set `replace: true`.",
            reason="path_taken",
        )


# -- spec.json -------------------------------------------------------------------------------------------------------


def _comparable(old: SpecJson | None, final: Sequence[FinalTable]) -> SpecJson:
    """spec.json as it was, with the tables that it does not have but the Hub does."""
    tables = list(old.tables) if old else []
    known = {table.name for table in tables}
    for table in final:
        before = table.before
        if before is not None and before.name not in known:
            sizes = {name: SplitSize(row_count=split.rows or 0, size_bytes=0) for name, split in before.splits.items()}
            tables.append(TableEntry(name=before.name, columns=before.columns, splits=sizes))
    return (old or SpecJson()).model_copy(update={"tables": tuple(tables)})


def _merged_entry(table: FinalTable, old: SpecJson | None, *, appends: bool) -> TableEntry:
    """The entry of a table, over its new rows and those that it keeps."""
    entry = table.entry()
    before = old.table(table.name) if old else None
    kept = [split.name for split in table.splits.values() if split.kept]
    old_splits = set(table.before.splits) if table.before else set()
    if not kept and not (appends and old_splits & table.table.splits.keys()):
        return entry
    if before is not None and table.before is not None and _is_same(table, table.before):
        return entry.model_copy(update={name: getattr(before, name) for name in spec_json.COUNTED})
    replaced = bool(old_splits & table.table.splits.keys()) and not appends
    return spec_json.joined(before, entry, exact=not replaced)


def _is_same(table: FinalTable, before: HubConfig) -> bool:
    """True if the files of all splits have the bytes that they had."""
    old = [file for split in before.splits.values() for file in split.files.values()]
    new = [upload for split in table.splits.values() if not split.kept for upload in split.uploads.values()]
    kept = sum(len(split.paths) for split in table.splits.values() if split.kept)
    hashes, in_git = {file.sha256 for file in old}, [file for file in old if file.sha256 is None]
    return len(old) == len(new) + kept and all(
        each.sha256 in hashes or any(file.has_bytes_of(each) for file in in_git) for each in new
    )


def _warnings(state: BranchState, final: Sequence[FinalTable]) -> Iterator[str]:
    if state.script:
        yield (
            f"the repository has a loading script, {state.script}: `datasets` runs none and so loads nothing of the"
            " repository until it is deleted; `replace: true` deletes it"
        )
    for table in final:
        kept = [split.name for split in table.splits.values() if split.kept]
        if kept and table.table.job.table.quality.unique:
            yield f"{table.name}: `unique` was not checked against the rows that stay ({', '.join(kept)})"


def has_changes(head: Head, changes: Changes) -> bool:
    """True if the changes make a difference to a head."""
    return bool(pending(head, changes))
