"""Write the table of all data sets for the documentation: ``python tools/dataset_table.py``."""

from __future__ import annotations

from pathlib import Path

from mne_neurolm.datasets.catalog import DATASETS
from mne_neurolm.datasets.specs import DatasetSpec

PAGE = Path(__file__).resolve().parents[1] / "doc" / "dataset_table.rst"
_NOTE = (
    ".. Written by tools/dataset_table.py from the tables in mne_neurolm/datasets. Do not edit.\n"
)
_TABLES = {
    "Downstream data sets (paper, Table 1)": (
        "Name, title, access",
        "Channels",
        "Rate, notch",
        "Labels, windows",
        "Split",
        "Read by",
        "Tested on",
    ),
    "Pretraining corpora (paper, Table 6)": (
        "Name, title, access",
        "Channels",
        "Rate, notch",
        "Hours, subjects",
        "Annotations",
        "Read by",
        "Tested on",
    ),
}


def page() -> str:
    """Return the tables as reStructuredText."""
    parts = [_NOTE]
    for title, columns in _TABLES.items():
        downstream = title.startswith("Downstream")
        specs = [s for s in DATASETS.values() if (s.protocol is not None) == downstream]
        rows = [_downstream(spec) if downstream else _corpus(spec) for spec in specs]
        parts += [title, "-" * len(title), "", _list_table(columns, rows)]
    return "\n".join(parts)


def _downstream(spec: DatasetSpec) -> tuple[str, ...]:
    protocol = spec.protocol
    assert protocol is not None
    hop = f", every {protocol.hop:g} s" if protocol.hop != protocol.duration else ""
    windows = f"{spec.labels}; windows of {protocol.duration:g} s{hop}"
    notes = [
        f"``variant={name!r}``: {way.note}"
        for name, way in protocol.variants.items()
        if name != "paper"
    ]
    split = ". ".join([spec.split, *notes])
    return (_name(spec), _channels(spec), _rate(spec), windows, split, spec.loader, spec.tested)


def _corpus(spec: DatasetSpec) -> tuple[str, ...]:
    size = [f"{spec.hours:g} h"] if spec.hours is not None else []
    size += [f"{spec.n_subjects} subjects"] if spec.n_subjects else []
    return (
        _name(spec),
        _channels(spec),
        _rate(spec),
        ", ".join(size),
        spec.labels or "none",
        spec.loader,
        spec.tested,
    )


def _name(spec: DatasetSpec) -> str:
    return f"``{spec.name}``: `{spec.title} <{spec.url}>`__; {spec.access}; {spec.licence}"


def _channels(spec: DatasetSpec) -> str:
    return ", ".join(filter(None, (spec.montage, spec.reference and f"against {spec.reference}")))


def _rate(spec: DatasetSpec) -> str:
    rate = spec.rate or "/".join(f"{rate:g}" for rate in spec.sfreqs) + " Hz"
    return f"{rate}; {spec.line_freq:g} Hz"


def _list_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", "   :class: datasets", ""]
    for row in (columns, *rows):
        for number, cell in enumerate(row):
            lines.append(f"   {'*' if number == 0 else ' '} - {cell}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
