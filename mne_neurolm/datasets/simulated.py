"""Two-state EEG made of noise, for demos, examples and tests without any recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import mne
import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from mne_neurolm.datasets._montage import STANDARD_1020, template_montage

#: States and their event ids, in the order of the labels.
STATES: dict[str, int] = {"rest": 0, "active": 1}

# Pass band of the NeuroLM preprocessing (paper, section 3.2); the simulated spectrum ends there.
_PASS_BAND = (0.1, 75.0)


class _Rhythm(NamedTuple):
    """An oscillation with two generators, one per hemisphere."""

    peak: float  # Hz
    width: float  # Hz, standard deviation of the spectral peak
    amplitude: float  # RMS under the generator at rest, in units of the background's RMS
    centres: tuple[str, str]  # electrodes above the generators
    extent: float  # m, standard deviation of the topography
    log_change: float  # natural log of the amplitude ratio active / rest


# Textbook directions: posterior alpha is blocked and fronto-central beta rises with effort. Sizes
# are our choice: separable across subjects, though not perfectly, with log band power.
_RHYTHMS: dict[str, _Rhythm] = {
    "alpha": _Rhythm(10.0, 0.8, 1.0, ("O1", "O2"), 0.055, -0.75),
    "beta": _Rhythm(20.0, 3.0, 0.28, ("FC3", "FC4"), 0.055, 0.60),
}
_BACKGROUND_RMS = 14e-6  # V, an adult scalp EEG against a cephalic reference
_BACKGROUND_LENGTH = 0.06  # m, distance over which volume conduction correlates the background
_SENSOR_NOISE = 0.15  # share of the background's variance that is independent per channel


def simulate_epochs(
    n_subjects: int = 8,
    n_epochs_per_subject: int = 20,
    duration: float = 4.0,
    sfreq: float = 200.0,
    ch_names: Sequence[str] = STANDARD_1020,
    random_state: int | np.random.RandomState | None = None,
    *,
    effect: float = 1.0,
) -> mne.EpochsArray:
    """Simulate EEG of several subjects in two states, ``"rest"`` and ``"active"``.

    The background has a 1/f power spectrum and is correlated between neighbouring channels. Two
    rhythms lie on top: posterior alpha, weaker when active, and frontal/central beta, stronger when
    active. Subjects differ in gain, spectral slope, alpha peak frequency, topography and in how
    strongly the states differ; epochs differ in the strength of the rhythms. A model that tells
    the states of unseen subjects apart has to use relative power and topography, not amplitude.

    Parameters
    ----------
    n_subjects : int
        Number of subjects. Default 8.
    n_epochs_per_subject : int
        Epochs of each subject; half of them are ``"active"`` (rounded down), in random order.
        Default 20.
    duration : float
        Length of an epoch in seconds. Default 4.0.
    sfreq : float
        Sampling rate in Hz. Default 200.0, the rate of NeuroLM.
    ch_names : sequence of str
        Electrodes of MNE's 10-05 montage. Default: the 19 electrodes of the 10-20 system with
        their old names T3, T4, T5 and T6.
    random_state : int | RandomState | None
        Seed. The same seed and arguments give the same epochs. ``None`` (default) draws new ones
        every time.
    effect : float
        Size of the difference between the states as a multiple of the default. With 0 the states
        cannot be told apart, which makes a negative control. Default 1.0.

    Returns
    -------
    epochs : instance of EpochsArray
        ``n_subjects * n_epochs_per_subject`` epochs in volts, 10 to 40 µV RMS per channel, with a
        montage, ``event_id={"rest": 0, "active": 1}`` and the metadata columns ``subject`` (int)
        and ``state`` (str).

    Raises
    ------
    ValueError
        If a number is out of range or a channel is not in the montage.

    Examples
    --------
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> epochs = simulate_epochs(n_subjects=2, n_epochs_per_subject=4, random_state=0)
    >>> epochs.get_data().shape
    (8, 19, 800)
    """
    import pandas as pd

    for name, value, at_least in (
        ("n_subjects", n_subjects, 1),
        ("n_epochs_per_subject", n_epochs_per_subject, 2),
    ):
        if value < at_least:
            raise ValueError(f"{name}={value} is too small; give {at_least} or more.")
    if effect < 0 or not np.isfinite(effect):
        raise ValueError(f"effect={effect} must be a number of 0 (no difference) or more.")
    n_times = int(round(duration * sfreq))
    if n_times < sfreq:
        raise ValueError(
            f"duration={duration} s is shorter than the one second of a NeuroLM patch; give at "
            "least 1.0."
        )
    rng = check_random_state(random_state)
    info, positions = _make_info(list(ch_names), sfreq)
    background = _background_mixing(positions)

    data = np.empty((n_subjects, n_epochs_per_subject, len(ch_names), n_times))
    states = np.empty((n_subjects, n_epochs_per_subject), dtype=np.int64)
    balanced = (np.arange(n_epochs_per_subject) % 2).astype(np.int64)
    for subject in range(n_subjects):
        states[subject] = rng.permutation(balanced)
        data[subject] = _simulate_subject(
            rng, states[subject], n_times, sfreq, positions, background, effect
        )

    n_epochs = states.size
    names = np.array(list(STATES))
    metadata = pd.DataFrame(
        {
            "subject": np.repeat(np.arange(n_subjects), n_epochs_per_subject),
            "state": names[states.ravel()],
        }
    )
    events = np.column_stack(
        [np.arange(n_epochs) * n_times, np.zeros(n_epochs, dtype=np.int64), states.ravel()]
    )
    return mne.EpochsArray(
        data.reshape(n_epochs, len(ch_names), n_times),
        info,
        events=events,
        event_id=STATES,
        metadata=metadata,
        proj=False,
        verbose="error",
    )


def _make_info(ch_names: list[str], sfreq: float) -> tuple[mne.Info, NDArray[np.float64]]:
    """Return the measurement info and the electrode positions (n_chans, 3) in metres."""
    montage = template_montage()
    located = montage.get_positions()["ch_pos"]
    unknown = [name for name in ch_names if name not in located]
    if unknown:
        raise ValueError(
            f"{unknown} are not electrodes of MNE's 10-05 montage, which spells its names like "
            "'Fp1', 'FCz' or 'T3'; choose among them."
        )
    if not ch_names or len(set(ch_names)) < len(ch_names):
        raise ValueError(f"ch_names must be one or more different names; got {ch_names}.")
    info = mne.create_info(ch_names, sfreq, "eeg")
    info.set_montage(montage)
    with info._unlock():
        info["highpass"] = _PASS_BAND[0]
        info["lowpass"] = min(_PASS_BAND[1], sfreq / 2)
    return info, np.array([located[name] for name in ch_names])


def _background_mixing(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a mixing matrix (n_chans, n_chans) with unit row norm for the background.

    Independent unit-variance sources times its transpose are correlated like exp(-d²/2l²) over
    the distance d between electrodes, but for the share of sensor noise.
    """
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    covariance = np.exp(-0.5 * (distance / _BACKGROUND_LENGTH) ** 2)
    covariance = (1 - _SENSOR_NOISE) * covariance + _SENSOR_NOISE * np.eye(len(positions))
    return np.linalg.cholesky(covariance)


