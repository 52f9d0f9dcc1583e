"""HMC, from miniatures in its layout.

Names of files and channels, the columns of the text with their blanks, and the lines of lights off
and on: NeuroLM's dataset_maker/prepare_HMC.py (github.com/935963004/NeuroLM), EEG-FM-Bench's
data/dataset/hmc.py (github.com/xw1216/EEG-FM-Bench), and PhysioNet's page
physionet.org/content/hmc-sleep-staging/1.1/, by which 151 recordings are left of 154.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, time
from pathlib import Path

import edfio
import mne
import numpy as np
import pytest

from mne_neurolm.datasets import load, read_recording, to_epochs
from mne_neurolm.datasets.catalog import DATASETS, find_subject
from mne_neurolm.datasets.members import find_members
from mne_neurolm.datasets.readers import hmc

CHANNELS = {  # in the order of the files, with the amplitude of a sine of 10 Hz in uV
    "EEG F4-M1": 20.0,
    "EEG C4-M1": 30.0,
    "EEG O2-M1": 40.0,
    "EEG C3-M2": 50.0,
    "EMG chin": 90.0,
    "EOG E1-M2": 100.0,
    "EOG E2-M2": 110.0,
    "ECG": 500.0,
}
HEADER = "Date, Time, Recording onset, Duration, Annotation, Linked channel"
NIGHT = [  # onset, duration, annotation, linked channel
    (0, 30, "Sleep stage W", ""),
    (30, 30, "Sleep stage W", ""),
    (42.125, 0, "Lights off", "SaO2"),
    (60, 30, "Sleep stage N1", ""),
    (90, 60, "Sleep stage N2", ""),
    (150, 30, "Sleep stage N3", ""),
    (180, 12, "Sleep stage N3", ""),
    (210, 30, "Sleep stage R", ""),
    (231.5, 0, "Lights on", "EEG F4-A1"),
    (240, 30, "Sleep stage W", ""),
    (270, 30, "Sleep stage W", ""),  # beyond the end of 290 s
]
STARTS = [0.0, 30.0, 60.0, 90.0, 120.0, 150.0, 210.0, 240.0]
LABELS = ["W", "W", "N1", "N2", "N2", "N3", "R", "W"]


def write_edf(
    path: Path, seconds: int = 290, sfreq: int = 256, names: Sequence[str] = tuple(CHANNELS)
) -> Path:
    times = np.arange(seconds * sfreq) / sfreq
    signals = [
        edfio.EdfSignal(
            amplitude * np.sin(2 * np.pi * 10.0 * times),
            sampling_frequency=sfreq,
            label=name,
            physical_dimension="uV",
            physical_range=(-600.0, 600.0),
        )
        for name, amplitude in zip(names, CHANNELS.values(), strict=False)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    edfio.Edf(signals, recording=edfio.Recording(startdate=date(2001, 1, 1))).write(path)
    return path


def text_of(rows: Sequence[tuple[float, float, str, str]]) -> str:
    lines = [HEADER]
    for onset, duration, text, channel in rows:
        minutes, rest = divmod(onset, 60)
        clock = f"22.{minutes:02.0f}.{rest:02.0f}" if rest == int(rest) else f"22.{minutes:.0f}.1.1"
        lines.append(f"01.01.2001, {clock}, {onset}, {duration}, {text}, {channel}")
    return "\n".join(lines) + "\n"


def write(
    folder: Path,
    subject: str,
    rows: Sequence[tuple[float, float, str, str]] | str | None = tuple(NIGHT),
    **recording: object,
) -> Path:
    path = write_edf(folder / f"{subject}.edf", **recording)
    if rows is not None:
        content = rows if isinstance(rows, str) else text_of(rows)
        (folder / f"{subject}_sleepscoring.txt").write_text(content)
    return path


def write_scoring_edf(path: Path, rows: Sequence[tuple[float, float, str, str]]) -> Path:
    """Write stages as EDF+ annotations, in a file without signals that starts another day."""
    notes = [
        edfio.EdfAnnotation(onset, duration, f"{text}@@{channel}" if channel else text)
        for onset, duration, text, channel in rows
    ]
    startdate = edfio.Recording(startdate=date(2018, 5, 3))
    edfio.Edf([], recording=startdate, starttime=time(22, 11, 5), annotations=notes).write(path)
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a subject with both files of stages, and one of validation with the EDF file alone."""
    folder = tmp_path_factory.mktemp("hmc") / "1.1" / "recordings"
    write(folder, "SN001")
    write_scoring_edf(folder / "SN001_sleepscoring.edf", NIGHT[:1])
    write(folder, "SN101", None)
    write_scoring_edf(folder / "SN101_sleepscoring.edf", NIGHT)
    (folder.parent / "RECORDS").write_text("recordings/SN001.edf\n")
    return folder.parent


