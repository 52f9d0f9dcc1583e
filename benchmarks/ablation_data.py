"""The recordings that ``ablations.py`` learns from and scores on, in memory and in one file."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np

from mne_neurolm.datasets import load_eegmat
from mne_neurolm.patches import Patches, make_patches

TEST_SUBJECTS = range(26, 31)  # of EEGMAT, the paper's validation subjects
N_FOLDS = 2  # over the people of SMNI


@dataclass(frozen=True, kw_only=True)
class Recordings:
    """What all ablations learn from, and are scored on.

    Attributes
    ----------
    unlabelled : list of Patches
        Sets of windows for pretraining.
    workload, stimulus : Patches
        Labelled windows.
    workload_labels, stimulus_labels : ndarray
        Their labels.
    workload_subjects, stimulus_subjects : ndarray
        Whose they are.
    text : str
        Plain text.
    """

    unlabelled: list[Patches]
    workload: Patches
    workload_labels: np.ndarray
    workload_subjects: np.ndarray
    stimulus: Patches
    stimulus_labels: np.ndarray
    stimulus_subjects: np.ndarray
    text: str

    def folds(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return, for each fold, which trials of SMNI are to learn from and which to be scored."""
        # Every other person, which puts as many alcoholics as controls into either half.
        half = np.unique(self.stimulus_subjects, return_inverse=True)[1] % N_FOLDS
        return [(np.flatnonzero(half != k), np.flatnonzero(half == k)) for k in range(N_FOLDS)]

    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """Return which windows of Workload are to learn from, and which to be scored."""
        test = np.isin(self.workload_subjects, list(TEST_SUBJECTS))
        return np.flatnonzero(~test), np.flatnonzero(test)

    def save(self, path: Path) -> None:
        """Write an ``.npz`` file that :meth:`read` reads."""
        arrays: dict[str, np.ndarray] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Patches):
                arrays |= _pack(field.name, value)
            elif field.name == "unlabelled":
                for i, part in enumerate(value):
                    arrays |= _pack(f"{field.name}{i}", part)
            else:
                arrays[field.name] = np.asarray(value)
        aside = path.with_name(f"{path.stem}.unfinished.npz")
        np.savez(aside, **arrays)
        aside.replace(path)

    @classmethod
    def read(cls, path: Path) -> Recordings:
        """Read what :meth:`save` has written."""
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
        n_sets = sum(name.startswith("unlabelled") and name.endswith(".data") for name in arrays)
        return cls(
            unlabelled=[_unpack(f"unlabelled{i}", arrays) for i in range(n_sets)],
            workload=_unpack("workload", arrays),
            stimulus=_unpack("stimulus", arrays),
            text=str(arrays["text"]),
            **{
                f"{task}_{what}": arrays[f"{task}_{what}"]
                for task in ("workload", "stimulus")
                for what in ("labels", "subjects")
            },
        )


def _pack(name: str, patches: Patches) -> dict[str, np.ndarray]:
    fields = ("data", "channels", "times", "ch_names")
    return {f"{name}.{field}": np.asarray(getattr(patches, field)) for field in fields}


def _unpack(name: str, arrays: dict[str, np.ndarray]) -> Patches:
    data, channels, times = (arrays[f"{name}.{field}"] for field in ("data", "channels", "times"))
    return Patches(data, channels, times, tuple(arrays[f"{name}.ch_names"].tolist()))


def load_recordings(data: Path, *, n_subjects: int | None = None) -> Recordings:
    """Read everything.

    Parameters
    ----------
    data : Path
        Folder with ``eegmat/``, ``smni/`` and ``text/``.
    n_subjects : int | None
        Training subjects of EEGMAT. None: all.

    Returns
    -------
    recordings : Recordings
        The data.
    """
    tiny_data = tool("tiny_data")
    learners = list(tiny_data.TRAINING_SUBJECTS)[:n_subjects]
    epochs = load_eegmat(data / "eegmat", [*learners, *TEST_SUBJECTS])
    trials, conditions, people = tiny_data.load_visual(data)["stimulus"]
    return Recordings(
        unlabelled=[tiny_data.load_arithmetic(data, learners), trials],
        workload=make_patches(epochs),
        workload_labels=epochs.metadata["label"].to_numpy(),
        workload_subjects=epochs.metadata["subject"].to_numpy(),
        stimulus=trials,
        stimulus_labels=conditions,
        stimulus_subjects=people,
        text=tiny_data.load_text(data),
    )


@lru_cache(maxsize=2)
def tool(name: str) -> ModuleType:
    """Return a module of ``tools/``: ``"train_tiny"``, the recipe, or ``"tiny_data"``, its data."""
    folder = str(Path(__file__).resolve().parents[1] / "tools")
    if folder not in sys.path:  # they import one another
        sys.path.append(folder)
    return importlib.import_module(name)
