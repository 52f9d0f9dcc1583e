"""What is known about data sets."""

from __future__ import annotations

import pytest

from mne_neurolm.datasets.catalog import DATASETS, find_subject


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("Subject00_1.edf", "Subject00"),
        ("any/folder/Subject00_2.edf", "Subject00"),
        ("S001/S001R03.edf", "S001"),
        ("files/S109R14.edf", "S109"),
        ("000/aaaaaaab/s003_2002/02_tcp_le/aaaaaaab_s003_t000.edf", "aaaaaaab"),
        ("sub-07/ses-1/eeg/sub-07_ses-1_eeg.vhdr", "07"),
        ("anna/1.edf", "anna"),
        ("Subject00_3.edf", "Subject00_3"),
    ],
)
def test_subjects(name: str, subject: str) -> None:
    assert find_subject(name) == subject


