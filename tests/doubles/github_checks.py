"""Answers of the GitHub double about checks, statuses, permissions and workflow runs."""

from __future__ import annotations

from tests.doubles.github_people import AGES_AGO, Json, People, number_of
from tests.doubles.github_state import ACTIONS_BOT, CheckRun, Status, WorkflowRun


class CheckShapes(People):
    """The forms of check runs, commit statuses, permissions and workflow runs."""

    def check_run(self, run: CheckRun) -> Json:
        """A check run; its annotations are counted, not listed."""
        url = f"{self.repo_url}/check-runs/{run.id}"
        return {
            "id": run.id,
            "node_id": f"CR_{run.id}",
            "head_sha": run.head_sha,
            "external_id": run.external_id,
            "name": run.name,
            "url": url,
            "html_url": f"{self.repo_web}/runs/{run.id}",
            "details_url": run.details_url,
            "status": run.status,
            "conclusion": run.conclusion,
            "started_at": run.started_at,
            "completed_at": run.completed_at,
            "output": {
                "title": run.title,
                "summary": run.summary,
                "text": run.text or None,
                "annotations_count": len(run.annotations),
                "annotations_url": f"{url}/annotations",
            },
            "check_suite": {"id": 1},
            "app": self._app(),
            "pull_requests": [],
        }

    def _app(self) -> Json:
        return {
            "id": 15368,
            "slug": "github-actions",
            "node_id": "APP_1",
            "owner": self.user("github"),
            "name": ACTIONS_BOT.partition("[")[0],
            "description": None,
            "external_url": self.web,
            "html_url": f"{self.web}/apps/github-actions",
            "created_at": AGES_AGO,
            "updated_at": AGES_AGO,
            "permissions": {"checks": "write"},
            "events": [],
        }

    def status(self, status: Status) -> Json:
        """A commit status."""
        return {
            "id": status.id,
            "node_id": f"SC_{status.id}",
            "url": f"{self.repo_url}/statuses/{status.sha}",
            "avatar_url": None,
            "state": status.state,
            "description": status.description,
            "target_url": status.target_url,
            "context": status.context,
            "created_at": status.created_at,
            "updated_at": status.created_at,
            "creator": self.user(status.creator),
        }

    def permission(self, login: str) -> Json:
        """The permission of a collaborator."""
        level = self.state.users.get(login, "none")
        rights = {"role_name": level}
        return {"permission": level, "role_name": level, "user": {**self.user(login), **rights}}

    def run(self, run: WorkflowRun) -> Json:
        """A workflow run."""
        url = f"{self.repo_url}/actions/runs/{run.id}"
        parts = ("jobs", "logs", "check_suite", "artifacts", "cancel", "rerun", "workflow")
        commit = self.state.objects.commits[run.head_sha]
        people = {role: {"name": name, "email": email} for role, (name, email) in commit.people.items()}
        return {
            "id": run.id,
            "node_id": f"WFR_{run.id}",
            "name": run.workflow,
            "display_title": run.display_title,
            "path": f".github/workflows/{run.workflow}",
            "head_branch": run.head_branch,
            "head_sha": run.head_sha,
            "run_number": 1,
            "run_attempt": 1,
            "event": run.event,
            "status": run.status,
            "conclusion": run.conclusion,
            "workflow_id": number_of(run.workflow),
            "url": url,
            "html_url": f"{self.repo_web}/actions/runs/{run.id}",
            **{f"{part}_url": f"{url}/{part}" for part in parts},
            "pull_requests": [],
            "created_at": run.created_at,
            "updated_at": run.created_at,
            "actor": self.user(self.state.owner),
            "triggering_actor": self.user(self.state.owner),
            "head_commit": {
                "id": commit.sha,
                "tree_id": commit.tree,
                "message": commit.message,
                "timestamp": commit.date,
                **people,
            },
            "repository": self.repository(),
            "head_repository": self.repository(),
        }
