"""One pass over a continuous recording: read, prepare, cut into windows, and ask an estimator."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from .checks import Fault, fault_annotated, fault_as_prepared, fault_as_read
from .segments import Segment, cut_segments, prepare_segment
from .values import WindowValues

_AT_A_TIME = 64  # windows that the estimator is given


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of a recording, as :func:`mne.make_fixed_length_epochs` cuts them.

    Attributes
    ----------
    starts : ndarray of int64, shape (n_windows,)
        First samples.
    n_times : int
        Samples of a window.
    sfreq : float
        Rate in Hz at which these are counted.
    """

    starts: NDArray[np.int64]
    n_times: int
    sfreq: float

    @classmethod
    def of(cls, raw: mne.io.BaseRaw, duration: float, overlap: float, sfreq: float) -> Windows:
        """Return the windows of a recording that is brought to a rate."""
        if not 0 <= overlap < duration:
            raise ValueError(
                f"overlap must be at least 0 and less than the duration of {duration} s, got "
                f"{overlap}."
            )
        n_total = max(round(raw.n_times * sfreq / raw.info["sfreq"]), 1)
        last = n_total - round(sfreq * duration)
        if last < 0:
            raise ValueError(
                f"The recording is {raw.n_times / raw.info['sfreq']:g} s long, shorter than a "
                f"window of {duration:g} s. Take a longer recording, or a shorter duration if the "
                "estimator was fitted with one."
            )
        # with the rounding of mne.make_fixed_length_events and of mne.Epochs
        starts = np.arange(0, last + 1, sfreq * (duration - overlap)).astype(np.int64)
        n_times = round((duration - 1.0 / sfreq) * sfreq) + 1
        return cls(starts[starts + n_times <= n_total], n_times, sfreq)

    @property
    def onsets(self) -> NDArray[np.float64]:
        """Seconds from the first sample."""
        return self.starts / self.sfreq


