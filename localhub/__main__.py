"""The command line: `python -m localhub serve --root DIR`."""

from __future__ import annotations

import argparse
import os
import signal
import stat
import sys
import threading
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from localhub.hub import LocalHub
from localhub.site import Settings
from localhub.store.users import EVERY_ORG

_PARENT_CHECK_S = 0.5


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped by a signal, a closed stdin, the end of the parent process, or the time limit."""
    parent = os.getppid()  # before the caller can know our address and go
    options = _parser().parse_args(arguments)
    # a queue, because an event cannot be set by a signal that comes while the same thread waits for it
    stop: SimpleQueue[None] = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.put(None))
    settings = Settings(page_size=options.page_size, multipart_from=options.multipart_from)
    with LocalHub(options.storage, port=options.port, settings=settings) as hub:
        for text in options.user:
            name, token, role = _user(text)
            hub.add_user(name, token=token, role="read" if role == "read" else "write")
        for token in options.token:
            hub.add_user("localhub", token=token, role="write", orgs=(EVERY_ORG,))
        added = hub.add_folders(options.root) if options.root else []
        print(hub.url, flush=True)  # noqa: T201 - what the caller waits for
        print(f"localhub serves {len(added)} datasets on {hub.url}", file=sys.stderr)  # noqa: T201 - for people
        _wait(stop, parent, options.max_lifetime)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="localhub", description="A small Hugging Face Hub on 127.0.0.1.")
    serve = parser.add_subparsers(required=True).add_parser("serve", help="serve folders as dataset repositories")
    serve.add_argument("--root", type=Path, help="folder with <org>/<name>/ dataset folders")
    serve.add_argument("--storage", type=Path, help="keep repositories here (default: forget them at the end)")
    serve.add_argument("--port", type=int, default=0, help="default: a free one")
    serve.add_argument("--token", action="append", default=[], help="token of the user `localhub`, who may write")
    serve.add_argument("--user", action="append", default=[], metavar="NAME:TOKEN[:read]", help="a further user")
    serve.add_argument("--max-lifetime", type=float, metavar="SECONDS", help="stop after so long")
    serve.add_argument("--page-size", type=int, default=1000, help="entries on a page of a listing")
    serve.add_argument("--multipart-from", type=int, metavar="BYTES", help="LFS uploads of this size go in parts")
    return parser


def _user(text: str) -> tuple[str, str, str]:
    parts = text.split(":")
    if len(parts) == 2:
        parts.append("write")
    if len(parts) != 3 or parts[2] not in ("read", "write"):
        raise SystemExit(f"localhub: --user takes NAME:TOKEN or NAME:TOKEN:read, not {len(parts)} parts")
    return parts[0], parts[1], parts[2]


def _wait(stop: SimpleQueue[None], parent: int, max_lifetime: float | None) -> None:
    if _is_pipe(0):
        threading.Thread(target=_stop_at_end_of_stdin, args=(stop,), daemon=True).start()
    if max_lifetime is not None:
        timer = threading.Timer(max_lifetime, stop.put, (None,))
        timer.daemon = True
        timer.start()
    while os.getppid() == parent:
        with suppress(Empty):
            stop.get(timeout=_PARENT_CHECK_S)
            return


def _is_pipe(descriptor: int) -> bool:
    """True for a pipe: only its end means that the caller has exited; /dev/null and terminals mean nothing."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _stop_at_end_of_stdin(stop: SimpleQueue[None]) -> None:
    while os.read(0, 4096):
        pass
    stop.put(None)


if __name__ == "__main__":
    sys.exit(main())
