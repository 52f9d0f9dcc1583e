"""Prepare a recording a segment at a time, so that its length does not matter for memory."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

import mne
import numpy as np
from numpy.typing import NDArray

from ..streaming.segments import cut_segments, prepare_segment
from .format import scale_of, to_counts
from .recipe import RECIPE
from .screening import RawScreen

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
    for segment in cut_segments(raw.n_times, float(raw.info["sfreq"]), 60.0 * segment_minutes):
        data = raw.get_data(picks=picks, start=segment.read_from, stop=segment.read_to)
        screen.update(data[:, segment.start - segment.read_from : segment.stop - segment.read_from])
        # screened or, in the margins, screened with another segment; a filter would complain
        np.nan_to_num(data, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        yield prepare_segment(data, raw, picks, segment, raw.n_times, line_freq)[0]


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
