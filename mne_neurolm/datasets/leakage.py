"""Keep recordings that models will be tested on out of what they are pretrained on."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from .catalog import get_spec
from .members import find_members
from .readers.tuh import letter_id, tueg_ids
from .specs import Member

#: Downstream data sets whose recordings were taken from a pretraining corpus.
CONTAINS: Mapping[str, tuple[str, ...]] = {"tueg": ("tuab", "tuev", "tusl")}

# All 253 subjects of the evaluation files of TUAB, the same in v2.0.0 and v3.0.1, and all 38 of
# TUSL v1.0.1, in the letters of later versions. Sources: file lists in
# github.com/fldbock/eeg_time_series_transfer_learning (data/JSON_files) and
# github.com/h5371h/esf-recoverability (data/manifest_tuab_eval.json).
_LIST = "tueg_subjects.tsv"


class HeldOut:
    """The people in a corpus whom downstream data sets test on.

    Those of TUAB and TUSL come with the package. What the package cannot know, such as recordings
    that a later version of a data set has added, is known from the data set's own files.

    Parameters
    ----------
    corpus : str
        Name of a pretraining corpus.
    roots : mapping of str to Path
        Folders of downstream data sets by name. Default: none.

    Attributes
    ----------
    subjects : dict of str to str
        Why a subject is held out, by the subject's name in the corpus: all of a person's sessions
        are, because EEG tells people apart.
    unknown : tuple of str
        Data sets whose files do not tell which recordings of the corpus they are.

    Raises
    ------
    ValueError
        If a data set is not one of those that the corpus contains.
    FileNotFoundError
        If there is no recording of a data set in its folder.
    """

    def __init__(self, corpus: str, roots: Mapping[str, Path] | None = None) -> None:
        self.subjects: dict[str, str] = {}
        contained = CONTAINS.get(corpus, ())
        by_name: dict[str, list[Member]] = {name: [] for name in contained}
        for name, member in _listed() if contained else ():
            by_name[name].append(member)
        for name, root in (roots or {}).items():
            if name not in contained:
                raise ValueError(
                    f"{name!r} is no data set that {corpus} contains; those are "
                    f"{', '.join(contained) or 'none'}."
                )
            by_name[name] += find_members(name, root)
        for name, members in by_name.items():
            self._add(name, members)
        self.unknown = tuple(
            name for name in contained if tueg_ids(name, Member(Path(), "aaaaaaaa")) is None
        )

    def _add(self, name: str, members: Sequence[Member]) -> None:
        protocol = get_spec(name).protocol
        assert protocol is not None
        split = protocol.variants["paper"].split
        for member in members:
            known = tueg_ids(name, member)
            if known is not None and split(member, -1, members) == "test":
                self.subjects.setdefault(known[0], f"subject of the test set of {name}")

    def reason(self, member: Member) -> str:
        """Return why a recording of the corpus is held out, empty if it is not."""
        return self.subjects.get(letter_id(member.subject), "")


def _listed() -> Iterator[tuple[str, Member]]:
    """Yield data set and a stand-in for its recordings, by subject."""
    text = (files("mne_neurolm.datasets") / _LIST).read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines(), delimiter="\t"):
        yield row["dataset"], Member(Path(), row["subject"], groups={"part": row["part"]})
