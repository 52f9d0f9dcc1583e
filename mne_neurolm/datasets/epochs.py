"""From Braindecode datasets to epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import mne
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd
    from braindecode.datasets import BaseConcatDataset

_INTERNAL = ("i_window_in_trial", "i_start_in_trial", "i_stop_in_trial", "target")


def to_epochs(dataset: BaseConcatDataset) -> mne.EpochsArray:
    """Return the windows of a Braindecode dataset as epochs.

    Parameters
    ----------
    dataset : braindecode.datasets.BaseConcatDataset
        Windows of one length, sampling rate and montage: of :func:`mne_neurolm.datasets.load`, or
        of Braindecode's own ``create_windows_from_events`` and the like.

    Returns
    -------
    epochs : mne.EpochsArray
        In volts. ``metadata`` has the columns of ``dataset.description`` and of the windows,
        ``label`` among them if the windows have it; ``events[:, 2]`` is the target and ``event_id``
        names it. They are held in memory: 8 bytes per sample.

    Raises
    ------
    ValueError
        If there is no window, or windows differ in length, rate or channels.

    Examples
    --------
    >>> from mne_neurolm.datasets import simulate_epochs, to_braindecode, to_epochs
    >>> epochs = simulate_epochs(n_subjects=2, n_epochs_per_subject=4, random_state=0)
    >>> dataset = to_braindecode(epochs)
    >>> of_one = to_epochs(dataset.split("subject")["1"])
    >>> of_one.get_data().shape, sorted(of_one.metadata)
    ((4, 19, 800), ['state', 'subject'])
    """
    import pandas as pd

    parts, tables, infos = [], [], []
    for one in dataset.datasets:
        if hasattr(one, "windows"):
            data, info, table = one.windows.get_data(), one.windows.info, one.windows.metadata
        elif hasattr(one, "crop_inds"):
            raw, info, table = one.raw, one.raw.info, one.metadata
            data = np.stack([raw.get_data(start=a, stop=b) for _, a, b in one.crop_inds.tolist()])
        else:
            raise ValueError(
                "The dataset holds recordings, not windows. Cut them first, for example with "
                "braindecode.preprocessing.create_fixed_length_windows."
            )
        table = table.reset_index(drop=True).copy()
        for key, value in ({} if one.description is None else one.description).items():
            if key not in table:
                table[key] = [value] * len(table)
        parts.append(data)
        tables.append(table)
        infos.append(info)
    if not parts:
        raise ValueError("The dataset is empty.")
    kinds = {
        (tuple(i["ch_names"]), i["sfreq"], d.shape[2]) for d, i in zip(parts, infos, strict=True)
    }
    if len(kinds) > 1:
        shown = [f"{len(names)} channels, {rate:g} Hz, {n} samples" for names, rate, n in kinds]
        raise ValueError(
            f"Windows differ, and epochs cannot: {'; '.join(sorted(shown)[:10])}. Convert the "
            "recordings of one kind at a time."
        )
    metadata = pd.concat(tables, ignore_index=True)
    targets = metadata["target"].to_numpy()
    named = "label" if "label" in metadata else "target"
    if targets.dtype.kind not in "iu":  # words: numbered in alphabetical order
        targets = np.unique(targets.astype(str), return_inverse=True)[1]
    event_id = {
        str(label): int(target)
        for label, target in sorted(
            set(zip(metadata[named], targets, strict=True)), key=lambda p: p[1]
        )
    }
    return join_windows(
        parts,
        infos,
        codes=targets,
        event_id=event_id,
        metadata=metadata.drop(columns=[c for c in _INTERNAL if c in metadata]),
    )


def join_windows(
    parts: list[NDArray[np.float64]],
    infos: Sequence[mne.Info],
    *,
    codes: Sequence[int] | NDArray[np.int64],
    event_id: Mapping[str, int],
    metadata: pd.DataFrame,
) -> mne.EpochsArray:
    """Return windows of several recordings as one set of epochs.

    Parameters
    ----------
    parts : list of ndarray, shape (n_windows, n_chans, n_times)
        Windows of each recording in volts. The list is emptied on the way, so that they are not in
        memory twice.
    infos : sequence of Info
        Of each recording, with the same channels and rate.
    codes : sequence of int, length of all windows
        Event code of each window.
    event_id : mapping of str to int
        Codes by class.
    metadata : pandas.DataFrame
        One row per window.

    Returns
    -------
    epochs : mne.EpochsArray
        The windows. Its info has the narrowest band of any recording, so that a warning about too
        narrow a filter is not lost.
    """
    n_times = parts[0].shape[2]
    data = np.empty((len(metadata), *parts[0].shape[1:]))
    first = 0
    while parts:
        part = parts.pop(0)
        data[first : first + len(part)] = part
        first += len(part)
    info = infos[0].copy()
    with info._unlock():
        info["highpass"] = max(i["highpass"] for i in infos)
        info["lowpass"] = min(i["lowpass"] for i in infos)
        if len(infos) > 1:
            info["meas_date"] = info["subject_info"] = None
    events = np.column_stack(
        [np.arange(len(data)) * n_times, np.zeros(len(data), dtype=np.int64), codes]
    )
    return mne.EpochsArray(
        data,
        info,
        events=events,
        event_id=dict(event_id),
        metadata=metadata,
        proj=False,
        verbose="error",
    )
