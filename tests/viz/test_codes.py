"""What the figures of codes show."""

from __future__ import annotations

import matplotlib.pyplot as plt
import mne
import numpy as np
import pytest
import torch

from mne_neurolm.patches import Patches, make_patches
from mne_neurolm.tokens import EEGTokens
from mne_neurolm.viz import plot_codebook, plot_codes
from mne_neurolm.viz._scalp import positions

NAMES = ("Fz", "Cz", "Pz")
CODES = np.array([[4, 4, 0, 4, 2, 2], [4, 1, 0, 4, 2, 2]])  # two epochs of two seconds


@pytest.fixture
def epochs() -> mne.BaseEpochs:
    """Patches of code 4 are a sine of 10 Hz and 20 µV, all others noise of 5 µV."""
    rng = np.random.default_rng(0)
    data = 5e-6 * rng.standard_normal((2, 3, 400))
    wave = 20e-6 * np.sin(2 * np.pi * 10 * np.arange(200) / 200)
    for epoch, second, channel in np.argwhere(CODES.reshape(2, 2, 3) == 4):
        data[epoch, channel, second * 200 : (second + 1) * 200] = wave
    info = mne.create_info(list(NAMES), 200.0, "eeg")
    with info._unlock():
        info["highpass"], info["lowpass"] = 0.1, 75.0
    made = mne.EpochsArray(data, info, verbose="error")
    places = {name: [0.0, 0.03 - 0.04 * i, 0.09] for i, name in enumerate(NAMES)}
    return made.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))


@pytest.fixture
def tokens(epochs) -> EEGTokens:
    patches = make_patches(epochs, verbose="error")
    hidden = np.zeros((*CODES.shape, 2), dtype=np.float32)
    return EEGTokens(CODES, hidden, patches.channels, patches.times, NAMES, "none")


def test_codes(tokens) -> None:
    """Channels by seconds, coloured by how often a code occurs among all tokens."""
    fig = plot_codes(tokens, show=False)
    ax, bar = fig.axes
    assert ax.images[0].get_array().tolist() == [[5, 5], [5, 4], [2, 4]]
    texts = np.array([text.get_text() for text in ax.texts]).reshape(3, 2)
    assert texts.tolist() == [["4", "4"], ["4", "2"], ["0", "2"]]
    assert [t.get_text() for t in ax.get_yticklabels()] == list(NAMES)
    assert ax.get_title(loc="left") == "Epoch 0: 3 different codes in 6 tokens"
    assert bar.get_ylabel() == "Tokens with this code"
    _, own = plt.subplots()
    last = plot_codes(tokens, -1, picks=["Pz", "Cz"], axes=own, title="Mine", show=False)
    assert last is own.figure and own.get_title(loc="left") == "Mine"
    untitled = plot_codes(tokens, -1, show=False).axes[0]
    assert untitled.get_title(loc="left") == "Epoch 1: 4 different codes in 6 tokens"
    assert [text.get_text() for text in own.texts] == ["0", "2", "1", "2"]


def test_similar_codes_have_similar_colours(tokens) -> None:
    along = np.array([3.0, 0.0, 1.0, 9.0, 2.0])  # where the codes are on one axis; 3 does not occur
    codebook = np.outer(along, [1.0, 1.0]) + np.array([5.0, -5.0])
    values = plot_codes(tokens, codebook=codebook, show=False).axes[0].images[0].get_array()
    parameter = torch.nn.Parameter(torch.as_tensor(codebook))
    same = plot_codes(tokens, codebook=parameter, show=False).axes[0].images[0].get_array()
    np.testing.assert_allclose(same, values)
    half = plot_codes(tokens, codebook=parameter.bfloat16(), show=False).axes[0].images[0]
    assert half.get_clim() == (0, 1)
    rank = np.array([3, 0, 1, np.nan, 2]) / 3
    expected = rank[CODES[0].reshape(2, 3).T]
    assert np.allclose(values, expected) or np.allclose(values, 1 - expected)
    # Codes that do not occur take no colours, wherever they are.
    codebook[3] = [0.0, 1000.0]
    again = plot_codes(tokens, codebook=codebook, show=False).axes[0].images[0].get_array()
    assert np.allclose(again, values) or np.allclose(again, 1 - values)
    with pytest.raises(ValueError, match=r"codes up to 4; got shape \(4, 2\)"):
        plot_codes(tokens, codebook=codebook[:4], show=False)


def test_codes_of_a_long_epoch_are_not_written(tokens) -> None:
    codes = np.tile(CODES, 10)
    times = np.repeat(np.arange(20), 3)
    hidden = np.zeros((*codes.shape, 2), dtype=np.float32)
    long = EEGTokens(codes, hidden, np.tile(tokens.channels, 10), times, NAMES, "none")
    ax = plot_codes(long, show=False).axes[0]
    assert not ax.texts and [t.get_text() for t in ax.get_xticklabels()][:2] == ["0", "2"]


def test_no_such_codes(tokens) -> None:
    with pytest.raises(IndexError, match="There are 2 epochs, got epoch=2"):
        plot_codes(tokens, 2, show=False)
    with pytest.raises(ValueError, match=r"\['Oz'\] are not among them"):
        plot_codes(tokens, picks=["Oz"], show=False)
    with pytest.raises(ValueError, match=r"picks must name one or more"):
        plot_codes(tokens, picks=[], show=False)


