"""Structure of the repository: import order, no environment access inside the package, complete documentation.

Each rule is proved on a small wrong example first (`test_the_rule_...`): a check that cannot fail shows nothing.
"""

from __future__ import annotations

import ast
import importlib
import os
import pwd
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from typer.main import get_command

from hugflow.config import loading as config
from scripts.duplicate_names import defined_twice
from tests.repo import structure_checks as checks
from tests.repo.structure_checks import Source

ROOT = Path(__file__).resolve().parents[2]

# Imports point down: a package (or a module beside the packages) imports only from those before it in this list.
LAYERS = [
    *("version", "text", "model", "errors", "render", "card", "request", "config"),  # values and text: no I/O
    *("storage", "formats", "audio", "hf_client", "report", "gitops", "slack"),  # one thing outside the process each
    *("download", "publish", "sync"),  # the engine
    *("api", "cli", "__main__", "hugflow"),  # the ways in
]
COMMAND_LINES = 30
ORDER = {unit: place for place, unit in enumerate(LAYERS)}
PURE = frozenset(["version", "text", "model", "errors", "render", "card", "request", "config"])
# pure packages in which one function does I/O all the same, and why
IO_ALLOWED: dict[str, dict[str, str]] = {
    "request": {"_read_regular_file": "what kind of file a request may be is part of its format"},
}
ENGINE = frozenset(["download", "publish", "sync"])
REPORTERS = tuple(f"hugflow.{name}" for name in ("gitops", "slack", "report"))
NOT_THE_PRODUCT = ("localhub", "tests", "examples", "benchmarks", "scripts")
HEAVY = ("datasets", "duckdb", "pyarrow", "huggingface_hub", "numpy", "pandas")


has_cli = pytest.mark.skipif(not (ROOT / "hugflow/__main__.py").is_file(), reason="there is no command line yet")


def sources(*folders: str) -> list[Source]:
    """Every Python file below `folders`."""
    paths = sorted(
        path for folder in folders for path in (ROOT / folder).rglob("*.py") if "node_modules" not in path.parts
    )
    return [Source.of(path.relative_to(ROOT).as_posix(), path.read_text("utf-8")) for path in paths]


PRODUCT = sources("hugflow")
ALL_PYTHON = PRODUCT + sources(*NOT_THE_PRODUCT)


def assert_none(problems: Iterable[str]) -> None:
    """Fail with all `problems`, a line each."""
    found = list(problems)
    assert not found, "\n" + "\n".join(found)


def all_of(check: Callable[[Source], Iterable[str]], among: Iterable[Source]) -> Iterator[str]:
    """The problems that `check` finds in each source."""
    for source in among:
        yield from check(source)


# -- imports ---------------------------------------------------------------------------------------------------------


def test_imports_point_strictly_down() -> None:
    assert_none(all_of(lambda source: checks.upward_imports(source, ORDER), PRODUCT))


@pytest.mark.parametrize(
    ("path", "text", "problem"),
    [
        ("hugflow/model/errors.py", "from hugflow.storage.disk import faults", "`model` imports `storage`"),
        ("hugflow/model/errors.py", "from hugflow import storage", "`model` imports `storage`"),
        ("hugflow/model/plan.py", "def f():\n    import hugflow.cli.sync", "`model` imports `cli`"),
        ("hugflow/download/pool.py", "from .. import sync", "`download` imports `sync`"),
        ("hugflow/gitops/client.py", "from hugflow.slack import channels", "`gitops` imports `slack`"),
        ("hugflow/model/plan.py", "import hugflow.unheard_of", "`model` imports `unheard_of`"),
        ("hugflow/unheard_of.py", "", "has no layer"),
    ],
)
def test_the_rule_of_layers_can_fail(path: str, text: str, problem: str) -> None:
    assert problem in "".join(checks.upward_imports(Source.of(path, text), ORDER))


def test_the_rule_of_layers_lets_pass_what_is_right() -> None:
    text = (
        "import os\nfrom hugflow import __version__\nfrom hugflow.model.errors import HugflowError\nfrom . import pool"
    )
    assert_none(checks.upward_imports(Source.of("hugflow/download/convert.py", text), ORDER))


