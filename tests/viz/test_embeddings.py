"""What the figures of vectors in the plane show."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from mne_neurolm.viz import plot_embedding


@pytest.fixture
def groups() -> dict[str, np.ndarray]:
    """Two clouds, ten apart along one of eight dimensions."""
    rng = np.random.default_rng(0)
    clouds = {"EEG": rng.standard_normal((30, 2, 8)), "text": rng.standard_normal((40, 8))}
    clouds["text"][:, 5] += 10
    return clouds


def test_the_plane_of_most_variance(groups) -> None:
    fig = plot_embedding(groups, show=False)
    (ax,) = fig.axes
    eeg, text = (np.asarray(c.get_offsets()) for c in ax.collections)
    assert eeg.shape == (60, 2) and text.shape == (40, 2)
    assert abs(eeg[:, 0].mean() - text[:, 0].mean()) == pytest.approx(10, abs=0.5)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["EEG (60)", "text (40)"]
    points = np.concatenate([groups["EEG"].reshape(-1, 8), groups["text"]])
    variances = np.linalg.eigvalsh(np.cov(points.T))[::-1]
    assert ax.get_xlabel() == f"Component 1 ({variances[0] / variances.sum():.0%} of the variance)"
    assert (
        ax.get_title(loc="left")
        == f"PCA, {variances[:2].sum() / variances.sum():.0%} of the variance"
    )


def test_neighbours_stay_together(groups) -> None:
    groups["text"] = torch.from_numpy(groups["text"]).requires_grad_()
    _, own = plt.subplots()
    fig = plot_embedding(groups, method="tsne", axes=own, title="Mine", show=False)
    assert fig is own.figure and own.get_title(loc="left") == "Mine"
    eeg, text = (np.asarray(c.get_offsets()) for c in own.collections)
    points = np.concatenate([eeg, text])
    distance = np.linalg.norm(points[:, None] - points, axis=2) + 1e9 * np.eye(100)
    same = (distance.argmin(axis=1) < 60) == (np.arange(100) < 60)
    assert same.mean() > 0.97


def test_groups_count_the_same(groups) -> None:
    first, again = (plot_embedding(groups, max_points=25, show=False) for _ in range(2))
    assert [len(c.get_offsets()) for c in first.axes[0].collections] == [25, 25]
    other = plot_embedding(groups, max_points=25, random_state=1, show=False)
    a, b, c = (f.axes[0].collections[0].get_offsets() for f in (first, again, other))
    assert np.array_equal(a, b) and not np.array_equal(a, c)


@pytest.mark.parametrize(
    ("vectors", "arguments", "message"),
    [
        ({}, {}, "1 to 7 groups"),
        ({str(k): np.eye(4) for k in range(8)}, {}, "1 to 7 groups"),
        ({"a": np.eye(4), "b": np.eye(3)}, {}, r"one length; got lengths {'a': 4, 'b': 3}"),
        ({"a": np.zeros(4)}, {}, r"'a' must hold one or more vectors.*got \(4,\)"),
        ({"a": np.full((5, 2), np.nan)}, {}, "'a' holds NaN"),
        ({"a": np.eye(3)}, {}, "four vectors or more; got 3"),
        ({"a": np.eye(4)}, {"method": "umap"}, "must be 'pca' or 'tsne'; got 'umap'"),
        ({"a": np.eye(4)}, {"max_points": 0}, "must be 1 or more; got 0"),
        ({"a": np.ones((6, 4))}, {"method": "tsne"}, "All vectors are the same"),
        ({"a": np.ones((6, 1))}, {}, "two or more dimensions.*got .6, 1."),
    ],
)
def test_what_cannot_be_plotted(vectors: dict, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_embedding(vectors, show=False, **arguments)


def test_groups_need_names(groups) -> None:
    with pytest.raises(TypeError, match="mapping of names to vectors.*got ndarray"):
        plot_embedding(groups["EEG"], show=False)
