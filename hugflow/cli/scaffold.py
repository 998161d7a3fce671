"""Files that `hugflow init` creates in a repository."""

from __future__ import annotations

from pathlib import Path

from hugflow.config.settings import env_example
from hugflow.model.specs import SPECS
from hugflow.request.json_schema import file_name, text

_GITIGNORE = """\
# secrets, and what hugflow keeps beside the checkout
.env
.hugflow-state/*
!.hugflow-state/README.md
/datasets/
"""
_STATE = "Progress, journals, manifests and locks of hugflow on this machine. Git ignores them.\n"
_EXAMPLE = """\
# yaml-language-server: $schema=../../schemas/add.schema.json
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
    """Create the files that do not exist yet; returns the created paths, and those that were kept."""
    files = {
        ".env.example": env_example(),
        ".gitignore": _GITIGNORE,
        ".hugflow-state/README.md": _STATE,
        "requests/add/.gitkeep": "",
        "requests/remove/.gitkeep": "",
        "requests/publish/.gitkeep": "",
        "request-example.yaml": _EXAMPLE,
    } | {f"schemas/{file_name(kind)}": text(kind) for kind in SPECS}
    made, kept = [], []
    for name, content in files.items():
        path = folder / name
        if path.exists() or path.is_symlink():
            kept.append(name)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        made.append(name)
    return made, kept
