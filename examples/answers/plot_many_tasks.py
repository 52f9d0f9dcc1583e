"""
Many tasks, one set of weights
==============================

:func:`~mne_neurolm.tune_instructions` teaches one model several questions at once, about EEG of
different montages and lengths; afterwards the question decides what it answers. Here are three
tasks, answered by one model and by three. For those who have more than one data set, or more than
one label.
"""

# Licence: BSD-3-Clause

# %%
# Two labels for the same EEG
# ---------------------------
# The first study has thirty people, ten channels and epochs of 4 s. People rest or are active;
# besides, each epoch has a slow rhythm on the left or on the right, above T3 or T4. The two labels
# have nothing to do with each other, so a model must read the question to know which is asked for.

import matplotlib.pyplot as plt
import mne
import numpy as np
from sklearn.metrics import balanced_accuracy_score

from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer, Task, tune_instructions
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.training import TrainingConfig

mne.set_log_level("warning")
names = ["F3", "F4", "T3", "T4", "C3", "Cz", "C4", "Pz", "O1", "O2"]
epochs = simulate_epochs(30, 8, ch_names=names, random_state=0, effect=1.5)
rng = np.random.default_rng(0)
side = rng.permuted(np.tile(["left", "right"], (30, 4)), axis=1).ravel()

places = np.array([channel["loc"][:3] for channel in epochs.info["chs"]])
data = epochs.get_data()
for label, name in {"left": "T3", "right": "T4"}.items():
    n_epochs = np.sum(side == label)
    freqs, phases = rng.normal(6, 0.4, (n_epochs, 1)), rng.uniform(0, 2 * np.pi, (n_epochs, 1))
    rhythm = 20e-6 * np.sin(2 * np.pi * freqs * epochs.times + phases)  # volts
    distance = np.linalg.norm(places - places[names.index(name)], axis=1)
    data[side == label] += np.exp(-0.5 * (distance / 0.055) ** 2)[:, None] * rhythm[:, None]
epochs = mne.EpochsArray(data, epochs.info, metadata=epochs.metadata)

# %%
# A second study, with other people, four channels and epochs of 2 s, has rest and activity again.

midline = ["Fz", "Cz", "Pz", "Oz"]
short = simulate_epochs(30, 8, duration=2, ch_names=midline, random_state=1, effect=1.5)

# %%
# Three tasks
# -----------
# Tasks that ask different things have answers of their own: words that two tasks share would mean
# something to both (:doc:`/tuning` has an example of the price). A question may have several
# wordings, and tuning asks in all of them. Tokens are computed once.

tokens, short_tokens = (NeuroLMTokenizer().fit_transform(each) for each in (epochs, short))
active = Task(
    "active",
    "Is the person active?",
    {"rest": "No", "active": "Yes"},
    phrasings=("Is somebody busy in this EEG?",),
)
slow = Task("slow", "On which side is the slow rhythm?", {"left": "left", "right": "right"})
doing = Task("doing", "What does this person do?", {"rest": "rest", "active": "work"})
data_of = {
    active: (tokens, epochs.metadata["state"].to_numpy(dtype=str)),
    slow: (tokens, side),
    doing: (short_tokens, short.metadata["state"].to_numpy(dtype=str)),
}

# %%
# In both studies people 0 to 14 are trained on, 15 to 19 decide when it is enough and how sure the
# answers may be, and 20 to 29 are tested.

subjects = epochs.metadata["subject"].to_numpy()  # numbered alike in both studies
train, validation, test = subjects < 15, (subjects >= 15) & (subjects < 20), subjects >= 20


def tune(tasks):
    """Tune the bundled model on some of the tasks."""
    to_train, to_validate = (
        {task: (data_of[task][0][part], data_of[task][1][part]) for task in tasks}
        for part in (train, validation)
    )
    return tune_instructions(
        to_train,
        validation=to_validate,
        tune="head",
        channel_dropout=0.4,
        average=0.9,
        patience=3,
        calibration="temperature",
        config=TrainingConfig(max_epochs=6, batch_size=16, lr=3e-3, min_lr=3e-4, progress=False),
    )


joint = tune(data_of)
models = {"joint": dict.fromkeys(data_of, joint), "alone": {task: tune([task]) for task in data_of}}

# %%
# Ask
# ---
# :class:`~mne_neurolm.NeuroLMClassifier` with ``tune=None`` asks a model as it is; ``fit`` only
# tells it the classes. It finds the temperature of the task in the model.

proba, scores = {}, {}
for kind, model_of in models.items():
    for task, (X, y) in data_of.items():
        classifier = NeuroLMClassifier(task, model_of[task], tune=None).fit(X[train], y[train])
        proba[kind, task] = classifier.predict_proba(X[test])
        predicted = classifier.classes_[proba[kind, task].argmax(axis=1)]
        scores[kind, task] = balanced_accuracy_score(y[test], predicted)

# %%
# One model or three
# ------------------
# On the left are the scores on ten people per task who were not in training. One model is no worse
# than three here, and has a third of the weights. In part this is because it makes as many steps as
# the three together: in as many passes, each of them makes fewer. It need not be so with other
# tasks, so compare before you add one.
#
# On the right, each dot is an epoch of the first study, about which the joint model was asked
# twice. Colour is the state, and arrows point to the side of the slow rhythm. Four groups in four
# corners say that the answer follows the question: the state decides how far right a dot is, and
# the side how high. Simulated EEG proves nothing about real EEG.

fig, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4.3), layout="constrained")
rows = np.arange(len(data_of))[::-1]
for kind, color, marker, label, shift in (
    ("joint", "#0072B2", "o", "one model", 0.06),
    ("alone", "#D55E00", "s", "a model each", -0.06),
):
    values = [scores[kind, task] for task in data_of]
    left.plot(values, rows + shift, marker, color=color, ms=9, label=label)
left.axvline(0.5, color="0.6", ls=":", label="chance")
questions = [task.question for task in data_of]
left.set(yticks=rows, yticklabels=questions, ylim=(-0.5, 2.5), xlim=(0.45, 1.02))
left.set(xlabel="Balanced accuracy", title="Ten people per task")
left.legend(loc="center left", bbox_to_anchor=(0.1, 0.33), frameon=False)

state, place = data_of[active][1][test], side[test]  # classes are sorted: active, left come first
points = np.column_stack([proba["joint", active][:, 0], proba["joint", slow][:, 1]])
points += rng.normal(0, 0.012, points.shape)  # so that they do not hide each other
for label, color in (("rest", "#0072B2"), ("active", "#E69F00")):
    for where, marker in (("left", "<"), ("right", ">")):
        own = points[(state == label) & (place == where)]
        right.scatter(*own.T, s=40, c=color, marker=marker, alpha=0.8, label=f"{label}, {where}")
right.axhline(0.5, color="0.6", ls=":", zorder=0)
right.axvline(0.5, color="0.6", ls=":", zorder=0)
right.set(xlabel=f'{active.question} Probability of "Yes"', aspect="equal")
right.set(ylabel=f'{slow.question}\nProbability of "right"', title="One model, asked twice")
right.legend(loc="center left", bbox_to_anchor=(1, 0.5), title="True labels", frameon=False)
plt.show()
