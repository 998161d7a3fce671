"""Reads and writes a dataset repository on the Hub: its files, uploads, refs, commits and card.

Every call can be repeated after a lost answer without doing anything twice. Commits are the exception: `post_commit`
is a single attempt, and `hugflow.publish.commit` looks for the commit before it asks again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.hf_api import GitRefs
from huggingface_hub.hf_api import RepoFile as HubFile

from hugflow.hf_client.http import Hub
from hugflow.hf_client.remote_file import RepositoryFile
from hugflow.hf_client.write.commits import Commit, HubPullRequests, commit_body, post_commit
from hugflow.hf_client.write.endpoints import Wire, quoted, understood
from hugflow.hf_client.write.uploads import SAMPLE_BYTES, Target, Upload
from hugflow.model.errors import HugflowError, InvalidRequest, Terminal, Transient

__all__ = ["Commit", "Head", "RepoFile", "RepoInfo", "Repository", "Upload", "git_blob_id"]

Answer = TypeVar("Answer")
MAIN = "main"
MAX_READ_BYTES = 20 << 20


@dataclass(frozen=True, slots=True)
class RepoFile:
    """A file at one commit. `blob_id` is its Git object id; `sha256` is None for a file that Git itself stores."""

    size_bytes: int
    sha256: str | None
    blob_id: str

    def has_bytes_of(self, upload: Upload) -> bool:
        """True if the file has the bytes of `upload`."""
        if self.sha256 is not None:
            return self.sha256 == upload.sha256
        return upload.content is not None and self.blob_id == git_blob_id(upload.content)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest commit of a branch and all of its files by path."""

    sha: str
    files: Mapping[str, RepoFile]


@dataclass(frozen=True, slots=True)
class RepoInfo:
    """Facts about a repository, for plans."""

    private: bool


