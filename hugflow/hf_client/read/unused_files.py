"""Files of a repository that look like data and are in no split of any config."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress

import datasets
from datasets.data_files import DataFilesDict
from fsspec.utils import glob_translate
from huggingface_hub.hf_api import DatasetInfo

from hugflow.hf_client.features import media_suffixes
from hugflow.text.printable import listed

_DATA = re.compile(
    r"(?i)\.(?:arrow|7z|bz2|csv|feather|gz|h5|hdf5|json|jsonl|lz4|ndjson|npy|npz|orc|parquet|pickle|pkl|rar|tar|tgz|trans"
    r"|tsv|txt|xlsx?|xml|xz|zip|zst)\Z"
)
_ABOUT_THE_DATA = re.compile(r"(?i)(?:read.?me|licen[cs]e|copying|citation|changelog|requirements|notice|authors)\b.*")
_WITH_SOUNDS = {"parquet", "audiofolder", "imagefolder", "webdataset"}
_NO_DATA = {"dataset_infos.json", "dataset_info.json", "state.json", "dataset_dict.json", "spec.json"}


def unused_files(
    info: DatasetInfo, configs: Iterable[datasets.BuilderConfig], *, audio: bool = False, data_format: str = ""
) -> list[str]:
    """Return a sentence about data files that are in no split of these configs, if there are any.

    `audio`: MP3 files are made of a column of `data_format`. Cells of that column may name files of the repository;
    in formats that cannot contain sounds they do, and then sounds and archives are no suspicion.
    """
    left = {file.rfilename for file in info.siblings or [] if _is_data(file.rfilename)}
    for config in configs:
        left -= set(_files_of(config, f"hf://datasets/{info.id}@{info.sha}/", left))
    by_path = audio and data_format not in _WITH_SOUNDS
    left = {path for path in left if not (by_path and (_is_sound(path) or path.lower().endswith(".zip")))}
    if not left:
        return []
    kinds = Counter(posixpath.splitext(path)[1].lower() for path in sorted(left))
    counts = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common(4))
    what = "1 file of the repository is" if len(left) == 1 else f"{len(left)} files of the repository are"
    text = f"{what} in no split ({counts}): {listed(sorted(left))}"
    if any(map(_is_sound, left)) and not audio:
        text += ". If a column names the sounds, write `audio_column` with the name of that column"
    elif any(map(_is_sound, left)) and data_format == "parquet":
        text += ". Of the sounds only those are downloaded that a row names"
    return [text]


def _files_of(config: datasets.BuilderConfig, prefix: str, paths: set[str]) -> Iterator[str]:
    """Those of `paths` that a config names; a config that was not loaded has patterns instead of files."""
    for files in (config.data_files or {}).values():
        if isinstance(config.data_files, DataFilesDict):
            yield from (str(address).removeprefix(prefix) for address in files)
            continue
        for pattern in files:
            relative = str(pattern).removeprefix(prefix)
            inside = posixpath.normpath(posixpath.join(config.data_dir or "", relative))
            with suppress(ValueError, re.error):
                match = re.compile(glob_translate(inside)).match
                yield from (path for path in paths if match(path))


def _is_data(path: str) -> bool:
    """Judge by the suffix; files about the data, such as README.txt, and hidden ones are none."""
    name = posixpath.basename(path)
    hidden = any(part.startswith(".") for part in path.split("/"))
    if hidden or name in _NO_DATA or _ABOUT_THE_DATA.fullmatch(name):
        return False
    return _is_sound(name) or bool(_DATA.search(name))


def _is_sound(path: str) -> bool:
    return media_suffixes().get(posixpath.splitext(path)[1].lower()) == "audio"
