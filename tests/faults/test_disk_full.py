"""A disk without space, without inodes, with a bound on files, or read-only: exit 74, nothing invalid, resumable."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.conftest import NewFolder
from tests.support.faults import Case, FaultWorld, json_rows, remount, tmpfs
from tests.support.warm import WarmRun
from tests.support.world import wait_until

KILLED = -9
ROOM = "size=64m"
ROWS, TEXT_BYTES = 120, 6_000


@pytest.fixture(scope="module")
def new_folder(in_memory: NewFolder) -> NewFolder:
    return in_memory


@pytest.fixture(scope="module")
def texts(quiet: FaultWorld) -> Case:
    """Rows that are small on the Hub and two blocks each in storage."""
    return quiet.case("acme/texts", json_rows(ROWS, TEXT_BYTES), made_by=quiet, shards=2, group_rows=30)


def _used(folder: Path) -> tuple[int, int]:
    """Bytes and inodes that an uninterrupted run takes."""
    paths = [folder, *folder.rglob("*")]
    return sum(path.lstat().st_blocks * 512 for path in paths), len(paths)


def _fails(world: FaultWorld, case: Case, *, workers: str = "1") -> bool:
    """Run once; False when there was room enough. Whatever happens, nothing is wrong afterwards."""
    done = world.quick_sync(case.request, WORKERS=workers)
    if done.code == 0:
        world.check(case, code=0)
        return False
    assert done.code == 74, done.out
    assert done.reason in ("no_space", "preflight"), done.reason
    assert "run the same command again" in done.fix
    # a run that was refused did not begin: what the run before it said of progress stays
    world.check(case, code=74, progress_refused=done.reason == "preflight")
    world.quick("status").ok()
    assert world.quick("verify").code in (0, 2)  # 2: nothing is there yet
    return True


# -- storage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.8, 0.95])
def test_a_full_disk_ends_the_run_and_the_next_continues(
    world: FaultWorld, texts: Case, quiet: FaultWorld, share: float
) -> None:
    used, _ = _used(quiet.place(texts).folder)
    world.add(texts.hf_id, "texts")
    with tmpfs(world.storage, f"size={int(used * share)}"):
        assert _fails(world, texts, workers="2")
        assert _fails(world, texts), "it fails again as long as there is no room"
        remount(world.storage, ROOM)
        assert not _fails(world, texts)


@pytest.mark.parametrize(("options", "missing"), [("size=256k", "space"), (f"{ROOM},nr_inodes={ROWS // 2}", "inodes")])
def test_a_disk_that_is_clearly_too_small_is_refused_before_the_first_byte(
    world: FaultWorld, texts: Case, options: str, missing: str
) -> None:
    world.add(texts.hf_id, "texts")
    with tmpfs(world.storage, options):
        done = world.quick_sync(texts.request)
        assert (done.code, done.reason) == (74, "preflight")
        assert f"not enough {missing}" in done.result["error"]
        assert not world.place(texts).folder.exists()
        assert remount(world.storage, f"{ROOM},nr_inodes=5000")
        assert not _fails(world, texts)


def test_a_disk_that_is_full_at_the_very_end(world: FaultWorld, texts: Case, quiet: FaultWorld) -> None:
    """A page more each time, so that every file of the end is the one that finds no room."""
    used, _ = _used(quiet.place(texts).folder)
    world.add(texts.hf_id, "texts")
    failures = 0
    with tmpfs(world.storage, f"size={used - 9 * 4096}"):
        for page in range(-8, 16):
            failures += _fails(world, texts)
            assert remount(world.storage, f"size={used + page * 4096}")
        assert not _fails(world, texts)
    assert failures >= 3


def test_a_disk_that_runs_out_of_inodes(world: FaultWorld, texts: Case, quiet: FaultWorld) -> None:
    _, inodes = _used(quiet.place(texts).folder)
    world.add(texts.hf_id, "texts")
    failures = 0
    with tmpfs(world.storage, f"{ROOM},nr_inodes={ROWS // 3}"):
        assert _fails(world, texts), "already the plan says that it cannot fit"
        for more in range(-6, 24, 3):
            assert remount(world.storage, f"nr_inodes={inodes + more}")
            failures += _fails(world, texts)
        assert not _fails(world, texts)
    assert failures >= 2


def test_a_disk_that_fills_up_under_the_run(world: FaultWorld, texts: Case) -> None:
    """Somebody else writes there."""
    world.add(texts.hf_id, "texts")
    with tmpfs(world.storage, "size=3m"):
        assert world.quick("local-sync", texts.request, HUGFLOW_FAILPOINT="journal_after:2").code == KILLED
        hog = world.storage / ".theirs"
        with pytest.raises(OSError, match="No space"):
            hog.write_bytes(bytes(4 << 20))
        assert _fails(world, texts)
        hog.unlink()
        assert not _fails(world, texts)


# -- state -----------------------------------------------------------------------------------------------------------


def test_a_state_directory_that_is_full(world: FaultWorld, texts: Case) -> None:
    """A page more each time: locks, journal, progress and manifest all find no room once."""
    world.add(texts.hf_id, "texts")
    failures = 0
    with tmpfs(world.state, "size=4k"):
        for pages in range(1, 40):
            assert remount(world.state, f"size={pages * 4}k")
            done = world.quick_sync(texts.request)
            if done.code == 0:
                break
            assert done.code == 74, done.out
            world.check(texts, code=74, progress_refused=True)
            failures += 1
        world.check(texts, code=0)
    assert failures >= 3


def test_a_state_directory_without_inodes(world: FaultWorld, texts: Case) -> None:
    world.add(texts.hf_id, "texts")
    with tmpfs(world.state, "nr_inodes=1"):
        for inodes in range(2, 30):
            assert remount(world.state, f"nr_inodes={inodes}")
            done = world.quick_sync(texts.request)
            if done.code == 0:
                break
            assert done.code == 74, done.out
            world.check(texts, code=74, progress_refused=True)
        world.check(texts, code=0)


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(quiet: FaultWorld) -> Case:
    return quiet.case("acme/small", json_rows(300), made_by=quiet, shards=2, group_rows=50)


@pytest.fixture(scope="module")
def large(quiet: FaultWorld) -> Case:
    """A row's JSON is many times larger than the shard that it comes from."""
    return quiet.case("acme/large", json_rows(6, 400_000), made_by=quiet, shards=6)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("kind", "limit", "doing"),
    [("texts", 6_000, "fetching data/"), ("large", 100_000, "writing rows"), ("small", 16_000, "journal")],
    ids=["a shard", "a row's file", "the journal"],
)
def test_a_bound_on_the_size_of_files(
    world: FaultWorld, request: pytest.FixtureRequest, kind: str, limit: int, doing: str, workers: str
) -> None:
    """As `ulimit -f` sets it: a larger file is refused (EFBIG)."""
    case: Case = request.getfixturevalue(kind)
    world.add(case.hf_id, kind)
    done = world.quick_sync(case.request, max_file_bytes=limit, WORKERS=workers)
    assert (done.code, done.reason) == (74, "no_space"), done.out
    assert doing in done.result["error"]
    assert "File too large" in done.result["error"]
    assert "ulimit" in done.fix
    world.check(case, code=74)
    world.quick_sync(case.request).ok()
    world.check(case, code=0)


