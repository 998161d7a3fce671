"""Request files: their kinds, reading from disk, and the positions of fields."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hugflow.model.errors import ExitCode, InvalidRequest
from hugflow.model.spec_types import Kind
from hugflow.model.specs import AddSpec, PublishSpec, RemoveSpec
from hugflow.request.file import InvalidRequestFile, ParsedRequest, Problem, kind_of, load, load_all, parse
from tests.support import generated

ADD = "hf_id: acme/speech\ndescription: Read speech\n"


def problems_of(text: str | bytes, path: str = "requests/add/x.yaml") -> list[str]:
    """What is said about a request, without its path."""
    with pytest.raises(InvalidRequestFile) as caught:
        parse(text if isinstance(text, bytes) else text.encode(), path)
    return [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]


# -- what is right ---------------------------------------------------------------------------------------------------


def test_each_kind_is_read() -> None:
    add = parse(ADD.encode(), "requests/add/x.yaml")
    assert add.spec == AddSpec(hf_id="acme/speech", description="Read speech")
    remove = parse(b"hf_id: acme/speech\nreason: Replaced\n", "requests/remove/x.yml")
    assert remove.spec == RemoveSpec(hf_id="acme/speech", reason="Replaced")
    publish = parse(b"repo_id: acme/market\npath: data\n", "requests/publish/x.yaml")
    assert publish.spec == PublishSpec(repo_id="acme/market", path="data")
    assert [request.kind for request in (add, remove, publish)] == ["add", "remove", "publish"]


def test_the_name_of_a_file_never_decides() -> None:
    assert isinstance(parse(ADD.encode(), "requests/add/remove_noise.yaml").spec, AddSpec)


def test_a_given_kind_beats_the_folder() -> None:
    assert isinstance(parse(ADD.encode(), "x.yaml", "add").spec, AddSpec)


def test_values_of_every_form() -> None:
    text = (
        "# a comment\n---\n"
        "hf_id: 'acme/speech'  # another\n"
        "description: |\n  Two lines:\n  and `# this`\n"
        'revision: "1.0"\n'
        "subset: null\n"
        "audio_column: >-\n  my\n  audio\n"
        "max_failed_rows: 12\n"
        "reencode: true\n"
        "..."
    )
    spec = parse(text.encode(), "requests/add/x.yaml").spec
    assert isinstance(spec, AddSpec)
    assert (spec.revision, spec.subset, spec.max_failed_rows, spec.reencode) == ("1.0", None, 12, True)
    assert (spec.description, spec.audio_column) == ("Two lines:\nand `# this`\n", "my audio")


def test_flow_style_and_json_are_yaml_too() -> None:
    spec = parse(b'{"hf_id": "acme/speech", "description": "x", "max_failed_rows": 0}', "requests/add/x.yaml").spec
    assert spec == AddSpec(hf_id="acme/speech", description="x")


def test_a_byte_order_mark_and_windows_line_ends_change_no_position() -> None:
    text = "\ufeffhf_id: acme/speech\r\ndescription: x\r\nsplit: test\r\n"
    request = parse(text.encode(), "requests/add/x.yaml")
    assert (request.at("hf_id").line, request.at("hf_id").column) == (1, 8)
    assert (request.at("split").line, request.at("split").column) == (3, 8)


def test_line_breaks_that_editors_do_not_count_change_no_position() -> None:
    text = 'hf_id: acme/speech\ndescription: "one\u2028two\u0085three"\nsplit: a b\n'
    assert problems_of(text) == [
        "3:8: split: must be the name of a split, like `train`: letters, digits, `_` and single dots; found `a b`"
    ]


# -- positions -------------------------------------------------------------------------------------------------------

TABLES = b"""repo_id: acme/market
tables:
  - name: prices
    path: data/prices.csv
    quality:
      range: {close: [0, null]}
