"""Generated sections of a dataset's card, and their places in its text.

A section is between two markers, comments that readers do not see, and is replaced in place. Text that came from a
request is shown as it is written, and cannot end a table, a block of code, or the section itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hugflow.card.spec_json import SpecJson, TableEntry
from hugflow.model.publish_spec import DEFAULT_CONFIG, DEFAULT_FOLDER
from hugflow.render.humanize import count, size
from hugflow.render.markdown import code, link, marker, sentence, table

SECTIONS = ("tables", "schema", "usage", "source", "citation")
"""The generated sections in the order in which they are first written."""
_NEWLINE = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Origin:
    """The dataset on the Hub that published rows were downloaded from. `url` is its page at the commit `sha`."""

    hf_id: str
    sha: str
    url: str
    split: str
    subset: str | None = None
    licence: str | None = None
    citation: str | None = None
    private: bool = False
    gated: bool = False


def beginning(title: str, description: str | None) -> Iterator[str]:
    """The first lines of a card that had no text yet."""
    yield from ("", f"# {sentence(title)}", "")
    if description:
        yield from (*_NEWLINE.split(description.strip().replace("<!--", "&lt;!--")), "")


def sections(repo_id: str, citation: str | None, spec: SpecJson, origin: Origin | None = None) -> dict[str, str | None]:
    """The text of each section, None where there is nothing to say; those that are left out stay as they are."""
    made = {
        "tables": _tables(spec.tables),
        "schema": _schema(spec.tables),
        "usage": _usage(repo_id, spec.tables),
    }
    if origin is not None:
        made["source"] = _source(origin)
        citation = citation or origin.citation
    return made | ({"citation": _citation(citation)} if citation else {})


def _source(origin: Origin) -> str:
    config = f", config {code(origin.subset)}" if origin.subset else ""
    licence = f" Its licence: {code(origin.licence)}." if origin.licence else ""
    name = link(code(origin.hf_id), origin.url)
    return f"## Source\n\nFrom {name}{config}, split {code(origin.split)}, at commit {code(origin.sha[:12])}.{licence}"


def _tables(tables: Sequence[TableEntry]) -> str | None:
    rows = [
        (
            code(each.name),
            sentence(" ".join((each.description or "").split())),
            "" if each.row_count is None else count(each.row_count),
            "" if each.size_bytes is None else size(each.size_bytes),
            _period(each),
        )
        for each in tables
    ]
    header = ("Table", "Description", "Rows", "Size", "Time")
    return f"## Tables\n\n{table(header, ('left', 'left', 'right', 'right', 'left'), rows)}" if rows else None


def _period(entry: TableEntry) -> str:
    period = entry.date_range
    if period is None or period.start is None or period.end is None:
        return ""
    return code(period.start) if period.start == period.end else f"{code(period.start)} to {code(period.end)}"


def _schema(tables: Sequence[TableEntry]) -> str | None:
    known = [each for each in tables if each.columns]
    parts = [
        (f"### {code(each.name)}\n\n" if len(tables) > 1 else "")
        + table(("Column", "Type"), ("left", "left"), [(code(one.name), code(one.type)) for one in each.columns or ()])
        for each in known
    ]
    return "\n\n".join(["## Schema", *parts]) if parts else None


def _usage(repo_id: str, tables: Sequence[TableEntry]) -> str | None:
    """Code that reads the first table; the others are read the same way."""
    first = next((each for each in tables if each.splits), None)
    if first is None or not first.splits:
        return None
    split = next(iter(first.splits))
    names = [repo_id] + ([] if first.name == DEFAULT_CONFIG else [first.name])
    arguments = ", ".join(json.dumps(name, ensure_ascii=False) for name in names)
    folder = DEFAULT_FOLDER if first.name == DEFAULT_CONFIG else first.name
    path = first.splits[split].path or f"{plain_glob(folder)}/{plain_glob(split)}-*.parquet"
    paths = [re.sub(r"-of-\d{5}\.parquet$", ".parquet", path)] if isinstance(path, str) else list(path)
    addresses = ["'" + f"hf://datasets/{repo_id}/{each}".replace("'", "''") + "'" for each in paths]
    address = addresses[0] if len(addresses) == 1 else "[" + ", ".join(addresses) + "]"
    load = f"rows = load_dataset({arguments}, split={json.dumps(split, ensure_ascii=False)})"
    query = f"SELECT * FROM {address} LIMIT 10;"  # noqa: S608 - shown, not run
    python = f"```python\nfrom datasets import load_dataset\n\n{load}\n```"
    return f"## Usage\n\nWith `datasets`:\n\n{python}\n\nWith DuckDB:\n\n```sql\n{query}\n```"


def _citation(citation: str) -> str:
    text = citation.strip()
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"## Citation\n\n{ticks}{'bibtex' if text.startswith('@') else 'text'}\n{text}\n{ticks}"


# -- sections in their places ----------------------------------------------------------------------------------------


def with_sections(body: str, made: Mapping[str, str | None], newline: str, *, add: bool = True) -> str:
    """Write each section in its place: between its markers, else beside its neighbours, else at the end.

    Without `add`, only sections that are there are written.
    """
    for name in SECTIONS:
        text, found = made.get(name), _found(body, name)
        if text is None:
            body = _removed(body, found) if found and name in made else body
        elif found:
            body = body[: found[0]] + _block(name, text, newline) + body[found[1] :]
        elif add:
            body = _inserted(body, name, _block(name, text, newline), newline)
    return body


def _block(name: str, text: str, newline: str) -> str:
    # no comment begins inside a section: it could be taken for its end marker
    lines = _NEWLINE.split(text.replace("<!--", "&lt;!--"))
    return newline.join([marker("begin", name), *lines, marker("end", name)])


def _found(body: str, name: str) -> tuple[int, int] | None:
    """The first and last position of a section with its markers: an end marker and the nearest begin marker before."""
    for end in re.finditer(rf"<!--[ ]*hugflow:end[ ]+{name}[ ]*-->", body):
        begins = list(re.finditer(rf"<!--[ ]*hugflow:begin[ ]+{name}[ ]*-->", body[: end.start()]))
        if begins:
            return begins[-1].start(), end.end()
    return None


def _inserted(body: str, name: str, block: str, newline: str) -> str:
    """`body` with a new section: after the sections that come before it, else before those that come after."""
    place = SECTIONS.index(name)
    before = [found for other in SECTIONS[:place] if (found := _found(body, other))]
    after = [found for other in SECTIONS[place + 1 :] if (found := _found(body, other))]
    if before:
        at = max(end for _, end in before)
        return body[:at] + newline * 2 + block + body[at:]
    if after:
        at = min(begin for begin, _ in after)
        return body[:at] + block + newline * 2 + body[at:]
    ends = re.search(r"[\r\n]*\Z", body)
    blank = len(_NEWLINE.findall(ends.group() if ends else ""))
    return body + newline * (max(0, 2 - blank) if body else 1) + block + newline


def _removed(body: str, found: tuple[int, int]) -> str:
    """`body` without a section, and without the blank line that came with it."""
    begin, end = found
    rest = re.sub(r"\A(?:\r\n|\r|\n){1,2}", "", body[end:])
    return body[:begin] + rest


def plain_glob(name: str) -> str:
    """A pattern that only `name` matches."""
    return re.sub(r"[\[*?]", r"[\g<0>]", name)
