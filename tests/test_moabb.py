"""MOABB's evaluations on real trials, offline."""

from __future__ import annotations

from collections.abc import Callable

import mne
import numpy as np
import pandas as pd
import pytest
from mne.decoding import CSP
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer, Task
from mne_neurolm.models.revision import model_revision

pytest.importorskip("moabb", reason="MOABB is not installed")

# MOABB 1.7.2 asks MNE 1.13 for montages by their old names, and h5py 3.16 for datasets in its old
# way.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Montage name 'standard_10:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Creating a dataset without passing data or dtype"),
]

HANDS = Task(
    "hands", "Which hand does the subject imagine?", {"left_hand": "left", "right_hand": "right"}
)
BROAD = dict(fmin=1, fmax=75)  # what the model was trained on, as far as 160 Hz allow
Evaluate = Callable[..., pd.DataFrame]


@pytest.fixture(autouse=True)
def offline(shared_data, monkeypatch, tmp_path) -> None:
    """Point MOABB to recordings on this disk, and let it write nowhere but in tmp_path."""
    if not (shared_data / "mne_data" / "MNE-eegbci-data").is_dir():
        pytest.skip(f"no EEGBCI recordings in {shared_data / 'mne_data'}")
    monkeypatch.setenv("MNE_DATA", str(shared_data / "mne_data"))
    monkeypatch.setenv("MOABB_DOWNLOAD_PROVIDER", "upstream")
    monkeypatch.setenv("_MNE_FAKE_HOME_DIR", str(tmp_path))


@pytest.fixture
def dataset():
    from moabb.datasets import PhysionetMI

    dataset = PhysionetMI()
    dataset.subject_list = [1]
    return dataset


@pytest.fixture
def evaluate(dataset, tmp_path) -> Evaluate:
    from moabb.evaluations import WithinSessionEvaluation
    from moabb.paradigms import LeftRightImagery

    def run(pipelines: dict[str, Pipeline], *, return_epochs: bool, **band: float) -> pd.DataFrame:
        evaluation = WithinSessionEvaluation(
            paradigm=LeftRightImagery(resample=200, **band),
            datasets=[dataset],
            return_epochs=return_epochs,
            n_splits=2,  # for speed
            random_state=0,
            overwrite=True,
            hdf5_path=str(tmp_path),
        )
        with mne.use_log_level("WARNING"):  # CSP tells of every rank
            return evaluation.process(pipelines)

    return run


@pytest.fixture
def ch_names(dataset) -> list[str]:
    """Return the names of MOABB's arrays, which come without them."""
    from moabb.paradigms import LeftRightImagery

    return LeftRightImagery(resample=200).get_data(dataset, return_epochs=True)[0].ch_names


def _neurolm(**parameters) -> Pipeline:
    return make_pipeline(
        NeuroLMTokenizer(**parameters), NeuroLMClassifier(HANDS, max_epochs=2, random_state=0)
    )


def _as_array(X: mne.BaseEpochs) -> np.ndarray:
    return X.get_data()


def _csp(*first) -> Pipeline:
    return make_pipeline(*first, CSP(n_components=6, reg=0.1), LinearDiscriminantAnalysis())


def _check(results: pd.DataFrame, pipelines: dict[str, Pipeline]) -> None:
    assert sorted(results["pipeline"]) == sorted(pipelines)
    assert results["score"].between(0, 1).all()
    assert (results["samples"] == 45).all() and (results["channels"] == 64).all()


def test_epochs(evaluate):
    pipelines = {"NeuroLM": _neurolm(), "CSP+LDA": _csp(FunctionTransformer(_as_array))}
    _check(evaluate(pipelines, return_epochs=True, **BROAD), pipelines)


def test_arrays(evaluate, ch_names):
    array = dict(ch_names=ch_names, sfreq=200.0, unit="uV")
    pipelines = {"NeuroLM": _neurolm(**array), "CSP+LDA": _csp()}
    _check(evaluate(pipelines, return_epochs=False, **BROAD), pipelines)


def test_the_default_band_is_too_narrow(evaluate):
    """MOABB's motor imagery comes in 8 to 32 Hz, which the model was not trained on."""
    probe = make_pipeline(NeuroLMTokenizer(), StandardScaler(), LogisticRegression(C=0.01))
    with pytest.warns(RuntimeWarning, match="8 to 32 Hz, which is too narrow.*0.1 to 75 Hz"):
        results = evaluate({"probe": probe}, return_epochs=True)
    _check(results, {"probe": probe})


def test_epochs_and_arrays_in_any_unit_are_the_same(dataset, ch_names):
    from moabb.paradigms import LeftRightImagery

    paradigm = LeftRightImagery(resample=200, **BROAD)
    epochs, _, _ = paradigm.get_data(dataset, return_epochs=True)
    microvolts, y, _ = paradigm.get_data(dataset)
    assert microvolts.shape == (45, 64, 601) and set(y) == set(HANDS.labels)
    settings = dict(output="codes", dtype="float32")
    codes = NeuroLMTokenizer(**settings).fit_transform(epochs)
    assert codes.shape == (45, 3 * 64)
    settings |= dict(ch_names=ch_names, sfreq=200.0)
    for unit, data in (("uV", microvolts), ("V", microvolts * 1e-6), ("mV", microvolts * 1e-3)):
        found = NeuroLMTokenizer(unit=unit, **settings).fit_transform(data)
        np.testing.assert_array_equal(found, codes)


def test_key_of_cached_results():
    """MOABB keeps results by the representation of a pipeline's parameters."""
    from moabb.analysis.results import get_digest, get_string_rep

    pipe = _neurolm()
    text = get_string_rep(pipe).decode()
    assert "'neurolmtokenizer__model': 'tiny'" in text and "NeuroLMClassifier(" in text
    assert f"'neurolmtokenizer': {pipe[0]}, 'neurolmclassifier': {pipe[1]}" in text
    assert f"[{model_revision('tiny')}]" in repr(pipe[0])
    assert get_digest(pipe) == get_digest(clone(pipe))
    for parameters in (dict(model="neurolm-b"), dict(revision="v2"), dict(output="codes")):
        assert get_digest(_neurolm(**parameters)) != get_digest(pipe)
    for name, value in (("model", "neurolm-b"), ("revision", "v2"), ("tune", None), ("lr", 1e-3)):
        other = clone(pipe).set_params(**{f"neurolmclassifier__{name}": value})
        assert get_digest(other) != get_digest(pipe)
    assert "model='tiny', revision=None" in repr(pipe)
