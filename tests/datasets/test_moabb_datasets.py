"""MOABB's datasets for the estimators, and local data sets for MOABB's evaluations."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import mne
import numpy as np
import pytest
import scipy.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from mne_neurolm import NeuroLM, NeuroLMClassifier, NeuroLMTokenizer, prepare_raw
from mne_neurolm.datasets import from_moabb, load, to_epochs, to_moabb, window_paradigm
from mne_neurolm.datasets.catalog import DATASETS
from mne_neurolm.datasets.specs import DatasetSpec, Member, Protocol, Variant
from mne_neurolm.evaluation import band_power_classifier

pytest.importorskip("moabb", reason="MOABB is not installed")

# MOABB 1.7.2 asks MNE 1.13 for montages by their old names, and h5py 3.16 for datasets in its old
# way.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Montage name 'standard_10:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Creating a dataset without passing data or dtype"),
]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let MOABB write nowhere but in tmp_path, and look for recordings nowhere else."""
    monkeypatch.setenv("MOABB_DOWNLOAD_PROVIDER", "upstream")
    monkeypatch.setenv("_MNE_FAKE_HOME_DIR", str(tmp_path))
    monkeypatch.setenv("MNE_DATA", str(tmp_path))
    monkeypatch.setenv("MOABB_RESULTS", str(tmp_path))


# --- from MOABB --------------------------------------------------------------------------------


@pytest.fixture
def physionet(shared_data: Path, monkeypatch: pytest.MonkeyPatch):
    from moabb.datasets import PhysionetMI

    if not (shared_data / "mne_data" / "MNE-eegbci-data").is_dir():
        pytest.skip(f"no EEGBCI recordings in {shared_data / 'mne_data'}")
    monkeypatch.setenv("MNE_DATA", str(shared_data / "mne_data"))
    dataset = PhysionetMI()
    dataset.subject_list = [1]
    return dataset


def test_physionet_for_the_estimators(physionet, shared_data: Path, small_model: NeuroLM) -> None:
    """Trials are those of the files, in volts and in the band of the model."""
    from moabb.paradigms import LeftRightImagery

    epochs, y, task = from_moabb(physionet, LeftRightImagery(resample=128))
    assert epochs.get_data().shape == (45, 64, 601) and epochs.info["sfreq"] == 200.0
    assert (epochs.info["highpass"], epochs.info["lowpass"]) == (0.1, 75.0)
    assert list(epochs.metadata) == ["subject", "session", "run", "label"]
    assert set(epochs.metadata["subject"]) == {1} and set(epochs.metadata["run"]) == {*"012"}
    assert (epochs.metadata["label"] == y).all()
    assert epochs.event_id == {"left_hand": 0, "right_hand": 1}
    assert task.answers == {"left_hand": "left hand", "right_hand": "right hand"}
    assert task.prompt() == "Question: What does the subject imagine in this EEG segment? Answer:"
    # The first of the three imagery runs is R04; T1 and T2 are left and right there.
    folder = shared_data / "mne_data/MNE-eegbci-data/files/eegmmidb/1.0.0/S001"
    raw = mne.io.read_raw_edf(folder / "S001R04.edf", verbose="error")
    wanted = [note for note in raw.annotations if note["description"] in ("T1", "T2")]
    assert len(wanted) == (epochs.metadata["run"] == "0").sum() == 15
    prepared = prepare_raw(raw, line_freq=60).get_data()
    for trial, note in enumerate(wanted):
        first = round(note["onset"] * 200)
        expected = prepared[:, first : first + 601]
        np.testing.assert_allclose(epochs.get_data()[trial], expected, atol=1e-12)
        assert y[trial] == {"T1": "left_hand", "T2": "right_hand"}[note["description"]]
    # MOABB's arrays are microvolts; a wide band of its own filter gives nearly the same.
    arrays, labels, _ = LeftRightImagery(fmin=1, fmax=75, resample=200).get_data(physionet)
    assert (labels == y).all()
    moving = epochs.copy().filter(1, None, verbose="error").get_data()[..., 100:500]
    ratio = arrays[..., 100:500].std() / moving.std()
    assert ratio == pytest.approx(1e6, rel=0.2)

    pipe = make_pipeline(
        NeuroLMTokenizer(small_model), NeuroLMClassifier(task, small_model, max_epochs=1)
    )
    assert set(pipe.fit(epochs, y).predict(epochs[:4])) <= {"left_hand", "right_hand"}


