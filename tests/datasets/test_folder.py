"""Any annotated recordings as epochs."""

from __future__ import annotations

import datetime
from pathlib import Path

import mne
import numpy as np
import pytest

from mne_neurolm.datasets import load_folder
from mne_neurolm.datasets._files import find_recordings, subject_of
from mne_neurolm.patches import make_patches

CHANNELS = ["Fz", "Cz", "Pz", "O1"]


def make_raw(
    spans: list[tuple[float, float, str]],
    *,
    seconds: float = 60.0,
    sfreq: float = 200.0,
    ch_names: list[str] | None = None,
    line_freq: float | None = 50.0,
    seed: int = 0,
) -> mne.io.RawArray:
    """Return noise of 20 µV; channel k also has a rhythm of 5 + k Hz."""
    names = CHANNELS if ch_names is None else ch_names
    rng = np.random.default_rng(seed)
    times = np.arange(int(seconds * sfreq)) / sfreq
    rhythm = np.sin(2 * np.pi * (5 + np.arange(len(names)))[:, None] * times)
    data = 20e-6 * (rng.standard_normal((len(names), len(times))) + rhythm)
    info = mne.create_info(names, sfreq, "eeg")
    info["line_freq"] = line_freq
    raw = mne.io.RawArray(data, info, verbose="error")
    onset, duration, description = zip(*spans, strict=True) if spans else ([], [], [])
    return raw.set_annotations(mne.Annotations(onset, duration, description))


def save(raw: mne.io.BaseRaw, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw.save(path, verbose="error")
    return path


def test_spans_become_windows(tmp_path: Path) -> None:
    path = save(make_raw([(10, 12, "open"), (30, 9.5, "closed")]), tmp_path / "anna_raw.fif")
    epochs = load_folder(path)
    assert epochs.get_data().shape == (5, 4, 800)
    assert epochs.event_id == {"closed": 0, "open": 1}
    assert epochs.metadata.to_dict("list") == {
        "subject": ["anna_raw"] * 5,
        "label": ["open"] * 3 + ["closed"] * 2,
        "file": ["anna_raw.fif"] * 5,
        "start": [10.0, 14.0, 18.0, 30.0, 34.0],
    }
    assert epochs.events[:, 2].tolist() == [1, 1, 1, 0, 0]
    assert (epochs.info["highpass"], epochs.info["lowpass"]) == pytest.approx((0.1, 75.0))
    assert make_patches(epochs).data.shape == (5, 16, 200)


def test_overlap_and_duration(tmp_path: Path) -> None:
    path = save(make_raw([(0, 6, "a"), (20, 6, "b")]), tmp_path / "x_raw.fif")
    epochs = load_folder(path, duration=2.0, overlap=1.5)
    assert epochs["a"].metadata["start"].tolist() == [0.5 * k for k in range(9)]
    assert epochs.get_data().shape == (18, 4, 400)


@pytest.mark.parametrize("date", [None, datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)])
def test_windows_hold_the_annotated_samples(tmp_path: Path, date: datetime.datetime | None) -> None:
    """A cropped recording, with and without a date, at another rate: the right moment is cut."""
    raw = make_raw([], sfreq=250.0)
    # 40 Hz during the marked span only.
    times = raw.times
    marked = (times >= 30) & (times < 38)
    raw._data[:, marked] += 60e-6 * np.sin(2 * np.pi * 40 * times[marked])
    raw.set_meas_date(date)
    raw.set_annotations(
        mne.Annotations([30, 45, 20], [8, 8, 8], ["burst", "calm", "calm"], orig_time=date)
    )
    path = save(raw.crop(10, None), tmp_path / "cropped_raw.fif")
    epochs = load_folder(path)
    assert sorted(epochs.metadata["start"]) == [10, 14, 20, 24, 35, 39]
    power = epochs.compute_psd(fmin=39, fmax=41, verbose="error").get_data().mean(axis=(1, 2))
    burst = (epochs.metadata["label"] == "burst").to_numpy()
    assert power[burst].min() > 20 * power[~burst].max()