def test_windows(root: Path) -> None:
    dataset = load("hmc", root)
    assert dataset.problems == {} and len(dataset) == 16
    x, y, crop = dataset[2]
    assert x.shape == (4, 6000) and x.dtype == np.float32 and y == 1
    assert crop == [2, 12_000, 18_000]
    epochs = to_epochs(dataset)
    assert epochs.ch_names == ["F4", "C4", "O2", "C3"] and epochs.info["sfreq"] == 200.0
    assert epochs.info["line_freq"] == 50.0
    assert np.isfinite([ch["loc"][:3] for ch in epochs.info["chs"]]).all()
    assert epochs.event_id == {"W": 0, "N1": 1, "N2": 2, "N3": 3, "R": 4}
    table = epochs.metadata
    assert table["label"].tolist() == LABELS * 2
    assert table["start"].tolist() == STARTS * 2
    assert table["trial"].tolist() == [0, 1, 2, 3, 3, 4, 6, 7] * 2  # trial 5 is too short
    assert table["subject"].tolist() == ["SN001"] * 8 + ["SN101"] * 8
    assert table["split"].tolist() == ["train"] * 8 + ["validation"] * 8
    assert set(table["file"]) == {"recordings/SN001.edf", "recordings/SN101.edf"}
    peaks = 1e6 * epochs.get_data()[1].max(axis=1)
    np.testing.assert_allclose(peaks, [20.0, 30.0, 40.0, 50.0], rtol=0.02)


def test_read_recording(root: Path) -> None:
    for subject in ("SN001", "SN101"):
        raw = read_recording("hmc", root / "recordings" / f"{subject}.edf")
        assert raw.ch_names == list(CHANNELS) and not raw.preload
        assert raw.get_channel_types() == ["eeg"] * 4 + ["emg", "eog", "eog", "ecg"]
        assert (raw.info["sfreq"], raw.n_times) == (256.0, 290 * 256)
        notes = raw.annotations
        assert notes.description.tolist() == [
            *("W", "W", "Lights off", "N1", "N2", "N3", "N3", "R", "Lights on", "W", "W")
        ]
        assert notes.onset.tolist() == [row[0] for row in NIGHT]
        assert notes.duration[4] == 60.0
        assert raw.get_data(["ECG"]).max() == pytest.approx(500e-6, rel=1e-3)


def test_other_spellings(tmp_path: Path) -> None:
    """Blanks and capitals vary, lines may be empty, unscored epochs are no labels."""
    text = (
        "\ufeff" + HEADER.replace(", ", ",") + "\r\n"
        "01.01.2001,22.00.00,0,30.0, sleep stage  w\r\n"
        "\r\n"
        "01.01.2001, 22.00.30, 30, 30, Sleep stage ?, \r\n"
        "01.01.2001, 22.01.00, 60, 30, Movement time, \r\n"
        "01.01.2001, 22.01.30, 90, 30, SLEEP STAGE n2, \r\n"
    )
    path = write(tmp_path, "SN002", None)
    path.with_name("SN002_sleepscoring.txt").write_bytes(text.encode())
    dataset = load("hmc", tmp_path)
    assert to_epochs(dataset).metadata["label"].tolist() == ["W", "N2"]
    notes = read_recording("hmc", path).annotations.description.tolist()
    assert notes == ["W", "Sleep stage ?", "Movement time", "N2"]


def test_stages_beyond_the_end(tmp_path: Path) -> None:
    rows = [(30 * k, 30, "Sleep stage N2", "") for k in range(12)]
    path = write(tmp_path, "SN003", rows, seconds=120)
    with pytest.warns(RuntimeWarning, match="8 of 12 sleep stages in SN003_sleepscoring.txt lie"):
        assert len(read_recording("hmc", path).annotations) == 4
    with pytest.warns(RuntimeWarning, match="1 of 1 files: 8 of 12 sleep stages"):
        assert len(load("hmc", tmp_path)) == 4


def test_splits() -> None:
    """100, 26 and 28 subjects in the paper; 100, 25 and 26 of the 151 in its code."""
    spec = DATASETS["hmc"]
    everyone = [spec.member(f"recordings/SN{number:03d}.edf") for number in range(1, 155)]
    left = [member for member in everyone if member.subject not in ("SN014", "SN064", "SN135")]
    assert len(left) == 151
    sizes = {}
    for name, way in spec.protocol.variants.items():
        for members in (everyone, left):
            parts = [way.split(member, -1, members) for member in members]
            assert parts == [way.split(member, 7, members) for member in members]
            counted = [parts.count(part) for part in ("train", "validation", "test")]
            assert parts == [
                part
                for part, n in zip(("train", "validation", "test"), counted, strict=True)
                for _ in range(n)
            ]
            sizes[name, len(members)] = counted
    assert sizes["paper", 154] == [100, 26, 28] and sizes["paper", 151] == [98, 26, 27]
    assert sizes["code", 151] == [100, 25, 26]
    way = spec.protocol.variants["code"]
    ends = [way.split(everyone[number - 1], 0, everyone) for number in (102, 103, 127, 128)]
    assert ends == ["train", "validation", "validation", "test"]


