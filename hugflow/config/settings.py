"""All settings: names, types, defaults, descriptions. Docs and `.env.example` are generated from them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic.fields import FieldInfo

from hugflow.text.printable import listed

_ALIASES = {
    "hf_token": ("HF_TOKEN", "HF_HUB_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
    "github_repo": ("GITHUB_REPO", "GITHUB_REPOSITORY"),
}


@dataclass(frozen=True, slots=True)
class Allowed:
    """Description of the values that a setting accepts; follows "must be" in messages."""

    words: str


def _address(value: str) -> str:
    parts = urlsplit(value)  # its own ValueError quotes no secret, and is replaced by our message
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0 or re.search(r"\s", value):
        raise ValueError("must be an http or https address")
    if "@" in parts.netloc:
        raise ValueError("must be an address without a user name and password; tokens have settings of their own")
    if parts.query or parts.fragment:
        raise ValueError("must be an address without `?` and `#`")
    return value.rstrip("/")


def _secret(value: SecretStr) -> SecretStr:
    if re.search(r"[\s\x00-\x1f\x7f]", value.get_secret_value()):
        raise ValueError("must not have spaces or line breaks inside")
    return value


def _secret_address(value: SecretStr) -> SecretStr:
    _address(value.get_secret_value())
    return value


def _repository(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+", value) or value.endswith(("/.", "/..")):
        raise ValueError("must be `owner/name`")
    return value


def _path(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must be a path without control characters")
    return value


_PATH = Allowed("a path; `~` is the home directory")
Path = Annotated[str, _PATH, AfterValidator(_path)]
Address = Annotated[str, Allowed("an http or https address"), AfterValidator(_address)]
Secret = Annotated[SecretStr, Allowed("a token"), AfterValidator(_secret)]
Rows = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(str.upper)]
LogFormat = Annotated[Literal["text", "json"], BeforeValidator(str.lower)]


class Settings(BaseModel):
    """All settings, checked and frozen. Secrets are never part of its text forms."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    hf_token: Secret | None = None
    """Token for the Hugging Face Hub; public datasets need none. Without it, the Hub library's token file is read."""
    hf_endpoint: Address = "https://huggingface.co"
    """Address of the Hub."""
    storage_root: Path = "./datasets"
    """Folder that holds the datasets, on a file system of this machine."""
    processed_root: Path = "/mnt/data/processed"
    """Folder in which each finished dataset gets a symbolic link."""
    state_dir: Path = ".hugflow-state"
    """Folder for progress, journals, manifests and locks."""
    publish_root: Path = "."
    """Folder that the paths of publish requests are relative to."""
    github_token: Secret | None = None
    """Token for comments, checks and merges on GitHub. Without it, `gh auth token` is asked."""
    github_repo: Annotated[str, Allowed("`owner/name`"), AfterValidator(_repository)] | None = None
    """Repository whose pull requests are worked on."""
    github_api_url: Address = "https://api.github.com"
    """Address of GitHub's API; that of your server for GitHub Enterprise."""
    github_write_interval: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1
    """Seconds between two writes to GitHub, which requires 1; 0 is for GitHub Enterprise servers without limits."""
    slack_webhook_url: Annotated[SecretStr, Allowed("an https address"), AfterValidator(_secret_address)] | None = None
    """Slack webhook for messages; its channel is set in Slack."""
    slack_bot_token: Secret | None = None
    """Slack bot token, in place of a webhook: progress is then one message that is updated. Needs SLACK_CHANNEL."""
    slack_channel: Annotated[str, Allowed("a channel's name or id"), AfterValidator(_path)] | None = None
    """Slack channel that the bot writes to."""
    slack_api_url: Address = "https://slack.com/api"
    """Address of Slack's API, for the bot; that of GovSlack is another."""
    progress_interval: Rows = 10_000
    """Rows between two lines of progress in the log."""
    pr_comment_interval: Rows = 10_000
    """Rows between two updates of the pull request's comment; every 20 % and every hour it is updated anyway."""
    slack_notification_interval: Rows = 50_000
    """Rows between two progress messages in Slack."""
    max_concurrent_downloads: Annotated[int, Field(ge=1, le=64)] = 5
    """Files that are fetched from the Hub at the same time."""
    workers: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Processes that convert rows; one for each core, at least two, unless set. With 1, a hanging row stops the run."""
    auto_merge: bool = False
    """Merge a pull request when all its requests succeeded; only the commit that was processed."""
    connection_timeout: Seconds = 30
    """Seconds to wait for a connection."""
    read_timeout: Seconds = 300
    """Seconds to wait for the next bytes of an answer."""
    max_retries: Annotated[int, Field(ge=0, le=100)] = 3
    """Further attempts after a failed call that may succeed later."""
    retry_backoff: Seconds = 2
    """Seconds before the first further attempt; doubled for each later one, with random jitter."""
    plan_timeout: Seconds = 20
    """Processor seconds for reading a dataset's card and files for a plan; waiting for the Hub does not count."""
    plan_memory_mb: Annotated[int, Field(ge=256)] = 700
    """Memory that reading a dataset's card and files may take for a plan, in MB."""
    outage_patience: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1800
    """Seconds for which a download or publish waits for a Hub that fails, with growing pauses, before it ends."""
    row_timeout: Seconds = 600
    """Seconds that one row may take before it counts as failed."""
    max_audio_seconds: Annotated[int, Field(ge=1)] = 21_600
    """Length of the longest audio that is converted; a longer row counts as failed."""
    worker_memory_mb: Annotated[int, Field(ge=256)] = 2048
    """Memory that one worker may use, in MB; a row that needs more counts as failed."""
    lame_quality: Annotated[int, Field(ge=0, le=9)] = 3
    """Quality of LAME's encoding: 0 is best and slowest, 9 is fastest; 3 is LAME's own default."""
    check_duplicates: bool = True
    """Look for the same dataset in storage before a download begins."""
    validate_hf_id: bool = True
    """Ask the Hub whether a dataset exists before anything is done for its request."""
    storage_quota_gb: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    """Space that all datasets together may take, in GB; 0 for no limit."""
    storage_reserve_gb: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1
    """Space that a run leaves free on the storage's file system, in GB (a twentieth of a smaller file system)."""
    max_storage_growth: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 20
    """How many times the planned bytes a dataset may take in storage before its run stops."""
    auto_cleanup_requests: bool = False
    """After a merge, delete finished remove requests and the adds that they undo, in one commit."""
    cleanup_progress_on_success: bool = True
    """Delete a dataset's progress file when the dataset is complete."""
    trash_days: Annotated[int, Field(ge=0)] = 7
    """Days that removed datasets stay in the trash."""
    log_level: LogLevel = "INFO"
    """Least important messages that are logged."""
    log_file: Path | None = None
    """File that the log is written to as well."""
    log_format: LogFormat = "text"
    """Form of the log's lines."""

    def worker_count(self, cores: int) -> int:
        """Return how many workers to start on a machine where `cores` can be used.

        Two at least: a single one is this process itself, which nobody watches (`pool.run`).
        """
        return self.workers or max(2, cores)

    def secrets(self) -> list[SecretStr]:
        """Return every secret that is set, for the redactor."""
        return [value for _, value in self if isinstance(value, SecretStr)]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting for documentation: variable, default, accepted values, meaning, other names."""

    name: str
    default: str
    allowed: str
    meaning: str
    secret: bool
    aliases: tuple[str, ...]


def names(field: str) -> tuple[str, ...]:
    """Return the variables that set a field, the first one first."""
    return _ALIASES.get(field, (field.upper(),))


def is_path(field: str) -> bool:
    """True for a setting that names a file or folder, so that `~` in it is the home directory."""
    return _PATH in _metadata(Settings.model_fields[field])


def describe() -> list[Setting]:
    """List every setting for docs, `.env.example` and `hugflow doctor`."""
    return [setting_of(field) for field in Settings.model_fields]


def env_example() -> str:
    """Write `.env.example`: each setting with its meaning and its default."""
    head = "# Copy this file to `.env` and change what you need. An empty value counts as not set.\n"
    return head + "".join(
        f"\n# {setting.meaning} [{setting.allowed}]\n{setting.name}={setting.default}\n" for setting in describe()
    )


def setting_of(field: str) -> Setting:
    """Describe one setting."""
    info = Settings.model_fields[field]
    name, *aliases = names(field)
    return Setting(
        name=name,
        default=_default(info.default),
        allowed=_allowed(info),
        meaning=info.description or "",
        secret=SecretStr in _types(info.annotation),
        aliases=tuple(aliases),
    )


def _default(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _allowed(info: FieldInfo) -> str:
    metadata, types = _metadata(info), _types(info.annotation)
    words = next((mark.words for mark in metadata if isinstance(mark, Allowed)), None)
    if words:
        return words
    if bool in types:
        return "`true` or `false`"
    choices = [choice for choice in types if isinstance(choice, str)]
    if choices:
        return f"one of {listed(choices)}"
    return ("a whole number" if int in types else "a number") + _limits(metadata)


def _limits(metadata: list[Any]) -> str:
    low = next((mark.ge for mark in metadata if isinstance(mark, Ge)), None)
    above = next((mark.gt for mark in metadata if isinstance(mark, Gt)), None)
    high = next((mark.le for mark in metadata if isinstance(mark, Le)), None)
    if low is not None and high is not None:
        return f" from {low} to {high}"
    return f" of at least {low}" if low is not None else f" above {above}" if above is not None else ""


def _metadata(info: FieldInfo) -> list[Any]:
    """All metadata in the annotation of a setting, also inside `... | None`."""
    return [*info.metadata, *_notes(info.annotation)]


def _notes(annotation: Any) -> Iterator[Any]:
    for note in getattr(annotation, "__metadata__", ()):
        yield from note.metadata if isinstance(note, FieldInfo) else (note,)
    for argument in get_args(annotation):
        yield from _notes(argument)


def _types(annotation: Any) -> list[Any]:
    """The plain types and the literal values in an annotation."""
    arguments = get_args(annotation)
    return [each for argument in arguments for each in _types(argument)] if arguments else [annotation]
