"""Repositories built to crash a plan or to redirect its reads: each fails its own request, with a reason."""

from __future__ import annotations

import bz2
import gzip
import http.server
import io
import json
import lzma
import os
import signal
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from localhub import LocalHub
from tests.support.pull_requests import add, serving
from tests.support.warm import WarmStarts
from tests.support.world import World, group_members, table_of, wait_until

MB = 1_000_000
MEMORY_BYTES = 1000 * MB
PLAN_S = 60
CONFIGS = "configs:\n- config_name: default\n  data_files: {}\n"
DATA = {"data.csv": "a,b\n1,2\n"}
TOKEN_FILE = "secret.csv"


@pytest.fixture(scope="module")
def hub(canaries: Mapping[str, str]) -> Iterator[LocalHub]:
    """A Hub with a private repository, which the token of all runs may read."""
    with LocalHub() as running:
        running.add_user("reader", token=canaries["HF_TOKEN"])
        running.add_dataset("reader/private", private=True)
        running.commit("reader/private", {TOKEN_FILE: b"a\n1\n"})
        yield running


@pytest.fixture
def world(tmp_path: Path, hub: LocalHub, clean_environ: dict[str, str], canaries: Mapping[str, str]) -> World:
    return World.make(tmp_path, hub, clean_environ, canaries)


@pytest.fixture(scope="module")
def starts() -> Iterator[WarmStarts]:
    """Quick starts, for the tests in which nothing is measured."""
    starts = WarmStarts()
    yield starts
    starts.close()


@pytest.fixture
def quick_world(
    tmp_path: Path, hub: LocalHub, clean_environ: dict[str, str], canaries: Mapping[str, str], starts: WarmStarts
) -> World:
    return World.make(tmp_path, hub, clean_environ, canaries, starts)


def serve(world: World, files: Mapping[str, str | bytes]) -> str:
    hf_id = world.new_id()
    world.hub.add_dataset(hf_id)
    world.hub.commit(hf_id, {name: data.encode() if isinstance(data, str) else data for name, data in files.items()})
    return hf_id


# -- bytes that take too much ----------------------------------------------------------------------------------------


def repeated(packed_start: bytes, packed_middle: bytes, packed_end: bytes, times: int) -> bytes:
    """A compressed file of several parts: all of these formats allow to join files."""
    return packed_start + packed_middle * times + packed_end


def bomb(compress: Any, start: bytes, end: bytes) -> bytes:
    """A few kilobytes that unpack to 800 MB in one line, or one value."""
    return repeated(compress(start), compress(b"0" * (20 * MB)), compress(end), 40)


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def footer_with(rows: int) -> bytes:
    """A parquet file of five rows whose footer counts others."""
    file = io.BytesIO()
    pq.write_table(pa.table({"a": range(5)}), file)
    data = file.getvalue()
    at = data.rindex(b"\x16\x0a")  # the number of rows, as Thrift has it, of the last row group
    return data[:at] + b"\x16" + bytes([rows * 2 if rows >= 0 else -rows * 2 - 1]) + data[at + 2 :]


def tar_of(**members: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name.replace("__", "."))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def npy(shape: str) -> bytes:
    header = f"{{'descr': '<i4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def levels(depth: int, first: str, last: str, core: str = "1") -> str:
    return first * depth + core + last * depth


BOMB_OF_ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} {{k: [{', '.join([f'*a{n - 1}'] * 8)}]}}\n" for n in range(1, 12)
)

TAKES_TOO_MUCH: dict[str, dict[str, str | bytes]] = {
    "yaml-aliases": {"README.md": f"---\n{BOMB_OF_ALIASES}---\n", **DATA},
    "yaml-aliases-standalone": {".huggingface.yaml": BOMB_OF_ALIASES, **DATA},
    "yaml-depth": {".huggingface.yaml": levels(30_000, "{a: ", "}"), **DATA},
    "yaml-many-nodes": {".huggingface.yaml": "a: [" + "x," * 400_000 + "]", **DATA},
    "card-of-25-mb": {"README.md": "---\nlicense: mit\n---\n" + "word " * 5 * MB, **DATA},
    "infos-of-25-mb": {"dataset_infos.json": '{"a": "' + "x" * 25 * MB + '"}', **DATA},
    "line-gz": {"data.jsonl.gz": bomb(gzip.compress, b'{"a": "', b'"}\n')},
    "line-xz": {"data.txt.xz": bomb(lambda data: lzma.compress(data, preset=0), b"", b"\n")},
    "document-bz2": {"data.json.bz2": bomb(bz2.compress, b'[{"a": "', b'"}]')},
    "field-zst": {"data.csv.zst": bomb(zstd, b'a,b\n1,"', b'"\n')},
    "json-depth": {"data.json": levels(100_000, "[", "]")},
    "npy-shape": {"data.tar": tar_of(a__npy=npy("(900000000000,)"))},
    "footer-negative": {"train.parquet": footer_with(-7)},
    "footer-contradicts": {"train.parquet": footer_with(60)},
    "many-columns": {"data.csv": ",".join(f"c{n}" for n in range(40_000)) + "\n" + ",".join("1" * 40_000) + "\n"},
}


