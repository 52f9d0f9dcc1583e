"""What the figures of reconstructed waveforms and spectra show."""

from __future__ import annotations

import matplotlib.pyplot as plt
import mne
import numpy as np
import pytest

from mne_neurolm.viz import plot_reconstruction, plot_spectra

NAMES = ["Cz", "Pz", "Oz"]


@pytest.fixture
def signals() -> tuple[np.ndarray, np.ndarray]:
    """Return an epoch in volts, and half of its z-scores with noise, as a decoder might predict."""
    rng = np.random.default_rng(0)
    original = 2e-5 * rng.standard_normal((3, 800)) + 1e-4
    return original, 0.5 * zscored(original) + 0.2 * rng.standard_normal(original.shape)


@pytest.fixture
def spectra() -> tuple[np.ndarray, np.ndarray]:
    """Return spectra of two seconds of three channels, and a prediction of them."""
    rng = np.random.default_rng(0)
    # Every channel and second on a level of its own, so that mixing up the order shows.
    original = rng.standard_normal((6, 100)) + 10 * np.arange(6)[:, None]
    return original, original + 0.5 * rng.standard_normal(original.shape)


def zscored(epoch: np.ndarray) -> np.ndarray:
    return (epoch - epoch.mean()) / epoch.std(ddof=1)


def test_reconstruction(signals: tuple[np.ndarray, np.ndarray]) -> None:
    original, reconstruction = signals
    info = mne.create_info(NAMES, 200.0, "eeg")
    fig = plot_reconstruction(original, reconstruction, info, show=False)
    fig.canvas.draw()
    (ax,) = fig.axes
    assert [t.get_text() for t in ax.get_yticklabels()] == NAMES
    assert ax.get_xlabel() == "Time (s)" and ax.get_xlim() == (0, 4)
    assert ax.get_ylabel() == "Channel (z-scored)"
    drawn = [line for line in ax.lines if len(line.get_xdata()) == 800]
    assert [line.get_label() for line in drawn] == ["original", "reconstruction"] * 3
    # The original is z-scored over the whole epoch, the reconstruction as the decoder gave it.
    offsets = ax.get_yticks()
    for k, expected in enumerate((zscored(original), reconstruction)):
        rows = np.array([line.get_ydata() for line in drawn[k::2]])
        assert np.allclose(rows - offsets[:, None], expected)
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(original, reconstruction, strict=True)]
    assert [t.get_text() for t in ax.texts] == [f"r = {value:.2f}" for value in r]
    # Half of the z-scores with noise of 0.2: 1 - 0.5² - 0.2².
    assert ax.get_title("left") == f"Mean correlation {np.mean(r):.2f}, explained variance 0.71"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["original", "reconstruction"]


@pytest.mark.parametrize(
    ("factor", "title"),
    [
        (0.0, "Mean correlation –, explained variance 0.00"),
        (1.0, "Mean correlation 1.00, explained variance 1.00"),
        (-1.0, "Mean correlation -1.00, explained variance -3.00"),
    ],
)
def test_flat_perfect_and_inverted(
    signals: tuple[np.ndarray, np.ndarray], factor: float, title: str
) -> None:
    original, _ = signals
    fig = plot_reconstruction(original, factor * zscored(original), NAMES, show=False)
    ax = fig.axes[0]
    assert ax.get_title("left") == title
    drawn = [line.get_ydata() for line in ax.lines if line.get_label() == "reconstruction"]
    assert np.allclose(np.std(drawn[0]), abs(factor) * zscored(original)[0].std())


def test_reconstruction_of_some_channels(signals: tuple[np.ndarray, np.ndarray]) -> None:
    fig = plot_reconstruction(*signals, NAMES, sfreq=100.0, picks=["Oz", "Cz"], show=False)
    ax = fig.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["Oz", "Cz"]
    assert ax.get_xlim() == (0, 8)
    assert np.allclose(ax.lines[0].get_ydata(), zscored(signals[0])[2])


def test_reconstruction_wrong_input(signals: tuple[np.ndarray, np.ndarray]) -> None:
    original, reconstruction = signals
    with pytest.raises(ValueError, match="Give one epoch"):
        plot_reconstruction(original[None], reconstruction[None], ["Cz"], show=False)
    with pytest.raises(ValueError, match="2 names"):
        plot_reconstruction(original, reconstruction, ["Cz", "Pz"], show=False)
    for picks, message in ((["X"], r"\['X'\] are not"), ([], "must name one or more")):
        with pytest.raises(ValueError, match=message):
            plot_reconstruction(original, reconstruction, NAMES, picks=picks, show=False)
    with pytest.raises(ValueError, match="original is constant"):
        plot_reconstruction(np.ones_like(original), reconstruction, NAMES, show=False)
    reconstruction[1, 5] = np.nan
    with pytest.raises(ValueError, match="reconstruction holds NaN"):
        plot_reconstruction(original, reconstruction, NAMES, show=False)


