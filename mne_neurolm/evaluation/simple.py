"""Simple methods that win somewhere: each is a few lines of other people's good work.

Band power (rhythms) is in :mod:`mne_neurolm.evaluation.baselines`; here are the others: chance,
covariance in a tangent space, averages of evoked responses, and common spatial patterns. Their
settings were chosen once, for all data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from mne_neurolm.evaluation._signals import check_same, read_signals
from mne_neurolm.evaluation.baselines import BANDS
from mne_neurolm.utils.optional import import_optional

#: The band of sensorimotor rhythms in Hz, mu and beta (Blankertz et al. 2008, IEEE Signal
#: Processing Magazine 25(1):41-56, take 7 or 8 to 30 Hz).
SENSORIMOTOR_BAND = (8.0, 30.0)
_ORDER = 4


class Signals(TransformerMixin, BaseEstimator):
    """Epochs as an array in microvolts, band-passed if asked for.

    Of Epochs, the EEG channels that are not bad are read.

    Parameters
    ----------
    sfreq : float | None
        Sampling rate in Hz of array input. Not needed (default ``None``) for Epochs, which know it.
    band : tuple of (float, float) | None
        Edges of the pass band in Hz. ``None`` (default): no filter. It is a Butterworth filter of
        order 4, forwards and backwards: an FIR filter for 1 Hz is longer than an epoch of seconds.

    Attributes
    ----------
    ch_names_ : list of str
        Channels seen in ``fit``.
    sfreq_ : float
        Sampling rate seen in ``fit``.
    """

    def __init__(self, sfreq: float | None = None, band: tuple[float, float] | None = None) -> None:
        self.sfreq = sfreq
        self.band = band

    def fit(self, X: Any, y: Any = None) -> Signals:
        """Remember channels and rate; nothing is learned.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_epochs, n_chans, n_times)
            The epochs.
        y : array-like | None
            Ignored.

        Returns
        -------
        self : Signals
            The fitted transformer.

        Raises
        ------
        ValueError, TypeError
            If ``X`` cannot be read, or the band does not lie below half the sampling rate.
        """
        _, sfreq, ch_names = read_signals(X, self.sfreq)
        if self.band is not None and not 0 < self.band[0] < self.band[1] < sfreq / 2:
            raise ValueError(
                f"band={self.band} must rise from above 0 to below {sfreq / 2:g} Hz, half the "
                "sampling rate."
            )
        self.ch_names_, self.sfreq_ = ch_names, sfreq
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Return the signals.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_epochs, n_chans, n_times)
            Epochs with the channels and rate of ``fit``.

        Returns
        -------
        signals : ndarray of float64, shape (n_epochs, n_chans, n_times)
            In microvolts, if X are in volts.

        Raises
        ------
        ValueError
            If channels or rate differ from ``fit``.
        """
        check_is_fitted(self)
        data, sfreq, ch_names = read_signals(X, self.sfreq)
        check_same((self.ch_names_, self.sfreq_), ch_names, sfreq)
        data = 1e6 * data
        if self.band is None:
            return data
        sections = butter(_ORDER, self.band, "bandpass", fs=sfreq, output="sos")
        # Reflected ends, as long as an epoch of a second allows.
        return sosfiltfilt(sections, data, axis=-1, padlen=min(round(sfreq), data.shape[-1] - 1))