@pytest.mark.parametrize("kind", TAKES_TOO_MUCH)
def test_a_plan_of_any_repository_ends_with_a_reason(world: World, kind: str) -> None:
    request = world.add(serve(world, TAKES_TOO_MUCH[kind]))
    code, seconds, peak_bytes, answer = measured_plan(world, request)
    assert code == 4, answer
    (error,) = answer["errors"]
    assert error["reason"] in ("unreadable", "reader_limit"), error
    assert error["problem"], error
    assert peak_bytes < MEMORY_BYTES
    assert seconds < PLAN_S
    assert world.untouched()


def measured_plan(world: World, request: str) -> tuple[int, float, int, Any]:
    """Plan; returns the exit code, the seconds, the most memory that the run's processes had together, the answer."""
    began = time.monotonic()
    with world.running("plan", request, "--json") as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, sum(map(resident_bytes, group_members(process.pid))))
            time.sleep(0.02)
        out, err = process.communicate()
    world.check_no_secret(out, err)
    return process.returncode, time.monotonic() - began, peak, json.loads(out)


def resident_bytes(pid: int) -> int:
    """The memory of a process that is its own, without the files that it has mapped."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon"))


STRANGE_CARDS = {
    "licence": "license: {name: mit}",
    "licences": "license: [mit, 7, [x]]",
    "tags": "tags: {a: [1, {b: 2}]}",
    "language": "language: 5",
    "dataset-info": "dataset_info: [1, x, {config_name: [2]}]",
    "dataset-info-features": "dataset_info: {features: {a: [b]}, splits: -1}",
    "configs": "configs: {a: b}",
    "configs-of-numbers": "configs: [1, 2]",
    "config-name": "configs: [{config_name: {a: b}, data_files: data.csv}]",
    "data-files": "configs: [{config_name: default, data_files: [{split: 1, path: 2}]}]",
}


@pytest.mark.parametrize("kind", STRANGE_CARDS)
def test_values_of_wrong_types_in_a_card_are_read_or_refused(quick_world: World, kind: str) -> None:
    request = quick_world.add(serve(quick_world, {"README.md": f"---\n{STRANGE_CARDS[kind]}\n---\n", **DATA}))
    code, _, _, answer = measured_plan(quick_world, request)
    assert code in (0, 4), answer
    assert len(answer["plans"]) == (code == 0)
    assert [error["reason"] for error in answer["errors"]] == ["unreadable"] * (code == 4), answer


LATER = {
    "too large": ({"b.txt": b"0" * 20 * MB}, "reader_limit"),
    "broken": ({"b.txt.gz": gzip.compress(b"x" * 5000)[:-20]}, "unreadable"),
}


@pytest.mark.parametrize("kind", LATER)
def test_a_hostile_shard_ends_its_download_with_a_reason(world: World, kind: str) -> None:
    """The plan looks at the first rows only: here it has seen nothing."""
    files, reason = LATER[kind]
    hf_id = serve(
        world, {"README.md": "---\n" + CONFIGS.format('["*.txt", "*.gz"]') + "---\n", "a.txt": "fine\n", **files}
    )
    done = world.run("local-sync", world.add(hf_id), "--json", WORKERS="2", WORKER_MEMORY_MB="256")
    assert done.code == 4, done
    assert (done.result["status"], done.result["reason"]) == ("failed", reason), done.result
    assert not list(world.storage.glob("*/.hugflow/dataset.json")), "it counts as complete"


def test_depth_within_a_row_costs_the_row(quick_world: World) -> None:
    rows = ['{"a": 1}', '{"a": ' + levels(100_000, '{"a": [', "]}") + "}", '{"a": 3}']
    done = quick_world.run("local-sync", quick_world.add(serve(quick_world, {"data.jsonl": "\n".join(rows)})), "--json")
    assert done.code == 3, done
    assert (done.result["rows_done"], [error["row"] for error in done.result["errors"]]) == (2, [1])


# -- what ends a run from outside ------------------------------------------------------------------------------------

ENDLESS = {
    "README.md": f"---\n{CONFIGS.format('data.csv')}  sep: '(x|xx)*y'\n  engine: python\n---\n",
    "data.csv": "a\n" + "x" * 60 + "\n",
}


def test_a_regular_expression_without_end_is_ended(world: World) -> None:
    world.settings["PLAN_TIMEOUT"] = "5"  # of computing: by the clock it is more on a machine that has much to do
    code, seconds, _, answer = measured_plan(world, world.add(serve(world, ENDLESS)))
    assert code == 4
    assert answer["errors"][0]["reason"] == "reader_limit"
    assert "5 s of computing" in answer["errors"][0]["problem"]
    assert seconds < PLAN_S


def test_a_signal_ends_a_plan_that_is_stuck(world: World) -> None:
    request = world.add(serve(world, ENDLESS))
    with world.running("local-sync", request) as process:
        wait_until(lambda: len(group_members(process.pid)) > 1)
        time.sleep(3)
        began = time.monotonic()
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(10) == 75
        assert time.monotonic() - began < 5
        wait_until(lambda: not group_members(process.pid), timeout_s=2)


def test_one_hostile_request_does_not_stop_the_others(world: World) -> None:
    """In a pull request: the good one is stored, the others are explained, comment and check are written."""
    good = world.new_id()
    world.serve(good, {"train": table_of([{"text": "x"}, {"text": "y"}])})
    hostile = {kind: serve(world, TAKES_TOO_MUCH[kind]) for kind in ("npy-shape", "line-gz", "yaml-aliases-standalone")}
    files = {f"requests/add/{kind}.yaml": add(hf_id) for kind, hf_id in hostile.items()}
    with serving(world) as runner:
        number = runner.propose(files | {"requests/add/z-good.yaml": add(good)})
        job = runner.job("sync", "--ci-mode", "--json", event=runner.pull_event(number), timeout_s=180)
        assert job.results["requests/add/z-good.yaml"]["status"] == "complete"
        assert len(runner.stored) == 1
        sticky = runner.sticky(number)
        for kind in hostile:
            assert f"requests/add/{kind}.yaml" in sticky
        assert runner.checks(number)[-1].conclusion == "failure"
    assert job.code == 3


# -- files of other places -------------------------------------------------------------------------------------------


class _Canary(http.server.ThreadingHTTPServer):
    """Counts who comes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _CanaryHandler)
        self.visits: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _CanaryHandler(http.server.BaseHTTPRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Canary)
        self.server.visits.append(self.client_address[0])


