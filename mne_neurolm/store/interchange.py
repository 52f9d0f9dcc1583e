"""Stores as recordings of MNE and datasets of Braindecode, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import mne
import numpy as np
from mne.utils import logger, warn
from numpy.typing import NDArray

from ..channels import CHANNELS
from ..datasets._montage import template_montage
from ..datasets.catalog import DATASETS
from ..datasets.windows import Span, spans_of
from ..preprocessing import prepare_raw
from ..utils.optional import import_braindecode
from .reader import Store
from .recipe import RECIPE
from .writer import StoreWriter

if TYPE_CHECKING:
    from braindecode.datasets import BaseConcatDataset

_PARTS = {"validation": "val", "valid": "val", "train": "train", "test": "test", "val": "val"}


class StoredRaw(mne.io.BaseRaw):
    """A recording of a store as MNE's object, read from the store when samples are asked for.

    Parameters
    ----------
    store : Store
        The store.
    index : int
        Which recording.

    Raises
    ------
    IndexError
        If there is no such recording.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from mne_neurolm.store import Store, StoredRaw, StoreWriter
    >>> volts = 2e-5 * np.random.default_rng(0).standard_normal((4000, 2))  # prepared already
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with StoreWriter(folder) as writer:
    ...         _ = writer.add(name="lab/anna", data_volts=volts, ch_names=["Cz", "Pz"])
    ...     raw = StoredRaw(Store(folder), 0).crop(tmax=9.995).load_data(verbose="error")
    >>> raw.ch_names, raw.info["sfreq"], raw.get_data().shape
    (['CZ', 'PZ'], 200.0, (2, 2000))
    """

    def __init__(self, store: Store, index: int) -> None:
        recording = store.recordings[index]
        names = [CHANNELS[row] for row in recording.channels]
        info = mne.create_info(names, recording.sfreq, "eeg")
        info.set_montage(template_montage(), match_case=False, on_missing="ignore")
        with info._unlock():
            info["highpass"], info["lowpass"] = RECIPE["l_freq"], RECIPE["h_freq"]
            info["line_freq"] = recording.line_freq
        super().__init__(
            info,
            preload=False,
            last_samps=[recording.n_times - 1],
            filenames=[None],
            raw_extras=[{"store": store, "index": index}],
            orig_format="short",
            verbose="error",
        )
        if recording.annotations:
            onsets, durations, descriptions = zip(*recording.annotations, strict=True)
            notes = mne.Annotations(onsets, durations, descriptions)
            self.set_annotations(notes, verbose="error")

    def _read_segment_file(
        self,
        data: NDArray[np.float64],
        idx: Any,
        fi: int,
        start: int,
        stop: int,
        cals: NDArray[np.float64] | None,
        mult: NDArray[np.float64] | None,
    ) -> None:
        """Read samples start to stop of the channels idx into data, as MNE asks its readers to."""
        extras = self._raw_extras[fi]
        volts = extras["store"].volts(extras["index"], start, stop - start).T.astype(np.float64)
        data[:] = volts[idx] if mult is None else mult @ volts  # its calibration is 1 throughout


def to_braindecode(store: Store | str | Path) -> BaseConcatDataset:
    """Return the recordings of a store as a Braindecode dataset.

    Parameters
    ----------
    store : Store | str | Path
        The store or its folder.

    Returns
    -------
    dataset : braindecode.datasets.BaseConcatDataset
        One ``RawDataset`` per recording, which reads from the store when samples are asked for.
        ``description`` has the columns ``name``, ``dataset``, ``subject`` and ``split``.

    Raises
    ------
    ImportError
        If Braindecode cannot be imported; it says what to install.
    FileNotFoundError
        If the folder holds no store.
    ValueError
        If the store is empty, or of a later format.

    See Also
    --------
    mne_neurolm.store.from_braindecode : The way back.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from mne_neurolm.store import StoreWriter, to_braindecode
    >>> volts = 2e-5 * np.random.default_rng(0).standard_normal((4000, 2))  # prepared already
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with StoreWriter(folder) as writer:
    ...         for name in ("lab/anna", "lab/ben"):
    ...             _ = writer.add(name=name, data_volts=volts, ch_names=["Cz", "Pz"])
    ...     dataset = to_braindecode(folder)
    >>> dataset.description["name"].tolist(), len(dataset)  # recordings, samples
    (['lab/anna', 'lab/ben'], 8000)
    """
    import_braindecode()
    from braindecode.datasets import BaseConcatDataset, RawDataset

    store = store if isinstance(store, Store) else Store(store)
    if not len(store):
        raise ValueError(f"The store {store.path} is empty.")
    return BaseConcatDataset(
        [
            RawDataset(
                StoredRaw(store, index),
                {
                    "name": recording.name,
                    "dataset": recording.dataset,
                    "subject": recording.subject,
                    "split": recording.split,
                },
            )
            for index, recording in enumerate(store.recordings)
        ]
    )


def from_braindecode(
    dataset: BaseConcatDataset,
    output: str | Path,
    *,
    name: str,
    prepared: bool = False,
    line_freq: float | str | None = "auto",
) -> Store:
    """Write the recordings of a Braindecode dataset into a store.

    Parameters
    ----------
    dataset : braindecode.datasets.BaseConcatDataset
        Of ``RawDataset`` or ``EEGWindowsDataset``, in volts; of the latter the whole recordings
        are written, with the annotations that its windows touch. ``subject`` and ``split`` are
        taken from its description.
    output : str | Path
        Folder of the store; one that is there is added to.
    name : str
        What the store will call the data set.
    prepared : bool
        Whether the recordings are as :func:`mne_neurolm.prepare_raw` makes them, as those of
        :func:`mne_neurolm.datasets.load` are. Default False: they are prepared.
    line_freq : float | "auto" | None
        Power line frequency in Hz, see :func:`mne_neurolm.prepare_raw`. Default ``"auto"``.

    Returns
    -------
    store : Store
        The store.

    Raises
    ------
    ValueError
        If the dataset holds no recordings, a recording is in the store already, or it is said to be
        prepared and is not at 200 Hz or has channels that NeuroLM does not know.
    BlockingIOError
        If another process is writing to the store.

    Warns
    -----
    RuntimeWarning
        If the dataset looks like one of :func:`mne_neurolm.datasets.load`, and ``prepared`` is
        False; or as :func:`mne_neurolm.prepare_raw` warns.

    See Also
    --------
    mne_neurolm.store.to_braindecode : The way back.

    Examples
    --------
    >>> import tempfile
    >>> import mne
    >>> import numpy as np
    >>> from mne_neurolm.store import StoreWriter, from_braindecode, to_braindecode
    >>> volts = 2e-5 * np.random.default_rng(0).standard_normal((4000, 2))  # prepared already
    >>> with mne.use_log_level("warning"), tempfile.TemporaryDirectory() as folder:
    ...     with StoreWriter(f"{folder}/one") as writer:
    ...         _ = writer.add(name="lab/anna", data_volts=volts, ch_names=["Cz", "Pz"])
    ...     dataset = to_braindecode(f"{folder}/one")
    ...     store = from_braindecode(dataset, f"{folder}/two", name="copy", prepared=True)
    >>> recording = store.recordings[0]
    >>> recording.name, recording.subject, recording.seconds
    ('copy/000000', 'lab/anna', 20.0)
    """
    with StoreWriter(output) as writer:
        for number, parts in enumerate(_by_recording(dataset)):
            raw, description = parts[0].raw, _describe(parts)
            notes = _notes(raw, parts)
            if not prepared:
                if description.get("dataset") in DATASETS:
                    warn(
                        "The dataset looks like one of mne_neurolm.datasets.load, which has "
                        "prepared its recordings; they are filtered again. Give prepared=True.",
                        RuntimeWarning,
                    )
                raw = prepare_raw(raw, line_freq=line_freq, on_missing="warn", verbose="warning")
            elif raw.info["sfreq"] != RECIPE["sfreq"]:
                raise ValueError(
                    f"Recording {number} is sampled at {raw.info['sfreq']:g} Hz, so it is not "
                    "prepared. Leave prepared=True out."
                )
            writer.add(
                name=f"{name}/{number:06d}",
                data_volts=raw.get_data().T,
                ch_names=raw.ch_names,
                dataset=name,
                subject=str(description.get("subject", "") or ""),
                split=_PARTS.get(str(description.get("split", "")), ""),
                annotations=notes,
                line_freq=float(line_freq)
                if isinstance(line_freq, (int, float))
                else raw.info["line_freq"],
            )
    store = Store(output)
    logger.info(f"{store} holds the dataset.")
    return store


def _by_recording(dataset: BaseConcatDataset) -> list[list[Any]]:
    """Return the parts of a dataset by the recording that they share, in its order."""
    parts: dict[int, list[Any]] = {}
    for one in dataset.datasets:
        if not isinstance(getattr(one, "raw", None), mne.io.BaseRaw):
            raise ValueError(
                "Only recordings can be written to a store, and this dataset holds "
                f"{type(one).__name__}. Give one of RawDataset or EEGWindowsDataset."
            )
        parts.setdefault(id(one.raw), []).append(one)
    return list(parts.values())


def _describe(parts: list[Any]) -> dict[str, Any]:
    """Return the description of a recording; without a split if that cuts through it."""
    found = [{} if one.description is None else dict(one.description) for one in parts]
    if len({str(description.get("split", "")) for description in found}) > 1:
        found[0].pop("split", None)
    return found[0]


def _notes(raw: mne.io.BaseRaw, parts: list[Any]) -> list[Span]:
    """Return the annotations of a recording; of windows, only what they lie in or touch.

    Where a split cuts through recordings, the labels of the other parts must not come along.
    """
    notes = spans_of(raw)
    windows = [one.crop_inds[:, 1:] for one in parts if hasattr(one, "crop_inds")]
    if not windows:
        return notes
    starts, stops = np.concatenate(windows).T / raw.info["sfreq"]
    return [
        note
        for note in notes
        if np.any((starts < note.onset + note.duration) & (stops > note.onset))
    ]
