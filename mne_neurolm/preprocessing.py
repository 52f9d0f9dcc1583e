"""Preparation of continuous recordings: the band, notch and rate that NeuroLM was trained on.

The order is that of the paper (NeuroLM, arXiv 2409.00101, preprocessing) and of the released code:
band-pass, notch, resample, each by MNE's own method.
"""

from __future__ import annotations

from contextlib import nullcontext
from fractions import Fraction

import mne
import numpy as np
from mne.utils import logger, use_log_level, warn
from scipy.fft import next_fast_len

from mne_neurolm.channels import match_channels

LOWEST_LINE_FREQ = 50.0  # Hz; a recording limited below it has no line noise to remove
_LEAST_PADDING = 1000  # samples on each side in resampling; what is beyond has little influence
_LARGEST_STEP = 1000  # samples; the lengths of a common rate are multiples of less
_SEARCHED = 10_000  # lengths among which the best is looked for when the rate is not a common one
_NEGLIGIBLE = 1e-3  # samples


def prepare_raw(
    raw: mne.io.BaseRaw,
    *,
    l_freq: float | None = 0.1,
    h_freq: float | None = 75.0,
    line_freq: float | str | None = "auto",
    sfreq: float = 200.0,
    n_jobs: int | None = 1,
    on_missing: str = "raise",
    verbose: bool | str | int | None = None,
) -> mne.io.BaseRaw:
    """Pick the usable EEG channels of a recording, filter and resample it.

    Do this before cutting epochs: a 0.1 Hz high-pass needs more signal than an epoch has.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Continuous recording in volts. It is not modified and need not be loaded.
    l_freq, h_freq : float | None
        Band-pass edges in Hz, 0.1 and 75 Hz as in the paper. ``None`` leaves that side open. When
        the sampling rate already limits the band below ``h_freq``, there is no low-pass.
    line_freq : float | "auto" | None
        Power line frequency in Hz, removed with those of its harmonics that lie below ``h_freq``.
        ``"auto"`` takes it from ``raw.info["line_freq"]`` and warns if it is not there. ``None``
        means no notch.
    sfreq : float
        Sampling rate of the result in Hz, 200 as in the paper.
    n_jobs : int | None
        Number of jobs for MNE's filters.
    on_missing : "raise" | "warn" | "ignore"
        What to do about EEG channels outside the vocabulary, see
        :func:`mne_neurolm.channels.match_channels`.
    verbose : bool | str | int | None
        MNE's log level for this call.

    Returns
    -------
    raw : mne.io.BaseRaw
        A loaded copy, in volts, with the channels that the network can use, under their own names.

    Raises
    ------
    TypeError
        If ``raw`` is not a continuous recording.
    ValueError
        If there is no usable EEG channel, if samples are NaN or infinite, or if a parameter is out
        of range.

    Examples
    --------
    >>> import mne
    >>> import numpy as np
    >>> from mne_neurolm import prepare_raw
    >>> noise = 1e-5 * np.random.default_rng(0).standard_normal((3, 20000))
    >>> info = mne.create_info(["Fz", "Cz", "ECG"], 500.0, ["eeg", "eeg", "ecg"])
    >>> raw = mne.io.RawArray(noise, info, verbose="warning")
    >>> raw = prepare_raw(raw, line_freq=50.0, verbose="warning")
    >>> raw.ch_names, raw.info["sfreq"], raw.info["lowpass"]
    (['Fz', 'Cz'], 200.0, 75.0)
    >>> len(mne.make_fixed_length_epochs(raw, duration=4.0, preload=True, verbose="warning"))
    10
    """
    if not isinstance(raw, mne.io.BaseRaw):
        raise TypeError(
            f"prepare_raw takes a continuous recording (mne.io.Raw), got {type(raw).__name__}. "
            "Epochs are too short for a high-pass at 0.1 Hz: prepare the recording they come from."
        )
    line = check_line_freq(raw.info, line_freq)
    if not sfreq > 0:
        raise ValueError(f"sfreq must be a positive rate in Hz, got {sfreq!r}.")
    with nullcontext() if verbose is None else use_log_level(verbose):
        match = match_channels(raw.info, on_missing=on_missing)
        raw = raw.copy().pick(list(match.ch_names)).load_data()
        _check_finite(raw)
        raw = filter_and_resample(
            raw, l_freq=l_freq, h_freq=h_freq, line_freq=line, sfreq=sfreq, n_jobs=n_jobs
        )
    return raw


def filter_and_resample(
    raw: mne.io.BaseRaw,
    *,
    l_freq: float | None,
    h_freq: float | None,
    line_freq: float | str | None,
    sfreq: float,
    n_jobs: int | None = 1,
) -> mne.io.BaseRaw:
    """Filter and resample a loaded recording: what :func:`prepare_raw` does to signals.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Loaded recording with the channels to use. It is modified.
    l_freq, h_freq : float | None
        Band-pass edges in Hz.
    line_freq : float | "unknown" | None
        Power line frequency in Hz.
    sfreq : float
        Sampling rate of the result in Hz.
    n_jobs : int | None
        Number of jobs for MNE's filters.

    Returns
    -------
    raw : mne.io.BaseRaw
        The result, the same object or a new one.

    Warns
    -----
    RuntimeWarning
        If the line frequency is unknown and the recording reaches up to it.
    """
    nyquist = raw.info["sfreq"] / 2.0
    if h_freq is not None and h_freq >= nyquist:
        logger.info(
            f"No low-pass at {h_freq:g} Hz: the rate of {raw.info['sfreq']:g} Hz already "
            f"limits the recording to {nyquist:g} Hz."
        )
        h_freq = None
    if l_freq is not None or h_freq is not None:
        raw.filter(l_freq, h_freq, n_jobs=n_jobs)
    if line_freq == "unknown" and raw.info["lowpass"] > LOWEST_LINE_FREQ:
        warn(
            "The recording does not say its power line frequency, so there is no notch filter. "
            "Pass line_freq=50 (Europe, most of Asia and Africa) or line_freq=60 (Americas), "
            "or line_freq=None to go without."
        )
    elif isinstance(line_freq, float):
        # one hertz below Nyquist is what MNE's notch needs for its transition band
        harmonics = np.arange(line_freq, min(nyquist - 1.0, h_freq or np.inf), line_freq)
        if len(harmonics):
            raw.notch_filter(harmonics, n_jobs=n_jobs)
    return _resample(raw, sfreq, n_jobs)


