"""What the figure of attributions shows."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from mne_neurolm.explain import AnswerAttribution
from mne_neurolm.viz import plot_attribution

NAMES = ("Fz", "Cz", "Pz")


@pytest.fixture
def attribution() -> AnswerAttribution:
    """Of three epochs of two seconds: two of "b", one of "a"."""
    values = np.zeros((3, 2, 3))
    values[0] = [[1, 0, 0], [0, 0, -2]]
    values[1] = [[3, 0, 0], [0, 0, 0]]
    values[2] = [[0, 0.5, 0], [0, 0.5, 0]]
    sums = values.sum(axis=(1, 2))
    return AnswerAttribution(values, np.array(["b", "b", "a"]), sums + 1, np.ones(3), NAMES)


def heights(ax) -> list[float]:
    return [bar.get_height() for bar in ax.patches]


def test_means_of_each_class(attribution) -> None:
    fig = plot_attribution(attribution, title="Mine", show=False)
    b_channels, a_channels, b_seconds, a_seconds = fig.axes
    # The largest first, whatever the sign.
    assert heights(b_channels) == [2, -1, 0] and heights(a_channels) == [1, 0, 0]
    assert [t.get_text() for t in b_channels.get_xticklabels()] == ["Fz", "Pz", "Cz"]
    assert heights(b_seconds) == [2, -1] and heights(a_seconds) == [0.5, 0.5]
    assert b_channels.get_title() == "b (2 epochs, +1.00 in all)"
    assert a_channels.get_title() == "a (1 epoch, +1.00 in all)"
    assert b_seconds.get_ylim() == a_seconds.get_ylim() == (-2.16, 2.16)
    for_it, against = (bar.get_facecolor() for bar in b_channels.patches[:2])
    assert for_it[0] > for_it[2] and against[2] > against[0], "red for it, blue against it"
    assert fig.get_suptitle() == "Mine"


def test_scalp_maps_share_a_scale(attribution, topomaps) -> None:
    info = mne.create_info(["Pz", "Fz", "Cz"], 200.0, "eeg")
    assert not any(ax.images for ax in plot_attribution(attribution, info, show=False).axes)
    places = {name: [0.0, 0.03 - 0.04 * i, 0.09] for i, name in enumerate(NAMES)}
    info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    fig = plot_attribution(attribution, info, labels=["a", "b"], show=False)
    maps = [ax for ax in fig.axes if ax.images]
    assert [ax.get_title()[0] for ax in maps] == ["a", "b"]
    assert {ax.images[0].get_clim() for ax in maps} == {(-2.0, 2.0)}
    assert topomaps == [{"Fz": 0, "Cz": 1, "Pz": 0}, {"Fz": 2, "Cz": 0, "Pz": -1}]
    red, _, blue = maps[0].images[0].get_cmap()(1.0)[:3]
    assert red > 2 * blue, "what speaks for the class is red"


def test_one_second_and_many_channels() -> None:
    names = tuple(f"E{k}" for k in range(20))
    values = np.linspace(-1, 2, 20).reshape(1, 1, 20)
    made = AnswerAttribution(values, np.array(["a"]), np.ones(1), np.zeros(1), names)
    fig = plot_attribution(made, show=False)
    (channels,) = fig.axes
    assert len(channels.patches) == 12
    assert channels.get_xlabel() == "The largest 12 of 20 channels"


@pytest.mark.parametrize("labels", [[], ["c"]])
def test_no_such_class(attribution, labels: list) -> None:
    with pytest.raises(ValueError, match=r"one or more of \['a', 'b'\]"):
        plot_attribution(attribution, labels=labels, show=False)


def test_into_given_axes(attribution) -> None:
    import matplotlib.pyplot as plt

    around = plt.figure(layout="constrained")
    left, right = around.subfigures(1, 2)
    left.subplots()
    given = right.subplots(2, 2)
    assert plot_attribution(attribution, axes=given, show=False) is around
    assert heights(given[0, 0]) == [2, -1, 0] and heights(given[1, 1]) == [0.5, 0.5]
    assert given[0, 0].get_ylim() == given[0, 1].get_ylim(), "bars can be compared"
    info = mne.create_info(list(NAMES), 200.0, "eeg")
    places = {name: [0.0, 0.03 - 0.04 * i, 0.09] for i, name in enumerate(NAMES)}
    info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    column = plt.figure().subfigures(1, 1).subplots(2)
    plot_attribution(attribution, info, labels=["b"], axes=column, show=False)
    assert column[0].images and column[0].figure.axes[-1].get_ylabel() == "Log-odds (nats)"
    with pytest.raises(ValueError, match="axes must be 2 for each of 2 classes; got 3"):
        plot_attribution(attribution, axes=given.ravel()[:3], show=False)
