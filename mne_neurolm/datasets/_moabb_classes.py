"""Classes that MOABB asks for; imported by ``moabb.py`` when MOABB is there."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import mne
import numpy as np
from mne.utils import warn
from moabb.datasets.base import BaseDataset
from moabb.paradigms.base import BaseParadigm

from ..preprocessing import prepare_raw
from ..tasks import Task, get_task
from .loading import load
from .members import check_subjects, find_members
from .specs import DatasetSpec

PARADIGM = "windows"  # what the datasets call their paradigm
_SFREQ = 200.0  # Hz, of prepared recordings


class Local(BaseDataset):
    """A downstream data set on this disk; see :func:`mne_neurolm.datasets.to_moabb`.

    Parameters
    ----------
    spec : DatasetSpec
        The data set.
    root : Path
        Its folder.
    subjects : sequence of str | None
        Subjects to use, as the files name them.
    variant : "paper" | "code"
        See :func:`mne_neurolm.datasets.load`.
    cache : Path | None
        Folder for prepared recordings.

    Attributes
    ----------
    task : Task
        The task, with its answers in the order in which MOABB numbers the labels.
    subject_names : dict of int to str
        How the files name each subject.
    ch_names : tuple of str
        Names of the channels, in order, of data sets where they are always the same.
    problems : dict of str to str
        Recordings that were left out so far, with reasons.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        root: Path,
        *,
        subjects: Sequence[str] | None,
        variant: str,
        cache: Path | None,
    ) -> None:
        assert spec.protocol is not None
        members = find_members(spec.name, root)
        self.subject_names = numbered(sorted({member.subject for member in members}))
        by_name = {name: number for number, name in self.subject_names.items()}
        if subjects is not None:
            check_subjects(spec, members, subjects)
        per_subject = [len({m.session for m in members if m.subject == name}) for name in by_name]
        task = get_task(spec.protocol.task)
        self.spec, self.root, self.variant, self.cache = spec, root, variant, cache
        self.task = Task(
            task.name,
            task.question,
            {label: task.answers[label] for label in sorted(task.labels)},
            task.options,
        )
        self.ch_names = spec.channels
        self.problems: dict[str, str] = {}
        self._files = {
            number: [m.path for m in members if m.subject == name]
            for number, name in self.subject_names.items()
        }
        super().__init__(
            subjects=list(self.subject_names),
            sessions_per_subject=min(per_subject),
            events={label: code for code, label in enumerate(task.labels, start=1)},
            code=f"Local-{spec.name}" + ("" if variant == "paper" else f"-{variant}"),
            # MNE's epochs include their last sample.
            interval=[0.0, spec.protocol.duration - 1 / _SFREQ],
            paradigm=PARADIGM,
            selected_subjects=None if subjects is None else [by_name[name] for name in subjects],
        )

    def task_for(self, labels: Iterable[str]) -> Task:
        """Return the task of telling some of the labels apart, for evaluations on these only.

        Parameters
        ----------
        labels : iterable of str
            Labels that occur.

        Returns
        -------
        task : Task
            With their answers in the order in which MOABB numbers them.

        Raises
        ------
        ValueError
            If one is no label of the data set, or there are fewer than two.
        """
        chosen = sorted(set(labels))
        unknown = [label for label in chosen if label not in self.task.answers]
        if unknown:
            raise ValueError(
                f"{', '.join(unknown)} are no labels of {self.spec.title}; it has "
                f"{', '.join(self.task.labels)}."
            )
        answers = {label: self.task.answers[label] for label in chosen}
        return Task(self.task.name, self.task.question, answers, self.task.options)

    def data_path(
        self,
        subject: int,
        path: Any = None,
        force_update: bool = False,
        update_path: Any = None,
        verbose: Any = None,
    ) -> list[str | Path]:
        """Return the files of a subject.

        Parameters
        ----------
        subject : int
            Number of the subject.
        path, force_update, update_path, verbose : object
            Not used: nothing is downloaded.

        Returns
        -------
        files : list of Path
            Its recordings.
        """
        return list(self._files[subject])

    def _get_single_subject_data(self, subject: int) -> dict[str, dict[str, mne.io.BaseRaw]]:
        """Return the recordings of a subject by session and run, with windows as annotations."""
        assert self.spec.protocol is not None
        name = self.subject_names[subject]
        try:
            dataset = load(
                self.spec.name, self.root, subjects=[name], variant=self.variant, cache=self.cache
            )
        except ValueError as error:  # no recording can be used
            self.problems[name] = str(error)
            warn(f"Subject {name} is left out: {error}", RuntimeWarning)
            return {}
        self.problems.update(dataset.problems)
        files: dict[str, list[Any]] = {}
        for one in dataset.datasets:  # several if the split cuts through the recording
            files.setdefault(one.description["file"], []).append(one)
        sessions: dict[str, list[list[Any]]] = {}
        for parts in files.values():
            sessions.setdefault(str(parts[0].description["session"]), []).append(parts)
        found: dict[str, dict[str, mne.io.BaseRaw]] = {}
        for session, key in zip(sorted(sessions), keys_of(sorted(sessions)), strict=True):
            runs = keys_of([str(parts[0].description["run"]) for parts in sessions[session]])
            found[key] = {
                run: _with_windows(parts, self.spec.protocol.duration)
                for run, parts in zip(runs, sessions[session], strict=True)
            }
        return found


