"""Keep recordings that models will be tested on out of what they are pretrained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from .catalog import get_spec
from .members import find_members
from .specs import Member

#: Downstream data sets whose recordings were taken from a pretraining corpus.
CONTAINS: Mapping[str, tuple[str, ...]] = {"tueg": ("tuab", "tuev", "tusl")}


class HeldOut:
    """The people and sessions of a corpus that downstream data sets test on.

    Parameters
    ----------
    corpus : str
        Name of a pretraining corpus.
    roots : mapping of str to Path
        Folders of the downstream data sets by name. What is in a test set is known from their
        files alone: the distributions have no list.

    Attributes
    ----------
    subjects : dict of str to str
        Why a subject is held out, by the subject's name in the corpus: all of a person's sessions
        are, because EEG tells people apart.
    n_unknown : dict of str to int
        Test recordings by data set whose names do not tell which recordings of the corpus they
        are.

    Raises
    ------
    ValueError
        If a data set is not one of those that the corpus contains.
    FileNotFoundError
        If there is no recording of a data set in its folder.
    """

    def __init__(self, corpus: str, roots: Mapping[str, Path]) -> None:
        self.subjects: dict[str, str] = {}
        self.n_unknown: dict[str, int] = {}
        contained = CONTAINS.get(corpus, ())
        for name, root in roots.items():
            if name not in contained:
                raise ValueError(
                    f"{name!r} is no data set that {corpus} contains; those are "
                    f"{', '.join(contained) or 'none'}."
                )
            self._add(name, find_members(name, root))

    def _add(self, name: str, members: Sequence[Member]) -> None:
        from .readers.tuh import tueg_ids

        protocol = get_spec(name).protocol
        assert protocol is not None
        split = protocol.variants["paper"].split
        for member in members:
            if split(member, -1, members) != "test":
                continue
            known = tueg_ids(name, member)
            if known is None:
                self.n_unknown[name] = self.n_unknown.get(name, 0) + 1
            else:
                self.subjects.setdefault(known[0], f"subject of the test set of {name}")

    def reason(self, member: Member) -> str:
        """Return why a recording of the corpus is held out, empty if it is not."""
        return self.subjects.get(member.subject, "")
