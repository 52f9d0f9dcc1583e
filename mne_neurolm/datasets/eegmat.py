"""EEG During Mental Arithmetic Tasks, the Workload set of the paper."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import mne
import numpy as np
from mne.utils import logger, warn
from numpy.typing import NDArray

from mne_neurolm.datasets._loading import load_all
from mne_neurolm.datasets._montage import STANDARD_1020, template_montage
from mne_neurolm.preprocessing import prepare_raw

SOURCE = "https://physionet.org/content/eegmat/1.0.0/ (PhysioNet eegmat 1.0.0, ODC-BY 1.0)"

# Protocol of the paper (section 3.1, appendix on the Workload set): the last minute of every
# recording in 4 s windows that overlap by half, and a split by subject.
LINE_FREQ = 50.0  # Hz, recorded in Kyiv
SECONDS = 60.0
DURATION = 4.0
HOP = 2.0
#: Run number in the file name -> class and label. "No" workload is 0 and "Yes" is 1.
RUNS: dict[int, tuple[str, int]] = {1: ("rest", 0), 2: ("arithmetic", 1)}
#: Subjects of the paper's split.
SPLITS: dict[str, range] = {
    "train": range(0, 26),
    "validation": range(26, 31),
    "test": range(31, 36),
}

_FILE = re.compile(r"Subject(?P<subject>\d{2})_(?P<run>[12])\.edf", re.IGNORECASE)


class Recording(NamedTuple):
    """One file of the data set."""

    path: Path
    subject: int
    run: int


def find_recordings(root: str | Path) -> list[Recording]:
    """List the recordings ``SubjectNN_1.edf`` (rest) and ``SubjectNN_2.edf`` (arithmetic).

    Parameters
    ----------
    root : str | Path
        Folder that holds the files; subfolders are not searched.

    Returns
    -------
    recordings : list of Recording
        Path, subject and run of each, sorted by subject and run.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(
            f"There is no folder {root}. Download the recordings from {SOURCE} and pass the folder "
            "that holds Subject00_1.edf, Subject00_2.edf, …"
        )
    matches = [(path, _FILE.fullmatch(path.name)) for path in root.iterdir()]
    found = [Recording(path, int(m["subject"]), int(m["run"])) for path, m in matches if m]
    return sorted(found, key=lambda recording: (recording.subject, recording.run))


def load_eegmat(
    root: str | Path,
    subjects: str | Iterable[int] | None = None,
    *,
    n_jobs: int = 1,
    progress: bool = False,
) -> mne.EpochsArray:
    """Load EEG during mental arithmetic as the paper does.

    The last 60 s of every recording are cut into 29 windows of 4 s that start every 2 s, after
    :func:`mne_neurolm.prepare_raw` has filtered the whole recording to 0.1-75 Hz, removed the
    50 Hz line and resampled to 200 Hz. The 19 scalp channels are kept (``A2-A1`` and ECG are not
    EEG of the scalp), under the names of the file without its ``EEG`` prefix.

    Parameters
    ----------
    root : str | Path
        Folder with ``SubjectNN_1.edf`` (rest) and ``SubjectNN_2.edf`` (serial subtraction), at
        the original 500 Hz or any other rate above 150 Hz.
    subjects : "train" | "validation" | "test" | iterable of int | None
        Subjects to load: numbers 0 to 35, or a part of the paper's split: train 0 to 25,
        validation 26 to 30, test 31 to 35. ``None`` (default) loads all that are there.
    n_jobs : int
        Files to prepare in parallel processes. Default 1.
    progress : bool
        Whether to show a progress bar on standard error. Default False.

    Returns
    -------
    epochs : instance of EpochsArray
        29 epochs per file in volts, 19 channels, 800 samples, with
        ``event_id={"rest": 0, "arithmetic": 1}`` and the metadata columns ``subject`` (int),
        ``label`` (int: 0 rest, 1 arithmetic), ``file`` (str) and ``start`` (float, seconds from
        the start of the recording).

    Raises
    ------
    FileNotFoundError
        If the folder, any recording, or a requested subject is missing.
    ValueError
        If a recording is shorter than 60 s, lacks a channel, or a subject is out of range.

    References
    ----------
    Zyma et al. (2019), Electroencephalograms during mental arithmetic task performance, Data
    4(1):14. Recordings: https://physionet.org/content/eegmat/1.0.0/.

    Examples
    --------
    >>> from mne_neurolm.datasets import load_eegmat
    >>> epochs = load_eegmat("eegmat", subjects="train")  # doctest: +SKIP
    """
    import pandas as pd

    recordings = find_recordings(root)
    if not recordings:
        raise FileNotFoundError(
            f"{Path(root)} holds no file like Subject00_1.edf. Download the recordings from "
            f"{SOURCE} and pass the folder that holds them."
        )
    wanted = _check_subjects(subjects, {recording.subject for recording in recordings})
    recordings = [recording for recording in recordings if recording.subject in wanted]
    runs: dict[int, set[int]] = {}
    for recording in recordings:
        runs.setdefault(recording.subject, set()).add(recording.run)
    unpaired = sorted(subject for subject, seen in runs.items() if seen != set(RUNS))
    if unpaired:
        warn(
            f"Subjects {unpaired} have only one of their two recordings, so the classes are not "
            f"balanced. The files are at {SOURCE}.",
            RuntimeWarning,
        )
    windows = load_all(_load_file, [r.path for r in recordings], n_jobs=n_jobs, progress=progress)

    n_windows = len(windows[0][0])
    classes = [RUNS[recording.run] for recording in recordings]
    labels = np.repeat([label for _, label in classes], n_windows)
    metadata = pd.DataFrame(
        {
            "subject": np.repeat([recording.subject for recording in recordings], n_windows),
            "label": labels,
            "file": np.repeat([recording.path.name for recording in recordings], n_windows),
            "start": np.concatenate([starts for _, starts in windows]),
        }
    )
    data = np.concatenate([data for data, _ in windows])
    n_epochs, n_times = len(data), data.shape[-1]
    events = np.column_stack([np.arange(n_epochs) * n_times, np.zeros(n_epochs, int), labels])
    present = {name: label for name, label in RUNS.values() if label in labels}
    logger.info(f"Loaded {n_epochs} windows of {len(recordings)} EEGMAT recordings.")
    return mne.EpochsArray(
        data,
        _make_info(),
        events=events,
        event_id=present,
        metadata=metadata,
        proj=False,
        verbose="error",
    )


