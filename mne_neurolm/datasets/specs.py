"""What is known about data sets whose recordings MNE reads: a table."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ._files import subject_of


@dataclass(frozen=True, slots=True)
class RecordingSpec:
    """Facts about the recordings of a data set.

    Attributes
    ----------
    file : re.Pattern
        Matches the whole name of a recording's file, with the group ``subject``.
    line_freq : float
        Power line frequency in Hz where it was recorded.
    licence : str
        Terms of use.
    citation : str
        What to cite.
    url : str
        Where to get it.
    """

    file: re.Pattern[str]
    line_freq: float
    licence: str
    citation: str
    url: str


RECORDING_SPECS: dict[str, RecordingSpec] = {
    "eegmat": RecordingSpec(
        file=re.compile(r"(?P<subject>Subject\d{2})_[12]\.edf", re.IGNORECASE),
        line_freq=50.0,  # Kyiv
        licence="ODC-BY 1.0",
        citation="Zyma et al. (2019), Electroencephalograms during mental arithmetic task "
        "performance, Data 4(1):14",
        url="https://physionet.org/content/eegmat/1.0.0/",
    ),
    "eegbci": RecordingSpec(
        file=re.compile(r"(?P<subject>S\d{3})R\d{2}\.edf", re.IGNORECASE),
        line_freq=60.0,  # Albany, New York
        licence="ODC-BY 1.0",
        citation="Schalk et al. (2004), BCI2000: a general-purpose brain-computer interface "
        "system, IEEE Transactions on Biomedical Engineering 51(6):1034-1043",
        url="https://physionet.org/content/eegmmidb/1.0.0/",
    ),
    "tueg": RecordingSpec(
        file=re.compile(r"(?P<subject>[a-z0-9]{8})_s\d{3}_t\d{3}\.edf", re.IGNORECASE),
        line_freq=60.0,  # Philadelphia
        licence="free of charge after registration",
        citation="Obeid and Picone (2016), The Temple University Hospital EEG Data Corpus, "
        "Frontiers in Neuroscience 10:196",
        url="https://isip.piconepress.com/projects/nedc/html/tuh_eeg/",
    ),
}


def find_subject(name: str, spec: RecordingSpec | None = None) -> str:
    """Return whose a recording is.

    Several files of one subject must not be taken for several subjects: parts of a split by
    subject would share people. File names of the known data sets are therefore recognised wherever
    they lie.

    Parameters
    ----------
    name : str
        Path of the file below the source, with slashes.
    spec : RecordingSpec | None
        Data set that it is known to be from.

    Returns
    -------
    subject : str
        By the name of the file if it is that of a known data set; else the ``sub-`` entity of a
        BIDS name, the first folder, or the name without its ending.
    """
    file = name.rpartition("/")[2]
    for known in [spec] if spec else RECORDING_SPECS.values():
        match = known.file.fullmatch(file)
        if match:
            return match["subject"]
    return subject_of(name)