def test_point_events_and_short_spans(tmp_path: Path) -> None:
    spans = [
        (10, 0.0, "left"),
        (20, 0.5, "right"),
        (30, 3.0, "left"),  # neither a point nor long enough
        (58, 0.0, "right"),  # no room for a window before the end
        (40, 0.0, "right"),
    ]
    path = save(make_raw(spans), tmp_path / "x_raw.fif")
    epochs = load_folder(path)
    assert epochs.metadata[["label", "start"]].to_numpy().tolist() == [
        ["left", 10.0],
        ["right", 20.0],
        ["right", 40.0],
    ]
    longer = load_folder(path, point_duration=3.0)
    assert longer.metadata["start"].tolist() == [10.0, 20.0, 30.0, 40.0]
    with pytest.raises(ValueError, match=r"found 'left' \(1\)"):
        load_folder(path, point_duration=0.0, classes=["left"])


def test_bad_spans_and_classes(tmp_path: Path) -> None:
    spans = [(0, 8, "a"), (10, 8, "b"), (20, 8, "c"), (5, 1, "BAD_muscle")]
    path = save(make_raw(spans), tmp_path / "x_raw.fif")
    epochs = load_folder(path)
    assert epochs["a"].metadata["start"].tolist() == [0.0]
    assert set(epochs.event_id) == {"a", "b", "c"}
    assert set(load_folder(path, classes=["a", "c"]).event_id) == {"a", "c"}
    merged = load_folder(path, classes={"a": "x", "b": "y", "c": "x"})
    assert merged.metadata["label"].tolist() == ["x", "y", "y", "x", "x"]
    with pytest.raises(TypeError, match="list of descriptions"):
        load_folder(path, classes="a")
    everything_bad = save(make_raw([*spans, (0, 60, "bad")]), tmp_path / "y_raw.fif")
    with pytest.raises(ValueError, match="no window of 4 s fits.*2 spans are marked BAD"):
        load_folder(everything_bad)


def test_folder_of_files(tmp_path: Path) -> None:
    spans = [(0, 12, "open"), (20, 12, "closed")]
    for k, name in enumerate(("anna/a_raw.fif", "anna/b_raw.fif", "ben/a_raw.fif")):
        save(make_raw(spans, seed=k), tmp_path / name)
    epochs = load_folder(tmp_path)
    assert epochs.metadata["file"].unique().tolist() == [
        "anna/a_raw.fif",
        "anna/b_raw.fif",
        "ben/a_raw.fif",
    ]
    counts = epochs.metadata["subject"].value_counts().to_dict()
    assert counts == {"anna": 12, "ben": 6}


def test_two_files_of_a_known_data_set_are_of_one_subject(tmp_path: Path) -> None:
    for name, label in (("Subject03_1.edf", "rest"), ("Subject03_2.edf", "task")):
        make_raw([(0, 12, label)]).export(tmp_path / name, verbose="error")
    epochs = load_folder(tmp_path, line_freq=50)
    assert set(epochs.metadata["subject"]) == {"Subject03"} and len(epochs) == 6


