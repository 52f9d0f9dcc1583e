"""The whole TUH EEG Corpus, and which of its recordings the other corpora have.

Layouts: Braindecode's ``TUH`` (v1.1.0, v2.0.0) and the readers of EEG-FM-Bench
(github.com/xw1216/EEG-FM-Bench, v2.0.1). Pairs of old and new ids are recordings that are listed
in two releases.
"""

from __future__ import annotations

from pathlib import Path

import mne
import pytest
from tuh_files import member, names, write_edf

from mne_neurolm.channels import match_channels
from mne_neurolm.datasets import load
from mne_neurolm.datasets.readers import tuh

TRAIN, EVAL = "edf/train", "edf/eval"


def test_tueg(tmp_path: Path) -> None:
    edf = tmp_path / "v2.0.1" / "edf"
    write_edf(edf / "000/aaaaaaaa/s001_2015/01_tcp_ar/aaaaaaaa_s001_t000.edf", seconds=36)
    write_edf(
        edf / "000/aaaaaaab/s003_2002/02_tcp_le/aaaaaaab_s003_t000.edf",
        seconds=36,
        sfreq=512.0,
        labels=["EEG FP1-LE", "EEG OZ-LE", "EEG T3-LE", "EEG EKG-LE", "EEG 30-LE", "EEG RLC-LE"],
    )
    dataset = load("tueg", tmp_path)
    assert dataset.description["subject"].tolist() == ["aaaaaaaa", "aaaaaaab"]
    ours, ears = (one.raw for one in dataset.datasets)
    assert ours.info["sfreq"] == ears.info["sfreq"] == 200.0 and ears.n_times == 7200
    assert len(ours.ch_names) == 23
    assert ears.ch_names == ["EEG FP1-LE", "EEG OZ-LE", "EEG T3-LE"]
    assert tuh.against_linked_ears(ears) and not tuh.against_linked_ears(ours)


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("edf/109/aaaaalqe/s010_2013/03_tcp_ar_a/aaaaalqe_s010_t012.edf", "aaaaalqe"),
        ("edf/000/aaaaaaaa/s001_2015_12_30/01_tcp_ar/aaaaaaaa_s001_t000.edf", "aaaaaaaa"),
        ("edf/000/aaaaaaaa/s001_2015/01_tcp_ar/00000000_aaaaaaaa_s001_t000.edf", "aaaaaaaa"),
        ("edf/01_tcp_ar/000/00000000/s001_2015_12_30/00000000_s001_t000.edf", "00000000"),
    ],
)
def test_tueg_names(path: str, subject: str) -> None:
    assert member("tueg", path).subject == subject


def test_linked_ears_resolve() -> None:
    info = mne.create_info(names("LE"), 250.0, "eeg")
    assert len(match_channels(info, on_missing="ignore").ch_names) == 23


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("00000000", "aaaaaaaa"),
        ("00000017", "aaaaaaar"),  # TUEV v1 and v2
        ("00000254", "aaaaaaju"),  # TUSL
        ("00000768", "aaaaabdo"),  # TUAB
        ("00008476", "aaaaamoa"),
        ("00009232", "aaaaanrc"),
        ("aaaaanrc", "aaaaanrc"),
        ("049", "049"),
    ],
)
def test_letters(old: str, new: str) -> None:
    assert tuh.letter_id(old) == new


def test_tueg_ids() -> None:
    for name, path, known in (
        ("tuab", f"{EVAL}/abnormal/01_tcp_ar/aaaaabdo_s003_t000.edf", ("aaaaabdo", "s003")),
        (
            "tuab",
            f"{EVAL}/abnormal/01_tcp_ar/007/00000768/s003_2012_04_06/00000768_s003_t000.edf",
            ("aaaaabdo", "s003"),
        ),
        (
            "tusl",
            "edf/aaaaamoa/s003_2012_10_22/01_tcp_ar/00008476_s003_t010.edf",
            ("aaaaamoa", "s003"),
        ),
        ("tuev", f"{EVAL}/001/pled_001_a_2.edf", None),
        ("tuev", f"{TRAIN}/aaaaaaar/aaaaaaar_00000001.edf", None),
        (
            "tueg",
            "01_tcp_ar/007/00000768/s003_2012_04_06/00000768_s003_t000.edf",
            ("aaaaabdo", "s003"),
        ),
    ):
        assert tuh.tueg_ids(name, member(name, path)) == known
    with pytest.raises(ValueError, match="'hmc' is no part of the TUH EEG Corpus"):
        tuh.tueg_ids("hmc", member("tueg", "aaaaaaaa_s001_t000.edf"))