@dataclass(frozen=True, slots=True)
class Repository:
    """A dataset repository and the target of a publish in it: a branch, or a pull request from it (`create_pr`).

    Of one that is only looked at (`to_write` is False), errors do not speak of the right to write.
    """

    hub: Hub
    repo_id: str
    branch: str = MAIN
    create_pr: bool = False
    to_write: bool = True

    @property
    def url(self) -> str:
        """The dataset's page."""
        return f"{self.hub.endpoint}/datasets/{self.repo_id}"

    # -- reading -------------------------------------------------------------------------------------------------------

    def info(self) -> RepoInfo | None:
        """The repository's facts; None where it does not exist, or is not visible with this token."""

        def ask() -> RepoInfo | None:
            try:
                info = self.hub.api().dataset_info(self.repo_id, expand=["private"], timeout=self.hub.read_timeout_s)
            except RepositoryNotFoundError as error:
                if error.response.status_code == HTTPStatus.UNAUTHORIZED and self.hub.token is not None:
                    raise  # the token itself is refused
                return None
            return RepoInfo(private=bool(info.private))

        return self._call(f"looking for {self.repo_id}", ask)

    def head(self, revision: str | None = None) -> str:
        """The newest commit of the branch. Raises NotFoundError (`no_revision`) where there is no such branch."""
        revision = revision or self.branch
        doing = f"asking for {revision} of {self.repo_id}"

        def ask() -> str:
            info = self.hub.api().dataset_info(
                self.repo_id, revision=revision, expand=["sha"], timeout=self.hub.read_timeout_s
            )
            if info.sha is None:
                raise KeyError("sha")
            return info.sha

        with understood(doing):
            return self._call(doing, ask)

    def files(self, revision: str) -> dict[str, RepoFile]:
        """All files at a commit, by path."""
        doing = f"listing the files of {self.repo_id}"
        path = f"{self._wire.api_path}/tree/{quoted(revision)}?recursive=true"
        with understood(doing):
            entries = self._wire.pages(doing, path)
            return {str(entry["path"]): _listed_file(entry) for entry in entries if entry["type"] == "file"}

    def read_head(self, known: Head | None = None) -> Head:
        """The newest commit of the branch with its files; `known` is returned if it is still the newest."""
        sha = self.head()
        return known if known is not None and known.sha == sha else Head(sha, self.files(sha))

    def read(self, path: str, sha: str) -> bytes | None:
        """A file of at most 20 MB at a commit, checked by the hash that the Hub lists; None where there is none."""
        doing = f"reading {path} of {self.repo_id}"
        entries = self._call(
            doing,
            lambda: self.hub.api().get_paths_info(self.repo_id, [path], repo_type="dataset", revision=sha),
        )
        entry = next((entry for entry in entries if isinstance(entry, HubFile)), None)
        if entry is None:
            return None
        if entry.size > MAX_READ_BYTES:
            raise Terminal(doing, f"it has {entry.size} bytes, over {MAX_READ_BYTES}", "Make it smaller on the Hub.")
        source = RepositoryFile(self.hub, self.repo_id, sha, path, entry.size)
        listed = _repo_file(entry)

        def ask() -> bytes:
            data = source.read(0, entry.size)
            if not listed.has_bytes_of(upload_of(data)):
                problem = "its bytes are not those that the Hub lists (hash mismatch)"
                raise Transient(doing, problem, "Run the same command again.", reason="hash_mismatch")
            return data

        return self._call(doing, ask)

    # -- the repository and its refs -----------------------------------------------------------------------------------

    def ensure(self, *, private: bool) -> bool:
        """Create the repository unless it exists; True if it was created. An existing one is not changed.

        Without `private` the visibility is the default of its organisation.
        """

        def make() -> None:
            self.hub.api().create_repo(self.repo_id, repo_type="dataset", private=private or None)

        there = self.info() is not None
        return not there and self._create(f"creating {self.repo_id}", make, lambda: self.info() is not None)

    def has_branch(self) -> bool:
        """True if the branch exists."""
        return self.branch in {ref.name for ref in self._refs().branches}

    def ensure_branch(self) -> bool:
        """Create the branch at the head of `main` unless it exists; True if it was created."""
        if self.has_branch():
            return False
        start = self.head(MAIN)

        def make() -> None:
            self.hub.api().create_branch(self.repo_id, branch=self.branch, revision=start, repo_type="dataset")

        return self._create(f"creating the branch {self.branch} of {self.repo_id}", make, self.has_branch)

    def tags(self) -> dict[str, str]:
        """The commit of each tag, by the tag's name."""
        return {ref.name: ref.target_commit for ref in self._refs().tags}

    def check_tag(self, name: str, sha: str | None) -> None:
        """Raise Terminal (`tag_exists`) for a tag that points to another commit than `sha` (None: to any)."""
        tagged_sha = self.tags().get(name)
        if tagged_sha not in (None, sha):
            raise self._tag_exists(name, tagged_sha or "")

    def tag(self, name: str, sha: str) -> bool:
        """Create a tag on a commit; False if it is there already. It is never moved: Terminal (`tag_exists`)."""

        def make() -> None:
            self.hub.api().create_tag(self.repo_id, tag=name, revision=sha, repo_type="dataset")

        def there() -> bool:
            self.check_tag(name, sha)
            return name in self.tags()

        return self._create(f"tagging {self.repo_id}", make, there)

    def _tag_exists(self, name: str, tagged_sha: str) -> Terminal:
        return Terminal(
            f"tagging {self.repo_id}",
            f"the tag {name} is on another commit already ({tagged_sha[:12]})",
            "Choose another tag, or delete that one on the Hub: readers rely on a tag staying where it is.",
            reason="tag_exists",
        )

    def _refs(self) -> GitRefs:
        return self._call(
            f"asking for the branches of {self.repo_id}",
            lambda: self.hub.api().list_repo_refs(self.repo_id, repo_type="dataset"),
        )

    def _create(self, doing: str, make: Callable[[], None], there: Callable[[], bool]) -> bool:
        """Call `make`; False where the Hub refuses because the object exists, as it does after a lost answer."""

        def ask() -> bool:
            try:
                make()
            except HfHubHTTPError as error:
                if error.response.status_code != HTTPStatus.CONFLICT:
                    raise
                if there():
                    return False
                raise
            return True

        return self._call(doing, ask)

    # -- uploads -------------------------------------------------------------------------------------------------------

    def find(self, sha256: str, size_bytes: int) -> Upload | None:
        """The upload for bytes that the Hub already has; None where it does not have them, or cannot tell."""
        return None if self._target.missing({sha256: size_bytes}) else Upload(size_bytes, sha256)

    def missing(self, uploads: Mapping[str, Upload]) -> tuple[str, ...]:
        """The paths of those `uploads` whose bytes the Hub does not have."""
        sizes = {upload.sha256: upload.size_bytes for upload in uploads.values() if upload.content is None}
        lost = self._target.missing(sizes) if sizes else set()
        return tuple(sorted(path for path, upload in uploads.items() if upload.sha256 in lost))

    def upload(self, file: Path, path: str, *, sha256: str, size_bytes: int) -> Upload:
        """Upload a file's bytes ahead of the commit, unless the Hub has them; the file may be deleted then.

        `path` has the folder and the suffix that the file will have, which decide how the Hub keeps it; its name may
        be another one in the commit. Memory stays flat.
        """
        return self._target.send_file(file, path, sha256=sha256, size_bytes=size_bytes)

    def stage(self, contents: Mapping[str, bytes]) -> dict[str, Upload]:
        """Prepare small files for a commit: only those that the Hub keeps in LFS or Xet are uploaded."""
        if not contents:
            return {}
        large = self._target.large({path: (len(data), data[:SAMPLE_BYTES]) for path, data in contents.items()})
        staged = {path: upload_of(data) for path, data in contents.items()}
        for path in large:
            staged[path] = self._target.send_bytes(contents[path], path, sha256=staged[path].sha256)
        return staged

    @property
    def _target(self) -> Target:
        return Target(self._wire, self.branch, self.create_pr)

    # -- commits -------------------------------------------------------------------------------------------------------

    def post_commit(
        self,
        puts: Mapping[str, Upload],
        deletes: Iterable[str],
        *,
        parent: str,
        message: str,
        description: str = "",
        onto: str | None = None,
        open_pull: bool = False,
    ) -> Commit:
        """Post one commit, once. `onto` is a ref other than the branch; `open_pull` opens a pull request with it.

        Raises the typed error; after a Transient one the commit may have been made all the same.
        """
        body = commit_body(puts, deletes, parent=parent, message=message, description=description)
        return post_commit(self._wire, onto or self.branch, body, open_pull=open_pull)

    def newest(self, onto: str | None = None) -> list[str]:
        """The newest commits of the branch or another ref (one page of them), newest first."""
        doing = f"asking for the commits of {self.repo_id}"
        path = f"{self._wire.api_path}/commits/{quoted(onto or self.branch)}"
        with understood(doing):
            return [str(item["id"]) for item in self._call(doing, lambda: self._wire.ask(doing, "GET", path))]

    @property
    def pulls(self) -> HubPullRequests:
        """The repository's pull requests."""
        return HubPullRequests(self._wire)

    # -- the card ------------------------------------------------------------------------------------------------------

    def check_card(self, content: bytes) -> tuple[str, ...]:
        """Ask the Hub to check a card's front matter; returns its warnings, or a warning that the check failed.

        Raises InvalidRequest (`invalid_card`) with all of the Hub's objections.
        """
        doing = "checking the card"
        body = {"content": content.decode(errors="replace"), "repoType": "dataset"}
        try:
            answer = self._call(doing, lambda: self._post_card(doing, body))
        except InvalidRequest as error:
            if error.reason == "invalid_card":
                raise
            return (_unchecked(error),)
        except (Transient, Terminal) as error:
            return (_unchecked(error),)
        with understood(doing):
            return tuple(str(item["message"]) for item in answer.get("warnings") or ())

    def _post_card(self, doing: str, body: Mapping[str, str]) -> dict[str, list[dict[str, str]]]:
        try:
            found: dict[str, list[dict[str, str]]] = self._wire.ask(doing, "POST", "/api/validate-yaml", json=body)
        except HfHubHTTPError as error:
            if error.response.status_code != HTTPStatus.BAD_REQUEST:
                raise
            fix = "Change the fields of `card` in the request, or the front matter of README.md on the Hub."
            problem = f"the Hub does not take it: {(error.server_message or 'it does not say why').strip()}"
            raise InvalidRequest(doing, problem, fix, reason="invalid_card", field="card", status_code=400) from error
        return found

    @property
    def _wire(self) -> Wire:
        return Wire(self.hub, self.repo_id)

    def _call(self, doing: str, function: Callable[[], Answer]) -> Answer:
        return self.hub.call(doing, function, writing=self.repo_id if self.to_write else "")


def upload_of(data: bytes) -> Upload:
    """An upload whose bytes are part of the commit request."""
    return Upload(len(data), hashlib.sha256(data).hexdigest(), data)


def git_blob_id(data: bytes) -> str:
    """The Git object id of a file with these bytes: the SHA-1 of a header and the content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _repo_file(entry: HubFile) -> RepoFile:
    return RepoFile(entry.size, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)


def _listed_file(entry: Mapping[str, Any]) -> RepoFile:
    lfs = entry.get("lfs")
    return RepoFile(int(entry["size"]), str(lfs["oid"]) if lfs else None, str(entry["oid"]))


def _unchecked(error: HugflowError) -> str:
    return f"the Hub could not be asked to check the card: {error.problem}"
