"""Runs the demo: shows commands with their output, and checks the resulting files. Run as `make demo`.

A small Hub on this machine stands in for the real one, so it needs no network and no account. Everything that it makes
is in one folder, `demo/`, which stays for looking around.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from examples.parquet_repository import pack
from hugflow.config.loading import describe
from localhub import LocalHub

ROOT = Path(__file__).resolve().parent.parent
CLIPS = ROOT / "examples" / "clips"
REQUEST = ROOT / "examples" / "add" / "voices.yaml"
HF_ID = "demo/voices"
SHARDS = 2
OURS = ".made-by-the-demo"
NAME = "demo__voices__split_train__rev_main"


class NotShown(Exception):
    """The demo cannot start, or one of its results is not as expected."""


@dataclass(slots=True)
class Demo:
    """One run of the demo in `folder`; what the commands print goes to this process's own output."""

    folder: Path
    clips: Path = CLIPS
    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))
    _environ: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Run all steps. Raises NotShown when a check fails."""
        with tempfile.TemporaryDirectory(prefix="hugflow-demo-") as scratch, LocalHub() as hub:
            rows = self._publish(hub, Path(scratch) / "voices")
            self._prepare(hub.url, Path(scratch) / "home")
            self._tell(
                f"A small Hub at {hub.url} has the dataset {HF_ID}: {rows} spoken clips in FLAC, WAV, Opus, MP3."
            )
            self._tell(f"The folder {self.folder.name}/ is a repository with one request in it.")
            self._show("cat", "requests/add/voices.yaml")
            self._hugflow("plan", "requests/add/voices.yaml")
            self._hugflow("local-sync", "requests/add/voices.yaml")
            self._look(rows)
            self._hugflow("status")
            self._hugflow("verify")
            before = self._snapshot()
            self._tell("A second time there is nothing left to do:")
            self._hugflow("local-sync", "requests/add/voices.yaml")
            self._hold("the second run changed nothing", self._snapshot() == before)
        self._tell(f"The demo is over, and its Hub has stopped. The dataset: {self._dataset}")

    # --- before ----------------------------------------------------------------------------------------------------

    def _publish(self, hub: LocalHub, repository: Path) -> int:
        rows = pack(self.clips, repository, shards=SHARDS, licence="mit")
        hub.add_dataset(HF_ID, repository)
        return rows

    def _prepare(self, endpoint: str, home: Path) -> None:
        """Create the folder again from nothing, as after `hugflow init` and a user's edits."""
        if self.folder.exists() and not (self.folder / OURS).is_file():
            raise NotShown(f"{self.folder} exists and was not made by the demo. Move it away and try again.")
        if self.folder.exists():
            shutil.rmtree(self.folder)
        requests = self.folder / "requests" / "add"
        requests.mkdir(parents=True)
        (self.folder / OURS).touch()
        (self.folder / ".env").write_text(f"HF_ENDPOINT={endpoint}\nPROCESSED_ROOT=processed\n", encoding="utf-8")
        shutil.copy(REQUEST, requests)
        self._environ = _environ(home)

    # --- what is shown ---------------------------------------------------------------------------------------------

    def _hugflow(self, *arguments: str) -> None:
        """Run a command of the program in the user's folder, and show command and output."""
        self._show("hugflow", *arguments, program=(sys.executable, "-P", "-m", "hugflow"))

    def _show(self, command: str, *arguments: str, program: Sequence[str] = ()) -> None:
        self.console.print(Text(f"\n$ {' '.join((command, *arguments))}", style="bold"))
        self.console.file.flush()
        done = subprocess.run([*(program or (command,)), *arguments], cwd=self.folder, env=self._environ, check=False)
        if done.returncode:
            raise NotShown(f"`{command} {' '.join(arguments)}` ended with exit code {done.returncode}.")

    def _tell(self, text: str) -> None:
        self.console.print(Text(f"\n{text}", style="cyan"))

    def _hold(self, what: str, holds: bool) -> None:
        if not holds:
            raise NotShown(f"It does not hold that {what}.")
        self.console.print(Text(f"✓ {what}", style="green"))

    # --- the result ------------------------------------------------------------------------------------------------

    @property
    def _dataset(self) -> Path:
        return self.folder / "datasets" / NAME

    def _look(self, rows: int) -> None:
        """Show the tree and a row, and check all rows."""
        self._tell("What is in storage now:")
        self.console.print(_tree(self._dataset, NAME))
        self._show("cat", f"datasets/{NAME}/json/0.json")
        described = [json.loads(path.read_bytes()) for path in self._dataset.glob("json/*.json")]
        named = {row["audio"] for row in described}
        there = {f"audio/{path.name}" for path in self._dataset.glob("audio/*.mp3")}
        self._hold(f"each of the {rows} rows has its MP3 and its JSON", len(described) == len(there) == rows)
        self._hold("each JSON names the MP3 of its row", named == there)
        link = self.folder / "processed" / NAME
        self._hold("processed/ has a link to the dataset", link.resolve() == self._dataset.resolve())

    def _snapshot(self) -> dict[str, tuple[int, str]]:
        """Every file of the dataset with its time and hash."""
        return {
            path.relative_to(self._dataset).as_posix(): (
                path.stat().st_mtime_ns,
                hashlib.sha256(path.read_bytes()).hexdigest(),
            )
            for path in _files(self._dataset)
        }


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _tree(folder: Path, label: str) -> Tree:
    tree = Tree(label, guide_style="dim")
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_file(), _natural(path))):
        if path.is_dir():
            tree.add(_tree(path, f"{path.name}/"))
        else:
            tree.add(f"{path.name}  [dim]{path.stat().st_size:,} bytes[/dim]")
    return tree


def _natural(path: Path) -> tuple[int, str]:
    """Sort key for rows by their numbers."""
    number = path.stem.rpartition("__")[2]
    return (int(number) if number.isdecimal() else -1, path.name)


def _environ(home: Path) -> dict[str, str]:
    """This process's environment without settings of Hugflow and of the Hub's library.

    The demo must not send a real token to its Hub, nor write where the settings of this machine point to.
    """
    settings = {name for setting in describe() for name in (setting.name, *setting.aliases)}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in settings and not name.startswith(("HF_", "HUGGINGFACE_"))
    }
    # the Hub is on this machine, whatever proxy there is
    return kept | {"HOME": str(home), "HF_HOME": str(home), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 when every check passed."""
    parser = argparse.ArgumentParser(prog="demo", description="Download an example dataset from a small local Hub.")
    parser.add_argument("--folder", type=Path, default=ROOT / "demo", help="where to make it (default: demo/)")
    folder = parser.parse_args(arguments).folder.resolve()
    try:
        Demo(folder).run()
    except NotShown as error:
        sys.stderr.write(f"\ndemo: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
