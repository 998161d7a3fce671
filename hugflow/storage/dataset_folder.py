"""The folder of one dataset: its paths, and how it is created, cleared and swept."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hugflow.model.errors import StorageFault
from hugflow.storage.disk import faults, refuse_links, sync_directory

META = ".hugflow"


@dataclass(frozen=True, slots=True)
class DatasetFolder:
    """The folder of one dataset. `audio/`, `json/`, and our own files under `.hugflow/`."""

    path: Path

    @property
    def audio(self) -> Path:
        """The MP3 files."""
        return self.path / "audio"

    @property
    def json(self) -> Path:
        """One JSON file a row, named by its number."""
        return self.path / "json"

    @property
    def meta(self) -> Path:
        """Our own files: plan, marker, index, temporary and scratch files."""
        return self.path / META

    @property
    def tmp(self) -> Path:
        """Files on their way into `audio/` and `json/`."""
        return self.meta / "tmp"

    @property
    def scratch(self) -> Path:
        """Shards fetched from the Hub, for as long as they are read."""
        return self.meta / "scratch"

    @property
    def plan(self) -> Path:
        """What every run of this dataset agrees on."""
        return self.meta / "plan.json"

    @property
    def marker(self) -> Path:
        """Exists only in a complete dataset, and describes it."""
        return self.meta / "dataset.json"

    @property
    def index(self) -> Path:
        """Every row's files with sizes and hashes (parquet)."""
        return self.meta / "index.parquet"

    @property
    def metadata(self) -> Path:
        """The rows as a table, for `datasets.load_dataset`."""
        return self.path / "metadata.parquet"

    @property
    def readme(self) -> Path:
        """The dataset's own card."""
        return self.path / "README.md"

    @property
    def summaries(self) -> tuple[Path, ...]:
        """The files that are neither rows nor the marker."""
        return (self.plan, self.index, self.metadata, self.readme)

    def exists(self) -> bool:
        """Whether the folder is there and is one of ours."""
        return self.plan.is_file() or self.marker.is_file()

    def create(self, *, known: bool = False) -> None:
        """Make the folder and those in it; refuse what is not ours or leads elsewhere.

        `known`: the state says that the folder is this dataset's, though nothing in it does (an older tool made it).
        Raises StorageFault: a symbolic link or a file in the place of a folder, a folder without our marker.
        """
        doing = f"preparing {self.path}"
        refuse_links(doing, self.path, self.meta, self.audio, self.json, self.tmp, self.scratch)
        if not known and self.path.is_dir() and not self.exists() and any(self._foreign()):
            raise StorageFault(
                doing,
                "the folder is not empty and was not made by hugflow",
                "Move it away, or choose another STORAGE_ROOT. Nothing in it was changed.",
                reason="foreign_directory",
            )
        with faults(doing):
            for folder in (self.path, self.meta, self.audio, self.json, self.tmp, self.scratch):
                folder.mkdir(parents=folder is self.path, exist_ok=True)
            for folder in (self.path.parent, self.path, self.meta):
                sync_directory(folder)

    def _foreign(self) -> Iterator[Path]:
        """What in the folder a kill during `create` cannot have left there."""
        ours = {self.audio, self.json, self.meta}
        for entry in self.path.iterdir():
            if entry not in ours or (entry != self.meta and any(entry.iterdir())):
                yield entry

    def strangers(self) -> list[str]:
        """What stands in the folder, or beside our own files in it, and is not ours; paths from the folder."""
        ours = {self.audio, self.json, self.meta, self.tmp, self.scratch, self.marker, *self.summaries}
        with faults(f"reading {self.path}"):
            entries = [entry for folder in (self.path, self.meta) if folder.is_dir() for entry in folder.iterdir()]
        return [entry.relative_to(self.path).as_posix() for entry in entries if entry not in ours]

    def unmark(self) -> None:
        """Take the marker away: the dataset is not complete any more."""
        doing = f"opening {self.path}"
        refuse_links(doing, self.path, self.meta)
        with faults(doing):
            self.marker.unlink(missing_ok=True)
            if self.meta.is_dir():
                sync_directory(self.meta)

    def disown(self) -> None:
        """Delete what vouches for the rows: the marker and the index."""
        self.unmark()
        with faults(f"clearing {self.path}"):
            self.index.unlink(missing_ok=True)
            sync_directory(self.meta)

    def clear(self, set_aside: Callable[[list[str]], None]) -> None:
        """Delete everything of ours in the folder, to start again: first what vouches for rows, the plan last.

        `set_aside` is given what is not ours while the plan still says whose folder it is: what stays there without it
        would make it somebody else's.
        """
        doing = f"clearing {self.path}"
        refuse_links(doing, self.path, self.meta, self.audio, self.json, self.tmp, self.scratch)
        self.disown()
        self.sweep()
        set_aside(self.strangers())
        with faults(doing):
            for folder in (self.audio, self.json, self.tmp, self.scratch):
                shutil.rmtree(folder, ignore_errors=False) if folder.is_dir() else None
            for file in (self.metadata, self.readme, self.plan):
                file.unlink(missing_ok=True)
            sync_directory(self.meta)

    def remove_workspace(self) -> None:
        """Delete the folders that only a run needs."""
        with faults(f"tidying {self.path}"):
            for folder in (self.tmp, self.scratch):
                if folder.is_dir():
                    shutil.rmtree(folder)

    def sweep(self) -> None:
        """Delete what a kill left half-written. Shards in scratch are kept: they are verified before use."""
        refuse_links(f"sweeping {self.tmp}", self.path, self.meta, self.tmp)
        with faults(f"sweeping {self.tmp}"):
            for folder in (self.path, self.meta, self.tmp):
                for entry in folder.iterdir() if folder.is_dir() else ():
                    if folder == self.tmp or (entry.name.startswith(".") and entry.name.endswith(".tmp")):
                        entry.unlink()
