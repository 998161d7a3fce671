"""Two accounts of one group share a storage; other accounts cannot read datasets that are not public."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hugflow.model.errors import Locked, StorageFault
from hugflow.model.records import RowRecord
from hugflow.storage.disk import write_durably
from hugflow.storage.journal import Journal
from hugflow.storage.locks import lock, lock_holder
from hugflow.storage.state import StateDir
from hugflow.storage.storage_root import Storage

ANN, BOB, EVE = 61_001, 61_002, 61_003
GROUP, OTHERS = 61_000, 61_009
NAME, SHA = "acme__speech__split_train__rev_main", "c0ffee" * 6 + "beef"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be other accounts")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder of the group, as docs/server-setup.md makes it."""
    folder = Path(tempfile.mkdtemp(prefix="hugflow-shared-"))
    os.chown(folder, 0, GROUP)
    folder.chmod(0o2775)
    yield folder
    shutil.rmtree(folder)


def as_account(account: int, group: int, act: Callable[[], object], umask: int = 0o002) -> str:
    """What `act` returns, or the error that it raises, as text, when another account calls it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([group])
            os.setresgid(group, group, group)
            os.setresuid(account, account, account)
            os.umask(umask)
            answer = str(act())
        except (StorageFault, Locked, OSError) as error:
            answer = f"{type(error).__name__}: {error}"
        except BaseException:  # noqa: BLE001 - the parent shows it
            answer = traceback.format_exc()
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        answer = file.read()
    os.waitpid(child, 0)
    return answer


def modes(folder: Path) -> set[str]:
    return {stat.filemode(path.lstat().st_mode) for path in (folder, *folder.rglob("*"))}


def begin(shared: Path, *, closed: bool = False) -> None:
    dataset = Storage(shared / "datasets").dataset(NAME)
    dataset.create(closed=closed)
    write_durably(dataset.plan, b"{}")
    write_durably(dataset.json / "0.json", b"{}")
    journal = Journal.open(StateDir(shared / "state").journal(NAME), NAME, SHA)
    journal.append_rows([RowRecord(0, "ok", json_bytes=2, json_sha256="0" * 64)])
    journal.close()


def carry_on(shared: Path) -> str:
    dataset, state = Storage(shared / "datasets").dataset(NAME), StateDir(shared / "state")
    with state.lock(NAME, "downloading"):
        dataset.create()
        dataset.sweep()
        journal = Journal.open(state.journal(NAME), NAME, SHA)
        journal.append_rows([RowRecord(1, "ok", json_bytes=2, json_sha256="0" * 64)])
        journal.close()
        write_durably(dataset.json / "0.json", b"[]")
        write_durably(dataset.plan, b"{}")
        state.forget(NAME)
        dataset.remove_workspace()
    return "done"


def test_a_second_account_of_the_group_continues(shared: Path) -> None:
    assert as_account(ANN, GROUP, lambda: begin(shared)) == "None"
    assert as_account(BOB, GROUP, lambda: carry_on(shared)) == "done"
    assert {path.lstat().st_gid for path in shared.rglob("*")} == {GROUP}


def test_modes_follow_the_umask(shared: Path) -> None:
    as_account(ANN, GROUP, lambda: begin(shared), umask=0o002)
    assert modes(shared) == {"drwxrwsr-x", "-rw-rw-r--"}


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o000])
def test_a_dataset_that_is_not_public_is_closed_to_others_under_any_umask(shared: Path, umask: int) -> None:
    as_account(ANN, GROUP, lambda: begin(shared, closed=True), umask=umask)
    folder = shared / "datasets" / NAME
    assert not any(path.lstat().st_mode & stat.S_IRWXO for path in (folder, *folder.rglob("*")))
    read = (folder / "json/0.json").read_bytes
    assert "Permission denied" in as_account(EVE, OTHERS, read)
    assert as_account(BOB, GROUP, read) == "b'{}'"


def test_a_public_dataset_can_be_read_by_others(shared: Path) -> None:
    as_account(ANN, GROUP, lambda: begin(shared))
    assert as_account(EVE, OTHERS, (shared / "datasets" / NAME / "json/0.json").read_bytes) == "b'{}'"


@pytest.mark.parametrize(("account", "group"), [(BOB, GROUP), (EVE, OTHERS)])
def test_the_lock_of_another_account_is_seen_and_named(shared: Path, account: int, group: int) -> None:
    path = shared / "locks" / "x.lock"
    held, end = os.pipe(), os.pipe()

    def take() -> str:
        with lock(path, "downloading"):
            os.write(held[1], b"!")
            os.read(end[0], 1)
            return "locked"

    with ThreadPoolExecutor(1) as threads:
        holder = threads.submit(as_account, ANN, GROUP, take)
        os.read(held[0], 1)
        seen = as_account(account, group, lambda: lock_holder(path))
        refused = as_account(account, group, take)
        os.write(end[1], b"!")
        assert holder.result(30) == "locked"
    assert f"account {ANN}" in seen
    assert refused.startswith("Locked: ")
    assert f"account {ANN}" in refused
    assert as_account(account, group, lambda: lock_holder(path)) == "None"


def test_a_lock_that_leads_to_another_file_is_not_written(shared: Path) -> None:
    (shared / "victim").write_text("somebody's")
    (shared / "x.lock").hardlink_to(shared / "victim")
    with pytest.raises(StorageFault, match="link to another file"), lock(shared / "x.lock", "downloading"):
        pass
    assert (shared / "victim").read_text() == "somebody's"
