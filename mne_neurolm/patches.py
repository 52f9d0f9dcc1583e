"""From epochs or arrays to patches: the one place where volts become units of 100 µV.

A patch is one second of one channel at 200 Hz (paper: NeuroLM, arXiv 2409.00101). Patches are
ordered by time first: all channels of the first second, then all channels of the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mne
import numpy as np
from mne.utils import logger, use_log_level
from numpy.typing import ArrayLike, NDArray

from mne_neurolm.channels import ChannelMatch, match_channels
from mne_neurolm.quality import check_filters, check_signal

SFREQ = 200.0  # Hz (paper, preprocessing)
PATCH_SIZE = 200  # samples, one second (paper, preprocessing)
MAX_TOKENS = 1024  # block size of the released encoder and of GPT-2
MAX_SECONDS = 64  # rows of the released time embedding

_UNITS = {"V": "V", "mV": "mV", "uV": "µV", "µV": "µV", "μV": "µV"}  # both micro signs
_TO_UV = {"V": 1e6, "mV": 1e3, "µV": 1.0}
_PAD_SECONDS = 0.5  # on both sides of an epoch while it is resampled
_UV_PER_UNIT = 100.0  # the network's unit (paper, preprocessing)
VOLTS_PER_UNIT = 1e-6 * _UV_PER_UNIT


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """Patches of a set of epochs, the input of the network.

    Attributes
    ----------
    data : ndarray of float32, shape (n_epochs, n_tokens, 200)
        Signals in units of 100 µV; ``n_tokens = n_seconds * n_channels``, second outer, channel
        inner.
    channels : ndarray of int64, shape (n_tokens,)
        Row of each token's channel in :data:`mne_neurolm.channels.CHANNELS`.
    times : ndarray of int64, shape (n_tokens,)
        Second of each token, counted from 0.
    ch_names : tuple of str
        The recording's own names of the channels, in the order of the tokens of one second.

    Raises
    ------
    IndexError
        If it is indexed with an epoch that is not there.
    TypeError
        If it is indexed with a tuple.

    Notes
    -----
    ``len(patches)`` is the number of epochs. Indexing with an integer, a slice or an array gives
    Patches of some of the epochs.

    Examples
    --------
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.patches import make_patches
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=3, random_state=0)
    >>> patches = make_patches(epochs.pick(["Cz", "Pz"]))
    >>> len(patches), patches.n_seconds, patches.n_channels
    (3, 4, 2)
    >>> patches.times.tolist()  # second outer, channel inner
    [0, 0, 1, 1, 2, 2, 3, 3]
    >>> patches[:2].data.shape
    (2, 8, 200)
    """

    data: NDArray[np.float32]
    channels: NDArray[np.int64]
    times: NDArray[np.int64]
    ch_names: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of epochs."""
        return len(self.data)

    def __getitem__(self, item: int | np.integer | slice | Sequence[int] | NDArray[Any]) -> Patches:
        """Return some of the epochs; an integer gives Patches of one epoch.

        Parameters
        ----------
        item : int | slice | array of int | array of bool
            Which epochs, as in NumPy.
        """
        if isinstance(item, (int, np.integer)):
            index = int(item)
            if not -len(self) <= index < len(self):
                raise IndexError(f"There are {len(self)} epochs, got index {index}.")
            item = slice(index, index + 1 or None)
        elif isinstance(item, tuple):
            raise TypeError("Patches are indexed by epoch only, with an int, a slice or an array.")
        elif not isinstance(item, slice) and np.size(item) == 0:
            item = np.zeros(0, dtype=np.int64)
        return Patches(self.data[item], self.channels, self.times, self.ch_names)

    def reorder(self, channels: NDArray[np.int64]) -> Patches:
        """Return the patches with the channels of every second in a given order.

        Parameters
        ----------
        channels : ndarray of int64, shape (n_channels,)
            Vocabulary rows in the wanted order.

        Returns
        -------
        patches : Patches
            Unchanged if the channels are not just these.
        """
        own = self.channels[: self.n_channels]
        if np.array_equal(own, channels) or set(own.tolist()) != set(channels.tolist()):
            return self
        position = {row: i for i, row in enumerate(own.tolist())}
        order = np.array([position[row] for row in channels.tolist()])
        tokens = (np.arange(self.n_seconds)[:, None] * self.n_channels + order).ravel()
        return Patches(
            self.data[:, tokens],
            self.channels[tokens],
            self.times,
            tuple(self.ch_names[i] for i in order),
        )

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return len(self.ch_names)

    @property
    def n_seconds(self) -> int:
        """Number of whole seconds per epoch."""
        return len(self.times) // len(self.ch_names)


