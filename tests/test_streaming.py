"""Estimators over continuous recordings: the same as over epochs, in parts, and what goes wrong."""

from __future__ import annotations

import warnings
from pathlib import Path

import mne
import numpy as np
import pytest
from pages import run_page
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from mne_neurolm import (
    EEGTokens,
    NeuroLMClassifier,
    NeuroLMTokenizer,
    apply_to_raw,
    prepare_raw,
)
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.streaming import RecordingOutput
from mne_neurolm.streaming.checks import fault_as_read
from mne_neurolm.streaming.values import NpyWriter

CH_NAMES = ["Fz", "C3", "C4", "Pz", "O1"]
DURATION = 4.0


class Spy(mne.io.RawArray):
    """A recording that counts what is asked of it, and ends before it should if it is told to."""

    largest = 0
    ends_at: int | None = None

    def get_data(self, picks=None, start=0, stop=None, **kwargs):
        stop = self.n_times if stop is None else stop
        self.largest = max(self.largest, stop - start)
        if self.ends_at is not None and stop > self.ends_at:
            raise OSError("unexpected end of file")
        return super().get_data(picks=picks, start=start, stop=stop, **kwargs)


def make_raw(seconds: float, sfreq: float = 256.0) -> Spy:
    """Return simulated EEG with an offset, drift and line noise, and a channel that is none."""
    whole = simulate_epochs(1, 2, duration=seconds, sfreq=sfreq, ch_names=CH_NAMES, random_state=0)
    data = whole.get_data(copy=False)[0]
    times = np.arange(data.shape[1]) / sfreq
    data = data + 1e-3 + 1e-4 * np.sin(2 * np.pi * 0.02 * times)
    data += 1e-5 * np.sin(2 * np.pi * 50.0 * times)
    info = mne.create_info([*CH_NAMES, "ECG"], sfreq, ["eeg"] * len(CH_NAMES) + ["ecg"])
    info["line_freq"] = 50.0
    return Spy(np.vstack([data, 1e-3 * np.sin(times)]), info, verbose="error")


def by_hand(raw: mne.io.BaseRaw, duration: float = DURATION, overlap: float = 0.0) -> mne.Epochs:
    """Return the epochs of a recording that is prepared as a whole."""
    prepared = prepare_raw(raw, verbose="error")
    return mne.make_fixed_length_epochs(
        prepared, duration, overlap=overlap, preload=True, verbose="error"
    )


@pytest.fixture(scope="module")
def short() -> Spy:
    """Return 42 s, which are one segment."""
    return make_raw(42.0)


@pytest.fixture(scope="module")
def long() -> Spy:
    """Return 243.3 s, which are four segments of 60 s."""
    return make_raw(243.3)


@pytest.fixture(scope="module")
def tokenizer(small_model, short) -> NeuroLMTokenizer:
    return NeuroLMTokenizer(small_model, "codes", dtype="float32").fit(by_hand(short))


@pytest.fixture(scope="module")
def classifier(small_model, short) -> NeuroLMClassifier:
    epochs = by_hand(short)
    classifier = NeuroLMClassifier("workload", small_model, tune=None, dtype="float32")
    return classifier.fit(epochs, np.arange(len(epochs)) % 2)


def applied(estimator, raw, **kwargs):
    """Apply in small segments, without a warning."""
    kwargs = {"duration": DURATION, "segment_duration": 60.0, "verbose": "warning", **kwargs}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return apply_to_raw(estimator, raw, **kwargs)


# --- the same as over epochs -----------------------------------------------------------------


@pytest.mark.parametrize("overlap", [0.0, 1.7])
def test_one_segment_is_the_same(tokenizer, short, overlap) -> None:
    epochs = by_hand(short, overlap=overlap)
    output = applied(tokenizer, short, overlap=overlap)
    np.testing.assert_array_equal(output.values, tokenizer.transform(epochs))
    np.testing.assert_allclose(output.onset, (epochs.events[:, 0] - short.first_samp) / 200.0)
    assert output.method == "transform" and (output.bad == "").all() and output.duration == DURATION
    names = tokenizer.get_feature_names_out()
    assert list(output.to_data_frame()) == ["onset", "duration", *names, "bad"]


