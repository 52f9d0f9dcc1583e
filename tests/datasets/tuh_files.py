"""Write recordings and labels as in the corpora of the Temple University Hospital.

Sources of the layout are named in the docstrings of ``mne_neurolm/datasets/readers/tu*.py``. The
channels, their order and upper-case names are those of a recording of TUAB v3.0.1 as MNE-Python
listed them; headers are as in Braindecode's tests (``_TUH_EEG_PATHS`` and the like). That IBI,
BURSTS and SUPPR have one sample per second is an assumption: the case that is harder to read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from edfio import Edf, EdfSignal

from mne_neurolm.datasets.catalog import get_spec
from mne_neurolm.datasets.specs import Member

#: Channels of the windows that are loaded.
ORDER = "Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 A1 A2 Fz Cz Pz T1 T2".split()
EEG = "FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 A1 A2 FZ CZ PZ".split()
SFREQ = 250.0


def member(name: str, path: str) -> Member:
    """Return the recording that a path of a data set means."""
    found = get_spec(name).member(path)
    assert found is not None, path
    return found


def names(reference: str = "REF") -> list[str]:
    """Return the labels of the 31 channels of a common recording."""
    return [
        *(f"EEG {name}-{reference}" for name in [*EEG, "ROC", "LOC", "EKG1"]),
        f"EMG-{reference}",
        *(f"EEG {name}-{reference}" for name in ("T1", "T2")),
        f"PHOTIC-{reference}",
        "IBI",
        "BURSTS",
        "SUPPR",
    ]


def write_edf(
    path: Path,
    *,
    seconds: int = 40,
    sfreq: float = SFREQ,
    labels: Sequence[str] | None = None,
    signals: Mapping[str, np.ndarray] | None = None,
    patient: str = "",
    seed: int = 0,
) -> Path:
    """Write a recording of noise.

    Parameters
    ----------
    path : Path
        File to write; folders are made.
    seconds : int
        Its length.
    sfreq : float
        Sampling rate in Hz, but for IBI, BURSTS and SUPPR.
    labels : sequence of str | None
        Channels. None: those of :func:`names`.
    signals : mapping of str to array | None
        Microvolts to add to channels, by label.
    patient : str
        Field of the header. Default: as in files of the subject.
    seed : int
        Seed of the noise.

    Returns
    -------
    path : Path
        The file.
    """
    rng = np.random.default_rng(seed)
    channels = []
    for label in names() if labels is None else labels:
        slow = label in ("IBI", "BURSTS", "SUPPR")
        n_times = seconds if slow else round(seconds * sfreq)
        data = np.zeros(n_times) if slow else 10.0 * rng.standard_normal(n_times)
        data = data + (signals or {}).get(label, 0.0)
        channels.append(
            EdfSignal(
                data,
                n_times / seconds,
                label=label,
                physical_dimension="uV",
                physical_range=(-3276.8, 3276.7),
            )
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    Edf(channels, data_record_duration=1.0).write(path)
    subject = path.stem.split("_")[0]
    field = patient or f"{subject} F 01-JAN-1988 {subject} Age:23"
    content = bytearray(path.read_bytes())
    content[8:88] = field.ljust(80).encode()
    content[168:176] = b"01.01.85"  # most files say this day
    path.write_bytes(content)
    return path


def burst(start: float, stop: float, seconds: int, *, size: float = 100.0) -> np.ndarray:
    """Return a sine of 12 Hz and ``size`` microvolts between two moments."""
    t = np.arange(round(seconds * SFREQ)) / SFREQ
    return np.where((t >= start) & (t < stop), size * np.sin(2 * np.pi * 12.0 * t), 0.0)


def write_rec(path: Path, lines: Sequence[str]) -> None:
    """Write the label file of a TUEV recording, and empty ones of the other kinds beside it."""
    path.with_suffix(".rec").write_text("".join(f"{line}\n" for line in lines))
    for ending in (".lab", ".htk"):
        path.with_name(f"{path.stem}_ch000{ending}").write_bytes(b"")


def write_tse(path: Path, events: Sequence[tuple[float, float, str]]) -> None:
    """Write a ``.tse_agg`` or ``.tse`` file."""
    lines = [f"{start:.4f} {stop:.4f} {label} 1.0000\n" for start, stop, label in events]
    path.write_text("version = tse_v1.0.0\n\n" + "".join(lines))


def write_csv(
    path: Path, rows: Sequence[tuple[str, float, float, str]], n_comments: int = 5
) -> None:
    """Write a ``.csv`` file of TUSL, with the comment lines that files of TUSZ and TUSL have."""
    comments = [
        "# version = csv_v1.0.0",
        f"# bname = {path.stem}",
        "# duration = 301.00 secs",
        "# montage_file = $NEDC_NFC/lib/nedc_eas_default_montage.txt",
        "#",
        "#",
    ]
    lines = [f"{name},{start:.4f},{stop:.4f},{label},1.0000" for name, start, stop, label in rows]
    header = "channel,start_time,stop_time,label,confidence"
    path.write_text("\n".join([*comments[:n_comments], header, *lines]) + "\n")