def make_patches(
    X: mne.BaseEpochs | Sequence[mne.BaseEpochs] | NDArray[Any],
    *,
    ch_names: Sequence[str] | None = None,
    sfreq: float | None = None,
    unit: str | None = None,
    on_missing: str = "raise",
    verbose: bool | str | int | None = None,
) -> Patches:
    """Cut epochs into patches.

    Channels are matched to the vocabulary, signals at another rate are resampled to 200 Hz, a
    remainder shorter than a second is cut off at the end, and the signals are checked: what cannot
    be EEG is refused, what is doubtful is warned about.

    Parameters
    ----------
    X : mne.BaseEpochs | list of mne.BaseEpochs | ndarray, shape (n_epochs, n_chans, n_times)
        Epochs in volts, a list of Epochs with the same channels, bad channels, rate and length
        (scikit-learn's cross-validation makes such lists), or an array.
    ch_names : sequence of str | None
        Channel names of an array. This and the next two are needed with an array, are never
        guessed, and have no effect on Epochs, which know better.
    sfreq : float | None
        Sampling rate of an array in Hz.
    unit : "V" | "mV" | "uV" | None
        Unit of an array. MOABB's arrays are in µV, MNE's ``get_data()`` gives V.
    on_missing : "raise" | "warn" | "ignore"
        What to do about EEG channels outside the vocabulary, see
        :func:`mne_neurolm.channels.match_channels`.
    verbose : bool | str | int | None
        MNE's log level for this call.

    Returns
    -------
    patches : Patches
        ``float32`` patches in units of 100 µV with their channel and time indices.

    Raises
    ------
    TypeError
        If ``X`` is neither Epochs, a list of Epochs, nor a numeric array.
    ValueError
        If an array comes without ``ch_names``, ``sfreq`` or ``unit``, if the Epochs of a list
        differ, if the epochs are shorter than 1 s or longer than the network takes (64 s, 1024
        tokens), or if the signals are not EEG: NaN or infinite samples, channels flat in every
        epoch, amplitudes of another unit, no usable EEG channel.

    Warns
    -----
    RuntimeWarning
        If Epochs were filtered too narrowly (high-pass above 1 Hz, low-pass below 40 Hz) or not
        high-pass filtered at all, if channels are flat in some epochs, or if channels are clipped.

    Examples
    --------
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.patches import make_patches
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=2, random_state=0)
    >>> make_patches(epochs.pick(["Cz", "Pz"])).data.shape  # epochs, channels x 4 s, samples
    (2, 8, 200)
    """
    with nullcontext() if verbose is None else use_log_level(verbose):
        epochs = _as_epochs_list(X)
        if epochs is not None:
            info, declared = epochs[0].info, "V"
            match = match_channels(info, on_missing=on_missing)
            _check_alike(epochs)
            data = _collect(epochs, match)
        else:
            info, array, declared = _check_array(X, ch_names, sfreq, unit)
            match = match_channels(info, on_missing=on_missing)
            data = array[:, match.picks].astype(np.float64)
        rate = float(info["sfreq"])
        if len(data) == 0:
            raise ValueError("There are no epochs in X; all of them may have been rejected.")
        n_seconds = _check_duration(data.shape[-1], rate, len(match.picks))
        data *= _TO_UV[declared]
        check_signal(data, match.ch_names, declared)
        if epochs is not None:
            built_from_array = isinstance(epochs[0], mne.EpochsArray)
            check_filters(info, data, believe_info=not built_from_array)
        if rate != SFREQ:
            logger.info(f"Resampling epochs from {rate:g} to {SFREQ:g} Hz.")
            data = resample_epochs(data, rate)
        data /= _UV_PER_UNIT
    return _cut(data, match, n_seconds)


