"""The commit that a revision of a repository on the Hub means."""

from __future__ import annotations

from huggingface_hub.hf_api import DatasetInfo

from hugflow.hf_client.http import Hub
from hugflow.model.errors import Terminal


def newest_commit(hub: Hub, hf_id: str, revision: str) -> str:
    """The commit that a revision means now. Raises NotFoundError, AuthenticationError, Transient."""

    def ask() -> DatasetInfo:
        # only the commit: the rest of the answer has what strangers wrote into their card
        return hub.api().dataset_info(hf_id, revision=revision, expand=["sha"], timeout=hub.read_timeout_s)

    return commit_of(hub.call(f"asking for {hf_id} at {revision}", ask))


def commit_of(info: DatasetInfo) -> str:
    """The commit that an answer of the Hub is about. Raises Terminal when it names none."""
    if info.sha is None:
        raise Terminal(f"resolving {info.id}", "the Hub named no commit", "Try again, or report it to the Hub.")
    return info.sha
