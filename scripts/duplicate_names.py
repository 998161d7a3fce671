"""List the class and function names that more than one module of hugflow/ defines.

Run as `python -m scripts.duplicate_names`. It ends with 1 when a class name is defined twice: one word has one meaning.
Functions may share a name (each module has its own `_read`); they are listed to find two ways to do one thing.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "hugflow"


def defined_twice(sources: Iterable[tuple[str, str]], kinds: tuple[type[ast.stmt], ...]) -> dict[str, list[str]]:
    """The module-level names of `kinds` that several of `sources` (path, text) define, with the paths."""
    places = defaultdict(list)
    for path, text in sources:
        for node in ast.parse(text, path).body:
            if isinstance(node, kinds) and isinstance(node, ast.ClassDef | ast.FunctionDef):
                places[node.name].append(path)
    return {name: paths for name, paths in sorted(places.items()) if len(paths) > 1}


def main() -> int:
    """Print both lists."""
    sources = [
        (path.relative_to(PACKAGE.parent).as_posix(), path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))
    ]
    classes = defined_twice(sources, (ast.ClassDef,))
    for title, names in (("classes", classes), ("functions", defined_twice(sources, (ast.FunctionDef,)))):
        print(f"{title}: {len(names)} names in more than one module")
        for name, paths in names.items():
            print(f"  {name}: {' '.join(paths)}")
    return 1 if classes else 0


if __name__ == "__main__":
    raise SystemExit(main())
