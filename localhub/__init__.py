"""A small Hugging Face Hub over HTTP, for the demo and the tests.

Start it with `LocalHub()` in a process, with `HubProcess` as a process of its own, or with `python -m localhub serve`.
"""

from __future__ import annotations

from localhub.faults import Fault
from localhub.hub import LocalHub
from localhub.log import RequestRecord
from localhub.remote import HubProcess, RemoteHub
from localhub.site import Settings
from localhub.store.users import User

__all__ = ["Fault", "HubProcess", "LocalHub", "RemoteHub", "RequestRecord", "Settings", "User"]
