"""Pretraining corpora in EDF and BDF files: a real one, and miniatures in the others' layouts.

Layouts: public readers and EEG-FM-Bench (``emobrain.py``, ``trujillo_2017.py``,
``trujillo_2019.py``, ``siena_scalp.py``); for the BIDS version of Siena the annotations of SzCORE
(https://doi.org/10.1111/epi.18113) and the converter epilepsy2bids.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from corpus_files import (
    BIOSEMI,
    SECONDS,
    SIENA,
    TRUJILLO,
    amplitudes,
    check_channels,
    sines,
    write_bdf,
    write_edf,
)

from mne_neurolm.channels import match_channels
from mne_neurolm.datasets import load, read_recording
from mne_neurolm.datasets.catalog import find_subject, get_spec
from mne_neurolm.datasets.members import find_members

EMOBRAIN = "enterface06_EMOBRAIN/Data/EEG"
ABSENT = "Fp1 AF7 F5 F7 Fpz Fp2 AF8 AFz F6 F8".split()  # in Emobrain, in the order of the cap
EXTRA = ["EXG1", "EXG2", "EXG3", "GSR1", "GSR2", "Erg1", "Resp", "Plet"]
BIDS = "sub-00_ses-01_task-szMonitoring_run-00"


def test_emobrain(tmp_path: Path) -> None:
    """Two files, of which the first recording of all is at a quarter of the rate."""
    slow = write_bdf(
        tmp_path / EMOBRAIN / "Part1_IAPS_SES1_EEG_fNIRS_03082006.bdf", [*BIOSEMI, *EXTRA]
    )
    fast = write_bdf(
        tmp_path / EMOBRAIN / "Part3_IAPS_SES2_EEG_fNIRS_08082006.bdf",
        [*BIOSEMI, *EXTRA],
        sfreq=1024.0,
    )
    markers = 'TL02\n\t2560\t2560\t"255"\n\t3072\t3328\t"254"\n\t99999999\t99999999\t"255"\n'
    for path in (slow, fast):
        path.with_name(path.name + ".mrk").write_text(markers)
    dataset = load("emobrain", tmp_path)
    assert dataset.problems == {}
    assert dataset.description[["subject", "session"]].to_numpy().tolist() == [
        ["1", "1"],
        ["3", "2"],
    ]
    present = [name for name in BIOSEMI if name not in ABSENT]
    for one in dataset.datasets:
        assert one.raw.ch_names == present and one.raw.info["sfreq"] == 200.0
        assert one.raw.n_times == SECONDS * 200 and one.raw.info["line_freq"] == 50.0
        expected = [10 + BIOSEMI.index(name) for name in present]
        np.testing.assert_allclose(amplitudes(one.raw), expected, rtol=0.01)
    for path, sfreq in ((slow, 256.0), (fast, 1024.0)):
        raw = read_recording("emobrain", path)
        assert raw.info["sfreq"] == sfreq and not raw.preload
        check_channels(raw, BIOSEMI)
        assert raw.info["bads"] == ABSENT
        assert raw.get_channel_types()[64:] == ["misc"] * 8 + ["stim"]
        # 24 bits of 31.25 nV
        np.testing.assert_allclose(1e6 * raw.get_data("eeg"), sines(64, sfreq), atol=0.0157)
        assert raw.annotations.description.tolist() == ["255", "254"]
        np.testing.assert_allclose(raw.annotations.onset, [2560 / sfreq, 3072 / sfreq])
        np.testing.assert_allclose(raw.annotations.duration, [0.0, 256 / sfreq])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('\t1\t1\t"255"\n', "line 1 is .* not 'TL02'"),
        ('TL02\n\t1\t1\t"255"\n\t2\t"255"\n', "line 3 is .* not two samples and a name"),
        ("", "line 1 is '', not 'TL02'"),
    ],
)
def test_markers_that_cannot_be_read(tmp_path: Path, content: str, reason: str) -> None:
    path = write_bdf(tmp_path / "Part2_IAPS_SES1_EEG_fNIRS_07082006.bdf", BIOSEMI)
    path.with_name(path.name + ".mrk").write_text(content)
    with pytest.warns(RuntimeWarning, match=f"bdf.mrk is not used: {reason}"):
        raw = read_recording("emobrain", path)
    assert len(raw.annotations) == 0
    path.with_name(path.name + ".mrk").unlink()
    assert len(read_recording("emobrain", path).annotations) == 0


@pytest.mark.parametrize(
    ("corpus", "files"),
    [
        (
            "raw-eeg",
            {
                "EEG_Cat_Study4_II_II_S1.bdf": ("S1", "II"),
                "EEG_Cat_Study4_II_RBII_S48.bdf": ("S48", "RBII"),
            },
        ),
        ("resting-state", {"dataverse_files/EEG_Cat_Study4_Resting_S22.bdf": ("S22", "")}),
    ],
)
def test_trujillo(tmp_path: Path, corpus: str, files: dict[str, tuple[str, str]]) -> None:
    for name in files:
        write_bdf(tmp_path / name, TRUJILLO, triggers=[512])
    dataset = load(corpus, tmp_path)
    assert dataset.problems == {} and dataset.description["file"].tolist() == list(files)
    pairs = dataset.description[["subject", "session"]].to_numpy().tolist()
    assert pairs == [list(pair) for pair in files.values()]
    for one, name in zip(dataset.datasets, files, strict=True):
        assert one.raw.ch_names == BIOSEMI and one.raw.info["sfreq"] == 200.0
        assert one.raw.n_times == SECONDS * 200 and one.raw.info["line_freq"] == 60.0
        np.testing.assert_allclose(amplitudes(one.raw), 10 + np.arange(64), rtol=0.01)
        raw = read_recording(corpus, tmp_path / name)
        check_channels(raw, BIOSEMI)
        assert not raw.preload and raw.info["sfreq"] == 256.0
        kinds = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
        assert {kinds[name] for name in ("M1", "M2", "NAS", "NFpz")} == {"misc"}
        assert {kinds[name] for name in ("LVEOG", "RVEOG", "LHEOG", "RHEOG")} == {"eog"}
        status = raw.get_data("stim")[0].astype(int)
        assert set((status & 0xFF)[512:516].tolist()) == {101}
        assert find_subject(f"anywhere/{Path(name).name}") == files[name][0]


def test_names_of_trujillo_are_told_apart() -> None:
    names = {
        "EEG_Cat_Study4_II_II_S10.bdf": ("raw-eeg", "S10", "II"),
        "EEG_Cat_Study4_II_RB-II_S10.bdf": ("raw-eeg", "S10", "RB-II"),
        "EEG_Cat_Study4_RBII_S7.bdf": ("raw-eeg", "S7", "RBII"),
        "EEG_Cat_Study5_II_S1.bdf": ("raw-eeg", "S1", "II"),
        "EEG_Cat_Study4_Resting_S10.bdf": ("resting-state", "S10", ""),
    }
    for name, facts in names.items():
        found = [
            (corpus, member.subject, member.session)
            for corpus in ("raw-eeg", "resting-state")
            if (member := get_spec(corpus).member(name)) is not None
        ]
        assert found == [facts]


def test_bad_files_of_biosemi(tmp_path: Path) -> None:
    good = write_bdf(tmp_path / "EEG_Cat_Study4_Resting_S1.bdf", TRUJILLO).read_bytes()
    (tmp_path / "EEG_Cat_Study4_Resting_S2.bdf").write_bytes(good[:3000])
    (tmp_path / "EEG_Cat_Study4_Resting_S3.bdf").write_bytes(b"no BDF at all")
    write_bdf(tmp_path / "EEG_Cat_Study4_Resting_S4.bdf", ["M1", "M2", "NAS"])
    write_bdf(tmp_path / "EEG_Cat_Study4_Resting_S5.bdf", BIOSEMI, sfreq=512.0)
    with pytest.warns(RuntimeWarning, match="4 of 5 files are left out"):
        dataset = load("resting-state", tmp_path)
    assert dataset.description["subject"].tolist() == ["S1"]
    assert list(dataset.problems) == [f"EEG_Cat_Study4_Resting_S{k}.bdf" for k in (2, 3, 4, 5)]
    reasons = list(dataset.problems.values())
    assert reasons[2].startswith("has none of the 64 electrodes by name; it has ['M1', 'M2'")
    assert reasons[3].startswith("sampled at 512 Hz")
    for name in dataset.problems:
        with pytest.raises(ValueError, match=f"^{tmp_path / name}: "):
            read_recording("resting-state", tmp_path / name)


def test_siena(tmp_path: Path) -> None:
    """Two of the layouts of signals: 33, and 45 with other inputs and Fp2 in capitals late."""
    labels = [f"EEG {name}" for name in SIENA]
    root = tmp_path / "siena-scalp-eeg-database-1.0.0"
    first = write_edf(root / "PN00" / "PN00-1.edf", [*labels, "EKG EKG", "SPO2", "HR", "MK"])
    late = [name for name in labels if name != "EEG Fp2"]
    inputs = "B C D PLET 61 62 63 64 MK".split()
    second = write_edf(
        root / "PN10" / "PN10-4.5.6.edf",
        [*late, "EKG EKG", "SPO2", "HR", "1", "2", "EEG FP2", "EEG P9", "EEG P10", *inputs],
    )
    (root / "PN00" / "Seizures-list-PN00.txt").write_text("Seizure n 1\n")
    dataset = load("siena", root)
    assert dataset.problems == {}
    assert dataset.description[["subject", "run"]].to_numpy().tolist() == [
        ["PN00", "1"],
        ["PN10", "4.5.6"],
    ]
    prepared = dataset.datasets[0].raw
    assert prepared.ch_names == labels and prepared.info["sfreq"] == 200.0
    assert prepared.n_times == SECONDS * 200 and prepared.info["line_freq"] == 50.0
    np.testing.assert_allclose(amplitudes(prepared), 10 + np.arange(29), rtol=0.01)
    raw = read_recording("siena", first)
    check_channels(raw, labels)
    assert raw.get_channel_types()[29:] == ["ecg", "misc", "misc", "misc"] and not raw.preload
    raw = read_recording("siena", second)
    check_channels(raw, [*late, "EEG FP2", "EEG P9", "EEG P10"])
    absent = "Fc1 Fc5 Cp1 Cp5 F9 Fc2 Fc6 Cp2 Cp6 F10".split()
    assert raw.info["bads"] == [f"EEG {name}" for name in absent]
    assert dataset.datasets[1].raw.ch_names == list(match_channels(raw.info).ch_names)
    assert len(dataset.datasets[1].raw.ch_names) == 21


def test_siena_in_bids(tmp_path: Path) -> None:
    """The version that Braindecode downloads, with its table of events."""
    names = "Fp1 F3 C3 P3 O1 F7 T3 T5 Fz Cz Pz Fp2 F4 C4 P4 O2 F8 T4 T6".split()
    labels = [f"{name}-Avg" for name in names]
    folder = tmp_path / "BIDS_Siena" / "sub-00" / "ses-01" / "eeg"
    path = write_edf(folder / f"{BIDS}_eeg.edf", labels, sfreq=512.0)
    events = folder / f"{BIDS}_events.tsv"
    header = "onset\tduration\teventType\tconfidence\tchannels\tdateTime\trecordingDuration\n"
    events.write_text(header + "9.0\t12.5\tsz_foc_ia\tn/a\tT3,T5\t2016-01-01 19:39:33\t36.00\n")
    dataset = load("siena", tmp_path)
    assert dataset.problems == {}
    row = dataset.description.iloc[0]
    assert (row["subject"], row["session"], row["run"]) == ("00", "01", "00")
    prepared = dataset.datasets[0].raw
    assert prepared.ch_names == labels and prepared.info["sfreq"] == 200.0
    np.testing.assert_allclose(amplitudes(prepared), 10 + np.arange(19), rtol=0.01)
    raw = read_recording("siena", path)
    check_channels(raw, labels)
    assert raw.annotations.description.tolist() == ["sz_foc_ia"]
    assert (raw.annotations.onset[0], raw.annotations.duration[0]) == (9.0, 12.5)
    events.write_text(header + "9.0\tlong\tsz_foc_ia\n")
    with pytest.warns(RuntimeWarning, match="events.tsv is not used: line 2 is no onset"):
        assert len(read_recording("siena", path).annotations) == 0


def test_eegbci_real(shared_data: Path) -> None:
    """Subject 1 of the EEG Motor Movement/Imagery Dataset: runs 3 to 14, each of 125 s or less."""
    root = shared_data / "mne_data"
    members = find_members("eegbci", root)
    assert [member.run for member in members] == [f"{run:02d}" for run in range(3, 15)]
    dataset = load("eegbci", root)
    assert dataset.problems == {} and len(dataset.datasets) == 12
    assert set(dataset.description["subject"]) == {"S001"}
    for one, member in zip(dataset.datasets, members, strict=True):
        raw = read_recording("eegbci", member.path)
        assert raw.info["sfreq"] == 160.0 and len(raw.ch_names) == 64 and not raw.preload
        assert one.raw.ch_names == raw.ch_names and one.raw.info["sfreq"] == 200.0
        assert one.raw.n_times == raw.n_times * 200 // 160
        assert one.raw.info["line_freq"] == 60.0
        assert one.raw.annotations.description.tolist() == raw.annotations.description.tolist()
        assert set(raw.annotations.description) == {"T0", "T1", "T2"}
        assert len(match_channels(raw.info, on_missing="raise").picks) == 64
        size = np.median(np.abs(one.raw.get_data()))
        assert 1e-6 < size < 1e-4
