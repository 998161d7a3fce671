"""Specs of publish requests: the local tables, and the configs and splits of a Hub repository that they become."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt, StrictStr, WithJsonSchema

from hugflow.model.spec_types import (
    Branch,
    Column,
    DataPath,
    HfId,
    Kind,
    Line,
    Prose,
    Request,
    Revision,
    Rule,
    Spec,
    Split,
    Subset,
)

DEFAULT_CONFIG = "default"
DEFAULT_FOLDER = "data"
MAX_SHARDS = 10_000  # the Hub's limit of entries in one folder
MIN_SHARD_BYTES = 1_000_000

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?([KMG]i?B)", re.IGNORECASE)
_LARGEST = sys.float_info.max
_TYPE_NAMES = (
    r"string|bool|binary|u?int(8|16|32|64)|float(32|64)|date|audio|image|video"
    r"|timestamp(\[(s|ms|us|ns)(, ?tz=[A-Za-z0-9_+:/-]{1,40})?\])?|decimal\([1-9][0-9]?, ?[0-9]{1,2}\)"
)
_COLUMN_TYPE = re.compile(_TYPE_NAMES)
_SPEC_JSON_NAMES = frozenset(
    {"update_time", "updated_at", "version", "pipeline_version", "tables", "intervals", "data_quality"}
)


def _config(value: str) -> str:
    """A config's name is a folder of the repository as well."""
    if value.startswith((".", "-")) or value.endswith("."):
        raise ValueError("must not begin with `.` or `-` or end with `.`: it names a folder of the repository")
    if re.fullmatch(r"v[0-9]+", value):
        raise ValueError("must not be like `v1`: those folders keep the files of earlier versions")
    if value == DEFAULT_FOLDER:
        raise ValueError("must not be `data`: that folder belongs to the config `default`")
    return value


def _published_split(value: str) -> str:
    if value == "all":
        raise ValueError("must not be `all`: `load_dataset` takes that for all splits together")
    return value


def _size(value: str) -> str:
    if size_bytes(value) < MIN_SHARD_BYTES:
        raise ValueError("must be at least 1MB")
    return value