def test_the_package_has_few_files_of_its_own_and_few_packages() -> None:
    assert sorted(path.name for path in (ROOT / "hugflow").glob("*.py")) == [
        "__init__.py",
        "__main__.py",
        "sync.py",
        "version.py",
    ]
    assert len(LAYERS) <= 24
    folders = {path.parent.name for path in (ROOT / "hugflow").glob("*/__init__.py")}
    assert folders | {"sync", "version", "__main__", "hugflow"} == set(LAYERS)


def test_the_body_of_a_command_fits_on_a_screen() -> None:
    cli = [source for source in PRODUCT if source.unit == "cli"]
    assert_none(all_of(lambda source: checks.long_commands(source, COMMAND_LINES), cli))


def test_the_rule_of_short_commands_can_fail() -> None:
    text = 'def plan(session: Session) -> None:\n    "Doc."\n' + "    x = 1\n" * (COMMAND_LINES + 1)
    assert list(checks.long_commands(Source.of("hugflow/cli/plan.py", text), COMMAND_LINES))


def test_no_two_modules_define_a_class_of_the_same_name() -> None:
    twice = defined_twice([(source.path, source.text) for source in PRODUCT], (ast.ClassDef,))
    assert_none(f"{name}: {' '.join(paths)}" for name, paths in twice.items())


def test_the_rule_of_class_names_can_fail() -> None:
    two = [("hugflow/a.py", "class Tally: ..."), ("hugflow/b.py", "class Tally: ..."), ("c.py", "class Count: ...")]
    assert defined_twice(two, (ast.ClassDef,)) == {"Tally": ["hugflow/a.py", "hugflow/b.py"]}


def test_modules_do_not_import_each_other() -> None:
    assert_none(checks.import_cycles(PRODUCT))


def test_the_rule_of_cycles_can_fail() -> None:
    one = Source.of("hugflow/render/one.py", "from hugflow.render import two")
    two = Source.of("hugflow/render/two.py", "from hugflow.render.one import name")
    assert "hugflow.render.one -> " in "".join(checks.import_cycles([one, two]))


def test_only_hf_client_imports_the_hub_libraries() -> None:
    others = [source for source in PRODUCT if source.unit != "hf_client"]
    roots = ("huggingface_hub", "datasets")
    assert_none(all_of(lambda source: checks.imports_of(source, roots, "only hf_client may"), others))


def test_the_engine_names_no_reporter() -> None:
    engine = [source for source in PRODUCT if source.unit in ENGINE]
    assert_none(all_of(lambda source: checks.imports_of(source, REPORTERS, "the engine names no reporter"), engine))


def test_the_package_imports_nothing_beside_it() -> None:
    assert_none(all_of(lambda source: checks.imports_of(source, NOT_THE_PRODUCT, "not part of the product"), PRODUCT))


@pytest.mark.parametrize(
    "text",
    ["import datasets", "from datasets.arrow_dataset import Dataset", "def f():\n    from datasets import Dataset"],
)
def test_the_rule_of_named_imports_can_fail(text: str) -> None:
    assert list(checks.imports_of(Source.of("hugflow/sync.py", text), ["datasets"], "no"))
    assert not list(checks.imports_of(Source.of("hugflow/sync.py", "import datasets_of_ours"), ["datasets"], "no"))


# -- no I/O in the pure modules, no environment outside the entry point ----------------------------------------------


def test_pure_modules_do_no_io() -> None:
    pure = [source for source in PRODUCT if source.unit in PURE]
    assert_none(all_of(lambda source: checks.io_in_pure_module(source, IO_ALLOWED.get(source.unit, ())), pure))


@pytest.mark.parametrize(
    "text",
    [
        "import socket",
        "from urllib.request import urlopen",
        "from urllib import request",
        "open('x')",
        "path.read_text('utf-8')",
        "def f(path):\n    return path.exists()",
        "import os\nos.replace('a', 'b')",
        "class A:\n    def allowed(self):\n        return open('x')",
    ],
)
def test_the_rule_of_purity_can_fail(text: str) -> None:
    assert list(checks.io_in_pure_module(Source.of("hugflow/model/plan.py", text), ["allowed"]))