def _check_subjects(subjects: str | Iterable[int] | None, there: set[int]) -> set[int]:
    """Return the subjects to load, all of which are there."""
    if subjects is None:
        return there
    if isinstance(subjects, str):
        if subjects not in SPLITS:
            raise ValueError(
                f"subjects={subjects!r} is not a part of the split; choose one of {list(SPLITS)}, "
                "or give subject numbers."
            )
        wanted = set(SPLITS[subjects])
    else:
        wanted = {int(subject) for subject in subjects}
    everyone = {subject for part in SPLITS.values() for subject in part}
    if not wanted or not wanted <= everyone:
        raise ValueError(
            f"subjects must be one or more numbers from 0 to 35; got {sorted(wanted)}."
        )
    if not wanted <= there:
        raise FileNotFoundError(
            f"No recording of subjects {sorted(wanted - there)}; there are {sorted(there)}. Ask "
            f"for these, or get the others from {SOURCE}."
        )
    return wanted


def _load_file(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the windows (29, 19, 800) of one file in volts, and when they start in seconds."""
    # EEGMAT's headers hold no filter settings that MNE could misread, only a harmless "Total time".
    raw = mne.io.read_raw_edf(path, verbose="error")
    by_name = {re.sub(r"^EEG\s+", "", name).upper(): name for name in raw.ch_names}
    missing = [name for name in STANDARD_1020 if name.upper() not in by_name]
    if missing:
        raise ValueError(
            f"{path.name} lacks the channels {missing}; it has {raw.ch_names}. It is not a file of "
            f"{SOURCE}."
        )
    picks = {by_name[name.upper()]: name for name in STANDARD_1020}
    raw.pick(list(picks)).rename_channels(picks)
    raw = prepare_raw(raw, line_freq=LINE_FREQ, verbose="error")
    sfreq = raw.info["sfreq"]
    n_times, hop = int(DURATION * sfreq), int(HOP * sfreq)
    begin = raw.n_times - int(SECONDS * sfreq)
    if begin < 0:
        raise ValueError(
            f"{path.name} lasts {raw.n_times / sfreq:.1f} s; the protocol takes the last "
            f"{SECONDS:.0f} s. Remove the file or get it again from {SOURCE}."
        )
    data = raw.get_data(start=begin)
    starts = np.arange(0, data.shape[-1] - n_times + 1, hop)
    windows = np.stack([data[:, start : start + n_times] for start in starts])
    return windows, (begin + starts) / sfreq


def _make_info() -> mne.Info:
    """Return the measurement info that all recordings share."""
    info = mne.create_info(list(STANDARD_1020), 200.0, "eeg")
    info.set_montage(template_montage())
    with info._unlock():
        # What prepare_raw did. The files' own headers disagree: those at 500 Hz name the
        # amplifier's 0.5-45 Hz, resampled copies of the same recordings name nothing.
        info["highpass"], info["lowpass"], info["line_freq"] = 0.1, 75.0, LINE_FREQ
    return info
