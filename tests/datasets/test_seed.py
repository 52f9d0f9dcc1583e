"""SEED and its siblings, from miniatures in their layout.

Names of files, channels and times of trials: NeuroLM's dataset_maker/prepare_SEED.py
(github.com/935963004/NeuroLM). Names of variables and their shape: TorchEEG's SEEDDataset and
SEEDIVDataset (github.com/torcheeg/torcheeg). Folders, and that the .mat files are in microvolts:
EEG-FM-Bench's data/dataset/seeds (github.com/xw1216/EEG-FM-Bench). The headers of SEED-V:
github.com/wjq-learning/CBraMod/issues/11 and github.com/mne-tools/mne-python/issues/13547. The
format .cnt: see cnt_files.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path

import h5py
import mne
import numpy as np
import pytest
import scipy.io
from cnt_files import SEED_CHANNELS, write_cnt, write_long_cnt

from mne_neurolm.datasets import load, read_recording, to_epochs
from mne_neurolm.datasets.catalog import DATASETS
from mne_neurolm.datasets.loading import cut_windows
from mne_neurolm.datasets.members import find_members
from mne_neurolm.datasets.readers import seed

SCALP = [name for name in SEED_CHANNELS if name not in ("M1", "M2", "VEO", "HEO")]
RAW = Path("SEED/SEED_EEG/SEED_RAW_EEG")
CUT = Path("SEED/SEED_EEG/Preprocessed_EEG")
WINDOWS = [60, 59, 52, 60, 46, 49, 60, 55, 66, 60, 59, 58, 59, 60, 52]  # of a session, by trial
LABELS = "+0--0+-0++0-0+-"
WORDS = {"+": "positive", "0": "neutral", "-": "negative"}


def sine(seconds: float, sfreq: float, microvolts: float, freq: float = 10.0) -> np.ndarray:
    return 1e-6 * microvolts * np.sin(2 * np.pi * freq * np.arange(round(seconds * sfreq)) / sfreq)


def signals(seconds: float, sfreq: int, **microvolts: float) -> np.ndarray:
    """Return zeros, but for sines of 10 Hz in the named channels."""
    data = np.zeros((len(SEED_CHANNELS), round(seconds * sfreq)))
    for name, amplitude in microvolts.items():
        data[SEED_CHANNELS.index(name)] = sine(seconds, sfreq, amplitude)
    return data


def write_mat(path: Path, trials: Sequence[np.ndarray], initials: str = "djc") -> Path:
    """Write trials in microvolts as the authors did; MATLAB lists eeg10 before eeg2."""
    variables = {f"{initials}_eeg{k}": trial for k, trial in enumerate(trials, start=1)}
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, dict(sorted(variables.items())), do_compression=True)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recording of true length and rate: 1 GB, nearly all of it a hole."""
    path = tmp_path_factory.mktemp("whole") / RAW / "15_3.cnt"
    return write_long_cnt(
        path, 3811, {24.0: signals(2, 1000, O2=30.0), 3805.0: signals(2, 1000, CB1=20.0)}
    )


def test_order_of_channels() -> None:
    assert [name.upper() for name in seed.CHANNELS] == SCALP and len(SCALP) == 62


def test_trials_of_a_session(whole: Path) -> None:
    """The paper's Table 1 counts 38,475 windows in 45 sessions of 855."""
    raw = read_recording("seed", whole)
    assert (raw.n_times, raw.info["sfreq"], raw.preload) == (3_811_000, 1000.0, False)
    notes = raw.annotations
    assert notes.description.tolist() == [WORDS[sign] for sign in LABELS]
    assert (notes.onset[0], notes.duration[0], notes.onset[14]) == (24.0, 241.0, 3598.0)
    assert raw.get_data(["O2"], 24_000, 26_000).max() == pytest.approx(30e-6, rel=2e-3)
    assert raw.get_data(["CB1"], 3_805_000, 3_807_000).max() == pytest.approx(20e-6, rel=2e-3)
    assert raw.get_data(["CB2"], 3_805_000, 3_807_000).max() == 0.0

    table = cut_windows(raw, DATASETS["seed"])
    assert table["trial"].value_counts().sort_index().tolist() == WINDOWS
    assert 45 * len(table) == 38_475
    assert table["start"].tolist()[:2] == [24.0, 28.0] and table["start"].iloc[-1] == 3802.0
    members = find_members("seed", whole.parent)
    parts = [seed.split(members[0], trial, members) for trial in table["trial"]]
    assert [parts.count(part) for part in ("train", "validation", "test")] == [507, 177, 171]
    # a trial is in one part, and windows do not overlap
    assert len(set(zip(table["trial"], parts, strict=True))) == 15
    assert (np.diff(table["i_start_in_trial"]) >= 4000).all()


