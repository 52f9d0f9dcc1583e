"""Preparation of continuous recordings: the band, notch and rate that NeuroLM was trained on.

The order is that of the paper (NeuroLM, arXiv 2409.00101, preprocessing) and of the released code:
band-pass, notch, resample, each by MNE's own method.
"""

from __future__ import annotations

from contextlib import nullcontext

import mne
import numpy as np
from mne.utils import logger, use_log_level, warn

from mne_neurolm.channels import match_channels

_LOWEST_LINE_FREQ = 50.0  # Hz; a recording limited below it has no line noise to remove


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
    >>> raw = prepare_raw(raw, line_freq=50)  # doctest: +SKIP
    >>> epochs = mne.make_fixed_length_epochs(raw, duration=4.0, preload=True)  # doctest: +SKIP
    """
    if not isinstance(raw, mne.io.BaseRaw):
        raise TypeError(
            f"prepare_raw takes a continuous recording (mne.io.Raw), got {type(raw).__name__}. "
            "Epochs are too short for a high-pass at 0.1 Hz: prepare the recording they come from."
        )
    line = _check_line_freq(raw.info, line_freq)
    if not sfreq > 0:
        raise ValueError(f"sfreq must be a positive rate in Hz, got {sfreq!r}.")
    with nullcontext() if verbose is None else use_log_level(verbose):
        match = match_channels(raw.info, on_missing=on_missing)
        raw = raw.copy().pick(list(match.ch_names)).load_data()
        _check_finite(raw)
        nyquist = raw.info["sfreq"] / 2.0
        if h_freq is not None and h_freq >= nyquist:
            logger.info(
                f"No low-pass at {h_freq:g} Hz: the rate of {raw.info['sfreq']:g} Hz already "
                f"limits the recording to {nyquist:g} Hz."
            )
            h_freq = None
        if l_freq is not None or h_freq is not None:
            raw.filter(l_freq, h_freq, n_jobs=n_jobs)
        if line == "unknown" and raw.info["lowpass"] > _LOWEST_LINE_FREQ:
            warn(
                "The recording does not say its power line frequency, so there is no notch filter. "
                "Pass line_freq=50 (Europe, most of Asia and Africa) or line_freq=60 (Americas), "
                "or line_freq=None to go without."
            )
        elif isinstance(line, float):
            # one hertz below Nyquist is what MNE's notch needs for its transition band
            harmonics = np.arange(line, min(nyquist - 1.0, h_freq or np.inf), line)
            if len(harmonics):
                raw.notch_filter(harmonics, n_jobs=n_jobs)
        if raw.info["sfreq"] != sfreq:
            raw.resample(sfreq, n_jobs=n_jobs)
    return raw


def _check_line_freq(info: mne.Info, line_freq: float | str | None) -> float | str | None:
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
