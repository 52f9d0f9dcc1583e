"""What the figure of attention shows."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from mne_neurolm.explain import AnswerAttention
from mne_neurolm.viz import plot_attention

NAMES = ("Fz", "Cz", "Pz")


@pytest.fixture
def attention() -> AnswerAttention:
    """Of two epochs, two layers, two seconds; the second layer looks at Pz in the last second."""
    weights = np.full((2, 2, 8), 1 / 8, dtype=np.float32)
    weights[:, 1] = [0.05, 0.05, 0, 0, 0, 0.7, 0.15, 0.05]
    weights[1, 1] = [0.15, 0.05, 0, 0, 0, 0.6, 0.15, 0.05]
    return AnswerAttention(weights, NAMES, 2, ("[SEP]", "?"))


def test_shares(attention) -> None:
    fig = plot_attention(attention, show=False)
    top, *rest = fig.axes
    heights = np.array([bar.get_height() for bar in top.patches])
    np.testing.assert_allclose(heights, [75, 80, 25, 20], atol=1e-3)
    channels, seconds, words = rest[3:]
    of_channels = [bar.get_height() for bar in channels.patches]
    np.testing.assert_allclose(of_channels, [12.5, 6.25, 81.25], atol=1e-3)
    np.testing.assert_allclose([b.get_height() for b in seconds.patches], [18.75, 81.25], atol=1e-3)
    np.testing.assert_allclose([b.get_height() for b in words.patches], [75, 25], atol=1e-3)
    assert [t.get_text() for t in channels.get_xticklabels()] == list(NAMES)
    assert [t.get_text() for t in words.get_xticklabels()] == ["[SEP]", "?"]
    assert channels.get_ylabel() == "layer 1"
    assert fig.get_suptitle() == "Attention of the answer, mean over 2 epochs and heads"


def test_scalp_maps_where_electrodes_are_known(attention, topomaps) -> None:
    info = mne.create_info(["Pz", "Fz", "Cz", "EOG"], 200.0, ["eeg"] * 3 + ["eog"])
    assert not any(ax.images for ax in plot_attention(attention, info, show=False).axes)
    places = {name: [0.0, 0.03 - 0.04 * i, 0.09] for i, name in enumerate(NAMES)}
    info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    fig = plot_attention(attention, info, layers=[1], title="Mine", show=False)
    (scalp,) = [ax for ax in fig.axes if ax.images]
    np.testing.assert_allclose(scalp.images[0].get_clim(), (6.25, 81.25), atol=1e-3)
    assert fig.get_suptitle() == "Mine"
    assert topomaps == [{"Fz": 12.5, "Cz": 6.25, "Pz": 81.25}]


def test_many_channels_and_layers() -> None:
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(21), size=(1, 12)).astype(np.float32)
    names = tuple(f"E{k}" for k in range(20))
    fig = plot_attention(AnswerAttention(weights, names, 1, ("?",)), show=False)
    labels = [ax.get_ylabel() for ax in fig.axes if ax.get_ylabel().startswith("layer")]
    assert labels == [f"layer {k}" for k in (0, 2, 4, 7, 9, 11)]
    shown = [t.get_text() for t in fig.axes[1].get_xticklabels()]
    assert shown == [names[k] for k in np.argsort(-weights[0, 0, :20])[:12]]
    titles = [ax.get_title().split("\n")[0] for ax in fig.axes[1:3]]
    assert titles == ["The largest 12 of 20 channels", "Words of the question"], "no single second"


def test_pieces_of_words_are_put_together(attention) -> None:
    pieces = ("[SEP]", "Question", ":", " W", "hich", " E", "E", "G", "?", " 1", "2")
    weights = np.full((1, 1, 6 + len(pieces)), 0.5 / len(pieces), dtype=np.float32)
    weights[:, :, :6] = 0.5 / 6
    fig = plot_attention(AnswerAttention(weights, NAMES, 2, pieces), show=False)
    words = [t.get_text() for t in fig.axes[3].get_xticklabels()]
    assert words == ["[SEP]", "Question", ":", " Which", " EEG", "?", " 12"]
    heights = 11 * np.array([bar.get_height() for bar in fig.axes[3].patches]) / 100
    np.testing.assert_allclose(heights, [1, 1, 1, 2, 3, 1, 2], atol=1e-4)


@pytest.mark.parametrize("layers", [[], [2], [-1]])
def test_no_such_layer(attention, layers: list) -> None:
    with pytest.raises(ValueError, match="layers must be one or more of 0 to 1"):
        plot_attention(attention, layers=layers, show=False)
