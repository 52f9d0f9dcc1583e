"""Time the five kinds of work of a model: ``make bench``.

Windows per second, peak memory and the share of the rate that this machine reaches in matrix
products, measured in the same run, for several shapes, presets and precisions. With ``--reference``
a checkout of the released code is timed beside ours. Weights are random: speed does not depend on
them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from measure import Case, best_products, fastest, machine, measure, with_shares
from side_by_side import COMPARISONS, compare_all, comparison_table
from tables import describe, load, machine_differences, main_table, save
from workloads import DTYPES, WORKS

from mne_neurolm.utils.device import resolve_device

SHAPES = ["19x4", "4x30", "23x10", "62x4", "64x16"]  # channels x seconds; the last is full


def main(argv: list[str] | None = None) -> int:
    """Print tables, and write the same as JSON on request."""
    args = _parser().parse_args(argv)
    earlier = load(args.compare) if args.compare else None
    device = resolve_device(args.device)
    cases = [
        Case(preset, work, n_channels, n_seconds, dtype, args.batch_size or WORKS[work].batch_size)
        for preset in args.presets
        for n_channels, n_seconds in args.shapes
        for work in args.works
        for dtype in args.dtypes
    ]
    if args.compile:
        cases += [replace(case, compiled=True) for case in cases]
        cases.sort(key=lambda case: args.presets.index(case.preset))
    at_product = min(0.2, args.seconds / 5)
    products = best_products(args.dtypes, device, at_product)
    rows: list[dict[str, Any]] = []
    reference: list[dict[str, Any]] = []
    try:
        for row in measure(cases, args.seconds, device, products):
            rows.append(row)
        if args.reference:
            chosen = [COMPARISONS[name] for name in args.comparisons]
            for row in compare_all(args.reference, chosen, args.rounds, device):
                reference.append(row)
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; what is done follows.\n")
    # Once more, in case other programs were in the way at the start.
    products = fastest(products, best_products(args.dtypes, device, at_product))
    header = {
        **machine(device),
        "seconds": args.seconds,
        "products": {dtype: product._asdict() for dtype, product in products.items()},
    }
    rows = with_shares(rows, products, device)
    if args.json:
        save(args.json, header, rows, reference)
    _show(header, rows, reference, earlier)
    return 0


def _show(
    header: dict[str, Any],
    rows: Sequence[dict[str, Any]],
    reference: Sequence[dict[str, Any]],
    earlier: dict[str, Any] | None,
) -> None:
    sys.stdout.write(describe(header))
    if earlier is not None:
        for difference in machine_differences(header, earlier):
            sys.stderr.write(f"Warning: not the same machine or set-up; {difference}.\n")
    if rows:
        sys.stdout.write("\n" + main_table(rows, earlier))
    if reference:
        sys.stdout.write("\n" + comparison_table(reference))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presets", nargs="*", default=["tiny", "b"])
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument(
        "--shapes", nargs="+", type=_shape, default=list(map(_shape, SHAPES)), metavar="CxS",
        help="channels and seconds, such as 23x10",
    )  # fmt: skip
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--batch-size", type=int, help="for all work, instead of 8 or 4")
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each figure")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--compile", action="store_true", help="time compiled blocks too (for GPUs)"
    )
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--compare", type=Path, help="file that --json wrote, to compare with")
    parser.add_argument("--reference", type=Path, help="checkout of the released code to time too")
    parser.add_argument(
        "--comparisons", nargs="+", choices=COMPARISONS, default=list(COMPARISONS),
        help="what to time beside the released code",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side in turn")
    return parser


def _shape(text: str) -> tuple[int, int]:
    n_channels, n_seconds = map(int, text.split("x"))
    if n_channels < 1 or n_seconds < 2:
        raise ValueError(text)
    return n_channels, n_seconds


if __name__ == "__main__":
    raise SystemExit(main())