class WindowMeans(TransformerMixin, BaseEstimator):
    """Averages over consecutive short windows, of every channel: the shape of a response.

    Of Epochs, the EEG channels that are not bad are read.

    Parameters
    ----------
    sfreq : float | None
        Sampling rate in Hz of array input. Not needed (default ``None``) for Epochs, which know it.
    duration : float
        Length of a window in seconds. Default 0.05: the components of an evoked response last 50 ms
        or more (Blankertz et al. 2011, NeuroImage 56(2):814-825, average over such intervals). A
        rest at the end of an epoch that fills no window is left out.
    average_reference : bool
        Whether to subtract the mean over channels first, which recorders' references differ from.
        Default True.

    Attributes
    ----------
    ch_names_ : list of str
        Channels seen in ``fit``.
    sfreq_ : float
        Sampling rate seen in ``fit``.
    """

    def __init__(
        self,
        sfreq: float | None = None,
        duration: float = 0.05,
        average_reference: bool = True,
    ) -> None:
        self.sfreq = sfreq
        self.duration = duration
        self.average_reference = average_reference

    def fit(self, X: Any, y: Any = None) -> WindowMeans:
        """Remember channels and rate; nothing is learned.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_epochs, n_chans, n_times)
            The epochs.
        y : array-like | None
            Ignored.

        Returns
        -------
        self : WindowMeans
            The fitted transformer.

        Raises
        ------
        ValueError, TypeError
            If ``X`` cannot be read, or a window is shorter than a sample or longer than an epoch.
        """
        data, sfreq, ch_names = read_signals(X, self.sfreq)
        if not 1 <= round(self.duration * sfreq) <= data.shape[-1]:
            raise ValueError(
                f"duration={self.duration} s must be at least a sample ({1 / sfreq:g} s) and at "
                f"most an epoch ({data.shape[-1] / sfreq:g} s)."
            )
        self.ch_names_, self.sfreq_ = ch_names, sfreq
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Compute the averages.

        Parameters
        ----------
        X : Epochs | list of Epochs | array, shape (n_epochs, n_chans, n_times)
            Epochs with the channels and rate of ``fit``.

        Returns
        -------
        features : ndarray of float64, shape (n_epochs, n_chans * n_windows)
            In microvolts, if X are in volts; all windows of the first channel first.

        Raises
        ------
        ValueError
            If channels or rate differ from ``fit``.
        """
        check_is_fitted(self)
        data, sfreq, ch_names = read_signals(X, self.sfreq)
        check_same((self.ch_names_, self.sfreq_), ch_names, sfreq)
        data = 1e6 * data
        if self.average_reference and data.shape[1] > 1:
            data -= data.mean(axis=1, keepdims=True)
        size = round(self.duration * sfreq)
        n_windows = data.shape[-1] // size
        windows = data[..., : n_windows * size].reshape(*data.shape[:2], n_windows, size)
        return windows.mean(axis=-1).reshape(len(data), -1)


def chance_classifier() -> DummyClassifier:
    """Build the method that knows how frequent the classes are and nothing else.

    Returns
    -------
    classifier : sklearn.dummy.DummyClassifier
        Unfitted. It predicts the training set's class frequencies for every epoch.

    Examples
    --------
    >>> from mne_neurolm.evaluation import chance_classifier
    >>> chance = chance_classifier().fit([[0], [0], [0]], ["a", "a", "b"])
    >>> chance.predict_proba([[0]]).round(2).tolist()
    [[0.67, 0.33]]
    """
    return DummyClassifier(strategy="prior")


def tangent_space_classifier(
    sfreq: float | None = None,
    *,
    band: tuple[float, float] | None = None,
    scale: bool = True,
    C: float = 0.01,
) -> Pipeline:
    """Build covariance in the tangent space and logistic regression.

    Covariances shrunk by the oracle approximation (Chen et al. 2010, IEEE TSP 58(10):5016-5029),
    mapped to the tangent space at their Riemannian mean (Barachant et al. 2012, IEEE TBME
    59(4):920-928) by pyRiemann.

    Parameters
    ----------
    sfreq : float | None
        Sampling rate in Hz, needed for arrays only. Default ``None``.
    band : tuple of (float, float) | None
        Band-pass in Hz before. Default ``None``: none.
    scale : bool
        Whether to standardise the features. Default True.
    C : float
        Inverse regularisation strength of the logistic regression. Default 0.01.

    Returns
    -------
    pipeline : sklearn.pipeline.Pipeline
        Unfitted. Its X is an Epochs, a list of Epochs or an array (n_epochs, n_chans, n_times).

    Raises
    ------
    ImportError
        If pyRiemann, which comes with MOABB, is not installed.

    Examples
    --------
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation import tangent_space_classifier
    >>> epochs = simulate_epochs(n_subjects=2, effect=2.0, random_state=0)
    >>> y = epochs.metadata["state"].to_numpy()
    >>> classifier = tangent_space_classifier(band=(8.0, 30.0)).fit(epochs[::2], y[::2])
    >>> classifier["logisticregression"].coef_.shape  # the triangle of a 19 x 19 matrix
    (1, 190)
    >>> classifier.score(epochs[1::2], y[1::2])  # accuracy
    1.0
    """
    purpose = "The tangent-space baseline"
    estimation = import_optional("pyriemann.estimation", extra="moabb", purpose=purpose)
    tangent = import_optional("pyriemann.tangentspace", extra="moabb", purpose=purpose)
    return Pipeline(
        [
            ("signals", Signals(sfreq, band)),
            ("covariances", estimation.Covariances(estimator="oas")),
            ("tangentspace", tangent.TangentSpace(metric="riemann")),
            ("standardscaler", StandardScaler() if scale else "passthrough"),
            ("logisticregression", LogisticRegression(C=C, max_iter=2000)),
        ]
    )


def band_tangent_space_classifier(
    sfreq: float | None = None,
    *,
    bands: Mapping[str, tuple[float, float]] | None = None,
    scale: bool = False,
    C: float = 0.001,
) -> Pipeline:
    """Build covariance in the tangent space, band by band, and logistic regression.

    As :func:`tangent_space_classifier`, for every band of its own, and all features together: who
    oscillates with whom, and at what rate.

    Parameters
    ----------
    sfreq : float | None
        Sampling rate in Hz, needed for arrays only. Default ``None``.
    bands : dict of (float, float) | None
        Name and edges in Hz of each band. ``None`` (default) takes the seven of
        ``mne_neurolm.evaluation.baselines.BANDS``, 1 to 45 Hz.
    scale : bool
        Whether to standardise the features. Default False: all have the unit of a logarithm.
    C : float
        Inverse regularisation strength of the logistic regression. Default 0.001.

    Returns
    -------
    pipeline : sklearn.pipeline.Pipeline
        Unfitted. Its X is an Epochs, a list of Epochs or an array (n_epochs, n_chans, n_times).

    Raises
    ------
    ImportError
        If pyRiemann, which comes with MOABB, is not installed.

    Examples
    --------
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation import band_tangent_space_classifier
    >>> epochs = simulate_epochs(n_subjects=2, effect=2.0, random_state=0)
    >>> y = epochs.metadata["state"].to_numpy()
    >>> bands = {"alpha": (8.0, 13.0), "beta": (13.0, 30.0)}
    >>> classifier = band_tangent_space_classifier(bands=bands, C=0.1).fit(epochs[::2], y[::2])
    >>> classifier["logisticregression"].coef_.shape  # 2 triangles of a 19 x 19 matrix
    (1, 380)
    >>> classifier.score(epochs[1::2], y[1::2])  # accuracy
    1.0
    """
    chosen = BANDS if bands is None else bands
    spaces = [
        (name, Pipeline(tangent_space_classifier(sfreq, band=band).steps[:3]))
        for name, band in chosen.items()
    ]
    return Pipeline(
        [
            ("bands", FeatureUnion(spaces)),
            ("standardscaler", StandardScaler() if scale else "passthrough"),
            ("logisticregression", LogisticRegression(C=C, max_iter=2000)),
        ]
    )


def evoked_classifier(sfreq: float | None = None, *, C: float = 0.001) -> Pipeline:
    """Build 50 ms averages and logistic regression, for evoked responses.

    Each channel, less the mean over channels, is averaged over consecutive 50 ms (Blankertz et al.
    2011, NeuroImage 56(2):814-825, average over such intervals), and the averages are standardised.

    Parameters
    ----------
    sfreq : float | None
        Sampling rate in Hz, needed for arrays only. Default ``None``.
    C : float
        Inverse regularisation strength of the logistic regression. Default 0.001: there are more
        features than people.

    Returns
    -------
    pipeline : sklearn.pipeline.Pipeline
        Unfitted. Its X is an Epochs, a list of Epochs or an array (n_epochs, n_chans, n_times).

    Examples
    --------
    >>> import numpy as np
    >>> from mne_neurolm.evaluation import evoked_classifier
    >>> X = 1e-5 * np.random.default_rng(0).standard_normal((40, 3, 200))  # volts
    >>> y = np.tile(["standard", "target"], 20)
    >>> X[y == "target", 2, 60:80] += 6e-5  # one channel, from 0.3 to 0.4 s
    >>> classifier = evoked_classifier(sfreq=200.0).fit(X[:20], y[:20])
    >>> classifier["windowmeans"].transform(X).shape  # epochs, 3 channels x 20 averages
    (40, 60)
    >>> classifier.score(X[20:], y[20:])  # accuracy
    1.0
    """
    return Pipeline(
        [
            ("windowmeans", WindowMeans(sfreq)),
            ("standardscaler", StandardScaler()),
            ("logisticregression", LogisticRegression(C=C, max_iter=2000)),
        ]
    )


def csp_classifier(
    sfreq: float | None = None,
    *,
    band: tuple[float, float] = SENSORIMOTOR_BAND,
    n_components: int = 6,
) -> Pipeline:
    """Build common spatial patterns and linear discriminant analysis, for imagined movements.

    Covariances are those of band-passed epochs (Blankertz et al. 2008, IEEE Signal Processing
    Magazine 25(1):41-56), shrunk by the oracle approximation (Chen et al. 2010, IEEE TSP
    58(10):5016-5029).

    Parameters
    ----------
    sfreq : float | None
        Sampling rate in Hz, needed for arrays only. Default ``None``.
    band : tuple of (float, float)
        Band-pass in Hz. Default 8 to 30, see ``SENSORIMOTOR_BAND``.
    n_components : int
        Spatial patterns; their log variances are the features. Default 6 (Blankertz et al. 2008),
        of which MNE takes those that share most information with the class.

    Returns
    -------
    pipeline : sklearn.pipeline.Pipeline
        Unfitted. Its X is an Epochs, a list of Epochs or an array (n_epochs, n_chans, n_times).
        With more than two classes the patterns diagonalise all their covariances approximately
        (see :class:`mne.decoding.CSP`).

    Examples
    --------
    >>> import mne
    >>> import numpy as np
    >>> from mne_neurolm.evaluation import csp_classifier
    >>> X = 1e-5 * np.random.default_rng(0).standard_normal((40, 4, 400))  # volts
    >>> y = np.tile(["left", "right"], 20)
    >>> X[y == "left", 0] *= 2  # louder over one hemisphere
    >>> X[y == "right", 3] *= 2
    >>> with mne.use_log_level("warning"):
    ...     classifier = csp_classifier(sfreq=200.0, n_components=2).fit(X[:20], y[:20])
    >>> classifier.score(X[20:], y[20:])  # accuracy
    1.0
    """
    from mne.decoding import CSP

    return Pipeline(
        [
            ("signals", Signals(sfreq, band)),
            # Shrinkage, because epochs may be rank-deficient (average reference, interpolation).
            ("csp", CSP(n_components, reg="oas", log=True)),
            ("lda", LinearDiscriminantAnalysis()),
        ]
    )
