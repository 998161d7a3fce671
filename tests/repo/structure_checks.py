"""Checks of the code's structure. Each check takes sources and yields problems, a line each.

The rules are applied to the repository, and proved on small wrong examples, in test_structure.py.
"""

from __future__ import annotations

import ast
import graphlib
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = "hugflow"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What the vocabulary and the pure modules must not touch. Files are opened by the modules above them.
IO_MODULES = _words(
    "aiohttp fcntl ftplib github glob http httpx httpx2 mmap multiprocessing requests select shutil signal slack_sdk "
    "smtplib socket sqlite3 ssl subprocess tempfile threading urllib.request urllib3"
)
IO_CALLS = _words(
    "chmod exists expanduser glob hardlink_to is_dir is_file is_symlink iterdir lstat mkdir open read_bytes read_text "
    "readlink resolve rglob rmdir samefile scandir stat symlink_to touch unlink write_bytes write_text"
)
PURE_OS = _words("PathLike fspath path sep linesep fsencode fsdecode")  # of `os`, what only computes
ENVIRONMENT = _words("environ environb getenv getenvb putenv unsetenv")
ENVIRONMENT_CALLS = _words("expanduser expandvars load_dotenv find_dotenv")


@dataclass(frozen=True)
class Source:
    """One Python file: its path for messages, its dotted module name, its text and its syntax tree."""

    path: str
    module: str
    text: str
    tree: ast.Module = field(compare=False)

    @classmethod
    def of(cls, path: str, text: str) -> Source:
        """The source at `path`, relative to the repository."""
        parts = Path(path).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        return cls(path, module, text, ast.parse(text, path))

    @property
    def is_package(self) -> bool:
        """Whether it is an `__init__.py`."""
        return self.path.endswith("__init__.py")

    @property
    def unit(self) -> str:
        """The part of the package that levels are about: `hf_client` for `hugflow.hf_client.fetch`."""
        return unit_of(self.module)

    def at(self, node: ast.AST, problem: str) -> str:
        """`problem` as a line that an editor can jump to."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {problem}"


def unit_of(module: str) -> str:
    """The first name below the package, or the package itself."""
    return module.split(".")[1] if "." in module else module


def imports(source: Source) -> Iterator[tuple[ast.stmt, str, str]]:
    """Every import, wherever it stands: its node, the module, and the name taken from it ("" for a plain import)."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name, ""
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(source, node)
            for alias in node.names:
                yield node, base, alias.name


def _absolute(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = source.module if source.is_package else source.module.rpartition(".")[0]
    for _ in range(node.level - 1):
        package = package.rpartition(".")[0]
    return f"{package}.{node.module}" if node.module else package


def _within(module: str, roots: Iterable[str]) -> bool:
    return any(module == root or module.startswith(root + ".") for root in roots)


def own_imports(source: Source) -> Iterator[tuple[ast.stmt, str]]:
    """Every import of the package's own modules, as dotted names; `from hugflow import x` is `hugflow.x`."""
    for node, module, name in imports(source):
        if module == PACKAGE and name and name != "__version__":
            yield node, f"{PACKAGE}.{name}"
        elif _within(module, [PACKAGE]) and name != "__version__":
            yield node, module


def upward_imports(source: Source, order: dict[str, int]) -> Iterator[str]:
    """Imports that do not point strictly down in `order`, and units that have no place in it."""
    if source.unit not in order:
        yield f"{source.path}: `{source.unit}` has no layer: give it one in LAYERS of tests/repo/test_structure.py"
        return
    for node, module in dict.fromkeys(own_imports(source)):
        unit = unit_of(module)
        if unit != source.unit and order.get(unit, len(order)) >= order[source.unit]:
            yield source.at(node, f"`{source.unit}` imports `{unit}`, which is not below it")


def import_cycles(sources: Iterable[Source]) -> Iterator[str]:
    """A cycle between modules, inside a package too."""
    graph = {source.module: {source.module: source} for source in sources}
    known = frozenset(graph)
    edges: dict[str, set[str]] = {}
    for module, holder in graph.items():
        source = holder[module]
        targets = {_nearest(f"{base}.{name}" if name else base, known) for _, base, name in imports(source)}
        edges[module] = {target for target in targets if target and target != module}
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        yield "modules import each other: " + " -> ".join(error.args[1])


def _nearest(dotted: str, known: frozenset[str]) -> str:
    while dotted and dotted not in known:
        dotted = dotted.rpartition(".")[0]
    return dotted


def long_commands(source: Source, lines: int) -> Iterator[str]:
    """Functions that take a session first, as commands do, and have more than `lines` lines below their docstring."""
    for node in source.tree.body:
        if not isinstance(node, ast.FunctionDef) or [arg.arg for arg in node.args.args[:1]] != ["session"]:
            continue
        code = node.body[1:] if ast.get_docstring(node) is not None else node.body
        if code and (length := (node.end_lineno or 0) - code[0].lineno + 1) > lines:
            yield source.at(node, f"{node.name} has {length} lines; a command has at most {lines}")


def imports_of(source: Source, roots: Iterable[str], why: str) -> Iterator[str]:
    """Imports of `roots` or of anything below them."""
    roots = tuple(roots)
    for node, module, name in imports(source):
        full = f"{module}.{name}" if name else module
        if _within(module, roots) or _within(full, roots):
            yield source.at(node, f"imports {full}: {why}")


def io_in_pure_module(source: Source, allowed: Iterable[str] = ()) -> Iterator[str]:
    """Imports and calls that read or write outside the process; the functions in `allowed` may."""
    yield from imports_of(source, IO_MODULES, "the vocabulary and the pure modules do no I/O")
    allowed = frozenset(allowed)
    for function, node in _nodes_with_function(source.tree):
        if function not in allowed and (call := _io_call(node)):
            yield source.at(node, f"{call} does I/O in a pure module")


def _io_call(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
        return "" if node.attr in PURE_OS else f"os.{node.attr}"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"open", "input", "print"}:
        return f"{node.func.id}()"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in IO_CALLS:
        return f".{node.func.attr}()"
    return ""


def top_level(source: Source) -> Iterator[str]:
    """The names of the module's own functions and classes."""
    return (node.name for node in source.tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))


