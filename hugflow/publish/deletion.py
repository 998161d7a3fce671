"""Delete a config of a repository on the Hub: its files and its entries in card and spec.json, in one commit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from hugflow.card import published as dataset_card
from hugflow.card import spec_json
from hugflow.hf_client.http import Hub
from hugflow.hf_client.write.repository import Commit, Head, Repository, Upload
from hugflow.model.errors import ExitCode, InvalidRequest, NotFoundError
from hugflow.model.events import Result
from hugflow.model.plan import RemovePlan
from hugflow.model.specs import RemoveSpec, repository_name
from hugflow.publish.commit import Changes, publish_changes
from hugflow.publish.layout import CARD_FILE, SPEC_FILE, data_dir_of, is_backup, shards_of
from hugflow.publish.state import BranchState, read_state
from hugflow.request.file import ParsedRequest
from hugflow.storage.state import StateDir
from hugflow.text.printable import closest, listed, shown


@dataclass(frozen=True, slots=True)
class Deleted:
    """A deleted config: the commit, and the rows and bytes of its files."""

    commit: Commit
    rows: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Config:
    """A config at one commit. `rows` is the count of spec.json or of the files, 0 where neither is known."""

    state: BranchState
    files: frozenset[str]
    size_bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class HubRemover:
    """Plans and executes remove requests with `target: hub`."""

    hub: Hub
    state: StateDir
    now: Callable[[], datetime]

    def plan(self, request: ParsedRequest, spec: RemoveSpec) -> RemovePlan:
        """Plan a deletion; changes nothing. Raises InvalidRequest for an unknown config, and the Hub's errors."""
        config, repository = spec.subset or "", _repository(self.hub, spec)
        found = self._read_config(repository, config, repository.read_head())
        return RemovePlan(
            request=request.path,
            spec=spec,
            names=(name_of(spec.hf_id, config),),
            rows=found.rows,
            stored_bytes=found.size_bytes,
        )

    def execute(self, plan: RemovePlan) -> Result:
        """Delete the config. Raises InvalidRequest where it is gone, Locked, and the errors of the Hub."""
        began, spec = time.monotonic(), plan.spec
        repository, config = _repository(self.hub, spec), spec.subset or ""
        with self.state.lock(repository_name(spec.hf_id), f"deleting {config} of {spec.hf_id}"):
            gone = self.delete(repository, config, spec.reason)
        return Result(
            request=plan.request,
            kind="remove",
            name=plan.names[0],
            status="removed",
            exit_code=ExitCode.DONE,
            location=repository.url,
            sha=gone.commit.sha,
            rows_total=gone.rows,
            elapsed_s=time.monotonic() - began,
            message=f"Deleted the config {config} of {spec.hf_id} on the Hub",
        )

    def delete(self, repository: Repository, config: str, reason: str) -> Deleted:
        """Delete a config in one commit. Raises InvalidRequest where there is none of this name."""
        base = repository.read_head()
        before = self._read_config(repository, config, base)
        commit = publish_changes(
            repository,
            lambda head: self._read_changes(repository, config, head),
            before.files.__contains__,
            message=f"Delete the config {config}",
            description=reason,
            base=base,
        )
        assert commit is not None, "a config that is there leaves something to delete"
        return Deleted(commit, before.rows, before.size_bytes)

    def _read_changes(self, repository: Repository, config: str, head: Head) -> Changes:
        found = self._read_config(repository, config, head)
        adds: dict[str, Upload | bytes] = {}
        spec, card = found.state.spec, found.state.card
        if spec is not None and spec.table(config) is not None:
            spec = spec_json.without(spec, config, self.now())
            adds[SPEC_FILE] = spec_json.write(spec)
        if card is not None:
            adds[CARD_FILE] = dataset_card.without_config(card, repository.repo_id, config, spec)
        return Changes(adds=adds, deletes=found.files)

    def _read_config(self, repository: Repository, config: str, head: Head) -> _Config:
        """Read a config's files and rows at a head. Raises InvalidRequest where it has none."""
        state = read_state(repository, head, {config: ()}, keeps=False)
        files = _files_of(state, config)
        table, there = state.spec.table(config) if state.spec else None, state.configs.get(config)
        if not files and table is None and there is None:
            tables = state.spec.tables if state.spec else ()
            raise _unknown(repository.repo_id, config, sorted({*state.configs, *(each.name for each in tables)}))
        rows = (table.row_count if table else None) or (there.rows if there else None) or 0
        return _Config(state, frozenset(files), sum(head.files[path].size_bytes for path in files), rows)


def name_of(repo_id: str, config: str) -> str:
    """The name of a config in plans and results."""
    return f"{repo_id}, config {config}"


def _repository(hub: Hub, spec: RemoveSpec) -> Repository:
    repository = Repository(hub, spec.hf_id, spec.revision or "main")
    if repository.info() is None:
        raise NotFoundError(
            f"looking for {spec.hf_id} on the Hub",
            f"Repository not found: {spec.hf_id}",
            "Check the id for typing errors. For a private repository set HF_TOKEN to a token that may write to it.",
            reason="no_repository",
            field="hf_id",
        )
    return repository


def _files_of(state: BranchState, config: str) -> set[str]:
    """Every file of a config that no other config loads: its shards, those that the card names, those of its folder."""
    there = state.configs.get(config)
    files = {path for path in shards_of(state.files, config) if not is_backup(path)}
    if there is not None:
        files |= there.files.keys()
        folder = data_dir_of(there.entry or {})
        files |= {path for path in state.files if folder and path.startswith(folder)}
    return files - {path for name, other in state.configs.items() if name != config for path in other.files}


def _unknown(repo_id: str, config: str, known: list[str]) -> InvalidRequest:
    near = closest(config, known)
    others = f"it has {listed(known)}" if known else "it has none"
    return InvalidRequest(
        f"looking for the config {shown(config)} of {repo_id}",
        "the repository has no such config; " + (f"did you mean {shown(near)}?" if near else others),
        "Name one of its configs as `subset`.",
        reason="not_found",
        field="subset",
    )