@pytest.mark.parametrize("method", ["predict_proba", "predict", "decision_function"])
def test_predictions_are_the_same(classifier, short, method) -> None:
    epochs = by_hand(short)
    expected = getattr(classifier, method)(epochs)
    output = applied(classifier, short, method=method)
    np.testing.assert_array_equal(output.values, expected)
    assert output.values.dtype == expected.dtype
    assert list(output.classes) == list(classifier.classes_)
    values = output.to_data_frame().columns[2:-1].tolist()
    assert values == (["0", "1"] if method == "predict_proba" else [method])


@pytest.mark.parametrize(("sfreq", "overlap"), [(256.0, 0.0), (256.0, 2.5), (499.907, 0.0)])
def test_several_segments(tokenizer, classifier, sfreq, overlap) -> None:
    """Windows that run across borders too; neither 4 s nor 1.5 s divides a segment."""
    raw = make_raw(243.3, sfreq)
    epochs = by_hand(raw, overlap=overlap)
    codes = applied(tokenizer, raw, overlap=overlap)
    proba = applied(classifier, raw, overlap=overlap)
    assert len(codes) == len(proba) == len(epochs)
    # measured: up to 0.03 % of the codes differ, where two are about equally near
    assert (codes.values != tokenizer.transform(epochs)).mean() < 1e-3
    np.testing.assert_allclose(proba.values, classifier.predict_proba(epochs), atol=1e-4)


def test_pipelines_and_what_is_auto(small_model, long) -> None:
    epochs = by_hand(long)
    y = np.arange(len(epochs)) % 2
    tokenizer = NeuroLMTokenizer(small_model, dtype="float32")
    probe = make_pipeline(tokenizer, LogisticRegression()).fit(epochs, y)
    output = applied(probe, long)
    assert output.method == "predict_proba"
    np.testing.assert_allclose(output.values, probe.predict_proba(epochs), atol=1e-3)
    head = NeuroLMClassifier("workload", small_model, tune=None, dtype="float32")
    pipe = make_pipeline(NeuroLMTokenizer(small_model, dtype="float32"), head).fit(epochs, y)
    np.testing.assert_allclose(applied(pipe, long).values, pipe.predict_proba(epochs), atol=1e-3)
    table = NeuroLMTokenizer(small_model, dtype="float32").set_output(transform="pandas")
    output = applied(table.fit(epochs), long)
    assert output.values.shape == (len(epochs), len(CH_NAMES) * 2 * 32)
    assert output.columns == list(table.get_feature_names_out())


def test_prepared_recordings(tokenizer, long) -> None:
    prepared = prepare_raw(long, verbose="error")
    epochs = mne.make_fixed_length_epochs(prepared, DURATION, preload=True, verbose="error")
    output = applied(tokenizer, prepared, prepare=False)
    np.testing.assert_array_equal(output.values, tokenizer.transform(epochs))


def test_a_recording_that_does_not_begin_at_zero(tokenizer, long) -> None:
    later = long.copy().crop(tmin=50.0).set_meas_date(1e9)
    assert later.first_samp > 0
    output = applied(tokenizer, later, segment_duration=600.0)
    np.testing.assert_array_equal(output.values, tokenizer.transform(by_hand(later)))
    assert output.onset[0] == 0.0


def test_projections_are_applied_as_by_epochs(tokenizer, short) -> None:
    raw = short.copy().set_eeg_reference(projection=True, verbose="error")
    output = applied(tokenizer, raw)
    np.testing.assert_array_equal(output.values, tokenizer.transform(by_hand(raw)))
    assert (output.values != applied(tokenizer, short).values).mean() > 0.1


# --- memory ----------------------------------------------------------------------------------


