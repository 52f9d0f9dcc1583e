"""
Tokenize epochs
===============

How :class:`~mne_neurolm.NeuroLMTokenizer` turns :class:`mne.Epochs` into tokens, and what is in the
result. For everyone who wants to use NeuroLM: most other examples start from such tokens.
"""

# Licence: BSD-3-Clause

import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd

from mne_neurolm import NeuroLMTokenizer
from mne_neurolm.channels import CHANNELS
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.viz import plot_codes

mne.set_log_level("warning")

# %%
# Epochs
# ------
#
# Any epochs of scalp EEG will do that hold volts, have known channels and last 1 to 64 s. Your own
# recording should go through :func:`~mne_neurolm.prepare_raw` first (see :doc:`/quickstart`); the
# simulated epochs of this example already are as the model expects them, at 200 Hz.

epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=20, duration=6.0, random_state=0)
print(epochs.get_data().shape, "epochs, channels, samples")

# %%
# Tokens
# ------
#
# The tokenizer cuts every channel into *patches* of one second and turns each into a *token*. With
# a pretrained model nothing is learnt here: ``fit`` loads the model and checks the data. The model
# ``"tiny"`` comes with the package.

tokenizer = NeuroLMTokenizer("tiny")
tokens = tokenizer.fit_transform(epochs)
tokens

# %%
# Each token has a *code*, which is a row of the codebook, and a *hidden state*, which is a vector.
# The language model reads the hidden states; codes are what it predicts while it is pretrained.

print("codes:        ", tokens.codes.shape, "epochs, tokens")
print("hidden states:", tokens.hidden.shape, "epochs, tokens, dimensions")

# %%
# Tokens of an epoch are *time-major*: all channels of the first second, then all of the next. What
# a token belongs to is in ``channels``, a row of the channel vocabulary, and in ``times``, a
# second. These are the same for all epochs. ``ch_names`` keeps the recording's own spelling. Some
# of the tokens:

pd.DataFrame(
    {
        "channel": np.tile(tokens.ch_names, tokens.n_seconds),
        "read as": [CHANNELS[row] for row in tokens.channels],
        "second": tokens.times,
        "code": tokens.codes[0],
    }
).rename_axis("token").iloc[[0, 1, 18, 19, 20, 38, 113]]

# %%
# So one reshape separates seconds from channels:

codes = tokens.codes.reshape(len(tokens), tokens.n_seconds, tokens.n_channels)
print("Codes of Cz in the first epoch:", codes[0, :, tokens.ch_names.index("Cz")])

# %%
# Tokens are indexed like epochs, and scikit-learn takes them as they are: as a matrix, they are the
# mean and the standard deviation over time of each channel's hidden states.

resting = tokens[(epochs.metadata["state"] == "rest").to_numpy()]
print(resting)
print(np.asarray(resting).shape, "epochs, features:", ", ".join(tokens.feature_names()[:2]), "...")

# %%
# An epoch and its codes
# ----------------------
#
# :func:`~mne_neurolm.viz.plot_codes` shows the codes of an epoch. The number of a code means
# nothing, so the colour says where its vector lies on the first principal component of the codebook
# vectors in use: similar colours are similar codes. On the left, the patches have the colours of
# their codes.

fig, (left, right) = plt.subplots(1, 2, figsize=(12, 6), width_ratios=[5, 4], layout="constrained")
plot_codes(tokens, 0, codebook=tokenizer.model_.vq.codebook.weight, axes=right, show=False)
image = right.images[0]
colours = image.cmap(image.norm(image.get_array()))  # channels, seconds, RGBA

patches = epochs.get_data()[0].reshape(tokens.n_channels, tokens.n_seconds, 200)
per_row = 1e6 * 6 * patches.std()  # µV between two channels
for row, second in np.ndindex(colours.shape[:2]):
    times, wave = second + np.arange(200) / 200, row - 1e6 * patches[row, second] / per_row
    left.plot(times, wave, color=colours[row, second], lw=1.2, clip_on=False)
left.set(xlim=(0, tokens.n_seconds), ylim=right.get_ylim(), xlabel="Time (s)", ylabel="Channel")
left.set_yticks(range(tokens.n_channels), tokens.ch_names)
left.vlines(range(1, tokens.n_seconds), *left.get_ylim(), color="0.8", lw=0.5, zorder=0)
left.set_title(f"EEG, {per_row:.0f} µV from row to row", fontsize="medium", loc="left")
left.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Neighbouring channels often have similar colours in a second, because their EEG is similar. The
# first component mostly tells patches that lie above zero from patches below, because slow waves
# are a large part of this EEG. The correlation of a patch's mean with its colour:

places, means = np.asarray(image.get_array()), patches.mean(axis=-1)
print(f"{np.corrcoef(places.ravel(), means.ravel())[0, 1]:.2f}")

# %%
# What single codes stand for is the subject of
# :ref:`sphx_glr_auto_examples_tokens_plot_meaning_of_codes.py`.
