"""All data sets by name, and whose recording a file is."""

from __future__ import annotations

import re
from difflib import get_close_matches

from ._files import subject_of
from .downstream import DOWNSTREAM
from .pretraining import PRETRAINING
from .specs import DatasetSpec

DATASETS: dict[str, DatasetSpec] = {spec.name: spec for spec in (*DOWNSTREAM, *PRETRAINING)}

#: Other names that are in use.
ALIASES: dict[str, str] = {"eegmat": "workload", "physionetmi": "eegbci"}


def get_spec(name: str) -> DatasetSpec:
    """Return what is known about a data set.

    Parameters
    ----------
    name : str
        Its name, in any case.

    Returns
    -------
    spec : DatasetSpec
        Its facts.

    Raises
    ------
    ValueError
        If there is no such data set.
    """
    key = str(name).lower()
    key = ALIASES.get(key, key)
    if key not in DATASETS:
        near = get_close_matches(key, [*DATASETS, *ALIASES], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"Unknown data set {name!r}.{hint} Known are {', '.join(DATASETS)}. For your own "
            "recordings see mne_neurolm.datasets.load_folder."
        )
    return DATASETS[key]


def find_subject(name: str) -> str:
    """Return whose a recording is.

    Several files of one subject must not be taken for several subjects: parts of a split by
    subject would share people. Files with the unmistakable names of some data sets are therefore
    recognised wherever they lie.

    Parameters
    ----------
    name : str
        Path of the file below the source, with slashes.

    Returns
    -------
    subject : str
        By the path if it is that of a known data set; else the ``sub-`` entity of a BIDS name, the
        first folder, or the name without its ending.
    """
    for spec in DATASETS.values():
        member = spec.member(name) if spec.patterns_alone else None
        if member is not None:
            return member.subject
    return subject_of(name)


def match_subject(pattern: str | None, name: str) -> str:
    """Return what a pattern says is the subject.

    Parameters
    ----------
    pattern : str | None
        Regular expression that is looked for; its group ``subject``, else its first group, else the
        whole match is the subject.
    name : str
        Path of the file below the source, with slashes.

    Returns
    -------
    subject : str
        Empty without a pattern.

    Raises
    ------
    ValueError
        If the pattern is not found.
    """
    if pattern is None:
        return ""
    match = re.search(pattern, name)
    if match is None:
        raise ValueError(
            f"The subject pattern {pattern!r} is not found in {name!r}. It must be found in the "
            "path of every recording below its source."
        )
    if "subject" in match.groupdict():
        return match["subject"]
    return match[1] if match.re.groups else match[0]