@pytest.fixture(scope="module")
def canary() -> Iterator[_Canary]:
    with _Canary() as server:
        yield server
        server.shutdown()


PLACES = {
    "http": "http://127.0.0.1:{port}/a.csv",
    "webhdfs": "webhdfs://127.0.0.1:{port}/a.csv",
    "ftp": "ftp://127.0.0.1:{port}/a.csv",
    "sftp": "sftp://127.0.0.1:{port}/a.csv",
    "smb": "smb://127.0.0.1:{port}/a/a.csv",
    "chained": "zip://a.csv::http://127.0.0.1:{port}/a.zip",
    "cached": "simplecache::http://127.0.0.1:{port}/a.csv",
    "reference": "reference://a::http://127.0.0.1:{port}/a.json",
    "github": "github://acme:data@main/a.csv",
    "memory": "memory://a.csv",
    "inline": "data:text/csv,a",
    "other-repository": "hf://datasets/reader/private@main/*.csv",
    "same-repository-elsewhere": "hf://datasets/reader/private/../x/*.csv",
    "bucket": "hf://buckets/reader/private/*.csv",
    "file": "file://{folder}/*.csv",
    "absolute": "{folder}/*.csv",
    "home": "~/*.csv",
    "above": "../../private/*.csv",
    "above-within": "data/../../**",
    "backslash": "..\\\\..\\\\*.csv",
}

SPELLINGS = {
    "plain": "---\n{block}---\n",
    "carriage-returns": "---\r{cr}---",
    "both-line-ends": "---\r\n{crlf}---\r\n",
    "byte-order-mark": "\ufeff---\n{block}---\n",
    "key-like-an-end": "---\nlicense: mit\n---x: 1\n{block}---\n",
    "spaces-before": "\n\n   ---\n{block}---\n",
    "spaces-behind": "---\n{block}---   \n",
    "second-block": "# Title\n\ntext\n---\n{block}---\n",
    "no-end-of-line": "---\n{block}---",
    "anchors": "---\nx: &x\n- config_name: default\n  data_files: {place}\nconfigs: *x\n---\n",
    "merged": "---\nx: &x {{data_files: {place}}}\nconfigs:\n- config_name: default\n  <<: *x\n---\n",
    "split-list": "---\nconfigs:\n- config_name: x\n  data_files: [{{split: train, path: [data.csv, {place}]}}]\n---\n",
    "data-dir": "---\nconfigs:\n- config_name: default\n  data_dir: {place}\n---\n",
    "behind-20-mb": "---\nlicense: mit\n{comment}{block}---\n",
}


