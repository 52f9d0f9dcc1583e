"""
A MOABB benchmark
=================

MOABB runs pipelines on public data sets with the same splits for all, and the package has files for
it: NeuroLM in three ways, of which two fit motor imagery of any kind, and simple methods beside it.
Here they run on a data set of a few simulated people, so that nothing is downloaded; a data set of
MOABB, or one of yours, goes in its place. For anyone who wants to know whether a foundation model
is worth it.
"""
# Licence: BSD-3-Clause

# %%
# A data set
# ----------
# MOABB asks a data set for continuous recordings with annotated trials. Ours are joined epochs of
# :func:`~mne_neurolm.datasets.simulate_epochs`, four seconds each. A trial is the two seconds in
# the middle of one, away from the joints.

import tempfile
import warnings

import matplotlib.pyplot as plt
import mne
import numpy as np
from moabb.datasets.base import BaseDataset
from moabb.evaluations import CrossSubjectEvaluation
from moabb.paradigms import MotorImagery
from moabb.pipelines.utils import parse_pipelines_from_directory

from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.evaluation import BenchmarkResults, moabb_pipelines
from mne_neurolm.viz import plot_benchmark

mne.set_log_level("warning")
warnings.filterwarnings("ignore", module="moabb")  # it calls MNE and h5py in their old ways


class SimulatedPeople(BaseDataset):
    """Eight people at rest and active, 16 trials each."""

    def __init__(self):
        super().__init__(
            subjects=list(range(1, 9)),
            sessions_per_subject=1,
            events={"active": 1, "rest": 2},
            code="SimulatedPeople",
            interval=[1.0, 3.0],
            paradigm="imagery",
        )

    def _get_single_subject_data(self, subject):
        epochs = simulate_epochs(
            1, 16, ch_names=["F3", "F4", "C3", "Cz", "C4", "Pz", "O1", "O2"], random_state=subject
        )
        raw = mne.io.RawArray(np.hstack(epochs.get_data()), epochs.info)
        onsets = 4.0 * np.arange(len(epochs))
        raw.set_annotations(mne.Annotations(onsets, 2.0, epochs.metadata["state"]))
        return {"0": {"0": raw}}

    def data_path(self, subject, *args, **kwargs):
        """Return the files of a person: there are none."""
        return []


# %%
# Choose the pipelines
# --------------------
# :func:`~mne_neurolm.evaluation.moabb_pipelines` is a folder of YAML files, and each names its
# paradigms. We take those for motor imagery. They are scikit-learn pipelines like any other: here
# the tuned one gets fewer passes, in larger batches, than its file says, to save time.

files = parse_pipelines_from_directory(moabb_pipelines())
pipelines = {f["name"]: f["pipeline"] for f in files if "MotorImagery" in f["paradigms"]}
shorter = {"questionclassifier__max_epochs": 5, "questionclassifier__batch_size": 16}
pipelines["NeuroLM tiny, tuned"] = pipelines["NeuroLM tiny, tuned"].set_params(**shorter)
print(*pipelines, sep="\n")

# %%
# Run them
# --------
# Every person is left out once. The band matters: MOABB's default for imagery is 8 to 32 Hz, and
# NeuroLM was trained on 0.1 to 75 Hz. ``hdf5_path`` is where MOABB keeps results, here a folder
# that is removed.
#
# On a data set that MOABB knows, ``moabb.benchmark(pipelines=moabb_pipelines(),
# contexts=moabb_contexts(), ...)`` does all this in one call: see :doc:`/moabb`.

with tempfile.TemporaryDirectory() as folder:
    evaluation = CrossSubjectEvaluation(
        paradigm=MotorImagery(events=["active", "rest"], n_classes=2, fmin=0.1, fmax=60),
        datasets=[SimulatedPeople()],
        return_epochs=True,
        random_state=42,
        hdf5_path=folder,
    )
    results = evaluation.process(pipelines)

# %%
# The numbers
# -----------
# :class:`~mne_neurolm.evaluation.BenchmarkResults` takes what MOABB returns. The table has mean
# and standard deviation over people, with chance and the seconds of a fit.

comparison = BenchmarkResults(results)
table = comparison.table()
table[["pipeline", "score", "std", "chance", "time"]].round(2)

# %%
# Every pipeline saw the same people, so differences are paired. With eight people no p can be
# below 1/256, about 0.004, and none is corrected for the number of comparisons.

differences = comparison.compare()
differences[["pipeline", "other", "difference", "p"]].head().round(3)

# %%
# Everybody under every pipeline
# ------------------------------
# A mark is a person, at the same height in every row, and the bar is their mean; the dotted line
# is chance, and NeuroLM is blue. CSP and band power are ahead. The states of these people differ
# in band power and in nothing else, which is what they measure, and averages over 50 ms do not see
# it. So this is no forecast for real EEG, but it is a reason never to leave the simple methods
# out.
#
# ``comparison.to_html("comparison.html")`` writes a page with all of this.

with plt.style.context("default"):  # MOABB changes it on import
    plot_benchmark(
        comparison.results,
        highlight=list(comparison.models),
        chance=table["chance"].iloc[0],
        label="ROC AUC",
        title="Eight simulated people, each left out once",
    )
