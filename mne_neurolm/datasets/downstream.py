"""The six downstream data sets of the paper (section 3.1, Tables 1 and 5): a table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ._montage import STANDARD_1020
from .readers import eegmat
from .specs import DatasetSpec, Member, Protocol, Variant


def _workload_split(member: Member, trial: int, members: Sequence[Member]) -> str:
    number = int(member.subject.removeprefix("Subject"))
    return "train" if number < 26 else "validation" if number < 31 else "test"


DOWNSTREAM: tuple[DatasetSpec, ...] = (
    DatasetSpec(
        name="workload",
        title="EEG During Mental Arithmetic Tasks (EEGMAT, Workload)",
        files=re.compile(r"(?:^|/)(?P<subject>Subject\d{2})_(?P<run>[12])\.edf$"),
        example="Subject00_1.edf",
        read=eegmat.read,
        protocol=Protocol(
            task="workload",
            duration=4.0,
            hop=2.0,
            variants={"paper": Variant(_workload_split, line_freq=50.0)},
        ),
        channels=STANDARD_1020,
        line_freq=50.0,  # Kyiv
        patterns_alone=True,
        n_subjects=36,
        montage="19 of the 10-20 system",
        reference="linked ears",
        labels="rest or serial subtraction, by file",
        split="subjects 00-25, 26-30, 31-35",
        loader="MNE-Python (EDF)",
        tested="real",
        licence="ODC-BY 1.0",
        access="open",
        url="https://physionet.org/content/eegmat/1.0.0/",
        citation="Zyma et al. (2019), Electroencephalograms during mental arithmetic task "
        "performance, Data 4(1):14",
        layout="the files themselves",
    ),
)
