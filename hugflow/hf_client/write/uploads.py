"""Uploads file contents to the Hub ahead of the commit that adds them, and checks that they arrived.

The library sends them, by Xet or by LFS (`HF_HUB_DISABLE_XET` and whether hf_xet is installed decide); what is there
already is not sent.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, constants
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from hugflow.hf_client.errors import HUB_ERRORS, explain_status
from hugflow.hf_client.http import Hub
from hugflow.hf_client.write.endpoints import Wire, quoted, understood
from hugflow.model.errors import Forbidden, HubUnavailable, HugflowError
from hugflow.storage.disk import faults

log = logging.getLogger(__name__)

SAMPLE_BYTES = 512
FILES_AT_ONCE = 256  # the Hub's limit for a question about files to upload
# each failure has gone through six attempts of the library, so that more than two of ours would only send more bytes
_MAX_RETRIES = 1
_LFS = "application/vnd.git-lfs+json"
# answers of a Hub that does not have the address of Xet
_NO_XET = {404, 405, 501}
# a .gitignore is for working copies; it must not exclude files that are published on purpose
_IGNORING_NOTHING = "# published on purpose\n"


@dataclass(frozen=True, slots=True)
class Upload:
    """Uploaded file contents, as a commit refers to them; the path is given in the commit.

    `content` is there only for files that the Hub keeps in Git itself: they travel in the commit. `sent_bytes` is 0 for
    a file that the Hub had before.
    """

    size_bytes: int
    sha256: str
    content: bytes | None = field(default=None, repr=False)
    sent_bytes: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Target:
    """Destination of uploads to a repository: a branch, or a pull request that is yet to be opened."""

    wire: Wire
    branch: str
    create_pr: bool

    @property
    def hub(self) -> Hub:
        """The Hub."""
        return self.wire.hub

    def large(self, files: Mapping[str, tuple[int, bytes]]) -> set[str]:
        """The `files` (path: size and first bytes) that the Hub keeps in LFS or Xet; the others go into the commit."""
        doing = f"asking how {self.wire.repo_id} keeps its files"

        def ask(paths: Sequence[str]) -> list[str]:
            asked = [
                {"path": path, "size": files[path][0], "sample": base64.b64encode(files[path][1]).decode()}
                for path in paths
            ]
            address = f"{self.wire.api_path}/preupload/{quoted(self.branch)}"
            params = {"create_pr": "1"} if self.create_pr else None
            answer = self.wire.call(
                doing, lambda: self.wire.ask(doing, "POST", address, params=params, json={"files": asked})
            )
            modes = {file["path"]: file["uploadMode"] for file in answer["files"]}
            return [path for path in paths if modes[path] == "lfs"]

        with understood(doing):
            found = set(self.wire.ask_in_parts(sorted(files), ask, size=FILES_AT_ONCE))
        # an object store takes no empty file, so that an empty one is never large
        return {path for path in found if files[path][0]}

    def missing(self, objects: Mapping[str, int]) -> set[str]:
        """The `objects` (SHA-256: size) that the Hub does not have for this repository.

        Raises the typed error of an object that it refuses, such as QuotaExceeded.
        """
        doing = f"asking what {self.wire.repo_id} has already"

        def ask(oids: Sequence[str]) -> list[str]:
            body = {
                "operation": "upload",
                "transfers": ["basic", "multipart"],
                "objects": [{"oid": oid, "size": objects[oid]} for oid in oids],
                "hash_algo": "sha256",
                "ref": {"name": self.branch},
            }
            address = f"/datasets/{self.wire.repo_id}.git/info/lfs/objects/batch"
            headers = {"Accept": _LFS, "Content-Type": _LFS}
            answer = self.wire.call(
                doing, lambda: self._unrefused(doing, self.wire.ask(doing, "POST", address, headers=headers, json=body))
            )
            wanted = {item["oid"]: item.get("actions", {}).get("upload") for item in answer["objects"]}
            return [oid for oid in oids if wanted[oid]]

        try:
            with understood(doing):
                return set(self.wire.ask_in_parts(sorted(objects), ask, size=FILES_AT_ONCE))
        except Forbidden:
            # not answered to users who may only open pull requests: Xet accepts their uploads, without known chunks
            if not self.create_pr:
                raise
            return set(objects)

    def _unrefused(self, doing: str, answer: Any) -> Any:
        """Return the answer, or raise the typed error if it says that an object cannot be uploaded."""
        for item in answer["objects"]:
            refusal = item.get("error")
            if refusal:
                raise explain_status(
                    doing,
                    int(refusal["code"]),
                    str(refusal["message"]),
                    has_token=self.hub.token is not None,
                    writing=self.wire.repo_id,
                )
        return answer

    def send_file(self, file: Path, path: str, *, sha256: str, size_bytes: int) -> Upload:
        """Send a file's bytes, unless the Hub has them. `path` only decides how the Hub stores it."""
        with faults(f"reading {file}"), file.open("rb") as opened:
            sample = opened.read(SAMPLE_BYTES)
        if path not in self.large({path: (size_bytes, sample)}):
            with faults(f"reading {file}"):
                return Upload(size_bytes, sha256, file.read_bytes(), size_bytes)
        return self._send(file, path, Upload(size_bytes, sha256))

    def send_bytes(self, data: bytes, path: str, *, sha256: str) -> Upload:
        """Send bytes that the Hub keeps in LFS or Xet, unless it has them."""
        return self._send(data, path, Upload(len(data), sha256))

    def _send(self, source: Path | bytes, path: str, upload: Upload) -> Upload:
        doing = f"uploading {path} to {self.wire.repo_id}"
        sent = 0

        def attempt() -> Upload:
            nonlocal sent
            # requested again for each attempt: upload URLs expire, and a lost answer may have been a success
            if self.missing({upload.sha256: upload.size_bytes}):
                sent = upload.size_bytes
                self._preupload(doing, source, path)
            return replace(upload, sent_bytes=sent)

        patient = replace(self.hub, max_retries=min(self.hub.max_retries, _MAX_RETRIES))
        return patient.call(doing, attempt, writing=self.wire.repo_id)

    def _preupload(self, doing: str, source: Path | bytes, path: str) -> None:
        try:
            self.hub.api().preupload_lfs_files(
                self.wire.repo_id,
                [CommitOperationAdd(path, source)],
                repo_type="dataset",
                revision=self.branch,
                create_pr=self.create_pr,
                num_threads=1,
                gitignore_content=_IGNORING_NOTHING,
            )
        except ConnectionError:
            # hf_xet's, whatever it was: a refusal of the Hub says more when it is asked without hf_xet
            if constants.HF_HUB_DISABLE_XET or self._has_xet(doing):
                raise
            log.warning("%s has no Xet: uploading by LFS, as with HF_HUB_DISABLE_XET=1", self.hub.endpoint)
            # the library decides by this, for the whole process, and every Hub takes uploads by LFS
            constants.HF_HUB_DISABLE_XET = True
            self._preupload(doing, source, path)
        except HUB_ERRORS:
            raise
        except OSError as error:
            if error.errno is not None:
                with faults(f"reading {path}"):
                    raise
            raise self._xet_error(doing, error) from error
        except (RuntimeError, ValueError) as error:
            # the library's wrappers around the cause
            raise self.hub.explain(doing, error, writing=self.wire.repo_id) from error

    def _has_xet(self, doing: str) -> bool:
        """Ask for a token of Xet as hf_xet does; False if the Hub does not know the address. Raises other refusals."""
        path = f"{self.wire.api_path}/xet-write-token/{quoted(self.branch)}"
        try:
            self.wire.ask(doing, "GET", path, params={"create_pr": "1"} if self.create_pr else None)
        except (RepositoryNotFoundError, RevisionNotFoundError):
            raise
        except HfHubHTTPError as error:
            if error.response.status_code not in _NO_XET:
                raise
            return False
        return True

    def _xet_error(self, doing: str, error: OSError) -> HugflowError:
        if isinstance(error, PermissionError):
            has_token = self.hub.token is not None
            return explain_status(doing, 401, "", has_token=has_token, writing=self.wire.repo_id)
        return HubUnavailable(doing, f"the upload broke off ({type(error).__name__})", "Run the same command again.")
