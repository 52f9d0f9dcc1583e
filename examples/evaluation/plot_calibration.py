"""
Probabilities and calibration
=============================

``predict_proba`` says how sure a model is. Whether it is right as often as it is sure is another
question, and accuracy does not answer it. Here we tune a classifier on some people, measure on
others how far its confidence is from how often it is right, and correct that with one number, a
temperature. For anyone who wants to act on a probability: to ask for a second reading, say, where
the model is in doubt.
"""
# Licence: BSD-3-Clause

# %%
# Three groups of people
# ----------------------
# A temperature has to be fitted on people whom the tuning has not seen, since a model is sure of
# what it has learnt by heart. It has to be judged on a third group. So we simulate EEG of 36
# people, at rest or active, and compute the tokens once.

import matplotlib.pyplot as plt
import mne

from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.evaluation import (
    expected_calibration_error,
    score_predictions,
    subject_bootstrap,
)
from mne_neurolm.evaluation.intervals import Unit
from mne_neurolm.viz import plot_calibration

mne.set_log_level("warning")
epochs = simulate_epochs(n_subjects=36, n_epochs_per_subject=16, duration=2.0, random_state=0)
y = epochs.metadata["state"].map({"rest": "No", "active": "Yes"}).to_numpy()
subjects = epochs.metadata["subject"].to_numpy()
train, held_out, test = subjects < 10, (subjects >= 10) & (subjects < 20), subjects >= 20
tokens = NeuroLMTokenizer().fit_transform(epochs)

# %%
# Tune, then calibrate
# --------------------
# The first classifier is tuned and keeps its probabilities as they are. Twenty passes over ten
# people make it surer than it should be, which is what this page needs. The second one takes the
# tuned model, changes none of its weights (``tune=None``) and fits a temperature on the people
# held out.
#
# In one step, ``NeuroLMClassifier("workload", calibration="temperature").fit(tokens, y,
# groups=subjects)`` does both: it sets a fifth of the people aside by itself. See :doc:`/tuning`.

plain = NeuroLMClassifier(
    "workload", tune="head", lr=3e-3, max_epochs=20, calibration=None, random_state=0
)
plain.fit(tokens[train], y[train])
calibrated = NeuroLMClassifier("workload", plain.model_, tune=None, calibration="temperature")
calibrated.fit(tokens[held_out], y[held_out])
print(f"Temperature {calibrated.temperature_:.1f}: above 1, the model was too sure of itself.")

# %%
# What changes, and what does not
# -------------------------------
# The log-probabilities of the answers are divided by the temperature. The likeliest answer stays
# the likeliest, so balanced accuracy stays, and for two classes AUROC stays too. What changes is
# the expected calibration error (:func:`~mne_neurolm.evaluation.expected_calibration_error`): the
# mean distance between confidence and the share of right answers, over bins of confidence.

truth = (y[test] == plain.classes_[1]).astype(int)
probabilities = {
    "as tuned": plain.predict_proba(tokens[test]),
    "with a temperature": calibrated.predict_proba(tokens[test]),
}
for name, proba in probabilities.items():
    scores = score_predictions(y[test], proba, plain.classes_)
    error = expected_calibration_error(truth, proba, n_bins=10)
    print(
        f"{name:>18}: balanced accuracy {scores['balanced_accuracy']:.2f}, "
        f"AUROC {scores['auroc']:.2f}, calibration error {error:.2f}"
    )

# %%
# These people are simulated: the scores say nothing about real EEG. How much they would change
# with sixteen other people, :func:`~mne_neurolm.evaluation.subject_bootstrap` says, which draws
# people again, not epochs.

intervals = subject_bootstrap([Unit(truth, [probabilities["as tuned"]], subjects[test])])
low, high = intervals["balanced_accuracy"]
print(f"Balanced accuracy, 95% interval over people: {low:.2f} to {high:.2f}")

# %%
# What a probability is worth
# ---------------------------
# Suppose that only answers of which the model is at least 80% sure are used, and someone looks at
# the rest. How sure it is of those used, on average, should be how often it is right.

for name, proba in probabilities.items():
    confidence = proba.max(axis=1)
    sure = confidence >= 0.8
    right = proba.argmax(axis=1) == truth
    print(
        f"{name:>18}: {sure.sum()} of {len(sure)} answers used, {confidence[sure].mean():.0%} sure "
        f"and {right[sure].mean():.0%} right"
    )

# %%
# As tuned, the model is sure of most answers, and wrong far more often than it says. With a
# temperature fewer are used, and they are worth about what it says.
#
# The whole curve
# ---------------
# :func:`~mne_neurolm.viz.plot_calibration` draws all bins of
# :func:`~mne_neurolm.evaluation.reliability_curve`. On the dashed diagonal, confidence is what it
# says; the red lines are the distances that make up the error. As tuned, most epochs are in the
# bin at the right, whose point lies far below the diagonal. With a temperature, confidence
# spreads, and the points come near the diagonal. Small points are few epochs, and their height is
# uncertain.

fig, axes = plt.subplots(
    2, 2, figsize=(8, 5), layout="constrained", sharex=True, sharey="row", height_ratios=(3, 1)
)
for column, (name, proba) in zip(axes.T, probabilities.items(), strict=True):
    error = expected_calibration_error(truth, proba, n_bins=10)
    title = f"{name[0].upper()}{name[1:]}: calibration error {error:.2f}"
    plot_calibration(truth, proba, n_bins=10, title=title, axes=tuple(column), show=False)
axes[0, 1].set_ylabel("")
axes[1, 1].set_ylabel("")
plt.show()
