"""Storage writes in the right places, atomically, and changes no file that it did not create."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hugflow.model.errors import ExitCode, Locked, StorageFault
from hugflow.storage.dataset_folder import DatasetFolder
from hugflow.storage.disk import faults, open_folder, read_regular, replacing, write_all_synced, write_durably
from hugflow.storage.locks import is_locked, lock
from hugflow.storage.storage_root import Storage
from tests.support.world import tree

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

pytestmark = pytest.mark.timeout(60)  # nothing here may wait for a FIFO


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "datasets", tmp_path / "processed")


def made(storage: Storage, name: str = "acme__speech") -> DatasetFolder:
    """A dataset's folder with a plan and a row in it."""
    dataset = storage.dataset(name)
    dataset.create()
    write_durably(dataset.plan, b"{}")
    (dataset.json / "0.json").write_text("{}")
    (dataset.audio / "0.mp3").write_bytes(b"sound")
    return dataset


# -- writing -----------------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_durably(path, b"old and long")
    write_durably(path, b"new")
    assert tree(tmp_path).keys() == {"file"}
    assert path.read_bytes() == b"new"


def test_a_link_in_the_place_of_a_file_is_replaced_and_its_target_kept(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("somebody's")
    link.symlink_to(target)
    write_durably(link, b"ours")
    assert target.read_text() == "somebody's"
    assert not link.is_symlink()
    assert link.read_bytes() == b"ours"


def test_a_link_in_the_place_of_a_temporary_file_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("somebody's")
    (tmp_path / "new").symlink_to(target)
    with open_folder(tmp_path) as folder, pytest.raises(FileExistsError):
        write_all_synced(folder, [("new", b"ours")])
    assert target.read_text() == "somebody's"


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_file_that_somebody_put_at_a_temporary_name_is_not_opened(tmp_path: Path, link: str) -> None:
    target = tmp_path / "target"
    target.write_text("somebody's")
    getattr(tmp_path / "new", link)(target)
    with open_folder(tmp_path) as folder, pytest.raises(FileExistsError):
        write_all_synced(folder, [("first", b"ours"), ("new", b"ours")])
    assert target.read_text() == "somebody's"


def test_temporary_names_are_not_guessed_from_the_process(tmp_path: Path) -> None:
    names = []
    for _ in range(2):
        with replacing(tmp_path / "file") as file:
            names += [entry.name for entry in tmp_path.iterdir() if entry.name != "file"]
            file.write(b"content")
    assert len(set(names)) == 2
    for name in names:
        token = re.fullmatch(r"\.file\.([0-9a-f]{16})\.tmp", name)
        assert token, name
        assert str(os.getpid()) not in name


@pytest.mark.parametrize("inside", ["", "below"])
def test_a_link_in_the_place_of_a_folder_is_not_followed(tmp_path: Path, inside: str) -> None:
    (tmp_path / "elsewhere" / "below").mkdir(parents=True)
    (tmp_path / "root").mkdir()
    link = tmp_path / "root" / inside if inside else tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotADirectoryError), open_folder(tmp_path / "root" if inside else link, inside):
        pass


def test_what_was_left_by_a_killed_write_does_not_stay(tmp_path: Path) -> None:
    path = tmp_path / "file"
    killed = "import os, sys; from pathlib import Path; import hugflow.storage.disk as s\n"
    killed += "from hugflow.storage.disk import *\n"
    killed += "s.sync_directory = None; p = Path(sys.argv[1])\n"
    killed += "os.replace = os.rename = lambda *_, **__: os._exit(9); write_durably(p, b'half')"
    assert subprocess.run([sys.executable, "-c", killed, path], check=False).returncode == 9
    assert not path.exists()
    write_durably(path, b"whole")
    assert tree(tmp_path).keys() == {"file"}


