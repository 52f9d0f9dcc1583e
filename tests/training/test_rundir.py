"""One process at a time trains in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mne_neurolm.training import rundir
from mne_neurolm.training.rundir import RunDirectory


def test_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rundir, "_PATIENCE", 0.0)
    first, second = RunDirectory(tmp_path), RunDirectory(tmp_path)
    first.lock()
    with pytest.raises(OSError, match="Another process is training in"):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()