@pytest.mark.parametrize("prepare", [True, False])
def test_what_is_read_does_not_grow_with_the_recording(tokenizer, prepare) -> None:
    largest = []
    for seconds in (240.0, 480.0):
        raw = make_raw(seconds, 200.0)
        # offset and drift are no fault of what is tested here
        raw.filter(0.1, 75.0, verbose="error")
        applied(tokenizer, raw, prepare=prepare)
        largest.append(raw.largest)
    assert largest[0] == pytest.approx(largest[1], abs=200)
    assert largest[1] < (60.0 + 2 * 40.0) * 200.0


def test_hidden_states_go_to_a_file(small_model, short, long, tmp_path, monkeypatch) -> None:
    tokenizer = NeuroLMTokenizer(small_model, dtype="float32").fit(by_hand(short))
    raw = long.copy()
    raw._data[1, 0 : 256 * 4] = np.nan  # the first window, and two at the end
    raw._data[1, 256 * 238 : 256 * 241] = np.nan
    output = applied(tokenizer, raw, out=tmp_path / "states.npy", on_bad="ignore")
    tokens, expected = output.values, applied(tokenizer, raw, on_bad="ignore").values
    assert isinstance(tokens, EEGTokens) and isinstance(tokens.hidden, np.memmap)
    assert not isinstance(expected.hidden, np.memmap)
    np.testing.assert_array_equal(tokens.codes, expected.codes)
    np.testing.assert_array_equal(tokens.hidden, expected.hidden)
    good = output.bad == ""
    assert np.flatnonzero(~good).tolist() == [0, 59] and len(output) == 60
    assert np.isnan(tokens.hidden[~good]).all() and (tokens.codes[~good] == -1).all()
    np.testing.assert_array_equal(np.load(tmp_path / "states.npy"), tokens.hidden)
    with pytest.raises(ValueError, match="are no table"):
        output.to_data_frame()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        applied(tokenizer, raw, out=tmp_path / "states.npy")
    with pytest.raises(ValueError, match=r"must be a \.npy file"):
        applied(tokenizer, raw, out=tmp_path / "states.h5")
    with pytest.raises(FileNotFoundError, match="no folder"):
        applied(tokenizer, raw, out=tmp_path / "none" / "states.npy")
    monkeypatch.setattr("mne_neurolm.streaming.values.LARGEST_IN_MEMORY", 100_000)
    with pytest.raises(
        ValueError, match=r"60 windows would take .* GB, 20x32 numbers .*out='states"
    ):
        applied(tokenizer, long)


def test_small_hidden_states_need_no_file(small_model, short) -> None:
    for kind in ("tokens", "embeddings"):
        tokenizer = NeuroLMTokenizer(small_model, kind, dtype="float32").fit(by_hand(short))
        expected = tokenizer.transform(by_hand(short))
        values = applied(tokenizer, short).values
        if kind == "tokens":
            assert values.encoder_id == expected.encoder_id
            np.testing.assert_array_equal(values.codes, expected.codes)
            values, expected = values.hidden, expected.hidden
        np.testing.assert_array_equal(values, expected)


