"""Epochs as a Braindecode dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mne
import numpy as np

from ..utils.optional import import_braindecode

if TYPE_CHECKING:
    from braindecode.datasets import BaseConcatDataset

_ABOUT = ("dataset", "subject", "session", "run", "split", "file")  # columns of a recording


def to_braindecode(epochs: mne.BaseEpochs) -> BaseConcatDataset:
    """Return epochs as a Braindecode dataset.

    The way back from :func:`~mne_neurolm.datasets.to_epochs`.

    Parameters
    ----------
    epochs : mne.BaseEpochs
        Epochs with metadata, of :func:`load_folder` and the like.

    Returns
    -------
    dataset : braindecode.datasets.BaseConcatDataset
        One ``WindowsDataset`` per recording, as the metadata columns ``subject``, ``session``,
        ``run``, ``split`` and ``file`` tell them apart; these become ``description``, by which
        ``dataset.split("subject")`` separates people. An item is (array of float32 in volts, shape
        (n_chans, n_times); the code of its event, int; crop indices).

    Raises
    ------
    ValueError
        If the epochs have no metadata.
    ImportError
        If Braindecode cannot be imported; it says what to install.

    Examples
    --------
    >>> from mne_neurolm.datasets import simulate_epochs, to_braindecode
    >>> epochs = simulate_epochs(n_subjects=2, n_epochs_per_subject=4, random_state=0)
    >>> dataset = to_braindecode(epochs)
    >>> x, y, _ = dataset[0]
    >>> len(dataset), x.shape, x.dtype
    (8, (19, 800), dtype('float32'))
    >>> sorted(dataset.split("subject"))
    ['0', '1']
    """
    if epochs.metadata is None:
        raise ValueError(
            "The epochs have no metadata, so whose they are is not known. Give them a table with "
            "the column subject: epochs.metadata = pandas.DataFrame({'subject': ...})."
        )
    import_braindecode()
    from braindecode.datasets import BaseConcatDataset, WindowsDataset

    table = epochs.metadata.reset_index(drop=True)
    about = [column for column in _ABOUT if column in table]
    recordings = table[about].astype(str).agg("\t".join, axis=1) if about else table.index * 0
    n_times = len(epochs.times)
    datasets = []
    for name in dict.fromkeys(recordings):
        rows = np.flatnonzero(recordings == name)
        own = epochs[rows].load_data()
        starts = np.arange(len(rows)) * n_times
        if "start" in table:
            starts = np.rint(table["start"].to_numpy()[rows] * epochs.info["sfreq"]).astype(int)
        with mne.use_log_level("warning"):  # else it tells that it replaces metadata
            own.metadata = own.metadata.drop(columns=about).assign(
                i_window_in_trial=np.arange(len(rows)),
                i_start_in_trial=starts,
                i_stop_in_trial=starts + n_times,
                target=own.events[:, 2],
            )
        datasets.append(WindowsDataset(own, table.loc[rows[0], about].to_dict()))
    return BaseConcatDataset(datasets)
