"""A Hub in another process: started here (`HubProcess`) or already running (`RemoteHub`)."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from localhub.faults import Fault
from localhub.log import RequestRecord
from localhub.store.repository import Gated
from localhub.store.users import Role


class RemoteHub:
    """The admin interface of a running Hub; `url` is its HF_ENDPOINT."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def add_fault(self, fault: Fault) -> int:
        """Arm a fault and return its id."""
        return int(self._call("POST", "faults", fault.to_json())["id"])

    def remove_fault(self, fault_id: int) -> None:
        self._call("DELETE", f"faults/{fault_id}")

    def clear_faults(self) -> None:
        self._call("DELETE", "faults")

    def fired(self, fault_id: int) -> int:
        """Number of requests that the fault was applied to."""
        return sum(item["fired"] for item in self._call("GET", "faults") if item["id"] == fault_id)

    def requests(
        self, target: str = "", *, method: str = "", route: str = "", status: int | None = None
    ) -> list[RequestRecord]:
        """The logged requests whose path and query match the regular expression, oldest first."""
        asked = {"target": target, "method": method, "route": route}
        query = asked if status is None else asked | {"status": str(status)}
        return [RequestRecord(**item) for item in self._call("GET", f"log?{urlencode(query)}")]

    def clear_log(self) -> None:
        self._call("DELETE", "log")

    def add_user(self, name: str, *, token: str, role: Role = "read", orgs: Iterable[str] = ()) -> None:
        self._call("POST", "users", {"name": name, "token": token, "role": role, "orgs": list(orgs)})

    def grant(self, repo_id: str, user: str) -> None:
        self._call("POST", "grants", {"repo": repo_id, "user": user})

    def add_dataset(
        self, repo_id: str, folder: Path | None = None, *, gated: Gated | bool = False, private: bool = False
    ) -> str:
        """Create a dataset from a folder and return the sha of its commit."""
        body = {"repo": repo_id, "folder": str(folder) if folder else None, "gated": gated, "private": private}
        return str(self._call("POST", "datasets", body)["sha"])

    def commit(
        self, repo_id: str, files: Mapping[str, bytes | None], *, message: str = "commit", branch: str = "main"
    ) -> str:
        """Commit files (None deletes) and return the new sha."""
        encoded = {path: None if data is None else base64.b64encode(data).decode() for path, data in files.items()}
        body = {"repo": repo_id, "files": encoded, "message": message, "branch": branch}
        return str(self._call("POST", "commits", body)["sha"])

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.url}/_localhub/{path}"
        request = Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310 - our own server
        opener = build_opener(ProxyHandler({}))  # the Hub is on this machine, whatever the environment says
        try:
            with opener.open(request, timeout=60) as answer:
                text = answer.read()
        except HTTPError as error:
            with error:
                raise RuntimeError(f"{method} {path}: {error.code}: {error.read().decode()}") from error
        return json.loads(text) if text else None


class HubProcess(RemoteHub):
    """A Hub in a process of its own, over the dataset folders of `root`; ends with the `with` block or this process."""

    def __init__(self, root: Path, *arguments: str, python: Sequence[str] = (sys.executable,)) -> None:
        super().__init__("")
        self._command = [*python, "-m", "localhub", "serve", "--root", str(root), *arguments]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        home = Path(__file__).parent.parent
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=home
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError(f"localhub did not start; exit code {self._process.wait()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.communicate()  # closes stdin, upon which the server stops
            self._process = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the Hub is not running")
        return self._process.pid