def test_cnt(tmp_path: Path) -> None:
    """32-bit numbers at 1000 Hz, the mastoids among the electrodes, a header of little use."""
    data = signals(40, 1000, M1=90.0, TP7=50.0, CB2=20.0, VEO=200.0)
    path = tmp_path / RAW / "1_2.cnt"
    write_cnt(path, data, events=[(27_000, 1), (39_000, 3)], bad=["FZ"], date="13/27/10")
    with pytest.warns(RuntimeWarning, match=r"1_2\.cnt lasts 40\.0 s, .*: trial 1 is missing or"):
        raw = read_recording("seed", path)
    assert raw.ch_names == SEED_CHANNELS and not raw.preload
    assert (
        raw.get_channel_types(["FP1", "M1", "M2", "VEO", "HEO"]) == "eeg misc misc eog eog".split()
    )
    assert raw.annotations.description.tolist() == ["positive", "1", "3"]
    assert raw.annotations.onset.tolist() == [24.0, 27.0, 39.0]
    assert raw.annotations.duration[0] == 16.0
    assert raw.info["meas_date"] is None and raw.get_montage() is None and not raw.info["bads"]
    assert raw.get_data(["M1"]).max() == pytest.approx(90e-6, rel=1e-3)

    with pytest.warns(RuntimeWarning, match="1 of 1 files: 1_2.cnt lasts 40.0 s"):
        dataset = load("seed", tmp_path)
    x, y, crop = dataset[3]
    assert len(dataset) == 4 and x.shape == (62, 800) and y == 0 and crop == [3, 7200, 8000]
    epochs = to_epochs(dataset)
    assert epochs.ch_names == list(seed.CHANNELS) and epochs.info["sfreq"] == 200.0
    assert epochs.info["line_freq"] == 50.0
    unknown = [ch["ch_name"] for ch in epochs.info["chs"] if np.isnan(ch["loc"][:3]).any()]
    assert unknown == ["CB1", "CB2"]  # no montage of MNE has them
    table = epochs.metadata
    assert table["label"].tolist() == ["positive"] * 4
    assert table["start"].tolist() == [24.0, 28.0, 32.0, 36.0]
    for column, value in {"subject": "1", "session": "2", "split": "train", "trial": 0}.items():
        assert set(table[column]) == {value}
    peaks = epochs.get_data()[1].max(axis=1)
    there = {SCALP[k]: round(1e6 * peaks[k]) for k in np.flatnonzero(peaks > 1e-7)}
    assert there == {"TP7": 50, "CB2": 20}


def test_mat(tmp_path: Path) -> None:
    """Trials in files of their own date, each filtered on its own; the trial decides the part."""
    trials = []
    for k in range(15):
        trial = np.zeros((62, (33 + k) * 200 + 1))
        trial[9] = 1e6 * sine(33 + k + 1 / 200, 200, 5.0 * (k + 1))
        trial[27] = 5000.0 * (-1) ** k  # far from that of the neighbours
        trials.append(trial)
    path = write_mat(tmp_path / CUT / "4_20140705.mat", trials, "lqj")
    scipy.io.savemat(path.with_name("label.mat"), {"label": np.zeros((1, 15))})
    (path.with_name("readme.txt")).write_text("...")
    dataset = load("seed", tmp_path, cache=tmp_path / "prepared")
    assert len(dataset) == 144 and dataset.problems == {}
    parts = dataset.split("split")
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 80,
        "validation": 31,
        "test": 33,
    }
    epochs = to_epochs(dataset)
    table = epochs.metadata
    assert epochs.ch_names == list(seed.CHANNELS) and set(table["session"]) == {"3"}
    n_windows = [8, 8, 8, 9, 9, 9, 9, 10, 10, 10, 10, 11, 11, 11, 11]
    assert table["trial"].tolist() == np.repeat(np.arange(15), n_windows).tolist()
    assert table["label"].tolist() == [WORDS[LABELS[trial]] for trial in table["trial"]]
    assert epochs.event_id == {"positive": 0, "neutral": 1, "negative": 2}
    starts = np.cumsum([0, *(len(trial[0]) / 200 for trial in trials)])
    first = table.drop_duplicates("trial")
    np.testing.assert_allclose(first["start"], starts[:15], atol=1e-9)
    peaks = 1e6 * epochs.get_data()[:, 9].max(axis=1)
    np.testing.assert_allclose(peaks, 5.0 * (table["trial"] + 1), rtol=0.02)
    assert np.abs(epochs.get_data()[:, 27]).max() < 1e-6  # no step where trials join
    test = load("seed", tmp_path, split="test", cache=tmp_path / "prepared")
    assert len(test) == 33 and {*test.description["split"]} == {"test"}
    assert {*to_epochs(test).metadata["trial"]} == {12, 13, 14}
    raw = read_recording("seed", path)
    assert np.abs(raw.get_data(["Cz"])).max() == pytest.approx(5e-3)
    joins = raw.annotations.onset[raw.annotations.description == "EDGE boundary"]
    np.testing.assert_allclose(joins, starts[1:15])


