"""Shared parameter descriptions."""

from __future__ import annotations

import pytest
from numpydoc.docscrape import NumpyDocString

from mne_neurolm.utils.docs import docdict, fill_doc


@fill_doc
def load(device="auto", fraction=0.5):
    """Load at most 50% of something.

    Parameters
    ----------
    %(device)s
    fraction : float
        At most 0.5, given as %(fraction)s in text.
    """


def test_fill_doc_keeps_numpydoc_structure() -> None:
    parameters = NumpyDocString(load.__doc__)["Parameters"]
    assert [parameter.name for parameter in parameters] == ["device", "fraction"]
    assert parameters[0].type == "str | torch.device"
    assert parameters[0].desc[0].startswith("Where to compute")


def test_fill_doc_touches_only_placeholders_on_their_own_line() -> None:
    assert "50% of something" in load.__doc__
    assert "given as %(fraction)s in text" in load.__doc__


def test_fill_doc_on_a_class_and_without_docstring() -> None:
    @fill_doc
    class Estimator:
        """Estimate.

        Parameters
        ----------
            %(batch_size)s
        """

    @fill_doc
    def undocumented():
        pass

    assert "\n    batch_size : int\n        Number of epochs" in Estimator.__doc__
    assert undocumented.__doc__ is None


def test_fill_doc_names_an_unknown_entry() -> None:
    def broken():
        """Break.

        %(no_such_entry)s
        """

    with pytest.raises(KeyError, match=r"no_such_entry.*batch_size"):
        fill_doc(broken)


@pytest.mark.parametrize("name", sorted(docdict))
def test_entry_describes_one_parameter(name: str) -> None:
    (parameter,) = NumpyDocString("Do.\n\nParameters\n----------\n" + docdict[name])["Parameters"]
    assert parameter.name == name.removesuffix("_array").removeprefix("epochs_")
    assert parameter.type
    assert parameter.desc[-1].endswith(".")