def test_variants_by_load(tmp_path: Path) -> None:
    for subject in ("SN101", "SN127", "SN154"):
        write(tmp_path, subject, NIGHT[:2], seconds=60)
    paper = load("hmc", tmp_path).description
    assert paper["split"].tolist() == ["validation", "test", "test"]
    code = load("hmc", tmp_path, variant="code").description
    assert code["split"].tolist() == ["train", "validation", "test"]
    for part in ("train", "validation", "test"):
        found = load("hmc", tmp_path, variant="code", split=part).description["subject"]
        assert found.tolist() == code[code["split"] == part]["subject"].tolist()


def test_names(root: Path) -> None:
    members = find_members("hmc", root)
    assert [member.subject for member in members] == ["SN001", "SN101"]
    assert [file.name for file in hmc.label_files(members[0])] == [
        "SN001_sleepscoring.txt",
        "SN001_sleepscoring.edf",
    ]
    assert find_subject("recordings/SN001.edf") == "SN001"


def test_malformed(tmp_path: Path) -> None:
    names = list(CHANNELS)
    write(tmp_path, "SN001")
    write(tmp_path, "SN002", None)
    write(tmp_path, "SN003", text_of(NIGHT).replace("stage N1", "stage S4"))
    write(tmp_path, "SN004", text_of(NIGHT).replace(", 60, Sleep", ", 1 min, Sleep"))
    write(tmp_path, "SN005", text_of(NIGHT).replace("Duration", "Length"))
    write(tmp_path, "SN006", "")
    write(tmp_path, "SN007", [NIGHT[2], NIGHT[8]])
    write(tmp_path, "SN008", text_of(NIGHT) + "01.01.2001, 22.05.00, 300\n")
    path = write(tmp_path, "SN009")
    path.write_bytes(path.read_bytes()[:-5000])
    write(tmp_path, "SN010", names=["EEG F4-M1", "EEG F4-M1", *names[2:]])
    write(tmp_path, "SN011", names=["EEG F4-M1", "EEG F3-M2", *names[2:]])
    write(tmp_path, "SN012", sfreq=250)
    path = write(tmp_path, "SN013", None)
    write_scoring_edf(path.with_name("SN013_sleepscoring.edf"), [(60, 30, "Sleep stage 3", "")])
    path = write(tmp_path, "SN015", None)
    path.with_name("SN015_sleepscoring.edf").write_bytes(b"0       broken")
    write(tmp_path, "SN016", [(15, 30, "Sleep stage R", "")], seconds=40)
    with pytest.warns(RuntimeWarning, match=r"14 of 15 files are left out:\nSN002\.edf: has no"):
        dataset = load("hmc", tmp_path)
    assert len(dataset) == 8
    expected = {
        "SN002": "has no sleep stages: neither SN002_sleepscoring.txt nor SN002_sleepscoring.edf",
        "SN003": "SN003_sleepscoring.txt, line 5: unknown annotation 'Sleep stage S4'; the stages "
        "are W, N1, N2, N3, R",
        "SN004": "SN004_sleepscoring.txt, line 6: '01.01.2001, 22.01.30, 90, 1 min, Sleep stage N2",
        "SN005": "SN005_sleepscoring.txt, line 1: has the columns ['Date', 'Time', ",
        "SN006": "SN006_sleepscoring.txt, line 1: has the columns [], lacks ['Recording onset', ",
        "SN007": "SN007_sleepscoring.txt has no sleep stage",
        "SN008": "SN008_sleepscoring.txt, line 13: '01.01.2001, 22.05.00, 300' does not say",
        "SN009": "Number of records from the header does not match",
        "SN010": "several channels of one name",
        "SN011": "lacks the channels C4; it has ['EEG F4-M1', 'EEG F3-M2', ",
        "SN012": "sampled at 250 Hz, and the recordings of Haaglanden",
        "SN013": "SN013_sleepscoring.edf, at 60 s: unknown annotation 'Sleep stage 3'",
        "SN015": "",  # in MNE's words
        "SN016": "no window of 30 s",
    }
    assert list(dataset.problems) == [f"{subject}.edf" for subject in expected]
    for subject, reason in expected.items():
        assert reason in dataset.problems[f"{subject}.edf"] != ""
        if subject not in ("SN011", "SN016"):  # the recording is fine, its montage or length not
            with pytest.raises(ValueError, match=rf"{subject}\.edf: "):
                read_recording("hmc", tmp_path / f"{subject}.edf")
    with pytest.raises(ValueError, match=r"SN002\.edf: has no sleep stages"):
        load("hmc", tmp_path, on_error="raise")


def test_annotations_of_mne(root: Path) -> None:
    """The miniature of the EDF stages is one to MNE too, with the channel after the at signs."""
    notes = mne.read_annotations(root / "recordings" / "SN101_sleepscoring.edf")
    assert notes.description[2] == "Lights off@@SaO2" and notes.description[3] == "Sleep stage N1"
