"""What there is to know about a data set: the columns of the tables of all data sets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import mne

#: Parts of a split, as they are named everywhere.
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Member:
    """One recording of a data set.

    Attributes
    ----------
    path : Path
        The file that holds the signal.
    subject : str
        Whose recording it is.
    session, run : str
        Which of the subject's recordings it is; empty if there is one only.
    groups : mapping of str to str
        Everything that the path says by the groups of the data set's pattern.
    """

    path: Path
    subject: str
    session: str = ""
    run: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)


#: Part of a split ("train", "validation", "test") by member, number of the trial within it, and all
#: members of the data set. Trial -1 asks for that of the whole recording, which is "" if its
#: trials are in different parts.
Split = Callable[[Member, int, Sequence[Member]], str]


@dataclass(frozen=True, slots=True)
class Variant:
    """What can be done in more than one way.

    Attributes
    ----------
    split : callable
        See :data:`Split`.
    line_freq : float
        Frequency of the notch filter in Hz.
    note : str
        How it differs from the other way, and where that is written.
    """

    split: Split
    line_freq: float
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """Windows, labels and split of a downstream data set (paper, section 3.1 and Table 1).

    The labels are the annotations of a recording as :attr:`DatasetSpec.read` returns it, in the
    words of the task. Other annotations are left alone.

    Attributes
    ----------
    task : str
        Name of the task, see :func:`mne_neurolm.get_task`.
    duration : float
        Length of a window in seconds.
    hop : float
        Seconds from the start of one window to that of the next within an annotation.
    lead : float
        Seconds that the first window starts before its annotation. Default 0.
    point_duration : float
        Annotations that are shorter than a window and last at most this many seconds are events
        with one window each. Default 0: there are none.
    variants : mapping of str to Variant
        ``"paper"``, and where it differs ``"code"``, the way of the released code.
    """

    task: str
    duration: float
    hop: float
    lead: float = 0.0
    point_duration: float = 0.0
    variants: Mapping[str, Variant]


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetSpec:
    """A data set: how its files are found and read, and the facts that the documentation lists.

    Attributes
    ----------
    name, title : str
        Short name, as commands take it, and full name.
    files : re.Pattern
        Is searched in the path of a file, with slashes. It ends with ``$`` and has the group
        ``subject``, and perhaps ``session``, ``run`` and others.
    example : str
        A path as ``files`` finds it, for messages.
    read : callable
        Opens a :class:`Member`: an :class:`mne.io.BaseRaw` in volts with the labels as annotations.
        Raises ValueError or OSError with what is wrong and in which file.
    companions : callable
        Further files that a member is made of, label files for example; those that should be
        there, whether they are or not.
    protocol : Protocol | None
        Of a downstream data set.
    channels : tuple of str
        Electrodes that every recording has, in the order to load them. Empty: it varies.
    line_freq : float
        Power line frequency in Hz where it was recorded.
    sfreqs : tuple of float
        Sampling rates that occur, in Hz. A recording at another one is reported. Empty: any.
    rate : str
        Sampling rate in words, where ``sfreqs`` does not say it all.
    rank : callable | None
        Where a recording may be there in several forms (formats, rates): a number by which the
        lowest is taken. None (default): it is not.
    patterns_alone : bool
        Whether a file is recognised by ``files`` in any folder, without the data set being named.
    hours, n_subjects : float, int | None
        Size; hours of pretraining corpora as the paper gives them (Table 6).
    hours_of : str
        What ``hours`` counts, if it is not all of the data set and nothing else.
    montage, reference, labels, split : str
        In words.
    loader : str
        What reads the files.
    tested : "real" | "miniature" | "no"
        What the tests read: real recordings, or files of the same layout that they write.
    licence, access, url, citation, layout : str
        Terms of use, how to get it, where, what to cite, and where the layout is described.
    """

    name: str
    title: str
    files: re.Pattern[str]
    example: str = ""
    read: Callable[[Member], mne.io.BaseRaw]
    companions: Callable[[Member], list[Path]] = lambda member: []
    protocol: Protocol | None = None
    channels: tuple[str, ...] = ()
    line_freq: float
    sfreqs: tuple[float, ...] = ()
    rate: str = ""
    rank: Callable[[Member], int] | None = None
    patterns_alone: bool = False
    hours: float | None = None
    hours_of: str = ""
    n_subjects: int | None = None
    montage: str
    reference: str = ""
    labels: str = ""
    split: str = ""
    loader: str
    tested: str
    licence: str
    access: str
    url: str
    citation: str
    layout: str

    def member(self, path: str | Path) -> Member | None:
        """Return the recording that a file holds, None if it is none of this data set."""
        path = Path(path)
        # endings may be in capitals
        match = self.files.search(path.with_suffix(path.suffix.lower()).as_posix())
        if match is None:
            return None
        groups = {name: text for name, text in match.groupdict().items() if text is not None}
        return Member(
            path=path,
            subject=groups["subject"],
            session=groups.get("session", ""),
            run=groups.get("run", ""),
            groups=MappingProxyType(groups),
        )

    def how_to_get(self) -> str:
        """Return a sentence that says where the data set is and on what terms."""
        return f"Get {self.title} from {self.url} ({self.access}; {self.licence})."


def edf(member: Member) -> mne.io.BaseRaw:
    """Open an EDF file as it is."""
    return mne.io.read_raw_edf(member.path, verbose="warning")
