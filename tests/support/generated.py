"""Every generated file with its expected content. `python -m tests.support.generated` writes them all.

The tests compare the files with this, so a change of a message or of a field shows in the diff of a commit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hugflow.config.loading import describe, env_example
from hugflow.model.specs import SPECS
from hugflow.request.file import InvalidRequestFile, parse
from hugflow.request.json_schema import file_name, json_schema, schemas, text

ROOT = Path(__file__).resolve().parents[2]
GOLDEN_REQUESTS = ROOT / "tests" / "golden" / "requests"
MESSAGES = GOLDEN_REQUESTS / "messages.txt"


def generated() -> dict[Path, str]:
    """Each generated file with its content."""
    files = {ROOT / "schemas" / file_name(kind): text(kind) for kind in schemas()}
    files[ROOT / ".env.example"] = env_example()
    files[MESSAGES] = messages()
    files |= {ROOT / "docs" / name: _with_tables(ROOT / "docs" / name) for name in ("configuration.md", "requests.md")}
    return files


def malformed_requests() -> list[Path]:
    """The request files that must be refused."""
    return sorted(GOLDEN_REQUESTS.glob("*/*.yaml"))


def messages() -> str:
    """The messages for each of them, as a person sees them."""
    return "\n".join("".join(f"{line}\n" for line in _lines(path)) for path in malformed_requests())


def _lines(path: Path) -> Iterator[str]:
    name = path.relative_to(GOLDEN_REQUESTS).as_posix()
    try:
        parse(path.read_bytes(), f"requests/{name}")
    except InvalidRequestFile as error:
        yield from map(str, error.problems)
    else:
        yield f"requests/{name}: NOTHING IS WRONG WITH IT"


def _with_tables(path: Path) -> str:
    """A page of the documentation with the tables between its markers generated again."""
    tables = {"settings": _settings_table()} | {kind: _fields_table(json_schema(kind)) for kind in SPECS}
    tables |= {name.lower(): _fields_table(part) for name, part in json_schema("publish")["$defs"].items()}
    return re.sub(
        r"(<!-- begin (\w+): [^\n]*-->\n).*?(<!-- end \2 -->)",
        lambda found: f"{found[1]}\n{tables[found[2]]}\n{found[3]}",
        path.read_text("utf-8"),
        flags=re.DOTALL,
    )


def _settings_table() -> str:
    rows = [("Variable", "Default", "Allowed", "Meaning"), ("---",) * 4]
    for one in describe():
        also = f" Also read from {' and '.join(f'`{name}`' for name in one.aliases)}." if one.aliases else ""
        default = f"`{one.default}`" if one.default else "not set"
        rows.append((f"`{one.name}`", default, one.allowed, one.meaning + also + (" Secret." if one.secret else "")))
    return _table(rows)


def _fields_table(schema: dict[str, object]) -> str:
    rows = [("Field", "Default", "Meaning"), ("---",) * 3]
    properties, required = schema["properties"], schema.get("required", [])
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    for name, field in properties.items():
        default = "required" if name in required else _default(field.get("default"))
        rows.append((f"`{name}`", default, field["description"]))
    return _table(rows)


def _default(value: object) -> str:
    return "none" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


if __name__ == "__main__":
    for path, content in generated().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, "utf-8")
