"""Blocks all network access of tests but this machine's own loopback.

Python imports a module of this name by itself at start-up, so every Python that a test starts with this folder in
PYTHONPATH is guarded like the test process (tests/conftest.py). An audit hook is used because it sees every way to a
socket, C code included, and cannot be undone by the code under test.
"""

from __future__ import annotations

import sys

_CONNECTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_LOCAL_NAMES = frozenset({"", "localhost", "0.0.0.0", "::", "::1"})


class NetworkForbiddenError(RuntimeError):
    """A test, or a program that it started, tried to reach something beyond this machine."""


def is_local(host: str) -> bool:
    """Whether `host` is this machine's loopback, by name or by address."""
    return host.lower() in _LOCAL_NAMES or host.startswith(("127.", "::ffff:127."))


def _is_address(host: str) -> bool:
    # numbers ask no resolver: the connection is what counts. No regular expressions here, they cost start-up time.
    return ":" in host or host.replace(".", "").isdigit()


def _refuse(what: str) -> None:
    raise NetworkForbiddenError(
        f"tests must not reach the network: something tried to {what}. Serve it from a double on 127.0.0.1 (localhub, "
        "tests/doubles) and hand over its address."
    )


def _look_up(host: str) -> None:
    if host.lower().rstrip(".").endswith(".invalid"):
        # reserved to fail (RFC 2606): tests of DNS failures get what a real resolver says, without asking one
        import socket  # whoever looks up a name has it loaded already; the start-up of others stays cheap

        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    _refuse(f"look up {host!r}")


def _hook(event: str, args: tuple) -> None:
    if event in _CONNECTS:
        # internet addresses are tuples that begin with the host; unix sockets' are paths, netlink's begin with a number
        address = args[1]
        if isinstance(address, tuple) and isinstance(address[0], str) and not is_local(address[0]):
            _refuse(f"connect to {address[0]}:{address[1]}")
    elif event == "socket.getaddrinfo" and args[0] is not None:
        host = args[0].decode() if isinstance(args[0], bytes) else args[0]
        if not is_local(host) and not _is_address(host):
            _look_up(host)


sys.addaudithook(_hook)
