"""What is in a store, as text."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from ..channels import CHANNELS
from .format import Row
from .report import File

_MAX_MONTAGES = 10


def summarize(rows: Sequence[Row], files: Iterable[File], shard_bytes: int | None = None) -> str:
    """Return a summary of a store.

    Parameters
    ----------
    rows : sequence of Row
        Rows of its index.
    files : iterable of File
        Lines of its report.
    shard_bytes : int | None
        Size of all shards, if it is known.

    Returns
    -------
    text : str
        Lines with hours, subjects, channels, size and quantisation, and why files were skipped.
    """
    lines = [*_describe_files(list(files)), *_describe_data(rows, shard_bytes)]
    if rows:
        lines += [*_describe_channels(rows), *_describe_quantisation(rows), *_describe_notch(rows)]
    return "\n".join(lines) + "\n"


def _describe_files(files: list[File]) -> list[str]:
    if not files:
        return []
    counts = Counter(file.status for file in files)
    listed = ", ".join(f"{n} {status}" for status, n in counts.most_common())
    lines = [f"files         {len(files)}: {listed}"]
    reasons: dict[str, list[float]] = {}
    for file in files:
        if file.status in ("skipped", "failed"):
            reasons.setdefault(file.reason.partition(":")[0], []).append(file.seconds)
    for reason, seconds in sorted(reasons.items(), key=lambda item: -len(item[1])):
        hours = f", {sum(seconds) / 3600.0:.2f} h" if any(seconds) else ""
        lines.append(f"              {len(seconds)} {reason}{hours}")
    return lines


def _describe_data(rows: Sequence[Row], shard_bytes: int | None) -> list[str]:
    hours = sum(row.recording.seconds for row in rows) / 3600.0
    subjects = {(row.recording.dataset, row.recording.subject) for row in rows}
    lines = [f"recordings    {len(rows)}, {hours:.2f} h, {len(subjects)} subjects"]
    for dataset in sorted({row.recording.dataset for row in rows}):
        own = [row.recording for row in rows if row.recording.dataset == dataset]
        lines.append(
            f"              {dataset}: {len(own)} recordings, "
            f"{sum(r.seconds for r in own) / 3600.0:.2f} h, "
            f"{len({r.subject for r in own})} subjects"
        )
    used = sum(row.recording.n_bytes for row in rows)
    size = f"size          {_bytes(used)}"
    if shard_bytes is not None and shard_bytes > used:
        size += f", and {_bytes(shard_bytes - used)} in the shards that nothing refers to"
    return [*lines, size]


def _describe_channels(rows: Sequence[Row]) -> list[str]:
    counts = Counter(channel for row in rows for channel in row.recording.channels)
    ordered = sorted(counts, key=lambda channel: (-counts[channel], channel))
    lines = [f"channels      {len(counts)} of {len(CHANNELS) - 1} electrodes and derivations"]
    groups: dict[int, list[str]] = {}
    for channel in ordered:
        groups.setdefault(counts[channel], []).append(CHANNELS[channel])
    lines += _wrapped(
        f"{' '.join(names)} (in {n} recording{'s' * (n != 1)})" for n, names in groups.items()
    )
    montages = Counter(tuple(sorted(row.recording.channels)) for row in rows)
    lines.append(f"montages      {len(montages)}")
    for montage, n in montages.most_common(_MAX_MONTAGES):
        lines.append(f"              {len(montage)} channels: {n} recording{'s' * (n != 1)}")
    if len(montages) > _MAX_MONTAGES:
        lines.append(f"              and {len(montages) - _MAX_MONTAGES} more")
    left_out = sum(row.left_out for row in rows)
    if left_out:
        n = sum(row.left_out > 0 for row in rows)
        lines.append(f"left out      {left_out} EEG channels of {n} recordings, see report.tsv")
    return lines


def _describe_quantisation(rows: Sequence[Row]) -> list[str]:
    steps = np.array([row.recording.scale for row in rows])
    sds = np.array([row.sd for row in rows])
    shares = steps[sds > 0] / sds[sds > 0]
    largest = rows[int(steps.argmax())].recording.name
    lines = [
        f"int16 step    median {1e6 * np.median(steps):.3g} µV, largest {1e6 * steps.max():.3g} µV "
        f"({largest}); no sample is off by more than half a step"
    ]
    if len(shares):
        worst = 100.0 * shares.max()
        lines.append(
            f"              median {100.0 * np.median(shares):.2g} %, largest {worst:.2g} % of the "
            "recording's typical standard deviation"
        )
    return lines


def _describe_notch(rows: Sequence[Row]) -> list[str]:
    counts = Counter(row.recording.line_freq for row in rows)
    listed = ", ".join(
        f"{'none' if line is None else f'{line:g} Hz'} in {n}" for line, n in counts.most_common()
    )
    return [f"notch         {listed} recordings"]


def _bytes(n: int) -> str:
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if n >= factor:
            return f"{n / factor:.2f} {unit}"
    return f"{n / 1e3:.1f} kB"


def _wrapped(entries: Iterable[str]) -> list[str]:
    indent = " " * 14
    return [
        line
        for entry in entries
        for line in textwrap.wrap(entry, 100, initial_indent=indent, subsequent_indent=indent)
    ]
