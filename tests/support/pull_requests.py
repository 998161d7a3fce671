"""A repository on the GitHub double with its runner: jobs of the real command, and the reports they leave."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from localhub import LocalHub
from tests.conftest import CANARIES
from tests.doubles.git_objects import Content
from tests.doubles.github import GitHub
from tests.doubles.github_state import CheckRun, GitHubState
from tests.doubles.slack import Message, Slack
from tests.support.world import World, audio_cell, clip, sound_file, wait_until

T = TypeVar("T")
BOT = "github-actions[bot]"
CHANNEL = "C1"
GITHUB_WEB = "https://github.example"
HUB_WEB = "https://hub.example"
STICKY = "<!-- hugflow:sticky -->"
FINAL = "<!-- hugflow:final"
NBSP = "\u00a0"
_RUN = 7001


def people() -> GitHubState:
    """A fresh repository: alice and bob may write, steward is an admin, eve reads, mallory is a stranger."""
    state = GitHubState(clock=lambda: datetime.now(UTC))
    state.add_token(CANARIES["GITHUB_TOKEN"])
    for login, permission in (("alice", "write"), ("bob", "write"), ("steward", "admin"), ("eve", "read")):
        state.add_user(login, permission)  # type: ignore[arg-type]  # of the literals
    state.add_user("mallory")
    return state


def add(hf_id: str, **fields: Any) -> str:
    """The text of an add request."""
    return request({"hf_id": hf_id, "description": "Read speech for the tests.", **fields})


def remove(hf_id: str, **fields: Any) -> str:
    """The text of a remove request."""
    return request({"hf_id": hf_id, "reason": "Replaced by a better one.", **fields})


def request(fields: Mapping[str, Any]) -> str:
    """The text of a request."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in fields.items())


def speech(rows: int, text: str = "sentence {}", seed: int = 0) -> list[dict[str, Any]]:
    """Rows with a short clip and a text each."""
    return [
        {
            "audio": audio_cell(sound_file(clip(seed + row, 0.3, 8_000), 8_000), f"{row}.wav"),
            "text": text.format(row),
        }
        for row in range(rows)
    ]


@dataclass
class Job:
    """A job of the command that has ended: its exit code, its output, its summary."""

    code: int
    out: str
    err: str
    summary: str

    def ended(self, code: int) -> Job:
        """Itself, if it ended with this exit code."""
        assert self.code == code, f"exit code {self.code}, not {code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"
        return self

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        """The results by their requests."""
        return {result["request"]: result for result in self.json["results"]}


class Running:
    """A job that is under way; `end` waits for it."""

    def __init__(self, runner: Runner, process: Any, summary: Path) -> None:
        self.process, self._runner, self._summary = process, runner, summary

    def end(self, timeout_s: float = 120) -> Job:
        """Wait for its end."""
        out, err = self.process.communicate(timeout=timeout_s)
        summary = self._summary.read_text() if self._summary.exists() else ""
        self._runner.transcript += [out, err, summary]
        return Job(self.process.returncode, out, err, summary)


