"""Checks that a signal can be scalp EEG, in the unit it is said to have.

Private: :func:`mne_neurolm.patches.make_patches` is the only caller; what looks at recordings a
part at a time, the store and :func:`mne_neurolm.apply_to_raw`, shares the limits. Signals come in
µV, as float64 of shape (n_epochs, n_chans, n_times), before any resampling.
"""

from __future__ import annotations

from collections.abc import Sequence

import mne
import numpy as np
from mne.utils import warn
from numpy.typing import NDArray

# Standard deviation of EEG in µV. Scalp EEG has 1 to 300; the wrong unit is off by 1e3 or 1e6, so
# the limits are wide enough for bursts, suppression and large artefacts, and still tell them apart.
LOWEST_SD, HIGHEST_SD = 0.1, 1e4
FLAT_SD = 1e-3  # µV, below the resolution of every amplifier
CLIPPED_FRACTION = 0.05
_LOUD = 30.0  # times the typical channel: eye channels reach 10, electrodes that fell off 100
_NARROW_HIGHPASS, _NARROW_LOWPASS = 1.0, 40.0  # Hz; beyond, delta or beta waves are gone
_SCALE_NAMES = {
    1e-6: "a millionth",
    1e-3: "a thousandth",
    1e3: "1,000 times",
    1e6: "1,000,000 times",
}
_MAX_NAMES_SHOWN = 20
_MAX_EPOCHS_LOOKED_AT = 32
_LINE_PEAK = 20.0  # power over its surroundings; a noise spectrum stays below 5


def check_signal(data_uv: NDArray[np.float64], ch_names: Sequence[str], unit: str) -> None:
    """Refuse or warn about signals that are not EEG in the declared unit.

    Parameters
    ----------
    data_uv : ndarray of float64, shape (n_epochs, n_chans, n_times)
        Signals in µV.
    ch_names : sequence of str
        Names of the channels.
    unit : str
        Unit that the user declared, for the message.

    Raises
    ------
    ValueError
        For NaN or infinite samples, an implausible unit, and channels flat in every epoch.
    """
    mean = data_uv.mean(axis=-1)
    if not np.isfinite(mean).all():  # one bad sample is enough to spoil the mean
        _refuse_non_finite(data_uv, ch_names)
    sd = _deviation(data_uv, mean)
    flat = sd < FLAT_SD
    check_unit(sd, unit)
    if flat.all(axis=0).any():
        names = [ch_names[i] for i in np.flatnonzero(flat.all(axis=0)).tolist()]
        raise ValueError(
            f"{len(names)} channel(s) are flat (standard deviation below {FLAT_SD:g} µV) in every "
            f"epoch: {listed(names)}. Mark them as bad (epochs.info['bads']), drop them with "
            "drop_channels, or interpolate them before tokenizing; in an array, leave them out."
        )
    if flat.any():
        names = [ch_names[i] for i in np.flatnonzero(flat.any(axis=0)).tolist()]
        warn(
            f"{int(flat.any(axis=1).sum())} of {len(flat)} epochs have flat channels: "
            f"{listed(names)}. Drop these epochs (epochs.drop_bad(flat=dict(eeg=1e-7))) or mark "
            "the channels as bad."
        )
    # The network normalises over a whole sample: one loud channel changes the codes of all others.
    typical = np.median(sd, axis=0)
    loud = np.flatnonzero(typical > _LOUD * np.median(typical)).tolist()
    if loud:
        names = [f"{ch_names[i]} ({typical[i]:.3g} µV)" for i in loud]
        warn(
            f"{len(loud)} channel(s) are more than {_LOUD:g} times as large as the typical channel "
            f"({np.median(typical):.3g} µV), which changes the codes of all channels: "
            f"{listed(names)}. Mark them as bad or interpolate them."
        )
    clipped = _clipped_fraction(data_uv, flat)
    if (clipped > CLIPPED_FRACTION).any():
        worst = np.flatnonzero(clipped > CLIPPED_FRACTION).tolist()
        names = [f"{ch_names[i]} ({clipped[i]:.0%})" for i in worst]
        warn(
            f"{len(names)} channel(s) look clipped, with this share of samples resting on an "
            f"epoch's highest or lowest value: {listed(names)}. Mark them as bad or drop these "
            "epochs."
        )


