"""Single attempts at commits and pull requests on the Hub, so that the caller knows whose answer was lost."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hugflow.hf_client.errors import HUB_ERRORS
from hugflow.hf_client.write.endpoints import Wire, quoted, understood
from hugflow.hf_client.write.uploads import Upload

_NDJSON = {"Content-Type": "application/x-ndjson"}
_MERGED = "merged"


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit on the Hub and its page; `pr_url` is that of the pull request, where it was made in one."""

    sha: str
    url: str
    pr_url: str | None = None


def commit_body(
    puts: Mapping[str, Upload], deletes: Iterable[str], *, parent: str, message: str, description: str
) -> bytes:
    """The body of a commit request: one JSON object a line, deletions before the files that may take their paths."""
    header = {"summary": message, "description": description, "parentCommit": parent}
    lines = [("header", header), *(("deletedFile", {"path": path}) for path in sorted(deletes)), *_put_lines(puts)]
    return b"".join(json.dumps({"key": key, "value": value}).encode() + b"\n" for key, value in lines)


def _put_lines(puts: Mapping[str, Upload]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, upload in sorted(puts.items()):
        if upload.content is None:
            yield "lfsFile", {"path": path, "algo": "sha256", "oid": upload.sha256, "size": upload.size_bytes}
        else:
            content = base64.b64encode(upload.content).decode()
            yield "file", {"path": path, "content": content, "encoding": "base64"}


def post_commit(wire: Wire, onto: str, body: bytes, *, open_pull: bool) -> Commit:
    """Post a commit, once. Raises the typed error for the Hub's answer or a network fault."""
    doing = f"committing to {wire.repo_id}"
    path = f"{wire.api_path}/commit/{quoted(onto)}"
    params = {"create_pr": "1"} if open_pull else None
    try:
        answer = wire.ask(doing, "POST", path, headers=_NDJSON, params=params, content=body)
    except HUB_ERRORS as error:
        raise wire.hub.explain(doing, error, writing=wire.repo_id) from error
    with understood(doing):
        pr_url = str(answer["pullRequestUrl"]) if open_pull else None
        return Commit(str(answer["commitOid"]), str(answer["commitUrl"]), pr_url)


@dataclass(frozen=True, slots=True)
class HubPullRequests:
    """The pull requests of a repository on the Hub."""

    wire: Wire

    def open_ones(self, title: str, *, at_most: int) -> list[int]:
        """The numbers of the newest open pull requests with this title."""

        def ask() -> list[int]:
            found = self.wire.hub.api().get_repo_discussions(
                self.wire.repo_id,
                repo_type="dataset",
                discussion_type="pull_request",
                discussion_status="open",
            )
            return sorted((item.num for item in found if item.title == title), reverse=True)[:at_most]

        return self.wire.call(f"looking for open pull requests of {self.wire.repo_id}", ask)

    def merge(self, num: int) -> None:
        """Merge a pull request, unless it is merged already. Raises Conflict where it cannot be merged."""

        def ask() -> None:
            api = self.wire.hub.api()
            if api.get_discussion_details(self.wire.repo_id, num, repo_type="dataset").status != _MERGED:
                api.merge_pull_request(self.wire.repo_id, num, repo_type="dataset")

        self.wire.call(f"merging pull request {num} of {self.wire.repo_id}", ask)

    def close(self, num: int) -> None:
        """Close a pull request."""

        def ask() -> None:
            self.wire.hub.api().change_discussion_status(self.wire.repo_id, num, "closed", repo_type="dataset")

        self.wire.call(f"closing pull request {num} of {self.wire.repo_id}", ask)

    def url(self, num: int) -> str:
        """The page of a pull request."""
        return f"{self.wire.hub.endpoint}/datasets/{self.wire.repo_id}/discussions/{num}"


def ref_of(num: int) -> str:
    """The ref of a pull request's commits."""
    return f"refs/pr/{num}"


def number_of(pr_url: str) -> int:
    """The number of a pull request by its page's URL."""
    return int(pr_url.rstrip("/").rpartition("/")[2])