@dataclass
class Runner:
    """The self-hosted runner of `acme/data`: jobs run in a workspace; storage and state lie beside it."""

    world: World
    github: GitHub
    slack: Slack
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    transcript: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def hub(self) -> LocalHub:
        return self.world.hub

    @property
    def state(self) -> GitHubState:
        return self.github.state

    @property
    def storage(self) -> Path:
        return self.folder / "server" / "datasets"

    @property
    def state_dir(self) -> Path:
        return self.folder / "server" / "state"

    @property
    def processed(self) -> Path:
        return self.folder / "server" / "processed"

    @property
    def stored(self) -> list[str]:
        """The datasets in storage that are complete."""
        if not self.storage.is_dir():
            return []
        return sorted(path.parent.parent.name for path in self.storage.glob("*/.hugflow/dataset.json"))

    # -- what people do

    def propose(self, files: Mapping[str, Content], branch: str = "feature", **pull: Any) -> int:
        """Open a pull request with these files; returns its number."""
        self.state.commit(branch, dict(files), fork=pull.get("fork"), author=pull.get("author", "alice"))
        return self.state.open_pull_request(branch, **pull)

    def push(self, number: int, files: Mapping[str, Content]) -> str:
        """Commit to the branch of a pull request; returns the new head."""
        pull = self.state.pulls[number]
        return self.state.commit(pull.branch, dict(files), fork=pull.fork)

    def comment(self, number: int, author: str, body: str) -> dict[str, Any]:
        """Comment on a pull request; returns the event that GitHub sends about it."""
        comment = self.state.add_comment(number, author, body)
        web = f"{GITHUB_WEB}/{self.state.full_name}/pull/{number}"
        return {
            "action": "created",
            "issue": {"number": number, "pull_request": {"html_url": web}},
            "comment": {
                "id": comment.id,
                "user": {"login": author},
                "body": body,
                "html_url": f"{web}#issuecomment-{comment.id}",
            },
            **self._about(author),
        }

    def _about(self, sender: str) -> dict[str, Any]:
        return {
            "repository": {"full_name": self.state.full_name, "default_branch": self.state.default_branch},
            "sender": {"login": sender},
        }

    # -- events, as Actions hands them to jobs

    def pull_event(self, number: int, sha: str | None = None) -> dict[str, Any]:
        """`pull_request_target`, for the head or an older commit."""
        pull = self.state.pulls[number]
        return {
            "action": "synchronize",
            "number": number,
            "pull_request": {
                "number": number,
                "title": self.state.issues[number].title,
                "head": {"sha": sha or self.state.pull_head(number), "ref": pull.branch},
                "base": {"ref": pull.base, "sha": self.state.pull_base(number)},
            },
            **self._about("alice"),
        }

    def push_event(self, before: str, after: str, sender: str = "alice") -> dict[str, Any]:
        """`push` to the default branch."""
        return {"ref": f"refs/heads/{self.state.default_branch}", "before": before, "after": after} | self._about(
            sender
        )

    def dispatch_event(self, inputs: Mapping[str, str], sender: str = BOT) -> dict[str, Any]:
        """`workflow_dispatch`; our own bot starts it for commands and next slices."""
        return {"inputs": dict(inputs), "ref": f"refs/heads/{self.state.default_branch}"} | self._about(sender)

    # -- jobs

    def sync(self, number: int, *arguments: str, **environ: str) -> Job:
        """The job that a push to a pull request starts."""
        return self.job("sync", "--ci-mode", *arguments, event=self.pull_event(number), **environ)

    def merge_and_apply(self, number: int, *arguments: str, **environ: str) -> Job:
        """Merge by hand, and the job that the push starts."""
        before = self.state.head("main")
        after = self.state.merge(number)
        return self.job("ci", "apply", *arguments, event=self.push_event(before, after), name="push", **environ)

    def dispatched(self, workflow: str) -> list[dict[str, str]]:
        """The inputs of the runs of a workflow that somebody started, oldest first."""
        runs = [run for run in self.state.runs.values() if run.workflow == workflow and run.inputs]
        return [dict(run.inputs) for run in runs]

    def job(
        self,
        *arguments: str,
        event: Mapping[str, Any],
        name: str = "pull_request_target",
        timeout_s: float = 120,
        **environ: str,
    ) -> Job:
        """Run a job to its end."""
        with self.running(*arguments, event=event, name=name, **environ) as running:
            return running.end(timeout_s)

    @contextmanager
    def running(
        self, *arguments: str, event: Mapping[str, Any], name: str = "pull_request_target", **environ: str
    ) -> Iterator[Running]:
        """A job while it runs."""
        job_number = next(self.numbers)
        temp = self.folder / "runner" / f"job-{job_number}"
        temp.mkdir(parents=True)
        (temp / "event.json").write_text(json.dumps(event))
        summary = temp / "summary.md"
        job = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": name,
            "GITHUB_EVENT_PATH": str(temp / "event.json"),
            "GITHUB_REPOSITORY": self.state.full_name,
            "GITHUB_REPO": self.state.full_name,
            "GITHUB_RUN_ID": str(_RUN + job_number),
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_SERVER_URL": GITHUB_WEB,
            "GITHUB_API_URL": self.github.api,
            "GITHUB_WRITE_INTERVAL": "0",  # the unit tests of the client are about the pause
            "GITHUB_WORKSPACE": str(self.world.folder),
            "GITHUB_STEP_SUMMARY": str(summary),
            "GITHUB_ACTOR": event["sender"]["login"],
            "STORAGE_ROOT": str(self.storage),
            "STATE_DIR": str(self.state_dir),
            "PROCESSED_ROOT": str(self.processed),
            # secrets and variables that nobody has set are empty
            **dict.fromkeys(("SLACK_BOT_TOKEN", "SLACK_CHANNEL", "SLACK_WEBHOOK_URL", "AUTO_MERGE"), ""),
            # the least that reports wait for the other side: what a test needs longer, it says
            "CONNECTION_TIMEOUT": "5",
        }
        with self.world.running(*arguments, **(job | self.settings | environ)) as process:
            yield Running(self, process, summary)

    def with_bot(self) -> Runner:
        """Itself, with Slack by a bot."""
        self.settings |= {
            "SLACK_BOT_TOKEN": CANARIES["SLACK_BOT_TOKEN"],
            "SLACK_CHANNEL": CHANNEL,
            "SLACK_API_URL": self.slack.api,
        }
        return self

    def with_webhook(self) -> Runner:
        """Itself, with Slack by a webhook, whose address is a canary."""
        self.settings |= {"SLACK_WEBHOOK_URL": self.slack.url + webhook_path()}
        return self

    # -- what people see

    def comments(self, number: int, author: str = BOT) -> list[str]:
        """Somebody's comments, oldest first; the bot's unless told."""
        return [comment.body for comment in self.state.comments_of(number) if comment.user == author]

    def sticky(self, number: int) -> str:
        """The one comment that is edited in place."""
        (body,) = [body for body in self.comments(number) if body.startswith(STICKY)]
        return body

    def finals(self, number: int) -> list[str]:
        """The comments of final states."""
        return [body for body in self.comments(number) if body.startswith(FINAL)]

    def checks(self, number: int) -> list[CheckRun]:
        """The check runs at the head, oldest first."""
        return sorted(self.state.checks_of(self.state.pull_head(number)), key=lambda run: run.id)

    def labels(self, number: int) -> list[str]:
        return sorted(self.state.issues[number].labels)

    def downloads(self) -> list[str]:
        """The requests for the content of files that the Hub got."""
        return [record.target for record in self.hub.requests("/resolve/", method="GET")]

    def everything(self) -> str:
        """All text that left the process: output, summaries, GitHub, Slack, state files, metadata in storage."""
        state = self.state
        seen = [
            *self.transcript,
            *(comment.body for comment in state.comments.values()),
            *(json.dumps([run.title, run.summary, run.text, run.annotations]) for run in state.check_runs.values()),
            *(status.description for status in state.statuses),
            *(json.dumps(vars(issue)) for issue in state.issues.values()),
            *(message_text(message) for message in self.slack.messages),
        ]
        roots = (self.state_dir, self.storage)
        files = [path for root in roots if root.exists() for path in root.rglob("*") if path.is_file()]
        seen += [path.read_text(errors="replace") for path in files if path.suffix != ".mp3"]
        return "\n".join(seen)

    @cached_property
    def _places(self) -> list[tuple[str, str]]:
        return [
            (self.github.url, GITHUB_WEB),
            (self.hub.url, HUB_WEB),
            (str(self.storage), "/data/datasets"),
            (str(self.state_dir), "/data/state"),
        ]

    def normal(self, text: str, commits: Mapping[str, str] | None = None) -> str:
        """`text` without what differs from run to run: addresses, paths, commits, times, sizes, and their padding."""
        for found, shown in self._places:
            text = text.replace(found, shown)
        for sha, shown in (commits or {}).items():
            text = text.replace(sha, shown * 40).replace(sha[:7], shown * 7)
        return steady(text)