class WindowParadigm(BaseParadigm):
    """Take the windows of :class:`Local` as they are; see :func:`window_paradigm`.

    Parameters
    ----------
    events : list of str | None
        Labels to use.
    channels : list of str | None
        Channels to use.
    scorer : str | callable
        Metric.
    """

    def __init__(
        self,
        events: list[str] | None = None,
        channels: list[str] | None = None,
        scorer: Any = "balanced_accuracy",
    ) -> None:
        # The recordings are filtered and resampled already.
        super().__init__(filters=[(None, None)], events=events, channels=channels, scorer=scorer)

    def is_valid(self, dataset: BaseDataset) -> bool:
        """Tell whether a dataset is one of :class:`Local` with the events.

        Parameters
        ----------
        dataset : moabb.datasets.base.BaseDataset
            The dataset.

        Returns
        -------
        valid : bool
            Whether it is.
        """
        return dataset.paradigm == PARADIGM and set(self.events or ()) <= set(dataset.event_id)

    def get_data(self, dataset: BaseDataset, *args: Any, **kwargs: Any) -> Any:
        """Return windows, labels and metadata.

        Parameters
        ----------
        dataset : moabb.datasets.base.BaseDataset
            The dataset.
        *args, **kwargs : object
            See :meth:`moabb.paradigms.base.BaseParadigm.get_data`.

        Returns
        -------
        data : tuple
            What MOABB's method returns.

        Warns
        -----
        RuntimeWarning
            If a label of the task does not occur: MOABB numbers those that do, so numbers would
            stand for the wrong answers of ``dataset.task``.
        """
        data = super().get_data(dataset, *args, **kwargs)
        found = sorted(set(map(str, data[1])))
        if found and found != sorted(dataset.task.labels):
            warn(
                f"Of the labels {', '.join(dataset.task.labels)} only {', '.join(found)} occur, "
                "and MOABB numbers these. Give NeuroLMClassifier the task "
                f"dataset.task_for({found}) instead of dataset.task.",
                RuntimeWarning,
            )
        return data

    def used_events(self, dataset: BaseDataset) -> dict[str, int]:
        """Return the codes of the labels.

        Parameters
        ----------
        dataset : moabb.datasets.base.BaseDataset
            The dataset.

        Returns
        -------
        events : dict of str to int
            Codes.
        """
        return {event: dataset.event_id[event] for event in self.events or dataset.event_id}

    @property
    def datasets(self) -> list[BaseDataset]:
        """Datasets that MOABB itself knows and that fit: none."""
        return []

    @property
    def scoring(self) -> Any:
        """The metric."""
        return self.scorer


