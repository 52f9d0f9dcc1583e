"""
A linear probe of hidden states
===============================

What does the frozen encoder know about your classes, before anything is tuned? A linear probe
says so: logistic regression on the encoder's hidden states. It takes seconds, so it is the first
thing to try on new epochs, beside band power and chance. For everybody who knows scikit-learn's
cross-validation.
"""

# Licence: BSD-3-Clause

# %%
# Epochs of people
# ----------------
# Twelve simulated people rest or are active. When active they have less alpha at the back of the
# head and more beta at the front. People differ in how much; ``effect`` makes the difference
# somewhat larger than by default.

import matplotlib.pyplot as plt
import mne
import numpy as np
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict, cross_validate
from sklearn.pipeline import make_pipeline

from mne_neurolm import NeuroLMTokenizer
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.evaluation import band_power_classifier, chance_classifier, linear_probe

mne.set_log_level("warning")
epochs = simulate_epochs(n_subjects=12, n_epochs_per_subject=20, random_state=0, effect=1.5)
y = epochs.metadata["state"].to_numpy(dtype=str)
subjects = epochs.metadata["subject"].to_numpy()

# %%
# The probe is a pipeline
# -----------------------
# :class:`~mne_neurolm.NeuroLMTokenizer` comes first. :func:`~mne_neurolm.evaluation.linear_probe`
# averages the hidden states of each channel over the seconds of an epoch, standardises them,
# reduces them to principal components, and fits a logistic regression. With ``pool_channels=True``
# it averages over channels too.
#
# All windows of a person are on the same side of every split:
# :class:`~sklearn.model_selection.StratifiedGroupKFold` sees to it. The probe has to know how many
# epochs it will be fitted on, because there cannot be more components than epochs.

folds = list(StratifiedGroupKFold(4, shuffle=True, random_state=0).split(epochs, y, subjects))
n_train = min(len(train) for train, _ in folds)
methods = {
    "probe": make_pipeline(NeuroLMTokenizer(), linear_probe(n_train)),
    "pooled probe": make_pipeline(NeuroLMTokenizer(), linear_probe(n_train, pool_channels=True)),
    "band power": band_power_classifier(),
    "chance": chance_classifier(),
}
scores = {}
for name, method in methods.items():
    predicted = cross_val_predict(method, epochs, y, cv=folds)
    scores[name] = [
        balanced_accuracy_score(y[subjects == subject], predicted[subjects == subject])
        for subject in np.unique(subjects)
    ]
    print(f"{name:13s} balanced accuracy {np.mean(scores[name]):.2f}, mean over people")

# %%
# Which channels the probe uses
# -----------------------------
# A probe is linear, so its log-odds are a sum over channels. Here is how much each channel adds to
# the difference between active and rest, on people of the test folds. The weights go back from
# principal components to hidden states; tokens are computed once, as the encoder learns nothing.

tokens = NeuroLMTokenizer().fit_transform(epochs)
fits = cross_validate(
    linear_probe(n_train), tokens, y, cv=folds, return_estimator=True, scoring="balanced_accuracy"
)["estimator"]
share = np.zeros(len(epochs.ch_names))
for probe, (_, test) in zip(fits, folds, strict=True):
    weights = probe["logisticregression"].coef_[0] @ probe["pca"].components_
    sign = 1 if probe.classes_[1] == "active" else -1
    states = probe[:2].transform(tokens[test])  # averaged over seconds and standardised
    difference = states[y[test] == "active"].mean(axis=0) - states[y[test] == "rest"].mean(axis=0)
    share += sign * (weights * difference).reshape(len(share), -1).sum(axis=1) / len(fits)

# %%
# Scores and map
# --------------
# A dot is a person, a bar the mean. All three methods are far above chance for most people. Band
# power is ahead, as it should be: this EEG was made of noise and two rhythms. Simulated EEG shows
# how to compare, and nothing about how the comparison ends on yours; :doc:`/evaluation` makes it
# with more methods and with intervals.
#
# The map does not start at zero: every channel adds nearly the same, because each hidden state of
# the bundled model also knows what the whole scalp does in its second. What channels add beyond
# that is largest where the two rhythms were put, to both sides of the midline at the front and at
# the back. The map says which tokens the probe reads, and only in part where they know it from.

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", width_ratios=(3, 2))
rng = np.random.default_rng(0)
chance = np.mean(scores.pop("chance"))
left.axhline(chance, color="0.5", ls=":")
left.text(-0.55, chance + 0.008, "chance", color="0.4")
for place, (name, values) in enumerate(scores.items()):
    color = "#D55E00" if name == "band power" else "#0072B2"
    jitter = rng.uniform(-0.15, 0.15, len(values))
    left.scatter(place + jitter, values, s=35, color=color, alpha=0.6, edgecolor="none")
    left.hlines(np.mean(values), place - 0.3, place + 0.3, color=color, lw=2.5)
left.set(xticks=range(len(scores)), xticklabels=list(scores), xlim=(-0.6, len(scores) - 0.4))
left.set(ylabel="Balanced accuracy", title="Twelve people, each tested once")
image, _ = mne.viz.plot_topomap(share, epochs.info, axes=right, cmap="viridis", show=False)
image.set_clim(share.min(), share.max())
right.set_title("What a channel's tokens add")
fig.colorbar(image, ax=right, label="Log-odds, active minus rest", shrink=0.75)
plt.show()
