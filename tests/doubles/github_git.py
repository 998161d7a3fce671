"""Answers of the GitHub double about Git objects."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from tests.doubles.git_objects import FOLDER, SUBMODULE, Commit, Entry
from tests.doubles.github_people import Json, People
from tests.doubles.github_state import Push


class GitShapes(People):
    """The forms of commits, references, trees and blobs."""

    def commit(self, commit: Commit) -> Json:
        """A commit with its place in the repository."""
        url = f"{self.repo_url}/commits/{commit.sha}"
        people = {
            role: {"name": name, "email": email, "date": commit.date} for role, (name, email) in commit.people.items()
        }
        logins = {role: self.state.login_of(person["email"]) for role, person in people.items()}
        return {
            "sha": commit.sha,
            "node_id": f"C_{commit.sha}",
            "url": url,
            "html_url": f"{self.repo_web}/commit/{commit.sha}",
            "comments_url": f"{url}/comments",
            "commit": {
                **people,
                "message": commit.message,
                "comment_count": 0,
                "url": f"{self.repo_url}/git/commits/{commit.sha}",
                "tree": {"sha": commit.tree, "url": f"{self.repo_url}/git/trees/{commit.tree}"},
            },
            # null where GitHub knows no account with this address
            **{role: self.user(login) if login else None for role, login in logins.items()},
            "parents": [{"sha": parent, "url": f"{self.repo_url}/commits/{parent}"} for parent in commit.parents],
        }

    def comparison(self, base: Commit, head: Commit, ahead: list[Commit], shown: list[Commit], behind: int) -> Json:
        """A comparison of two commits; `shown` is one page of the commits `ahead`."""
        web = f"{self.repo_web}/compare/{base.sha}...{head.sha}"
        merge_base = self.state.objects.commits[self.state.objects.merge_base(base.sha, head.sha)]
        status = ("diverged" if behind else "ahead") if ahead else ("behind" if behind else "identical")
        return {
            "url": f"{self.repo_url}/compare/{base.sha}...{head.sha}",
            "html_url": web,
            "permalink_url": web,
            "diff_url": f"{web}.diff",
            "patch_url": f"{web}.patch",
            "base_commit": self.commit(base),
            "merge_base_commit": self.commit(merge_base),
            "status": status,
            "ahead_by": len(ahead),
            "behind_by": behind,
            "total_commits": len(ahead),
            "commits": [self.commit(commit) for commit in shown],
            "files": [],
        }

    def activity(self, push: Push) -> Json:
        """A push to a branch."""
        return {
            "id": push.id,
            "node_id": f"PSH_{push.id}",
            "before": push.before or "0" * 40,
            "after": push.after,
            "ref": f"refs/heads/{push.branch}",
            "timestamp": push.at,
            "activity_type": push.kind,
            "actor": self.user(push.actor),
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
