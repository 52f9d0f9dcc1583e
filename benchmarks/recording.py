"""Encode simulated recordings of 1, 6 and 24 h: ``python benchmarks/recording.py``.

Each recording (23 channels, 256 Hz, BrainVision) is written to disk a minute at a time and encoded
by :func:`mne_neurolm.apply_to_raw` in a process of its own. Printed are the seconds that took, the
windows of 10 s per second, and how far the resident memory rose above what it was when the model
had been loaded: as sampled every 20 ms, and by the peak that the system keeps (Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from scipy.signal import lfilter, lfiltic

SFREQ = 256
CH_NAMES = (
    "Fp1 Fp2 F7 F3 Fz F4 F8 T3 C3 Cz C4 T4 T5 P3 Pz P4 T6 O1 O2 Fpz FCz CPz Oz".split()  # 23
)
RESOLUTION = 0.1  # µV per count
HEADER = """Brain Vision Data Exchange Header File Version 1.0

[Common Infos]
Codepage=UTF-8
DataFile={name}.eeg
DataFormat=BINARY
DataOrientation=MULTIPLEXED
NumberOfChannels={n_channels}
SamplingInterval={interval}

[Binary Infos]
BinaryFormat=INT_16

[Channel Infos]
{channels}
"""


def write_recording(folder: Path, hours: float) -> Path:
    """Write coloured noise with an alpha rhythm and line noise, and return the header's path."""
    rng = np.random.default_rng(0)
    n_channels = len(CH_NAMES)
    mixing = 0.5 * np.eye(n_channels) + rng.uniform(0, 0.5, (n_channels, n_channels)) / n_channels
    # a pole near 1 for a falling spectrum, a pair near the circle at 10 Hz; states go on from
    # minute to minute
    angle, radius = 2 * np.pi * 10.0 / SFREQ, 0.98
    filters = {
        "background": (3.0, [1.0], [1.0, -0.97]),
        "alpha": (0.6, [1.0], [1.0, -2 * radius * np.cos(angle), radius**2]),
    }
    states = {k: np.tile(lfiltic(b, a, []), (n_channels, 1)) for k, (_, b, a) in filters.items()}
    path = folder / f"recording_{hours:g}h.vhdr"
    done, n_times = 0, round(hours * 3600 * SFREQ)
    with open(path.with_suffix(".eeg"), "wb") as file:
        while done < n_times:
            n = min(60 * SFREQ, n_times - done)
            volume = np.zeros((n_channels, n))
            for kind, (gain, b, a) in filters.items():
                noise = rng.standard_normal((n_channels, n))
                part, states[kind] = lfilter(b, a, noise, zi=states[kind])
                volume += gain * part
            volume = mixing @ volume + np.sin(2 * np.pi * 50.0 * (done + np.arange(n)) / SFREQ)
            file.write(np.rint(volume.T / RESOLUTION).astype("<i2").tobytes())
            done += n
    channels = "\n".join(f"Ch{i}={ch},,{RESOLUTION},µV" for i, ch in enumerate(CH_NAMES, 1))
    path.write_text(
        HEADER.format(
            name=path.stem, n_channels=n_channels, interval=1e6 / SFREQ, channels=channels
        ),
        encoding="utf-8",
    )
    return path


def resident_bytes() -> int:
    """Return the memory that this process has now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


class Watch(threading.Thread):
    """Keep the largest resident memory."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.over = threading.Event()

    def run(self) -> None:
        """Look every 20 ms."""
        while not self.over.wait(0.02):
            self.peak = max(self.peak, resident_bytes())


def encode(path: Path, model: str, output: str, segment_duration: float) -> dict[str, float]:
    """Encode a recording, and return what it took."""
    import mne

    from mne_neurolm import NeuroLMTokenizer, apply_to_raw

    mne.set_log_level("warning")
    raw = mne.io.read_raw_brainvision(path, preload=False)
    first = mne.make_fixed_length_epochs(raw.copy().crop(tmax=30.0).load_data(), 10.0, preload=True)
    # fit takes the montage and the length from these, and loads the model
    first = first.copy().filter(1.0, 75.0)
    tokenizer = NeuroLMTokenizer(model, output).fit(first)
    out = None if output == "codes" else path.with_suffix(".npy")
    before, watch = resident_bytes(), Watch()
    watch.start()
    started = time.perf_counter()
    result = apply_to_raw(
        tokenizer,
        raw,
        duration=10.0,
        line_freq=50.0,
        segment_duration=segment_duration,
        out=out,
        overwrite=True,
        verbose="info",
    )
    seconds = time.perf_counter() - started
    watch.over.set()
    watch.join()
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if out is not None:
        out.unlink()
    return {
        "windows": len(result),
        "bad": int(np.count_nonzero(result.bad != "")),
        "seconds": seconds,
        "before": before,
        "sampled": watch.peak - before,
        "kept by the system": peak - before,
    }


def main(argv: list[str] | None = None) -> int:
    """Write, encode and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hours", type=float, nargs="+", default=[1.0, 6.0, 24.0])
    parser.add_argument("--folder", type=Path, help="where to write (24 h: 1 GB); a temporary one")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--output", choices=["codes", "embeddings"], default="codes")
    parser.add_argument("--segment-duration", type=float, default=600.0)
    parser.add_argument("--encode", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.encode is not None:
        took = encode(given.encode, given.model, given.output, given.segment_duration)
        sys.stdout.write(json.dumps(took) + "\n")
        return 0
    sys.stdout.write(
        f"{given.model}, {given.output}: {len(CH_NAMES)} channels at {SFREQ} Hz, windows of 10 s\n"
        "hours  windows  seconds  windows/s  MB with the model  MB above: sampled  by the system\n"
    )
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for hours in given.hours:
            path = write_recording(Path(folder), hours)
            command = [sys.executable, __file__, "--encode", str(path), "--model", given.model]
            command += ["--output", given.output, "--segment-duration", f"{given.segment_duration}"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ)
            took = json.loads(done.stdout.splitlines()[-1])
            path.with_suffix(".eeg").unlink()
            if took["bad"]:
                sys.stderr.write(f"{took['bad']} windows had no result.\n")
            sys.stdout.write(
                f"{hours:5g}  {took['windows']:7d}  {took['seconds']:7.1f}  "
                f"{took['windows'] / took['seconds']:9.1f}  {took['before'] / 1e6:17.0f}  "
                f"{took['sampled'] / 1e6:17.0f}  {took['kept by the system'] / 1e6:13.0f}\n"
            )
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
