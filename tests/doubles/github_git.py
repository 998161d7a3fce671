"""The GitHub double's answers about Git's objects."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from tests.doubles.git_objects import FOLDER, SUBMODULE, Commit, Entry
from tests.doubles.github_people import Json, People


class GitShapes(People):
    """The forms of commits, references, trees and blobs."""

    def commit(self, commit: Commit) -> Json:
        """A commit with its place in the repository."""
        url = f"{self.repo_url}/commits/{commit.sha}"
        person = {"name": commit.author, "email": f"{commit.author}@example.org", "date": commit.date}
        return {
            "sha": commit.sha,
            "node_id": f"C_{commit.sha}",
            "url": url,
            "html_url": f"{self.repo_web}/commit/{commit.sha}",
            "comments_url": f"{url}/comments",
            "commit": {
                "author": person,
                "committer": person,
                "message": commit.message,
                "comment_count": 0,
                "url": f"{self.repo_url}/git/commits/{commit.sha}",
                "tree": {"sha": commit.tree, "url": f"{self.repo_url}/git/trees/{commit.tree}"},
            },
            "author": self.user(commit.author),
            "committer": self.user(commit.author),
            "parents": [{"sha": parent, "url": f"{self.repo_url}/commits/{parent}"} for parent in commit.parents],
        }

    def git_commit(self, commit: Commit) -> Json:
        """A commit as a Git object."""
        inner = self.commit(commit)["commit"]
        return {
            "sha": commit.sha,
            "node_id": f"C_{commit.sha}",
            "url": f"{self.repo_url}/git/commits/{commit.sha}",
            "html_url": f"{self.repo_web}/commit/{commit.sha}",
            **{key: inner[key] for key in ("author", "committer", "message", "tree")},
            "parents": [
                {
                    "sha": parent,
                    "url": f"{self.repo_url}/git/commits/{parent}",
                    "html_url": f"{self.repo_web}/commit/{parent}",
                }
                for parent in commit.parents
            ],
            "verification": {
                "verified": False,
                "reason": "unsigned",
                "signature": None,
                "payload": None,
                "verified_at": None,
            },
        }

    def ref(self, name: str, sha: str) -> Json:
        """A branch as a Git reference."""
        return {
            "ref": f"refs/{name}",
            "node_id": f"REF_{name}",
            "url": f"{self.repo_url}/git/refs/{name}",
            "object": {"type": "commit", "sha": sha, "url": f"{self.repo_url}/git/commits/{sha}"},
        }

    def tree(self, sha: str, entries: Iterable[tuple[str, Entry]]) -> Json:
        """A tree and its entries."""
        return {
            "sha": sha,
            "url": f"{self.repo_url}/git/trees/{sha}",
            "truncated": False,
            "tree": [self._entry(path, entry) for path, entry in entries],
        }

    def _entry(self, path: str, entry: Entry) -> Json:
        kind = {FOLDER: "tree", SUBMODULE: "commit"}.get(entry.mode, "blob")
        size = {"size": len(self.state.objects.blobs[entry.sha])} if kind == "blob" else {}
        url = {} if kind == "commit" else {"url": f"{self.repo_url}/git/{kind}s/{entry.sha}"}
        return {"path": path, "mode": entry.mode, "type": kind, "sha": entry.sha, **size, **url}

    def blob(self, sha: str) -> Json:
        """A blob, base64."""
        content = self.state.objects.blobs[sha]
        return {
            "sha": sha,
            "node_id": f"B_{sha}",
            "size": len(content),
            "url": f"{self.repo_url}/git/blobs/{sha}",
            "content": base64.encodebytes(content).decode(),
            "encoding": "base64",
        }