def _cut(data: NDArray[np.float64], match: ChannelMatch, n_seconds: int) -> Patches:
    """Cut (n_epochs, n_chans, n_times) at 200 Hz into whole seconds, second outer."""
    n_epochs, n_channels = data.shape[:2]
    data = data[..., : n_seconds * PATCH_SIZE].reshape(n_epochs, n_channels, n_seconds, PATCH_SIZE)
    tokens = np.ascontiguousarray(data.transpose(0, 2, 1, 3), dtype=np.float32)
    return Patches(
        data=tokens.reshape(n_epochs, n_seconds * n_channels, PATCH_SIZE),
        channels=np.tile(match.indices, n_seconds),
        times=np.repeat(np.arange(n_seconds, dtype=np.int64), n_channels),
        ch_names=match.ch_names,
    )


def resample_epochs(data: NDArray[np.float64], sfreq: float) -> NDArray[np.float64]:
    """Resample (..., n_times) to 200 Hz by MNE's FFT method, without shifting the signal.

    MNE's own padding is rounded to samples of the new rate, which at most rates moves the signal by
    up to half a sample. Padding by multiples of the ratio's denominator keeps it in its place.
    Every epoch and channel is transformed by itself, so the result never depends on other epochs.
    """
    ratio = Fraction(SFREQ / sfreq).limit_denominator(1000)
    n_times, step = data.shape[-1], ratio.denominator
    n_out = round(n_times * SFREQ / sfreq)
    pad = round(_PAD_SECONDS * sfreq)
    before = -(-pad // step) * step
    after = pad + -(n_times + pad) % step
    widths = [(0, 0)] * (data.ndim - 1) + [(before, after)]
    # odd reflection continues value and slope at the edges
    padded = np.pad(data, widths, mode="reflect", reflect_type="odd")
    resampled = mne.filter.resample(padded, up=SFREQ, down=sfreq, npad=0, verbose="ERROR")
    start = before * ratio.numerator // step
    return resampled[..., start : start + n_out]


def _as_epochs_list(X: object) -> list[mne.BaseEpochs] | None:
    """Return X as a list of Epochs, or None if it has to be an array."""
    if isinstance(X, mne.BaseEpochs):
        return [X]
    if isinstance(X, mne.io.BaseRaw):
        raise TypeError(
            "X is a continuous recording. Prepare it with mne_neurolm.prepare_raw and cut it into "
            "epochs, for example mne.make_fixed_length_epochs(raw, duration=4.0, preload=True)."
        )
    if isinstance(X, mne.Evoked):
        raise TypeError(
            "X is an Evoked: an average has no epochs. Pass the Epochs it was made from."
        )
    if isinstance(X, (list, tuple)) or (isinstance(X, np.ndarray) and X.dtype == object):
        items = list(X)
        if not items:
            raise ValueError("X is an empty list: there are no epochs to tokenize.")
        for i, item in enumerate(items):
            if not isinstance(item, mne.BaseEpochs):
                raise TypeError(
                    f"A list must hold mne.Epochs only, item {i} is {type(item).__name__}. Pass "
                    "Epochs, a list of Epochs, or one array (n_epochs, n_chans, n_times)."
                )
        return items
    if isinstance(X, np.ndarray):
        return None
    raise TypeError(
        "X must be mne.Epochs, a list of mne.Epochs, or an array (n_epochs, n_chans, n_times) with "
        f"ch_names, sfreq and unit; got {type(X).__name__}."
    )


def _check_alike(epochs: Sequence[mne.BaseEpochs]) -> None:
    """Refuse lists of Epochs that differ in channels, types, bads, rate or length."""
    first = epochs[0]
    names, kinds = first.ch_names, [ch["kind"] for ch in first.info["chs"]]
    bads, rate, length = set(first.info["bads"]), first.info["sfreq"], len(first.times)
    for i, item in enumerate(epochs[1:], start=1):
        how = ""
        if item.ch_names != names:
            odd = sorted(set(item.ch_names) ^ set(names))[:6]
            how = f"its channels are not the same ({', '.join(odd) or 'in another order'})"
        elif [ch["kind"] for ch in item.info["chs"]] != kinds:
            how = "its channel types are not the same"
        elif set(item.info["bads"]) != bads:
            how = f"its bad channels are {sorted(item.info['bads'])} instead of {sorted(bads)}"
        elif item.info["sfreq"] != rate:
            how = f"its rate is {item.info['sfreq']:g} instead of {rate:g} Hz"
        elif len(item.times) != length:
            how = f"it has {len(item.times)} samples per epoch instead of {length}"
        if how:
            raise ValueError(
                f"The Epochs in a list must be alike; item {i} differs from item 0: {how}. "
                "Equalise them (mne.channels.equalize_channels, resample, crop), or tokenize them "
                "separately."
            )


def _collect(epochs: Sequence[mne.BaseEpochs], match: ChannelMatch) -> NDArray[np.float64]:
    """Return the picked channels of all Epochs in volts, (n_epochs, n_chans, n_times)."""
    parts = []
    for item in epochs:
        # indexing whole arrays spares MNE's picking, which costs more than the copy for one epoch
        whole = item.get_data(copy=False) if item.preload else item.get_data()
        parts.append(whole[:, match.picks])
    data = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return data.astype(np.float64, copy=False)


def _check_array(
    X: ArrayLike, ch_names: Sequence[str] | None, sfreq: float | None, unit: str | None
) -> tuple[mne.Info, NDArray[Any], str]:
    """Return an Info for an array, the array, and its unit."""
    array = np.asarray(X)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"An array must hold real numbers, got dtype {array.dtype}.")
    if array.ndim != 3:
        raise ValueError(
            f"An array must have the shape (n_epochs, n_chans, n_times), got {array.shape}."
            + (" For one epoch use X[np.newaxis]." if array.ndim == 2 else "")
        )
    given = {"ch_names": ch_names, "sfreq": sfreq, "unit": unit}
    absent = [name for name, value in given.items() if value is None]
    if ch_names is None or sfreq is None or unit is None:
        raise ValueError(
            f"An array does not say what it holds: {', '.join(absent)} must be given as well "
            "(ch_names as a list of names, sfreq in Hz, unit as 'V', 'mV' or 'uV')."
        )
    if unit not in _UNITS:
        raise ValueError(f"unit must be 'V', 'mV' or 'uV', got {unit!r}.")
    if not sfreq > 0:
        raise ValueError(f"sfreq must be a positive rate in Hz, got {sfreq!r}.")
    names = [ch_names] if isinstance(ch_names, str) else [str(name) for name in ch_names]
    if len(names) != array.shape[1]:
        raise ValueError(
            f"There are {len(names)} ch_names for the {array.shape[1]} channels of an array of "
            f"shape {array.shape}, which must be (n_epochs, n_chans, n_times)."
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"ch_names must be unique, these are not: {', '.join(twice)}.")
    return mne.create_info(names, float(sfreq), "eeg", verbose="ERROR"), array, _UNITS[unit]


