"""Upload files and cards, delete configs, and check the age of a repository's data, from Python."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from hugflow.api.boundary import own_errors
from hugflow.api.connection import Uploaded, now, state_of, uploaded
from hugflow.card.front_matter import GONE, CardText, parse, updated
from hugflow.card.hub_rules import CardProblem, check_fields
from hugflow.hf_client.library_defaults import ambient_hub, without_bars
from hugflow.hf_client.write.repository import Repository
from hugflow.model.errors import InvalidRequest, NotFoundError, UnsupportedData
from hugflow.model.publish_spec import AgeOf
from hugflow.model.specs import repository_name
from hugflow.publish import freshness as ages
from hugflow.publish.commit import Changes, publish_changes
from hugflow.publish.deletion import HubRemover
from hugflow.publish.freshness import Freshness
from hugflow.publish.layout import CARD_FILE
from hugflow.storage.disk import read_regular, sha256_of
from hugflow.text.printable import shown


@own_errors("uploading a file")
def upload_file(
    file: str | os.PathLike[str] | bytes,
    repo_id: str,
    path_in_repo: str,
    *,
    private: bool = False,
    revision: str = "main",
    create_pr: bool = False,
    commit_message: str = "Upload via hugflow",
    commit_description: str = "",
    token: str | None = None,
    endpoint: str | None = None,
) -> Uploaded:
    """Put one file (or bytes) at a path of a repository, in one commit; a file that is there already makes none.

    For what stands beside tables: a licence, a notebook, pictures of the card. Raises what `push_to_hub` raises.
    """
    path = _path_in_repo(path_in_repo)
    if not isinstance(file, bytes):
        _check_file(file)
    repository = Repository(ambient_hub(token, endpoint), repo_id, revision, create_pr)
    repository.ensure(private=private)
    repository.ensure_branch()
    base = repository.read_head()
    content: Any = file
    if path == CARD_FILE:
        content = file if isinstance(file, bytes) else read_regular(Path(file))
        repository.check_card(content)
    elif not isinstance(file, bytes):
        local = Path(file)
        with without_bars():
            content = repository.upload(local, path, sha256=sha256_of(local), size_bytes=local.stat().st_size)
    commit = publish_changes(
        repository,
        lambda _: Changes(adds={path: content}),
        path.__eq__,
        message=commit_message,
        description=commit_description,
        base=base,
    )
    return uploaded(repository, commit)


def _check_file(file: Any) -> None:
    """Raise InvalidRequest for what is no path of a regular file."""
    doing = "uploading a file"
    if not isinstance(file, str | os.PathLike):
        problem = f"{type(file).__name__} is neither a path nor bytes"
        raise UnsupportedData(doing, problem, "Give a path, or `bytes`; `push_to_hub` publishes tables.")
    if not Path(file).is_file():
        problem = f"there is no file {shown(os.fspath(file))}"
        raise InvalidRequest(doing, problem, "Name a file of this machine, or give bytes.", reason="missing_file")


def _path_in_repo(path: str) -> str:
    pure = PurePosixPath(path)
    if not path or path.endswith("/") or pure.is_absolute() or ".." in pure.parts or not path.isprintable():
        raise InvalidRequest(
            "uploading a file", f"{path!r} is no path in a repository", "Write one like `docs/licence.txt`."
        )
    return str(pure)


@dataclass(frozen=True, slots=True)
class DatasetCard:
    """A dataset's card: the fields of its head, and the text below. Changing it gives a new one.

    What is not changed stays byte for byte, comments and the order of fields included.
    """

    content: str = ""

    @classmethod
    @own_errors("reading a card")
    def load(
        cls, repo_id: str, *, revision: str = "main", token: str | None = None, endpoint: str | None = None
    ) -> DatasetCard:
        """The card of a repository. Raises NotFoundError where there is none."""
        repository = Repository(ambient_hub(token, endpoint), repo_id, revision)
        content = repository.read(CARD_FILE, repository.head())
        if content is None:
            raise NotFoundError(f"reading the card of {repo_id}", f"it has no {CARD_FILE}", "Publish something to it.")
        return cls(content.decode("utf-8", "surrogateescape"))

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of its head. Raises InvalidRequest for a head that is no YAML mapping."""
        return parse(CardText.of(self.content).matter)

    @property
    def text(self) -> str:
        """The Markdown below the head."""
        return CardText.of(self.content).body

    def with_fields(self, **fields: Any) -> DatasetCard:
        """The card with these fields; None removes one."""
        parts = CardText.of(self.content)
        wanted = {name: GONE if value is None else value for name, value in fields.items()}
        return DatasetCard(replace(parts, matter=updated(parts.matter, wanted, "\n")).joined("\n"))

    def with_text(self, text: str) -> DatasetCard:
        """The card with another text."""
        return DatasetCard(replace(CardText.of(self.content), body=text).joined("\n"))

    def problems(self) -> tuple[CardProblem, ...]:
        """The problems of its fields by the Hub's rules, with suggestions; needs no network."""
        return tuple(check_fields(self.fields))

    @own_errors("publishing a card")
    def push(
        self,
        repo_id: str,
        *,
        revision: str = "main",
        create_pr: bool = False,
        commit_message: str = "Update the card via hugflow",
        token: str | None = None,
        endpoint: str | None = None,
    ) -> Uploaded:
        """Make it the card of a repository, in one commit. Raises InvalidRequest for what the Hub would refuse."""
        if errors := [problem for problem in self.problems() if problem.level == "error"]:
            described = "; ".join(f"{problem.field}: {problem.message}" for problem in errors)
            raise InvalidRequest("checking the card", described, "Correct it.", reason="invalid_card")
        return upload_file(
            self.content.encode("utf-8", "surrogateescape"),
            repo_id,
            CARD_FILE,
            revision=revision,
            create_pr=create_pr,
            commit_message=commit_message,
            token=token,
            endpoint=endpoint,
        )


