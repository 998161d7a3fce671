"""Checks the Markdown documents: links lead to existing files and anchors, shown commands and options exist.

Run as `make docs`; tests/repo/test_docs.py runs the same checks.
"""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.main import get_command

ROOT = Path(__file__).resolve().parent.parent
# expected outputs are not documents: their links are data
NOT_DOCUMENTS = ("tests/", "requests/add/", "requests/remove/", "requests/publish/")

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^(?P=indent)```", re.DOTALL | re.MULTILINE
)
_LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\((?P<target>[^)\s]+)\)|!\[[^\]\n]*\]\((?P<image>[^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(?P<text>.+?) *#*$", re.MULTILINE)
_SHELL = frozenset({"", "bash", "console", "sh", "shell"})


@dataclass(frozen=True)
class Command:
    """One command of the program: its options, and its subcommands by name."""

    options: frozenset[str]
    commands: Mapping[str, Command]

    @classmethod
    def of(cls, command: Any) -> Command:
        """Build it from a Typer or Click command."""
        options = frozenset(
            word for parameter in command.params for word in (*parameter.opts, *parameter.secondary_opts)
        )
        below = getattr(command, "commands", {})
        return cls(options | {"--help"}, {name: cls.of(child) for name, child in below.items()})


def the_program() -> Command | None:
    """All commands of `hugflow`, None while it has no command line."""
    if not (ROOT / "hugflow" / "__main__.py").is_file():
        return None
    app = importlib.import_module("hugflow.cli").app
    return Command.of(get_command(getattr(app, "app", app)))


def documents() -> list[Path]:
    """Every Markdown file that Git tracks or would add, without expected outputs."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],  # noqa: S607 - git from PATH
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = [name for name in listed.stdout.decode().split("\0") if name and not name.startswith(NOT_DOCUMENTS)]
    return [ROOT / name for name in sorted(names) if (ROOT / name).is_file()]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of `text`."""
    found: dict[str, int] = {}
    result = set()
    for heading in _HEADING.finditer(_FENCE.sub("", text)):
        slug = re.sub(r"[^\w\- ]", "", heading["text"].lower()).replace(" ", "-")
        result.add(f"{slug}-{found[slug]}" if slug in found else slug)
        found[slug] = found.get(slug, 0) + 1
    return result


def broken_links(path: Path, text: str) -> Iterator[str]:
    """Links within the repository that have no target; those to other hosts are not followed."""
    for link in _LINK.finditer(re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text))):
        target = link["target"] or link["image"]
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if file != path and not file.exists():
            yield f"{path}: the link to {target} leads nowhere"
        elif (
            anchor and file.suffix == ".md" and anchor not in anchors(text if file == path else file.read_text("utf-8"))
        ):
            yield f"{path}: {target}: there is no such heading"


def shown_commands(text: str) -> Iterator[str]:
    """Every `hugflow ...` line of the shell blocks of a document, continued lines joined."""
    for fence in _FENCE.finditer(text):
        if fence["language"] in _SHELL:
            for line in fence["body"].replace("\\\n", " ").splitlines():
                found = re.match(r"\s*(?:\$ )?(?:\w+=\S* )*(?P<command>hugflow(?: .*)?)$", line)
                if found:
                    yield found["command"]


def unknown_words(command: str, program: Command) -> Iterator[str]:
    """Words of a shown command that the program does not know."""
    words = shlex.split(re.split(r"\s[|>&]|;", command)[0], comments=True)[1:]
    known = program
    for word in words:
        if word.startswith("-") and len(word) > 1:
            if word.partition("=")[0] not in known.options | program.options:
                yield f"`{command}`: there is no option {word}"
        elif known.commands:
            if word not in known.commands:
                yield f"`{command}`: there is no command {word}"
                return
            known = known.commands[word]


def problems() -> Iterator[str]:
    """All problems of the documents."""
    program = the_program()
    for path in documents():
        text = path.read_text("utf-8")
        yield from broken_links(path, text)
        if program is not None:
            for command in shown_commands(text):
                yield from (f"{path}: {problem}" for problem in unknown_words(command, program))


def main() -> int:
    """Print the problems; return 1 if there are any."""
    found = list(problems())
    for problem in found:
        print(problem)
    print(f"{len(documents())} documents, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