def check_filters(info: mne.Info, data_uv: NDArray[np.float64], *, believe_info: bool) -> None:
    """Warn once when Epochs were filtered too narrowly or not at all.

    ``info`` is believed about the filters that it records. That it records no high-pass means
    something for Epochs cut from a recording; in Epochs built from an array
    (``believe_info=False``) it is only what the constructor puts there, so the signal must show it:
    by a line peak 20 times its surroundings. An offset larger than the signal, as DC-coupled
    amplifiers have, is a reason whatever ``info`` says: the high-pass did not do its work.

    Parameters
    ----------
    info : mne.Info
        Measurement info of the Epochs.
    data_uv : ndarray of float64, shape (n_epochs, n_chans, n_times)
        Signals in µV.
    believe_info : bool
        Whether the absence of a high-pass in ``info`` is believed without looking at the signal.
    """
    highpass, lowpass = float(info["highpass"]), float(info["lowpass"])
    if highpass > _NARROW_HIGHPASS or lowpass < _NARROW_LOWPASS:
        what = f"are limited to {highpass:g} to {lowpass:g} Hz, which is too narrow"
    elif highpass == 0.0 and believe_info:
        what = f"have not been high-pass filtered (info says {highpass:g} to {lowpass:g} Hz)"
    else:
        step = max(1, len(data_uv) // _MAX_EPOCHS_LOOKED_AT)
        if _has_offset(data_uv[::step]):
            what = "have offsets larger than the signal, so a high-pass is missing or too short"
        elif highpass == 0.0 and _has_line_peak(data_uv[::step], info["sfreq"]):
            what = "have strong line noise and no filter in their info"
        else:
            return
    warn(
        f"The epochs {what}. NeuroLM was trained on 0.1 to 75 Hz without line noise: prepare the "
        "recording with mne_neurolm.prepare_raw(raw) before cutting epochs from it."
    )


def _deviation(data_uv: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard deviation of each epoch and channel."""
    power = np.empty(mean.shape)
    for epoch, samples in enumerate(data_uv):  # one at a time: all together can be large
        # two passes: an offset of 100 mV would swallow a variance computed as E[x²] - E[x]²
        centred = samples - mean[epoch, :, None]
        power[epoch] = np.einsum("ct,ct->c", centred, centred)
    return np.sqrt(power / data_uv.shape[-1])


def check_unit(sd: NDArray[np.float64], unit: str) -> None:
    """Refuse signals whose standard deviations, in µV, are not those of EEG in this unit."""
    typical = float(np.median(sd))
    if LOWEST_SD <= typical <= HIGHEST_SD or typical == 0.0:
        return
    # which factor between units brings the amplitude nearest to the 20 µV of ordinary EEG
    factor = min(_SCALE_NAMES, key=lambda f: abs(np.log10(typical / 20.0 / f)))
    real = {1e6: {"V": "µV"}, 1e3: {"V": "mV", "mV": "µV"}, 1e-3: {"µV": "mV", "mV": "V"}}
    real[1e-6] = {"µV": "V"}
    guess = real[factor].get(unit)
    hint = f", as if values in {guess} had been declared as {unit}" if guess else ""
    fix = f"unit={_ASCII[guess]!r}" if guess else "the right unit"
    raise ValueError(
        f"The median standard deviation of the signals is {typical:.3g} µV, {_SCALE_NAMES[factor]} "
        f"that of EEG (allowed: {LOWEST_SD:g} to {HIGHEST_SD:g} µV){hint}. For an array pass "
        f"{fix}; Epochs must be in volts, so scale the data they are made from."
    )


_ASCII = {"V": "V", "mV": "mV", "µV": "uV"}


def _refuse_non_finite(data_uv: NDArray[np.float64], ch_names: Sequence[str]) -> None:
    where = ~np.isfinite(data_uv)
    epochs = np.flatnonzero(where.any(axis=(1, 2)))
    names = [ch_names[i] for i in np.flatnonzero(where.any(axis=(0, 2))).tolist()]
    raise ValueError(
        f"{int(where.sum())} samples are NaN or infinite, in {len(epochs)} epoch(s) "
        f"({listed([str(e) for e in epochs])}) and channel(s) {listed(names)}. Drop these "
        "epochs, or mark the channels as bad or interpolate them."
    )


def _clipped_fraction(data_uv: NDArray[np.float64], flat: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return per channel the share of neighbouring samples that both sit on the epoch's extreme."""
    resting = np.zeros(flat.shape)
    for extreme in (data_uv.max(axis=-1), data_uv.min(axis=-1)):
        at = data_uv == extreme[..., None]
        # runs only: a lone sample at the extreme is every epoch's maximum
        resting += np.count_nonzero(at[..., 1:] & at[..., :-1], axis=-1)
    resting[flat] = 0.0  # reported as flat
    n_neighbours = max(data_uv.shape[-1] - 1, 1)
    return resting.mean(axis=0) / n_neighbours


def _has_offset(data_uv: NDArray[np.float64]) -> bool:
    offset = np.abs(data_uv.mean(axis=-1))
    return bool(np.median(offset) > np.median(data_uv.std(axis=-1)))


def _has_line_peak(data_uv: NDArray[np.float64], sfreq: float) -> bool:
    centred = data_uv - data_uv.mean(axis=-1, keepdims=True)
    power = np.abs(np.fft.rfft(centred * np.hanning(data_uv.shape[-1]))) ** 2
    power = power.mean(axis=0)
    freqs = np.fft.rfftfreq(data_uv.shape[-1], 1.0 / sfreq)
    for line in (50.0, 60.0):
        distance = np.abs(freqs - line)
        around = (distance > 2.0) & (distance < 6.0)
        if line + 6.0 > sfreq / 2.0 or around.sum() < 4:
            continue
        peak = power[:, distance < 1.0].max(axis=1)
        floor = np.median(power[:, around], axis=1)
        if np.median(peak / np.maximum(floor, np.finfo(float).tiny)) > _LINE_PEAK:
            return True
    return False


def listed(names: Sequence[str], most: int = _MAX_NAMES_SHOWN) -> str:
    """Return names for a message, at most so many and how many more there are."""
    shown = ", ".join(names[:most])
    more = len(names) - most
    return f"{shown} and {more} more" if more > 0 else shown
