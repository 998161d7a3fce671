"""The local Hub as a process, programmed from another one; many clients at once."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils import disable_progress_bars, get_session

from localhub import Fault, HubProcess, LocalHub
from tests.contract.conftest import ApiOf

SERVE = [sys.executable, "-m", "localhub", "serve"]


@pytest.fixture
def root(tmp_path: Path, speech: Path) -> Path:
    """Datasets in folders, as the command line takes them."""
    for name, notes in (("open", None), ("gated", {"gated": True, "grant": ["alice"]}), ("secret", {"private": True})):
        folder = tmp_path / "root" / "acme" / name
        folder.mkdir(parents=True)
        (folder / "train.csv").write_text("a\n1\n")
        if notes:
            (folder / ".localhub.json").write_text(json.dumps(notes))
    return tmp_path / "root"


def test_it_serves_folders(root: Path, tmp_path: Path) -> None:
    users = ("--user", "alice:hf_alice:read", "--user", "bob:hf_bob", "--token", "hf_owner")
    with HubProcess(root, *users) as hub:
        owner, alice, bob = (HfApi(endpoint=hub.url, token=f"hf_{name}") for name in ("owner", "alice", "bob"))
        assert [item.id for item in owner.list_datasets()] == ["acme/gated", "acme/open", "acme/secret"]
        assert owner.list_repo_files("acme/gated", repo_type="dataset") == ["train.csv"]
        assert owner.whoami()["name"] == "localhub"
        with pytest.raises(RepositoryNotFoundError):
            alice.dataset_info("acme/secret")
        with pytest.raises(GatedRepoError):
            bob.auth_check("acme/gated", repo_type="dataset")
        alice.auth_check("acme/gated", repo_type="dataset")
        with pytest.raises(HfHubHTTPError, match="role `read`"):
            alice.create_repo("alice/own", repo_type="dataset")
        bob.create_repo("bob/own", repo_type="dataset")


def test_another_process_programs_it(root: Path, speech: Path) -> None:
    with HubProcess(root) as hub:
        api = HfApi(endpoint=hub.url, token=False)
        fault = hub.add_fault(Fault(route="acme/open", status=503, count=1))
        with pytest.raises(HfHubHTTPError):
            api.dataset_info("acme/open")
        api.dataset_info("acme/open")
        assert hub.fired(fault) == 1
        assert [(item.route, item.status) for item in hub.requests("open")] == [("", 503), ("dataset_info", 200)]
        assert [item.fault for item in hub.requests(status=503)] == [fault]
        hub.remove_fault(fault)
        hub.clear_faults()
        hub.clear_log()
        assert hub.requests("acme") == []
        sha = hub.add_dataset("acme/new", speech, gated="manual")
        moved = hub.commit("acme/new", {"a.txt": b"\0\xff", "data/clip.mp3": None}, message="moved")
        hub.add_user("carol", token="hf_carol")
        hub.grant("acme/new", "carol")
        carol = HfApi(endpoint=hub.url, token="hf_carol")
        assert [item.commit_id for item in carol.list_repo_commits("acme/new", repo_type="dataset")] == [moved, sha]
        answer = get_session().get(
            f"{hub.url}/datasets/acme/new/resolve/main/a.txt", headers={"Authorization": "Bearer hf_carol"}
        )
        assert answer.content == b"\0\xff"
        with pytest.raises(RuntimeError, match="a fault has no"):
            hub._call("POST", "faults", {"stauts": 500})
        with pytest.raises(RuntimeError, match=r"404: .*no dataset"):
            hub.grant("acme/nothing", "carol")


def start(root: Path, *arguments: str, **options: object) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen([*SERVE, "--root", str(root), *arguments], stdout=subprocess.PIPE, text=True, **options)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_it_ends_when_its_stdin_closes(root: Path, repo_root: Path) -> None:
    process, url = start(root, cwd=repo_root, stdin=subprocess.PIPE)
    with process:
        assert url.startswith("http://127.0.0.1:")
        assert get_session().get(f"{url}/api/datasets").status_code == 200
        process.stdin.close()
        assert process.wait(timeout=30) == 0


def test_it_ends_after_its_lifetime(root: Path, repo_root: Path) -> None:
    process, url = start(root, "--max-lifetime", "0.5", cwd=repo_root, stdin=subprocess.DEVNULL)
    with process:
        assert url
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_by_a_signal(root: Path, repo_root: Path, number: signal.Signals) -> None:
    process, _ = start(root, cwd=repo_root, stdin=subprocess.DEVNULL)
    with process:
        process.send_signal(number)
        assert process.wait(timeout=30) == 0


def test_it_ends_with_its_parent(root: Path, repo_root: Path) -> None:
    # the parent gives the Hub its own stdout and stdin that never ends, and dies
    code = f"import subprocess, time; subprocess.Popen({[*SERVE, '--root', str(root)]!r}); time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=repo_root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"http://127.0.0.1:")
        process.kill()
        assert select.select([process.stdout], [], [], 30)[0]
        assert process.stdout.read() == b""  # the last holder of the pipe, the Hub, has gone


def test_it_starts_without_heavy_imports(repo_root: Path) -> None:
    code = "import sys, localhub.__main__; print({'yaml', 'pyarrow', 'datasets', 'hugflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=repo_root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_it_listens_on_this_machine_only(hub: LocalHub) -> None:
    assert hub._server is not None
    assert hub._server.socket.getsockname()[0] == "127.0.0.1"


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_it_leaves_nothing_behind(speech: Path) -> None:
    descriptors = open_files()
    hub = LocalHub()
    with hub:
        hub.add_dataset("acme/speech", speech)
        storage = hub._running.storage
        session = get_session()
        assert session.get(f"{hub.url}/api/datasets").status_code == 200
    assert not storage.exists()
    assert len(hub.requests("api/datasets")) == 1  # the log can still be read
    assert not [thread for thread in threading.enumerate() if "localhub" in thread.name or "request" in thread.name]
    assert open_files() <= descriptors + 1  # the client's own socket
    with pytest.raises(RuntimeError, match="not running"):
        _ = hub.url


def test_eight_threads_read_and_write_at_once(hub: LocalHub, api_of: ApiOf, speech: Path, tmp_path: Path) -> None:
    disable_progress_bars()
    hub.add_user("alice", role="write")
    hub.add_dataset("acme/speech", speech)
    clip = (speech / "data" / "clip.mp3").read_bytes()

    def work(number: int) -> None:
        api = api_of("alice")
        api.create_repo(f"acme/own-{number}", repo_type="dataset")
        for turn in range(3):
            path = api.hf_hub_download(
                "acme/speech", "data/clip.mp3", repo_type="dataset", local_dir=tmp_path / f"{number}-{turn}"
            )
            assert Path(path).read_bytes() == clip
            for repo in (f"acme/own-{number}", "acme/speech"):
                operation = CommitOperationAdd(f"{number}/{turn}.bin", b"\0%d-%d" % (number, turn))
                api.create_commit(repo, [operation], commit_message="m", repo_type="dataset")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    written = [f"{number}/{turn}.bin" for number in range(8) for turn in range(3)]
    assert [path for path in hub.paths("acme/speech") if path.endswith(".bin")] == written
    assert len(list(hub.repository("acme/speech").history("main"))) == 1 + len(written)
    assert {hub.read("acme/speech", path) for path in written} == {
        b"\0%d-%d" % (number, turn) for number in range(8) for turn in range(3)
    }
    assert sum(item.bytes_sent for item in hub.requests("clip", method="GET")) == 24 * len(clip)


def test_of_two_commits_on_one_parent_one_wins(hub: LocalHub, api_of: ApiOf) -> None:
    hub.add_user("alice", role="write")
    parent = hub.add_dataset("acme/race")

    def commit(number: int) -> int:
        try:
            api_of("alice").create_commit(
                "acme/race",
                [CommitOperationAdd("a.txt", b"%d" % number)],
                commit_message="m",
                repo_type="dataset",
                parent_commit=parent,
            )
        except HfHubHTTPError as error:
            return error.response.status_code
        return 200

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(commit, range(8))) == [200, *[412] * 7]