def card(spelling: str, place: str) -> str:
    block = CONFIGS.format(json.dumps(place))
    return SPELLINGS[spelling].format(
        block=block,
        cr=block.replace("\n", "\r"),
        crlf=block.replace("\n", "\r\n"),
        place=json.dumps(place),
        comment=("# " + "x" * 1000 + "\n") * 21_000 if spelling == "behind-20-mb" else "",
    )


CASES = [
    *((place, "plain") for place in PLACES),
    *((place, spelling) for spelling in SPELLINGS if spelling != "plain" for place in ("webhdfs", "other-repository")),
    *((place, "standalone") for place in ("webhdfs", "other-repository", "absolute")),
]


@pytest.mark.parametrize(("place", "spelling"), CASES, ids=[f"{place}-{spelling}" for place, spelling in CASES])
def test_no_file_of_another_place_is_asked_for(quick_world: World, canary: _Canary, place: str, spelling: str) -> None:
    folder = quick_world.folder.parent / "victim"
    folder.mkdir()
    (folder / "salaries-2026.csv").write_text("a,b\n1,2\n")
    address = PLACES[place].format(port=canary.server_address[1], folder=folder)
    if spelling == "standalone":
        files = {".huggingface.yaml": CONFIGS.format(json.dumps(address)), **DATA}
    else:
        files = {"README.md": card(spelling, address), **DATA}
    hf_id = serve(quick_world, files)
    quick_world.hub.clear_log()
    done = quick_world.run("plan", quick_world.add(hf_id), "--json")
    reasons = [error["reason"] for error in json.loads(done.out)["errors"]]
    # a block that does not begin the card is none, for `datasets` too
    expected = {"behind-20-mb": ["reader_limit"], "second-block": []}.get(spelling, ["foreign_files"])
    assert (done.code, reasons) == (4 if expected else 0, expected), done
    assert canary.visits == []
    strangers = [request.target for request in quick_world.hub.requests() if hf_id not in request.target]
    assert strangers == []
    assert "salaries-2026" not in done.out + done.err
    assert TOKEN_FILE not in done.out + done.err


ORDINARY = {
    "card": ("---\nlicense: mit\n" + CONFIGS.format("data/*.csv") + "---\n", "data/train.csv"),
    "splits": (
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: a/**/x*.csv\n---\n",
        "a/b/x1.csv",
    ),
    "folder": ("---\nconfigs:\n- config_name: default\n  data_dir: data\n---\n", "data/train.csv"),
    "colon-in-a-name": ("---\n" + CONFIGS.format('"data/12:30.csv"') + "---\n", "data/12:30.csv"),
    "dots-in-a-name": ("---\n" + CONFIGS.format('"data/a..b.csv"') + "---\n", "data/a..b.csv"),
}


@pytest.mark.parametrize("kind", ORDINARY)
def test_files_of_the_repository_are_read(quick_world: World, kind: str) -> None:
    text, path = ORDINARY[kind]
    done = quick_world.run(
        "plan", quick_world.add(serve(quick_world, {"README.md": text, path: "a,b\n1,2\n"})), "--json"
    )
    assert done.code == 0, done


# -- the policy comes first ------------------------------------------------------------------------------------------

REFUSED = {
    "add": {"hf_id": "stranger/data", "description": "For the tests."},
    "publish": {"repo_id": "stranger/data", "description": "For the tests.", "path": "data.csv", "split": "train"},
    "remove": {"hf_id": "stranger/data", "reason": "Not needed any more.", "target": "hub", "subset": "x"},
}


@pytest.mark.parametrize("command", ["plan", "validate"])
@pytest.mark.parametrize("kind", REFUSED)
def test_what_the_policy_refuses_by_its_text_never_reaches_the_hub(quick_world: World, kind: str, command: str) -> None:
    request = quick_world.request(kind, "one", REFUSED[kind])
    (quick_world.folder / "data.csv").write_text("a\n1\n")
    rules = "datasets:\n  organisations: [acme]\npublishing:\n  organisations: [acme]\n"
    (quick_world.folder / "hugflow.yaml").write_text(rules)
    quick_world.hub.clear_log()
    done = quick_world.run(command, request)
    assert done.code == 4, done
    assert f"{request}:1:" in done.err
    assert "the policy allows" in done.err
    assert quick_world.hub.requests() == []