def test_names(tmp_path: Path) -> None:
    """Features and siblings have files of the same names."""
    names = {
        "SEED_EEG/SEED_RAW_EEG/10_1.cnt": ("10", "1"),
        "Preprocessed_EEG/1_20131107.mat": ("1", "3"),
        "7_20131106.mat": ("7", "3"),
        "7_20200101.mat": ("7", "20200101"),
        "ExtractedFeatures/1_20131027.mat": None,
        "SEED_EEG/ExtractedFeatures_4s/1_20131027.mat": None,
        "SEED_Multimodal/Chinese/01-EEG-raw/1_1.cnt": None,
        "SEED_GER/German/01-EEG-raw/1_1.cnt": None,
        "SEED_IV/eeg_raw_data/1/1_20160518.mat": None,
        "SEED_EEG/SEED_RAW_EEG/16_1.cnt": None,
        "SEED_EEG/SEED_RAW_EEG/1_4.cnt": None,
        "SEED_EEG/Preprocessed_EEG/label.mat": None,
    }
    for name, expected in names.items():
        member = DATASETS["seed"].member(f"/data/SEED/{name}")
        assert (member and (member.subject, member.session)) == expected, name
    assert len(seed.SESSIONS) == 45
    member = DATASETS["seed"].member("1_1.cnt")
    parts = [seed.split(member, trial, []) for trial in range(-1, 15)]
    assert parts == [""] + ["train"] * 9 + ["validation"] * 3 + ["test"] * 3


