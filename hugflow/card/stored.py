"""README.md of a stored dataset: a description for people, and a `configs` block for `datasets`."""

from __future__ import annotations

import yaml

from hugflow.model.plan import DownloadPlan
from hugflow.model.specs import AddSpec
from hugflow.text.printable import shown

MAX_NAMES = 1000


def storage_card(spec: AddSpec, plan: DownloadPlan, licence: str | None, *, rows: int, failed: int) -> str:
    """The card of a dataset in storage.

    Its `configs` make `datasets.load_dataset("<folder>")` give the split under its own name: without them, a file name
    with "test" or "dev" in it would decide.
    """
    split = plan.identity.split.replace("-", "_")
    paths = ["metadata.parquet", "audio/*.mp3"] if plan.audio_column else ["metadata.parquet"]
    front = {
        # on one line: a line of dashes in it would end the front matter
        "license": " ".join((licence or "").split()),
        "configs": [{"config_name": "default", "data_files": [{"split": split, "path": paths}]}],
    }
    matter = yaml.safe_dump({key: value for key, value in front.items() if value}, sort_keys=False, allow_unicode=True)
    source = [f"- **Source**: `{spec.hf_id}`, revision `{spec.revision}` at commit `{plan.sha}`"]
    source += [f"- **Config**: `{spec.subset}`"] if spec.subset else []
    source += [
        f"- **Split**: `{spec.split}`",
        f"- **Rows**: {rows}" + (f" ({failed} could not be converted)" if failed else ""),
    ]
    audio = (
        "- `audio/*.mp3`: the audio, mono MP3\n"
        "- `json/<row>.json`: every column of a row; its audio column holds the path of the MP3\n"
        if plan.audio_column
        else "- `json/<row>.json`: every column of a row\n"
    )
    return f"""---
{matter}---

# {spec.hf_id.partition("/")[2]}

{spec.description.strip()}

{chr(10).join(source)}

## Files

{audio}- `metadata.parquet`: the rows as one table
- `.hugflow/`: what Hugflow needs to check and repair this folder

{_class_labels(plan)}## Use

```python
from datasets import load_dataset

rows = load_dataset("path/to/this/folder", split="{split}")
```
"""


def _class_labels(plan: DownloadPlan) -> str:
    """The section with the names of classes, empty where there are none."""
    labels = {path: names for column in plan.columns for path, names in column.class_names.items()}
    if not labels:
        return ""
    text = "## Class labels\n\n"
    for path, names in labels.items():
        more = (
            f", and {len(names) - MAX_NAMES} more in the schema of `metadata.parquet`" if len(names) > MAX_NAMES else ""
        )
        ids = ", ".join(f"{number} {shown(name, 200)}" for number, name in enumerate(names[:MAX_NAMES]))
        text += f"- {shown(path, 200)}: {ids}{more}\n"
    return text + "\n"
