"""Facts about commits on the Hub: the commit of a revision, and the files of a commit."""

from __future__ import annotations

from huggingface_hub.hf_api import DatasetInfo, RepoFile

from hugflow.hf_client.http import Hub
from hugflow.model.errors import StorageFault, Terminal
from hugflow.model.plan import DownloadPlan, Shard

_PATHS_PER_CALL = 500


def newest_commit(hub: Hub, hf_id: str, revision: str) -> str:
    """The commit that a revision points to now. Raises NotFoundError, AuthenticationError, Transient."""

    def ask() -> DatasetInfo:
        # only the commit: the rest of the answer has untrusted text of the card
        return hub.api().dataset_info(hf_id, revision=revision, expand=["sha"], timeout=hub.read_timeout_s)

    return commit_of(hub.call(f"asking for {hf_id} at {revision}", ask))


def commit_of(info: DatasetInfo) -> str:
    """The commit that an answer of the Hub describes. Raises Terminal when it names none."""
    if info.sha is None:
        raise Terminal(f"resolving {info.id}", "the Hub named no commit", "Try again, or report it to the Hub.")
    return info.sha


def check_source_files(hub: Hub, plan: DownloadPlan) -> None:
    """Compare the source files of a stored plan with those that the Hub has at its commit: sizes and hashes.

    Others may be able to write in a dataset's folder, so a stored plan does not decide which bytes are right.
    Raises StorageFault (`damaged_plan`) for a plan that was changed, NotFoundError, AuthenticationError, Transient.
    """
    shards = [shard for shard in plan.shards if shard.path]  # a listing of files has no file of its own
    for first in range(0, max(1, len(shards)), _PATHS_PER_CALL):
        batch = shards[first : first + _PATHS_PER_CALL]
        listed = _files(hub, plan.identity.hf_id, plan.sha, [shard.path for shard in batch])
        if changed := next((shard for shard in batch if not _is_file(shard, listed.get(shard.path))), None):
            raise StorageFault(
                f"comparing the plan with {plan.identity.hf_id} at {plan.sha[:12]}",
                f"the size or hash of {changed.path!r} is not that of the file on the Hub",
                "The plan file was changed. Run the request with --restart to delete what is there and begin again.",
                reason="damaged_plan",
            )


def _files(hub: Hub, hf_id: str, sha: str, paths: list[str]) -> dict[str, RepoFile]:
    def ask() -> dict[str, RepoFile]:
        found = hub.api().get_paths_info(hf_id, paths, repo_type="dataset", revision=sha)
        return {entry.path: entry for entry in found if isinstance(entry, RepoFile)}

    return hub.call(f"listing the source files of {hf_id}", ask)


def _is_file(shard: Shard, file: RepoFile | None) -> bool:
    if file is None:
        return False
    facts = file.size, file.lfs.sha256 if file.lfs else None, file.blob_id
    return facts == (shard.size_bytes, shard.sha256, shard.blob_id)
