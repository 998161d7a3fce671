"""The real clients read from the local Hub: metadata, listings, history, files, ranges."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import quote

import pytest
from huggingface_hub import HfApi, HfFileSystem, RepoFile, RepoFolder
from huggingface_hub.utils import get_session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localhub import LocalHub, Settings
from localhub.routes.files import wanted_range
from tests.contract.conftest import ApiOf

CLIP = bytes(range(256)) * 12_000
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..", ".git") and len(name.encode()) < 200
)


def git_blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%b" % (len(data), data)).hexdigest()


def test_dataset_info_has_sizes_hashes_and_card(hub: LocalHub, api_of: ApiOf, speech: Path) -> None:
    sha = hub.add_dataset("acme/speech", speech)
    info = api_of(None).dataset_info("acme/speech", files_metadata=True)
    files = {item.rfilename: item for item in info.siblings}
    clip, card = files["data/clip.mp3"], files["README.md"]
    assert (info.id, info.sha, info.private, info.gated) == ("acme/speech", sha, False, False)
    assert (clip.size, clip.lfs.sha256) == (len(CLIP), hashlib.sha256(CLIP).hexdigest())
    assert (card.lfs, card.blob_id) == (None, git_blob((speech / "README.md").read_bytes()))
    assert info.card_data.license == "cc-by-4.0"
    assert info.card_data.language == ["en", "fr"]
    assert {"license:cc-by-4.0", "language:en", "language:fr", "speech"} <= set(info.tags)


def test_an_lfs_files_blob_is_its_pointer(hub: LocalHub, api_of: ApiOf, speech: Path) -> None:
    hub.add_dataset("acme/speech", speech)
    (entry,) = api_of(None).get_paths_info("acme/speech", "data/clip.mp3", repo_type="dataset")
    sha256 = hashlib.sha256(CLIP).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(CLIP)}\n".encode()
    assert (entry.blob_id, entry.lfs.pointer_size) == (git_blob(pointer), len(pointer))
    hub.commit("acme/speech", {"empty.mp3": b""})
    (empty,) = api_of(None).get_paths_info("acme/speech", "empty.mp3", repo_type="dataset")
    assert (empty.size, empty.lfs, empty.blob_id) == (0, None, git_blob(b""))


def test_dataset_info_gives_only_what_was_asked(hub: LocalHub, api_of: ApiOf, speech: Path) -> None:
    sha = hub.add_dataset("acme/speech", speech)
    info = api_of(None).dataset_info("acme/speech", expand=["sha", "gated"])
    assert (info.sha, info.gated, info.siblings) == (sha, False, None)


def test_tree_of_a_folder_and_of_everything(hub: LocalHub, api_of: ApiOf, speech: Path) -> None:
    hub.add_dataset("acme/speech", speech)
    api = api_of(None)
    top = list(api.list_repo_tree("acme/speech", repo_type="dataset"))
    below = list(api.list_repo_tree("acme/speech", "data", repo_type="dataset", expand=True))
    everything = list(api.list_repo_tree("acme/speech", repo_type="dataset", recursive=True))
    assert [(item.path, type(item)) for item in top] == [("README.md", RepoFile), ("data", RepoFolder)]
    assert {item.last_commit.title for item in below} == {"initial commit"}
    assert [item.path for item in everything] == [
        "README.md",
        "data",
        "data/clip.mp3",
        "data/train.csv",
        "data/été #1 50%+?.txt",
    ]


def test_listings_come_in_pages_of_one_commit(tmp_path: Path) -> None:
    with LocalHub(settings=Settings(page_size=7)) as hub:
        hub.add_dataset("acme/many")
        hub.commit("acme/many", {f"data/{number:03}.txt": b"x" for number in range(40)})
        pages = HfApi(endpoint=hub.url, token=False)._iter_repo_tree_pages(
            "acme/many", repo_type="dataset", recursive=True
        )
        (first, _) = next(pages)
        hub.commit("acme/many", {"data/000.txt": None, "data/001.txt": None})  # main moves between two pages
        rest = [item for page, _ in pages for item in page]
        assert [item.path for item in first + rest] == ["data", *(f"data/{number:03}.txt" for number in range(40))]
        assert len(hub.requests(route="tree")) == 6


def test_history_comes_in_pages_newest_first() -> None:
    with LocalHub(settings=Settings(page_size=2)) as hub:
        shas = [hub.add_dataset("acme/moving")]
        shas += [hub.commit("acme/moving", {"a.txt": b"%d" % n}, message=f"change {n}") for n in range(4)]
        commits = HfApi(endpoint=hub.url, token=False).list_repo_commits("acme/moving", repo_type="dataset")
        assert [commit.commit_id for commit in commits] == shas[::-1]
        assert commits[0].title == "change 3"
        assert len(hub.requests(route="commits")) == 3


def test_an_old_sha_stays_readable_when_main_moves(hub: LocalHub, api_of: ApiOf, speech: Path, tmp_path: Path) -> None:
    old = hub.add_dataset("acme/speech", speech)
    new = hub.commit("acme/speech", {"data/train.csv": b"text\nnew\n", "data/clip.mp3": None}, message="a new version")
    api = api_of(None)

    def read(revision: str) -> bytes:
        path = api.hf_hub_download(
            "acme/speech", "data/train.csv", repo_type="dataset", revision=revision, cache_dir=tmp_path / "cache"
        )
        return Path(path).read_bytes()

    assert (read(old), read("main")) == ((speech / "data" / "train.csv").read_bytes(), b"text\nnew\n")
    assert api.dataset_info("acme/speech").sha == new
    assert "data/clip.mp3" in api.list_repo_files("acme/speech", repo_type="dataset", revision=old)
    assert "data/clip.mp3" not in api.list_repo_files("acme/speech", repo_type="dataset")


def test_the_folder_may_change_after_it_was_added(hub: LocalHub, speech: Path) -> None:
    sha = hub.add_dataset("acme/speech", speech)
    (speech / "README.md").write_text("rewritten in place")
    (speech / "data" / "new.mp3").write_bytes(b"another file")
    (speech / "data" / "new.mp3").replace(speech / "data" / "clip.mp3")
    assert hub.read("acme/speech", "data/clip.mp3", sha) == CLIP
    assert hub.read("acme/speech", "README.md", sha).startswith(b"---")


def test_a_big_file_that_is_overwritten_in_place_is_not_served(hub: LocalHub, speech: Path) -> None:
    hub.add_dataset("acme/speech", speech)
    (speech / "data" / "clip.mp3").write_bytes(b"other bytes")
    answer = get_session().get(f"{hub.url}/datasets/acme/speech/resolve/main/data/clip.mp3")
    assert (answer.status_code, "changed in place" in answer.headers["X-Error-Message"]) == (500, True)


def test_refs(hub: LocalHub, api_of: ApiOf, speech: Path) -> None:
    sha = hub.add_dataset("acme/speech", speech)
    hub.add_user("alice", role="write")
    api_of("alice").create_branch("acme/speech", branch="dev/two", repo_type="dataset")
    api_of("alice").create_tag("acme/speech", tag="v1.0", repo_type="dataset")
    refs = api_of(None).list_repo_refs("acme/speech", repo_type="dataset", include_pull_requests=True)
    assert [(ref.name, ref.target_commit) for ref in refs.branches] == [("dev/two", sha), ("main", sha)]
    assert [(ref.name, ref.ref) for ref in refs.tags] == [("v1.0", "refs/tags/v1.0")]
    assert refs.pull_requests == []
    assert api_of(None).dataset_info("acme/speech", revision="dev/two").sha == sha


def test_download_of_a_snapshot(hub: LocalHub, api_of: ApiOf, speech: Path, tmp_path: Path) -> None:
    hub.add_dataset("acme/speech", speech)
    folder = Path(api_of(None).snapshot_download("acme/speech", repo_type="dataset", local_dir=tmp_path / "copy"))
    copied = {path: (folder / path).read_bytes() for path in hub.paths("acme/speech")}
    assert copied == {path: (speech / path).read_bytes() for path in hub.paths("acme/speech")}


def test_a_file_is_not_sent_again_when_it_is_cached(hub: LocalHub, api_of: ApiOf, speech: Path, tmp_path: Path) -> None:
    hub.add_dataset("acme/speech", speech)
    for _ in range(2):
        api_of(None).hf_hub_download("acme/speech", "data/clip.mp3", repo_type="dataset", cache_dir=tmp_path / "cache")
    assert [(item.method, item.bytes_sent) for item in hub.requests("clip")] == [
        ("HEAD", 0),
        ("GET", len(CLIP)),
        ("HEAD", 0),
    ]


def test_file_system_reads_ranges(hub: LocalHub, speech: Path) -> None:
    hub.add_dataset("acme/speech", speech)
    fs = HfFileSystem(endpoint=hub.url, token=False, skip_instance_cache=True)
    with fs.open("datasets/acme/speech/data/clip.mp3", block_size=4096, cache_type="none") as file:
        file.seek(1000)
        part = file.read(5000)
        file.seek(-10, 2)
        end = file.read(10)
    assert (part, end) == (CLIP[1000:6000], CLIP[-10:])
    assert [item.status for item in hub.requests(route="resolve")] == [206, 206]
    assert fs.info("datasets/acme/speech/data/clip.mp3")["size"] == len(CLIP)
    assert fs.glob("datasets/acme/speech/**/*.csv") == ["datasets/acme/speech/data/train.csv"]


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=0-0", 206, CLIP[:1]),
        ("bytes=10-19", 206, CLIP[10:20]),
        (f"bytes={len(CLIP) - 5}-", 206, CLIP[-5:]),
        (f"bytes=5-{len(CLIP) * 2}", 206, CLIP[5:]),
        ("bytes=-7", 206, CLIP[-7:]),
        (f"bytes=-{len(CLIP) * 2}", 206, CLIP),
        ("bytes=0-1,4-5", 200, CLIP),
        ("bytes=9-3", 200, CLIP),
        ("bytes=-", 200, CLIP),
        ("lines=1-2", 200, CLIP),
    ],
)
def test_ranges(hub: LocalHub, speech: Path, asked: str, status: int, expected: bytes) -> None:
    hub.add_dataset("acme/speech", speech)
    url = f"{hub.url}/datasets/acme/speech/resolve/main/data/clip.mp3"
    answer = get_session().get(url, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (status, expected)
    assert (hub.requests("clip")[-1].range, hub.requests("clip")[-1].bytes_sent) == (asked, len(expected))


@pytest.mark.parametrize("asked", [f"bytes={len(CLIP)}-", "bytes=-0", f"bytes={len(CLIP) + 5}-{len(CLIP) + 9}"])
def test_a_range_beyond_the_end_cannot_be_satisfied(hub: LocalHub, speech: Path, asked: str) -> None:
    hub.add_dataset("acme/speech", speech)
    url = f"{hub.url}/datasets/acme/speech/resolve/main/data/clip.mp3"
    answer = get_session().get(url, headers={"Range": asked})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(CLIP)}")


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60))
def test_a_range_is_what_the_slice_is(size: int, start: int, end: int) -> None:
    data = bytes(range(size))
    for header, expected in (
        (f"bytes={start}-", data[start:]),
        (f"bytes={start}-{end}", data[start : end + 1] if end >= start else data),
        (f"bytes=-{end}", data[max(0, size - end) :]),
    ):
        wanted = wanted_range(header, size)
        first, last = wanted or (0, size)
        assert data[first:last] == expected


def test_head_says_what_get_would(hub: LocalHub, speech: Path) -> None:
    sha = hub.add_dataset("acme/speech", speech)
    url = f"{hub.url}/datasets/acme/speech/resolve/main/data/clip.mp3"
    head, got = get_session().head(url), get_session().get(url)
    names = ("ETag", "X-Repo-Commit", "Content-Length", "Accept-Ranges", "X-Linked-Size", "X-Linked-ETag")
    assert head.content == b""
    assert [head.headers[name] for name in names] == [got.headers[name] for name in names]
    assert [head.headers[name] for name in names] == [
        f'"{hashlib.sha256(CLIP).hexdigest()}"',
        sha,
        str(len(CLIP)),
        "bytes",
        str(len(CLIP)),
        f'"{hashlib.sha256(CLIP).hexdigest()}"',
    ]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(NAMES, min_size=1, max_size=3), data=st.binary(max_size=200))
def test_any_name_can_be_read_back(hub: LocalHub, api_of: ApiOf, names: list[str], data: bytes) -> None:
    path = "/".join(names)
    if "acme/names" not in [item.id for item in api_of(None).list_datasets(author="acme")]:
        hub.add_dataset("acme/names")
    hub.commit("acme/names", dict.fromkeys(hub.paths("acme/names")) | {path: data})
    api = api_of(None)
    answer = get_session().get(f"{hub.url}/datasets/acme/names/resolve/main/{quote(path)}")
    assert (answer.status_code, answer.content) == (200, data)
    assert [item.path for item in api.get_paths_info("acme/names", [path], repo_type="dataset")] == [path]
    assert [item.rfilename for item in api.dataset_info("acme/names").siblings] == [path]
    if len(names) > 1:
        listed = api.list_repo_tree("acme/names", "/".join(names[:-1]), repo_type="dataset")
        assert [item.path for item in listed] == [path]


def test_datasets_are_listed_to_those_who_may_see_them(hub: LocalHub, api_of: ApiOf, speech: Path) -> None:
    for name in ("acme/one", "acme/two", "other/three"):
        hub.add_dataset(name, speech)
    hub.add_dataset("acme/secret", speech, private=True)
    hub.add_user("alice", orgs=["acme"])
    assert [item.id for item in api_of(None).list_datasets(author="acme")] == ["acme/one", "acme/two"]
    assert [item.id for item in api_of("alice").list_datasets(search="se")] == ["acme/secret"]


def test_a_hub_with_a_storage_knows_everything_again(speech: Path, tmp_path: Path) -> None:
    with LocalHub(tmp_path / "storage") as hub:
        sha = hub.add_dataset("acme/speech", speech, gated=True)
        hub.add_user("alice", role="write")
        hub.grant("acme/speech", "alice")
        HfApi(endpoint=hub.url, token="hf_alice").create_tag("acme/speech", tag="v1", repo_type="dataset")
        moved = hub.commit("acme/speech", {"data/train.csv": b"new"})
    with LocalHub(tmp_path / "storage") as hub:
        hub.add_user("alice", role="write")
        info = HfApi(endpoint=hub.url, token="hf_alice").dataset_info("acme/speech")
        assert (info.sha, info.gated) == (moved, "auto")
        assert hub.repository("acme/speech").resolve("v1").sha == sha
        assert hub.read("acme/speech", "data/clip.mp3", sha) == CLIP


def test_a_fixed_clock_gives_the_same_shas(speech: Path) -> None:
    shas = []
    for _ in range(2):
        with LocalHub(settings=Settings(clock=lambda: 1_700_000_000.0)) as hub:
            shas.append(hub.add_dataset("acme/speech", speech))
    assert shas[0] == shas[1]


def test_a_mirror_tells_names_only_and_lists_the_rest(speech: Path) -> None:
    with LocalHub(settings=Settings(mirror=True)) as hub:
        sha = hub.add_dataset("acme/speech", speech)
        api = HfApi(hub.url, token=False)
        info = api.dataset_info("acme/speech", files_metadata=True)
        assert {(file.size, file.blob_id) for file in info.siblings} == {(None, None)}
        assert (info.card_data, info.tags) == (None, [])
        listed = {
            entry.path: entry.size
            for entry in api.list_repo_tree("acme/speech", repo_type="dataset", recursive=True)
            if isinstance(entry, RepoFile)
        }
        assert listed["data/clip.mp3"] == len(CLIP)
        for address in (
            f"{hub.url}/api/datasets/acme/speech/tree/main",
            f"{hub.url}/api/datasets/acme/speech/tree/{sha}/",
        ):
            assert {entry["path"] for entry in get_session().get(address).json()} == {"README.md", "data"}
