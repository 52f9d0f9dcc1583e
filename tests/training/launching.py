"""Start runs of the command in other processes, kill them, and compare what they logged."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import lfilter

from mne_neurolm.store.writer import StoreWriter
from mne_neurolm.training.metrics import TIMING
from mne_neurolm.utils.history import load_metrics

CHANNELS = "Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2".split()
# Small windows: what is tested does not depend on their size.
SMALL = ["--data.max-tokens", "40", "--text-length", "17", "--no-progress"]
_PATIENCE = 1200.0  # seconds: eleven runs in a row on busy cores
STARTED: list[subprocess.Popen] = []  # a fixture ends those that a failed test leaves behind


def write_store(path: Path, *, subjects: Sequence[int] = (0, 1, 2, 27), seconds: int = 62) -> Path:
    """Write a store of two montages with files named as those of EEGMAT (27: validation)."""
    rng = np.random.default_rng(0)
    with StoreWriter(path) as writer:
        for subject in subjects:
            names = CHANNELS if subject % 2 else CHANNELS[:4]
            for run in (1, 2):
                noise = rng.standard_normal((seconds * 200, len(names)))
                writer.add(
                    name=f"eegmat/Subject{subject:02d}_{run}.edf",
                    dataset="eegmat",
                    subject=f"{subject:02d}",
                    split="",
                    data_volts=lfilter([1], [1, -0.95 + 0.1 * run], noise, axis=0) * 5e-6,
                    ch_names=names,
                    annotations=[(8.0, 4.0, "open"), (16.0, 4.0, "closed")],
                    line_freq=50.0,
                )
    return path


def write_task(path: Path) -> Path:
    """Describe a task whose labels are the annotations of :func:`write_store`."""
    path.write_text(
        "name: eyes\nquestion: Are the eyes open?\nduration: 4\n"
        'answers: {open: "Yes", closed: "No"}\n'
    )
    return path


def command(stage: str, flags: Sequence[Any], *, processes: int = 1) -> list[str]:
    """Return the command line of a run."""
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone"]
        launcher += ["--nproc-per-node", str(processes)]
    return [*launcher, "-m", "mne_neurolm.pretrain", stage, *map(str, flags)]


def start(stage: str, flags: Sequence[Any], *, processes: int = 1) -> subprocess.Popen:
    """Start a run in a process group of its own."""
    process = subprocess.Popen(
        command(stage, flags, processes=processes),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    STARTED.append(process)
    return process


def run_group(script: Path, commands: Sequence[Sequence[str]], *, processes: int = 2) -> None:
    """Run commands by a script, in the same processes one after another."""
    listed = json.dumps([[_free_port(), list(command)] for command in commands])
    group = [
        subprocess.Popen(
            [sys.executable, str(script), listed],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **os.environ,
                "MASTER_ADDR": "127.0.0.1",
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(processes),
                "LOCAL_WORLD_SIZE": str(processes),
            },
        )
        for rank in range(processes)
    ]
    try:
        said = [process.communicate(timeout=_PATIENCE)[0] for process in group]
    finally:
        for process in group:
            process.kill()
    assert [process.returncode for process in group] == [0] * processes, "\n".join(said)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def finish(process: subprocess.Popen) -> str:
    """Wait for a run to end well, and return what it said."""
    said, _ = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 0, said
    return said


def kill_when(process: subprocess.Popen, condition: Callable[[], bool]) -> bool:
    """Kill a run and all its processes as soon as a condition holds; False if it ended before."""
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None:
        if condition():
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return True
        assert time.monotonic() < deadline, "the condition was never met"
        time.sleep(0.001)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return False


def n_logged(run: Path) -> int:
    """Return the number of complete lines in a run's log."""
    path = run / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def numbers(run: Path) -> list[dict[str, Any]]:
    """Return what a run logged, without how long it took."""
    return [
        {name: value for name, value in entry.items() if name not in TIMING}
        for entry in load_metrics(run)
    ]


def largest_difference(
    a: list[dict[str, Any]], b: list[dict[str, Any]], names: Sequence[str]
) -> float:
    """Return the largest relative difference between two logs."""
    assert [entry["step"] for entry in a] == [entry["step"] for entry in b]
    return max(
        abs(x[name] - y[name]) / abs(x[name]) for x, y in zip(a, b, strict=True) for name in names
    )
