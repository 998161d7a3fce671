"""Audio that a row gives as a path: resolved against the dataset's own repository, and nowhere else.

Never against this machine's files, another repository or another host, whatever the path says.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

from hugflow.errors import NotFoundError, RowError
from hugflow.hf_client.connection import Hub
from hugflow.hf_client.fetch import read_file


@dataclass(frozen=True, slots=True)
class RepositoryFiles:
    """Reads files of one repository at one commit. `scratch` is where they stand while they are read."""

    hub: Hub
    hf_id: str
    sha: str
    scratch: Path

    def read(self, path: str, shard: str) -> bytes:
        """The bytes of the file that a row in `shard` names by `path`: from the root, or beside the shard.

        Raises RowError (`refused_path`, `missing_file`) and Transient.
        """
        for candidate in self._candidates(path, shard):
            folder = self.scratch / f"file-{hashlib.sha256(candidate.encode()).hexdigest()[:16]}"
            try:
                return read_file(self.hub, self.hf_id, self.sha, candidate, folder)
            except NotFoundError:
                continue
        raise RowError("missing_file", "the repository has no file at the path that the row gives")

    def _candidates(self, path: str, shard: str) -> list[str]:
        own = re.match(rf"hf://datasets/{re.escape(self.hf_id)}(?:@[^/]+)?/", path)
        relative = path[own.end() :] if own else path
        if not own and re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|[/\\~]", relative):
            raise RowError("refused_path", "the row gives its audio as an address or an absolute path")
        found = []
        for base in ("", posixpath.dirname(shard)):
            candidate = posixpath.normpath(posixpath.join(base, relative))
            if not candidate.startswith("..") and candidate not in found:
                found.append(candidate)
        if not found:
            raise RowError("refused_path", "the row gives a path that leads out of the repository")
        return found