@own_errors("deleting a config")
def delete_from_hub(
    repo_id: str,
    config_name: str,
    *,
    reason: str = "",
    revision: str = "main",
    token: str | None = None,
    endpoint: str | None = None,
) -> Uploaded:
    """Delete a config: its files, its entries in card and spec.json, in one commit. `reason` stands in the commit.

    Raises InvalidRequest where there is no such config, and what `push_to_hub` raises.
    """
    repository = Repository(ambient_hub(token, endpoint), repo_id, revision)
    with state_of(None) as state:
        remover = HubRemover(repository.hub, state, now)
        with state.lock(repository_name(repo_id), f"deleting {config_name} of {repo_id}"):
            gone = remover.delete(repository, config_name, reason)
    return uploaded(repository, gone.commit)


@own_errors("checking the age of the data")
def check_freshness(
    repo_id: str,
    max_age: timedelta = timedelta(days=2),
    *,
    of: AgeOf = "publish",
    revision: str = "main",
    token: str | None = None,
    endpoint: str | None = None,
) -> Freshness:
    """Read the age of a repository's data from its spec.json; `is_stale` where it is more than `max_age`.

    `of="data"` is the age of the newest time in the rows, in place of that of the last publish.

    Raises NotFoundError, Terminal, AuthenticationError, Transient.
    """
    seconds = getattr(max_age, "total_seconds", None)
    if seconds is None:
        fix = "Give a `timedelta`, such as `timedelta(days=2)`."
        raise UnsupportedData("checking the age of the data", f"{max_age!r} is no length of time", fix)
    return ages.freshness(ambient_hub(token, endpoint), repo_id, revision, seconds(), now(), of)


@own_errors("checking for new data")
def spec_changed(
    repo_id: str,
    since: str | date | Mapping[str, Any],
    *,
    revision: str = "main",
    token: str | None = None,
    endpoint: str | None = None,
) -> bool:
    """Test for an update of the data after `since`, for programs that keep a copy of it.

    `since` is the copy's own spec.json as a dict, or a time of it: `updated_at` (or a datetime), or `update_time` (or a
    date). Raises UnsupportedData for anything else. Without an answer of the Hub the copy counts as good, and a warning
    is logged: "Cache validation failed: ...".
    """
    if isinstance(since, Mapping):
        since = since.get("updated_at") or since.get("update_time") or ""
    if not isinstance(since, str | date) or not since:
        raise UnsupportedData(
            "checking for new data",
            "there is no time in what the copy says",
            "Give the copy's spec.json as a dict, its `updated_at`, or a date.",
        )
    return ages.spec_changed(ambient_hub(token, endpoint), repo_id, since, revision)
