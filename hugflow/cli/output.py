"""Output of commands: text for people, one JSON object, or the log. Secrets are masked in all of them."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from hugflow.render.humanize import no_commands
from hugflow.report.json_output import encode_json
from hugflow.text.printable import printable
from hugflow.text.redact import Redactor

if TYPE_CHECKING:
    from rich.console import Console

    from hugflow.config.settings import Settings


_PLAIN_SIGNS = str.maketrans({"✓": "+", "✗": "x", "…": "..."})


@dataclass(slots=True)
class Output:
    """Results go to stdout, everything else to stderr. With `json`, stdout has one JSON object and nothing else.

    `in_actions`: all of it is the log of a job on GitHub, in which some lines are commands to the runner.
    A stream that takes no more (its reader went away, its disk is full) does not stop the work: `unprinted` is why the
    last text did not get to stdout, for whoever ends the process.
    """

    json: bool = False
    quiet: bool = False
    in_actions: bool = False
    unprinted: OSError | None = None
    redactor: Redactor = field(default_factory=Redactor)
    stdout: TextIO = field(default_factory=lambda: sys.stdout)
    stderr: TextIO = field(default_factory=lambda: sys.stderr)

    def say(self, text: str) -> None:
        """Print for people; silent with --json and --quiet."""
        if not self.json and not self.quiet:
            self._write(self.stdout, text)

    def command(self, text: str) -> None:
        """Print workflow commands for the job's runner; the caller has escaped their values."""
        if not self.json and not self.quiet:
            self._write(self.stdout, text, commands=True)

    def complain(self, text: str) -> None:
        """Print an error."""
        self._write(self.stderr, text)

    def document(self, value: dict[str, Any]) -> None:
        """Print the one JSON object of `--json`."""
        if not self.json:
            return
        text = encode_json(value, indent=2)
        if not _encodable(text, self.stdout):
            text = encode_json(value, indent=2, ascii_only=True)
        text = self.redactor.text(text)
        # the only command that is read in the middle of a line; JSON can escape it
        self._put(self.stdout, (text.replace("##[", "##\\u005b") if self.in_actions else text) + "\n")

    def _write(self, stream: TextIO, text: str, *, commands: bool = False) -> None:
        """Print text, with what the stream cannot encode escaped, and no-break spaces as plain ones, for searches."""
        text = self.redactor.text(text if text.endswith("\n") else text + "\n").replace("\u00a0", " ")
        if self.in_actions and not commands:
            text = no_commands(text)
        if not _encodable(text, stream):
            text = text.translate(_PLAIN_SIGNS).encode(stream.encoding, "replace").decode(stream.encoding)
        self._put(stream, text)

    def _put(self, stream: TextIO, text: str) -> None:
        try:
            stream.write(text)
        except OSError as error:
            if stream is self.stdout:
                self.unprinted = error

    def console(self) -> Console:
        """A Rich console on stderr, because progress is not a result."""
        from rich.console import Console

        return Console(file=self.stderr, highlight=False)

    def configure_logging(self, settings: Settings, *, verbose: bool) -> None:
        """Send the log to stderr and to LOG_FILE; from libraries only warnings and errors, unless `verbose`."""
        level = logging.DEBUG if verbose else logging.getLevelNamesMapping()[settings.log_level]
        formatter = JsonLines(self.redactor) if settings.log_format == "json" else TextLines(self.redactor)
        handlers: list[logging.Handler] = [_StderrHandler(in_actions=self.in_actions)]
        if self.quiet:
            handlers[0].setLevel(logging.ERROR)
        if settings.log_file:
            handlers.append(logging.FileHandler(settings.log_file, encoding="utf-8"))
        root = logging.getLogger()
        for old in list(root.handlers):
            root.removeHandler(old)
        for handler in handlers:
            handler.setFormatter(formatter)
            root.addHandler(handler)
        root.setLevel(logging.DEBUG if verbose else logging.WARNING)
        logging.getLogger("hugflow").setLevel(level)


def _encodable(text: str, stream: TextIO) -> bool:
    """Tell if the stream can encode the text: old locales lack characters, and names may hold broken UTF-8."""
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to the current stderr: a progress bar replaces it while it is shown."""

    def __init__(self, *, in_actions: bool = False) -> None:
        logging.Handler.__init__(self)
        self._in_actions = in_actions

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # the base class keeps the stream of its creation
        """Stderr as it is now."""
        return sys.stderr

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        text = super().format(record)
        return no_commands(text) if self._in_actions else text


class TextLines(logging.Formatter):
    """`12:30:05 INFO message`, one line, harmless on a terminal."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """Render a record; tracebacks keep their lines."""
        text = self._redactor.text(super().format(record)).replace("\u00a0", " ")
        return "\n".join(printable(line) for line in text.split("\n"))


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and the traceback if there is one."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return self._redactor.text(encode_json(line))
