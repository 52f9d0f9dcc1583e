"""A fitted estimator over a continuous recording, window by window."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import mne
import numpy as np
from mne.utils import logger, use_log_level, warn
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from ..channels import match_channels
from ..preprocessing import check_line_freq
from ..utils.docs import fill_doc
from ..utils.logging import shows_progress
from .checks import check_recording, summarize
from .output import RecordingOutput
from .segments import SFREQ
from .values import WindowValues
from .window_pass import WindowPass, Windows

METHODS = ("predict_proba", "predict", "decision_function", "transform")
_LEAST_SEGMENT = 60.0  # s; margins of half a minute are prepared on both sides
_BAR = "{desc}: {n:.2f} of {total:.2f} h of EEG |{bar}| {elapsed}, {remaining} left"


@fill_doc
def apply_to_raw(
    estimator: Any,
    raw: mne.io.BaseRaw,
    *,
    duration: float,
    overlap: float = 0.0,
    method: str = "auto",
    prepare: bool = True,
    line_freq: float | str | None = "auto",
    on_missing: str = "raise",
    reject_by_annotation: bool = True,
    on_bad: str = "warn",
    segment_duration: float = 600.0,
    out: str | Path | None = None,
    overwrite: bool = False,
    verbose: bool | str | int | None = None,
) -> RecordingOutput:
    """Apply a fitted estimator to a continuous recording, window by window.

    The recording is read, prepared and given to the estimator a segment at a time, so memory does
    not grow with its length. The result is that of :func:`prepare_raw`,
    :func:`mne.make_fixed_length_epochs` and the estimator, one after the other.

    Parameters
    ----------
    estimator : NeuroLMTokenizer | NeuroLMClassifier | sklearn.pipeline.Pipeline
        Fitted, on epochs.
    raw : mne.io.BaseRaw
        Continuous recording in volts. It is not modified and need not be loaded.
    duration : float
        Length of a window in seconds. Take that of the epochs in ``fit``.
    overlap : float
        Seconds by which neighbouring windows overlap. Default 0.
    method : "auto" | "predict_proba" | "predict" | "decision_function" | "transform"
        What to call. ``"auto"`` (default) is ``predict_proba`` if there is one, else ``transform``,
        else ``predict``.
    prepare : bool
        Whether to filter and resample as :func:`prepare_raw` does. Default True. False is for
        recordings that have been prepared.
    line_freq : float | "auto" | None
        Power line frequency in Hz for :func:`prepare_raw`.
    %(on_missing)s
    reject_by_annotation : bool
        Leave windows without a result that overlap an annotation whose description begins with
        "bad". Default True.
    on_bad : "warn" | "ignore" | "raise"
        What to do about windows without a result: say once at the end how many there are and where
        (default), nothing, or stop at the first.
    segment_duration : float
        About how many seconds of EEG are read and filtered at a time, at least 60. Default 600.
        Memory grows with it; below 300, time does too, as margins are prepared twice.
    out : str | pathlib.Path | None
        A ``.npy`` file for the values, which are then returned as a memory map. Needed for results
        of more than 0.5 GB, such as the hidden states of a day.
    overwrite : bool
        Replace the file if there is one. Default False.
    %(verbose)s

    Returns
    -------
    output : RecordingOutput
        Onset and values of each window; its methods ``to_data_frame`` and ``to_annotations`` turn
        them into what pandas and MNE-Python read. See
        :class:`~mne_neurolm.streaming.RecordingOutput`.

    Raises
    ------
    FileExistsError
        If ``out`` exists and ``overwrite`` is False.
    FileNotFoundError
        If the folder of ``out`` does not exist.
    TypeError
        If ``raw`` is no continuous recording, or the estimator has no such method.
    ValueError
        If the recording is shorter than a window, no window can be used, channels are flat
        throughout, amplitudes are those of another unit, the result is too large for memory, or a
        parameter is not allowed.

    Warns
    -----
    RuntimeWarning
        If windows have no result, or the recording can't be read to its end; then the result ends
        there too. Warnings of the estimator are given once.

    Notes
    -----
    A window has no result if a channel has NaN or infinite samples in it, is flat for a second or
    longer, or is clipped in more than 5 % of its samples; if its typical channel has a standard
    deviation below 0.1 or above 10,000 µV after filtering; or if it is annotated as bad. NaN and
    infinite samples are bridged by a straight line before filtering, so windows beside them are
    usable.

    Recordings longer than one and a half segments are prepared in parts with margins longer than
    the filters. The signal then differs from that of :func:`prepare_raw` by about 0.03 % of its
    standard deviation.

    Examples
    --------
    >>> import mne
    >>> import numpy as np
    >>> from mne_neurolm import NeuroLMTokenizer, apply_to_raw
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=10, random_state=0)
    >>> tokenizer = NeuroLMTokenizer(output="codes").fit(epochs)
    >>> raw = mne.io.RawArray(np.hstack(epochs.get_data()), epochs.info, verbose="error")
    >>> output = apply_to_raw(tokenizer, raw, duration=4.0, line_freq=50.0, verbose="error")
    >>> output
    <RecordingOutput | transform of 10 windows of 4 s in 0.01 h, 0 without a result>
    >>> output.values.shape
    (10, 76)
    >>> list(output.to_data_frame().columns[:4])
    ['onset', 'duration', 'Fp1_0s', 'Fp2_0s']
    """
    if not isinstance(raw, mne.io.BaseRaw):
        raise TypeError(
            f"raw must be a continuous recording (mne.io.Raw), got {type(raw).__name__}. Epochs "
            "go to the estimator's own methods."
        )
    check_is_fitted(estimator)
    method = _check_method(estimator, method)
    if on_bad not in ("warn", "ignore", "raise"):
        raise ValueError(f"on_bad must be 'warn', 'ignore' or 'raise', got {on_bad!r}.")
    if segment_duration < _LEAST_SEGMENT:
        raise ValueError(
            f"segment_duration must be at least {_LEAST_SEGMENT:g} s, got {segment_duration}: "
            "margins of half a minute are prepared on both sides of a segment."
        )
    path = _check_out(out, overwrite, method)
    progress = shows_progress(verbose)
    with nullcontext() if verbose is None else use_log_level(verbose):
        match = match_channels(raw.info, on_missing=on_missing)
        windows = Windows.of(raw, duration, overlap, SFREQ if prepare else raw.info["sfreq"])
        check_recording(raw, match.picks, match.ch_names, duration)
        values = WindowValues(len(windows.starts), labels=method == "predict", out=path)
        walk = WindowPass(
            estimator,
            method,
            raw,
            match.picks,
            windows,
            prepare=prepare,
            line_freq=check_line_freq(raw.info, line_freq),
            reject_by_annotation=reject_by_annotation,
            stop_at_bad=on_bad == "raise",
            values=values,
        )
        hours = raw.n_times / raw.info["sfreq"] / 3600.0
        quiet = max(logger.getEffectiveLevel(), logging.WARNING)
        try:
            with (
                tqdm(total=hours, desc=method, bar_format=_BAR, disable=not progress) as bar,
                use_log_level(quiet),  # filters tell what they do, and here again and again
            ):
                for seconds in walk.run(segment_duration):
                    bar.update(seconds / 3600.0 - bar.n)
        finally:
            values.close()
        onsets = windows.onsets[: len(walk.faults)]
        _tell(walk, onsets, values, on_bad)
    found = values.finish()
    columns = values.columns
    if method == "transform":
        columns = columns or _feature_names(estimator, found)
    elif method != "predict" and found.ndim == 2:
        labels = getattr(estimator, "classes_", None)
        if labels is not None and len(labels) == found.shape[1]:
            columns = [str(label) for label in labels]
    return RecordingOutput(
        values=found,
        onset=onsets,
        duration=float(duration),
        method=method,
        bad=np.array(["" if fault is None else str(fault) for fault in walk.faults]),
        classes=getattr(estimator, "classes_", None),
        columns=columns,
        meas_date=raw.info["meas_date"],
        first_time=float(raw.first_time),
    )


def _tell(walk: WindowPass, onsets: NDArray[np.float64], values: WindowValues, on_bad: str) -> None:
    """Say what is missing, or refuse to return nothing."""
    n_windows, n_bad = len(onsets), sum(fault is not None for fault in walk.faults)
    summary = summarize(walk.faults, onsets)
    if walk.error is not None:
        end = f"The recording can't be read after {walk.readable:.6g} of {walk.seconds:.6g} s"
        why = f"{type(walk.error).__name__}: {walk.error}"
        if values.is_empty:
            raise ValueError(f"{end}, before any window could be used ({why}).") from walk.error
        warn(f"{end}; the result ends there too ({why}).")
    elif values.is_empty:
        raise ValueError(
            f"None of the {n_windows} windows can be used: {summary}. Look at the recording "
            "(raw.plot()), mark channels as bad (raw.info['bads']) or interpolate them."
        )
    if n_bad and on_bad == "warn":
        warn(
            f"{n_bad} of {n_windows} windows have no result (NaN, -1 or None): {summary}. "
            "The reasons are in output.bad; on_bad='ignore' leaves out this warning."
        )


def _check_method(estimator: Any, method: str) -> str:
    """Return the method to call."""
    if method != "auto" and method not in METHODS:
        raise ValueError(f"method must be 'auto' or one of {METHODS}, got {method!r}.")
    offered = [name for name in METHODS if callable(getattr(estimator, name, None))]
    if method == "auto" and offered:
        liked = [name for name in ("predict_proba", "transform") if name in offered]
        return (liked or offered)[0]
    if method not in offered:
        raise TypeError(
            f"{type(estimator).__name__} has no method {method!r}; it has "
            f"{', '.join(offered) or 'none that makes something of epochs'}. Pass a fitted "
            "NeuroLMTokenizer, NeuroLMClassifier or pipeline, and one of its methods."
        )
    return method


def _check_out(out: str | Path | None, overwrite: bool, method: str) -> Path | None:
    """Return the file for the values."""
    if out is None:
        return None
    path = Path(out).expanduser()
    if path.suffix != ".npy":
        raise ValueError(f"out must be a .npy file, got {str(out)!r}.")
    if method == "predict":
        raise ValueError("out is for numbers, and predict returns labels: leave it away.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} for {path.name}; make it first.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists. Name another file, or pass overwrite=True.")
    return path


def _feature_names(estimator: Any, values: Any) -> list[str] | None:
    """Return names of the columns of a transformer's output, if it has any."""
    if not isinstance(values, np.ndarray) or values.ndim != 2:
        return None
    try:
        names = [str(name) for name in estimator.get_feature_names_out()]
    except (AttributeError, ValueError):
        return None
    return names if len(names) == values.shape[1] else None
