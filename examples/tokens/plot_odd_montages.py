"""
Odd montages
============

NeuroLM has no fixed montage: it reads whatever channels there are, as long as each can be found
among the 138 electrodes and derivations that it knows. Here one model takes five recordings of 4 to
64 channels. For those whose cap or recorder is not the usual one: how channels are found, and how
to see what was dropped.
"""

# Licence: BSD-3-Clause

from textwrap import fill

import matplotlib.pyplot as plt
import mne
import numpy as np
from matplotlib.colors import ListedColormap

from mne_neurolm import NeuroLMTokenizer
from mne_neurolm.channels import CHANNELS, clean_channel_name, match_channels
from mne_neurolm.datasets import simulate_epochs

mne.set_log_level("warning")

# %%
# Five recordings
# ---------------
#
# The 10-20 system under its old names, as a clinical recorder writes them; a headband with four
# electrodes; a cap with 64 electrodes of the 10-10 system; a bipolar montage, whose channels are
# differences of neighbours; and a geodesic net, whose names say nothing, but which has positions.

old_names = simulate_epochs(n_subjects=1, n_epochs_per_subject=4, random_state=0)
old_names.rename_channels(lambda name: f"EEG {name.upper()}-REF")

headband = simulate_epochs(1, 4, ch_names=["TP9", "AF7", "AF8", "TP10"], random_state=0)

cap_names = mne.channels.make_standard_montage("biosemi64").ch_names
cap = simulate_epochs(1, 4, ch_names=cap_names, random_state=0)

chains = ["Fp1-F7-T7-P7-O1", "Fp1-F3-C3-P3-O1", "Fz-Cz-Pz", "Fp2-F4-C4-P4-O2", "Fp2-F8-T8-P8-O2"]
steps = [chain.split("-") for chain in chains]
anodes = [name for names in steps for name in names[:-1]]
cathodes = [name for names in steps for name in names[1:]]
electrodes = cap.copy().pick(sorted({*anodes, *cathodes}))
bipolar = mne.set_bipolar_reference(electrodes, anodes, cathodes)

net_montage = mne.channels.make_standard_montage("GSN-HydroCel-64_1.0")
net = cap.copy().interpolate_to(net_montage, method="spline")

recordings = {
    "10-20, old names": old_names,
    "Headband": headband,
    "64-channel cap": cap,
    "Bipolar chains": bipolar,
    "Geodesic net": net,
}

# %%
# Names, then positions
# ---------------------
#
# :func:`~mne_neurolm.channels.clean_channel_name` takes off what recorders add, and spells the rest
# as in the vocabulary. T3 does not become T7: NeuroLM knows both.

for name in [old_names.ch_names[7], headband.ch_names[0], bipolar.ch_names[0], net.ch_names[0]]:
    print(f"{name:10} -> {clean_channel_name(name)}")

# %%
# :func:`~mne_neurolm.channels.match_channels` finds the electrode of every channel, and goes by the
# name first. Where the name is unknown and the recording has a montage, a channel takes the nearest
# electrode within 3 cm, unless another channel has it already. MNE's log says what was done:

with mne.use_log_level("info"):
    match_channels(net.info, on_missing="ignore")

# %%
# A channel with neither a known name nor such a position is an error by default, so that nothing is
# lost unseen. Two derivations of the bipolar montage are not in the vocabulary:

try:
    NeuroLMTokenizer().fit(bipolar)
except ValueError as error:
    print(fill(str(error), 100))

# %%
# ``on_missing="ignore"`` leaves such channels out. With it, one tokenizer takes all five.

tokenizer = NeuroLMTokenizer(on_missing="ignore").fit(old_names)
for title, epochs in recordings.items():
    print(f"{title:16}", tokenizer.transform(epochs))

# %%
# What each channel is read as
# ----------------------------
#
# Blue channels are found by their names, orange ones by their positions, grey ones are dropped.
# Labels are the names in the vocabulary, and of dropped channels their own.

colours = ListedColormap(["#0072B2", "#E69F00", "0.6"])
fig, axes = plt.subplot_mosaic(
    [
        ["10-20, old names", "Headband", "Geodesic net"],
        ["64-channel cap", "Bipolar chains", "Geodesic net"],
    ],
    width_ratios=[1, 1, 2],
    figsize=(13, 6.8),
    layout="constrained",
)
for title, epochs in recordings.items():
    ax, names = axes[title], epochs.ch_names
    match = match_channels(epochs.info, on_missing="ignore")
    read_as = {name: CHANNELS[row] for name, row in zip(match.ch_names, match.indices, strict=True)}
    by_name = [name for name in read_as if read_as[name] == clean_channel_name(name)]
    kinds = np.where(np.isin(names, by_name), 0, np.where(np.isin(names, list(read_as)), 1, 2))
    groups = [np.flatnonzero(kinds == kind) for kind in range(3)]
    where = electrodes if epochs is bipolar else epochs
    style = {"axes": ax, "cmap": colours, "linewidth": 0, "pointsize": 30}
    mne.viz.plot_sensors(where.info, "topomap", ch_groups=groups, show=False, **style)
    ax.set_title(f"{title}: {len(read_as)} of {len(names)} channels")
    dots = ax.collections[0]
    at = dict(zip(where.ch_names, np.asarray(dots.get_offsets()), strict=True))
    if epochs is bipolar:
        dots.set_color("black")
        for anode, cathode, kind in zip(anodes, cathodes, kinds, strict=True):
            ax.plot(*np.transpose([at[anode], at[cathode]]), color=colours(kind), lw=4, zorder=0)
    elif epochs is not cap:
        for name in names:
            text = ax.annotate(
                read_as.get(name, name), at[name], (0, 4), textcoords="offset points"
            )
            text.set(ha="center", fontsize=7.5)
for kind, meaning in enumerate(["found by name", "found by position", "dropped"]):
    ax.scatter([], [], color=colours(kind), label=meaning)
fig.legend(loc="outside lower center", ncols=3, frameon=False)
plt.show()

# %%
# The chain along the midline is dropped, and of the net two channels on the cheeks and those whose
# place another one has already. If you know better, give channels their 10-20 names with
# ``rename_channels`` first.
#
# A channel that is read is not yet one that a model understands. ``"tiny"`` was trained on three
# montages, none of them bipolar, so what it makes of derivations is not to be trusted. Tokens of
# different montages also cannot be compared feature by feature: a linear classifier needs the same
# channels in all its epochs.