# -- read-only -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["storage", "state"])
def test_a_disk_that_is_read_only_from_the_beginning(world: FaultWorld, texts: Case, which: str) -> None:
    world.add(texts.hf_id, "texts")
    folder = getattr(world, which)
    with tmpfs(folder, ROOM):
        remount(folder, "ro")
        done = world.quick_sync(texts.request)
        assert (done.code, done.reason) == (74, "read_only")
        assert "writable" in done.fix
        remount(folder, "rw")
        world.quick_sync(texts.request).ok()
        world.check(texts, code=0)


@pytest.mark.parametrize("which", ["storage", "state"])
def test_a_disk_that_becomes_read_only_under_the_run(world: FaultWorld, texts: Case, which: str) -> None:
    world.add(texts.hf_id, "texts")
    folder = getattr(world, which)
    with tmpfs(folder, ROOM):
        for _ in range(3):
            before = len(world.place(texts).journal().rows)
            with world.warm_running("local-sync", texts.request, "--json") as run:
                _until_more_rows(world, texts, run, before)
                # busy as long as a file is open for writing, which is nearly always
                turned = any(remount(folder, "ro") or run.poll() is not None for _ in range(2_000))
                code = run.wait(60)
            assert turned
            assert code in (0, 74)
            world.check(texts, code=code, progress_refused=True)
            remount(folder, "rw")
            if code == 0:
                break
        world.quick_sync(texts.request).ok()
        world.check(texts, code=0)


def _until_more_rows(world: FaultWorld, case: Case, run: WarmRun, before: int) -> None:
    wait_until(lambda: len(world.place(case).journal().rows) > before or run.poll() is not None)


def test_a_folder_of_links_that_cannot_be_written_is_a_warning(world: FaultWorld, texts: Case) -> None:
    world.add(texts.hf_id, "texts")
    with tmpfs(world.processed, ROOM):
        remount(world.processed, "ro")
        done = world.quick("local-sync", texts.request).ok()
        assert "PROCESSED_ROOT" in done.err + done.out
        world.check(texts, code=0)