@pytest.fixture
def fake() -> Callable:
    """Return a maker of MOABB's own simulated datasets: 12 events in each of 2 x 2 runs."""
    from moabb.datasets.fake import FakeDataset

    def make(*events: str, paradigm: str = "imagery", n_subjects: int = 2, **kinds):
        return FakeDataset(
            event_list=events,
            paradigm=paradigm,
            n_subjects=n_subjects,
            n_sessions=2,
            n_runs=2,
            duration=60,
            n_events=12,
            seed=1,
            **kinds,
        )

    return make


@pytest.mark.parametrize("interval", [[0, 3], [1, 3]])
def test_events_of_stimulus_channels_and_annotations(fake: Callable, interval: list[int]) -> None:
    """The same trials, at the right moment, whatever carries the events."""
    from moabb.paradigms import MotorImagery

    found = []
    for kinds in (dict(stim=True), dict(stim=False, annotations=True)):
        dataset = fake("left_hand", "right_hand", "feet", **kinds)
        dataset.interval = interval
        found.append(from_moabb(dataset, MotorImagery(n_classes=3), [2], line_freq=None))
    by_channel, by_notes = found
    assert len(by_channel.y) == 48
    assert by_channel.epochs.get_data().shape[1:] == (3, 200 * (3 - interval[0]) + 1)
    np.testing.assert_array_equal(by_channel.epochs.get_data(), by_notes.epochs.get_data())
    assert by_channel.y.tolist() == ["left_hand", "right_hand", "feet"] * 16
    metadata = by_channel.epochs.metadata
    assert set(metadata["subject"]) == {2}
    assert metadata.groupby(["session", "run"]).size().tolist() == [12] * 4
    assert by_channel.task.options
    assert by_channel.task.prompt().endswith(
        "Options: (A) feet. (B) left hand. (C) right hand. Answer: ("
    )
    raw = dataset.get_data([2])[2]["0"]["0"]  # at 128 Hz, annotated where the interval begins
    first = round(raw.annotations.onset[1] * 200)
    expected = prepare_raw(raw, line_freq=None, verbose="error").get_data()
    n = 200 * (3 - interval[0]) + 1
    np.testing.assert_allclose(
        by_channel.epochs.get_data()[1], expected[:, first : first + n], atol=1e-12
    )


