"""Write the table of all data sets for the documentation: ``python tools/dataset_table.py``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mne_neurolm.datasets.catalog import DATASETS
from mne_neurolm.datasets.specs import DatasetSpec

PAGE = Path(__file__).resolve().parents[1] / "doc" / "dataset_table.inc"
_NOTE = (
    ".. Written by tools/dataset_table.py from the tables in mne_neurolm/datasets. Do not edit.\n"
)
_COLUMNS = (
    "Name, title, access",
    "Channels",
    "Rate, notch",
    "Hours, subjects",
    "Labels",
    "Split",
    "Read by",
    "Tested on",
)


def page() -> str:
    """Return the tables as reStructuredText."""
    parts = [_NOTE]
    for title, downstream in (
        ("Downstream data sets (paper, Table 1)", True),
        ("Pretraining corpora (paper, Table 6)", False),
    ):
        rows = [
            (
                _name(spec),
                _channels(spec),
                _rate(spec),
                _size(spec),
                _labels(spec),
                _split(spec),
                spec.loader,
                spec.tested,
            )
            for spec in DATASETS.values()
            if (spec.protocol is not None) == downstream
        ]
        parts += [title, "-" * len(title), "", _list_table(_COLUMNS, rows)]
    return "\n".join(parts)


def _size(spec: DatasetSpec) -> str:
    hours = [] if spec.hours is None else [f"{spec.hours:,g} h"]
    counted = [f"({spec.hours_of})"] if spec.hours_of else []
    subjects = [f"{spec.n_subjects:,} subjects"] if spec.n_subjects else []
    return ", ".join([" ".join(hours + counted), *subjects] if hours else subjects)


def _labels(spec: DatasetSpec) -> str:
    protocol = spec.protocol
    if protocol is None:
        return f"not used; annotations: {spec.labels}" if spec.labels else "not used"
    hop = f", every {protocol.hop:g} s" if protocol.hop != protocol.duration else ""
    return f"{spec.labels}; windows of {protocol.duration:g} s{hop}"


def _split(spec: DatasetSpec) -> str:
    if spec.protocol is None:
        return "none"
    notes = [
        f"``variant={name!r}``: {way.note}"
        for name, way in spec.protocol.variants.items()
        if name != "paper"
    ]
    return ". ".join([spec.split, *notes])


def _name(spec: DatasetSpec) -> str:
    return f"``{spec.name}``: `{spec.title} <{spec.url}>`__; {spec.access}; {spec.licence}"


def _channels(spec: DatasetSpec) -> str:
    return ", ".join(filter(None, (spec.montage, spec.reference and f"against {spec.reference}")))


def _rate(spec: DatasetSpec) -> str:
    rate = spec.rate or "/".join(f"{rate:g}" for rate in spec.sfreqs) + " Hz"
    return f"{rate}; {spec.line_freq:g} Hz"


def _list_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", "   :class: datasets", ""]
    for row in (columns, *rows):
        for number, cell in enumerate(row):
            lines.append(f"   {'*' if number == 0 else ' '} - {cell}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
