"""Settings: each one from each place, precedence, messages for wrong values, masked secrets."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from hugflow.config.loading import Settings, describe, load, token, token_files
from hugflow.model.errors import ExitCode, UsageError
from tests.support import generated

# Every setting: its field, a value as people write it, and what it becomes.
EACH: tuple[tuple[str, str, Any], ...] = (
    ("hf_token", "hf_abc", SecretStr("hf_abc")),
    ("hf_endpoint", "http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
    ("storage_root", "/srv/datasets", "/srv/datasets"),
    ("processed_root", "/srv/processed", "/srv/processed"),
    ("state_dir", "/srv/state", "/srv/state"),
    ("publish_root", "out", "out"),
    ("github_token", "ghs_abc", SecretStr("ghs_abc")),
    ("github_repo", "acme/data.sets", "acme/data.sets"),
    ("github_api_url", "https://github.example.org/api/v3/", "https://github.example.org/api/v3"),
    ("github_write_interval", "0", 0.0),
    ("slack_webhook_url", "https://hooks.example.org/T/B/x", SecretStr("https://hooks.example.org/T/B/x")),
    ("slack_bot_token", "xoxb-1", SecretStr("xoxb-1")),
    ("slack_channel", "#data", "#data"),
    ("slack_api_url", "https://slack-gov.example/api/", "https://slack-gov.example/api"),
    ("progress_interval", "500", 500),
    ("pr_comment_interval", "501", 501),
    ("slack_notification_interval", "502", 502),
    ("max_concurrent_downloads", "7", 7),
    ("workers", "12", 12),
    ("auto_merge", "true", True),
    ("connection_timeout", "2.5", 2.5),
    ("read_timeout", "60", 60.0),
    ("max_retries", "0", 0),
    ("retry_backoff", "0.1", 0.1),
    ("plan_timeout", "30", 30.0),
    ("plan_memory_mb", "500", 500),
    ("outage_patience", "60", 60.0),
    ("row_timeout", "30", 30.0),
    ("max_audio_seconds", "3600", 3600),
    ("worker_memory_mb", "4096", 4096),
    ("lame_quality", "5", 5),
    ("check_duplicates", "false", False),
    ("validate_hf_id", "no", False),
    ("storage_quota_gb", "1.5", 1.5),
    ("storage_reserve_gb", "50", 50),
    ("max_storage_growth", "2.5", 2.5),
    ("auto_cleanup_requests", "on", True),
    ("cleanup_progress_on_success", "0", False),
    ("trash_days", "30", 30),
    ("log_level", "debug", "DEBUG"),
    ("log_file", "/var/log/hugflow.log", "/var/log/hugflow.log"),
    ("log_format", "JSON", "json"),
)
NEEDED = {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_CHANNEL": "#data"}


def refusal(*args: Any, **kwargs: Any) -> list[str]:
    """The lines about what is wrong."""
    with pytest.raises(UsageError) as caught:
        load(*args, **kwargs)
    first, *problems = caught.value.problem.splitlines()
    assert first == f"there are {len(problems)} problems" if len(problems) > 1 else "there is a problem"
    return [problem.strip() for problem in problems]


# -- each setting from each place ------------------------------------------------------------------------------------


def test_the_list_above_has_every_setting() -> None:
    assert [field for field, _, _ in EACH] == list(Settings.model_fields)


@pytest.mark.parametrize(("field", "text", "value"), EACH)
def test_each_setting_from_each_place(field: str, text: str, value: object) -> None:
    name = field.upper()
    from_environment = load(NEEDED | {name: f" {text} "})
    from_dotenv = load(NEEDED, f"export {name}='{text}'  # why\n")
    from_file = load(NEEDED, None, f"{field}: '{text}'\n") if name not in NEEDED else from_environment
    from_capitals = load(NEEDED, None, f'{name}: "{text}"\n') if name not in NEEDED else from_environment
    from_command_line = load(NEEDED, None, None, {field: text})
    if name in NEEDED:
        from_dotenv = from_environment
    for settings in (from_environment, from_dotenv, from_file, from_capitals, from_command_line):
        assert getattr(settings, field) == value


@pytest.mark.parametrize(("field", "text", "value"), EACH)
def test_each_setting_has_another_default(field: str, text: str, value: object) -> None:
    assert getattr(load({}), field) != value


def test_defaults() -> None:
    settings = load({})
    assert (settings.storage_root, settings.processed_root) == ("./datasets", "/mnt/data/processed")
    assert (settings.state_dir, settings.hf_endpoint) == (".hugflow-state", "https://huggingface.co")
    assert (settings.progress_interval, settings.max_concurrent_downloads, settings.workers) == (10_000, 5, None)
    assert (settings.connection_timeout, settings.read_timeout) == (30, 300)
    assert (settings.max_retries, settings.retry_backoff, settings.row_timeout) == (3, 2, 600)
    assert (settings.max_audio_seconds, settings.worker_memory_mb, settings.lame_quality) == (21_600, 2048, 3)
    assert (settings.check_duplicates, settings.validate_hf_id) == (True, True)
    assert (settings.auto_merge, settings.auto_cleanup_requests) == (False, False)
    assert (settings.cleanup_progress_on_success, settings.trash_days, settings.storage_quota_gb) == (True, 7, 0)
    assert (settings.log_level, settings.log_file, settings.log_format) == ("INFO", None, "text")
    assert settings.secrets() == []


def test_values_from_the_command_line_may_be_typed() -> None:
    settings = load(
        {"AUTO_MERGE": "true"},
        overrides={"auto_merge": False, "STATE_DIR": Path("x"), "hf_token": SecretStr("hf_1"), "workers": None},
    )
    assert (settings.auto_merge, settings.state_dir, settings.hf_token) == (False, "x", SecretStr("hf_1"))


def test_values_of_a_file_may_be_yaml() -> None:
    settings = load({}, None, "workers: 3\nauto_merge: true\nlog_file: null\nread_timeout: 1.5\nstorage_quota_gb:\n")
    assert (settings.workers, settings.auto_merge, settings.log_file, settings.read_timeout) == (3, True, None, 1.5)
    assert settings.storage_quota_gb == 0


def test_an_empty_file_sets_nothing() -> None:
    assert load({}, "\n# nothing\n", "# nothing\n\n") == load({})


# -- the ranks of the places -----------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from([None, "", " ", "value"]), min_size=4, max_size=4))
def test_the_first_place_with_a_value_counts(values: list[str | None]) -> None:
    """Command line, environment, .env, file, default; an empty value counts as not set."""
    line, environment, dotenv, file = (
        f"{value}{place}" if value == "value" else value for place, value in enumerate(values)
    )
    settings = load(
        {} if environment is None else {"SLACK_CHANNEL": environment},
        None if dotenv is None else f"SLACK_CHANNEL='{dotenv}'",
        None if file is None else f"slack_channel: '{file}'",
        {"slack_channel": line},
    )
    ranked = [value for value in (line, environment, dotenv, file) if value and value.strip()]
    assert settings.slack_channel == (ranked[0] if ranked else None)


def test_nothing_is_expanded_in_dotenv() -> None:
    assert load({"HOME": "/h"}, "SLACK_CHANNEL=${HOME}$HOME").slack_channel == "${HOME}$HOME"


def test_home_in_paths() -> None:
    settings = load({"HOME": "/h/", "STORAGE_ROOT": "~/data", "LOG_FILE": "~", "STATE_DIR": "a/~/b"})
    assert (settings.storage_root, settings.log_file, settings.state_dir) == ("/h/data", "/h", "a/~/b")
    assert load({"STORAGE_ROOT": "~/data"}).storage_root == "~/data"
    assert load({"HOME": "/h", "SLACK_CHANNEL": "~"}).slack_channel == "~"


def test_the_repository_that_actions_runs_for() -> None:
    assert load({"GITHUB_REPOSITORY": "acme/one"}).github_repo == "acme/one"
    assert load({"GITHUB_REPOSITORY": "acme/one", "GITHUB_REPO": "acme/two"}).github_repo == "acme/two"
    assert load({"GITHUB_REPOSITORY": "acme/one"}, None, "github_repo: acme/two").github_repo == "acme/two"


def test_workers_are_as_many_as_cores_unless_set() -> None:
    assert load({}).worker_count(6) == 6
    assert load({}).worker_count(1) == 2
    assert load({"WORKERS": "2"}).worker_count(6) == 2


# -- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("HF_ENDPOINT", "huggingface.co", "must be an http or https address; found `huggingface.co`"),
        ("HF_ENDPOINT", "http://[::1", "must be an http or https address; found `http://[::1`"),
        ("HF_ENDPOINT", "http://x:port", "must be an http or https address; found `http://x:port`"),
        ("HF_ENDPOINT", "http://x?y", "must be an address without `?` and `#`; found `http://x?y`"),
        ("GITHUB_REPO", "https://github.com/a/b", "must be `owner/name`; found `https://github.com/a/b`"),
        ("GITHUB_REPO", "acme/..", "must be `owner/name`; found `acme/..`"),
        ("STORAGE_ROOT", "a\x1b[31mb", "must be a path without control characters; found `a\\x1b[31mb`"),
        ("PROGRESS_INTERVAL", "0", "must be a whole number of at least 1; found `0`"),
        ("MAX_CONCURRENT_DOWNLOADS", "65", "must be a whole number from 1 to 64; found `65`"),
        ("WORKERS", "many", "must be a whole number from 1 to 1024; found `many`"),
        ("WORKERS", "1.5", "must be a whole number from 1 to 1024; found `1.5`"),
        ("WORKERS", "9" * 5000, f"must be a whole number from 1 to 1024; found `{'9' * 59}…`"),
        ("READ_TIMEOUT", "0", "must be a number above 0; found `0`"),
        ("READ_TIMEOUT", "inf", "must be a number above 0; found `inf`"),
        ("STORAGE_QUOTA_GB", "nan", "must be a number of at least 0; found `nan`"),
        ("LAME_QUALITY", "10", "must be a whole number from 0 to 9; found `10`"),
        ("AUTO_MERGE", "maybe", "must be `true` or `false`; found `maybe`"),
        ("LOG_LEVEL", "loud", "must be one of `DEBUG`, `INFO`, `WARNING`, `ERROR`, `CRITICAL`; found `loud`"),
        ("LOG_FORMAT", "xml", "must be one of `text`, `json`; found `xml`"),
    ],
)
def test_a_wrong_value_names_the_variable_and_what_is_allowed(name: str, text: str, sentence: str) -> None:
    assert refusal({name: text}) == [f"{name} (from the environment): {sentence}"]


def test_the_place_of_a_wrong_value_is_named() -> None:
    assert refusal({}, "WORKERS=x") == ["WORKERS (from .env): must be a whole number from 1 to 1024; found `x`"]
    assert refusal({}, None, "log_level: INFO\n\nworkers: x", config_name="my.yaml") == [
        "WORKERS (from my.yaml:3:1): must be a whole number from 1 to 1024; found `x`"
    ]
    assert refusal({}, overrides={"workers": 0}) == [
        "WORKERS (from the command line): must be a whole number from 1 to 1024; found `0`"
    ]


def test_all_wrong_values_at_once() -> None:
    problems = refusal(
        {"WORKERS": "x", "SLACK_BOT_TOKEN": "xoxb-1", "STATE_DIR": "datasets"}, "LOG_LEVEL=loud\n'", "worker: 1\n"
    )
    assert [problem.split(" ")[0] for problem in problems] == [
        ".env,",
        "the",
        "SLACK_CHANNEL:",
        "STATE_DIR:",
        "WORKERS",
        "LOG_LEVEL",
    ]


def test_the_error_is_one_of_usage() -> None:
    with pytest.raises(UsageError) as caught:
        load({"WORKERS": "0"})
    assert caught.value.exit_code is ExitCode.USAGE
    assert str(caught.value).startswith(
        "reading the configuration: there is a problem\n  WORKERS (from the environment)"
    )
    assert caught.value.fix == "docs/configuration.md lists every setting."


def test_a_bot_needs_its_channel() -> None:
    assert refusal({"SLACK_BOT_TOKEN": "xoxb-1"}) == [
        "SLACK_CHANNEL: is missing; SLACK_BOT_TOKEN needs the channel to write to"
    ]
    assert load({"SLACK_WEBHOOK_URL": "https://hooks.example.org/x"}).slack_channel is None


def test_folders_of_different_things_are_different() -> None:
    assert refusal({"STATE_DIR": "./a/../datasets", "PROCESSED_ROOT": "datasets/"}) == [
        "PROCESSED_ROOT: must be another folder than STORAGE_ROOT; both are `datasets`",
        "STATE_DIR: must be another folder than STORAGE_ROOT; both are `datasets`",
        "STATE_DIR: must be another folder than PROCESSED_ROOT; both are `datasets`",
    ]


def test_an_unknown_variable_is_ignored_in_the_environment() -> None:
    assert load({"WORKER": "x", "PATH": "/bin"}, "WORKERZ=1\n") == load({})


def test_an_unknown_name_in_the_file_is_an_error() -> None:
    assert refusal({}, None, "worker: 1\nhf_tokn: x\n\x1b: 1\n".replace("\x1b", '"\\e[31m"'), config_name="c.yaml") == [
        "c.yaml:1:1: `worker` is no setting; did you mean `workers`?",
        "c.yaml:2:1: `hf_tokn` is no setting; did you mean `hf_token`?",
        "c.yaml:3:1: `\\x1b[31m` is no setting",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "- a\n",
            "c:1:1: is a list; write fields, one on each line, like `storage_root: /data`, without `- ` before them",
        ),
        ("a: b: c\n", "c:1:5: has a second `: ` on the line; put the value in quotes if it contains one"),
        ("workers: 1\nworkers: 2\n", "c:2:1: workers: is set twice, first on line 1; keep one of them"),
        ("workers: [1]\n", "c:1:1: workers: must be one value, not a list or a group"),
        ("workers: &a 1\n", "c:1:10: workers: must have no anchor (`&name`); remove it"),
    ],
)
def test_a_wrong_file(text: str, problem: str) -> None:
    assert refusal({}, None, text, config_name="c") == [problem]


def test_one_name_in_two_ways_of_writing() -> None:
    assert refusal({}, None, "workers: 1\nWORKERS: 2\n", config_name="c") == [
        "c:2:1: WORKERS: is set twice, first on line 1; keep one of them"
    ]


def test_a_wrong_line_of_dotenv() -> None:
    assert refusal({}, "WORKERS=1\n'A secret=hf_x\n") == [".env, line 2: must be `NAME=value`; check its quotes"]


# -- secrets ---------------------------------------------------------------------------------------------------------

SECRETS = {
    "HF_TOKEN": "hf_canary1 x",
    "GITHUB_TOKEN": "ghp_canary2 x",
    "SLACK_BOT_TOKEN": "xoxb-canary3 x",
    "SLACK_WEBHOOK_URL": "ftp://canary4",
    "HF_ENDPOINT": "http://user:canary5@x",
    "GITHUB_API_URL": "http://canary6@x",
}


def test_wrong_secrets_are_not_shown() -> None:
    with pytest.raises(UsageError) as caught:
        load(SECRETS | {"SLACK_CHANNEL": "x"})
    assert len(caught.value.problem.splitlines()) == 1 + len(SECRETS)
    assert "canary" not in str(caught.value)
    assert "canary" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_a_secret_in_the_wrong_variable_is_not_shown() -> None:
    problems = refusal({"HF_TOKEN": "the-canary", "LOG_LEVEL": "the-canary", "WORKERS": "hf_" + "aB3" * 11})
    assert [problem.rpartition("; ")[2] for problem in problems] == ["found `***`", "found `***`"]


@pytest.mark.parametrize(
    "show", [repr, str, lambda settings: settings.model_dump_json(), lambda s: repr(s.model_dump())]
)
def test_settings_do_not_show_secrets(show: Any) -> None:
    right = {
        name: value.replace(" x", "").replace("ftp", "https") for name, value in SECRETS.items() if "@" not in value
    }
    settings = load(right | {"SLACK_CHANNEL": "x"})
    assert "canary" not in show(settings)
    assert sorted(secret.get_secret_value() for secret in settings.secrets()) == sorted(right.values())
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_settings_that_are_built_directly_do_not_show_secrets_either() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(hf_token="canary x", workers=0)
    assert "canary" not in str(caught.value)


def test_settings_are_frozen_and_closed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load({}).workers = 3
    with pytest.raises(ValidationError, match="extra"):
        Settings(worker=3)


# -- the token for the Hub -------------------------------------------------------------------------------------------

HOME = {"HOME": "/home"}
FILE = "/home/.cache/huggingface/token"
OLD_FILE = "/home/.huggingface/token"
EVERYWHERE = HOME | {"HF_TOKEN": "environment", "HF_HUB_TOKEN": "hub", "HUGGING_FACE_HUB_TOKEN": "hugging"}


def found(
    environ: Mapping[str, str], files: Mapping[str, str], dotenv: str = "", config: str = "", **overrides: str
) -> str | None:
    """The token that is found, as plain text."""
    secret = token(load(environ, dotenv, config, overrides), environ, files.get)
    return secret.get_secret_value() if secret is not None else None


def test_the_order_in_which_tokens_are_looked_for() -> None:
    """Each place in turn, with all later ones filled as well."""
    environ, files = dict(EVERYWHERE), {FILE: "file", OLD_FILE: "old"}
    dotenv, config = "HF_TOKEN=dotenv\nHF_HUB_TOKEN=dotenv-hub\n", "hf_token: config"
    assert found(environ, files, dotenv, config, hf_token="explicit") == "explicit"
    assert found(environ, files, dotenv, config) == "environment"
    del environ["HF_TOKEN"]
    assert found(environ, files, dotenv, config) == "dotenv"
    assert found(environ, files, "HF_HUB_TOKEN=dotenv-hub", config) == "config"
    assert found(environ, files, "HF_HUB_TOKEN=dotenv-hub") == "hub"
    del environ["HF_HUB_TOKEN"]
    assert found(environ, files, "HF_HUB_TOKEN=dotenv-hub") == "dotenv-hub"
    assert found(environ, files) == "hugging"
    del environ["HUGGING_FACE_HUB_TOKEN"]
    assert found(environ, files) == "file"
    del files[FILE]
    assert found(environ, files) == "old"
    assert found(environ, {}) is None


def test_empty_tokens_are_none() -> None:
    environ = HOME | {"HF_TOKEN": "", "HF_HUB_TOKEN": "  "}
    assert found(environ, {FILE: " \n", OLD_FILE: "old"}) == "old"
    assert found(environ, {FILE: "", OLD_FILE: "\n"}) is None


def test_tokens_are_trimmed() -> None:
    assert found(HOME | {"HF_TOKEN": " hf_1\r\n"}, {}) == "hf_1"
    assert found(HOME, {FILE: "hf_1\r\n\n"}) == "hf_1"


@pytest.mark.parametrize(
    ("environ", "files"),
    [
        ({}, [FILE, OLD_FILE]),
        ({"XDG_CACHE_HOME": "/cache"}, ["/cache/huggingface/token", OLD_FILE]),
        ({"XDG_CACHE_HOME": "/cache", "HF_HOME": "/hub"}, ["/hub/token", OLD_FILE]),
        ({"HF_HOME": "~/hub"}, ["/home/hub/token", OLD_FILE]),
        ({"HF_HOME": "$DATA/hub", "DATA": "/data"}, ["/data/hub/token", OLD_FILE]),
        ({"HF_HOME": "/hub", "HF_TOKEN_PATH": "/run/token"}, ["/run/token", OLD_FILE]),
        ({"HF_HOME": "", "HF_TOKEN_PATH": "", "XDG_CACHE_HOME": ""}, [FILE, OLD_FILE]),
    ],
)
def test_where_the_hub_library_keeps_its_token(environ: dict[str, str], files: list[str]) -> None:
    assert token_files(HOME | environ) == files


def test_a_token_file_that_holds_something_else() -> None:
    with pytest.raises(UsageError) as caught:
        found(HOME, {FILE: "canary one\ncanary two\n"})
    assert FILE in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_token_does_not_show_itself() -> None:
    assert "hf_1" not in repr(token(load({}), HOME, {FILE: "hf_1"}.get))


# -- what people read ------------------------------------------------------------------------------------------------


def test_every_setting_is_described() -> None:
    for setting in describe():
        assert setting.meaning.endswith(".")
        assert setting.allowed
        assert setting.meaning.isprintable()
        assert setting.secret == ("TOKEN" in setting.name or setting.name == "SLACK_WEBHOOK_URL")
        assert not (setting.secret and setting.default)


@pytest.mark.parametrize("name", [".env.example", "docs/configuration.md"])
def test_the_generated_file_is_fresh(name: str) -> None:
    path = generated.ROOT / name
    assert path.read_text("utf-8") == generated.generated()[path], "run `python -m tests.support.generated`"


def test_every_setting_stands_in_the_example_and_in_the_docs() -> None:
    example = (generated.ROOT / ".env.example").read_text("utf-8")
    docs = (generated.ROOT / "docs" / "configuration.md").read_text("utf-8")
    for field in Settings.model_fields:
        assert f"\n{field.upper()}=" in example
        assert f"| `{field.upper()}` |" in docs


def test_the_example_as_it_is_gives_the_defaults() -> None:
    assert load({}, (generated.ROOT / ".env.example").read_text("utf-8")) == load({})


def test_the_messages_in_the_docs_are_real() -> None:
    with pytest.raises(UsageError) as caught:
        load({"SLACK_BOT_TOKEN": "xoxb-1"}, "LAME_QUALITY=12")
    docs = (generated.ROOT / "docs" / "configuration.md").read_text("utf-8")
    assert set(str(caught.value).splitlines()) <= set(docs.splitlines())
