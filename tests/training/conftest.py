"""No run outlives the test that started it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import launching
import pytest


@pytest.fixture(autouse=True)
def end_runs() -> Iterator[None]:
    """Kill what a failed test has left running: it would slow down those that follow."""
    yield
    for process in launching.STARTED:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    launching.STARTED.clear()
