"""Time the store: ``OMP_NUM_THREADS=1 python benchmarks/store.py [--data DIR]``.

Shuffled windows per second that two worker processes of a data loader read from a simulated store,
and how much longer ``prepare`` takes than the MNE calls that it makes, on the recordings of a
folder: the ratio of both in the same run, in turns, each in one process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import mne
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from mne_neurolm.channels import CHANNELS, match_channels
from mne_neurolm.store import Store, StoreWriter
from mne_neurolm.store.preparation import prepare
from mne_neurolm.store.recordings import Job
from mne_neurolm.store.sources import find_source, list_jobs

N_CHANNELS, N_TIMES = 23, 2000


class Batches(Dataset):
    """Batches of windows at random places of a store.

    Parameters
    ----------
    store : Store
        Recordings of one montage.
    batch_size, n_batches : int
        Windows per batch, and how many batches there are.
    """

    def __init__(self, store: Store, batch_size: int, n_batches: int) -> None:
        self.store = store
        self.batch_size = batch_size
        self.n_batches = n_batches

    def __len__(self) -> int:
        """Return the number of batches."""
        return self.n_batches

    def __getitem__(self, item: int) -> torch.Tensor:
        """Return int16 windows (batch_size, n_times, n_channels)."""
        rng = np.random.default_rng(item)
        windows = []
        for index in rng.integers(len(self.store), size=self.batch_size):
            last = self.store.recordings[index].n_times - N_TIMES
            windows.append(self.store.counts(int(index), int(rng.integers(last)), N_TIMES))
        return torch.from_numpy(np.stack(windows))


def write_store(path: Path, gigabytes: float, shard_gb: float) -> Store:
    """Write recordings of an hour of noise."""
    rng = np.random.default_rng(0)
    names = CHANNELS[:N_CHANNELS]
    hour = 20e-6 * rng.standard_normal((3600 * 200, N_CHANNELS), dtype=np.float32)
    n_recordings = max(round(gigabytes * 1e9 / (hour.size * 2)), 2)
    with StoreWriter(path, shard_bytes=round(shard_gb * 1e9)) as writer:
        for number in range(n_recordings):
            writer.add(
                name=f"noise/{number:05d}", data_volts=np.roll(hour, number, 0), ch_names=names
            )
    return Store(path)


def windows_per_second(store: Store, n_workers: int, batch_size: int, seconds: float) -> float:
    """Return the rate at which a data loader delivers windows, without its start."""
    loader = DataLoader(
        Batches(store, batch_size, 10**9),
        batch_size=None,
        num_workers=n_workers,
        prefetch_factor=4,
        sampler=range(10**9),
    )
    batches = iter(loader)
    for _ in range(4 * n_workers):  # what was prefetched while the workers started
        next(batches)
    n_windows, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        n_windows += len(next(batches))
    return n_windows / (time.perf_counter() - started)


def forget(path: Path) -> bool:
    """Drop a store's shards from the system's memory; tell whether that was possible."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for shard in path.glob("shards/*.bin"):
        with open(shard, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def bare_mne(jobs: list[Job]) -> float:
    """Return the seconds that MNE takes to read, filter and resample the usable channels."""
    started = time.perf_counter()
    for job in jobs:
        raw = mne.io.read_raw(job.path)
        raw.pick(list(match_channels(raw.info, on_missing="ignore").ch_names)).load_data()
        nyquist = raw.info["sfreq"] / 2
        raw.filter(0.1, 75.0 if nyquist > 75.0 else None)
        raw.notch_filter(np.arange(job.line_freq, min(nyquist - 1.0, 75.0), job.line_freq))
        raw.resample(200.0)
    return time.perf_counter() - started


def timings(jobs: list[Job], repeats: int) -> Iterator[tuple[float, float]]:
    """Yield seconds of the bare calls and of prepare, in turns."""
    for _ in range(repeats):
        bare = bare_mne(jobs)
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            prepare(jobs, Path(folder) / "store")
            yield bare, time.perf_counter() - started


def main() -> None:
    """Print the figures, and write them as JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of recordings; without it only reading")
    parser.add_argument("--line-freq", type=float, default=50.0, help="of the recordings")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--gb", type=float, default=2.0, help="size of the simulated store")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each rate")
    parser.add_argument("--folder", type=Path, help="where to write (default: temporary files)")
    parser.add_argument("--json", type=Path, help="file to write")
    arguments = parser.parse_args()
    mne.set_log_level("ERROR")
    figures: dict[str, float] = {}

    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        store = write_store(Path(folder) / "store", arguments.gb, shard_gb=1.0)
        options = (store, arguments.workers, arguments.batch_size, arguments.seconds)
        if forget(Path(store.path)):
            figures["windows/s, first from the disk"] = windows_per_second(*options)
        figures["windows/s, from memory"] = windows_per_second(*options)
    if arguments.data:
        source = find_source(str(arguments.data), root=None, dataset=None)
        jobs = list_jobs([source], line_freq=arguments.line_freq)
        bare_mne(jobs[:1])  # imports
        pairs = list(timings(jobs, arguments.repeats))
        figures["bare MNE calls (s)"] = statistics.median(bare for bare, _ in pairs)
        figures["prepare (s)"] = statistics.median(whole for _, whole in pairs)
        figures["prepare / bare MNE calls"] = statistics.median(w / b for b, w in pairs)
    for name, value in figures.items():
        sys.stdout.write(f"{name:32} {value:12.2f}\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
