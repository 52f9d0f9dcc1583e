"""
Tune a classifier on epochs
===========================

The language model learns to answer one question about EEG from labelled epochs of some people, and
answers it for others. It is a scikit-learn pipeline of two steps, with early stopping and
calibrated probabilities. For those who know scikit-learn and have epochs with labels.
"""

# Licence: BSD-3-Clause

# %%
# Epochs, labels, people
# ----------------------
# The question is one of the paper's: whether the mental workload is high. In simulated EEG, people
# who are active have less alpha at the back of the head and more beta at the front. The first ten
# people are for training, the last five for testing.

import matplotlib.pyplot as plt
import mne
import numpy as np
from sklearn.pipeline import make_pipeline

from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer, get_task
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.viz import plot_confusion

mne.set_log_level("warning")
epochs = simulate_epochs(n_subjects=15, n_epochs_per_subject=16, random_state=0, effect=1.5)
y = epochs.metadata["state"].map({"rest": "No", "active": "Yes"}).to_numpy(dtype=str)
subjects = epochs.metadata["subject"].to_numpy()
train, test = subjects < 10, subjects >= 10
print(get_task("workload").prompt())

# %%
# The pipeline
# ------------
# The tokenizer is frozen. ``tune="head"`` trains the last block of the language model, which is
# quick and wants a larger learning rate than the default, ``"full"``. With few epochs, smaller
# batches give more steps, and the moving average of the weights may be shorter.
#
# Three of the ten people are held out while it trains. Tuning stops when they are answered no
# better three times in a row, and the weights that answered them best are kept. Then a temperature
# is fitted on them, so that the probabilities mean what they say. For this, ``fit`` has to know who
# is who.

pipe = make_pipeline(
    NeuroLMTokenizer(),
    NeuroLMClassifier(
        "workload",
        tune="head",
        lr=3e-3,
        batch_size=16,
        max_epochs=12,
        average=0.9,
        patience=3,
        validation_fraction=0.3,
        calibration="temperature",
        random_state=0,
    ),
)
pipe.fit(epochs[train], y[train], neurolmclassifier__groups=subjects[train])

# %%
# Answers for other people
# ------------------------
# ``predict_proba`` has a column for each class in ``classes_``, and its rows sum to 1.

proba = pipe.predict_proba(epochs[test])
predicted = pipe.classes_[proba.argmax(axis=1)]
is_right = predicted == y[test]
print(pipe.classes_, proba[:3].round(2), sep="\n")
print(f"{is_right.mean():.2f} of the answers are right, temperature {pipe[-1].temperature_:.2f}")
for low, high in ((0.5, 0.9), (0.9, 1.0)):
    sure = (proba.max(axis=1) >= low) & (proba.max(axis=1) <= high)
    print(
        f"of {sure.sum()} with a probability of {low} to {high}: {is_right[sure].mean():.2f} right"
    )

# %%
# How it went
# -----------
# ``net_.history`` of the classifier has what was logged in every pass over the epochs. The loss
# in training falls to the end, but for a bump. That on held-out people, here as a share of what
# guessing would have, does not: beyond the dashed line the model learns by heart what it is
# trained on, and nothing more about other people. The line marks the weights that were kept.
#
# In the middle, each dot is an epoch of a person who was not in training. Blue should be on the
# left and orange on the right. Look at the rows: people differ, and for some the rested epochs are
# those that are wrong. The confusion matrix sums up the five of them. Simulated EEG proves nothing
# about real EEG; :doc:`/tuning` says which settings there are.

history = pipe[-1].net_.history
passes, held_out = history[:, "epoch"], history[:, "valid_nll"]
fig, axes = plt.subplot_mosaic(
    [["loss", "proba", "confusion"], ["held out", "proba", "confusion"]],
    figsize=(11, 3.8),
    layout="constrained",
    width_ratios=(3, 4, 4),
)
axes["loss"].semilogy(passes, history[:, "train_loss"], "o-", ms=4, color="0.3")
axes["loss"].set(ylabel="Loss (nats)", title="Training")
axes["held out"].plot(passes, held_out, "o-", ms=4, color="#0072B2")
axes["held out"].set(ylabel="Loss / chance", ylim=(0, 1.2), title="Held-out people")
axes["held out"].set(xlabel="Pass over the epochs", xticks=passes[::2])
axes["loss"].sharex(axes["held out"])
axes["loss"].tick_params(labelbottom=False)
for name in ("loss", "held out"):
    axes[name].axvline(passes[np.argmin(held_out)], color="0.5", ls="--", lw=1)

rng = np.random.default_rng(0)
height = subjects[test] + rng.uniform(-0.25, 0.25, test.sum())
for label, color, name in (("No", "#0072B2", "rest"), ("Yes", "#E69F00", "active")):
    own = y[test] == label
    axes["proba"].scatter(proba[own, 1], height[own], s=25, color=color, alpha=0.8, label=name)
axes["proba"].axvline(0.5, color="0.6", ls=":")
axes["proba"].set(yticks=np.unique(subjects[test]), ylabel="Person", xlim=(-0.03, 1.03))
axes["proba"].set(xlabel='Probability of "Yes"', title="Test epochs")
axes["proba"].set_ylim(top=subjects.max() + 1.1)
axes["proba"].legend(loc="upper center", ncols=2, frameon=False)
plot_confusion(y[test], predicted, pipe.classes_, axes=axes["confusion"], show=False)
plt.show()
