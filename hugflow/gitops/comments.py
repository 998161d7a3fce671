"""Comments of our account on a pull request: one that is edited in place, and one for each final state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hugflow.gitops.client import GitHub, GitHubRefused

if TYPE_CHECKING:
    from github.IssueComment import IssueComment

_GONE = (403, 404, 410)


class Conversation:
    """Our comments on one pull request: written by our own account, and beginning with the marker.

    Anybody can write a marker, and a bot may quote one, so both are checked. All calls can be repeated after a lost
    answer: they look for an existing comment first.
    """

    def __init__(self, github: GitHub, number: int) -> None:
        self._github = github
        self._number = number
        self._known: dict[str, tuple[IssueComment, str]] = {}

    def upsert(self, marker: str, body: str) -> None:
        """Replace the comment that begins with `marker` by `body`; create it when it does not exist or was deleted."""
        comment, said = self._known.get(marker, (None, ""))
        comment = comment or self._find(marker)
        if comment and said == body:
            return
        if comment is None or not self._edit(comment, body):
            comment = self._create(body)
        self._known[marker] = (comment, body)

    def add_once(self, marker: str, body: str) -> None:
        """Create a comment that begins with `marker`, unless one exists."""
        if marker not in self._known:
            comment = self._find(marker) or self._create(body)
            self._known[marker] = (comment, body)

    def _find(self, marker: str) -> IssueComment | None:
        ours = self._github.login()
        doing = f"reading the comments of pull request #{self._number}"

        def request() -> IssueComment | None:
            for comment in self._github.issue(self._number).get_comments():
                author = comment.user.login if comment.user else ""
                if author == ours and (comment.body or "").startswith(marker):
                    return comment
            return None

        return self._github.read(doing, request)

    def _edit(self, comment: IssueComment, body: str) -> bool:
        """Edit the comment; return False when it no longer exists."""
        try:
            self._github.write(f"editing our comment on #{self._number}", lambda: comment.edit(body))
        except GitHubRefused as error:
            if error.status in _GONE:
                return False
            raise
        return True

    def _create(self, body: str) -> IssueComment:
        return self._github.write(
            f"commenting on pull request #{self._number}", lambda: self._github.issue(self._number).create_comment(body)
        )
