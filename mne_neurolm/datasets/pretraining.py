"""The pretraining corpora of the paper (Table 6): a table."""

from __future__ import annotations

import re

from .specs import DatasetSpec, edf

PRETRAINING: tuple[DatasetSpec, ...] = (
    DatasetSpec(
        name="eegbci",
        title="EEG Motor Movement/Imagery Dataset",
        files=re.compile(r"(?:^|/)(?P<subject>S\d{3})R(?P<run>\d{2})\.edf$"),
        example="S001/S001R01.edf",
        read=edf,
        line_freq=60.0,  # Albany, New York
        patterns_alone=True,
        hours=47.3,
        n_subjects=109,
        montage="64 of the 10-10 system",
        loader="MNE-Python (EDF), as in MOABB's PhysionetMI",
        tested="real",
        licence="ODC-BY 1.0",
        access="open",
        url="https://physionet.org/content/eegmmidb/1.0.0/",
        citation="Schalk et al. (2004), BCI2000: a general-purpose brain-computer interface "
        "system, IEEE Transactions on Biomedical Engineering 51(6):1034-1043",
        layout="the files themselves",
    ),
    DatasetSpec(
        name="tueg",
        title="TUH EEG Corpus",
        files=re.compile(
            r"(?:^|/)(?P<subject>[a-z0-9]{8})_(?P<session>s\d{3})_(?P<run>t\d{3})\.edf$"
        ),
        read=edf,
        line_freq=60.0,  # Philadelphia
        patterns_alone=True,
        montage="clinical, 17 to 128 channels",
        loader="MNE-Python (EDF)",
        tested="miniature",
        licence="TUH EEG terms of use",
        access="free of charge after registration",
        url="https://isip.piconepress.com/projects/nedc/html/tuh_eeg/",
        citation="Obeid and Picone (2016), The Temple University Hospital EEG Data Corpus, "
        "Frontiers in Neuroscience 10:196",
        layout="the corpus's own documentation",
    ),
)