def size_bytes(text: str) -> int:
    """Read a size such as `500MB` or `1.5 GiB` as bytes; ValueError says how one is written."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("must be a size like `500MB` or `1GiB`")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _interval(value: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,5}(?:ms|s|m|h|d|w|M|y)|tick", value):
        raise ValueError("must be like `1d`, `8h`, `5m`, `1M` (a month) or `tick`")
    return value


def _stored(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._~-]{1,200}", value) or "__split_" not in value or "__rev_" not in value:
        raise ValueError("must be a dataset's name in storage, as `hugflow status` shows it")
    return value


def _fact(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", value):
        raise ValueError("must be a name of ASCII letters, digits and `_`, beginning with a letter")
    if value in _SPEC_JSON_NAMES or value.endswith(("_count", "_sample")):
        raise ValueError("must be another name: spec.json uses this one itself")
    return value


def _range(value: Any) -> tuple[float | None, float | None]:
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(_is_limit, value)):  # noqa: PLR2004 - a pair
        raise ValueError("must be `[lowest, highest]`: two numbers, or null where there is no limit")
    low, high = value
    if low is None and high is None:
        raise ValueError("must have a lower or an upper limit, like `[0, null]`")
    if low is not None and high is not None and low > high:
        raise ValueError("must begin with the lower limit: `[lowest, highest]`")
    return low, high


def _column_type(value: Any) -> str | dict[str, tuple[str, ...]]:
    if isinstance(value, str) and _COLUMN_TYPE.fullmatch(value):
        return value
    if isinstance(value, Mapping) and set(value) == {"class_label"}:
        names = value["class_label"]
        if isinstance(names, list | tuple) and names and all(isinstance(name, str) and name for name in names):
            if len(set(names)) < len(names):
                raise ValueError("must have each name of `class_label` once")
            return {"class_label": tuple(names)}
        raise ValueError("must list the names of the classes, like `{class_label: [cat, dog]}`; quote names like `no`")
    raise ValueError(
        "must be `string`, `bool`, `int64`, `float64`, `date`, `timestamp[us]`, `timestamp[us, tz=UTC]`,"
        " `decimal(10, 2)`, `binary`, `audio`, `image`, `video`, or `{class_label: [cat, dog]}`"
    )


def _is_limit(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (number and -_LARGEST <= value <= _LARGEST)  # not NaN, and no integer too large for a float


Layout = Literal["shards", "tables"]
AgeOf = Literal["publish", "data"]
"""The time that an age counts from: that of the last publish, or the newest in the rows."""
ConfigName = Annotated[Subset, AfterValidator(_config)]
ShardSize = Annotated[
    StrictStr,
    Field(json_schema_extra={"pattern": r"^[0-9]{1,9}(\.[0-9]{1,9})? ?[KkMmGg][iI]?[Bb]$"}, examples=["500MB", "1GiB"]),
    AfterValidator(_size),
]
Interval = Annotated[
    StrictStr,
    Field(json_schema_extra={"pattern": r"^([1-9][0-9]{0,5}(ms|s|m|h|d|w|M|y)|tick)$"}, examples=["1d"]),
    AfterValidator(_interval),
]
StorageName = Annotated[
    StrictStr,
    Field(
        json_schema_extra={"pattern": r"^(?=.*__split_)(?=.*__rev_)[A-Za-z0-9._~-]{1,200}$"},
        examples=["acme__speech__split_train__rev_main"],
    ),
    AfterValidator(_stored),
]
FactName = Annotated[
    StrictStr, Field(json_schema_extra={"pattern": r"^[A-Za-z][A-Za-z0-9_]{0,63}$"}), AfterValidator(_fact)
]
_LIMITS = {"type": "array", "items": {"type": ["number", "null"]}, "minItems": 2, "maxItems": 2}
Range = Annotated[
    tuple[int | float | None, int | float | None],
    BeforeValidator(_range),
    WithJsonSchema({**_LIMITS, "examples": [[0, None]]}),
]
_CLASSES = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "uniqueItems": True}
_CLASS_LABEL = {
    "type": "object",
    "properties": {"class_label": _CLASSES},
    "required": ["class_label"],
    "additionalProperties": False,
}
ColumnType = Annotated[
    str | dict[str, tuple[str, ...]],
    BeforeValidator(_column_type),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": f"^({_TYPE_NAMES})$"}, _CLASS_LABEL],
            "examples": ["string", "date", {"class_label": ["cat", "dog"]}],
        }
    ),
]
Columns = Annotated[tuple[Column, ...], Field(min_length=1)]
Lines = Annotated[tuple[Line, ...], Field(min_length=1)]
PublishedSplit = Annotated[Split, AfterValidator(_published_split)]
Splits = Annotated[dict[PublishedSplit, DataPath], Field(min_length=1)]


def _repeated(values: Any) -> list[int]:
    """The places of values that occur earlier in the list; `values` may be anything."""
    if not isinstance(values, list | tuple):
        return []
    return [place for place, value in enumerate(values) if isinstance(value, str) and value in values[:place]]


def _one_source(values: Mapping[str, Any]) -> Iterator[Rule]:
    sources = [field for field in ("tables", "from_storage", "path", "splits") if values.get(field) is not None]
    if not sources:
        yield (), "must come with what to publish: add `tables`, `path` or `from_storage`"
    if len(set(sources) - {"splits"}) > 1 or {"from_storage", "splits"} <= set(sources):
        yield (sources[-1],), f"cannot be combined with `{sources[0]}`: a request has one source"
    elif sources[:1] == ["tables"]:
        for field in (*_Source.model_fields, "config_name"):
            if values.get(field) is not None:
                yield (field,), "must be left out beside `tables`: each table says it for itself"


def _one_path(values: Mapping[str, Any]) -> Iterator[Rule]:
    if values.get("splits") is None:
        return
    for field, why in (("path", "`splits` has the paths"), ("split", "`splits` has the names")):
        if values.get(field) is not None:
            yield (field,), f"must be left out beside `splits`: {why}"


def _own_names(tables: Any) -> Iterator[Rule]:
    """No two tables share a config; names that differ only in case would share a folder on many machines."""
    if not isinstance(tables, list | tuple):
        return
    names = [table.get("name") if isinstance(table, Mapping) else getattr(table, "name", None) for table in tables]
    for place in _repeated([name.casefold() if isinstance(name, str) else None for name in names]):
        yield ("tables", place, "name"), "must be another name: an earlier table has it, but for capitals perhaps"


class Quality(Spec):
    """Conditions that a table must meet before anything of the request is published."""

    not_null: Columns | None = None
    """Columns without missing values."""
    unique: Columns | None = None
    """Columns that together identify a row: no two rows have the same values in them."""
    range: Annotated[dict[Column, Range], Field(min_length=1)] | None = None
    """The lowest and the highest allowed value of a column, both included; `null` where there is no limit."""
    allow_empty: StrictBool = False
    """Accept a table or a split without rows, which `load_dataset` does not load."""

    @classmethod
    def between_fields(cls, values: Mapping[str, Any]) -> Iterator[Rule]:
        """A column occurs once in each list."""
        for field in ("not_null", "unique"):
            for place in _repeated(values.get(field)):
                yield (field, place), "must be another column: this one is in the list already"


class _Source(Spec):
    """The fields of the location and the description of one table."""

    path: DataPath | None = None
    """A file, a folder or a glob with the table's data, inside the repository or PUBLISH_ROOT."""
    split: PublishedSplit | None = None
    """The one split that all files of `path` become; without it their names, or a card, say which splits there are."""
    splits: Splits | None = None
    """In place of `path`: the path of each split."""
    columns: Annotated[dict[Column, ColumnType], Field(min_length=1)] | None = None
    """Types of columns, in place of the detected ones: `{version: string, label: {class_label: [a, b]}}`."""
    timestamp_column: Column | None = None
    """The column with the rows' time, for the date range; found by its type when left out."""
    interval: Interval | None = None
    """The time between rows, as spec.json shows it."""
    distinct: Annotated[dict[FactName, Column], Field(min_length=1)] | None = None
    """Lists of distinct values for spec.json: the list's name, and the column whose values it counts."""
    quality: Quality = Quality()
    """Rules that are checked before the upload."""