def test_channels_that_files_share(tmp_path: Path) -> None:
    spans = [(0, 12, "open"), (20, 12, "closed")]
    names = ["EEG O1-REF", "EEG Fz-REF", "EEG Cz-REF", "EEG C3-REF"]
    first = save(make_raw(spans), tmp_path / "a_raw.fif")
    save(make_raw(spans, ch_names=names), tmp_path / "b_raw.fif")
    save(make_raw(spans, ch_names=["P7", "P8", "F7", "F8"]), tmp_path / "c_raw.fif")
    with pytest.warns(RuntimeWarning, match=r"1 of 3 files are left out:\nc_raw\.fif: it shares 0"):
        epochs = load_folder(tmp_path)
    assert epochs.ch_names == ["FZ", "CZ", "O1"]
    assert sorted(set(epochs.metadata["file"])) == ["a_raw.fif", "b_raw.fif"]
    # O1 is the fourth channel of one file (8 Hz) and the first of the other (5 Hz).
    psd, freqs = epochs.compute_psd(fmin=4, fmax=9, verbose="error").get_data(return_freqs=True)
    peaks = freqs[psd.argmax(axis=-1)]
    in_first = (epochs.metadata["file"] == first.name).to_numpy()
    assert np.allclose(np.median(peaks[in_first], axis=0), [5, 6, 8], atol=0.3)
    assert np.allclose(np.median(peaks[~in_first], axis=0), [6, 7, 5], atol=0.3)


def test_unusable_files_are_reported_once(tmp_path: Path) -> None:
    spans = [(0, 12, "open"), (20, 12, "closed")]
    save(make_raw(spans), tmp_path / "good_raw.fif")
    save(make_raw([]), tmp_path / "silent_raw.fif")
    save(make_raw(spans, ch_names=["ECG", "EMG", "EOG", "X1"]), tmp_path / "heart_raw.fif")
    (tmp_path / "broken.edf").write_bytes(b"this is no EDF")
    (tmp_path / "notes.txt").write_text("not a recording", encoding="utf-8")
    with pytest.warns(RuntimeWarning, match="3 of 4 files are left out") as caught:
        epochs = load_folder(tmp_path)
    (message,) = [str(w.message) for w in caught]
    assert "broken.edf: " in message and "notes.txt" not in message
    assert "heart_raw.fif: No usable EEG channel" in message
    assert "silent_raw.fif: none of its annotations is a class" in message
    assert set(epochs.metadata["file"]) == {"good_raw.fif"}


def test_warnings_of_many_files_come_once(tmp_path: Path) -> None:
    spans = [(0, 12, "open"), (20, 12, "closed")]
    for name in ("a", "b", "c"):
        save(make_raw(spans, line_freq=None), tmp_path / f"{name}_raw.fif")
    with pytest.warns(RuntimeWarning, match=r"3 of 3 files:.*line_freq=50") as caught:
        load_folder(tmp_path)
    assert len(caught) == 1
    assert len(load_folder(tmp_path, line_freq=60)) == 18


def test_too_few_classes_lists_what_there_is(tmp_path: Path) -> None:
    path = save(make_raw([(0, 12, "open")]), tmp_path / "a_raw.fif")
    with pytest.raises(ValueError, match=r"Two or more classes are needed, found 'open' \(3\)"):
        load_folder(path)
    with pytest.raises(ValueError, match=r"(?s)classes=\['x'\].*it has 'open' \(1\)"):
        load_folder(path, classes=["x"])


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        load_folder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="hold no recording"):
        load_folder(tmp_path)
    with pytest.raises(ValueError, match=r"duration=0\.5"):
        load_folder(tmp_path, duration=0.5)
    with pytest.raises(ValueError, match=r"overlap=4"):
        load_folder(tmp_path, overlap=4.0)


def test_find_recordings_skips_parts_of_others(tmp_path: Path) -> None:
    for name in (
        "a.vhdr a.eeg a.vmrk nihon.EEG b_raw.fif b_raw-1.fif sub-1_split-01_eeg.fif "
        "sub-1_split-02_eeg.fif .hidden.edf readme.md deep/c.bdf d.mff/signal1.bin d.mff/e.dat"
    ).split():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [file.relative_to(tmp_path).as_posix() for file in find_recordings(tmp_path)]
    assert sorted(found) == [
        "a.vhdr",
        "b_raw.fif",
        "d.mff",
        "deep/c.bdf",
        "nihon.EEG",
        "sub-1_split-01_eeg.fif",
    ]


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("a.edf", "a"),
        ("a.b_raw.fif.gz", "a.b_raw"),
        ("S001/S001R03.edf", "S001"),
        ("sub-07/ses-1/eeg/sub-07_ses-1_eeg.vhdr", "07"),
    ],
)
def test_subject_of(name: str, subject: str) -> None:
    assert subject_of(name) == subject