def test_what_cannot_be_written_is_a_storage_fault(tmp_path: Path) -> None:
    with pytest.raises(StorageFault, match="writing file: No such file or directory") as caught:
        write_durably(tmp_path / "no folder" / "file", b"")
    assert (caught.value.exit_code, caught.value.reason) == (ExitCode.STORAGE_FAULT, "io_error")
    assert caught.value.fix


@pytest.mark.parametrize(
    ("number", "reason", "advice"),
    [
        (28, "no_space", "Free space"),
        (122, "no_space", "quota"),
        (27, "no_space", "ulimit"),
        (30, "read_only", "Mount"),
        (13, "io_error", "right to write"),
        (5, "io_error", "dmesg"),
    ],
)
def test_each_fault_of_a_disk_says_what_to_do(number: int, reason: str, advice: str) -> None:
    with pytest.raises(StorageFault) as caught, faults("writing"):
        raise OSError(number, os.strerror(number), "/some/where")
    assert caught.value.reason == reason
    assert advice in caught.value.fix
    assert "/some/where" in caught.value.problem
    assert os.strerror(number) in caught.value.problem


def test_other_errors_pass_through() -> None:
    with pytest.raises(KeyError), faults("writing"):
        raise KeyError("no fault of the disk")


# -- reading -----------------------------------------------------------------------------------------------------------


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    assert read_regular(tmp_path / "file") == b"content"
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _link(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("somebody's")
    path.symlink_to(other)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [_fifo, _link, _device, Path.mkdir])
def test_what_is_no_regular_file_is_not_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "strange")
    with pytest.raises(OSError, match=r"strange|link"):
        read_regular(tmp_path / "strange")


# -- the folder of a dataset -------------------------------------------------------------------------------------------


def test_a_folder_is_made_and_found_again(storage: Storage) -> None:
    dataset = made(storage)
    before = tree(dataset.path)
    dataset.create()
    assert tree(dataset.path) == before
    assert dataset.exists()
    assert storage.names() == ["acme__speech"]


@pytest.mark.parametrize("kind", ["link", "file", "fifo"])
@pytest.mark.parametrize("place", ["", "audio", "json", ".hugflow", ".hugflow/tmp", ".hugflow/scratch"])
def test_something_else_in_the_place_of_a_folder_is_refused(storage: Storage, place: str, kind: str) -> None:
    dataset = storage.dataset("acme__speech")
    outside = storage.root.parent / "outside"
    outside.mkdir()
    (outside / "precious").write_text("somebody's")
    path = dataset.path / place
    path.parent.mkdir(parents=True)
    if kind == "link":
        path.symlink_to(outside)
    elif kind == "file":
        path.write_text("a file")
    else:
        os.mkfifo(path)
    with pytest.raises(StorageFault, match="not a folder") as caught:
        dataset.create()
    assert caught.value.reason == "foreign_directory"
    assert str(path) in caught.value.problem
    assert tree(outside).keys() == {"precious"}


@pytest.mark.parametrize("content", ["notes.txt", "audio/song.mp3", "json/0.json", ".hidden", "sub/folder/file"])
def test_a_folder_of_somebody_else_is_refused_and_untouched(storage: Storage, content: str) -> None:
    dataset = storage.dataset("acme__speech")
    (dataset.path / content).parent.mkdir(parents=True)
    (dataset.path / content).write_text("somebody's")
    before = tree(dataset.path)
    with pytest.raises(StorageFault, match="not made by hugflow") as caught:
        dataset.create()
    assert caught.value.reason == "foreign_directory"
    assert tree(dataset.path) == before
    assert storage.names() == []


@pytest.mark.parametrize("folders", [[], ["audio"], ["audio", "json", ".hugflow/tmp"]])
def test_what_a_kill_left_of_making_it_is_taken_up_again(storage: Storage, folders: list[str]) -> None:
    dataset = storage.dataset("acme__speech")
    dataset.path.mkdir(parents=True)
    for folder in folders:
        (dataset.path / folder).mkdir(parents=True)
    dataset.create()
    assert dataset.scratch.is_dir()