def test_spectra(spectra: tuple[np.ndarray, np.ndarray]) -> None:
    original, reconstruction = spectra
    fig = plot_spectra(original, reconstruction, NAMES, show=False)
    assert len(fig.axes) == 3
    r = []
    for k, ax in enumerate(fig.axes):
        drawn = {line.get_label(): line for line in ax.lines}
        # Time-major: channel k of both seconds.
        means = [np.mean([a[k], a[3 + k]], axis=0) for a in spectra]
        for label, mean in zip(("original", "reconstruction"), means, strict=True):
            assert drawn[label].get_xdata().tolist() == list(range(100))
            assert np.allclose(drawn[label].get_ydata(), mean)
        assert drawn["original"].get_color() != drawn["reconstruction"].get_color()
        r.append(np.corrcoef(*means)[0, 1])
        assert ax.get_title("left") == f"{NAMES[k]}, r = {r[k]:.2f}"
    tokens = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(*spectra, strict=True)])
    expected = f"Mean correlation {np.mean(r):.2f} of means over 2 s, {tokens:.2f} of single tokens"
    assert fig.get_suptitle() == expected
    assert fig.get_supxlabel() == "Frequency (Hz)"
    assert fig.get_supylabel() == "Z-scored magnitude"
    legend = [t.get_text() for t in fig.legends[0].get_texts()]
    assert legend == ["original", "reconstruction"]


def test_spectra_of_one_second(spectra: tuple[np.ndarray, np.ndarray]) -> None:
    original, _ = spectra
    flat = np.zeros((3, 50))
    fig = plot_spectra(
        original[:3, :50],
        flat,
        NAMES,
        frequencies=2 * np.arange(50),
        target="log_magnitude",
        show=False,
    )
    assert fig.get_supylabel() == "Standardised log-magnitude"
    assert fig.get_suptitle() == "Mean correlation –"
    assert fig.axes[0].get_xlim() == (0, 98)


@pytest.mark.parametrize(
    ("n", "picks", "shown"),
    [
        (19, None, [0, 4, 7, 11, 14, 18]),
        (7, None, [0, 1, 2, 4, 5, 6]),
        (6, None, [0, 1, 2, 3, 4, 5]),
        (5, None, [0, 1, 2, 3, 4]),
        (19, ["c8", "c2"], [8, 2]),
        (1, None, [0]),
    ],
)
def test_channels_of_spectra(n: int, picks: list[str] | None, shown: list[int]) -> None:
    original = np.random.default_rng(0).standard_normal((2 * n, 100))
    names = [f"c{k}" for k in range(n)]
    fig = plot_spectra(original, original, names, picks=picks, show=False)
    fig.canvas.draw()
    expected = [f"c{k}, r = 1.00" for k in shown]
    assert [ax.get_title("left") for ax in fig.axes] == expected
    # The last panel of every column carries the frequencies.
    last = fig.axes[-min(len(shown), 3) :]
    assert all(any(t.get_visible() for t in ax.get_xticklabels()) for ax in last)


def test_spectra_on_given_axes(spectra: tuple[np.ndarray, np.ndarray]) -> None:
    fig, axes = plt.subplots(2, 2)
    assert plot_spectra(*spectra, NAMES, axes=axes.ravel()[:3], show=False) is fig
    assert len(plt.get_fignums()) == 1 and fig.get_suptitle() == ""
    assert [len(ax.lines) for ax in axes.ravel()] == [3, 3, 3, 0]
    assert axes[0, 0].get_xlabel() == "Frequency (Hz)"
    assert axes[0, 0].get_ylabel() == "Z-scored magnitude"
    assert len(axes[0, 0].get_legend().get_texts()) == 2 and not fig.legends
    plot_spectra(*spectra, NAMES, picks=["Pz"], axes=axes[1, 1], title="Mine", show=False)
    assert axes[1, 1].get_title("left").startswith("Pz") and fig.get_suptitle() == "Mine"
    with pytest.raises(ValueError, match="axes must hold 3; got 1"):
        plot_spectra(*spectra, NAMES, axes=axes[0, 0], show=False)


def test_spectra_wrong_input(spectra: tuple[np.ndarray, np.ndarray]) -> None:
    original, reconstruction = spectra
    with pytest.raises(ValueError, match=r"target must be one of .* got 'power'"):
        plot_spectra(original, reconstruction, NAMES, target="power", show=False)
    for change in (
        dict(original=original[None], reconstruction=reconstruction[None]),
        dict(original=original[:5], reconstruction=reconstruction[:5]),
        dict(original=original[:3]),
        dict(ch_names=[]),
        dict(frequencies=np.arange(99)),
    ):
        given = dict(original=original, reconstruction=reconstruction, ch_names=NAMES) | change
        with pytest.raises(ValueError, match="Give one epoch"):
            plot_spectra(**given, show=False)
    with pytest.raises(ValueError, match=r"\['X'\] are not"):
        plot_spectra(original, reconstruction, NAMES, picks=["X"], show=False)
    with pytest.raises(ValueError, match="original holds NaN"):
        plot_spectra(np.full_like(original, np.nan), reconstruction, NAMES, show=False)
