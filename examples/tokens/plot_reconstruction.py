"""
What survives the codebook
==========================

A code is one of 1024 and stands for 200 samples. Here we decode waveforms and spectra from codes,
and compare them with the EEG and with what is decoded from hidden states, before the codebook. For
those who want to know what a neural tokenizer keeps and what it loses.
"""

# Licence: BSD-3-Clause

# sphinx_gallery_thumbnail_number = 3

import matplotlib.pyplot as plt
import mne
import numpy as np
import torch

from mne_neurolm import NeuroLMTokenizer
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.patches import make_patches
from mne_neurolm.viz import plot_reconstruction, plot_spectra

mne.set_log_level("warning")

# %%
# Waveforms
# ---------
#
# ``inverse_transform`` of the tokenizer decodes waveforms from codes. The decoder gives EEG that is
# z-scored over the epoch, so it has no amplitude in volts.
# :func:`~mne_neurolm.viz.plot_reconstruction` z-scores the original in the same way.

epochs = simulate_epochs(n_subjects=4, n_epochs_per_subject=10, random_state=0)
tokenizer = NeuroLMTokenizer(device="cpu", dtype="float32")
tokens = tokenizer.fit_transform(epochs)
decoded = tokenizer.inverse_transform(tokens)

rest = np.flatnonzero(epochs.metadata["state"] == "rest")[0]
picks = ["Fp1", "F3", "C3", "Cz", "P3", "Pz", "O1", "O2"]
fig = plot_reconstruction(epochs.get_data()[rest], decoded[rest], epochs.info, picks=picks)

# %%
# The codes keep slow waves, and little else: the alpha rhythm of the occipital channels is not in
# the reconstruction. Steps at whole seconds are where one code ends and the next begins.
#
# Spectra
# -------
#
# A second decoder gives the spectrum of each patch. The network in ``model_.vq`` takes patches as
# tensors, and returns the predictions from codes and from hidden states. Its targets are
# log-magnitudes: zero is the mean of the model's training data at that frequency, and one is a
# standard deviation of them.

patches = make_patches(epochs)
inputs = [torch.from_numpy(a) for a in (patches.data, patches.channels, patches.times)]
vq = tokenizer.model_.vq
with torch.inference_mode():
    targets, output = vq.all_targets(*inputs), vq(*inputs)

hertz = np.arange(1, 41)
fig = plot_spectra(
    targets["frequency"][rest][:, hertz],
    output.predictions["frequency"][rest][:, hertz],
    epochs.ch_names,
    frequencies=hertz,
    picks=["Fp1", "Cz", "O1"],
    target=tokenizer.model_.config.frequency_target,
)

# %%
# The decoded spectra are smooth and much alike: each has a small peak in the alpha band, whether
# the original has one, as at O1, or not. Where it is like that of the training data, a spectrum is
# near zero; this simulated one has more towards 40 Hz, and the decoder does not follow.
# Correlations may even be negative.
#
# Codes or hidden states
# ----------------------
#
# Is it the encoder that misses alpha, or the codebook? The bundled models also predict the waveform
# from the hidden states with one linear layer (the models of the paper do not, see
# :doc:`/ablations`). We compare both with the original, channel by channel, in four bands: the
# correlation over all patches of the waveforms that are limited to the band.

bands = {"Delta": (1, 3), "Theta": (4, 7), "Alpha": (8, 12), "Beta": (13, 30)}
decoders = {"from codes": output.predictions, "from hidden states": output.hidden_predictions}


def spectra(waveforms: torch.Tensor) -> np.ndarray:
    """Return Fourier coefficients, channels first, 1 Hz apart."""
    by_channel = waveforms.numpy().reshape(len(epochs), tokens.n_seconds, tokens.n_channels, 200)
    return np.fft.rfft(np.moveaxis(by_channel, 2, 0))


original = spectra(targets["raw"])
fig, axes = plt.subplots(2, 4, figsize=(10, 5.4), layout="constrained")
for row, (source, predictions) in zip(axes, decoders.items(), strict=True):
    predicted = spectra(predictions["raw"])
    for ax, (name, (low, high)) in zip(row, bands.items(), strict=True):
        x, y = original[..., low : high + 1], predicted[..., low : high + 1]
        r = (x * y.conj()).real.sum(axis=(1, 2, 3))
        r /= np.sqrt((abs(x) ** 2).sum(axis=(1, 2, 3)) * (abs(y) ** 2).sum(axis=(1, 2, 3)))
        image, _ = mne.viz.plot_topomap(
            r, epochs.info, axes=ax, cmap="cividis", vlim=(0, 1), contours=0, show=False
        )
        ax.set_title(f"{name}, {low} to {high} Hz\nmean r = {r.mean():.2f}", fontsize="medium")
    row[0].set_ylabel(source, fontsize="large")
fig.colorbar(image, ax=axes, label="Correlation with the original", shrink=0.7)
plt.show()

# %%
# The encoder knows the alpha waves, phase and all, and best at the back, where they are largest. It
# is the codebook that loses them: 1024 codes are few, and slow waves are larger. Bursts of alpha
# that are large enough do get codes of their own, see
# :ref:`sphx_glr_auto_examples_tokens_plot_meaning_of_codes.py`. Of faster waves neither row has
# much.
#
# The language model reads hidden states, not codes, so what the codes lose is not lost to it. These
# are numbers of ``"tiny"``, a small model, on simulated epochs, which say nothing about other
# models and real EEG: run this on your own.
