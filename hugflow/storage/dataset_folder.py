"""Folder of one dataset: its paths, and operations that create, clear and sweep it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hugflow.model.errors import StorageFault
from hugflow.storage.disk import close_to_others, faults, make_folder, refuse_links, sync_directory

META = ".hugflow"
TMP = f"{META}/tmp"  # noqa: S108 - a folder of the dataset, not the system's


@dataclass(frozen=True, slots=True)
class DatasetFolder:
    """The folder of one dataset: `audio/`, `json/`, and Hugflow's own files under `.hugflow/`."""

    path: Path

    @property
    def audio(self) -> Path:
        """The MP3 files."""
        return self.path / "audio"

    @property
    def json(self) -> Path:
        """One JSON file per row, named by its number."""
        return self.path / "json"

    @property
    def meta(self) -> Path:
        """Hugflow's own files: plan, marker, index, temporary and scratch files."""
        return self.path / META

    @property
    def tmp(self) -> Path:
        """Files that are not yet renamed into `audio/` and `json/`."""
        return self.path / TMP

    @property
    def scratch(self) -> Path:
        """Shards fetched from the Hub, until they are converted."""
        return self.meta / "scratch"

    @property
    def plan(self) -> Path:
        """The plan file: settings that all runs of this dataset share."""
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
        """True when the folder exists and has a plan or a marker."""
        return self.plan.is_file() or self.marker.is_file()

    def create(self, *, known: bool = False, closed: bool = False) -> None:
        """Create the folder and its subfolders.

        `known`: the state directory says that the folder is this dataset's, though it has no plan (an older tool made
        it). `closed`: others than its owner and group get no rights, whatever the umask is.
        Raises StorageFault: a symbolic link or a file in place of a folder, or a folder that Hugflow did not make.
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
            self.path.parent.mkdir(parents=True, exist_ok=True)
            make_folder(self.path)
            if closed:
                close_to_others(self.path)
            for folder in (self.path, self.meta, self.audio, self.json, self.tmp, self.scratch):
                make_folder(folder)
            for folder in (self.path.parent, self.path, self.meta):
                sync_directory(folder)

    def _foreign(self) -> Iterator[Path]:
        """Entries of the folder that an interrupted `create` cannot have left."""
        ours = {self.audio, self.json, self.meta}
        for entry in self.path.iterdir():
            if entry not in ours or (entry != self.meta and any(entry.iterdir())):
                yield entry

    def foreign_files(self) -> list[str]:
        """Entries of the folder and of `.hugflow/` that Hugflow does not write, as paths relative to the folder."""
        ours = {self.audio, self.json, self.meta, self.tmp, self.scratch, self.marker, *self.summaries}
        with faults(f"reading {self.path}"):
            entries = [entry for folder in (self.path, self.meta) if folder.is_dir() for entry in folder.iterdir()]
        return [entry.relative_to(self.path).as_posix() for entry in entries if entry not in ours]

    def delete_marker(self) -> None:
        """Delete the marker: the dataset is not complete any more."""
        doing = f"opening {self.path}"
        refuse_links(doing, self.path, self.meta)
        with faults(doing):
            self.marker.unlink(missing_ok=True)
            if self.meta.is_dir():
                sync_directory(self.meta)

    def delete_marker_and_index(self) -> None:
        """Delete the marker and the index, so that no file records rows as done."""
        self.delete_marker()
        with faults(f"clearing {self.path}"):
            self.index.unlink(missing_ok=True)
            sync_directory(self.meta)

    def clear(self, set_aside: Callable[[list[str]], None]) -> None:
        """Delete all files of Hugflow in the folder: marker and index first, the plan last.

        `set_aside` is called with the other entries while the plan still exists: a folder with files and without a plan
        is refused by `create`.
        """
        doing = f"clearing {self.path}"
        refuse_links(doing, self.path, self.meta, self.audio, self.json, self.tmp, self.scratch)
        self.delete_marker_and_index()
        self.sweep()
        set_aside(self.foreign_files())
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
        """Delete temporary files of interrupted runs. Shards in scratch are kept: they are verified before use."""
        refuse_links(f"sweeping {self.tmp}", self.path, self.meta, self.tmp)
        with faults(f"sweeping {self.tmp}"):
            for folder in (self.path, self.meta, self.tmp):
                for entry in folder.iterdir() if folder.is_dir() else ():
                    if folder == self.tmp or (entry.name.startswith(".") and entry.name.endswith(".tmp")):
                        entry.unlink()