def test_a_file_is_valid_however_many_rows_there_are(tmp_path: Path) -> None:
    for n in (0, 1, 12_345):
        writer = NpyWriter(tmp_path / "rows.npy", (3,), np.dtype("float32"))
        rows = np.arange(3 * n, dtype="float32").reshape(n, 3)
        writer.append(rows[: n // 2])
        writer.append(rows[n // 2 :])
        writer.close()
        writer.close()
        np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), rows)


# --- windows without a result ----------------------------------------------------------------


def test_bad_windows_do_not_lose_the_rest(tokenizer, classifier, long) -> None:
    raw = long.copy()
    second = 256
    raw._data[0, 9 * second : 9 * second + 5] = np.nan  # window 2
    raw._data[1, 60 * second] = np.inf  # window 15, where a segment begins
    raw._data[2, 81 * second : 83 * second] = raw._data[2, 81 * second]  # window 20
    part = raw._data[3, 100 * second : 104 * second]  # window 25
    np.clip(part, np.quantile(part, 0.1), np.quantile(part, 0.9), out=part)
    raw._data[:5, 120 * second : 124 * second] *= 1e4  # windows 30 and, by the filter, others
    raw.set_annotations(mne.Annotations([161.0, 165.0], [1.0, 1.0], ["bad_cough", "eyes"]))
    with pytest.warns(RuntimeWarning, match="windows have no result") as caught:
        output = apply_to_raw(
            tokenizer, raw, duration=DURATION, segment_duration=60.0, verbose="warning"
        )
    (message,) = [str(w.message) for w in caught if "no result" in str(w.message)]
    assert "1 flat (C4; at 80 s)" in message and "1 bad_cough (at 160 s)" in message
    assert "2 NaN (Fz, C3; at 8, 60 s)" in message and "1 clipped (Pz; at 100 s)" in message
    assert output.bad[2] == "NaN (Fz)" and output.bad[15] == "NaN (C3)"
    assert output.bad[20] == "flat (C4)" and output.bad[25] == "clipped (Pz)"
    assert output.bad[30] == "amplitude" and output.bad[40] == "bad_cough" and not output.bad[41]
    good = output.bad == ""
    assert good.sum() > 45
    assert (output.values[~good] == -1).all() and (output.values[good] >= 0).all()
    untouched = good & (output.onset < 80)  # a gap is bridged, so its neighbours hardly change
    expected = tokenizer.transform(by_hand(long))
    assert (output.values[untouched] != expected[untouched]).mean() < 0.02

    quiet = {"on_bad": "ignore", "verbose": "error"}
    proba = applied(classifier, raw, **quiet)
    np.testing.assert_array_equal(np.isnan(proba.values).all(axis=1), ~good)
    labels = applied(classifier, raw, method="predict", **quiet)
    assert labels.values.dtype == object and set(labels.values[good]) <= {0, 1}
    assert all(label is None for label in labels.values[~good])
    assert "20 without a result" not in repr(labels) and "of 60 windows of 4 s" in repr(labels)
    kept = applied(tokenizer, raw, reject_by_annotation=False, **quiet)
    assert kept.bad[40] == ""
    with pytest.raises(ValueError, match=r"window at 8 s can't be used: NaN \(Fz\).*BAD_"):
        applied(tokenizer, raw, on_bad="raise", verbose="error")


def test_bad_annotations_are_those_of_epochs(tokenizer, short) -> None:
    onsets, durations = [0.0, 7.99, 16.0, 28.0], [4.0, 0.005, 0.0, 0.5]
    raw = short.copy()
    raw.set_annotations(mne.Annotations(onsets, durations, ["BAD", "Bad_x", "bad edge", "good"]))
    prepared = prepare_raw(raw, verbose="error")
    epochs = mne.make_fixed_length_epochs(prepared, DURATION, verbose="error").drop_bad()
    output = applied(tokenizer, raw, on_bad="ignore")
    assert np.flatnonzero(output.bad == "").tolist() == epochs.selection.tolist()
    np.testing.assert_array_equal(output.values[output.bad == ""], tokenizer.transform(epochs))


def test_the_first_windows_may_be_bad(tokenizer, short) -> None:
    raw = make_raw(300.0)
    raw._data[:, : 256 * 20] = np.nan
    output = applied(tokenizer, raw, segment_duration=600.0, on_bad="ignore", duration=4.0)
    assert np.flatnonzero(output.bad != "").tolist() == list(range(5))
    raw._data[0] = np.nan
    with pytest.raises(ValueError, match=r"None of the 75 windows can be used: 75 NaN \(Fz, C3"):
        applied(tokenizer, raw)


def test_annotations_of_predictions(classifier, short) -> None:
    raw = short.copy().set_meas_date(1e9).crop(tmin=2.0)
    raw._data[0, :10] = np.nan
    output = applied(classifier, raw, on_bad="ignore")
    notes = output.to_annotations()
    assert notes[0]["description"] == "BAD_NaN" and notes[0]["duration"] == DURATION
    both = raw.copy().set_annotations(raw.annotations + notes).annotations
    np.testing.assert_allclose(both.onset[0] - raw.first_time, 0.0, atol=1e-3)
    labels = [""] * len(output)
    for note in notes:
        first = round((note["onset"] - raw.first_time) / DURATION)
        for i in range(first, first + round(note["duration"] / DURATION)):
            labels[i] = note["description"]
    expected = applied(classifier, raw, method="predict", on_bad="ignore")
    assert labels[1:] == [str(label) for label in expected.values[1:]]
    scores = applied(classifier, raw, method="decision_function", on_bad="ignore")
    for other in (expected, scores):
        assert other.to_annotations().description.tolist() == notes.description.tolist()


def test_codes_are_no_annotations(tokenizer, short) -> None:
    with pytest.raises(ValueError, match="values of transform"):
        applied(tokenizer, short).to_annotations()


# --- recordings that end early, are too short or no EEG ----------------------------------------


@pytest.mark.parametrize("ends_at", [100.0, 125.0, 185.0])
def test_a_recording_that_ends_early(tokenizer, long, ends_at) -> None:
    """Also in the margin of a segment."""
    raw = long.copy()
    raw.ends_at = round(256 * ends_at)
    with pytest.warns(RuntimeWarning, match=rf"after {ends_at:g} of 243.3.*unexpected end of file"):
        output = apply_to_raw(
            tokenizer, raw, duration=DURATION, segment_duration=60.0, verbose="warning"
        )
    assert len(output) == ends_at // DURATION
    cropped = long.copy().crop(tmax=ends_at, include_tmax=False)
    expected = tokenizer.transform(by_hand(cropped))
    assert (output.values != expected).mean() < 1e-3
    raw.ends_at = 256 * 2
    with pytest.raises(ValueError, match=r"after 2 of 243.3.* before any window .*OSError"):
        applied(tokenizer, raw)


def test_recordings_and_parameters_that_are_refused(tokenizer, classifier, short, small_model):
    with pytest.raises(ValueError, match=r"is 42 s long, shorter than a window of 60 s"):
        applied(tokenizer, short, duration=60.0)
    with pytest.raises(ValueError, match="overlap must be at least 0 and less"):
        applied(tokenizer, short, overlap=4.0)
    with pytest.raises(ValueError, match="segment_duration must be at least 60"):
        applied(tokenizer, short, segment_duration=10.0)
    with pytest.raises(ValueError, match="on_bad must be"):
        applied(tokenizer, short, on_bad="drop")
    with pytest.raises(ValueError, match="method must be 'auto' or one of"):
        applied(tokenizer, short, method="answer")
    with pytest.raises(TypeError, match="NeuroLMTokenizer has no method 'predict'; it has transf"):
        applied(tokenizer, short, method="predict")
    with pytest.raises(TypeError, match="must be a continuous recording"):
        applied(tokenizer, by_hand(short))
    with pytest.raises(ValueError, match="predict returns labels"):
        applied(classifier, short, method="predict", out="labels.npy")
    with pytest.raises(ValueError, match="is not fitted"):
        applied(NeuroLMTokenizer(small_model), short)
    with pytest.raises(ValueError, match="one column per channel and second"):
        applied(tokenizer, short, duration=3.0)


def test_what_would_spoil_all_is_found_at_the_start(tokenizer, long) -> None:
    raw = long.copy()
    raw._data[2] = 0.0
    with pytest.raises(ValueError, match=r"1 channel\(s\) are flat .* in all 9 places .*: C4"):
        applied(tokenizer, raw)
    raw = long.copy()
    raw._data *= 1e6
    with pytest.raises(ValueError, match="µV had been declared as V|1,000,000 times"):
        applied(tokenizer, raw)


def test_warnings_come_once(tokenizer, long) -> None:
    raw = long.copy()
    raw._data[0] *= 200
    raw.info["line_freq"] = None
    with pytest.warns(RuntimeWarning) as caught:
        apply_to_raw(tokenizer, raw, duration=DURATION, segment_duration=60.0, verbose="warning")
    told = [str(w.message) for w in caught]
    assert len(told) == 2
    assert "does not say its power line frequency" in told[0] and "times as large" in told[1]


def test_progress_bar(tokenizer, long, capsys) -> None:
    apply_to_raw(tokenizer, long, duration=DURATION, segment_duration=60.0, verbose="info")
    shown = capsys.readouterr()
    assert "transform: 0.07 of 0.07 h of EEG" in shown.err and "left" in shown.err
    assert "Filtering" not in shown.out
    apply_to_raw(tokenizer, long, duration=DURATION, verbose="warning")
    assert capsys.readouterr().err == ""


def test_page_on_long_recordings(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    names, _ = run_page("long_recordings")
    assert set(names["raw"].annotations.description) == {"No", "Yes"}
    assert np.load("states.npy", mmap_mode="r").shape == names["output"].values.shape


def test_pipelines_of_other_kinds(small_model, short) -> None:
    """Clusters have no names, and indicators of codes are sparse."""
    epochs = by_hand(short)
    codes = NeuroLMTokenizer(small_model, output="codes", dtype="float32")
    clusters = make_pipeline(codes, GaussianMixture(2, covariance_type="spherical"))
    found = applied(clusters.fit(epochs), short)
    assert found.method == "predict_proba" and found.values.shape == (len(epochs), 2)
    assert list(found.to_data_frame().columns[2:4]) == ["predict_proba_0", "predict_proba_1"]
    indicators = make_pipeline(codes, OneHotEncoder()).fit(epochs)
    np.testing.assert_array_equal(
        applied(indicators, short).values, indicators.transform(epochs).toarray()
    )


@pytest.mark.parametrize("starts_at", [0.0, 0.1, 0.7, 2.9])
def test_a_flat_second_is_found_wherever_it_is(starts_at) -> None:
    rng = np.random.default_rng(0)
    window = 1e-5 * rng.standard_normal((2, 1000))
    first = round(starts_at * 250)
    window[1, first : first + 250] = 3e-6
    fault = fault_as_read(window, 250.0, ["Fz", "Cz"])
    assert str(fault) == "flat (Cz)"
    window[1, first + 249] = 1e-5
    assert fault_as_read(window, 250.0, ["Fz", "Cz"]) is None


def test_classes_named_as_columns() -> None:
    values = np.array([[0.2, 0.8], [0.6, 0.4]])
    output = RecordingOutput(
        values=values,
        onset=np.array([0.0, 4.0]),
        duration=4.0,
        method="predict_proba",
        bad=np.array(["", ""]),
        classes=np.array(["bad", "good"]),
        columns=["bad", "good"],
    )
    table = output.to_data_frame()
    np.testing.assert_array_equal(table[["predict_proba_bad", "good"]], values)
    assert table["bad"].tolist() == ["", ""]


def test_windows_that_begin_where_reading_has_stopped() -> None:
    """A window of 500.2 samples leaves one out now and then, here at the end of a segment."""

    class Heads(BaseEstimator):
        def fit(self, X, y=None):
            return self

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def transform(self, X):
            return X.get_data(copy=False)[:, 0, :5]

    rng = np.random.default_rng(0)
    info = mne.create_info(CH_NAMES, 250.1, "eeg")
    raw = mne.io.RawArray(1e-5 * rng.standard_normal((len(CH_NAMES), 45015)), info, verbose="error")
    epochs = mne.make_fixed_length_epochs(raw, 2.0, preload=True, verbose="error")
    output = apply_to_raw(
        Heads(), raw, duration=2.0, prepare=False, segment_duration=60.0, verbose="error"
    )
    np.testing.assert_array_equal(output.values, epochs.get_data()[:, 0, :5])