def test_the_rule_of_purity_lets_pass_what_is_right() -> None:
    text = (
        "import os\nfrom urllib.parse import quote\nos.fspath(quote('x').replace('a', 'b'))\ndef allowed(): open('x')"
    )
    assert_none(checks.io_in_pure_module(Source.of("hugflow/model/plan.py", text), ["allowed"]))


def test_every_exception_to_purity_has_its_reason_and_its_function() -> None:
    functions = {(source.unit, name) for source in PRODUCT for name in checks.top_level(source)}
    wanted = {(unit, name) for unit, names in IO_ALLOWED.items() for name in names}
    assert wanted <= functions
    assert all(len(why.split()) > 2 for names in IO_ALLOWED.values() for why in names.values())


def test_only_the_entry_point_reads_the_environment() -> None:
    assert_none(all_of(checks.environment_access, [source for source in PRODUCT if source.unit != "__main__"]))


@pytest.mark.parametrize(
    "text",
    [
        "import os\nos.environ['HF_TOKEN']",
        "import os\ndef f():\n    return os.getenv('X')",
        "from os import environ",
        "from pathlib import Path\nPath.home()",
        "path.expanduser()",
        "from dotenv import load_dotenv\nload_dotenv()",
    ],
)
def test_the_rule_of_the_environment_can_fail(text: str) -> None:
    assert list(checks.environment_access(Source.of("hugflow/sync.py", text)))


# -- what people need is written down --------------------------------------------------------------------------------


def test_public_names_have_docstrings() -> None:
    assert_none(all_of(checks.missing_docstrings, PRODUCT))


@pytest.mark.parametrize(
    "text",
    ["x = 1", "'''Doc.'''\ndef f():\n    pass", "'''Doc.'''\nclass A:\n    '''Doc.'''\n    def f(self):\n        pass"],
)
def test_the_rule_of_docstrings_can_fail(text: str) -> None:
    assert list(checks.missing_docstrings(Source.of("hugflow/sync.py", text)))


def test_docstrings_do_not_begin_like_questions() -> None:
    assert_none(all_of(checks.questioning_docstrings, PRODUCT))


@pytest.mark.parametrize(
    "text",
    [
        '"What a run does."',
        '"Doc."\nclass A:\n    "How it ends."',
        '"Doc."\nclass A:\n    "Doc."\n    def _f(self):\n        "Whether it is one."',
        '"Doc."\nasync def f():\n    "What, and when."',
    ],
)
def test_the_rule_of_questions_can_fail(text: str) -> None:
    assert len(list(checks.questioning_docstrings(Source.of("hugflow/sync.py", text)))) == 1


def test_the_rule_of_questions_lets_pass_other_words() -> None:
    text = '"Whatever the text says, what it is."\ndef f():\n    "Tell how it ends."'
    assert not list(checks.questioning_docstrings(Source.of("hugflow/sync.py", text)))


def _declared() -> dict[str, list[Requirement]]:
    """The project's requirements, by the list of pyproject.toml that they stand in."""
    project = tomllib.loads(_read("pyproject.toml"))
    lists = {"run": project["project"]["dependencies"], "system": project["build-system"]["requires"]}
    lists |= project["dependency-groups"]
    return {name: [Requirement(line) for line in lines if isinstance(line, str)] for name, lines in lists.items()}


LOCKS = ("constraints.txt", "constraints-runtime.txt")


