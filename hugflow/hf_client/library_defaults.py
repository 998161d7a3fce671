"""Connection to the Hub with the defaults of its library, for programs that import Hugflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants, get_token
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from hugflow.hf_client.http import Hub


def ambient_hub(token: str | None = None, endpoint: str | None = None) -> Hub:
    """A connection to the Hub; defaults are the library's own: HF_ENDPOINT, HF_TOKEN, the login's token."""
    hub = Hub(endpoint=(endpoint or constants.ENDPOINT).rstrip("/"), token=token or get_token())
    hub.connect()
    return hub


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep the library from drawing a progress bar for every file that it sends."""
    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