def _resample(raw: mne.io.BaseRaw, sfreq: float, n_jobs: int | None) -> mne.io.BaseRaw:
    """Resample by MNE's FFT method, without moving or stretching the signal.

    MNE pads to a power of two and rounds the padding and the padded length to samples of the new
    rate, which at most rates moves the signal by up to half a sample, by another amount for every
    length. Lengths that are multiples of the ratio's denominator leave nothing to round.
    """
    rate, n_times = raw.info["sfreq"], raw.n_times
    if rate == sfreq:
        return raw
    pad, extension = _padding(n_times, sfreq / rate)
    if extension:
        # odd reflection continues value and slope
        data = np.pad(raw.get_data(), ((0, 0), (0, extension)), "reflect", reflect_type="odd")
        longer = mne.io.RawArray(data, raw.info, first_samp=raw.first_samp, verbose="error")
        notes = raw.annotations.copy()
        if notes.orig_time is None:  # set_annotations counts from the first sample
            notes.onset = notes.onset - raw.first_time
        raw = longer.set_annotations(notes, verbose="error")
    raw.resample(sfreq, npad=pad, n_jobs=n_jobs)
    if extension:
        n_out = max(round(n_times * sfreq / rate), 1)
        raw.crop(tmax=(n_out - 1) / sfreq, verbose="error")
    return raw


def _padding(n_times: int, ratio: float) -> tuple[int, int]:
    """Return samples to pad on both sides, and samples to add at the end before that."""
    pad = common_length(_LEAST_PADDING, ratio)
    length = common_length(n_times + 2 * pad, ratio)
    extension = length - n_times - 2 * pad
    step = _common_step(length, ratio)
    if step:
        # a length that a fast Fourier transform likes; what is added at the end stays as little
        # as can be, so that a recording and its last part end alike
        n_steps = length // step
        while (next_fast_len(n_steps, real=True) - n_steps) % 2:
            pad, n_steps = pad + step, n_steps + 2
        pad += (next_fast_len(n_steps, real=True) - n_steps) // 2 * step
    return pad, extension


def common_length(bound: int, ratio: float, *, below: bool = False) -> int:
    """Return a number of samples that is whole at two rates, or very nearly so.

    Parameters
    ----------
    bound : int
        Smallest number to return, at the first rate; with ``below`` the largest.
    ratio : float
        Second rate over the first.
    below : bool
        Which side of the bound to look at. Default False.

    Returns
    -------
    length : int
        The next multiple of the ratio's denominator if that is small; else, of the next 10,000
        numbers, the one whose product with the ratio is nearest to an integer.
    """
    step = _common_step(bound, ratio)
    if step:
        return bound // step * step if below else -(-bound // step) * step
    first = max(bound - _SEARCHED + 1, 0) if below else bound
    lengths = np.arange(first, bound + 1 if below else bound + _SEARCHED)
    return int(lengths[np.abs(lengths * ratio - np.rint(lengths * ratio)).argmin()])


def _common_step(length: int, ratio: float) -> int:
    """Return the ratio's denominator, or 0 if there is no small one that is exact enough."""
    exact = Fraction(ratio).limit_denominator(_LARGEST_STEP)
    return exact.denominator if abs(ratio - exact) * length < _NEGLIGIBLE else 0


def check_line_freq(info: mne.Info, line_freq: float | str | None) -> float | str | None:
    """Return the line frequency in Hz, None for no notch, or "unknown"."""
    if line_freq is None:
        return None
    if isinstance(line_freq, str):
        if line_freq != "auto":
            raise ValueError(
                f"line_freq must be 'auto', None or a frequency in Hz, got {line_freq!r}."
            )
        return float(info["line_freq"]) if info["line_freq"] else "unknown"
    if not line_freq > 0:
        raise ValueError(
            f"line_freq must be 'auto', None or a positive frequency, got {line_freq}."
        )
    return float(line_freq)


def _check_finite(raw: mne.io.BaseRaw) -> None:
    """Refuse NaN and inf, which a filter would spread over the whole channel."""
    n_bad = {}
    for pick, name in enumerate(raw.ch_names):  # one at a time: recordings can be large
        count = np.count_nonzero(~np.isfinite(raw.get_data(picks=[pick])))
        if count:
            n_bad[name] = count
    if n_bad:
        raise ValueError(
            f"{sum(n_bad.values())} samples are NaN or infinite, in channel(s) "
            f"{', '.join(list(n_bad)[:20])}. Crop the recording, interpolate them, or mark these "
            "channels as bad in raw.info['bads']; filtering would spread them."
        )