def test_a_session_in_two_formats_counts_once(tmp_path: Path) -> None:
    for place in (RAW / "1_1.cnt", RAW / "2_3.cnt", CUT / "1_20131027.mat", CUT / "1_20131030.mat"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
    members = find_members("seed", tmp_path)
    assert [(m.path.name, m.subject, m.session) for m in members] == [
        ("1_20131030.mat", "1", "2"),
        ("1_1.cnt", "1", "1"),
        ("2_3.cnt", "2", "3"),
    ]


def test_malformed(tmp_path: Path) -> None:
    folder = tmp_path / RAW
    few = [name for name in SEED_CHANNELS if name not in ("CZ", "CB2")]
    twice = ["CZ" if name == "CPZ" else name for name in SEED_CHANNELS]
    two = [(100, 1), (200, 2)]
    good = write_cnt(folder / "1_1.cnt", signals(40, 200, FZ=10.0), 200, events=two)
    (folder / "1_2.cnt").write_bytes(good.read_bytes()[:-100_000])
    (folder / "2_1.cnt").write_bytes(b"RIFF" + good.read_bytes())
    (folder / "2_2.cnt").write_bytes(b"no recording")
    write_cnt(folder / "3_1.cnt", signals(20, 200), 200)
    write_cnt(folder / "3_2.cnt", signals(30, 200)[:64], 200, names=few)
    write_cnt(folder / "4_1.cnt", signals(30, 200), 200, names=twice)
    write_cnt(folder / "4_2.cnt", signals(30, 500), 500)
    trials = [np.zeros((62, 400))] * 15
    write_mat(folder / "5_20140411.mat", trials[:14])
    write_mat(folder / "5_20140418.mat", [*trials[:3], np.zeros((61, 400)), *trials[:11]])
    scipy.io.savemat(folder / "5_20140506.mat", {"ly_eeg1": trials[0], "jl_eeg1": trials[0]})
    scipy.io.savemat(folder / "6_20130712.mat", {"de_LDS1": np.zeros((62, 235, 5))})
    whole = write_mat(folder / "6_20131016.mat", trials).read_bytes()
    (folder / "6_20131113.mat").write_bytes(whole[: len(whole) // 2])
    (folder / "6_20131016.mat").unlink()
    with h5py.File(folder / "8_20140511.mat", "w", userblock_size=512) as file:
        file["sxy_eeg1"] = trials[0].T
    broken = bytearray(good.read_bytes())
    broken[-46] = 30  # bytes of the two events, which have 38
    (folder / "9_1.cnt").write_bytes(broken)
    with (
        pytest.warns(RuntimeWarning, match="trials should go on to 3806 s"),
        pytest.warns(RuntimeWarning, match="14 of 15 files are left out"),
    ):
        dataset = load("seed", tmp_path)
    assert len(dataset) == 4
    reasons = {Path(name).name: reason for name, reason in dataset.problems.items()}
    expected = {
        "1_2.cnt": "is truncated or has a broken header: it has",
        "2_1.cnt": "is not a Neuroscan recording but one of ANT Neuro",
        "2_2.cnt": "is not a Neuroscan recording: it starts with b'no recordin'",
        "3_1.cnt": "lasts 20.0 s; the first trial starts after 24 s",
        "3_2.cnt": "lacks the channels Cz, CB2; it has ['FP1'",
        "4_1.cnt": "several channels of one name",
        "4_2.cnt": "sampled at 500 Hz, and the recordings of",
        "5_20140411.mat": "must have the trials 1 to 15 as variables <initials>_eeg1 to "
        "<initials>_eeg15; it has 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14",
        "5_20140418.mat": "djc_eeg4 has the shape (61, 400), not (62, number of samples)",
        "5_20140506.mat": "has two variables for trial 1: ly_eeg1 and jl_eeg1",
        "6_20130712.mat": "<initials>_eeg15; it has none",
        "6_20131113.mat": "is no MATLAB file that can be read: ",
        "8_20140511.mat": "is a MATLAB file of version 7.3; save it with -v7",
        "9_1.cnt": "has a broken header or table of events: ",
    }
    assert list(reasons) == list(expected)
    for name, reason in expected.items():
        assert reason in reasons[name]
        if name != "3_2.cnt":  # the recording is fine, its montage is another
            with pytest.raises(ValueError, match=f"{name}: "):
                read_recording("seed", folder / name)


counts = pytest.mark.skipif(
    "recompute_n_samples" not in inspect.signature(mne.io.read_raw_cnt).parameters,
    reason="MNE-Python before 1.12 believes the number of samples in the header",
)


@counts
@pytest.mark.parametrize("n_samples", [-732, 0, 30_000])
def test_wrong_number_of_samples(tmp_path: Path, n_samples: int) -> None:
    path = tmp_path / "SEED-V/EEG_raw/7_1_20180411_repaired.cnt"
    write_cnt(path, signals(36, 1000, FP1=10.0), n_samples=n_samples)
    raw = read_recording("seed-v", path)
    assert raw.n_times == 36_000
    assert raw.get_data(["FP1"])[0, -1000:].max() == pytest.approx(10e-6, rel=5e-3)


def test_old_mne_cannot_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_raw_cnt(input_fname: Path) -> None:
        raise AssertionError("a file that it would misread is not given to it")

    monkeypatch.setattr(mne.io, "read_raw_cnt", read_raw_cnt)
    path = write_cnt(tmp_path / "1_1_20180804.cnt", signals(2, 1000), n_samples=-732)
    with pytest.raises(ValueError, match=r"says -732 samples and it has 2000; install .* 1\.12"):
        read_recording("seed-v", path)


@pytest.mark.parametrize(
    ("name", "file", "others"),
    [
        ("seed-v", "SEED-V/EEG_raw/7_1_20180411_repaired.cnt", "7_1_20180411.cnt notes.cnt"),
        ("seed-ger", "SEED_GER/German/01-EEG-raw/7_1.cnt", "../../../SEED/7_1.cnt"),
        ("seed-fra", "SEED_FRA/French/01-EEG-raw/7_1.cnt", "../../../German/7_1.cnt"),
    ],
)
def test_siblings(tmp_path: Path, name: str, file: str, others: str) -> None:
    path = write_cnt(
        tmp_path / file, signals(36, 1000, M2=90.0, P7=25.0, HEO=99.0), events=[(5000, 1)]
    )
    for other in others.split():
        place = path.parent / other
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"")
    dataset = load(name, tmp_path)
    assert len(dataset.datasets) == 1
    raw = dataset.datasets[0].raw
    assert raw.ch_names == SCALP and (raw.n_times, raw.info["sfreq"]) == (7200, 200.0)
    peaks = 1e6 * raw.get_data()[:, 1000:-1000].max(axis=1)
    assert peaks.round().nonzero()[0].tolist() == [SCALP.index("P7")]
    assert peaks.max() == pytest.approx(25.0, rel=0.02)
    facts = dataset.description.iloc[0]
    assert (facts["subject"], facts["session"], facts["dataset"]) == ("7", "1", name)
    assert raw.annotations.description.tolist() == ["1"]


def test_seed_iv(tmp_path: Path) -> None:
    trials = [np.full((62, 400 + k), float(k)) for k in range(24)]
    path = write_mat(tmp_path / "SEED_IV/eeg_raw_data/2/10_20151021.mat", trials, "zjd")
    write_mat(tmp_path / "SEED_IV/eeg_feature_smooth/2/10_20151021.mat", trials[:1], "de_LDS")
    (member,) = find_members("seed-iv", tmp_path)
    assert (member.subject, member.session) == ("10", "2")
    raw = read_recording("seed-iv", path)
    assert raw.ch_names == list(seed.CHANNELS) and raw.info["sfreq"] == 200.0
    notes = raw.annotations
    films = [note for note in notes.description if not note.endswith("boundary")]
    assert films[:4] == ["fear", "sad", "happy", "neutral"] and len(films) == 24
    assert [films.count(word) for word in ("neutral", "sad", "fear", "happy")] == [6, 6, 6, 6]
    onset = notes.onset[notes.description != "EDGE boundary"][-1]
    assert onset == pytest.approx(sum(400 + k for k in range(23)) / 200)
    assert raw.get_data([0], round(onset * 200))[0].tolist() == pytest.approx([23e-6] * 423)
    write_mat(path, trials[:15])
    with pytest.raises(ValueError, match=r"10_20151021\.mat: must have the trials 1 to 24"):
        read_recording("seed-iv", path)


def test_times_of_trials() -> None:
    """As NeuroLM's prepare_SEED.py has them; the last second of a trial belongs to it."""
    starts = "24 289 550 782 1049 1260 1483 1747 1993 2283 2550 2812 3072 3332 3598"
    ends = "264 526 757 1023 1235 1458 1722 1967 2259 2525 2788 3046 3308 3573 3806"
    assert seed.STARTS == tuple(map(int, starts.split()))
    assert seed.ENDS == tuple(map(int, ends.split()))
    assert [(b - a + 1) // 4 for a, b in zip(seed.STARTS, seed.ENDS, strict=True)] == WINDOWS


@pytest.mark.parametrize(
    ("name", "session"),
    [
        ("1_20131027", "1"),
        ("1_20131107", "3"),
        ("6_20130712", "1"),
        ("12_20131127", "1"),
        ("12_20131201", "2"),
        ("12_20131207", "3"),
        ("15_20131105", "3"),
    ],
)
def test_dates_of_sessions(name: str, session: str) -> None:
    """As in the file lists of TorchEEG's and other readers of the distribution."""
    member = DATASETS["seed"].member(f"{CUT}/{name}.mat")
    assert member is not None and member.session == session


@pytest.mark.parametrize(
    "place",
    [
        "SEED_GER/01-EEG-raw/1_1.cnt",
        "SEED/SEED_EEG/ExtractedFeatures_1s/1_20131027.mat",
        "SEED_IV/eye_feature_smooth/1/1_20160518.mat",
        "SEED/SEED_Multimodal/Chinese/01-EEG-raw/1_1.cnt",
    ],
)
def test_what_is_not_of_seed(place: str) -> None:
    assert DATASETS["seed"].member(f"/data/Germano/{place}") is None
    assert DATASETS["seed"].member("/data/French_lab/SEED_raw/1_1.CNT") is not None
