"""Rows of Arrow tables as JSON documents, and the names of their audio files.

Values are converted column by column, in Arrow: types that JSON lacks become text (dates, decimals, durations) or, for
bytes, their size and hash. The JSON files and `metadata.parquet` share these types.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from typing import Any

import numpy as np
import pyarrow as pa

from hugflow.formats.json_values import decoded, dumps, has_json
from hugflow.model.errors import RowError

OMITTED = pa.struct([("omitted_bytes", pa.int64()), ("sha256", pa.string())])
MAX_STEM_BYTES = 180
_AUDIO_SUFFIX = re.compile(
    r"\.(?:aac|aif|aiff|aifc|amr|au|caf|flac|m4a|mka|mkv|mp2|mp3|mp4|oga|ogg|opus|snd|sph|voc|w64|wav|wave|webm|wma)\Z",
    re.IGNORECASE,
)


def row_json(values: dict[str, Any]) -> bytes:
    """Return the JSON file of a row: strict JSON in UTF-8, the columns in order; NaN and infinities become null."""
    try:
        return dumps(values, indent=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise RowError("invalid_value", f"a value has no form in JSON: {error}") from error


def json_columns(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return the rows of a batch as dictionaries of JSON values, in order.

    Raises RowError (`invalid_text` when a text is not UTF-8, `invalid_value`); callers then go row by row.
    """
    try:
        columns = [json_values(column) for column in batch.columns]
        rows: list[dict[str, Any]] = pa.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist()
    except UnicodeDecodeError as error:
        raise RowError("invalid_text", "a text is not valid UTF-8") from error
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise RowError("invalid_value", f"a value has no form in JSON ({type(error).__name__})") from error
    for name, kind in zip(batch.schema.names, batch.schema.types, strict=True):
        if has_json(kind):
            for row in rows:
                row[name] = decoded(row[name], kind)
    return rows


def compute() -> Any:
    """Return pyarrow.compute: few rows need it, and a worker takes a fifth of its start to import it."""
    import pyarrow.compute  # noqa: PLC0415 - see above

    return pyarrow.compute


def schema_text(schema: pa.Schema) -> str:
    """Return a schema without its metadata in the form that plans keep: Arrow's serialisation in base64."""
    return base64.b64encode(schema.remove_metadata().serialize()).decode()


def schema_of(text: str) -> pa.Schema:
    """Return the schema that `schema_text` serialised."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))


def common_schema(texts: list[str]) -> str:
    """Return the schema that fits the rows of all shards of a split.

    A column whose types have no common type becomes text: values that are no text are then written as JSON.
    """
    schemas = [schema_of(text) for text in texts]
    names = dict.fromkeys(name for schema in schemas for name in schema.names)
    fields = [_common_field([schema.field(name) for schema in schemas if name in schema.names]) for name in names]
    return schema_text(pa.schema(fields))


def _common_field(fields: list[pa.Field]) -> pa.Field:
    try:
        return pa.unify_schemas([pa.schema([field]) for field in fields], promote_options="permissive").field(0)
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return pa.field(fields[0].name, pa.string())


def json_array(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Return JSON values as an array of the type that `common_schema` found for them.

    In a column of text other values become JSON, in a column of floats integers become the nearest float.
    """
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return pa.array([_fitted(value, kind) for value in values], kind)


def _fitted(value: Any, kind: pa.DataType) -> Any:
    """Return a JSON value with text and floats, at any depth, where the type has them."""
    if value is None:
        return None
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return value if isinstance(value, str) else dumps(value).decode()
    if pa.types.is_floating(kind):
        return float(value)
    if pa.types.is_struct(kind):
        return {field.name: _fitted(value.get(field.name), field.type) for field in kind}
    return [_fitted(item, kind.value_type) for item in value] if _is_list(kind) else value


def json_type(arrow_type: pa.DataType) -> pa.DataType:
    """Return the Arrow type that `json_values` gives to values of `arrow_type`."""
    return json_values(pa.nulls(0, arrow_type)).type


def json_values(array: pa.Array) -> pa.Array:
    """Return an array of the same length with types that JSON has; nested types are converted leaf by leaf.

    Timestamps, dates and times become ISO 8601 text, durations ISO 8601 durations, decimals text, bytes the struct
    `OMITTED`; maps become lists of {key, value}; dictionaries and extension types what they stand for.
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        return json_values(array.dictionary_decode())
    if isinstance(array, pa.ExtensionArray):
        return json_values(array.storage)
    if pa.types.is_run_end_encoded(kind):
        return json_values(compute().run_end_decode(array))
    if pa.types.is_map(kind):
        return _json_map(array)
    if pa.types.is_struct(kind):
        return _json_struct(array)
    if _is_list(kind):
        return _json_list(array, array.flatten())
    return _json_leaf(array)


def _json_leaf(array: pa.Array) -> pa.Array:
    kind = array.type
    if pa.types.is_timestamp(kind):
        return _timestamps(array)
    if pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_decimal(kind):
        return array.cast(pa.string())
    if pa.types.is_duration(kind):
        return _durations(array)
    if is_bytes(kind):
        return pa.array([_omitted(scalar) for scalar in array], OMITTED)
    if pa.types.is_float16(kind):
        return array.cast(pa.float32())
    if pa.types.is_string_view(kind):
        return array.cast(pa.string())
    if not pa.types.is_interval(kind) and (
        pa.types.is_primitive(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_null(kind)
    ):
        return array
    # unions and intervals have no JSON type, and no other text form than Python's
    return pa.array([_text(scalar.as_py()) for scalar in array], pa.string())


def _text(value: Any) -> str | None:
    """Return a value's text; bytes are never inlined."""
    return None if value is None else f"{len(value)} bytes" if isinstance(value, bytes) else str(value)


