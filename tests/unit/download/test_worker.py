"""The parent reads the worker's current row while the worker writes it: it never sees a wrong one."""

from __future__ import annotations

import subprocess
import sys
import time

from hugflow.download.worker import RowStatus

ROW = 5
WRITER = f"""
from hugflow.download.worker import RowStatus
import sys
status = RowStatus(int(sys.argv[1]))
while not status.should_stop():
    status.row_started({ROW})
    status.row_started(-1)
"""


def test_a_reader_sees_the_rows_that_were_written_and_no_others() -> None:
    descriptor = RowStatus.create()
    status = RowStatus(descriptor)
    assert status.current()[0] == -1
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(descriptor)], pass_fds=[descriptor])
    try:
        while status.current()[0] == -1:
            assert writer.poll() is None
        seen: set[int] = set()
        longest_s, end = 0.0, time.monotonic() + 1
        while time.monotonic() < end:
            row, since = status.current()
            seen.add(row)
            if row >= 0:
                longest_s = max(longest_s, time.monotonic() - since)
    finally:
        status.stop()
        assert writer.wait(30) == 0
    assert seen == {-1, ROW}
    assert longest_s < 60, "a row is at work for as long as the machine is up"