def test_clear_leaves_nothing_of_the_dataset(storage: Storage) -> None:
    dataset = made(storage)
    for file in (dataset.marker, dataset.index, dataset.metadata, dataset.readme):
        file.write_text("x")
    set_aside: list[str] = []
    dataset.clear(set_aside.extend)
    assert set_aside == []
    assert not dataset.exists()
    assert [path for path in dataset.path.rglob("*") if path.is_file()] == []
    dataset.create()


def test_clear_hands_over_what_is_not_ours_while_the_plan_is_there(storage: Storage) -> None:
    dataset = made(storage)
    for path in (dataset.path / "notes.txt", dataset.meta / "more"):
        path.write_text("somebody's")
    seen: list[tuple[list[str], bool]] = []
    dataset.clear(lambda foreign: seen.append((sorted(foreign), dataset.exists())))
    assert seen == [([".hugflow/more", "notes.txt"], True)]
    assert tree(dataset.path).keys() == {".hugflow/more", "notes.txt"}, "they are the caller's to move"


@pytest.mark.parametrize("folder", ["", ".hugflow", ".hugflow/tmp"])
def test_sweep_follows_no_link(storage: Storage, tmp_path: Path, folder: str) -> None:
    dataset = made(storage)
    theirs = tmp_path / "theirs" / "tmp"
    theirs.mkdir(parents=True)
    (theirs / ".x.tmp").write_text("not ours")
    (dataset.path / folder).rename(tmp_path / "moved")
    (dataset.path / folder).symlink_to(theirs.parent if folder == ".hugflow" else theirs)
    with pytest.raises(StorageFault, match="symbolic link"):
        dataset.sweep()
    assert (theirs / ".x.tmp").exists()


def test_sweep_deletes_what_is_half_written_and_nothing_else(storage: Storage) -> None:
    dataset = made(storage)
    kept = tree(dataset.path)
    for file in (dataset.tmp / "7.mp3", dataset.meta / ".plan.json.tmp", dataset.path / ".README.md.12.tmp"):
        file.write_text("half")
    (dataset.scratch / "shard-3").mkdir()
    (dataset.scratch / "shard-3" / "data.parquet").write_text("kept: it is verified before use")
    dataset.sweep()
    assert tree(dataset.path).keys() - kept.keys() == {".hugflow/scratch/shard-3/data.parquet"}
    assert kept.keys() - tree(dataset.path).keys() <= {".hugflow/scratch/"}