def _json_struct(array: pa.StructArray) -> pa.Array:
    if array.type.num_fields == 0:
        return array
    names = [field.name for field in array.type]
    return pa.StructArray.from_arrays(
        [json_values(child) for child in array.flatten()], names=names, mask=array.is_null()
    )


def _json_list(array: pa.Array, flat: pa.Array) -> pa.Array:
    """Return a list array over `flat`, the elements of the lists that are not null."""
    lengths = compute().fill_null(compute().list_value_length(array), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    return pa.LargeListArray.from_arrays(offsets, json_values(flat), mask=array.is_null())


def _json_map(array: pa.MapArray) -> pa.Array:
    # by way of Python: pyarrow's cast of a slice of maps to lists gives an array that aborts the process later
    pairs = [
        None if item is None else [{"key": key, "value": value} for key, value in item] for item in array.to_pylist()
    ]
    entry = pa.struct([("key", array.type.key_type), ("value", array.type.item_type)])
    return json_values(pa.array(pairs, pa.list_(entry)))


def _timestamps(array: pa.Array) -> pa.Array:
    if array.type.tz is None:
        return compute().strftime(array, format="%Y-%m-%dT%H:%M:%S")
    try:
        text = compute().strftime(array, format="%Y-%m-%dT%H:%M:%S%z")
    except pa.ArrowInvalid:
        # a time zone that this machine does not know: the moment in UTC, which is what is stored
        text = _timestamps(array.cast(pa.timestamp(array.type.unit)))
        return compute().binary_join_element_wise(text, "+00:00", "")
    return compute().replace_substring_regex(text, r"([+-]\d\d)(\d\d)$", r"\1:\2")


def _durations(array: pa.Array) -> pa.Array:
    digits = {"s": 0, "ms": 3, "us": 6, "ns": 9}[array.type.unit]
    texts: list[str | None] = []
    for count in array.cast(pa.int64()).to_pylist():
        if count is None:
            texts.append(None)
            continue
        seconds, fraction = divmod(abs(count), 10**digits)
        tail = f".{fraction:0{digits}d}".rstrip("0") if fraction else ""
        texts.append(f"{'-' if count < 0 else ''}PT{seconds}{tail}S")
    return pa.array(texts, pa.string())


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    )


def is_bytes(kind: pa.DataType) -> bool:
    """Return True for the types of bytes."""
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def _omitted(scalar: pa.Scalar) -> dict[str, Any] | None:
    """Return size and hash of bytes, which are never inlined in JSON."""
    if not scalar.is_valid:
        return None
    data = scalar.as_buffer()
    return {"omitted_bytes": data.size, "sha256": hashlib.sha256(data).hexdigest()}


def audio_file_name(source_name: str | None, row: int) -> str:
    """Return the name of a row's MP3: the source's name, made safe, and the row's number.

    The number distinguishes names that are equal, or differ only in case or Unicode form, without comparing rows:
    `common_voice_en_651325__7.mp3`; `7.mp3` where the source has no name.
    """
    stem = _safe_stem(source_name or "")
    return f"{stem}__{row}.mp3" if stem else f"{row}.mp3"


def audio_file_row(name: str) -> int | None:
    """Return the row whose audio file is called `name`; None for a name that `audio_file_name` never gives."""
    return _number(name.removesuffix(".mp3").rpartition("__")[2]) if name.endswith(".mp3") else None


def json_file_row(name: str) -> int | None:
    """Return the row whose JSON file is called `name`; None for a name that no row has."""
    return _number(name.removesuffix(".json")) if name.endswith(".json") else None


def _number(digits: str) -> int | None:
    return int(digits) if digits.isdecimal() and digits == str(int(digits)) else None


def _safe_stem(name: str) -> str:
    """Return the last component of a path in any notation, without audio suffix and unsafe characters.

    Dots go as well: `datasets` would take `talk.json.1__7.mp3` for JSON.
    """
    base = re.split(r"[/\\]", name.partition("::")[0].rstrip("/\\"))[-1]
    base = _AUDIO_SUFFIX.sub("", unicodedata.normalize("NFC", base))
    safe = "".join(character if _is_safe(character) else "_" for character in base)
    safe = re.sub(r"_{2,}", "_", safe).strip(" _")
    safe = re.sub(r"\A-+", "", safe)
    return safe.encode()[:MAX_STEM_BYTES].decode(errors="ignore").rstrip(" _")


def _is_safe(character: str) -> bool:
    """Letters, marks and digits of any script, and a little punctuation."""
    return character in " _-+=@,()" or unicodedata.category(character)[0] in "LMN"
