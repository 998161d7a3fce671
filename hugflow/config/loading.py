"""Loads settings from the environment, `.env`, the configuration file and the command line, with clear messages."""

from __future__ import annotations

import io
import itertools
import posixpath
import re
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dotenv.parser import parse_stream
from pydantic import SecretStr, ValidationError

from hugflow.config.settings import Setting, Settings, describe, env_example, is_path, names, setting_of
from hugflow.model.errors import Terminal, UsageError
from hugflow.request.yaml_tree import Group, Position, Scalar, read
from hugflow.request.yaml_values import Reading, reading
from hugflow.text.printable import closest, printable, shown
from hugflow.text.redact import Redactor

__all__ = ["Setting", "Settings", "describe", "env_example", "load", "token", "token_files"]

COMMAND_LINE: Final = "the command line"
ENVIRONMENT: Final = "the environment"
DOTENV: Final = ".env"


@dataclass(frozen=True, slots=True)
class _SettingText:
    """The text of a setting and its origin. `variable` is the name under which it was set."""

    variable: str
    text: str
    source: str


def load(
    environ: Mapping[str, str],
    dotenv_text: str | None = None,
    config_text: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    config_name: str = "the configuration file",
) -> Settings:
    """Build the settings from all places: `overrides` (the command line) beat the environment, `.env`, the file.

    `config_text` is YAML of the settings' names, small or capital; `config_name` is how messages call it. An empty
    value counts as not set. Raises UsageError with everything that is wrong; never with a secret in it.
    """
    problems: list[str] = []
    places = (
        _overrides(overrides or {}, problems),
        {name: _SettingText(name, text, ENVIRONMENT) for name, text in environ.items()},
        _dotenv(dotenv_text or "", problems),
        _config_file(config_text or "", config_name, problems),
    )
    given = dict(_chosen(places))
    values = {field: _expanded(field, one.text, environ) for field, one in given.items()}
    _refuse_object_stores(given)
    problems += _between(values)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems += [_problem(details, given) for details in error.errors(include_url=False)]
    if problems:
        secrets = [text for field, text in values.items() if setting_of(field).secret]
        raise _wrong(problems, Redactor(secrets))
    return settings


def token(settings: Settings, environ: Mapping[str, str], read_text: Callable[[str], str | None]) -> SecretStr | None:
    """Return the token for the Hub: the setting under any of its names, else the Hub library's token files.

    `read_text` returns a file's text, None where there is no such file. `environ` should have HOME. Raises UsageError
    for a file that holds something else than a token.
    """
    if settings.hf_token is not None:
        return settings.hf_token
    for path in token_files(environ):
        text = (read_text(path) or "").strip()
        if text:
            return _token_of_file(path, text)
    return None


def token_files(environ: Mapping[str, str]) -> list[str]:
    """Name the files in which the Hub library keeps a token, in its own order, the old place last."""
    home = environ.get("HOME") or "~"
    cache = environ.get("XDG_CACHE_HOME") or posixpath.join(home, ".cache")
    hub_home = environ.get("HF_HOME") or posixpath.join(cache, "huggingface")
    first = environ.get("HF_TOKEN_PATH") or posixpath.join(hub_home, "token")
    return [_expand_path(first, environ), posixpath.join(home, ".huggingface", "token")]


# -- the places ------------------------------------------------------------------------------------------------------


def _overrides(overrides: Mapping[str, Any], problems: list[str]) -> dict[str, _SettingText]:
    found = {}
    for name, value in overrides.items():
        if name.lower() not in Settings.model_fields:
            problems.append(_unknown(COMMAND_LINE, name))
        elif value is not None:
            text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            found[name.upper()] = _SettingText(name.upper(), text, COMMAND_LINE)
    return found


def _dotenv(text: str, problems: list[str]) -> dict[str, _SettingText]:
    """Read `.env` with python-dotenv's own parser; what it would only log is an error here."""
    found = {}
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            problems.append(f"{DOTENV}, line {binding.original.line}: must be `NAME=value`; check its quotes")
        elif binding.key is not None and binding.value is not None:
            found[binding.key] = _SettingText(binding.key, binding.value, DOTENV)
    return found


def _config_file(text: str, name: str, problems: list[str]) -> dict[str, _SettingText]:
    if all(not line.strip() or line.lstrip().startswith("#") for line in text.splitlines()):
        return {}
    document = read(text.encode("utf-8", "replace"), example="storage_root: /data")
    for fault in document.faults:
        field = "".join(f"{step}: " for step in fault.loc[:1])
        problems.append(printable(f"{name}:{fault.at.line}:{fault.at.column}: {field}{fault.message}"))
    return dict(_config_entries(document.root, name, problems)) if document.root is not None else {}