class WindowPass:
    """Ask an estimator about the windows of a recording, in order.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    method : str
        Its method.
    raw : mne.io.BaseRaw
        The recording.
    picks : ndarray of int64, shape (n_channels,)
        The channels to use.
    windows : Windows
        The windows, at 200 Hz or, without preparation, at the recording's rate.
    prepare : bool
        Whether to filter and resample.
    line_freq : float | "unknown" | None
        Power line frequency in Hz.
    reject_by_annotation : bool
        Whether to leave out what is annotated as bad.
    stop_at_bad : bool
        Whether to raise at the first window that has a fault and no annotation.
    values : WindowValues
        Where the results go.

    Attributes
    ----------
    faults : list of (Fault | None)
        What was wrong with each window so far.
    n_times : int
        Samples of the recording that can be read, as far as is known.
    error : Exception | None
        Why it can't be read any further.
    """

    def __init__(
        self,
        estimator: Any,
        method: str,
        raw: mne.io.BaseRaw,
        picks: NDArray[np.int64],
        windows: Windows,
        *,
        prepare: bool,
        line_freq: float | str | None,
        reject_by_annotation: bool,
        stop_at_bad: bool,
        values: WindowValues,
    ) -> None:
        self._ask = getattr(estimator, method)
        self._raw, self._picks, self._windows = raw, picks, windows
        self._prepare, self._line_freq = prepare, line_freq
        self._reject_by_annotation, self._stop_at_bad = reject_by_annotation, stop_at_bad
        self._values = values
        self._rate = float(raw.info["sfreq"])
        self._ch_names = [raw.ch_names[pick] for pick in picks]
        self._told: set[str] = set()
        # what the windows to come still need: as prepared and as read, from the next window on
        self._signal = np.empty((len(picks), 0))
        self._source = np.empty((len(picks), 0))
        self._signal_start = self._source_start = 0
        self.faults: list[Fault | None] = []
        self.n_times = raw.n_times
        self.error: Exception | None = None

    @property
    def seconds(self) -> float:
        """Length of the recording by its header."""
        return self._raw.n_times / self._rate

    @property
    def readable(self) -> float:
        """Seconds of it that can be read."""
        return self.n_times / self._rate

    def run(self, segment_duration: float) -> Iterator[float]:
        """Go through the recording.

        Parameters
        ----------
        segment_duration : float
            About how many seconds to read and prepare at a time.

        Yields
        ------
        seconds : float
            Where the pass has come to.
        """
        for planned in self._segments(segment_duration):
            data, segment = self._read(planned)
            if segment is planned or self._completes_a_window(segment):
                with self._telling_once():
                    info = self._take(data, segment)
                del data
                for first in range(len(self.faults), self._n_ready(), _AT_A_TIME):
                    stop = min(first + _AT_A_TIME, self._n_ready())
                    with self._telling_once():
                        self._answer(first, stop, info)
                    yield self._windows.onsets[stop - 1]
                self._forget()
                yield segment.stop / self._rate
            if self.error is not None:
                break

    def _segments(self, seconds: float) -> list[Segment]:
        n_times = self._raw.n_times
        if self._prepare:
            return cut_segments(n_times, self._rate, seconds)
        n_segments = max(round(n_times / (seconds * self._rate)), 1)
        edges = [k * n_times // n_segments for k in range(n_segments + 1)]
        return [Segment(a, b, a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]

    def _read(self, segment: Segment) -> tuple[NDArray[np.float64], Segment]:
        """Return the samples of a segment, or of what can be read of it."""
        try:
            return self._get_data(segment.read_from, segment.read_to), segment
        except MemoryError:
            raise
        except Exception as error:  # readers of foreign files raise anything
            self.error = error
        good, bad = segment.read_from, segment.read_to  # the end lies between
        while bad - good > 1:
            middle = (good + bad) // 2
            try:
                self._get_data(middle - 1, middle)
                good = middle
            except Exception:
                bad = middle
        self.n_times = good
        segment = Segment(segment.start, good, segment.read_from, good)
        return self._get_data(segment.read_from, good), segment

    def _completes_a_window(self, segment: Segment) -> bool:
        """Whether what could be read of a segment is of use."""
        done, windows = len(self.faults), self._windows
        end = segment.stop / self._rate * windows.sfreq
        return done < len(windows.starts) and windows.starts[done] + windows.n_times <= round(end)

    def _get_data(self, start: int, stop: int) -> NDArray[np.float64]:
        return self._raw.get_data(picks=self._picks, start=start, stop=stop)

    def _take(self, data: NDArray[np.float64], segment: Segment) -> mne.Info:
        """Add a segment to what windows are cut from; return what it is."""
        kept = data[:, segment.start - segment.read_from : segment.stop - segment.read_from]
        self._source = np.concatenate([self._source, kept], axis=1)
        if self._prepare:
            _bridge_gaps(data)
            kept, info = prepare_segment(
                data, self._raw, self._picks, segment, self.n_times, self._line_freq
            )
        else:
            info = mne.pick_info(self._raw.info, self._picks, verbose="error")
        self._signal = np.concatenate([self._signal, kept], axis=1)
        return info

    def _n_ready(self) -> int:
        """Return how many windows have begun and ended."""
        end = self._signal_start + self._signal.shape[1]
        ends = self._windows.starts + self._windows.n_times
        return int(np.searchsorted(ends, end, side="right"))

    def _answer(self, first: int, stop: int, info: mne.Info) -> None:
        """Ask about some windows."""
        faults = [self._fault(i) for i in range(first, stop)]
        if self._stop_at_bad:
            for i, fault in enumerate(faults, first):
                if fault is not None and not fault.kind.lower().startswith("bad"):
                    raise ValueError(
                        f"The window at {self._windows.onsets[i]:g} s can't be used: {fault}. Mark "
                        "the channels as bad (raw.info['bads']), annotate this part as BAD_, or go "
                        "on without it (on_bad='warn')."
                    )
        good = [i for i, fault in enumerate(faults) if fault is None]
        values = self._ask(self._epochs(first, good, info)) if good else None
        self._values.append(good, values, stop - first)
        self.faults += faults

    def _fault(self, i: int) -> Fault | None:
        windows, raw = self._windows, self._raw
        start, stop = int(windows.starts[i]), int(windows.starts[i]) + windows.n_times
        begin, end = start / windows.sfreq, stop / windows.sfreq
        fault = None
        if self._reject_by_annotation and len(raw.annotations):
            fault = fault_annotated(raw.annotations, raw.first_time, begin, end)
        if fault is None:
            first = round(begin * self._rate) - self._source_start
            last = round(end * self._rate) - self._source_start
            fault = fault_as_read(self._source[:, first:last], self._rate, self._ch_names)
        if fault is None:
            first, last = start - self._signal_start, stop - self._signal_start
            fault = fault_as_prepared(self._signal[:, first:last], self._ch_names)
        return fault

    def _epochs(self, first: int, good: list[int], info: mne.Info) -> mne.Epochs:
        """Return windows as MNE-Python cuts them."""
        windows = self._windows
        starts = windows.starts[first:][good]
        begin, end = int(starts[0]), int(starts[-1]) + windows.n_times
        data = self._signal[:, begin - self._signal_start : end - self._signal_start]
        part = mne.io.RawArray(data, info.copy(), verbose="error")
        events = np.column_stack([starts - begin, np.zeros_like(starts), np.ones_like(starts)])
        return mne.Epochs(
            part,
            events,
            tmin=0.0,
            tmax=(windows.n_times - 1) / windows.sfreq,
            baseline=None,
            preload=True,
            reject_by_annotation=False,
            verbose="error",
        )

    def _forget(self) -> None:
        """Drop the samples before the next window."""
        done, windows = len(self.faults), self._windows
        if done == len(windows.starts):
            return  # the end
        begin = int(windows.starts[done])
        source_begin = round(begin / windows.sfreq * self._rate)
        # the next window may begin beyond what was read; a copy, as a view would hold all of it
        drop = min(begin - self._signal_start, self._signal.shape[1])
        self._signal = self._signal[:, drop:].copy()
        self._signal_start += drop
        drop = min(source_begin - self._source_start, self._source.shape[1])
        self._source = self._source[:, drop:].copy()
        self._source_start += drop

    @contextmanager
    def _telling_once(self) -> Iterator[None]:
        """Let each kind of warning through once, whatever the numbers and channels in it."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                yield
            finally:
                new = []
                for warning in caught:
                    kind = re.sub(r"\d[\d.,e+-]*", "", str(warning.message).partition(":")[0])
                    if kind not in self._told:
                        self._told.add(kind)
                        new.append(warning)
        for warning in new:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )


def _bridge_gaps(data: NDArray[np.float64]) -> None:
    """Draw straight lines through NaN and infinite samples, in place; filters would spread them."""
    finite = np.isfinite(data)
    times = np.arange(data.shape[1])
    for channel in np.flatnonzero(~finite.all(axis=1)).tolist():
        good = finite[channel]
        if good.any():
            data[channel, ~good] = np.interp(times[~good], times[good], data[channel, good])
        else:
            data[channel] = 0.0