class Prepare:
    """:func:`mne_neurolm.prepare_raw` as a step of MOABB's processing.

    Parameters
    ----------
    line_freq : float | "auto" | None
        Power line frequency in Hz.

    Attributes
    ----------
    warnings : list of list of str
        What was warned about in each recording.
    """

    def __init__(self, line_freq: float | str | None) -> None:
        self.line_freq = line_freq
        self.warnings: list[list[str]] = []

    def transform(self, raw: mne.io.BaseRaw, y: Any = None) -> mne.io.BaseRaw:
        """Prepare a recording and keep its triggers.

        Parameters
        ----------
        raw : mne.io.BaseRaw
            The recording, in volts.
        y : None
            Not used.

        Returns
        -------
        raw : mne.io.BaseRaw
            At 0.1-75 Hz and 200 Hz, with the channels that the network can use, the annotations,
            and a stimulus channel if there was one.
        """
        events = None
        if mne.pick_types(raw.info, meg=False, stim=True).size:
            events = mne.find_events(raw, shortest_event=0, verbose="error")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            prepared = prepare_raw(
                raw, line_freq=self.line_freq, on_missing="ignore", verbose="warning"
            )
        self.warnings.append([" ".join(str(w.message).split()) for w in caught])
        if events is not None:
            _add_triggers(prepared, events, raw)
        return prepared


def numbered(names: Sequence[str]) -> dict[int, str]:
    """Give subjects the numbers that MOABB wants.

    Parameters
    ----------
    names : sequence of str
        Names, sorted.

    Returns
    -------
    numbers : dict of int to str
        Names by number: that at the end of each name if all have one and they differ, so that a
        subject keeps it when others are missing; else 1, 2, and so on.
    """
    ends = [re.search(r"\d+$", name) for name in names]
    numbers = [int(end[0]) for end in ends if end is not None]
    if len(set(numbers)) < len(names):
        numbers = list(range(1, len(names) + 1))
    return dict(sorted(zip(numbers, names, strict=True)))


def keys_of(names: Sequence[str]) -> list[str]:
    """Return sessions or runs as MOABB names them: a number, and perhaps a word behind it.

    Parameters
    ----------
    names : sequence of str
        Names in order.

    Returns
    -------
    keys : list of str
        Names that are different numbers stay what they are; others are numbered by their place.
    """
    if all(name.isdecimal() for name in names):
        numbers = [str(int(name)) for name in names]
        if len(set(numbers)) == len(names):
            return numbers
    words = [re.sub(r"[^A-Za-z0-9]", "", name) for name in names]
    return [f"{k}{word if word[:1].isalpha() else ''}" for k, word in enumerate(words)]


def _with_windows(parts: Sequence[Any], duration: float) -> mne.io.BaseRaw:
    """Return a prepared recording whose annotations are the windows of all its parts."""
    raw: mne.io.BaseRaw = parts[0].raw
    sfreq = raw.info["sfreq"]
    windows = sorted(
        (first, label)
        for part in parts
        for first, label in zip(
            part.metadata["i_start_in_trial"], part.metadata["label"], strict=True
        )
    )
    starts = np.array([first for first, _ in windows])
    n_twice = len(starts) - len(np.unique(starts))
    if n_twice:
        warn(
            f"{n_twice} of {len(starts)} windows start where another one does, as events of "
            "several channels do. MOABB keeps one of them.",
            RuntimeWarning,
        )
    notes = mne.Annotations(starts / sfreq, duration, [label for _, label in windows])
    return raw.set_annotations(notes, verbose="error")


def _add_triggers(prepared: mne.io.BaseRaw, events: np.ndarray, raw: mne.io.BaseRaw) -> None:
    """Add a stimulus channel with one sample per event to a resampled recording."""
    stim = np.zeros((1, prepared.n_times))
    ratio = prepared.info["sfreq"] / raw.info["sfreq"]
    samples = np.rint((events[:, 0] - raw.first_samp) * ratio).astype(int)
    stim[0, np.minimum(samples, prepared.n_times - 1)] = events[:, 2]
    info = mne.create_info(["STI 014"], prepared.info["sfreq"], "stim")
    with info._unlock():
        info["lowpass"], info["highpass"] = prepared.info["lowpass"], prepared.info["highpass"]
    triggers = mne.io.RawArray(stim, info, first_samp=prepared.first_samp, verbose="error")
    prepared.add_channels([triggers], force_update_info=True)
