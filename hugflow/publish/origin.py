"""The dataset on the Hub that a dataset in storage was downloaded from: its licence, its visibility, its citation."""

from __future__ import annotations

from dataclasses import replace

from hugflow.card.citation import citation_of
from hugflow.card.sections import Origin
from hugflow.hf_client.http import Hub
from hugflow.hf_client.write.repository import Repository
from hugflow.model.errors import HugflowError
from hugflow.publish.layout import CARD_FILE
from hugflow.storage.plan_file import read_plan
from hugflow.storage.storage_root import Storage


def stored_origin(storage: Storage, name: str) -> Origin | None:
    """The origin of a dataset in storage, as its plan file has it; without the citation."""
    plan = read_plan(storage, name)
    if plan is None:
        return None
    identity, facts, sha = plan.download.identity, plan.facts, plan.download.sha
    return Origin(
        hf_id=identity.hf_id,
        sha=sha,
        url=f"https://huggingface.co/datasets/{identity.hf_id}/tree/{sha}",
        split=identity.split,
        subset=identity.subset,
        licence=facts.licence,
        private=facts.private,
        gated=facts.gated,
    )


def read_citation(hub: Hub, origin: Origin) -> tuple[Origin, str | None]:
    """Read the citation from the card of the source at its commit; with a warning where the card cannot be read."""
    try:
        card = Repository(hub, origin.hf_id, to_write=False).read(CARD_FILE, origin.sha)
    except HugflowError as error:
        return origin, f"the citation of {origin.hf_id} could not be read: {error.problem}"
    return replace(origin, citation=citation_of((card or b"").decode("utf-8", "replace"))), None
