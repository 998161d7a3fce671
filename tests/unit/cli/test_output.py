"""Output of commands: results on stdout, all else on stderr, secrets in neither."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from hugflow.cli.output import JsonLines, Output, TextLines
from hugflow.config.settings import Settings
from hugflow.text.redact import Redactor

SECRET = "hf_ATestSecretThatMustNotBeShown"


class Captured(Output):
    """An output whose streams are kept."""

    @property
    def out(self) -> str:
        return self.stdout.getvalue()  # type: ignore[attr-defined]  # a StringIO

    @property
    def err(self) -> str:
        return self.stderr.getvalue()  # type: ignore[attr-defined]  # a StringIO


def captured(**settings: bool) -> Captured:
    return Captured(redactor=Redactor([SECRET]), stdout=io.StringIO(), stderr=io.StringIO(), **settings)  # type: ignore[arg-type]  # streams and flags


def test_results_go_to_stdout_and_complaints_to_stderr() -> None:
    output = captured()
    output.say("done")
    output.complain("not done\n")
    assert (output.out, output.err) == ("done\n", "not done\n")


def test_with_json_stdout_has_the_object_and_nothing_else() -> None:
    output = captured(json=True)
    output.say("done")
    output.complain("a word")
    output.document({"answer": 42, "name": "Grüezi", "path": Path("/x")})
    assert json.loads(output.out) == {"answer": 42, "name": "Grüezi", "path": "/x"}
    assert "Grüezi" in output.out
    assert output.err == "a word\n"


@pytest.mark.parametrize(
    "text",
    [
        "invoice\u202egpj.exe",
        "a\u2028b\u2029c\x85d",
        "\u2066x\u2069 \u061c\u200e\u200f",
        "\ufeff\u200b\u00ad\x7f\x9b31m",
        "\U000e0041\U000e007f",
        "half \ud800",
    ],
)
def test_json_has_no_character_that_acts_and_keeps_the_value(text: str) -> None:
    output = captured(json=True)
    output.document({text: [text, {"é": text}]})
    assert json.loads(output.out) == {text: [text, {"é": text}]}
    assert all(character.isprintable() or character == "\n" for character in output.out)
    assert '"é"' in output.out
    record = logging.LogRecord("hugflow", logging.INFO, "x.py", 1, text, (), None)
    line = JsonLines(Redactor([])).format(record)
    assert json.loads(line)["message"] == text
    assert line.isprintable()


def test_without_json_there_is_no_object() -> None:
    output = captured()
    output.document({"answer": 42})
    assert output.out == ""


def test_quiet_says_errors_only() -> None:
    output = captured(quiet=True)
    output.say("done")
    output.complain("not done")
    assert (output.out, output.err) == ("", "not done\n")


def test_secrets_are_masked_on_every_way_out() -> None:
    plain, as_json = captured(), captured(json=True)
    plain.say(f"a {SECRET} b")
    plain.complain(f"a {SECRET} b")
    as_json.document({"token": SECRET})
    assert SECRET not in plain.out + plain.err + as_json.out
    assert "***" in plain.out
    assert json.loads(as_json.out) == {"token": "***"}


def test_a_terminal_that_lacks_signs_gets_others() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    output = Output(json=False, stdout=stream, stderr=stream)
    output.say("✓ done… Grüezi")
    output.json = True
    output.document({"name": "Grüezi"})
    text = raw.getvalue().decode("ascii")
    assert "done" in text
    assert json.loads(text[text.index("{") :]) == {"name": "Grüezi"}


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back as it was."""
    root, ours = logging.getLogger(), logging.getLogger("hugflow")
    before = root.handlers[:], root.level, ours.level
    yield root
    for handler in set(root.handlers) - set(before[0]):
        handler.close()
    root.handlers[:], root.level, ours.level = before


def record(message: str, *args: object, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("hugflow.x", level, __file__, 1, message, args, None)


def test_a_line_of_text_does_nothing_on_a_terminal() -> None:
    text = TextLines(Redactor([SECRET])).format(record("row %s: %s", "\x1b[31m\n::error::x", SECRET))
    assert "\x1b" not in text
    assert SECRET not in text
    assert "INFO row" in text


def test_a_line_of_json_is_an_object() -> None:
    line = json.loads(JsonLines(Redactor([SECRET])).format(record('a "quoted"\nword %s', SECRET)))
    assert (line["level"], line["logger"], line["message"]) == ("INFO", "hugflow.x", 'a "quoted"\nword ***')
    assert line["time"].endswith("+00:00")


def test_a_traceback_is_in_the_log_without_secrets() -> None:
    with pytest.raises(ValueError, match="invalid literal") as caught:
        int(SECRET)
    failed = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", (), (ValueError, caught.value, caught.tb))
    assert "Traceback" in json.loads(JsonLines(Redactor([SECRET])).format(failed))["traceback"]
    assert SECRET not in JsonLines(Redactor([SECRET])).format(failed)
    assert SECRET not in TextLines(Redactor([SECRET])).format(failed)


def test_the_log_goes_to_a_file_as_well(tmp_path: Path, root: logging.Logger) -> None:
    output = captured()
    settings = Settings(log_file=str(tmp_path / "x.log"), log_format="json")
    output.configure_logging(settings, verbose=False)
    logging.getLogger("hugflow.test").info("hello %s", SECRET)
    logging.getLogger("some.library").info("not heard")
    (line,) = (tmp_path / "x.log").read_text().splitlines()
    assert json.loads(line)["message"] == "hello ***"


@pytest.mark.parametrize(("verbose", "heard"), [(False, ["ours"]), (True, ["ours", "detail", "theirs"])])
def test_libraries_are_heard_when_everything_is(
    tmp_path: Path, root: logging.Logger, verbose: bool, heard: list[str]
) -> None:
    captured().configure_logging(Settings(log_file=str(tmp_path / "x.log")), verbose=verbose)
    logging.getLogger("hugflow.test").info("ours")
    logging.getLogger("hugflow.test").debug("detail")
    logging.getLogger("some.library").debug("theirs")
    written = (tmp_path / "x.log").read_text()
    assert [word for word in ("ours", "detail", "theirs") if word in written] == heard
