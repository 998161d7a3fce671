"""The journal: its records are true or it is refused; a torn end is dropped."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hugflow.model.errors import ExitCode, StorageFault
from hugflow.model.records import RowRecord
from hugflow.storage import journal
from hugflow.storage.journal import Journal, JournalState

NAME, SHA = "acme__speech__split_train__rev_main", "c0ffee" * 6 + "beef"


def ok(row: int, **values: object) -> RowRecord:
    facts = {
        "audio": f"clip__{row}.mp3",
        "audio_bytes": 1000 + row,
        "audio_sha256": f"{row:064x}",
        "json_bytes": 70,
        "json_sha256": f"{row + 1:064x}",
        "samples": 16_000,
        "sample_rate": 16_000,
    }
    return RowRecord(row, "ok", **facts | values)  # type: ignore[arg-type]  # a helper takes any field


def failed(row: int) -> RowRecord:
    return RowRecord(row, "failed", reason="decode_failed", message="it is damaged\nin «two» lines")


def write(path: Path, *groups: Iterable[RowRecord], name: str = NAME, sha: str = SHA) -> JournalState:
    opened = Journal.open(path, name, sha)
    opened.begin_run({"time": "2026-01-01T00:00:00+00:00", "version": "1"})
    for group in groups:
        opened.append_rows(list(group))
    opened.close()
    return opened.state


def rows_of(state: JournalState | None) -> tuple[list[int], list[int]]:
    return (list(state.done), sorted(state.failed)) if state else ([], [])


def read_or_refused(path: Path) -> tuple[list[int], list[int]] | str | None:
    """The rows that a journal speaks of, None where there is none, or why it is refused."""
    try:
        state = journal.read(path)
    except StorageFault as error:
        return error.reason
    return None if state is None else rows_of(state)


# -- what is written is read -------------------------------------------------------------------------------------------


def test_what_was_committed_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state" / "journal.jsonl"
    written = write(path, [ok(0), ok(1)], [failed(2), ok(3, audio=None, audio_bytes=0, samples=0, sample_rate=0)])
    state = journal.read(path)
    assert state == written
    assert state is not None
    assert (state.name, state.sha, state.runs) == (NAME, SHA, 1)
    assert rows_of(state) == ([0, 1, 3], [2])
    assert state.failed[2] == failed(2)
    assert (state.tally.audio_files, state.tally.audio_bytes) == (2, 2001)
    assert (state.tally.json_bytes, state.tally.duration_s) == (210, 2.0)
    assert list(journal.records(path, state.groups))[:2] == [ok(0), ok(1)]


def test_there_is_none(tmp_path: Path) -> None:
    assert journal.read(tmp_path / "none.jsonl") is None


def test_runs_are_counted_and_rows_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, [ok(0)])
    before = path.read_bytes()
    write(path, [ok(1)])
    state = journal.read(path)
    assert state is not None
    assert state.runs == 2
    assert rows_of(state) == ([0, 1], [])
    assert path.read_bytes().startswith(before), "a journal is only ever appended to"


def test_a_line_is_json_for_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, [ok(0)])
    header, run, rows = (json.loads(line) for line in path.read_text().splitlines())
    assert header["v"]["columns"] == list(RowRecord._fields)
    assert (run["v"]["kind"], run["v"]["run"]) == ("run", 1)
    assert RowRecord(*rows["v"]["rows"][0]) == ok(0)
    for line in path.read_bytes().splitlines():
        body = line.partition(b',"v":')[2][:-1]
        assert json.loads(line)["crc"] == f"{zlib.crc32(body):08x}"


# -- what a later line says counts -------------------------------------------------------------------------------------


def test_a_row_that_failed_and_then_succeeded_is_done(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    state = write(path, [failed(0), ok(1)], [ok(0)])
    assert rows_of(state) == ([0, 1], [])
    assert rows_of(journal.read(path)) == ([0, 1], [])
    assert list(journal.records(path, state.groups)) == [ok(0), ok(1)]


def test_a_row_that_was_done_and_then_failed_is_not_done(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    state = write(path, [ok(0), ok(1)], [failed(0)])
    assert rows_of(state) == ([1], [0])
    assert journal.read(path) == state
    assert list(journal.records(path, state.groups)) == [failed(0), ok(1)]


def test_a_row_that_is_done_again_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    state = write(path, [ok(0), ok(1)], [ok(1, audio_bytes=5), ok(0)])
    assert (state.tally.audio_files, state.tally.audio_bytes, state.tally.duration_s) == (2, 2001, 2.0)
    assert list(journal.records(path, state.groups)) == [ok(0), ok(1, audio_bytes=5)]


row_record = st.builds(
    lambda row, is_ok, size: ok(row, audio_bytes=size) if is_ok else failed(row),
    st.integers(0, 30),
    st.booleans(),
    st.integers(0, 5),
)
groups_of_rows = st.lists(
    st.lists(row_record, min_size=1, max_size=8, unique_by=lambda record: record.row), max_size=12
)


@given(groups_of_rows)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_records_are_each_row_once_in_order_as_last_said(tmp_path: Path, groups: list[list[RowRecord]]) -> None:
    path = tmp_path / "journal.jsonl"
    path.unlink(missing_ok=True)
    state = write(path, *groups)
    last = {record.row: record for group in groups for record in group}
    assert list(journal.records(path, state.groups)) == [last[row] for row in sorted(last)]
    assert rows_of(state) == (
        sorted(row for row, record in last.items() if record.status == "ok"),
        sorted(row for row, record in last.items() if record.status == "failed"),
    )
    assert journal.read(path) == state


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    """A journal of three lines after its header: a run, and groups of rows 0-1 and 2-3."""
    path = tmp_path / "whole.jsonl"
    write(path, [ok(0), ok(1)], [failed(2), ok(3)])
    return path.read_bytes()


def test_cut_at_every_byte_it_says_what_its_whole_lines_say(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        lines = whole[:size].count(b"\n")
        expected = {4: ([0, 1, 3], [2]), 3: ([0, 1], [])}.get(lines, ([], []))
        state = journal.read(path)
        assert (state is None) == (lines == 0)
        assert rows_of(state) == expected


def test_cut_at_every_byte_it_can_be_continued(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        before = rows_of(journal.read(path))
        opened = Journal.open(path, NAME, SHA)
        assert rows_of(opened.state) == before
        opened.append_rows([ok(9)])
        opened.close()
        again = journal.read(path)
        assert again == opened.state
        assert rows_of(again) == ([*before[0], 9], before[1])


@pytest.mark.parametrize("damage", [0x01, 0x20, 0x80, 0xFF], ids=hex)
def test_with_a_wrong_byte_anywhere_it_never_says_what_was_not_written(
    tmp_path: Path, whole: bytes, damage: int
) -> None:
    path = tmp_path / "journal.jsonl"
    last_line = whole.rstrip(b"\n").rfind(b"\n") + 1
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ damage]) + whole[at + 1 :])
        found = read_or_refused(path)
        # only the last line can be taken for torn; the end of the one before it belongs to it
        torn = [([0, 1], []), ([], [])] if at >= last_line - 1 else []
        assert found in ["damaged_journal", *torn], f"damage at byte {at} was not seen"


def test_a_tail_of_zeros_is_a_torn_end(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(whole + b"\0" * 4096)
    assert rows_of(journal.read(path)) == ([0, 1, 3], [2])


@given(st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_garbage_is_refused_or_nothing(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(garbage)
    assert read_or_refused(path) in (None, "damaged_journal")


@given(st.binary(min_size=1, max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_garbage_behind_whole_lines_adds_nothing(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.unlink(missing_ok=True)
    write(path, [ok(0), ok(1)])
    with path.open("ab") as file:
        file.write(garbage)
    assert read_or_refused(path) in (([0, 1], []), "damaged_journal")


def _line(value: dict[str, object]) -> bytes:
    body = json.dumps(value, separators=(",", ":")).encode()
    return b'{"crc":"%08x","v":%s}\n' % (zlib.crc32(body), body)


def test_one_of_a_newer_version_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(_line({"kind": "header", "schema_version": 2, "name": NAME, "sha": SHA, "columns": []}))
    with pytest.raises(StorageFault, match="newer Hugflow") as caught:
        journal.read(path)
    assert caught.value.reason == "newer_schema"


@pytest.mark.parametrize("value", [{"kind": "rows", "rows": []}, {"kind": "header"}, {"kind": "header", "name": NAME}])
def test_one_without_a_header_is_refused(tmp_path: Path, value: dict[str, object]) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(_line(value) + _line({"kind": "run", "run": 1}))
    with pytest.raises(StorageFault, match="no header"):
        journal.read(path)


@pytest.mark.parametrize("changed", [{"name": "another"}, {"sha": "0" * 40}])
def test_that_of_another_dataset_or_commit_is_refused_and_kept(tmp_path: Path, changed: dict[str, str]) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, [ok(0)])
    before = path.read_bytes()
    with pytest.raises(StorageFault, match="it belongs to") as caught:
        Journal.open(path, **{"name": NAME, "sha": SHA} | changed)
    assert caught.value.reason == "foreign_journal"
    assert "--restart" in caught.value.fix
    assert path.read_bytes() == before


def test_a_damaged_one_is_not_changed_by_opening_it(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    damaged = whole[:200] + b"#" + whole[201:]
    path.write_bytes(damaged)
    with pytest.raises(StorageFault) as caught:
        Journal.open(path, NAME, SHA)
    assert (caught.value.reason, caught.value.exit_code) == ("damaged_journal", ExitCode.STORAGE_FAULT)
    assert "--repair" in caught.value.fix
    assert path.read_bytes() == damaged


def test_damage_that_comes_after_reading_is_seen_by_records(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    state = write(path, [ok(0)], [ok(1)])
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(StorageFault, match="damaged at byte"):
        list(journal.records(path, state.groups))


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "somebody's file"
    target.write_bytes(b"")
    link = tmp_path / "journal.jsonl"
    link.symlink_to(target)
    with pytest.raises(StorageFault):
        Journal.open(link, NAME, SHA)
    assert target.read_bytes() == b""