def test_several_codes_of_one_class(fake: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in MOABB's Kojima2024B, where a class has a code for every stimulus."""
    from moabb.paradigms import P300

    dataset = fake("a", "b", "c", "d", paradigm="p300")
    data = dataset._get_single_subject_data(1)
    monkeypatch.setattr(dataset, "_get_single_subject_data", lambda subject: data)
    dataset.event_id = {"Target": [1, 3], "NonTarget": [2, 4]}
    epochs, y, task = from_moabb(dataset, P300(ignore_relabelling=True), [1], line_freq=50)
    assert y.tolist() == ["Target", "NonTarget"] * 24
    assert epochs.event_id == {"NonTarget": 0, "Target": 1}
    assert epochs.events[:, 2].tolist() == [1, 0] * 24
    assert task.answers == {"NonTarget": "non target", "Target": "target"}


def test_any_paradigm(fake: Callable) -> None:
    """Filter banks do not multiply the trials, and every band becomes that of the model."""
    from moabb.paradigms import CVEP, P300, SSVEP, FilterBankLeftRightImagery, FilterBankSSVEP

    for paradigm, kind, events in (
        (FilterBankLeftRightImagery(), "imagery", ["left_hand", "right_hand"]),
        (P300(), "p300", ["Target", "NonTarget"]),
        (SSVEP(), "ssvep", ["13.0", "15.0"]),
        (FilterBankSSVEP(), "ssvep", ["13.0", "15.0"]),
        (CVEP(), "cvep", ["1.0", "0.0"]),
    ):
        before = paradigm.filters
        dataset = fake(*events, paradigm=kind)
        epochs, y, task = from_moabb(dataset, paradigm, [1], line_freq=50)
        assert len(epochs) == len(y) == 48
        assert (epochs.info["highpass"], epochs.info["sfreq"]) == (0.1, 200.0)
        assert set(y) == set(task.labels) == set(events) == set(epochs.event_id)
        assert list(task.labels) == sorted(events)
        assert paradigm.filters is before
    assert from_moabb(dataset, paradigm, [1], question="Which?", line_freq=50).task.question == (
        "Which?"
    )
    channels = FilterBankLeftRightImagery(channels=["C4", "C3"])
    dataset = fake("left_hand", "right_hand")
    assert from_moabb(dataset, channels, [1], line_freq=50).epochs.ch_names == ["C4", "C3"]


def test_many_classes_and_long_names(fake: Callable) -> None:
    from moabb.paradigms import SSVEP, MotorImagery

    events = [f"{k}.0" for k in range(1, 31)]
    dataset = fake(*events, paradigm="ssvep")
    task = from_moabb(dataset, SSVEP(n_classes=30), [1], line_freq=50).task
    assert len(task.labels) == 30 and not task.options  # letters end at 26
    dataset = fake("left_hand_right_foot", "rest")
    task = from_moabb(dataset, MotorImagery(n_classes=2), [1], line_freq=50).task
    assert task.options and task.answers["left_hand_right_foot"] == "left hand right foot"
    dataset = fake("a b", "a_b")
    task = from_moabb(dataset, MotorImagery(n_classes=2), [1], line_freq=50).task
    assert task.answers == {"a b": "a b", "a_b": "a_b"}  # as they are, where words are the same


def test_what_does_not_fit(fake: Callable) -> None:
    from moabb.paradigms import P300, LeftRightImagery, MotorImagery

    dataset = fake("left_hand", "right_hand")
    with pytest.raises(ValueError, match=r"P300 does not fit .*'imagery' with the events left_ha"):
        from_moabb(dataset, P300())
    with pytest.raises(ValueError, match=r"last 0\.7 s.*tmax=1\.0"):
        from_moabb(dataset, LeftRightImagery(tmax=0.7), [1], line_freq=50)
    with pytest.raises(ValueError, match="one class only with this paradigm, left_hand"):
        from_moabb(dataset, MotorImagery(events=["left_hand"], n_classes=1), [1], line_freq=50)
    with pytest.warns(RuntimeWarning, match="4 of 4 files: .*line_freq=50") as caught:
        from_moabb(dataset, LeftRightImagery(), [1])
    assert sum("line_freq" in str(warning.message) for warning in caught) == 1


# --- to MOABB ----------------------------------------------------------------------------------


@pytest.fixture
def eegmat(shared_data: Path) -> Path:
    return shared_data / "eegmat"


def as_array(X: mne.BaseEpochs) -> np.ndarray:
    return X.get_data()


def test_windows_are_those_of_load(eegmat: Path) -> None:
    subjects = ["Subject03", "Subject11"]  # recorded at 500 Hz, and at 200 Hz
    dataset = to_moabb("workload", eegmat, subjects=subjects)
    assert dataset.subject_list == [3, 11] and dataset.subject_names[11] == "Subject11"
    assert dataset.code == repr(dataset) == "Local-workload"
    assert [Path(file).name for file in dataset.data_path(3)] == [
        "Subject03_1.edf",
        "Subject03_2.edf",
    ]
    paradigm = window_paradigm()
    epochs, labels, metadata = paradigm.get_data(dataset, return_epochs=True)
    expected = to_epochs(load("workload", eegmat, subjects=subjects))
    np.testing.assert_array_equal(epochs.get_data(), expected.get_data())
    assert epochs.get_data().shape == (116, 19, 800)
    assert epochs.ch_names == list(dataset.ch_names)
    assert list(labels) == expected.metadata["label"].tolist()
    assert metadata["subject"].tolist() == [3] * 58 + [11] * 58
    assert set(metadata["session"]) == {"0"}
    assert metadata["run"].tolist() == expected.metadata["run"].tolist()
    arrays, _, _ = paradigm.get_data(dataset)
    np.testing.assert_allclose(arrays, 1e6 * expected.get_data(), atol=1e-9)


@pytest.mark.parametrize("return_epochs", [True, False])
def test_cross_subject_evaluation(
    eegmat: Path, tmp_path: Path, small_model: NeuroLM, return_epochs: bool
) -> None:
    """Our pipeline, band power and a tangent space, offline."""
    from moabb.evaluations import CrossSubjectEvaluation
    from pyriemann.estimation import Covariances
    from pyriemann.tangentspace import TangentSpace

    dataset = to_moabb("workload", eegmat, subjects=["Subject05", "Subject06", "Subject07"])
    array = {} if return_epochs else dict(ch_names=dataset.ch_names, sfreq=200.0, unit="uV")
    first = [FunctionTransformer(as_array)] if return_epochs else []
    pipelines = {
        "NeuroLM": make_pipeline(
            NeuroLMTokenizer(small_model, **array),
            NeuroLMClassifier(dataset.task, small_model, max_epochs=1, random_state=0),
        ),
        "band power": band_power_classifier(None if return_epochs else 200.0),
        "tangent space": make_pipeline(
            *first, Covariances("oas"), TangentSpace(), LogisticRegression(max_iter=1000)
        ),
    }
    evaluation = CrossSubjectEvaluation(
        paradigm=window_paradigm(),
        datasets=[dataset],
        return_epochs=return_epochs,
        hdf5_path=str(tmp_path),
        random_state=0,
    )
    results = evaluation.process(pipelines)
    assert sorted(results["pipeline"]) == sorted([*pipelines] * 3)
    assert set(results["subject"].astype(int)) == {5, 6, 7}
    assert results["score"].between(0, 1).all()
    assert (results["samples"] == 116).all() and (results["channels"] == 19).all()
    written = [path for path in tmp_path.rglob("*") if path.is_file() and ".mne" not in path.parts]
    assert [path.suffix for path in written if path.suffix != ".lock"] == [".hdf5"], written
    assert not any(path.name.startswith("MNE-BIDS") for path in tmp_path.rglob("*"))


def write_eegmat(folder: Path, subject: int, run: int, seconds: float = 62.0) -> Path:
    """Write a recording in EEGMAT's layout: two seconds more than the task takes."""
    spec = DATASETS["workload"]
    names = [f"EEG {name}" for name in spec.channels]
    data = 1e-5 * np.random.default_rng(10 * subject + run).standard_normal(
        (len(names), int(200 * seconds))
    )
    raw = mne.io.RawArray(data, mne.create_info(names, 200.0, "eeg"), verbose="error")
    path = folder / f"Subject{subject:02d}_{run}.edf"
    raw.export(path, verbose="error")
    return path


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")  # one recording only
def test_bad_recordings_are_left_out(tmp_path: Path) -> None:
    """Of one subject a recording, of another one both: the evaluation goes on without."""
    from moabb.evaluations import CrossSubjectEvaluation

    folder = tmp_path / "eegmat"
    folder.mkdir()
    for subject in range(4):
        for run in (1, 2):
            write_eegmat(folder, subject, run)
    for name in ("Subject02_2.edf", "Subject03_1.edf", "Subject03_2.edf"):
        path = folder / name
        path.write_bytes(path.read_bytes()[:90_000])
    dataset = to_moabb("workload", folder)
    evaluation = CrossSubjectEvaluation(
        paradigm=window_paradigm(), datasets=[dataset], hdf5_path=str(tmp_path / "results")
    )
    with pytest.warns(RuntimeWarning) as caught:
        results = evaluation.process({"band power": band_power_classifier(200.0)})
    told = "\n".join(str(warning.message) for warning in caught)
    assert "Subject02_2.edf: " in told and "Subject Subject03 is left out" in told
    assert set(dataset.problems) == {"Subject02_2.edf", "Subject03"}
    assert sorted(results["subject"].astype(int)) == [0, 1, 2]
    samples = dict(zip(results["subject"].astype(int), results["samples"], strict=True))
    assert samples == {0: 87, 1: 87, 2: 116}


def write_seed(folder: Path, subject: int, dates: list[str]) -> None:
    """Write trials as the authors of SEED cut them: 15 of 9 s in a file per session."""
    rng = np.random.default_rng(subject)
    for date in dates:
        trials = {f"xyz_eeg{k}": 10 * rng.standard_normal((62, 1801)) for k in range(1, 16)}
        scipy.io.savemat(folder / f"{subject}_{date}.mat", trials)


def write_hmc(folder: Path, subject: int) -> None:
    """Write a night of 5 minutes in HMC's layout, each stage twice."""
    names = ["EEG F4-M1", "EEG C4-M1", "EEG O2-M1", "EEG C3-M2"]
    data = 1e-5 * np.random.default_rng(subject).standard_normal((4, 300 * 256))
    raw = mne.io.RawArray(data, mne.create_info(names, 256.0, "eeg"), verbose="error")
    raw.export(folder / f"SN{subject:03d}.edf", verbose="error")
    lines = ["Date, Time, Recording onset, Duration, Annotation, Linked channel"]
    for k, stage in enumerate(["W", "N1", "N2", "N3", "R"] * 2):
        lines.append(f"01.01.2001, 22.00.00, {30 * k}, 30, Sleep stage {stage}, ")
    (folder / f"SN{subject:03d}_sleepscoring.txt").write_text("\n".join(lines) + "\n")


@pytest.mark.filterwarnings("ignore:.*is longer than the signal")  # short trials, for speed
@pytest.mark.parametrize("name", ["seed", "hmc"])
def test_other_data_sets(name: str, tmp_path: Path) -> None:
    """SEED, whose split cuts through recordings, and HMC, with five classes of 30 s."""
    from moabb.evaluations import CrossSubjectEvaluation

    folder = tmp_path / "files"
    folder.mkdir()
    for subject in (3, 12):
        if name == "seed":
            # the third subject came on the dates of other sessions than the twelfth
            dates = {3: ["20140603", "20140611"], 12: ["20131027"]}[subject]
            write_seed(folder, subject, dates)
        else:
            write_hmc(folder, subject)
    dataset = to_moabb(name, folder, cache=tmp_path / "prepared")
    assert dataset.subject_list == [3, 12]
    epochs, labels, metadata = window_paradigm().get_data(dataset, return_epochs=True)
    expected = to_epochs(load(name, folder, cache=tmp_path / "prepared"))
    table = expected.metadata
    order = np.lexsort(
        [table["start"], table["run"], table["session"], table["subject"].str[-2:].astype(int)]
    )
    np.testing.assert_array_equal(epochs.get_data(), expected.get_data()[order])
    assert list(labels) == table["label"].to_numpy()[order].tolist()
    n_sessions = {"seed": {3: 2, 12: 1}, "hmc": {3: 1, 12: 1}}[name]
    assert metadata.groupby("subject")["session"].nunique().to_dict() == n_sessions
    assert len(epochs) == {"seed": 3 * 15 * 2, "hmc": 2 * 10}[name]
    assert set(labels) == set(dataset.task.labels)
    evaluation = CrossSubjectEvaluation(
        paradigm=window_paradigm(), datasets=[dataset], hdf5_path=str(tmp_path / "results")
    )
    results = evaluation.process({"band power": band_power_classifier(200.0)})
    assert len(results) == sum(n_sessions.values()) and results["score"].between(0, 1).all()


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Add a data set with sessions, cropped recordings and trials in different parts."""

    def read(member: Member) -> mne.io.BaseRaw:
        return mne.io.read_raw_fif(member.path, verbose="error")

    spec = DatasetSpec(
        name="toy",
        title="Toy",
        files=re.compile(r"(?P<subject>[a-z]+)_(?P<session>[^_/]+)_(?P<run>[^_/]+)_raw\.fif$"),
        read=read,
        protocol=Protocol(
            task="seed",
            duration=1.0,
            hop=1.0,
            variants={
                "paper": Variant(
                    lambda member, trial, members: "train" if trial % 2 else "test", 50.0
                )
            },
        ),
        line_freq=50.0,
        montage="",
        loader="",
        tested="no",
        licence="",
        access="",
        url="",
        citation="",
        layout="",
    )
    monkeypatch.setitem(DATASETS, "toy", spec)
    folder = tmp_path / "toy"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("ben_monday_a", "ben_friday_a", "ben_friday_b", "anna_monday_b-1"):
        raw = mne.io.RawArray(
            1e-5 * rng.standard_normal((2, 10_000)),
            mne.create_info(["Cz", "Pz"], 200.0, "eeg"),
            verbose="error",
        )
        notes = mne.Annotations(
            [12, 16, 20, 30], [2, 2, 2, 3], ["negative", "positive", "neutral", "BAD_x"]
        )
        raw.set_annotations(notes).crop(10)
        raw.save(folder / f"{name}_raw.fif", verbose="error")
    yield folder
    shutil.rmtree(folder)


def test_sessions_runs_and_parts(toy: Path) -> None:
    dataset = to_moabb("toy", toy)
    assert dataset.subject_names == {1: "anna", 2: "ben"} and dataset.n_sessions == 1
    data = dataset.get_data([1, 2])
    assert {key: list(runs) for key, runs in data[2].items()} == {
        "0friday": ["0a", "1b"],
        "1monday": ["0a"],
    }
    assert list(data[1]["0monday"]) == ["0b1"]
    epochs, labels, _ = window_paradigm().get_data(dataset, [1], return_epochs=True)
    # In the order of time, whatever part of the split a trial is in.
    assert list(labels) == ["negative"] * 2 + ["positive"] * 2 + ["neutral"] * 2
    expected = to_epochs(load("toy", toy, subjects=["anna"]))
    order = np.argsort(expected.metadata["start"].to_numpy(), kind="stable")
    assert expected.metadata["start"].to_numpy()[order].tolist() == [2, 3, 6, 7, 10, 11]
    np.testing.assert_array_equal(epochs.get_data(), expected.get_data()[order])
    two = window_paradigm(events=["negative", "positive"], channels=["Pz"])
    with pytest.warns(RuntimeWarning, match=r"task_for\(\['negative', 'positive'\]\)"):
        few, labels, _ = two.get_data(dataset, [2], return_epochs=True)
    assert few.ch_names == ["Pz"] and set(labels) == {"negative", "positive"} and len(few) == 12


def test_answers_are_numbered_as_by_moabb(toy: Path) -> None:
    """MOABB's evaluations encode labels in alphabetical order, the paper has another one."""
    from sklearn.preprocessing import LabelEncoder

    dataset = to_moabb("toy", toy)
    labels = np.array(["positive", "negative", "neutral"])
    codes = LabelEncoder().fit_transform(labels)
    np.testing.assert_array_equal(
        dataset.task.label_indices(codes), dataset.task.label_indices(labels)
    )
    assert dataset.task.question.startswith("Which emotion type")
    without = dataset.task_for(["positive", "neutral"])  # MOABB numbers them 0 and 1
    np.testing.assert_array_equal(
        without.label_indices(np.array([1, 0])),
        without.label_indices(np.array(["positive", "neutral"])),
    )
    with pytest.raises(ValueError, match="sad are no labels of .*; it has negative, neutral"):
        dataset.task_for(["positive", "sad"])


def test_windows_at_the_same_moment_are_told(toy: Path) -> None:
    raw = mne.io.read_raw_fif(toy / "anna_monday_b-1_raw.fif", preload=True, verbose="error")
    twice = mne.Annotations([12, 12, 16], 1.0, ["negative", "positive", "neutral"])
    raw.set_annotations(twice).save(
        toy / "anna_monday_b-1_raw.fif", overwrite=True, verbose="error"
    )
    with pytest.warns(RuntimeWarning, match="1 of 3 windows start where another one does"):
        to_moabb("toy", toy).get_data([1])


def test_choices_that_are_refused(toy: Path, eegmat: Path, fake: Callable) -> None:
    with pytest.raises(ValueError, match="is a pretraining corpus.*workload"):
        to_moabb("eegbci", eegmat)
    with pytest.raises(ValueError, match=r"no recording of subjects \['carl'\]; Toy has anna, ben"):
        to_moabb("toy", toy, subjects=["anna", "carl"])
    with pytest.raises(TypeError, match=r"subjects must be a list of names, e\.g\. \['anna'\]"):
        to_moabb("toy", toy, subjects="anna")
    with pytest.raises(ValueError, match="variant must be 'paper' or 'code'"):
        to_moabb("toy", toy, variant="mine")
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        to_moabb("toy", toy / "nowhere")
    with pytest.raises(ValueError, match="Local-toy holds windows.*load and to_epochs"):
        from_moabb(to_moabb("toy", toy), window_paradigm())
    assert not window_paradigm().is_valid(fake("left_hand", "right_hand"))
    assert not window_paradigm(events=["happy"]).is_valid(to_moabb("toy", toy))
    assert window_paradigm(events=["negative"]).is_valid(to_moabb("toy", toy))
    assert window_paradigm().datasets == [] and window_paradigm().scoring == "balanced_accuracy"


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (["1", "2"], ["1", "2"]),
        (["01", "12"], ["1", "12"]),
        (["1", "1"], ["0", "1"]),
        (["s001", "s002"], ["0s001", "1s002"]),
        ([""], ["0"]),
        (["2020-01-01", "b_2"], ["0", "1b2"]),
    ],
)
def test_names_of_sessions_and_runs(names: list[str], keys: list[str]) -> None:
    from mne_neurolm.datasets._moabb_classes import keys_of

    assert keys_of(names) == keys


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["Subject00", "Subject07"], [0, 7]),
        (["SN001", "SN010"], [1, 10]),
        (["1", "10", "2"], [1, 2, 10]),
        (["a1", "b1"], [1, 2]),
        (["aaaaaaab", "aaaaaaac"], [1, 2]),
    ],
)
def test_numbers_of_subjects(names: list[str], numbers: list[int]) -> None:
    from mne_neurolm.datasets._moabb_classes import numbered

    assert list(numbered(names)) == numbers
    assert sorted(numbered(names).values()) == names
