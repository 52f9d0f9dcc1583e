"""Rows as tables and as JSON, and beside those of an earlier run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_KEY = ("preset", "work", "shape", "dtype", "compiled", "batch_size")
_MACHINE = ("machine", "device", "cores", "threads", "torch")


def describe(header: dict[str, Any]) -> str:
    """Return lines that say what was measured where."""
    lines = [
        f"{header['machine']}, {header['cores']} cores, {header['threads']} threads, "
        f"torch {header['torch']}",
        "Best matrix products of this run, the whole of which 'share' is a part:",
    ]
    for dtype, product in header["products"].items():
        shape = " x ".join(map(str, product["shape"]))
        lines.append(
            f"  {dtype:<9} {product['flops'] / 1e9:8.0f} GFLOP/s at {shape} ({product['way']})"
        )
    lines.append(
        f"Windows/s of the fastest run in {header['seconds']:g} s, or of a single run that took "
        "longer."
    )
    return "\n".join(lines) + "\n"


def main_table(rows: Sequence[dict[str, Any]], earlier: dict[str, Any] | None = None) -> str:
    """Return the table of rows, with ratios to an earlier run on request.

    Parameters
    ----------
    rows : sequence of dict
        From :func:`measure.with_shares`.
    earlier : dict | None
        What :func:`load` returns. Default none.

    Returns
    -------
    table : str
        One line per row.
    """
    before = {tuple(row.get(k) for k in _KEY): row for row in (earlier or {}).get("rows", [])}
    lines = []
    for row in rows:
        memory = row.get("peak_bytes")
        line = {
            "preset": row["preset"],
            "work": row["work"],
            "window": row["shape"],
            "precision": row["dtype"] + (", compiled" if row["compiled"] else ""),
            "batch": str(row["batch_size"]),
            "windows/s": number(row["windows_per_second"]),
            "runs": str(row["runs"]),
            "peak MB": "-" if memory is None else f"{memory / 1e6:.0f}",
            "GFLOP/window": number(row["flops_per_window"] / 1e9),
            "share": percent(row["share"]),
        }
        if "mfu" in row:
            line["MFU"] = percent(row["mfu"])
        if earlier is not None:
            old = before.get(tuple(row[k] for k in _KEY), {})
            line["speed ratio"] = _ratio(row, old, "windows_per_second")
            line["memory ratio"] = _ratio(row, old, "peak_bytes")
        lines.append(line)
    return aligned(lines)


def aligned(lines: Sequence[dict[str, str]]) -> str:
    """Return a table: words to the left, numbers to the right."""
    if not lines:
        return ""
    columns = list(lines[0])
    widths = [max(len(column), *(len(line[column]) for line in lines)) for column in columns]
    is_word = [any(line[c][:1].isalpha() for line in lines) for c in columns]

    def one(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if word else cell.rjust(width)
            for cell, width, word in zip(cells, widths, is_word, strict=True)
        ]
        return "  ".join(padded).rstrip()

    rules = ["-" * width for width in widths]
    return "\n".join(map(one, [columns, rules, *(list(line.values()) for line in lines)])) + "\n"


def number(value: float | None) -> str:
    """Return three significant digits, without exponent."""
    if value is None:
        return "-"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """Return a share in per cent."""
    return "-" if value is None else f"{100 * value:.0f}%"


def save(
    path: Path,
    header: dict[str, Any],
    rows: Sequence[dict[str, Any]],
    reference: Sequence[dict[str, Any]] = (),
) -> None:
    """Write everything as JSON: ``header``, ``rows`` and ``reference``."""
    content = {"header": header, "rows": list(rows), "reference": list(reference)}
    path.write_text(json.dumps(content, indent=1) + "\n")


def load(path: Path) -> dict[str, Any]:
    """Return what :func:`save` wrote.

    Raises
    ------
    ValueError
        If the file is something else.
    """
    content = json.loads(path.read_text())
    if not isinstance(content, dict) or not {"header", "rows"} <= set(content):
        raise ValueError(f"{path} is no result of this benchmark; give a file that --json wrote.")
    return content


def machine_differences(header: dict[str, Any], earlier: dict[str, Any]) -> list[str]:
    """Return what makes two runs hard to compare, one phrase each."""
    old = earlier["header"]
    return [
        f"{key}: {old.get(key)} then, {header.get(key)} now"
        for key in _MACHINE
        if old.get(key) != header.get(key)
    ]


def _ratio(row: dict[str, Any], old: dict[str, Any], key: str) -> str:
    new, before = row.get(key), old.get(key)
    return f"{new / before:.2f}" if new and before else "-"
