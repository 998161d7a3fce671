"""The Hub as its own library finds it, for programs that use Hugflow as a library: nobody reads settings for them."""

from __future__ import annotations

from huggingface_hub import constants, get_token

from hugflow.hf_client.connection import Hub


def ambient_hub(token: str | None = None, endpoint: str | None = None) -> Hub:
    """A Hub ready to be called. What is left out is as the library has it: HF_ENDPOINT, HF_TOKEN, the login's token."""
    hub = Hub(endpoint=(endpoint or constants.ENDPOINT).rstrip("/"), token=token or get_token())
    hub.connect()
    return hub