def _check_duration(n_times: int, sfreq: float, n_channels: int) -> int:
    """Return the number of whole seconds, within what the network takes."""
    duration = n_times / sfreq
    # what rounds to a whole second at 200 Hz is one: a rate of 256.001 Hz must not cost a second
    n_seconds = int(duration + 0.4 / SFREQ)
    if n_seconds < 1:
        raise ValueError(
            f"The epochs are {duration:.3g} s long; a patch is one second, so they must be at "
            "least 1 s. Cut longer epochs from the recording."
        )
    longest = min(MAX_SECONDS, MAX_TOKENS // n_channels)
    if n_seconds > longest:
        raise ValueError(
            f"The epochs are {duration:g} s long, which makes {n_seconds * n_channels} patches "
            f"with {n_channels} channels. The network takes up to {MAX_TOKENS} patches and "
            f"{MAX_SECONDS} seconds, so at most {longest} s with this montage: cut shorter epochs, "
            f"for example mne.make_fixed_length_epochs(raw, duration={longest}, preload=True)."
        )
    # MNE's epochs include tmax, so a single sample more is the rule and no loss
    if (duration - n_seconds) * sfreq > 1.5:
        logger.info(
            f"Leaving out the last {duration - n_seconds:.3g} s: patches are whole seconds."
        )
    return n_seconds
