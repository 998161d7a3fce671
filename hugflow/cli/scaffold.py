"""What `hugflow init` puts into a repository."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from hugflow.settings import env_example

_GITIGNORE = """\
# secrets, and what hugflow keeps beside the checkout
.env
.hugflow-state/*
!.hugflow-state/README.md
/datasets/
"""
_STATE = "Progress, journals, manifests and locks stand here while hugflow runs on this machine. Git ignores them.\n"
_EXAMPLE = """\
# Copy this file to requests/add/NAME.yaml and change it.
# `hugflow validate` checks it, `hugflow plan` shows what it does.
hf_id: org/name
description: Why the team wants this dataset.
# revision: main          # a branch, tag or commit
# subset: en              # the config, where the dataset has several
# split: train
# audio_column: audio
# text_column: text
# max_failed_rows: 0
"""


def scaffold(folder: Path) -> tuple[list[str], list[str]]:
    """Make the files that are not there yet; returns the paths made, and those that were kept."""
    files = {
        ".env.example": env_example(),
        ".gitignore": _GITIGNORE,
        ".hugflow-state/README.md": _STATE,
        "requests/add/.gitkeep": "",
        "requests/remove/.gitkeep": "",
        "requests/publish/.gitkeep": "",
        "request-example.yaml": _EXAMPLE,
    } | _templates()
    made, kept = [], []
    for name, text in files.items():
        path = folder / name
        if path.exists() or path.is_symlink():
            kept.append(name)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        made.append(name)
    return made, kept


def _templates() -> dict[str, str]:
    """The workflows that come with the package, by the path where they belong."""
    folder = resources.files("hugflow").joinpath("templates", "workflows")
    if not folder.is_dir():
        return {}
    return {f".github/workflows/{file.name}": file.read_text(encoding="utf-8") for file in folder.iterdir()}