def test_eegbci(shared_data: Path) -> None:
    root = shared_data / "mne_data/MNE-eegbci-data/files/eegmmidb/1.0.0"
    epochs = load_folder(root, classes={"T1": "left", "T2": "right"}, line_freq=60)
    assert set(epochs.metadata["subject"]) == {"S001"}
    assert epochs.info["nchan"] == 64 and epochs.info["sfreq"] == 200.0
    assert set(epochs.event_id) == {"left", "right"}
    assert make_patches(epochs[:2]).n_channels == 64


def test_formats(shared_data: Path) -> None:
    """Point events of an EEGLAB file, next to files that cannot be used."""
    with pytest.warns(RuntimeWarning, match="files") as caught:
        epochs = load_folder(
            shared_data / "formats", duration=2.0, classes=["rt", "square"], on_missing="ignore"
        )
    assert set(epochs.metadata["file"]) == {"eeglab_data.set"}
    counts = epochs.metadata["label"].value_counts()
    assert 70 < counts["rt"] <= 74 and 75 < counts["square"] <= 80
    left_out = [str(w.message) for w in caught if "left out" in str(w.message)]
    assert len(left_out) == 1
    for name in ("scan41_short.cnt", "subject04-epo.fif", "test_epochs_onefile.set", "test.vhdr"):
        assert f"\n{name}: " in left_out[0]


SPANS = [(5.0, 10.0, "a"), (30.0, 10.0, "b")]


def test_subject_pattern(tmp_path: Path) -> None:
    for seed, name in enumerate(("visit1_anna", "visit2_anna", "visit1_ben")):
        save(make_raw(SPANS, seed=seed), tmp_path / f"{name}_raw.fif")
    epochs = load_folder(tmp_path, subject_pattern=r"_(\w+)_raw")
    assert set(epochs.metadata["subject"]) == {"anna", "ben"}
    with pytest.raises(ValueError, match="is not found in 'visit1_anna_raw.fif'"):
        load_folder(tmp_path, subject_pattern=r"sub-(\d+)")


def test_links_to_nothing_are_told(tmp_path: Path) -> None:
    save(make_raw(SPANS), tmp_path / "anna_raw.fif")
    (tmp_path / "ben_raw.fif").symlink_to(tmp_path / "annex" / "key")
    with pytest.warns(RuntimeWarning, match="1 recordings in .* links to nothing.*ben_raw.fif"):
        assert len(load_folder(tmp_path)) == 4


def test_windows_that_share_eeg_are_told(tmp_path: Path) -> None:
    notes = [(5.0, 0.0, "a"), (5.0, 0.0, "a"), (7.0, 0.0, "b "), (20.0, 0.0, "b")]
    save(make_raw(notes), tmp_path / "anna_raw.fif")
    with pytest.warns(RuntimeWarning, match="overlap windows of another class"):
        epochs = load_folder(tmp_path)
    found = epochs.metadata[["label", "start"]].to_numpy().tolist()
    assert found == [["a", 5.0], ["b", 7.0], ["b", 20.0]]


def test_truncated_files_are_told(tmp_path: Path) -> None:
    raw = make_raw([(1.0, 9.0, "a"), (11.0, 9.0, "b")])
    mne.export.export_raw(tmp_path / "anna.edf", raw, verbose="error")
    content = (tmp_path / "anna.edf").read_bytes()
    (tmp_path / "anna.edf").write_bytes(content[: len(content) * 3 // 4])
    with pytest.warns(RuntimeWarning, match="Number of records from the header does not match"):
        load_folder(tmp_path, line_freq=50)
