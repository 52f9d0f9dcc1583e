"""What an estimator says about the windows of a continuous recording."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class RecordingOutput:
    """What an estimator says about the windows of a recording.

    Attributes
    ----------
    values : ndarray | EEGTokens
        What the estimator's method returns, one row per window. Windows without a result hold NaN,
        codes -1, labels None.
    onset : ndarray of float64, shape (n_windows,)
        Where the windows begin, in seconds from the recording's first sample.
    duration : float
        Length of a window in seconds.
    method : str
        The estimator's method.
    bad : ndarray of str, shape (n_windows,)
        Why a window has no result, such as ``"flat (T3)"``, ``"NaN (Cz)"``, ``"clipped (O1)"``,
        ``"amplitude"`` or the description of an annotation; empty for those that have one.
    classes : ndarray | None
        The classifier's classes.
    columns : list of str | None
        Names of the columns of ``values``, if they have any.
    meas_date : datetime.datetime | None
        When the recording began.
    first_time : float
        Seconds between that and its first sample.

    See Also
    --------
    mne_neurolm.apply_to_raw : Makes them.

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurolm.streaming import RecordingOutput
    >>> output = RecordingOutput(
    ...     values=np.array([[0.9, 0.1], [0.7, 0.3], [np.nan, np.nan]]),
    ...     onset=np.array([0.0, 10.0, 20.0]),
    ...     duration=10.0,
    ...     method="predict_proba",
    ...     bad=np.array(["", "", "flat (T3)"]),
    ...     classes=np.array(["rest", "active"]),
    ...     columns=["rest", "active"],
    ... )
    >>> output.to_data_frame()[["onset", "rest", "active", "bad"]].tail(1)
       onset  rest  active        bad
    2   20.0   NaN     NaN  flat (T3)
    >>> [(str(a["description"]), float(a["duration"])) for a in output.to_annotations()]
    [('rest', 20.0), ('BAD_flat', 10.0)]
    """

    values: Any
    onset: NDArray[np.float64]
    duration: float
    method: str
    bad: NDArray[np.str_]
    classes: NDArray[Any] | None = None
    columns: list[str] | None = None
    meas_date: datetime | None = None
    first_time: float = 0.0

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.onset)

    def __repr__(self) -> str:
        span = self.onset[-1] + self.duration if len(self) else 0.0
        return (
            f"<RecordingOutput | {self.method} of {len(self)} windows of {self.duration:g} s in "
            f"{span / 3600:.2f} h, {np.count_nonzero(self.bad != '')} without a result>"
        )

    def to_data_frame(self) -> Any:
        """Return a table with one row per window.

        Returns
        -------
        table : pandas.DataFrame
            ``onset`` and ``duration`` in seconds; the values, in columns named after the classes or
            features; ``bad``. A class of one of these names has the method before its name.

        Raises
        ------
        ValueError
            For tokens and embeddings, which are no table.
        """
        import pandas as pd

        values = np.asarray(self.values)
        if values.ndim > 2 or hasattr(self.values, "hidden"):
            raise ValueError(
                "Hidden states are no table. Use the array in .values, or apply a tokenizer with "
                "output='codes', or with set_output(transform='pandas')."
            )
        if values.ndim == 1:
            values = values[:, np.newaxis]
        names = self.columns
        if names is None or len(names) != values.shape[1]:
            one = values.shape[1] == 1
            names = [self.method] if one else [f"{self.method}_{i}" for i in range(values.shape[1])]
        own = ("onset", "duration", "bad")
        names = [f"{self.method}_{name}" if name in own else name for name in names]
        return pd.DataFrame(
            {
                "onset": self.onset,
                "duration": np.full(len(self), self.duration),
                **{name: values[:, i] for i, name in enumerate(names)},
                "bad": self.bad,
            }
        )

    def to_annotations(self) -> mne.Annotations:
        """Return predictions as annotations, to look at in ``raw.plot()``.

        Returns
        -------
        annotations : mne.Annotations
            One for each run of windows with the same most likely class, described by it. Runs of
            windows without a result are ``BAD_flat``, ``BAD_NaN``, ``BAD_clipped`` or
            ``BAD_amplitude``, which MNE-Python leaves out of epochs; those that were annotated as
            bad before are not annotated again. Add them to those of the recording with
            ``raw.set_annotations(raw.annotations + annotations)``.

        Raises
        ------
        ValueError
            If the values are no predictions.
        """
        if self.classes is None or self.method == "transform":
            raise ValueError(
                f"Annotations are made of predictions, and these are values of {self.method}. "
                "Apply a classifier."
            )
        good = self.bad == ""
        labels = np.full(len(self), None, dtype=object)
        if self.method == "predict":
            labels[good] = self.values[good]
        elif self.values.ndim == 1:  # two classes: the second's log-probability less the first's
            labels[good] = self.classes[(self.values[good] > 0).astype(int)]
        else:
            labels[good] = self.classes[self.values[good].argmax(axis=1)]
        kinds = [reason.partition(" (")[0] for reason in self.bad.tolist()]
        described = [
            str(label) if kind == "" else "" if kind.lower().startswith("bad") else f"BAD_{kind}"
            for label, kind in zip(labels, kinds, strict=True)
        ]
        runs: list[list[Any]] = []  # onset, end, description
        for onset, description in zip(self.onset.tolist(), described, strict=True):
            if runs and runs[-1][2] == description:
                runs[-1][1] = onset + self.duration
            else:
                runs.append([onset, onset + self.duration, description])
        runs = [run for run in runs if run[2]]
        # onsets count from meas_date, where there is one
        shift = 0.0 if self.meas_date is None else self.first_time
        return mne.Annotations(
            [run[0] + shift for run in runs],
            [run[1] - run[0] for run in runs],
            [run[2] for run in runs],
            orig_time=self.meas_date,
        )