def _config_entries(root: Group, name: str, problems: list[str]) -> Iterator[tuple[str, _SettingText]]:
    places: dict[str, Position] = {}
    for key, node in root.entries.items():
        place = printable(f"{name}:{root.keys[key].line}:{root.keys[key].column}")
        if key.lower() not in Settings.model_fields:
            problems.append(_unknown(place, key))
        elif (first := places.setdefault(key.lower(), root.keys[key])) != root.keys[key]:
            problems.append(f"{place}: {key}: is set twice, first on line {first.line}; keep one of them")
        elif not isinstance(node, Scalar):
            problems.append(f"{place}: {printable(key[:60])}: must be one value, not a list or a group")
        elif reading(node) is not Reading.NULL:
            yield key.upper(), _SettingText(key.upper(), node.text, place)


def _unknown(place: str, name: str) -> str:
    near = closest(name, Settings.model_fields)
    return f"{place}: {shown(name)} is no setting" + (f"; did you mean `{near}`?" if near else "")


def _chosen(places: tuple[Mapping[str, _SettingText], ...]) -> Iterator[tuple[str, _SettingText]]:
    """The effective text of each setting: by the order of its names, then by that of the places."""
    for field in Settings.model_fields:
        candidates = (place[name] for name in names(field) for place in places if name in place)
        given = next((one for one in candidates if one.text.strip()), None)
        if given is not None:
            yield field, given


def _refuse_object_stores(given: Mapping[str, _SettingText]) -> None:
    """Raise Terminal for a folder that is an address: renames, locks and syncs need a file system."""
    for field, one in given.items():
        if is_path(field) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", one.text.strip()):
            raise Terminal(
                "reading the configuration",
                f"{one.variable} (from {one.source}) must be a folder on a file system of this machine (a local disk, "
                "NFS, Lustre), not an address such as s3://",
                f"Set {one.variable} to a folder.",
                reason="object_store",
            )


def _expanded(field: str, text: str, environ: Mapping[str, str]) -> str:
    """The value without surrounding spaces, and for a path with `~` expanded."""
    return _home(text.strip(), environ) if is_path(field) else text.strip()


def _home(path: str, environ: Mapping[str, str]) -> str:
    home = environ.get("HOME")
    return home.rstrip("/") + path[1:] if home and (path == "~" or path.startswith("~/")) else path


def _expand_path(path: str, environ: Mapping[str, str]) -> str:
    """Expand `$NAME` and `~`, as the Hub library does for its own variables."""
    return _home(string.Template(path).safe_substitute(environ), environ)


# -- what is wrong ---------------------------------------------------------------------------------------------------


def _problem(details: Any, given: Mapping[str, _SettingText]) -> str:
    """Name the variable, what is wrong with its value and what is allowed; the value only where it is no secret."""
    field = str(details["loc"][0])
    setting, one = setting_of(field), given[field]
    own_words = details["type"] == "value_error" and str(details["ctx"]["error"]).startswith("must")
    sentence = str(details["ctx"]["error"]) if own_words else f"must be {setting.allowed}"
    hidden = setting.secret or "@" in one.text
    return f"{one.variable} (from {one.source}): {sentence}" + ("" if hidden else f"; found {shown(one.text.strip())}")


def _between(values: Mapping[str, str]) -> Iterator[str]:
    """Problems between settings, such as one folder for two purposes; `values` are not validated yet."""
    if "slack_bot_token" in values and "slack_channel" not in values:
        yield "SLACK_CHANNEL: is missing; SLACK_BOT_TOKEN needs the channel to write to"
    fields = ("storage_root", "processed_root", "state_dir")
    folders = [posixpath.normpath(values.get(field, Settings.model_fields[field].default)) for field in fields]
    for (one, folder), (two, same) in itertools.combinations(zip(fields, folders, strict=True), 2):
        if folder == same:
            yield f"{two.upper()}: must be another folder than {one.upper()}; both are {shown(folder)}"


def _wrong(problems: list[str], redactor: Redactor) -> UsageError:
    """All problems as one error; a secret that was put into the wrong variable is masked as well."""
    count = "there is a problem" if len(problems) == 1 else f"there are {len(problems)} problems"
    text = "\n  ".join([count, *map(redactor.text, problems)])
    return UsageError("reading the configuration", text, "docs/configuration.md lists every setting.")


def _token_of_file(path: str, text: str) -> SecretStr:
    if re.search(r"[\s\x00-\x1f\x7f]", text):
        raise UsageError(
            "reading the token for the Hub",
            f"the file {shown(path, 200)} does not contain exactly one token",
            "Log in again with `hf auth login`, or set HF_TOKEN.",
        )
    return SecretStr(text)
