"""Isolation of tests (tests/conftest.py): network, home directory and secrets are out of reach."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

CONNECT = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"


def test_a_connection_beyond_this_machine_is_refused_with_the_address() -> None:
    with socket.socket() as client, pytest.raises(RuntimeError, match=r"must not reach the network.*192\.0\.2\.1:80"):
        client.connect(("192.0.2.1", 80))


def test_a_datagram_beyond_this_machine_is_refused() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sender, pytest.raises(RuntimeError, match="must not reach"):
        sender.sendto(b"x", ("192.0.2.1", 53))


def test_a_name_is_not_looked_up() -> None:
    with pytest.raises(RuntimeError, match=r"look up .example\.org"):
        socket.getaddrinfo("example.org", 80)


def test_a_reserved_name_fails_as_names_do() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("hub.invalid", 80)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_loopback_is_open(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection((host, server.getsockname()[1]), timeout=5).close()


def test_a_unix_socket_is_open(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))


def test_a_program_that_a_test_starts_is_guarded_as_well(clean_environ: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CONNECT], env=clean_environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "tests must not reach the network" in done.stderr


def test_homes_are_empty_folders_of_the_run(clean_environ: dict[str, str]) -> None:
    homes = {Path(os.environ["HOME"]), Path(clean_environ["HOME"])}
    assert len(homes) == 2
    assert Path.home() in homes
    assert not any((home / ".huggingface" / "token").exists() for home in homes)


def test_only_false_secrets_are_in_reach(clean_environ: dict[str, str], canaries: Mapping[str, str]) -> None:
    for environ in (dict(os.environ), clean_environ):
        secrets = {
            name: value
            for name, value in environ.items()
            if name.endswith(("TOKEN", "SECRET_ACCESS_KEY", "WEBHOOK_URL"))
        }
        assert secrets == {name: secret for name, secret in canaries.items() if not name.startswith("SLACK_")}