def _nodes_with_function(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Every node with the name of the module-level function or class that it stands in."""
    for top in tree.body:
        for node in ast.walk(top):
            yield getattr(top, "name", ""), node


def environment_access(source: Source) -> Iterator[str]:
    """Every way to read or change the environment, or a path that depends on it."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id == "os" and node.attr in ENVIRONMENT) or (node.value.id, node.attr) == ("Path", "home"):
                yield source.at(node, f"{node.value.id}.{node.attr}: the environment is an argument")
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            for alias in node.names:
                if alias.name in ENVIRONMENT:
                    yield source.at(node, f"os.{alias.name}: the environment is an argument")
        if isinstance(node, ast.Call) and _called_name(node) in ENVIRONMENT_CALLS:
            yield source.at(node, f"{_called_name(node)}() depends on the environment, which is an argument")


def _called_name(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def missing_docstrings(source: Source) -> Iterator[str]:
    """The module, its public classes and functions, and their public methods must say what they are for."""
    if ast.get_docstring(source.tree) is None and source.tree.body:
        yield f"{source.path}:1: the module has no docstring"
    yield from _undocumented(source, source.tree.body)


def _undocumented(source: Source, body: Iterable[ast.stmt]) -> Iterator[str]:
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None and not _says_elsewhere(node):
            yield source.at(node, f"{node.name} is public and has no docstring")
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(source, node.body)


def questioning_docstrings(source: Source) -> Iterator[str]:
    """Docstrings that begin like a question: they are imperative sentences or noun phrases."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = re.split(r"\W", ast.get_docstring(node) or "", maxsplit=1)[0]
            if first in {"What", "How", "Whether"}:
                yield source.at(node, f"the docstring of {getattr(node, 'name', 'the module')} begins with {first}")


def _says_elsewhere(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """An overload says it at its implementation, an override at what it overrides, a setter at its getter.

    A property without a body is a field of a Protocol, whose class says what it stands for.
    """
    names = {_last_name(decorator) for decorator in node.decorator_list}
    empty = [ast.unparse(statement) for statement in node.body] == ["..."]
    return bool(names & {"overload", "override", "setter"}) or (empty and "property" in names)


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


_SILENCERS = (
    (re.compile(r"#\s*(?:ruff:\s*)?noqa\b(?P<rest>.*)"), re.compile(r":\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*(?P<why>.*)")),
    (re.compile(r"#\s*type:\s*ignore\b(?P<rest>.*)"), re.compile(r"\[[\w, -]+\](?P<why>.*)")),
    (re.compile(r"#\s*pragma:\s*no (?:cover|branch)\b(?P<rest>.*)"), re.compile(r"(?P<why>.*)")),
)
_REASON = re.compile(r".*[^\W\d_]{3}")  # a word at least


def silencers_without_reason(source: Source) -> Iterator[str]:
    """Comments that silence a tool, without its code or without a reason on the same line."""
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type != tokenize.COMMENT:
            continue
        for silencer, form in _SILENCERS:
            found = silencer.search(token.string)
            if found and not ((rest := form.match(found["rest"])) and _REASON.match(_own_words(rest["why"]))):
                yield f"{source.path}:{token.start[0]}: {found[0].strip()!r} needs its code and a reason on the line"


def _own_words(text: str) -> str:
    """`text` up to another silencer, whose reason is its own."""
    return re.split(r"#\s*(?:noqa|type:|pragma:)", text)[0]


_NOT_RUN = re.compile("skip|fail$")
_CONDITION_FIRST = {"skipif", "importorskip"}


def skips_without_reason(source: Source) -> Iterator[str]:
    """Tests that are skipped or fail on purpose, and do not say why."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and _NOT_RUN.search(name := _called_name(node)) and _is_pytest(node.func):
            words = {keyword.arg for keyword in node.keywords}
            positional = name not in _CONDITION_FIRST and node.args
            if not (words & {"reason", "msg"} or positional):
                yield source.at(node, f"{name} without a reason")
    called = {id(node.func) for node in ast.walk(source.tree) if isinstance(node, ast.Call)}
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Attribute) or id(node) in called or not _NOT_RUN.search(node.attr):
            continue
        if ast.unparse(node.value) == "pytest.mark":
            yield source.at(node, "skipped or expected to fail without a reason")


def _is_pytest(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and ast.unparse(node).startswith(("pytest.", "unittest."))
