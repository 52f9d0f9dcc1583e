"""
What do the codes mean?
=======================

The number of a code means nothing. To see what a code stands for, look at the EEG that got it. Here
we put blinks, muscle activity and bursts of alpha into simulated EEG, at places and in seconds that
we know, and look for the codes of each.
"""

# Licence: BSD-3-Clause

# sphinx_gallery_thumbnail_number = 1

import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd

from mne_neurolm import NeuroLMTokenizer
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.viz import plot_codebook

mne.set_log_level("warning")

# %%
# EEG with known features
# -----------------------
#
# The background is that of :func:`~mne_neurolm.datasets.simulate_epochs`. A fifth of all seconds
# gets a blink, largest at the frontal poles, a fifth muscle activity at the temples, and a fifth a
# burst of 10 Hz at the back of the head. Blinks come at any time from 0.3 to 0.7 s, bursts with any
# phase.

epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=60, duration=8.0, random_state=0)
data = epochs.get_data().reshape(60, 19, 8, 200)  # epochs, channels, seconds, samples
rng = np.random.default_rng(0)
happens = rng.choice(["nothing", "blink", "muscle", "alpha"], (60, 8), p=[0.4, 0.2, 0.2, 0.2])

time = np.arange(200) / 200
latency, phase = rng.uniform(0.3, 0.7, (60, 8, 1)), rng.uniform(0, 1, (60, 8, 1))
noise = mne.filter.filter_data(rng.standard_normal(60 * 8 * 200), 200.0, 25.0, 70.0)
waves = {  # epochs, seconds, samples
    "blink": 120e-6 * np.exp(-0.5 * ((time - latency) / 0.08) ** 2),
    "muscle": 25e-6 * noise.reshape(60, 8, 200) / noise.std(),
    "alpha": 45e-6 * np.sin(np.pi * time) * np.sin(2 * np.pi * (10 * time + phase)),
}
sites = {"blink": ["Fp1", "Fp2"], "muscle": ["T3", "T4"], "alpha": ["O1", "O2"]}
places = epochs.get_montage().get_positions()["ch_pos"]
electrodes = np.array([places[ch] for ch in epochs.ch_names])
for name, wave in waves.items():
    metres = [np.linalg.norm(electrodes - places[site], axis=1) for site in sites[name]]
    seen = np.exp(-0.5 * (np.min(metres, axis=0) / 0.04) ** 2)  # by each channel
    data += seen[:, None, None] * ((happens == name)[..., None] * wave)[:, None]
epochs = mne.EpochsArray(data.reshape(60, 19, 1600), epochs.info)

# %%
# The codes of each feature
# -------------------------
#
# For each feature we take the tokens of its two sites in the seconds that have it. Which codes did
# they get? We rank codes by the feature's tokens that they have, times the share which these are of
# all their tokens, and keep four.

tokenizer = NeuroLMTokenizer()
tokens = tokenizer.fit_transform(epochs)
codes = tokens.codes.reshape(60, 8, 19)
size = tokenizer.model_.config.codebook_size
of_all = np.bincount(codes.ravel(), minlength=size)
own, best, table = {}, {}, {}
for name in waves:
    in_seconds = codes[happens == name]
    at_sites = in_seconds[:, np.isin(tokens.ch_names, sites[name])]
    own[name] = np.bincount(at_sites.ravel(), minlength=size)
    best[name] = np.argsort(-(own[name] ** 2) / np.maximum(of_all, 1), kind="stable")[:4]
    four = of_all[best[name]].sum()
    table[name] = {
        "tokens": at_sites.size,
        "different codes": len(np.unique(at_sites)),
        "% with one of the four codes": 100 * np.isin(at_sites, best[name]).mean(),
        "% of the four in these seconds": 100 * np.isin(in_seconds, best[name]).sum() / four,
    }
pd.DataFrame(table).round().astype(int)

# %%
# Four codes take most blinks, and where they occur there is a blink nearly always. Muscle activity
# and alpha spread over many codes. Those of alpha occur in other seconds as well, because the
# background has alpha, yet more often than the 20 % that a code would that knows nothing of it. The
# codes were chosen by these very tokens, so the last two lines are too good for new EEG.
#
# :func:`~mne_neurolm.viz.plot_codebook` shows how often codes are used, and below, a row for each
# code that we name: here the first of blinks, of muscle activity and of alpha.

fig = plot_codebook(tokens, epochs, size, codes=[best[name][0] for name in waves])

# %%
# Mean waveform, spectrum and map of each row show the feature that we put in: a slow wave at the
# front, high frequencies at the temples, a peak at 10 Hz at the back.
#
# More than one code for one thing
# --------------------------------
#
# Why several codes for blinks? A patch starts at a whole second, wherever the blink is, and a code
# must say when it comes. On the left are the mean waveforms of the four codes. On the right is the
# share of each feature's tokens that a number of codes takes.

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
mean = {code: data.transpose(0, 2, 1, 3)[codes == code].mean(axis=0) for code in best["blink"]}
ordered = sorted(mean, key=lambda code: mean[code].argmax())
for code, colour in zip(ordered, plt.cm.viridis(np.linspace(0, 0.85, 4)), strict=True):
    left.plot(time, 1e6 * mean[code], color=colour, label=f"code {code}")
left.set(xlabel="Time within the second (s)", ylabel="Mean of the code's patches (µV)")
for (name, count), colour in zip(own.items(), ["#0072B2", "#D55E00", "black"], strict=True):
    taken = np.cumsum(np.sort(count)[::-1]) / count.sum()
    right.plot(np.arange(1, size + 1), 100 * taken, color=colour, label=name)
right.set(xscale="log", xlim=(1, 200), ylim=(0, 102))
right.xaxis.set_major_formatter("{x:g}")
right.set(xlabel="Codes, the most frequent first", ylabel="Tokens of the feature (%)")
for ax in (left, right):
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Each blink code has its own latency. Muscle activity is noise: no two seconds are alike, and their
# codes have little more in common than their spectrum. All of this is about ``"tiny"``, a small
# model, and simulated EEG: in your own recordings, look again. More figures of the inside of a
# model are in :doc:`/explaining`.
