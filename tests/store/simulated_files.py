"""Recordings in files, for the tests of this folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import mne
import numpy as np

CH_NAMES = ("Fz", "Cz", "Pz", "O1")


def make_raw(
    *,
    seconds: float = 20.0,
    sfreq: float = 200.0,
    ch_names: tuple[str, ...] = CH_NAMES,
    seed: int = 0,
    line_freq: float | None = 50.0,
    microvolts: float = 20.0,
) -> mne.io.RawArray:
    """Return noise whose spectrum falls with frequency, as that of EEG does, and a 10 Hz rhythm."""
    rng = np.random.default_rng(seed)
    n_times = round(seconds * sfreq)
    spectrum = np.fft.rfft(rng.standard_normal((len(ch_names), n_times)))
    freqs = np.fft.rfftfreq(n_times, 1.0 / sfreq)
    noise = np.fft.irfft(spectrum / np.maximum(freqs, 0.5), n_times)
    rhythm = np.sin(2 * np.pi * 10.0 * np.arange(n_times) / sfreq)
    data = 1e-6 * microvolts * (noise / noise.std() + rhythm)
    info = mne.create_info(list(ch_names), sfreq, "eeg")
    info["line_freq"] = line_freq
    return mne.io.RawArray(data, info, verbose="error")


def save(raw: mne.io.BaseRaw, path: Path) -> Path:
    """Write a FIF file in double precision."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw.save(path, fmt="double", overwrite=True, verbose="error")
    return path


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
