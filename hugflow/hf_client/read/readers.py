"""How the rows of a file are read: by the reader that `datasets` has for its format, where that reads all of them well.

Nothing is decoded, so neither torch nor torchcodec is needed. Each file is read by itself, with types of its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import datasets
import pyarrow as pa
from datasets.features.features import cast_to_python_objects
from datasets.packaged_modules.webdataset.webdataset import WebDataset

from hugflow.formats.compression import decompressed
from hugflow.formats.json_lines import elements, is_array

READ_ROWS = 1000
FIRST_SAMPLES = 20


@dataclass(frozen=True, slots=True)
class Reader:
    """How `datasets` reads a file: its packaged module, and the settings that the repository's card gives it."""

    module: str
    settings: Mapping[str, Any]
    features: datasets.Features | None = None

    def tables(self, files: list[Path]) -> Iterator[pa.Table]:
        """The rows of `files`, in order, as tables of their own types. Nothing is decoded."""
        if self.module == "webdataset":
            for file in files:
                yield from _samples(file, self.features)
        elif self.module == "json":
            for file in files:
                yield from self._json(file)
        else:
            yield from self.by_datasets(files)

    def _json(self, file: Path) -> Iterator[pa.Table]:
        field = self.settings.get("field")
        with file.open("rb") as raw:
            by_element = file.suffix != ".zip" and (field is not None or is_array(decompressed(raw, file.name)))
        if not by_element:
            yield from self.by_datasets([file])
            return
        with tempfile.TemporaryDirectory(prefix="hugflow-", dir=file.parent) as folder:
            lines = Path(folder) / "rows.jsonl"
            with file.open("rb") as raw, lines.open("w", encoding="utf-8") as target:
                encoding = self.settings.get("encoding", "utf-8")
                for element in elements(decompressed(raw, file.name), encoding=encoding, field=field):
                    target.write(element + "\n")
            yield from self.of_json_lines().by_datasets([lines])

    def of_json_lines(self) -> Reader:
        """The reader for what `json_lines.elements` makes of a document."""
        return replace(self, settings={k: v for k, v in self.settings.items() if k not in {"field", "encoding"}})

    def first_json_rows(self, content: BinaryIO) -> Iterator[pa.Table]:
        """The first rows of a JSON document that is no JSON lines."""
        field, encoding = self.settings.get("field"), self.settings.get("encoding", "utf-8")
        first = islice(elements(content, encoding=encoding, field=field), READ_ROWS)
        with tempfile.TemporaryDirectory(prefix="hugflow-") as folder:
            lines = Path(folder) / "rows.jsonl"
            lines.write_text("".join(element + "\n" for element in first), encoding="utf-8")
            yield from self.of_json_lines().by_datasets([lines])

    def by_datasets(self, files: list[Path]) -> Iterator[pa.Table]:
        """The rows of `files` by the builder that `datasets` has for them, just as it would read them."""
        with tempfile.TemporaryDirectory(prefix="hugflow-") as cache:
            builder = datasets.load_dataset_builder(
                self.module,
                data_files={"rows": [str(file) for file in files]},
                cache_dir=cache,
                features=self.features,
                **_EXACT.get(self.module, {}) | dict(self.settings),
            )
            if isinstance(builder, datasets.ArrowBasedBuilder):
                yield from self._arrow_tables(builder)
            else:
                in_order(builder)
                yield from builder.as_streaming_dataset(split="rows").with_format("arrow").iter(READ_ROWS)

    def _arrow_tables(self, builder: datasets.ArrowBasedBuilder) -> Iterator[pa.Table]:
        """The tables as they are read: a stream of `datasets` would cast all of them to the types of the first."""
        try:
            (split,) = builder._split_generators(datasets.StreamingDownloadManager())  # noqa: SLF001 - as a stream does
        except StopIteration:
            return  # a JSON file without any row
        if self.module == "json":
            builder.info.features = self.features
        for _, table in builder._generate_tables(**split.gen_kwargs):  # noqa: SLF001 - as a stream does
            yield _without_guesses(table) if self.module == "csv" and self.features is None else table


# pandas takes the nearest float only when asked to; parquet is read a few rows at a time, not by row group
_EXACT: dict[str, dict[str, Any]] = {"csv": {"float_precision": "round_trip"}, "parquet": {"batch_size": 100}}


def _without_guesses(table: pa.Table) -> pa.Table:
    """Where a part of a CSV file has no value in a column, pandas calls it one of floats; it may be anything."""
    for i, field in enumerate(table.schema):
        if table.num_rows and table.column(i).null_count == table.num_rows:
            table = table.set_column(i, field.name, pa.nulls(table.num_rows))
    return table


def in_order(builder: datasets.DatasetBuilder) -> None:
    """Keep rows in the order of their files: folder builders keep metadata files in a set, whose order is chance."""
    if not hasattr(builder, "METADATA_FILENAMES"):
        return
    generate = builder._generate_examples  # noqa: SLF001 - the builders' own point of extension

    def ordered(files: Any, metadata_files: Any, **others: Any) -> Iterator[Any]:
        yield from generate(files, sorted(metadata_files, key=str), **others)

    builder._generate_examples = ordered  # noqa: SLF001 - the same


# -- webdatasets -----------------------------------------------------------------------------------------------------

_MEDIA: dict[str, type] = {
    **dict.fromkeys(WebDataset.IMAGE_EXTENSIONS, datasets.Image),
    **dict.fromkeys(WebDataset.AUDIO_EXTENSIONS, datasets.Audio),
}
_FILE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def first_samples(addresses: list[str], token: str | None, features: datasets.Features | None) -> pa.Schema:
    """The schema of the first samples of some tars on the Hub: it names the members that most samples have."""
    manager = datasets.StreamingDownloadManager(download_config=datasets.DownloadConfig(token=token or False))
    schema = pa.schema([])
    for address in addresses:
        samples = WebDataset._get_pipeline_from_tar(address, manager.iter_archive(address))  # noqa: SLF001 - see below
        for sample in islice(samples, FIRST_SAMPLES):
            found = _sample_table(sample, features).schema
            schema = pa.unify_schemas([schema, found], promote_options="permissive")
        if schema.names:
            break
    return schema


def _samples(file: Path, features: datasets.Features | None) -> Iterator[pa.Table]:
    """The samples of a tar, each as a table of its own: they need not have the same members.

    `datasets` wants the first five of a tar to have the same, and takes the columns of all from them.
    """
    members = datasets.StreamingDownloadManager().iter_archive(str(file))
    for sample in WebDataset._get_pipeline_from_tar(str(file), members):  # noqa: SLF001 - its rules for names
        yield _sample_table(sample, features)


def _sample_table(sample: dict[str, Any], features: datasets.Features | None) -> pa.Table:
    columns = {}
    for name, value in sample.items():
        if media_feature(name, features) is not None:
            cell = {"bytes": value, "path": f"{sample['__key__']}.{name}"}
            columns[name] = pa.array([cell], _FILE)
        else:
            columns[name] = pa.array(cast_to_python_objects([value], only_1d_for_numpy=True))
    return pa.table(columns)


def media_feature(name: str, features: datasets.Features | None = None) -> datasets.Audio | datasets.Image | None:
    """What the member of a sample is, by the card or by its suffix: sound, an image, or neither."""
    if features is not None and name in features:
        known = features[name]
        return known if isinstance(known, datasets.Audio | datasets.Image) else None
    kind = _MEDIA.get(name.rpartition(".")[2].lower())
    return kind() if kind else None
