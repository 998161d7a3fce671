"""Answers of the GitHub double about pull requests, issues and comments; `Shapes` has the forms of all answers."""

from __future__ import annotations

from urllib.parse import quote

from tests.doubles.git_objects import Change
from tests.doubles.github_checks import CheckShapes
from tests.doubles.github_git import GitShapes
from tests.doubles.github_people import AGES_AGO, Json, number_of
from tests.doubles.github_state import Comment, Issue, Review


class Shapes(GitShapes, CheckShapes):
    """The forms of pull requests, issues and comments, and by inheritance all others."""

    def pull(self, number: int) -> Json:
        """A pull request, in its full form."""
        state, pull, issue = self.state, self.state.pulls[number], self.state.issues[number]
        changes = state.pull_changes(number)
        merged = pull.merged_as is not None
        fork = pull.fork or state.owner
        return {
            **self._pull_links(number),
            "id": number,
            "node_id": f"PR_{number}",
            "number": number,
            "state": issue.state,
            "locked": False,
            "title": issue.title,
            "user": self.user(issue.user),
            "body": issue.body,
            "labels": [self.label(name) for name in issue.labels],
            "milestone": None,
            "assignee": None,
            "auto_merge": None,
            "draft": False,
            "created_at": issue.created_at,
            "updated_at": issue.created_at,
            "closed_at": issue.created_at if issue.state == "closed" else None,
            "merged_at": issue.created_at if merged else None,
            "merge_commit_sha": pull.merged_as,
            "head": self._side(fork, pull.branch, state.pull_head(number)),
            "base": self._side(state.owner, pull.base, state.pull_base(number)),
            "author_association": "MEMBER" if state.users.get(issue.user) in ("admin", "write") else "NONE",
            "merged": merged,
            "mergeable": None if merged else True,
            "mergeable_state": "clean",
            "merged_by": self.user(issue.user) if merged else None,
            "comments": len(state.comments_of(number)),
            "review_comments": 0,
            "maintainer_can_modify": False,
            "commits": len(state.pull_commits(number)),
            "additions": len(changes),
            "deletions": 0,
            "changed_files": len(changes),
        }

    def _pull_links(self, number: int) -> Json:
        url, issue = f"{self.repo_url}/pulls/{number}", f"{self.repo_url}/issues/{number}"
        web = f"{self.repo_web}/pull/{number}"
        targets = {
            "self": url,
            "html": web,
            "issue": issue,
            "comments": f"{issue}/comments",
            "review_comments": f"{url}/comments",
            "review_comment": f"{self.repo_url}/pulls/comments{{/number}}",
            "commits": f"{url}/commits",
            "statuses": f"{self.repo_url}/statuses/{self.state.pull_head(number)}",
        }
        return {
            "url": url,
            "html_url": web,
            "diff_url": f"{web}.diff",
            "patch_url": f"{web}.patch",
            "issue_url": issue,
            "comments_url": targets["comments"],
            "commits_url": targets["commits"],
            "statuses_url": targets["statuses"],
            "review_comments_url": targets["review_comments"],
            "review_comment_url": targets["review_comment"],
            "_links": {name: {"href": href} for name, href in targets.items()},
        }

    def _side(self, owner: str, branch: str, sha: str) -> Json:
        repo = self.repository()
        if owner != self.state.owner:
            name = f"{owner}/{self.state.name}"
            repo |= {"full_name": name, "owner": self.user(owner), "fork": True, "id": number_of(name)}
        return {"label": f"{owner}:{branch}", "ref": branch, "sha": sha, "user": self.user(owner), "repo": repo}

    def file(self, change: Change, sha: str) -> Json:
        """A changed file of a pull request."""
        place = f"{self.repo_web}/blob/{sha}/{change.path}"
        moved = {"previous_filename": change.previous} if change.previous else {}
        return {
            "sha": change.sha,
            "filename": change.path,
            "status": change.status,
            "additions": 1,
            "deletions": 0,
            "changes": 1,
            "blob_url": place,
            "raw_url": place,
            "contents_url": f"{self.repo_url}/contents/{change.path}?ref={sha}",
            "patch": "@@",
            **moved,
        }

    def review(self, number: int, review: Review) -> Json:
        """A review of a pull request."""
        url, web = f"{self.repo_url}/pulls/{number}", f"{self.repo_web}/pull/{number}"
        return {
            "id": review.id,
            "node_id": f"PRR_{review.id}",
            "user": self.user(review.user),
            "body": "",
            "state": review.state,
            "commit_id": review.commit_id,
            "submitted_at": review.submitted_at,
            "html_url": f"{web}#review-{review.id}",
            "pull_request_url": url,
            "author_association": "MEMBER",
            "_links": {"html": {"href": web}, "pull_request": {"href": url}},
        }

    def issue(self, issue: Issue) -> Json:
        """An issue."""
        url = f"{self.repo_url}/issues/{issue.number}"
        return {
            "id": issue.number,
            "node_id": f"I_{issue.number}",
            "number": issue.number,
            "url": url,
            "repository_url": self.repo_url,
            "html_url": f"{self.repo_web}/issues/{issue.number}",
            "labels_url": f"{url}/labels{{/name}}",
            "comments_url": f"{url}/comments",
            "events_url": f"{url}/events",
            "state": issue.state,
            "title": issue.title,
            "body": issue.body,
            "user": self.user(issue.user),
            "labels": [self.label(name) for name in issue.labels],
            "assignee": None,
            "assignees": [],
            "milestone": None,
            "locked": False,
            "comments": len(self.state.comments_of(issue.number)),
            "closed_at": issue.created_at if issue.state == "closed" else None,
            "created_at": issue.created_at,
            "updated_at": issue.created_at,
            "author_association": "MEMBER",
        }

    def comment(self, comment: Comment) -> Json:
        """A comment."""
        return {
            "id": comment.id,
            "node_id": f"IC_{comment.id}",
            "url": f"{self.repo_url}/issues/comments/{comment.id}",
            "html_url": f"{self.repo_web}/pull/{comment.issue}#issuecomment-{comment.id}",
            "issue_url": f"{self.repo_url}/issues/{comment.issue}",
            "body": comment.body,
            "user": self.user(comment.user),
            "created_at": comment.created_at,
            "updated_at": comment.updated_at,
            "author_association": "MEMBER",
        }

    def reaction(self, number: int, login: str, content: str) -> Json:
        """A reaction to a comment."""
        return {
            "id": number,
            "node_id": f"REA_{number}",
            "user": self.user(login),
            "content": content,
            "created_at": AGES_AGO,
        }

    def label(self, name: str) -> Json:
        """A label."""
        return {
            "id": number_of(name),
            "node_id": f"LA_{number_of(name)}",
            "url": f"{self.repo_url}/labels/{quote(name)}",
            "name": name,
            "description": None,
            "color": self.state.labels.get(name, "ededed"),
            "default": False,
        }