def _simulate_subject(
    rng: np.random.RandomState,
    states: NDArray[np.int64],
    n_times: int,
    sfreq: float,
    positions: NDArray[np.float64],
    background: NDArray[np.float64],
    effect: float,
) -> NDArray[np.float64]:
    """Return one subject's epochs (n_epochs, n_chans, n_times) in volts."""
    n_epochs, n_chans = len(states), len(positions)
    exponent = np.clip(rng.normal(1.0, 0.1), 0.7, 1.3)
    gain = np.clip(np.exp(rng.normal(0.0, 0.2)), 0.8, 1.4)
    responsiveness = effect * np.clip(rng.normal(1.0, 0.25), 0.4, 1.6)

    def pink(freqs: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.maximum(freqs, _PASS_BAND[0]) ** (-exponent / 2)

    data = np.einsum(
        "cs,est->ect", background, _noise(rng, (n_epochs, n_chans), n_times, sfreq, pink)
    )
    locations = template_montage().get_positions()["ch_pos"]
    for rhythm in _RHYTHMS.values():
        peak = rhythm.peak + rng.normal(0.0, 0.08 * rhythm.peak)
        strength = rhythm.amplitude * np.exp(rng.normal(0.0, 0.25))
        # Within a subject a rhythm waxes and wanes from one epoch to the next.
        log_scale = rhythm.log_change * responsiveness * states + rng.normal(0.0, 0.2, n_epochs)

        def bump(freqs: NDArray[np.float64], peak: float = peak, width: float = rhythm.width):
            return np.exp(-0.25 * ((freqs - peak) / width) ** 2)

        # The hemispheres' generators are coherent only in part: two sources, each seen by both.
        sources = _noise(rng, (n_epochs, len(rhythm.centres)), n_times, sfreq, bump)
        for k, centre in enumerate(rhythm.centres):
            place = locations[centre] + rng.normal(0.0, 0.01, 3)
            distance = np.linalg.norm(positions - place, axis=1)
            topography = strength * np.exp(-0.5 * (distance / rhythm.extent) ** 2)
            data += np.einsum("e,c,et->ect", np.exp(log_scale), topography, sources[:, k])
    return gain * _BACKGROUND_RMS * data


def _noise(rng, shape: tuple[int, ...], n_times: int, sfreq: float, amplitude) -> NDArray:
    """Return Gaussian noise ``(*shape, n_times)`` of unit expected variance.

    ``amplitude(freqs)`` is the amplitude spectrum inside the pass band. Twice the length is made
    and half kept, because noise shaped in the frequency domain is periodic.
    """
    freqs = np.fft.rfftfreq(2 * n_times, 1 / sfreq)
    inside = (freqs >= _PASS_BAND[0]) & (freqs <= _PASS_BAND[1]) & (freqs < sfreq / 2)
    weights = np.where(inside, amplitude(freqs), 0.0)
    weights /= np.linalg.norm(weights)
    spectrum = weights * (
        rng.standard_normal((*shape, len(freqs))) + 1j * rng.standard_normal((*shape, len(freqs)))
    )
    # irfft divides by the length and each bin counts twice (with its conjugate): unit variance.
    return np.fft.irfft(spectrum, 2 * n_times, axis=-1)[..., :n_times] * n_times