@pytest.mark.parametrize("name", ["", ".", "..", ".trash", ".x", "a/b", "/etc"])
def test_a_name_that_is_no_single_component_is_refused(storage: Storage, name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a dataset"):
        storage.dataset(name)


def test_names_are_those_of_our_folders_only(storage: Storage) -> None:
    made(storage, "b")
    made(storage, "a")
    (storage.root / "notes.txt").write_text("x")
    (storage.root / "somebody").mkdir()
    (storage.root / "link").symlink_to(storage.root / "a")
    (storage.root / ".trash" / "c").mkdir(parents=True)
    assert storage.names() == ["a", "b"]
    assert Storage(storage.root / "none").names() == []


# -- room --------------------------------------------------------------------------------------------------------------


def test_facts_are_those_of_the_file_system_where_it_will_be(storage: Storage) -> None:
    facts = storage.facts()
    assert facts.free_bytes > 0
    assert (facts.used_bytes, facts.quota_bytes) == (0, None)
    assert not storage.root.exists()


def test_used_bytes_are_those_on_disk(storage: Storage) -> None:
    made(storage)
    one = storage.usage("acme__speech")
    (storage.dataset("acme__speech").audio / "1.mp3").write_bytes(b"x" * 1_000_000)
    assert 1_000_000 <= storage.usage("acme__speech") - one <= 1_100_000
    assert storage.facts(quota_bytes=5).used_bytes == storage.usage() >= 1_000_000
    (storage.root / "link").symlink_to("/usr")
    assert storage.usage() < 2_000_000, "a link is not followed"


def test_used_bytes_can_be_measured_while_another_run_writes(storage: Storage) -> None:
    dataset, ended = made(storage), threading.Event()

    def write_and_rename() -> None:
        while not ended.is_set():
            for number in range(50):
                (dataset.tmp / f"{number}.json").write_text("x")
            for number in range(50):
                (dataset.tmp / f"{number}.json").unlink()

    writer = threading.Thread(target=write_and_rename)
    writer.start()
    try:
        for _ in range(300):
            assert storage.usage() > 0
    finally:
        ended.set()
        writer.join()


# -- links -------------------------------------------------------------------------------------------------------------


def test_a_link_leads_to_the_dataset(storage: Storage) -> None:
    dataset = made(storage)
    assert storage.processed_root is not None
    link = storage.processed_root / "acme__speech"
    assert storage.link("acme__speech") is None
    assert link.readlink() == dataset.path.resolve()
    assert storage.link("acme__speech") is None, "it is there already"
    assert tree(storage.processed_root).keys() == {"acme__speech"}
    storage.unlink("acme__speech")
    assert not link.is_symlink()
    assert dataset.exists()


def test_a_link_to_the_place_where_storage_was_is_renewed(storage: Storage) -> None:
    dataset = made(storage)
    assert storage.processed_root is not None
    storage.processed_root.mkdir()
    (storage.processed_root / "acme__speech").symlink_to("/old/place")
    assert storage.link("acme__speech") is None
    assert (storage.processed_root / "acme__speech").readlink() == dataset.path.resolve()


def test_what_is_no_link_is_left_as_it_is_with_a_warning(storage: Storage) -> None:
    made(storage)
    assert storage.processed_root is not None
    (storage.processed_root / "acme__speech").mkdir(parents=True)
    warning = storage.link("acme__speech")
    assert warning is not None
    assert "no symbolic link" in warning
    storage.unlink("acme__speech")
    assert (storage.processed_root / "acme__speech").is_dir()


def test_a_link_that_cannot_be_made_is_a_warning(storage: Storage) -> None:
    made(storage)
    assert storage.processed_root is not None
    storage.processed_root.write_text("a file in the place of the folder")
    warning = storage.link("acme__speech")
    assert warning is not None
    assert "PROCESSED_ROOT" in warning


def test_a_link_to_somewhere_else_is_not_taken_away(storage: Storage) -> None:
    made(storage)
    assert storage.processed_root is not None
    storage.processed_root.mkdir()
    (storage.processed_root / "acme__speech").symlink_to("/somewhere/else")
    storage.unlink("acme__speech")
    assert (storage.processed_root / "acme__speech").is_symlink()


def test_without_a_folder_for_links_there_are_none(storage: Storage) -> None:
    made(storage)
    bare = Storage(storage.root)
    assert bare.link("acme__speech") is None
    bare.unlink("acme__speech")


# -- the trash ---------------------------------------------------------------------------------------------------------


def test_a_dataset_goes_to_the_trash_as_a_whole(storage: Storage) -> None:
    before = tree(made(storage).path)
    name = storage.trash_name("acme__speech", NOW)
    assert name == "20260301T120000Z.1--acme__speech"
    storage.trash("acme__speech", name)
    assert storage.names() == []
    assert tree(storage.root / ".trash" / name) == before
    storage.trash("acme__speech", name)  # a removal that was killed says it again


def test_two_that_go_in_one_second_are_both_kept(storage: Storage) -> None:
    for number in (1, 2):
        made(storage)
        name = storage.trash_name("acme__speech", NOW)
        assert name.startswith(f"20260301T120000Z.{number}--")
        storage.trash("acme__speech", name)
    assert len(list((storage.root / ".trash").iterdir())) == 2


def test_the_trash_is_emptied_of_what_is_old_and_ours(storage: Storage) -> None:
    for days in (0, 6, 8):
        made(storage, f"set{days}")
        storage.trash(f"set{days}", storage.trash_name(f"set{days}", NOW - timedelta(days=days)))
    trash = storage.root / ".trash"
    (trash / "notes").mkdir()
    (trash / "20000101T000000Z.1--link").symlink_to(storage.root.parent)
    assert storage.empty_trash(7, NOW) == ["20260221T120000Z.1--set8"]
    assert sorted(entry.name for entry in trash.iterdir()) == [
        "20000101T000000Z.1--link",
        "20260223T120000Z.1--set6",
        "20260301T120000Z.1--set0",
        "notes",
    ]
    assert len(storage.empty_trash(0, NOW)) == 2
    assert Storage(storage.root / "none").empty_trash(0, NOW) == []


def test_a_link_in_the_place_of_a_dataset_is_not_trashed(storage: Storage) -> None:
    outside = storage.root.parent / "outside"
    outside.mkdir()
    storage.root.mkdir()
    (storage.root / "acme__speech").symlink_to(outside)
    with pytest.raises(StorageFault, match="symbolic link"):
        storage.trash("acme__speech", "20260301T120000Z.1--acme__speech")
    assert outside.is_dir()


def test_a_link_in_the_place_of_the_trash_is_refused(storage: Storage) -> None:
    outside = storage.root.parent / "outside"
    outside.mkdir()
    made(storage)
    (storage.root / ".trash").symlink_to(outside)
    with pytest.raises(StorageFault, match="symbolic link"):
        storage.trash("acme__speech", "20260301T120000Z.1--acme__speech")
    assert list(outside.iterdir()) == []
    assert storage.names() == ["acme__speech"]


# -- locks -------------------------------------------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from hugflow.storage.locks import lock
with lock(Path(sys.argv[1]), "holding"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_that_is_held_names_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "acme.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert is_locked(path)
    with pytest.raises(Locked) as caught, lock(path, "downloading acme"):
        raise AssertionError("two hold it")
    assert re.search(rf"downloading acme: .*process {holder.pid} on \S+, since 20", str(caught.value))
    assert caught.value.exit_code == ExitCode.LOCKED
    holder.kill()
    holder.communicate()
    assert not is_locked(path), "the system lets go of what a killed process held"
    with lock(path, "downloading acme"):
        assert str(os.getpid()) in path.read_text()


def test_a_lock_that_comes_free_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "acme.lock"
    order: list[str] = []
    held = threading.Event()

    def hold() -> None:
        with lock(path, "first"):
            held.set()
            order.append("first")
            threading.Event().wait(0.2)
            order.append("first ends")

    first = threading.Thread(target=hold)
    first.start()
    held.wait(10)
    with lock(path, "second", wait_s=30):
        order.append("second")
    first.join()
    assert order == ["first", "first ends", "second"]


def test_looking_at_a_lock_makes_and_holds_none(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "none.lock")
    assert not (tmp_path / "none.lock").exists()
    with lock(tmp_path / "a.lock", "working"):
        assert is_locked(tmp_path / "a.lock")
    assert not is_locked(tmp_path / "a.lock")


def test_the_holder_of_a_damaged_lock_file_is_said_to_be_unknown(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with lock(path, "working"):
        path.write_text("{")
        with pytest.raises(Locked, match="just started"), lock(path, "also working"):
            pass


@pytest.mark.parametrize("make", [_link, _fifo, Path.mkdir])
def test_something_else_in_the_place_of_a_lock_is_a_fault(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "a.lock"
    make(path)
    before = tree(tmp_path)
    with pytest.raises(StorageFault, match=re.escape(str(path))), lock(path, "working"):
        raise AssertionError("it was taken")
    assert tree(tmp_path) == before