class Table(_Source):
    """One table of a publish request; it becomes a config of its own."""

    name: ConfigName
    """The config's name on the Hub."""
    description: Prose | None = None
    """Description of the table; shown in the card and in spec.json."""

    @classmethod
    def between_fields(cls, values: Mapping[str, Any]) -> Iterator[Rule]:
        """A table has `path` or `splits`; `split` names what `path` becomes."""
        if values.get("path") is None and values.get("splits") is None:
            yield (), "must come with the table's data: add `path`, or `splits` with a path for each split"
        yield from _one_path(values)

    @property
    def paths(self) -> dict[str, str]:
        """The path of each split, whichever way the request wrote it."""
        return dict(self.splits) if self.splits else {self.split or "train": self.path or ""}


class Card(Spec):
    """Fields for the head of the dataset's card; those of an existing card are kept unless they are named here."""

    license: Line | None = None
    """The licence's identifier on the Hub, such as `apache-2.0` or `cc-by-4.0`; `other` for any that is not listed."""
    license_name: Line | None = None
    """The licence's name, where `license` is `other`."""
    license_link: Line | None = None
    """An address, or a file of the repository, with the text of an `other` licence."""
    language: Lines | None = None
    """The languages of the data, as ISO 639 codes."""
    tags: Lines | None = None
    """Free tags, for the Hub's search."""
    task_categories: Lines | None = None
    """The tasks that the data is for, as the Hub names them, such as `automatic-speech-recognition`."""
    pretty_name: Line | None = None
    """The dataset's name for people."""
    citation: Prose | None = None
    """How to cite the dataset, as BibTeX or text."""