def test_codebook(tokens, epochs) -> None:
    """What is shown of code 4 is the sine that all its patches are, and where they are."""
    fig = plot_codebook(tokens, epochs, 8, codes=[4, 2], show=False)
    usage, wave, spectrum, scalp = fig.axes[:4]
    assert usage.get_title().startswith("4 of 8 codes used by 12 tokens")
    assert wave.get_ylabel() == "code 4\n5 tokens"
    sine = 20 * np.sin(2 * np.pi * 10 * np.arange(200) / 200)
    mean = next(line for line in wave.lines if len(line.get_xdata()) == 200)
    np.testing.assert_allclose(mean.get_ydata(), sine, atol=0.02)
    band = wave.collections[0].get_paths()[0].vertices
    assert np.abs(band[:, 1]).max() == pytest.approx(20, abs=0.02), "all are alike: no width"
    everything, own = spectrum.lines
    hertz = own.get_xdata()
    assert hertz[0] == 1 and hertz[-1] == 45 and hertz[np.argmax(own.get_ydata())] == 10
    # A sine of 20 µV has a power of 200 µV², which the window spreads over 1.5 bins of 1 Hz.
    assert own.get_ydata().max() == pytest.approx(10 * np.log10(200 / 1.5), abs=0.1)
    assert everything.get_ydata()[9] < own.get_ydata()[9]
    assert len(scalp.images) == 1 and scalp.images[0].get_clim() == (0, 100)  # all of Fz
    assert "code 2\n4 tokens" in [ax.get_ylabel() for ax in fig.axes]


def test_codebook_without_positions(tokens, epochs) -> None:
    """Patches know no electrodes, but an Info may."""
    patches = make_patches(epochs, verbose="error")
    plain = plot_codebook(tokens, patches, 8, show=False)
    assert not any(ax.images for ax in plain.axes)
    rows = [ax.get_ylabel() for ax in plain.axes if ax.get_ylabel().startswith("code ")]
    counts = ["code 4\n5 tokens", "code 2\n4 tokens", "code 0\n2 tokens", "code 1\n1 token"]
    assert rows == counts, "the most frequent ones that there are"
    placed = plot_codebook(tokens, patches, 8, info=epochs.info, title="Mine", show=False)
    assert sum(bool(ax.images) for ax in placed.axes) == 4
    assert placed.get_suptitle() == "Mine"


def test_maps_have_each_value_at_its_electrode(tokens, epochs, topomaps) -> None:
    """Whatever the order of the Info's channels."""
    info = epochs.copy().reorder_channels(["Pz", "Fz", "Cz"]).info
    plot_codebook(tokens, epochs, 8, codes=[4], info=info, show=False)
    assert topomaps == [{"Fz": 100, "Cz": 25, "Pz": 0}]


@pytest.mark.parametrize("odd", ["one channel", "same place", "not EEG", "no place"])
def test_what_makes_no_map(odd: str, epochs) -> None:
    info, names = epochs.info.copy(), NAMES
    if odd == "one channel":
        names = ("Cz",)
    elif odd == "same place":  # as of bipolar derivations that share an anode
        info["chs"][0]["loc"][:3] = info["chs"][1]["loc"][:3]
    elif odd == "not EEG":
        info = mne.pick_info(info, [0, 1, 2])
        info.set_channel_types({"Cz": "misc"}, on_unit_change="ignore")
    else:
        info["chs"][0]["loc"][:3] = 0
    assert positions(info, names) is None
    assert positions(epochs.info, NAMES) is not None


def test_codebook_of_other_channels_in_order(tokens, epochs) -> None:
    """Epochs whose channels are in another order are brought to that of the tokens."""
    turned = epochs.copy().reorder_channels(["Pz", "Fz", "Cz"])
    fig = plot_codebook(tokens, turned, 8, codes=[4], show=False)
    mean = next(line for line in fig.axes[1].lines if len(line.get_xdata()) == 200)
    assert np.ptp(mean.get_ydata()) == pytest.approx(40, abs=0.1)


def test_what_does_not_belong_together(tokens, epochs) -> None:
    with pytest.raises(ValueError, match="were not made of these epochs"):
        plot_codebook(tokens, epochs[:1], 8, show=False)
    other = make_patches(epochs, verbose="error")
    other = Patches(other.data, other.channels + 1, other.times, other.ch_names)
    with pytest.raises(ValueError, match="were not made of these epochs"):
        plot_codebook(tokens, other, 8, show=False)
    for codes in ([3], [99], []):
        with pytest.raises(ValueError, match="codes that occur in tokens"):
            plot_codebook(tokens, epochs, 8, codes=codes, show=False)
    with pytest.raises(ValueError, match="codes up to 4, but codebook_size is 3"):
        plot_codebook(tokens, epochs, 3, show=False)
    with pytest.raises(TypeError, match="must be mne.Epochs or Patches; got list"):
        plot_codebook(tokens, [epochs], 8, show=False)
    with pytest.raises(TypeError, match="integer"):
        plot_codebook(tokens, epochs, 8, codes=[2.5], show=False)


def test_a_channel_that_was_left_out_is_not_missed(tokens, epochs) -> None:
    """The tokenizer may have been told to ignore it; the tokens say which channels are meant."""
    more = epochs.copy().load_data()
    extra = mne.create_info(["Weird9"], 200.0, "eeg")
    with extra._unlock():
        extra["highpass"], extra["lowpass"] = 0.1, 75.0
    more.add_channels(
        [mne.EpochsArray(np.zeros((2, 1, 400)), extra, verbose="error")], force_update_info=True
    )
    assert plot_codebook(tokens, more, 8, codes=[4], show=False)
