"""Handlers of the GitHub double for each address that Hugflow uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.doubles.git_objects import Entry
from tests.doubles.github_json import Shapes
from tests.doubles.github_state import CheckRun, GitHubState, Status, Token
from tests.doubles.http import Request, Response

Handler = Callable[[Request, Token], Response]
MAX_COMMENT = 65_536
MAX_SUMMARY = 65_535
MAX_ANNOTATIONS = 50
MAX_STATUS_DESCRIPTION = 140
MAX_PULL_FILES = 3_000


class GitHubError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.errors = status, message, errors


def not_found() -> GitHubError:
    """The error for whatever is not there."""
    return GitHubError(404, "Not Found")


def invalid(message: str) -> GitHubError:
    """The error for a body that GitHub refuses."""
    return GitHubError(
        422, "Validation Failed", [{"resource": "x", "field": "x", "code": "custom", "message": message}]
    )


class Routes:
    """The handlers; `paged` and the URLs are the server's."""

    def __init__(self, state: GitHubState, shapes: Callable[[], Shapes], paged: Callable[..., Response]) -> None:
        self.state, self._shapes, self._paged = state, shapes, paged

    @property
    def shapes(self) -> Shapes:
        """The forms of the answers, with the server's address in them."""
        return self._shapes()

    def all(self) -> list[tuple[str, str, str | None, Handler]]:
        """Method, address, the permission that a token needs, and the handler."""
        repo = "/repos/{owner}/{repo}"
        return [
            ("GET", "/user", None, self.viewer),
            ("GET", "/rate_limit", None, self.rate_limit),
            ("GET", repo, None, self.repository),
            ("GET", f"{repo}/collaborators/{{login}}/permission", None, self.permission),
            ("GET", f"{repo}/pulls/{{number}}", None, self.pull),
            ("GET", f"{repo}/pulls/{{number}}/files", None, self.pull_files),
            ("GET", f"{repo}/pulls/{{number}}/reviews", None, self.reviews),
            ("PUT", f"{repo}/pulls/{{number}}/merge", "contents", self.merge),
            ("GET", f"{repo}/commits/{{sha}}/pulls", None, self.pulls_of_commit),
            ("GET", f"{repo}/commits/{{sha}}/statuses", None, self.statuses),
            ("GET", f"{repo}/commits/{{sha}}/check-runs", None, self.check_runs),
            ("GET", f"{repo}/commits/{{sha}}", None, self.commit),
            ("GET", f"{repo}/commits", None, self.commits),
            ("GET", f"{repo}/compare/{{basehead}}", None, self.compare),
            ("GET", f"{repo}/activity", None, self.activity),
            ("GET", f"{repo}/git/trees/{{sha}}", None, self.tree),
            ("GET", f"{repo}/git/blobs/{{sha}}", None, self.blob),
            ("GET", f"{repo}/git/commits/{{sha}}", None, self.git_commit),
            ("GET", f"{repo}/git/ref/{{ref*}}", None, self.ref),
            ("POST", f"{repo}/git/trees", "contents", self.create_tree),
            ("POST", f"{repo}/git/commits", "contents", self.create_commit),
            ("PATCH", f"{repo}/git/refs/{{ref*}}", "contents", self.update_ref),
            ("POST", f"{repo}/statuses/{{sha}}", "statuses", self.create_status),
            ("POST", f"{repo}/check-runs", "checks", self.create_check_run),
            ("PATCH", f"{repo}/check-runs/{{id}}", "checks", self.update_check_run),
            ("GET", f"{repo}/issues", None, self.issues),
            ("POST", f"{repo}/issues", "issues", self.create_issue),
            ("GET", f"{repo}/issues/{{number}}", None, self.issue),
            ("PATCH", f"{repo}/issues/{{number}}", "issues", self.edit_issue),
            ("GET", f"{repo}/issues/{{number}}/comments", None, self.comments),
            ("POST", f"{repo}/issues/{{number}}/comments", "pull_requests", self.create_comment),
            ("PATCH", f"{repo}/issues/comments/{{id}}", "pull_requests", self.edit_comment),
            ("POST", f"{repo}/issues/comments/{{id}}/reactions", "pull_requests", self.react),
            ("GET", f"{repo}/issues/{{number}}/labels", None, self.labels),
            ("POST", f"{repo}/issues/{{number}}/labels", "pull_requests", self.add_labels),
            ("DELETE", f"{repo}/issues/{{number}}/labels/{{name}}", "pull_requests", self.remove_label),
            ("POST", f"{repo}/actions/workflows/{{workflow}}/dispatches", "actions", self.dispatch),
            ("GET", f"{repo}/actions/workflows/{{workflow}}/runs", None, self.runs),
            ("POST", f"{repo}/actions/runs/{{id}}/cancel", "actions", self.cancel),
            ("POST", f"{repo}/dispatches", "contents", self.repository_dispatch),
        ]

    # -- people and the repository

    def viewer(self, _: Request, token: Token) -> Response:
        if token.bot:
            raise GitHubError(403, "Resource not accessible by integration")
        return Response(200, self.shapes.viewer(token.login))

    def rate_limit(self, _: Request, __: Token) -> Response:
        limit = {"limit": 5000, "used": 1, "remaining": 4999, "reset": 4_102_444_800}
        return Response(200, {"resources": {"core": limit, "search": limit}, "rate": limit})

    def repository(self, _: Request, __: Token) -> Response:
        return Response(200, self.shapes.repository())

    def permission(self, request: Request, _: Token) -> Response:
        login = request.params["login"]
        if login not in self.state.users:
            raise GitHubError(404, f"{login} is not a user")
        return Response(200, self.shapes.permission(login))

    # -- pull requests

    def pull(self, request: Request, _: Token) -> Response:
        return Response(200, self.shapes.pull(self._pull_number(request)))

    def pull_files(self, request: Request, _: Token) -> Response:
        number = self._pull_number(request)
        sha = self.state.pull_head(number)
        files = [self.shapes.file(change, sha) for change in self.state.pull_changes(number)]
        return self._paged(request, files[:MAX_PULL_FILES])

    def reviews(self, request: Request, _: Token) -> Response:
        number = self._pull_number(request)
        return self._paged(request, [self.shapes.review(number, each) for each in self.state.pulls[number].reviews])

    def merge(self, request: Request, token: Token) -> Response:
        number = self._pull_number(request)
        if self.state.issues[number].state != "open":
            raise GitHubError(405, "Pull Request is not mergeable")
        if request.json.get("sha", self.state.pull_head(number)) != self.state.pull_head(number):
            raise GitHubError(409, "Head branch was modified. Review and try the merge again.")
        sha = self.state.merge(number, request.json.get("commit_message", "Merge"), token.login)
        return Response(200, {"sha": sha, "merged": True, "message": "Pull Request successfully merged"})

    def pulls_of_commit(self, request: Request, _: Token) -> Response:
        sha = request.params["sha"]
        numbers = [n for n, pull in self.state.pulls.items() if sha in (pull.merged_as, self.state.pull_head(n))]
        return self._paged(request, [self.shapes.pull(number) for number in numbers])

    # -- Git

    def commit(self, request: Request, _: Token) -> Response:
        return Response(200, self.shapes.commit(self._commit(request.params["sha"])))

    def commits(self, request: Request, _: Token) -> Response:
        sha = request.query.get("sha", self.state.default_branch)
        author = request.query.get("author")
        history = [self.state.objects.commits[each] for each in self.state.objects.history(self._commit(sha).sha)]
        found = [each for each in history if author in (None, *each.people["author"])]
        return self._paged(request, [self.shapes.commit(commit) for commit in found])

    def compare(self, request: Request, _: Token) -> Response:
        base, head = (self.state.commit_of(name) for name in request.params["basehead"].split("..."))
        if base is None or head is None:
            raise not_found()
        objects = self.state.objects
        if not set(objects.history(base.sha)) & set(objects.history(head.sha)):
            raise GitHubError(404, "No common ancestor between the two commits")
        ahead, behind = objects.between(base.sha, head.sha), len(objects.between(head.sha, base.sha))
        page = self._paged(request, ahead)
        return Response(200, self.shapes.comparison(base, head, ahead, page.body, behind), page.headers)

    def activity(self, request: Request, _: Token) -> Response:
        branch = request.query.get("ref", "").removeprefix("refs/heads/")
        found = [
            self.shapes.activity(push)
            for push in reversed(self.state.pushes)
            if push.owner == request.params["owner"] and branch in ("", push.branch)
        ]
        return self._paged(request, found)

    def git_commit(self, request: Request, _: Token) -> Response:
        return Response(200, self.shapes.git_commit(self._commit(request.params["sha"])))

    def tree(self, request: Request, _: Token) -> Response:
        commit = self.state.commit_of(request.params["sha"])
        sha = commit.tree if commit else request.params["sha"]
        if sha not in self.state.objects.trees:
            raise not_found()
        if "recursive" in request.query:
            return Response(200, self.shapes.tree(sha, self.state.objects.walk(sha)))
        return Response(200, self.shapes.tree(sha, sorted(self.state.objects.trees[sha].items())))

    def blob(self, request: Request, _: Token) -> Response:
        if request.params["sha"] not in self.state.objects.blobs:
            raise not_found()
        return Response(200, self.shapes.blob(request.params["sha"]))

    def ref(self, request: Request, _: Token) -> Response:
        name = request.params["ref"]
        return Response(200, self.shapes.ref(name, self._commit(name).sha))

    def create_tree(self, request: Request, _: Token) -> Response:
        base = next((c for c in self.state.objects.commits.values() if c.tree == request.json["base_tree"]), None)
        if base is None:
            raise not_found()
        files = dict(base.files)
        for entry in request.json["tree"]:
            if entry["sha"] is None:
                if files.pop(entry["path"], None) is None:
                    raise GitHubError(422, "GitRPC::BadObjectState")
            else:
                files[entry["path"]] = Entry(entry["mode"], entry["sha"])
        staged = self.state.objects.add_commit(files, (), "staged", "nobody", "")
        listing = sorted(self.state.objects.trees[staged.tree].items())
        return Response(201, self.shapes.tree(staged.tree, listing))

    def create_commit(self, request: Request, token: Token) -> Response:
        body = request.json
        tree = next((c for c in self.state.objects.commits.values() if c.tree == body["tree"]), None)
        if tree is None:
            raise GitHubError(422, "Tree SHA does not exist")
        commit = self.state.objects.add_commit(
            tree.files, tuple(body.get("parents", ())), body["message"], token.login, self.state.now()
        )
        return Response(201, self.shapes.git_commit(commit))

    def update_ref(self, request: Request, _: Token) -> Response:
        branch, new = request.params["ref"].removeprefix("heads/"), request.json["sha"]
        if self.state.head(branch) not in set(self.state.objects.history(new)) and not request.json.get("force"):
            raise GitHubError(422, "Update is not a fast forward")
        self.state.refs[self.state.owner, branch] = new
        return Response(200, self.shapes.ref(request.params["ref"], new))

    # -- checks and statuses

    def statuses(self, request: Request, _: Token) -> Response:
        found = self.state.statuses_of(self._commit(request.params["sha"]).sha)
        return self._paged(request, [self.shapes.status(status) for status in found])

    def create_status(self, request: Request, token: Token) -> Response:
        body = request.json
        if len(body.get("description") or "") > MAX_STATUS_DESCRIPTION:
            raise invalid("description is too long (maximum is 140 characters)")
        status = Status(
            self.state.new_id(),
            self._commit(request.params["sha"]).sha,
            body["state"],
            body.get("context", "default"),
            body.get("description") or "",
            body.get("target_url"),
            token.login,
            self.state.now(),
        )
        self.state.statuses.append(status)
        return Response(201, self.shapes.status(status))

    def check_runs(self, request: Request, _: Token) -> Response:
        name = request.query.get("check_name")
        found = [run for run in self.state.checks_of(request.params["sha"]) if name in (None, run.name)]
        shown = [self.shapes.check_run(run) for run in found]
        return self._paged(request, shown, wrap=("check_runs", len(shown)))

    def create_check_run(self, request: Request, _: Token) -> Response:
        body = request.json
        run = CheckRun(
            id=self.state.new_id(),
            name=body["name"],
            head_sha=self._commit(body["head_sha"]).sha,
            status=body.get("status", "queued"),
            conclusion=None,
            external_id=body.get("external_id", ""),
            details_url=body.get("details_url"),
            title="",
            summary="",
            text="",
            started_at=self.state.now(),
            completed_at=None,
        )
        self._change_check_run(run, body)
        self.state.check_runs[run.id] = run
        return Response(201, self.shapes.check_run(run))

    def update_check_run(self, request: Request, _: Token) -> Response:
        run = self.state.check_runs.get(int(request.params["id"]))
        if run is None:
            raise not_found()
        self._change_check_run(run, request.json)
        return Response(200, self.shapes.check_run(run))

    def _change_check_run(self, run: CheckRun, body: dict[str, Any]) -> None:
        output = body.get("output", {})
        annotations = output.get("annotations", [])
        if len(annotations) > MAX_ANNOTATIONS:
            raise invalid("Only 50 annotations are allowed per request.")
        if any("start_column" in each and each["start_line"] != each["end_line"] for each in annotations):
            raise invalid("start_column and end_column need start_line and end_line to be the same")
        if len(output.get("summary", "")) > MAX_SUMMARY or len(output.get("text", "")) > MAX_SUMMARY:
            raise invalid("Only 65535 characters are allowed")
        run.annotations += annotations
        run.title, run.summary = output.get("title", run.title), output.get("summary", run.summary)
        run.text = output.get("text", run.text)
        run.status, run.conclusion = body.get("status", run.status), body.get("conclusion", run.conclusion)
        if run.conclusion:
            run.status, run.completed_at = "completed", self.state.now()

    # -- issues, comments, labels

    def issues(self, request: Request, _: Token) -> Response:
        state, labels = (
            request.query.get("state", "open"),
            set(filter(None, request.query.get("labels", "").split(","))),
        )
        found = [
            issue
            for issue in reversed(self.state.issues.values())
            if state in ("all", issue.state) and labels <= set(issue.labels) and issue.number not in self.state.pulls
        ]
        return self._paged(request, [self.shapes.issue(issue) for issue in found])

    def issue(self, request: Request, _: Token) -> Response:
        return Response(200, self.shapes.issue(self.state.issues[self._number(request)]))

    def create_issue(self, request: Request, token: Token) -> Response:
        body = request.json
        number = self.state.open_issue(body["title"], body.get("body", ""), token.login, body.get("labels", ()))
        return Response(201, self.shapes.issue(self.state.issues[number]))

    def edit_issue(self, request: Request, _: Token) -> Response:
        issue = self.state.issues[self._number(request)]
        issue.state, issue.body = request.json.get("state", issue.state), request.json.get("body", issue.body)
        return Response(200, self.shapes.issue(issue))

    def comments(self, request: Request, _: Token) -> Response:
        found = self.state.comments_of(self._number(request))
        return self._paged(request, [self.shapes.comment(comment) for comment in found])

    def create_comment(self, request: Request, token: Token) -> Response:
        body = self._comment_body(request)
        comment = self.state.add_comment(self._number(request), token.login, body)
        return Response(201, self.shapes.comment(comment))

    def edit_comment(self, request: Request, token: Token) -> Response:
        comment = self.state.comments.get(int(request.params["id"]))
        if comment is None:
            raise not_found()
        if comment.user != token.login:
            raise GitHubError(403, "Resource not accessible by integration")
        comment.body, comment.updated_at = self._comment_body(request), self.state.now()
        return Response(200, self.shapes.comment(comment))

    def _comment_body(self, request: Request) -> str:
        body: str = request.json["body"]
        if len(body) > MAX_COMMENT:
            raise invalid("body is too long (maximum is 65536 characters)")
        return body

    def react(self, request: Request, token: Token) -> Response:
        comment = self.state.comments.get(int(request.params["id"]))
        if comment is None:
            raise not_found()
        comment.reactions.append((token.login, request.json["content"]))
        return Response(201, self.shapes.reaction(self.state.new_id(), token.login, request.json["content"]))

    def labels(self, request: Request, _: Token) -> Response:
        return self._paged(request, self._labels_of(self._number(request)))

    def add_labels(self, request: Request, _: Token) -> Response:
        number = self._number(request)
        labels, body = self.state.issues[number].labels, request.json
        wanted = body["labels"] if isinstance(body, dict) else body
        labels += [name for name in wanted if name not in labels]
        return Response(200, self._labels_of(number))

    def remove_label(self, request: Request, _: Token) -> Response:
        number, name = self._number(request), request.params["name"]
        if name not in self.state.issues[number].labels:
            raise GitHubError(404, "Label does not exist")
        self.state.issues[number].labels.remove(name)
        return Response(200, self._labels_of(number))

    def _labels_of(self, number: int) -> list[dict[str, Any]]:
        return [self.shapes.label(name) for name in self.state.issues[number].labels]

    # -- Actions

    def dispatch(self, request: Request, _: Token) -> Response:
        body, workflow = request.json, request.params["workflow"]
        if self.state.commit_of(body["ref"]) is None:
            raise GitHubError(422, f"No ref found for: {body['ref']}")
        if any(not isinstance(value, str) for value in body.get("inputs", {}).values()):
            raise GitHubError(422, "inputs must be strings")
        run = self.state.add_run(workflow, workflow, status="queued")
        self.state.runs[run].inputs = body.get("inputs", {})
        return Response(204)

    def runs(self, request: Request, _: Token) -> Response:
        status = request.query.get("status")
        found = [
            self.shapes.run(run)
            for run in reversed(self.state.runs.values())
            if run.workflow == request.params["workflow"] and status in (None, run.status)
        ]
        return self._paged(request, found, wrap=("workflow_runs", len(found)))

    def cancel(self, request: Request, _: Token) -> Response:
        run = self.state.runs.get(int(request.params["id"]))
        if run is None:
            raise not_found()
        if run.status == "completed":
            raise GitHubError(409, "Cannot cancel a workflow run that is completed.")
        run.status, run.conclusion = "completed", "cancelled"
        return Response(202, {})

    def repository_dispatch(self, request: Request, _: Token) -> Response:
        self.state.repository_dispatches.append(request.json)
        return Response(204)

    # -- what the routes look up

    def _number(self, request: Request) -> int:
        number = int(request.params["number"])
        if number not in self.state.issues:
            raise not_found()
        return number

    def _pull_number(self, request: Request) -> int:
        number = self._number(request)
        if number not in self.state.pulls:
            raise not_found()
        return number

    def _commit(self, ref: str) -> Any:
        commit = self.state.commit_of(ref)
        if commit is None:
            raise GitHubError(422, f"No commit found for SHA: {ref}")
        return commit
