"""
Pretrain on a folder of recordings
==================================

From recordings and text on a disk to a model that the estimators load: prepare both, train the
neural tokenizer, then the language model, and look at the curves. The same commands run on a laptop
and on a cluster; here they run for half a minute, which teaches a network nothing. For anyone with
unlabelled EEG and time on a GPU.
"""
# Licence: BSD-3-Clause

# %%
# A folder of recordings
# ----------------------
# Any format that MNE-Python reads will do. Ours are simulated, from six people, at 250 Hz and with
# line noise at 50 Hz. The first folder below the source is taken for the person, so that no one is
# both trained on and validated with.

import inspect
import tempfile
from pathlib import Path

import mne
import numpy as np

from mne_neurolm import NeuroLMTokenizer
from mne_neurolm.cli import main as mne_neurolm
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.prepare_text import prepare_text
from mne_neurolm.store import Store
from mne_neurolm.viz import plot_training

mne.set_log_level("warning")
temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
for person in range(6):
    epochs = simulate_epochs(1, 30, sfreq=250.0, random_state=person)
    eeg = np.hstack(epochs.get_data())  # channels by samples, two minutes
    eeg += 5e-6 * np.sin(2 * np.pi * 50 * np.arange(eeg.shape[1]) / epochs.info["sfreq"])
    file = folder / "recordings" / f"person{person}" / "rest_raw.fif"
    file.parent.mkdir(parents=True)
    mne.io.RawArray(eeg, epochs.info).save(file)

# %%
# And of text
# -----------
# Every step of training also sees text, so that the language model keeps its language. It should
# be plenty; here the documentation of MNE-Python's functions has to do.

(folder / "texts").mkdir()
for name, function in inspect.getmembers(mne, inspect.isfunction):
    (folder / "texts" / f"{name}.txt").write_text(inspect.getdoc(function) or "", encoding="utf-8")

# %%
# Prepare both
# ------------
# ``mne_neurolm.cli.main`` is the command ``mne-neurolm``, with its arguments in a list. In a
# shell, the first of these is ``mne-neurolm prepare recordings --output store --line-freq 50``. It
# filters, removes line noise, resamples to 200 Hz and writes 16-bit integers into a :doc:`store
# </store>`. It returns an exit status, 0 if all is well.

store, text = str(folder / "store"), str(folder / "text")
options = ["--output", store, "--line-freq", "50", "--n-jobs", "1", "--quiet"]
assert mne_neurolm(["prepare", str(folder / "recordings"), *options]) == 0

# %%
# Text becomes token ids: ``mne-neurolm prepare-text texts --output text``, which is a function as
# well.

print(prepare_text([folder / "texts"], text, n_jobs=1, verbose="warning"))

# %%
# :class:`~mne_neurolm.store.Store` reads any window of the EEG: here two seconds of the first
# recording, in volts.

print(Store(store).volts(0, start=2000, n_times=400).shape)

# %%
# Train two stages
# ----------------
# The neural tokenizer learns codes from which EEG can be rebuilt. The language model, which reads
# EEG through it, learns to predict the codes of the next second. One person in six is held out for
# validation. ``--max-steps`` and ``--batch-size`` cut the recipe of the preset down to what fits
# here.

short = ["--preset", "tiny", "--max-steps", "30", "--batch-size", "8", "--no-progress"]
short += ["--data.num-workers", "0", "--data.val-fraction", "0.2", "--runtime.trackers"]
both = ["--store", store, "--text", text, *short]
tokenizer, language_model = str(folder / "tokenizer"), str(folder / "autoregressive")
assert mne_neurolm(["pretrain", "tokenizer", *both, "--output", tokenizer]) == 0
both += ["--init", tokenizer]
assert mne_neurolm(["pretrain", "autoregressive", *both, "--output", language_model]) == 0

# %%
# The result is a folder that every ``model=`` takes. A third stage, ``instruct``, would teach it
# to answer questions; :class:`~mne_neurolm.NeuroLMClassifier` does so too.

print(NeuroLMTokenizer(f"{language_model}/model").fit_transform(epochs))

# %%
# Look at the curves
# ------------------
# :func:`~mne_neurolm.viz.plot_training` works while a run goes on, and a finished one has the same
# figure in its ``report.html``. Of the tokenizer, look at the losses of spectrum and waveform: 1
# is the error of a guess at the mean, and after thirty steps they are hardly below it. The
# codebook has to end up with many codes in use; it starts with a collapse, from which it recovers
# slowly.

fig = plot_training(tokenizer)

# %%
# The language model soon guesses one token of text in five. Of the codes of the next second it
# guesses next to none: it has learnt nothing about EEG. Thirty steps on ten minutes of noise
# cannot teach that; the paper's models have seen 25,000 hours of EEG. What that takes in bytes,
# memory and hours is on the page :doc:`/cost`. Stopping and resuming, many GPUs and all settings
# are on :doc:`/pretraining`.

# sphinx_gallery_thumbnail_number = 1
fig = plot_training(language_model)
temporary.cleanup()