"""


def test_every_field_knows_its_place() -> None:
    request = parse(TABLES, "requests/publish/x.yaml")
    places = {loc: (at.line, at.column) for loc, at in request.positions.items()}
    assert places == {
        (): (1, 1),
        ("repo_id",): (1, 10),
        ("tables",): (3, 3),
        ("tables", 0): (3, 5),
        ("tables", 0, "name"): (3, 11),
        ("tables", 0, "path"): (4, 11),
        ("tables", 0, "quality"): (6, 7),
        ("tables", 0, "quality", "range"): (6, 14),
        ("tables", 0, "quality", "range", "close"): (6, 22),
        ("tables", 0, "quality", "range", "close", 0): (6, 23),
        ("tables", 0, "quality", "range", "close", 1): (6, 26),
    }


def test_problems_found_later_stand_at_the_field() -> None:
    request = parse(TABLES, "requests/publish/x.yaml")
    problem = request.problem("tables", 0, "name", message="is taken")
    assert str(problem) == "requests/publish/x.yaml:3:11: tables[0].name: is taken"
    default = request.problem("tables", 0, "interval", message="is missing")
    assert (default.line, default.column, default.field) == (3, 5, "tables[0].interval")
    whole = request.problem(message="is stale")
    assert (whole.line, whole.column, whole.field) == (1, 1, "file")


def test_a_spec_without_a_file_has_no_places() -> None:
    request = ParsedRequest("the command line", AddSpec(hf_id="acme/speech", description="x"), {})
    assert str(request.problem("split", message="is wrong")) == "the command line:1:1: split: is wrong"


def test_a_problem_is_shown_without_what_its_path_could_do_to_a_terminal() -> None:
    problem = Problem("requests/add/\x1b[31m\n.yaml", 1, 2, "file", "is wrong")
    assert str(problem) == "requests/add/\\x1b[31m\\n.yaml:1:2: file: is wrong"


# -- what is wrong ---------------------------------------------------------------------------------------------------


def test_malformed_requests_are_refused_in_these_words() -> None:
    assert len(generated.malformed_requests()) >= 80
    assert generated.messages() == generated.MESSAGES.read_text("utf-8"), (
        "`python -m tests.support.generated`, then read the diff"
    )
    assert "NOTHING IS WRONG" not in generated.messages()


def test_messages_are_harmless_and_plain() -> None:
    text = generated.messages()
    assert all(line.isprintable() for line in text.splitlines())
    for jargon in (
        "pydantic",
        "Input should",
        "valid string",
        "Traceback",
        "while parsing",
        "<block",
        "None",
        "UNCLEAR",
    ):
        assert jargon not in text


def test_the_error_carries_all_problems_in_order() -> None:
    with pytest.raises(InvalidRequestFile) as caught:
        parse(b"split: a b\nhf_id: x\n", "requests/add/x.yaml")
    error = caught.value
    assert isinstance(error, InvalidRequest)
    assert (error.exit_code, error.reason) == (ExitCode.CHANGE_NEEDED, "invalid_request")
    assert [(problem.line, problem.field) for problem in error.problems] == [
        (1, "description"),
        (1, "split"),
        (2, "hf_id"),
    ]
    assert str(error).splitlines()[0] == "reading requests/add/x.yaml: there are 3 problems"
    assert all(str(problem) in str(error) for problem in error.problems)


def test_a_text_that_is_too_long() -> None:
    assert problems_of(f"hf_id: acme/speech\ndescription: {'x' * 10_001}\n") == [
        "2:14: description: must have at most 10,000 characters"
    ]


def test_a_file_that_is_too_large() -> None:
    comment = "#" * (64 * 1024 - len(ADD))
    assert parse((ADD + comment).encode(), "requests/add/x.yaml").spec
    assert problems_of(ADD + comment + "#") == ["1:1: file: is larger than 64 KiB; make it shorter"]


@pytest.mark.parametrize("text", ["[" * 60_000, "{" * 60_000, "- " * 30_000, "? " * 30_000, "a: &x [*x, *x]\n" * 4000])
def test_hostile_yaml_ends_at_once(text: str) -> None:
    assert problems_of(text)


def test_an_empty_table_group_is_not_taken_for_missing_fields_of_the_root() -> None:
    assert problems_of("repo_id: acme/market\ntables:\n  - {}\n", "requests/publish/x.yaml") == [
        "3:5: tables[0]: must come with the table's data: add `path`, or `splits` with a path for each split",
        "3:5: tables[0].name: is missing; add `name: ...`",
    ]


# -- folders and names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("requests/add/x.yaml", "add"),
        ("requests/remove/x.yml", "remove"),
        ("./requests/publish/x.yaml", "publish"),
        ("requests/add/remove.yaml", "add"),
        ("/srv/requests/data/requests/add/x.yaml", "add"),
        ("../checkout/requests/remove/x.yaml", "remove"),
        ("examples/add/x.yaml", "add"),
        ("add/x.yaml", "add"),
        ("requests/.gitkeep", None),
        ("requests/add/.gitkeep", None),
        ("requests/README.md", None),
    ],
)
def test_the_folder_decides(path: str, kind: Kind | None) -> None:
    assert kind_of(path) == kind
    assert kind_of(Path(path)) == kind


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("requests/add/2024/x.yaml", "is in a nested folder"),
        ("requests/publish/requests/add/x.yaml", "is in a nested folder"),
        ("/srv/requests/add/old/add/x.yaml", "is in a nested folder"),
        ("requests/x.yaml", "put it into `requests/add/` or `requests/remove/` or `requests/publish/`"),
        ("requests/adds/x.yaml", "did you mean requests/add/?"),
        ("requests/Remove/x.yaml", "did you mean requests/remove/?"),
        ("x.yaml", "is in no folder of requests"),
        ("requests/add/x.YAML", "must end with `.yaml` or `.yml`, in small letters"),
        ("requests/add/x.json", "must end with `.yaml` or `.yml`"),
        ("requests/add/x", "must end with `.yaml` or `.yml`"),
        ("requests/add/.yaml", "must end with `.yaml` or `.yml`"),
        ("requests/add/.env", "must end with `.yaml` or `.yml`"),
    ],
)
def test_a_misplaced_file_hears_where_it_belongs(path: str, message: str) -> None:
    with pytest.raises(InvalidRequestFile) as caught:
        kind_of(path)
    (problem,) = caught.value.problems
    assert (problem.path, problem.line, problem.column, problem.field) == (path, 1, 1, "file")
    assert message in problem.message


def test_what_stands_beside_requests_is_none() -> None:
    assert problems_of("", "requests/README.md") == ["1:1: file: is not a request"]


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "requests" / "add"
    folder.mkdir(parents=True)
    return folder


def _refusal(path: Path) -> str:
    with pytest.raises(InvalidRequestFile) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert (problem.path, problem.line, problem.column) == (str(path), 1, 1)
    return f"{problem.field}: {problem.message}"


def test_a_file_is_read(folder: Path) -> None:
    (folder / "x.yaml").write_text(ADD)
    request = load(folder / "x.yaml")
    assert request.path == str(folder / "x.yaml")
    assert request.spec == AddSpec(hf_id="acme/speech", description="Read speech")


def test_a_link_is_refused_even_to_a_right_request(folder: Path) -> None:
    (folder / "x.yaml").write_text(ADD)
    (folder / "link.yaml").symlink_to("x.yaml")
    (folder / "loop.yaml").symlink_to("loop.yaml")
    for name in ("link.yaml", "loop.yaml"):
        assert _refusal(folder / name) == "file: is a symbolic link; a request must be a file itself"


def test_what_is_no_regular_file_is_refused(folder: Path) -> None:
    (folder / "folder.yaml").mkdir()
    os.mkfifo(folder / "fifo.yaml")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket.yaml"))
        assert _refusal(folder / "socket.yaml") == "file: is not a regular file"
    assert _refusal(folder / "fifo.yaml") == "file: is not a regular file"
    assert _refusal(folder / "folder.yaml") == "file: is a folder; name the request files in it"


def test_what_does_not_exist_is_refused(folder: Path) -> None:
    (folder / "x.yaml").write_text(ADD)
    (folder / "add").write_text("a file where a folder is meant")
    missing = "file: does not exist; check the path"
    assert _refusal(folder / "y.yaml") == missing
    assert _refusal(folder.parent / "x" / "add" / "y.yaml") == missing
    assert _refusal(folder / "nul\0.yaml") == missing
    assert _refusal(folder / "half\ud800.yaml") == missing


def test_a_large_file_is_not_read_to_its_end(folder: Path) -> None:
    with (folder / "x.yaml").open("wb") as file:
        file.truncate(1 << 40)
    assert _refusal(folder / "x.yaml") == "file: is larger than 64 KiB; make it shorter"


def test_descriptors_are_closed(folder: Path) -> None:
    (folder / "folder.yaml").mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        _refusal(folder / "folder.yaml")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_several_files_are_all_read(folder: Path) -> None:
    (folder / "a.yaml").write_text(ADD)
    (folder / "b.yaml").write_text("hf_id: x\n")
    (folder / "c.yaml").write_text(ADD.replace("speech", "other"))
    requests, problems = load_all([folder / name for name in ("a.yaml", "b.yaml", "missing.yaml", "c.yaml", "d.txt")])
    assert [Path(request.path).name for request in requests] == ["a.yaml", "c.yaml"]
    assert [(Path(problem.path).name, problem.field) for problem in problems] == [
        ("b.yaml", "description"),
        ("b.yaml", "hf_id"),
        ("missing.yaml", "file"),
        ("d.txt", "file"),
    ]


# -- where the fields of errors stand ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("repo_id", 1),
        ("tables[1]", 4),
        ("tables[1].name", 4),
        ("tables[1].quality.range.a.b", 6),
        ("tables[1].quality.range.close", 6),
        ("tables[1].quality.unique", 6),
        ("tables[7].path", 3),
        ("tables[1].splits.train", 4),
        ("no_such_field", 1),
        ("", 1),
        (None, 1),
        ("[[[", 1),
        ("...", 1),
    ],
)
def test_the_field_that_an_error_names_is_found_in_the_file(field: str | None, line: int) -> None:
    text = b"""repo_id: acme/x
tables:
  - {name: a, path: a.csv}
  - name: b
    quality:
      range: {a.b: [0, 1]}
    path: b.csv
"""
    assert parse(text, "requests/publish/x.yaml").at_field(field).line == line


# -- weight ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "module", ["request.file", "request.validator", "config.loading", "request.json_schema", "text.redact"]
)
def test_the_module_imports_nothing_heavy(module: str, clean_environ: dict[str, str]) -> None:
    code = f"""
import sys, hugflow.{module}
heavy = {{"datasets", "pyarrow", "huggingface_hub", "rich", "numpy", "typer"}} & set(sys.modules)
sys.exit(f"imports {{sorted(heavy)}}" if heavy else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean_environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
