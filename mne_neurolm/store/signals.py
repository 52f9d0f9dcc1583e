"""Prepare a recording a segment at a time, so that its length does not matter for memory."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

import mne
import numpy as np
from numpy.typing import NDArray

from ..preprocessing import common_length, filter_and_resample
from .format import scale_of, to_counts
from .recipe import RECIPE
from .screening import RawScreen

_NOTCH_MARGIN = 7.0  # s; MNE's notch filters are 6.6 s long at any rate
_RESAMPLING_MARGIN = 10.0  # s; by there the influence of the edge has decayed to 1e-4 of the signal
_STEP = re.compile(r"edge|bad_acq_skip", re.IGNORECASE)  # what MNE's filters skip by default
_BLOCK = 1 << 18  # samples per channel that are quantised at a time


def prepare_segments(
    raw: mne.io.BaseRaw,
    picks: NDArray[np.int64],
    line_freq: float | None,
    segment_minutes: float,
    screen: RawScreen,
) -> Iterator[NDArray[np.float64]]:
    """Yield what :func:`mne_neurolm.prepare_raw` makes of a recording, one segment after another.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Recording; it need not be loaded.
    picks : ndarray of int64, shape (n_channels,)
        Channels to prepare.
    line_freq : float | None
        Power line frequency in Hz.
    segment_minutes : float
        Approximate length of a segment. A recording shorter than one and a half is one.
    screen : RawScreen
        Is shown the signal as it was read.

    Yields
    ------
    volts : ndarray of float64, shape (n_channels, n_times)
        Consecutive pieces at 200 Hz. Channels with samples that are not finite hold nonsense.
    """
    rate = float(raw.info["sfreq"])
    ratio = RECIPE["sfreq"] / rate
    info = mne.pick_info(raw.info, picks, verbose="error")
    for segment in _cut(raw.n_times, rate, ratio, segment_minutes):
        data = raw.get_data(picks=picks, start=segment.read_from, stop=segment.read_to)
        screen.update(data[:, segment.start - segment.read_from : segment.stop - segment.read_from])
        # screened or, in the margins, screened with another segment; a filter would complain
        np.nan_to_num(data, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        part = filter_and_resample(
            _with_steps(
                mne.io.RawArray(data, info.copy(), copy=None, verbose="error"), raw, segment
            ),
            l_freq=RECIPE["l_freq"],
            h_freq=RECIPE["h_freq"],
            line_freq=line_freq,
            sfreq=RECIPE["sfreq"],
        )
        begin = round(segment.read_from * ratio)
        n_out = max(round(raw.n_times * ratio), 1)
        stop = n_out if segment.stop == raw.n_times else round(segment.stop * ratio)
        yield part.get_data(start=round(segment.start * ratio) - begin, stop=stop - begin)


def _with_steps(part: mne.io.RawArray, raw: mne.io.BaseRaw, segment: _Segment) -> mne.io.RawArray:
    """Mark in a segment where the recording was put together or paused: filters stop there."""
    notes, rate = raw.annotations, float(raw.info["sfreq"])
    begins = notes.onset - raw.first_time - segment.read_from / rate
    ends = begins + notes.duration
    chosen = [
        i
        for i, description in enumerate(notes.description)
        if _STEP.match(description) and ends[i] >= 0 and begins[i] < part.times[-1]
    ]
    steps = mne.Annotations(
        np.maximum(begins[chosen], 0.0),
        np.minimum(ends[chosen], part.times[-1]) - np.maximum(begins[chosen], 0.0),
        [str(notes.description[i]) for i in chosen],
    )
    with part.info._unlock():
        part.info["meas_date"] = None  # onsets are relative to the segment
    return part.set_annotations(steps, verbose="error")


@dataclass(frozen=True, slots=True)
class _Segment:
    """Samples to keep, ``start`` to ``stop``, and to read for that."""

    start: int
    stop: int
    read_from: int
    read_to: int


def _cut(n_times: int, rate: float, ratio: float, segment_minutes: float) -> Iterator[_Segment]:
    """Cut a recording into segments with margins in which filters settle.

    Segments start at samples that are samples at 200 Hz too, so that nothing moves.
    """
    n_segments = max(round(n_times / (60.0 * segment_minutes * rate)), 1)
    if n_segments == 1:
        yield _Segment(0, n_times, 0, n_times)
        return
    high = RECIPE["h_freq"] if RECIPE["h_freq"] < rate / 2 else None
    band = mne.filter.create_filter(None, rate, RECIPE["l_freq"], high, verbose="error")
    margin = len(band) // 2 + round((_NOTCH_MARGIN + _RESAMPLING_MARGIN) * rate)
    starts = [common_length(k * n_times // n_segments, ratio) for k in range(n_segments)]
    for start, stop in zip(starts, [*starts[1:], n_times], strict=True):
        yield _Segment(
            start,
            stop,
            read_from=common_length(max(start - margin, 0), ratio, below=True),
            read_to=min(stop + margin, n_times),
        )


class PreparedSignal:
    """A prepared signal: in memory if it comes in one piece, else in a temporary file.

    Its largest magnitude, and with it the scale of int16, is known only when it has ended.

    Parameters
    ----------
    folder : Path
        Where to put the temporary file.

    Attributes
    ----------
    n_times : int
        Samples per channel so far.
    peak : ndarray of float64, shape (n_channels,)
        Largest magnitude so far, in volts.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._whole: NDArray[np.float64] | None = None
        self._file: IO[bytes] | None = None
        self._n_channels = 0
        self._sds: list[NDArray[np.float64]] = []
        self.peak: NDArray[np.float64] = np.zeros(0)
        self.n_times = 0

    def __enter__(self) -> PreparedSignal:
        """Return the signal."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the temporary file."""
        if self._file is not None:
            self._file.close()

    @property
    def sd(self) -> NDArray[np.float64]:
        """Median over seconds of the standard deviation, in volts, shape (n_channels,).

        Unlike that of the whole recording it does not grow with a few large artefacts.
        """
        return np.median(np.concatenate(self._sds, axis=1), axis=1)

    def append(self, volts: NDArray[np.float64]) -> None:
        """Add the next piece, of shape (n_channels, n_times), in volts."""
        second = round(RECIPE["sfreq"])
        n_seconds = volts.shape[1] // second
        if n_seconds:
            seconds = volts[:, : n_seconds * second].reshape(len(volts), n_seconds, second)
            self._sds.append(seconds.std(axis=2))
        elif not self._sds:
            self._sds.append(volts.std(axis=1, keepdims=True))
        peak = np.maximum(volts.max(axis=1), -volts.min(axis=1))
        if self.n_times == 0:
            self._n_channels, self._whole = len(volts), volts
            self.peak = peak
        else:
            self.peak = np.maximum(self.peak, peak)
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)
                assert self._whole is not None
                self._file.write(self._whole.T.tobytes())
                self._whole = None
            self._file.write(volts.T.tobytes())
        self.n_times += volts.shape[1]

    def write_counts(self, kept: list[int], path: Path) -> tuple[float, str]:
        """Write channels as int16, time-major.

        Parameters
        ----------
        kept : list of int
            The channels.
        path : Path
            The file.

        Returns
        -------
        scale : float
            Volts per count: the largest magnitude of the channels over 32767.
        sha256 : str
            SHA-256 of the file, hexadecimal.
        """
        scale = scale_of(float(self.peak[kept].max()))
        digest = hashlib.sha256()
        with open(path, "wb") as file:
            for block in self._blocks():
                counts = to_counts(block[:, kept], scale).tobytes()
                digest.update(counts)
                file.write(counts)
        return scale, digest.hexdigest()

    def _blocks(self) -> Iterator[NDArray[np.float64]]:
        """Yield the signal in pieces (n_times, n_channels)."""
        if self._whole is not None:
            yield self._whole.T
        elif self._file is not None:
            self._file.seek(0)
            while block := self._file.read(_BLOCK * self._n_channels * 8):
                yield np.frombuffer(block, dtype=np.float64).reshape(-1, self._n_channels)
