"""
Your own task and prompt
========================

A task is a question and its answers in words. Here is one with three answers: what the language
model reads, how it is tuned on epochs of three kinds, and how it divides its trust among the
answers. For those whose classes are not among the paper's.
"""

# Licence: BSD-3-Clause
# sphinx_gallery_thumbnail_number = 2

# %%
# Three kinds of EEG
# ------------------
# :func:`~mne_neurolm.datasets.simulate_epochs` makes people who rest or are active. A third kind is
# made from every other resting epoch: a slow rhythm near 6 Hz over the top of the head is added,
# roughly as in people who get drowsy. So that all kinds are equally frequent, every other active
# epoch is left out.

import matplotlib.pyplot as plt
import mne
import numpy as np
from sklearn.pipeline import make_pipeline

from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer, Task
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.viz import plot_confusion

mne.set_log_level("warning")
rng = np.random.default_rng(0)
epochs = simulate_epochs(n_subjects=15, n_epochs_per_subject=20, random_state=0, effect=1.5)
odd = epochs.metadata.groupby(["subject", "state"]).cumcount() % 2 == 1
drowsy = (odd & (epochs.metadata["state"] == "rest")).to_numpy()
epochs.metadata.loc[drowsy, "state"] = "drowsy"

places = np.array([channel["loc"][:3] for channel in epochs.info["chs"]])
distance = np.linalg.norm(places - places[epochs.ch_names.index("Cz")], axis=1)
freqs, phases = rng.normal(6, 0.4, (drowsy.sum(), 1)), rng.uniform(0, 2 * np.pi, (drowsy.sum(), 1))
rhythm = 25e-6 * np.sin(2 * np.pi * freqs * epochs.times + phases)  # volts
data = epochs.get_data()
data[drowsy] += np.exp(-0.5 * (distance / 0.055) ** 2)[:, None] * rhythm[:, None]
epochs = mne.EpochsArray(data, epochs.info, metadata=epochs.metadata)
epochs = epochs[~(odd & (epochs.metadata["state"] == "active")).to_numpy()]

# %%
# The maps show where each kind has more power than the mean of the three, and where less.

kinds = ["rest", "active", "drowsy"]
bands = {"theta": (5, 7), "alpha": (8, 12), "beta": (15, 25)}
fig, axes = plt.subplots(3, 3, figsize=(6.5, 5.5), layout="constrained")
spectra = epochs.compute_psd(fmax=30)
for row, (band, (fmin, fmax)) in zip(axes, bands.items(), strict=True):
    of_kinds = [spectra[f"state == '{kind}'"].get_data(fmin=fmin, fmax=fmax) for kind in kinds]
    decibel = np.array([10 * np.log10(power.mean(axis=(0, 2))) for power in of_kinds])
    for ax, values, kind in zip(row, decibel - decibel.mean(axis=0), kinds, strict=True):
        image, _ = mne.viz.plot_topomap(
            values, epochs.info, axes=ax, cmap="RdBu_r", vlim=(-6, 6), contours=0, show=False
        )
        ax.set_title(f"{kind}, {band}", fontsize="medium")
fig.colorbar(image, ax=axes, label="Power (dB from the mean of the kinds)", shrink=0.5)
plt.show()

# %%
# Question and answers
# --------------------
# The keys of ``answers`` are the labels in ``y``, of any type: here the words in the metadata. The
# values are what the model answers. Plain and different words serve best. ``phrasings`` are other
# wordings of the question: :func:`~mne_neurolm.tune_instructions` asks in all of them,
# :class:`~mne_neurolm.NeuroLMClassifier` in the first alone.

task = Task(
    "vigilance",
    question="What is this person doing?",
    answers={"rest": "resting", "active": "working", "drowsy": "falling asleep"},
    phrasings=("Which state is the person of this EEG in?",),
)
print(task.prompt(), task.answer_texts())

# %%
# That is the text which follows the EEG, and the texts which are compared as its continuations.
# With ``options`` the answers are part of the question, as words or by letter. To answer with a
# letter a model must have learnt to read such lists, and the bundled ones have not.

for options in ("words", True):
    listing = Task(task.name, task.question, task.answers, options=options)
    print(listing.prompt(), listing.answer_texts())

# %%
# Tune and ask
# ------------
# Ten people train, five others are asked. The settings are those of
# :doc:`/auto_examples/answers/plot_tune_classifier`.

y = epochs.metadata["state"].to_numpy(dtype=str)
subjects = epochs.metadata["subject"].to_numpy()
train, test = subjects < 10, subjects >= 10
classifier = NeuroLMClassifier(
    task,
    tune="head",
    lr=3e-3,
    batch_size=16,
    max_epochs=12,
    average=0.9,
    patience=3,
    validation_fraction=0.3,
    calibration="temperature",
    random_state=0,
)
pipe = make_pipeline(NeuroLMTokenizer(), classifier)
pipe.fit(epochs[train], y[train], neurolmclassifier__groups=subjects[train])
proba = pipe.predict_proba(epochs[test])
predicted = pipe.predict(epochs[test])
print(pipe.classes_, proba[:3].round(2), sep="\n")

# %%
# Nothing was generated for that: each answer's probability is computed. The model can also write,
# and what it writes need not be one of the answers.

print(pipe[-1].answer(epochs[test][:3]), y[test][:3])

# %%
# Three probabilities in a plane
# ------------------------------
# Every dot is an epoch of a person who was not in training. In a corner, the model is sure of one
# answer; in the centre, all three are alike; on an edge, it hesitates between two. Dots have the
# colour of the right answer, so each corner should have one colour. Simulated EEG
# proves nothing about real EEG.

fig, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.2), layout="constrained")
corners = np.array([[0, 0], [1, 0], [0.5, np.sqrt(0.75)]])
left.fill(*corners.T, facecolor="0.96", edgecolor="0.4")
columns = [pipe.classes_.tolist().index(kind) for kind in kinds]
points = proba[:, columns] @ corners + rng.normal(0, 0.01, (len(proba), 2))
colors = ["#0072B2", "#D55E00", "#CC79A7"]
for kind, color, (x, height) in zip(kinds, colors, corners, strict=True):
    own = points[y[test] == kind]
    left.scatter(*own.T, s=35, color=color, alpha=0.8, edgecolor="white", lw=0.4)
    place = {"ha": "center", "va": "bottom" if height else "top"}
    left.text(x, height + (0.05 if height else -0.05), task.answers[kind], color=color, **place)
left.set(aspect="equal", xlim=(-0.12, 1.12), ylim=(-0.12, 0.98))
left.set_title(f"{len(points)} epochs, coloured by the right answer", fontsize="medium")
left.axis("off")
names = [task.answers[kind] for kind in kinds]
plot_confusion(y[test], predicted, kinds, names=names, axes=right, show=False)
plt.show()
