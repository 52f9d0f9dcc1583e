"""Stores as recordings of MNE and datasets of Braindecode, and the way back."""

from __future__ import annotations

from collections.abc import Iterator
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
    >>> from mne_neurolm.store import Store, StoredRaw
    >>> raw = StoredRaw(Store("store"), 0)  # doctest: +SKIP
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
    ValueError
        If the store is empty.
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
        Power line frequency, see :func:`mne_neurolm.prepare_raw`.

    Returns
    -------
    store : Store
        The store.

    Raises
    ------
    ValueError
        If the dataset holds no recordings, a recording is in the store already, or it is said to be
        prepared and is not at 200 Hz.
    """
    with StoreWriter(output) as writer:
        for number, (raw, description) in enumerate(_recordings(dataset)):
            notes = [note for note in spans_of(raw) if _is_covered(note, raw, dataset)]
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


def _is_covered(note: Span, raw: mne.io.BaseRaw, dataset: BaseConcatDataset) -> bool:
    """Tell whether a label belongs to the dataset: of windows, only what they lie in or touch.

    Where a split cuts through recordings, the labels of the other parts must not come along.
    """
    windowed = False
    for one in dataset.datasets:
        if one.raw is raw and hasattr(one, "crop_inds"):
            windowed = True
            starts, stops = one.crop_inds[:, 1:].T / raw.info["sfreq"]
            if np.any((starts < note.onset + note.duration) & (stops > note.onset)):
                return True
    return not windowed


def _recordings(dataset: BaseConcatDataset) -> Iterator[tuple[mne.io.BaseRaw, dict[str, Any]]]:
    """Yield each recording once, with the description of its first appearance."""
    seen: set[int] = set()
    parts: dict[int, set[str]] = {}
    for one in dataset.datasets:
        if not isinstance(getattr(one, "raw", None), mne.io.BaseRaw):
            raise ValueError(
                "Only recordings can be written to a store, and this dataset holds "
                f"{type(one).__name__}. Give one of RawDataset or EEGWindowsDataset."
            )
        description = {} if one.description is None else dict(one.description)
        parts.setdefault(id(one.raw), set()).add(str(description.get("split", "")))
    for one in dataset.datasets:
        if id(one.raw) not in seen:
            seen.add(id(one.raw))
            description = {} if one.description is None else dict(one.description)
            if len(parts[id(one.raw)]) > 1:  # a split that cuts through recordings
                description.pop("split", None)
            yield one.raw, description
