"""Prepare a corpus of long recordings: ``python benchmarks/corpus.py [--files N] [--minutes M]``.

Writes recordings of noise in the layout of the TUH EEG Corpus, prepares a growing number of them
into new stores, each by the command in a process of its own, and prints time and peak memory of all
its processes together. Time must grow as the number of files does and memory must not grow.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import mne
import numpy as np
import psutil

from mne_neurolm.datasets._montage import STANDARD_1020

SFREQ = 256.0
EARS = ("A1", "A2", "T1", "T2")


def write_corpus(root: Path, n_files: int, minutes: float) -> None:
    """Write EDF files that differ, as fast as the disk takes them."""
    if n_files > 60 * minutes:
        raise ValueError("files are told apart by whole seconds: give more minutes or fewer files")
    names = [f"EEG {name.upper()}-REF" for name in (*STANDARD_1020, *EARS)]
    rng = np.random.default_rng(0)
    data = 2e-5 * rng.standard_normal((len(names), round(60 * minutes * SFREQ)))
    root.mkdir(parents=True)
    first = root / "first.edf"
    raw = mne.io.RawArray(data, mne.create_info(names, SFREQ, "eeg"), verbose="error")
    mne.export.export_raw(first, raw, verbose="error")
    content = np.fromfile(first, dtype=np.uint8)
    first.unlink()
    n_header = int(content[184:192].tobytes())
    n_record = (len(content) - n_header) // int(content[236:244].tobytes())
    for number in range(n_files):
        # the same seconds in another order, so that no file is a duplicate
        shifted = np.roll(content[n_header:], number * n_record)
        letters = [chr(ord("a") + number // 26**k % 26) for k in range(3)]
        subject = "aaaaa" + "".join(reversed(letters))
        folder = root / f"edf/000/{subject}/s001_2010/01_tcp_ar"
        folder.mkdir(parents=True)
        with open(folder / f"{subject}_s001_t000.edf", "wb") as file:
            file.write(content[:n_header].tobytes())
            file.write(shifted.tobytes())


def measure(command: list[str]) -> tuple[float, float]:
    """Run a command; return seconds, and peak memory in 1e9 bytes of its processes together."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        parent = psutil.Process(process.pid)
        while not done.wait(0.05):
            total = 0
            try:
                for one in [parent, *parent.children(recursive=True)]:
                    total += one.memory_info().rss
            except psutil.NoSuchProcess:
                continue
            peak = max(peak, total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    if code:
        raise RuntimeError(f"{' '.join(command)} ended with status {code}")
    return time.perf_counter() - start, peak / 1e9


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    for share in (0.125, 0.25, 0.5, 1.0):
        n_files = max(round(arguments.files * share), 1)
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            write_corpus(root / "corpus", n_files, arguments.minutes)
            seconds, peak = measure(
                [sys.executable, "-m", "mne_neurolm.prepare", "tueg"]
                + ["--root", str(root / "corpus"), "--output", str(root / "store")]
                + ["--allow-overlap", "--n-jobs", str(arguments.n_jobs), "--quiet"]
            )
        rows.append({"files": n_files, "seconds": seconds, "peak_gb": peak})
        sys.stdout.write(
            f"{n_files:5d} files {n_files * arguments.minutes / 60:7.1f} h {seconds:8.1f} s "
            f"{seconds / n_files:6.2f} s/file  peak {peak:.2f} GB\n"
        )
        sys.stdout.flush()
    counts, times = (np.array([row[key] for row in rows]) for key in ("files", "seconds"))
    per_file, start = np.polyfit(counts, times, 1)
    off = np.abs(start + per_file * counts - times) / times
    sys.stdout.write(
        f"{start:.1f} s to start and {per_file:.3f} s per file; the line is off by at most "
        f"{100 * off.max():.0f} %\n"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows, "start": start, "per_file": per_file}))


if __name__ == "__main__":
    main()
