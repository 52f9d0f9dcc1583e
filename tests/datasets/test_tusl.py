"""TUH EEG Slowing Corpus from miniatures in its layouts.

Layouts: file list and labels of v1.0.1 (github.com/fldbock/eeg_time_series_transfer_learning,
``data/JSON_files``), the readers of NeuroLM (``.tse_agg``) and EEG-FM-Bench (v2.0.1, ``.csv``),
and a public reader that warns of the misnamed files of v2.0.0.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tuh_files import ORDER, member, names, write_csv, write_edf, write_tse

from mne_neurolm.datasets import load, read_recording, to_epochs
from mne_neurolm.datasets.catalog import get_spec
from mne_neurolm.datasets.members import find_members
from mne_neurolm.datasets.readers import tuh, tusl


def write_tusl(root: Path) -> Path:
    """Write TUSL v2: both forms of labels, a misnamed file, linked ears, a file without events."""
    edf = root / "edf"
    first = write_edf(edf / "aaaaaaju/s005_2010/01_tcp_ar/aaaaaaju_s005_t000.edf")
    write_tse(
        first.with_suffix(".tse_agg"),
        [(20.0, 30.0, "bckg"), (4.0, 14.0, "slow"), (15.0, 25.0, "slow")],
    )
    write_tse(first.with_name("aaaaaaju_s005_t000_00.tse"), [(20.0, 30.0, "bckg")])
    first.with_suffix(".lbl_agg").write_text("version = lbl_v1.0.0\n")
    (edf / "aaaaaaju/s005_2010_11_15/01_tcp_ar").mkdir(parents=True)  # empty, as in v2.0.1
    second = write_edf(edf / "aaaaabiw/s016_2012/01_tcp_ar/aaaaabiw_s016_t000.edf")
    rows = [("FP1-F7", 3.0, 13.0, "seiz"), ("F7-T3", 3.0, 13.0, "seiz")]
    write_csv(second.with_suffix(".csv"), [*rows, ("F7-T3", 20.0, 30.0, "bckg")])
    # an old name in the folder of the new one, beside labels with the new name
    third = write_edf(edf / "aaaaamoa/s003_2012_10_22/01_tcp_ar/00008476_s003_t010.edf")
    write_tse(third.with_name("aaaaamoa_s003_t010.tse_agg"), [(5.0, 15.0, "seiz")])
    ears = write_edf(
        edf / "aaaaaalq/s001_2003/02_tcp_le/aaaaaalq_s001_t000.edf", labels=names("LE")
    )
    write_tse(ears.with_suffix(".tse_agg"), [(5.0, 15.0, "seiz")])
    none = write_edf(edf / "aaaaajns/s004_2010/01_tcp_ar/aaaaajns_s004_t001.edf")
    write_tse(none.with_suffix(".tse_agg"), [])
    return root


@pytest.fixture(scope="module")
def tusl_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tusl(tmp_path_factory.mktemp("tuh_eeg_slowing") / "v2.0.1")


def test_tusl(tusl_root: Path) -> None:
    with pytest.warns(RuntimeWarning, match="2 of 5 files are left out"):
        dataset = load("tusl", tusl_root)
    table = dataset.description
    assert table["subject"].tolist() == ["aaaaaaju", "aaaaabiw", "aaaaamoa"]
    assert table["session"].tolist() == ["s005", "s016", "s003"]
    assert table["run"].tolist() == ["t000", "t000", "t010"]
    epochs = to_epochs(dataset)
    assert epochs.get_data().shape == (6, 23, 2000) and epochs.ch_names == ORDER
    assert epochs.metadata["start"].tolist() == [4, 15, 20, 3, 20, 5]
    assert epochs.metadata["label"].tolist() == ["slow", "slow", "bckg", "seiz", "bckg", "seiz"]
    assert epochs.event_id == {"bckg": 0, "seiz": 1, "slow": 2}
    assert epochs.info["line_freq"] == 60.0
    reasons = dataset.problems
    ears = "edf/aaaaaalq/s001_2003/02_tcp_le/aaaaaalq_s001_t000.edf"
    assert reasons[ears].startswith("is recorded against linked ears (channels like EEG FP1-LE)")
    none = "edf/aaaaajns/s004_2010/01_tcp_ar/aaaaajns_s004_t001.edf"
    assert reasons[none].startswith("no window of 10 s: 0 of 0 annotations")
    with pytest.raises(ValueError, match=f"{ears}: is recorded against linked ears"):
        read_recording("tusl", tusl_root / ears)


def test_tusl_of_before(tmp_path: Path) -> None:
    """v1.0.1: numbers, one folder per montage and hundred subjects, single events in files."""
    path = write_edf(tmp_path / "edf/01_tcp_ar/002/00000254/s007_2013_03_25/00000254_s007_t000.edf")
    for k, start in enumerate((18.0, 5.0)):
        write_tse(path.with_name(f"00000254_s007_t000_{k:02d}.tse"), [(start, start + 10, "slow")])
    found = find_members("tusl", tmp_path)[0]
    assert (found.subject, found.session, found.run) == ("00000254", "s007", "t000")
    assert tusl.split(found, -1, []) == tusl.split(
        member("tusl", "edf/aaaaaaju/s007_2013/01_tcp_ar/aaaaaaju_s007_t000.edf"), -1, []
    )
    raw = read_recording("tusl", path)
    assert raw.annotations.onset.tolist() == [5.0, 18.0]
    # all labels of the recording in one file go before files of its single events
    write_tse(path.with_suffix(".tse_agg"), [(1.0, 11.0, "bckg")])
    assert read_recording("tusl", path).annotations.description.tolist() == ["bckg"]
    assert path.with_suffix(".tse_agg") in tusl.companions(found)


def test_tusl_labels(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "edf/aaaaabiw/s016_2012/01_tcp_ar/aaaaabiw_s016_t000.edf")
    with pytest.raises(
        ValueError,
        match=r"no label file aaaaabiw_s016_t000\.tse_agg or aaaaabiw_s016_t000\.csv beside it",
    ):
        read_recording("tusl", path)
    table = path.with_suffix(".csv")
    rows = [("FP1-F7", 3.0, 13.0, "seiz")]
    for n_comments in (0, 4, 5, 6):  # all of these occur
        write_csv(table, rows, n_comments)
        assert read_recording("tusl", path).annotations.onset.tolist() == [3.0]
    for bad, line in (
        ([("FP1-F7", 3.0, 13.0, "fnsz")], "line 7: 'FP1-F7,3.0000,13.0000,fnsz,1.0000'"),
        ([*rows, ("FP1-F7", 13.0, 3.0, "seiz")], "line 8"),
    ):
        write_csv(table, bad)
        with pytest.raises(ValueError, match=rf"aaaaabiw_s016_t000\.csv, {line}.*bckg, seiz, slow"):
            read_recording("tusl", path)
    table.write_text("FP1-F7,3.0,13.0,seiz,1.0\n")
    with pytest.raises(ValueError, match=r"\.csv, line 1"):
        read_recording("tusl", path)
    write_tse(path.with_suffix(".tse_agg"), [(3.0, 13.0, "seiz"), (4.0, 14.0, "artf")])
    with pytest.raises(ValueError, match=r"\.tse_agg, line 4: '4\.0000 14\.0000 artf 1\.0000'"):
        read_recording("tusl", path)


def test_tusl_is_none_of_the_other_corpora() -> None:
    spec = get_spec("tusl")
    name = "s001_2002/02_tcp_le/aaaaaaac_s001_t000.edf"
    for path in (
        f"/tuh_eeg_seizure/v2.0.3/edf/train/aaaaaaac/{name}",
        f"/tuh_eeg_seizure/v2.0.3/edf/dev/aaaaaaac/{name}",
        f"/tuh_eeg_epilepsy/v2.0.1/00_epilepsy/aaaaaaac/{name}",
        f"/tuh_eeg_epilepsy/v2.0.1/01_no_epilepsy/aaaaaaac/{name}",
        f"/tuh_eeg/v2.0.1/edf/000/aaaaaaac/{name}",
        "/tuh_eeg_abnormal/v3.0.1/edf/train/normal/01_tcp_ar/aaaaaaav_s004_t000.edf",
        "/tuh_eeg_abnormal/v2.0.0/edf/train/normal/01_tcp_ar/000/00000021/s004_2013_08_15/"
        "00000021_s004_t000.edf",
        "/tuh_eeg_artifact/v3.0.1/edf/01_tcp_ar/aaaaaaju_s005_t000.edf",
    ):
        assert spec.member(path) is None, path


def test_tusl_splits() -> None:
    """By subjects, of whom every part has some; in the code by files, of anyone."""
    subjects = [tuh.letter_id(f"{number:08d}") for number in range(0, 12000, 7)]
    found = [
        member("tusl", f"edf/{subject}/s00{k}_2010/01_tcp_ar/{subject}_s00{k}_t000.edf")
        for subject in subjects
        for k in (1, 2)
    ]
    parts = [tusl.split(one, -1, found) for one in found]
    assert parts[::2] == parts[1::2]
    shares = {part: parts.count(part) / len(parts) for part in set(parts)}
    assert shares == pytest.approx({"train": 0.6, "validation": 0.2, "test": 0.2}, abs=0.03)
    ten = found[:10]
    assert [tusl.split_by_file(one, 0, ten) for one in ten] == (
        ["train"] * 6 + ["test"] * 2 + ["validation"] * 2
    )
    way = get_spec("tusl").protocol.variants["code"]
    assert way.split is tusl.split_by_file and way.line_freq == 60.0