class PublishSpec(_Source, Request):
    """Publish local tables, or a dataset in storage, as a dataset on the Hub, in one commit."""

    kind: ClassVar[Kind] = "publish"

    repo_id: HfId
    """The repository on the Hub, `org/name`; made when it does not exist."""
    description: Prose | None = None
    """What the dataset is: the card's first paragraph when there is no card yet."""
    tables: Annotated[tuple[Table, ...], Field(min_length=1, max_length=1000)] | None = None
    """The tables to publish. In their place: `path` (or `splits`) for a single one, or `from_storage`."""
    from_storage: StorageName | None = None
    """The name of a complete dataset in storage, to be published with its audio."""
    config_name: ConfigName | None = None
    """The config that a single table becomes; `default` unless given."""
    card: Card = Card()
    """Fields for the head of the card."""
    private: StrictBool | None = None
    """Make the repository private when it is created. Data of a private or gated source needs `false` to be public."""
    append: StrictBool = False
    """Add the rows to those that the splits have, as new shards of the same columns."""
    replace: StrictBool = False
    """Remove the splits, tables and data files that the request does not name; without it they stay."""
    layout: Layout = "shards"
    """`tables`: a table of one split and one shard is `data/<table>.parquet`; otherwise each has a folder of shards."""
    default_config: ConfigName | None = None
    """The config that is loaded by `load_dataset` without a config's name."""
    revision: Branch = "main"
    """The branch to commit to; made when it does not exist."""
    tag: Revision | None = None
    """A tag to put on the new commit."""
    create_pr: StrictBool = False
    """Open a pull request on the Hub in place of committing to the branch."""
    max_shard_size: ShardSize = "500MB"
    """The size of a parquet file at which the next one begins."""
    num_shards: Annotated[StrictInt, Field(ge=1, le=MAX_SHARDS)] | None = None
    """The number of parquet files of each split, in place of `max_shard_size`."""
    embed_external_files: StrictBool = True
    """Put audio and images into the parquet files, in place of the paths that name them."""
    commit_message: Line = "Upload via hugflow"
    """The commit's title on the Hub."""
    commit_description: Prose | None = None
    """The commit's longer text on the Hub."""
    pipeline_version: Line | None = None
    """The version of what made the data, for spec.json."""

    @classmethod
    def between_fields(cls, values: Mapping[str, Any]) -> Iterator[Rule]:
        """There is one source, every table has its own name, and no option contradicts another."""
        yield from _one_source(values)
        yield from _one_path(values)
        yield from _own_names(values.get("tables"))
        if values.get("num_shards") is not None and values.get("max_shard_size") is not None:
            yield ("num_shards",), "cannot be combined with `max_shard_size`: one decides the other"
        if values.get("tag") is not None and values.get("create_pr") is True:
            yield ("tag",), "cannot be combined with `create_pr`: a pull request has no commit to tag before its merge"
        if values.get("append") is True and values.get("replace") is True:
            yield ("replace",), "cannot be combined with `append`: one keeps the rows that the other removes"

    @property
    def shard_size_bytes(self) -> int:
        """`max_shard_size` as bytes."""
        return size_bytes(self.max_shard_size)

    @property
    def local_tables(self) -> tuple[Table, ...]:
        """The tables to read from files, a single one included; none for a dataset in storage."""
        if self.tables is not None or self.from_storage is not None:
            return self.tables or ()
        shared = {field: getattr(self, field) for field in _Source.model_fields if getattr(self, field) is not None}
        return (Table(name=self.config_name or DEFAULT_CONFIG, description=self.description, **shared),)

    @property
    def config_names(self) -> tuple[str, ...]:
        """The configs of the repository that the request writes."""
        if self.tables is not None:
            return tuple(table.name for table in self.tables)
        return (self.config_name or DEFAULT_CONFIG,)
