"""The recordings and questions that the bundled model is made and judged with.

``DIR`` holds ``eegmat/`` (PhysioNet eegmat), ``mne_data/`` with subject 1 of PhysioNet eegmmidb in
MNE's own layout, ``smni/smni.npz`` with ``trials.csv`` (UCI EEG Database), and ``text/*.txt``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import mne
import numpy as np
import pandas as pd

from mne_neurolm import Task, get_task, prepare_raw
from mne_neurolm.datasets import load_eegmat
from mne_neurolm.datasets.members import find_members
from mne_neurolm.patches import Patches, make_patches

TRAINING_SUBJECTS = range(26)  # of EEGMAT: 26 to 30 are the paper's validation subjects
SUBJECTS = range(31)  # the paper's test subjects are not among the recordings
WINDOW = 4.0  # seconds
IMAGERY_RUNS = (4, 8, 12)  # of eegmmidb: imagined left and right fist
EXECUTION_RUNS = (3, 7, 11)  # the same fists, closed

WORKLOAD = get_task("workload")
STIMULUS = Task(
    "stimulus",
    "Which picture does the subject see?",
    {"S1 obj": "the first", "S2 match": "the same again", "S2 nomatch": "another"},
    options="words",
    phrasings=(
        "Which picture was shown in this EEG segment?",
        "What does the subject look at?",
        "Is the picture the first, the same again or another?",
    ),
)
# The same answered with letters, for the ablation of their order.
STIMULUS_LISTED = replace(STIMULUS, options=True)
# Answered in words of its own. With the "No" and "Yes" of Workload, what one task learns of them
# the other must undo: see the card of "tiny".
GROUP = Task(
    "group",
    "Which group is the person of this EEG segment in?",
    {"c": "control", "a": "alcoholic"},
    phrasings=(
        "Does this EEG come from a control or an alcoholic?",
        "Is the subject a control or an alcoholic?",
        "Which group does the subject belong to?",
    ),
)
IMAGERY = Task(
    "imagery",
    "Which fist does the subject imagine closing?",
    {"T1": "left", "T2": "right"},
    phrasings=(
        "Which hand is imagined to close in this EEG segment?",
        "The movement of which fist is imagined?",
        "Which fist is imagined?",
    ),
)
# Related to imagery, whose 45 trials are otherwise learnt by heart among the many windows of the
# other tasks. See the card of "tiny" for what it brings.
EXECUTION = Task(
    "execution",
    "Which fist does the subject close?",
    {"T1": "left", "T2": "right"},
    phrasings=(
        "Which hand closes in this EEG segment?",
        "The movement of which fist is made?",
        "Which fist is closed?",
    ),
)
TASKS = (WORKLOAD, STIMULUS, GROUP, IMAGERY, EXECUTION)
# Wordings that no tuning uses: whether answers depend on the letter of a question.
UNSEEN = {
    "workload": "Is the subject of this EEG segment working hard mentally?",
    "stimulus": "Which picture is in front of the subject?",
    "group": "In which group is this person?",
    "imagery": "Which fist is closed in imagination?",
    "execution": "Which fist moves?",
}


class Labelled(NamedTuple):
    """Windows of a task.

    Attributes
    ----------
    patches : Patches
        The windows.
    labels : ndarray of str, shape (n,)
        Labels of the task.
    subjects : ndarray of str, shape (n,)
        Whose they are.
    """

    patches: Patches
    labels: np.ndarray
    subjects: np.ndarray


def load_unlabelled(data: Path) -> list[Patches]:
    """Return all recordings to pretrain on as windows without labels."""
    movement = [
        _windows(prepare_raw(mne.io.read_raw_edf(path, preload=True), line_freq=60.0))
        for path in _runs(data)
    ]
    visual = load_visual(data)["stimulus"].patches
    return [load_arithmetic(data, TRAINING_SUBJECTS), _join(movement), visual]


def load_arithmetic(data: Path, subjects: Collection[int]) -> Patches:
    """Return all of EEGMAT's recordings of some subjects as windows without labels."""
    sets = []
    for member in find_members("workload", data / "eegmat"):
        if int(member.subject[-2:]) in subjects:
            raw = mne.io.read_raw_edf(member.path, preload=True)
            sets.append(_windows(prepare_raw(raw, line_freq=50.0)))
    return _join(sets)


def load_labelled(data: Path) -> dict[str, Labelled]:
    """Return the windows of all tasks, by name."""
    epochs = load_eegmat(data / "eegmat", SUBJECTS)
    labels = np.array(["No", "Yes"])[epochs.metadata["label"].to_numpy(dtype=int)]
    subjects = epochs.metadata["subject"].astype(str).to_numpy(dtype=str)
    workload = Labelled(make_patches(epochs), labels, subjects)
    fists = {
        "imagery": load_fists(data, IMAGERY_RUNS),
        "execution": load_fists(data, EXECUTION_RUNS),
    }
    return {"workload": workload, **load_visual(data), **fists}


def load_visual(data: Path) -> dict[str, Labelled]:
    """Return visual trials of one second, those with a dead channel left out, for both tasks."""
    stored = np.load(data / "smni" / "smni.npz", allow_pickle=False)
    patches = make_patches(
        stored["X_nV"] * 1e-3,
        ch_names=stored["ch_names"].tolist(),
        sfreq=float(stored["sfreq"]),
        unit="uV",
        verbose="ERROR",
    )
    trials = pd.read_csv(data / "smni" / "trials.csv")
    alive = (patches.data.std(axis=2) > 1e-6).all(axis=1)
    subjects = trials["subject"].to_numpy(dtype=str)[alive]
    conditions = trials["cond"].str.strip(",").to_numpy(dtype=str)[alive]
    groups = trials["group"].to_numpy(dtype=str)[alive]
    return {
        "stimulus": Labelled(patches[alive], conditions, subjects),
        "group": Labelled(patches[alive], groups, subjects),
    }


def load_fists(data: Path, runs: Collection[int]) -> Labelled:
    """Return trials of the left and right fist of subject 1 in some runs."""
    epochs = []
    for path in _runs(data):
        if int(path.stem[-2:]) in runs:
            raw = prepare_raw(mne.io.read_raw_edf(path, preload=True), line_freq=60.0)
            events, ids = mne.events_from_annotations(raw, {"T1": 1, "T2": 2})
            epochs.append(mne.Epochs(raw, events, ids, 0.0, 4.0, baseline=None, preload=True))
    joined = mne.concatenate_epochs(epochs)
    labels = np.array(["T1" if code == 1 else "T2" for code in joined.events[:, 2]])
    return Labelled(make_patches(joined), labels, np.full(len(labels), "S001"))


def load_text(data: Path) -> str:
    """Return the text."""
    return "\n".join(path.read_text() for path in sorted((data / "text").glob("*.txt")))


def _runs(data: Path) -> list[Path]:
    return sorted((data / "mne_data").rglob("S001R*.edf"))


def _windows(raw: mne.io.BaseRaw) -> Patches:
    return make_patches(mne.make_fixed_length_epochs(raw, duration=WINDOW, preload=True))


def _join(parts: list[Patches]) -> Patches:
    first = parts[0]
    return Patches(
        np.concatenate([part.data for part in parts]), first.channels, first.times, first.ch_names
    )
