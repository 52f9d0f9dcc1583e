"""
Why this answer?
================

Two explanations of a model's answers come with the package: where it looks (attention), and what
each channel and second adds to the answer (attribution). Here both are asked about EEG of which we
know what differs between the two states, since it is simulated, and both are compared with a third
way: to change the EEG and see what becomes of the answer. For anyone who is about to publish such a
map.
"""
# Licence: BSD-3-Clause

# %%
# EEG with a known difference
# ---------------------------
# In :func:`~mne_neurolm.datasets.simulate_epochs`, an active person has less alpha at the back of
# the head and more beta at fronto-central sites, and nothing else differs. We tune on 14 people
# and explain answers about four others.

import matplotlib.pyplot as plt
import mne
import numpy as np
from sklearn.pipeline import make_pipeline

from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.explain import answer_attention, answer_attribution
from mne_neurolm.viz import plot_attention, plot_attribution

mne.set_log_level("warning")
epochs = simulate_epochs(n_subjects=18, n_epochs_per_subject=16, duration=2.0, random_state=1)
y = epochs.metadata["state"].map({"rest": "No", "active": "Yes"}).to_numpy()
subjects = epochs.metadata["subject"].to_numpy()
train, test = subjects < 14, subjects >= 14

pipe = make_pipeline(
    NeuroLMTokenizer(), NeuroLMClassifier("workload", max_epochs=8, random_state=0)
)
pipe.fit(epochs[train], y[train])
print(f"Right about {pipe.score(epochs[test], y[test]):.0%} of the epochs of other people")

# %%
# That is a score on simulated EEG and says nothing about real EEG. It says that there is something
# to explain.
#
# Attention
# ---------
# :func:`~mne_neurolm.explain.answer_attention`: an answer is read off the last token of the
# question. In each layer this token attends to EEG and to the words before it. Look at the scales
# of the maps: all of the channels have a share near one in nineteen, so that the model looks
# everywhere. Attention says where information may have come from; it does not say that the answer
# depends on it.

tokenizer, classifier = pipe
tokens = tokenizer.transform(epochs[test])
attention = answer_attention(classifier, tokens)
fig = plot_attention(attention, epochs.info, layers=[1, 3])

# %%
# Attribution
# -----------
# :func:`~mne_neurolm.explain.answer_attribution` shares out the log-odds of an answer among
# channels and seconds, by integrated gradients. We explain the right answer for the epochs of two
# people, compared with the mean of all as the EEG in which there is nothing special. The shares
# add up to the whole difference, but for a small error of the sum over steps.

some = np.flatnonzero(subjects[test] < 16)
attribution = answer_attribution(
    classifier, tokens[some], y[test][some], reference=tokens, n_steps=16
)
whole = attribution.log_odds - attribution.baseline_log_odds
missed = attribution.values.sum(axis=(1, 2)) - whole
print(f"Mean difference {np.abs(whole).mean():.1f} nats, missed {np.abs(missed).mean():.3f}")
fig = plot_attribution(attribution, epochs.info)

# %%
# All channels have about the same share, the front no less than the back. That is true of the
# model and misleading about the EEG. In the bundled models every token knows what the whole scalp
# does in its second, so that occipital alpha can be read in the token of a frontal channel. A
# share is that of a token, not of an electrode.
#
# Change the EEG
# --------------
# What does the answer depend on, then? Replace one electrode by what it recorded when the *same
# person* was in the *other* state, before anything is tokenised, and see how much the log-odds of
# the right answer fall.

held_out, truth = epochs[test].get_data(), y[test]
partner = np.arange(len(truth))
for subject in np.unique(subjects[test]):
    no, yes = (np.flatnonzero((subjects[test] == subject) & (truth == c)) for c in ("No", "Yes"))
    partner[no], partner[yes] = yes, no


def log_odds(data: np.ndarray) -> np.ndarray:
    """Return the log-odds of the right answers."""
    proba = pipe.predict_proba(mne.EpochsArray(data, epochs.info))
    right = proba[np.arange(len(truth)), (truth == "Yes").astype(int)]
    return np.log(right / (1 - right))


before = log_odds(held_out)
fall = np.zeros(len(epochs.ch_names))
for channel in range(len(fall)):
    changed = held_out.copy()
    changed[:, channel] = held_out[partner, channel]
    fall[channel] = (before - log_odds(changed)).mean()
largest = [epochs.ch_names[k] for k in np.argsort(-fall)[:2]]
print(f"Mean log-odds {before.mean():.1f}; they fall most for {' and '.join(largest)}")

# %%
# All maps beside the truth
# -------------------------
# The two maps at the top are what was put into the EEG: the change of alpha and of beta power. The
# attribution shows neither. Changed electrodes show where the alpha is. They also tell what this
# model hardly uses: the beta, which is there as well. A map of an explanation is one of the model
# and not of the brain, and a model may leave out what is real.
#
# :func:`~mne_neurolm.evaluation.pipe_report` puts scores and explanations of a fitted pipeline on
# one page; more figures are in :doc:`/explaining`.

spectrum = epochs[test].compute_psd(fmin=5, fmax=40)
maps = {}
for name, low, high in (("alpha", 8, 12), ("beta", 16, 24)):
    band = (spectrum.freqs >= low) & (spectrum.freqs <= high)
    power = 10 * np.log10(spectrum.get_data()[:, :, band].mean(axis=2))
    change = power[truth == "Yes"].mean(axis=0) - power[truth == "No"].mean(axis=0)
    maps[f"Truth: {name}", "active - rest (dB)"] = change
maps["Attribution", "share of the token (nats)"] = attribution.values.sum(axis=1).mean(axis=0)
maps["Changed electrode", "fall of the log-odds (nats)"] = fall

# sphinx_gallery_thumbnail_number = 3
fig, axes = plt.subplots(2, 2, figsize=(7, 6), layout="constrained")
for ax, ((title, unit), values) in zip(axes.flat, maps.items(), strict=True):
    limit = np.abs(values).max()
    image, _ = mne.viz.plot_topomap(
        values, epochs.info, axes=ax, cmap="RdBu_r", vlim=(-limit, limit), show=False
    )
    ax.set_title(title)
    fig.colorbar(image, ax=ax, shrink=0.8, label=unit)
plt.show()