_SPAN = rf"(?:(?:<|&lt;){NBSP})?\d+{NBSP}(?:s|min|h|d)(?:{NBSP}\d\d{NBSP}(?:s|min|h))?"
_VOLATILE = (
    (r"/actions/runs/\d+", "/actions/runs/1"),
    (rf"about .* in (\d+ files), {_SPAN}", r"about # in \1, #"),
    (r"- \*\*Space:\*\*.*", "- **Space:** #"),
    (rf"~{NBSP}{_SPAN}", "#"),
    (rf"(?<=\| ){_SPAN}(?= \|)", "#"),  # the column of times
    (rf" in {_SPAN}(?=[).])", " in #"),
    (rf"\b\d+(?:\.\d)?{NBSP}(k?B)\b", r"# \1"),
)


def steady(text: str) -> str:
    """`text` without times and sizes; cells are no longer padded, because their widths depended on those."""
    text = re.sub(r"(?<=\|) +| +(?=\|)", " ", text)
    text = re.sub(r"(?m)^\|[ :|-]+\|$", lambda rule: re.sub("-+", "---", rule.group()), text)
    for pattern, shown in _VOLATILE:
        text = re.sub(pattern, shown, text)
    return text


@contextmanager
def serving(world: World, **slack: Any) -> Iterator[Runner]:
    """A runner beside a GitHub and a Slack of its own."""
    with GitHub(people()) as github, Slack(**slack) as slack_double:
        slack_double.tokens.add(CANARIES["SLACK_BOT_TOKEN"])
        slack_double.add_route("POST", webhook_path(), slack_double._webhook)
        yield Runner(world, github, slack_double, world.folder.parent)


def webhook_path() -> str:
    """The path of the webhook, which is a secret."""
    return "/services/" + CANARIES["SLACK_WEBHOOK_URL"].partition("/services/")[2]


def message_text(message: Message) -> str:
    """All that a Slack message shows."""
    return "\n".join([message.text, *block_texts(message.blocks)])


def block_texts(blocks: Sequence[Mapping[str, Any]]) -> list[str]:
    """The texts of blocks."""
    texts = []
    for block in blocks:
        parts = [block["text"]] if "text" in block else block.get("elements", [])
        texts += [part["text"] for part in parts]
    return texts


def together(calls: Mapping[str, Callable[[], T]], at_once: int = 4) -> dict[str, T]:
    """The results of calls that run at the same time: most of a job's time is waiting."""
    with ThreadPoolExecutor(at_once) as pool:
        futures = {name: pool.submit(call) for name, call in calls.items()}
        return {name: future.result() for name, future in futures.items()}


def wait_for_request(github: GitHub, what: str) -> None:
    """Wait until the server got a request whose method and target match."""
    wait_until(lambda: any(re.search(what, f"{each.method} {each.target}") for each in list(github.requests)))


GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "pull_request"


def golden(name: str, actual: str) -> None:
    """Compare with a whole golden file; UPDATE_GOLDEN=1 writes it."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(actual)
    assert actual == path.read_text()
