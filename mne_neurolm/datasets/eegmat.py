"""EEG During Mental Arithmetic Tasks, the Workload set of the paper, as epochs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import mne
from mne.utils import warn

from .epochs import to_epochs
from .loading import load
from .readers.eegmat import SPLITS


def load_eegmat(
    root: str | Path,
    subjects: str | Iterable[int] | None = None,
    *,
    n_jobs: int = 1,
    progress: bool = False,
) -> mne.EpochsArray:
    """Load EEG during mental arithmetic as the paper does.

    The same as ``to_epochs(load("workload", root, on_error="raise"))``, with the classes named as
    in the publication of the data set: the last 60 s of every recording in 29 windows of 4 s that
    start every 2 s, after :func:`mne_neurolm.prepare_raw` has filtered the whole recording to
    0.1-75 Hz, removed the 50 Hz line and resampled to 200 Hz. The 19 scalp channels are kept
    (``A2-A1`` and ECG are not EEG of the scalp).

    Parameters
    ----------
    root : str | Path
        Folder with ``SubjectNN_1.edf`` (rest) and ``SubjectNN_2.edf`` (serial subtraction), at
        the original 500 Hz or any other rate of 150 Hz or more.
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
    >>> import tempfile
    >>> import mne
    >>> from mne_neurolm.datasets import load_eegmat, simulate_epochs
    >>> simulated = simulate_epochs(1, 2, duration=62.0, random_state=0)  # in place of recordings
    >>> with mne.use_log_level("warning"), tempfile.TemporaryDirectory() as folder:
    ...     for number, data in enumerate(simulated.get_data(), start=1):
    ...         raw = mne.io.RawArray(data, simulated.info)
    ...         raw.export(f"{folder}/Subject03_{number}.edf")
    ...     epochs = load_eegmat(folder, subjects=[3])
    >>> epochs.metadata.groupby("file").size().to_dict(), epochs.event_id
    ({'Subject03_1.edf': 29, 'Subject03_2.edf': 29}, {'rest': 0, 'arithmetic': 1})
    """
    names = None if subjects is None else _names(root, subjects)
    dataset = load(
        "workload", root, subjects=names, on_error="raise", n_jobs=n_jobs, progress=progress
    )
    epochs = to_epochs(dataset)
    table = epochs.metadata
    runs = table.groupby("subject")["run"].nunique()
    unpaired = [int(name[-2:]) for name in runs.index[runs < 2]]
    if unpaired:
        warn(
            f"Subjects {unpaired} have only one of their two recordings, so the classes are not "
            "balanced.",
            RuntimeWarning,
        )
    with mne.use_log_level("warning"):  # else it tells that it replaces metadata
        epochs.metadata = table.assign(
            subject=table["subject"].str[-2:].astype(int),
            label=epochs.events[:, 2],
            file=[Path(file).name for file in table["file"]],
        )[["subject", "label", "file", "start"]]
    classes = {"No": "rest", "Yes": "arithmetic"}
    epochs.event_id = {classes[label]: code for label, code in epochs.event_id.items()}
    return epochs


def _names(root: str | Path, subjects: str | Iterable[int]) -> list[str]:
    """Return the subjects to load, all of which are there, as the files name them."""
    from .catalog import get_spec
    from .members import find_members

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
    there = {int(member.subject[-2:]) for member in find_members("workload", root)}
    if not wanted <= there:
        raise FileNotFoundError(
            f"No recording of subjects {sorted(wanted - there)}; there are {sorted(there)}. Ask "
            f"for these. {get_spec('workload').how_to_get()}"
        )
    return [f"Subject{number:02d}" for number in sorted(wanted)]