def _locked(lock: str = "constraints.txt") -> dict[str, list[Version]]:
    """The versions of a lock file; a package may have two, for different versions of Python."""
    found: dict[str, list[Version]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", _read(lock), re.MULTILINE):
        found.setdefault(canonicalize_name(name), []).append(Version(version))
    return found


def test_the_lock_has_a_right_version_of_everything_declared() -> None:
    """Where this fails, `make lock` writes the lock again."""
    locked = _locked()
    declared = _declared()
    wanted = [requirement for name in ("run", "test", "lint", "build") for requirement in declared[name]]
    missing = [
        str(requirement)
        for requirement in wanted
        if not (versions := locked.get(canonicalize_name(requirement.name)))
        or not all(map(requirement.specifier.contains, versions))
    ]
    assert not missing


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_has_hashes_for_everything_and_names_no_index(lock: str) -> None:
    entries = re.split(r"\n(?=[a-z0-9])", _read(lock))[1:]
    assert len(entries) > 20
    assert not [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry]
    assert not re.findall(r"^-.*|\bhttps?:|\bfile:", _read(lock), re.MULTILINE)
    assert not {"torch", "torchcodec"} & set(_locked(lock))


def test_the_lock_of_the_action_has_what_is_needed_to_run_and_nothing_else() -> None:
    """Where this fails, `make lock` writes it again."""
    everything, runtime = (_locked(lock) for lock in LOCKS)
    assert {name: everything[name] for name in runtime} == runtime
    declared = _declared()
    assert {canonicalize_name(requirement.name) for requirement in declared["run"]} <= set(runtime)
    tools = {canonicalize_name(each.name) for group in ("bench", "test", "lint", "build") for each in declared[group]}
    assert not tools & set(runtime)
    assert "constraints-runtime.txt" in _read("action.yml")


def test_every_dependency_says_why_it_is_there() -> None:
    rows = re.findall(r"^\| `([\w.-]+)`[^|]*\| *(\S[^|]+)\| *(\S[^|]+)\|$", _read("docs/dependencies.md"), re.MULTILINE)
    assert {canonicalize_name(name) for name, _, _ in rows} == {
        canonicalize_name(requirement.name) for requirements in _declared().values() for requirement in requirements
    }


def test_every_setting_is_written_down() -> None:
    settings = {setting.name for setting in config.describe()}
    explained = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", _read("docs/configuration.md")))
    assert _read(".env.example") == config.env_example()
    assert settings <= explained
    assert {alias for setting in config.describe() for alias in setting.aliases} <= explained


@has_cli
def test_every_command_has_an_example_in_its_help() -> None:
    assert not [name for name, text in runnable_commands() if not re.search(rf"{name}(\s|$)", text)]


@has_cli
def test_every_command_has_its_section() -> None:
    sections = re.findall(r"^#+ `(hugflow(?: [a-z][a-z-]*)+)", _read("docs/commands.md"), re.MULTILINE)
    assert sorted(sections) == sorted(name for name, _ in runnable_commands())


def runnable_commands() -> Iterator[tuple[str, str]]:
    """Every command that does something, as it is typed, with the text of its help."""
    app = importlib.import_module("hugflow.cli").app
    waiting = [("hugflow", get_command(getattr(app, "app", app)))]
    while waiting:
        name, command = waiting.pop()
        below = getattr(command, "commands", {})
        waiting += [(f"{name} {child}", found) for child, found in below.items()]
        if not below:
            yield name, f"{command.help or ''}\n{command.epilog or ''}"


def _read(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


# -- start-up --------------------------------------------------------------------------------------------------------


def _heavy_imports(clean_environ: dict[str, str], *command: str) -> set[str]:
    """Which of the heavy packages the command imports, by Python's own record of imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command],
        env=clean_environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, re.sub(r"^import time:.*\n", "", done.stderr, flags=re.MULTILINE)
    return {name for name in HEAVY if re.search(rf"\| +{name}$", done.stderr, re.MULTILINE)}


def test_importing_the_package_is_light(clean_environ: dict[str, str]) -> None:
    assert _heavy_imports(clean_environ, "-c", "import hugflow") == set()


@has_cli
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["plan", "--help"]])
def test_help_is_light(clean_environ: dict[str, str], arguments: list[str]) -> None:
    assert _heavy_imports(clean_environ, "-m", "hugflow", *arguments) == set()


@has_cli
def test_validate_is_light(clean_environ: dict[str, str], tmp_path: Path) -> None:
    request = tmp_path / "requests" / "add" / "speech.yaml"
    request.parent.mkdir(parents=True)
    request.write_text("hf_id: acme/speech\ndescription: Read speech\n")
    assert _heavy_imports(clean_environ, "-m", "hugflow", "validate", str(request)) == set()


def test_the_rule_of_light_imports_can_fail(clean_environ: dict[str, str]) -> None:
    assert "numpy" in _heavy_imports(clean_environ, "-c", "import numpy.linalg")


# -- what must not stand in a commit ---------------------------------------------------------------------------------

# Written in parts, so that this file does not contain them.
FORBIDDEN_WORDS = (
    *(name + end for name, end in (("pypi", ".org"), ("python", "hosted.org"), ("registry.npm", "js"))),
    *(name + end for name, end in (("deb.deb", "ian.org"), ("security.deb", "ian.org"), ("archive.ub", "untu.com"))),
    *(name + end for name, end in (("crates", ".io"), ("download.py", "torch.org"))),
)
HOME = pwd.getpwuid(os.getuid()).pw_dir  # the real one, not that of the tests
PATH_OF_A_MACHINE = re.compile(rf"(?<![\w.~}})-])(?:/work|/root|/Users|{re.escape(HOME)})/[\w.-]")


def committed_files() -> list[Path]:
    """Every file that is in Git or would be added to it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    paths = (ROOT / name for name in listed.stdout.decode().split("\0") if name)
    return sorted(path for path in paths if path.is_file())


def forbidden_in(path: str, text: str) -> Iterator[str]:
    """Lines with the host of a package registry, or a path that exists on one machine only."""
    for number, line in enumerate(text.splitlines(), 1):
        found = [word for word in FORBIDDEN_WORDS if word in line.lower()]
        found += [match[0] for match in PATH_OF_A_MACHINE.finditer(line)]
        for word in found:
            yield f"{path}:{number}: {word!r} is a registry's host or a path of one machine"


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    for path in committed_files():
        content = path.read_bytes()
        if b"\0" not in content:
            assert_none(forbidden_in(path.relative_to(ROOT).as_posix(), content.decode("utf-8", "replace")))


@pytest.mark.parametrize(
    "line", ["https://PyPI" + ".org/simple", "see /wo" + "rk/main", 'cd "/ro' + 'ot/x"', f"({HOME}/me)"]
)
def test_the_rule_of_forbidden_words_can_fail(line: str) -> None:
    assert list(forbidden_in("x", line))


@pytest.mark.parametrize("line", ["https://example.org/home/x", "$GITHUB_WORKSPACE/work/x", "at work/x", "~/work/x"])
def test_the_rule_of_forbidden_words_lets_pass_what_is_right(line: str) -> None:
    assert_none(forbidden_in("x", line))


def test_silenced_tools_and_skipped_tests_have_their_reasons() -> None:
    assert_none(all_of(checks.silencers_without_reason, ALL_PYTHON))
    assert_none(all_of(checks.skips_without_reason, ALL_PYTHON))


@pytest.mark.parametrize(
    "text",
    [
        "x = 1  # noqa",
        "x = 1  # noqa: E501",
        "x = 1  # type: ignore",
        "x = 1  # type: ignore[arg-type]",
        "x = 1  # type: ignore[arg-type]  # noqa: E501 - of the line only",
        *(f"x = 1  # pragma: no {what}" for what in ("cover", "branch")),
    ],
)
def test_the_rule_of_reasons_can_fail(text: str) -> None:
    assert list(checks.silencers_without_reason(Source.of("x.py", text)))


def test_the_rule_of_reasons_lets_pass_what_is_right() -> None:
    text = "x = 1  # noqa: BLE001, S110 - a reporter is isolated\ny = 2  # type: ignore[misc]  # pydantic builds it"
    assert_none(checks.silencers_without_reason(Source.of("x.py", text)))


ENDINGS = [name for name in dir(pytest) if name.endswith(("skip", "fail"))]


@pytest.mark.parametrize(
    "text",
    [
        *(f"pytest.{name}()" for name in ENDINGS),
        *(f"@pytest.mark.{name}\ndef f(): pass" for name in ENDINGS),
        "@pytest.mark.skipif(x)\ndef f(): pass",
        "pytest.importorskip('x')",
    ],
)
def test_the_rule_of_skips_can_fail(text: str) -> None:
    assert list(checks.skips_without_reason(Source.of("x.py", text)))


def test_the_rule_of_skips_is_shown_all_that_pytest_has() -> None:
    assert len(ENDINGS) == 4


def test_the_rule_of_skips_lets_pass_what_is_right() -> None:
    text = "pytest.skip('no mount')\n@pytest.mark.skipif(x, reason='no root')\ndef f(): rows.skip()"
    assert_none(checks.skips_without_reason(Source.of("x.py", text)))
