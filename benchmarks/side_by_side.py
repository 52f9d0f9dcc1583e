"""The released code and ours in turn, on one machine in one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from released_code import ReleasedCode, without_its_warnings
from tables import aligned, number
from timing import release_memory, synchronize
from tqdm import tqdm
from workloads import DTYPES, prepared, random_eeg, random_model

Side = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One kind of work on both sides.

    Attributes
    ----------
    label : str
        What the table calls it.
    work : str
        Ours, one of :data:`workloads.WORKS`.
    theirs : callable
        Maps the released code, windows, channels and seconds to what does its work once.
    n_channels, n_seconds, n_windows : int
        The batch.
    floors : tuple of float | None
        Ratios that ours in float32 and in bfloat16 must reach. None: no such demand.
    needs : tuple of str
        Models of the released code; others are dropped before.
    """

    label: str
    work: str
    theirs: Callable[[ReleasedCode, int, int, int], Side]
    n_channels: int
    n_seconds: int
    n_windows: int
    floors: tuple[float, float] | None = None
    needs: tuple[str, ...] = ()

    @property
    def shape(self) -> str:
        """Return channels and seconds as the table shows them."""
        return f"{self.n_channels}x{self.n_seconds}"


_MODELS = ("tokenizer", "language_model", "aligned_tokenizer")
COMPARISONS: dict[str, Comparison] = {
    "answer-23x10": Comparison(
        "answer, padded to 276",
        "answer",
        lambda code, *batch: code.answer(*batch),
        23, 10, 8, (3.3, 9.0), ("language_model",),
    ),
    "answer-19x4": Comparison(
        "answer, padded to 276",
        "answer",
        lambda code, *batch: code.answer(*batch),
        19, 4, 8, (8.5, 22.0), ("language_model",),
    ),
    "codes-padded": Comparison(
        "codes, padded to 1024",
        "encode",
        lambda code, *batch: code.codes(*batch),
        23, 10, 8, (5.0, 12.0), ("tokenizer",),
    ),
    "codes-unpadded": Comparison(
        "codes, unpadded",
        "encode",
        lambda code, *batch: code.codes(*batch, padded=False),
        23, 10, 8, None, ("tokenizer",),
    ),
    "autoregressive": Comparison(
        "autoregressive step, padded to 1024",
        "autoregressive step",
        lambda code, *batch: code.autoregressive_step(*batch),
        23, 10, 4, (6.0, 12.0), ("tokenizer", "language_model"),
    ),
    "instruction": Comparison(
        "instruction step, padded to 276 + 80",
        "instruction step",
        lambda code, *batch: code.instruction_step(*batch),
        23, 10, 8, (4.5, 9.0), ("language_model",),
    ),
    "tokenizer": Comparison(
        "tokenizer step, padded to 1024",
        "VQ step",
        lambda code, *batch: code.tokenizer_step(*batch),
        23, 10, 4, (4.5, 9.0), ("aligned_tokenizer",),
    ),
}  # fmt: skip


def compare_all(
    folder: Path,
    comparisons: Sequence[Comparison],
    n_rounds: int,
    device: torch.device,
    *,
    preset: str = "b",
) -> Iterator[dict[str, Any]]:
    """Yield a row per comparison, with a progress bar on stderr.

    Parameters
    ----------
    folder : Path
        Checkout of the released code.
    comparisons : sequence of Comparison
        What to time.
    n_rounds : int
        Runs of each side.
    device : torch.device
        Where.
    preset : str
        Our size; the released code has that of NeuroLM-B. Default ``"b"``.

    Yields
    ------
    row : dict
        Windows per second of each side's fastest run, ratios and floors.
    """
    code = ReleasedCode(folder, device)
    model = random_model(preset, device)
    with tqdm(total=len(comparisons) * n_rounds) as bar, without_its_warnings():
        for comparison in comparisons:
            bar.set_description_str(f"{comparison.label}, {comparison.shape}")
            code.forget(*set(_MODELS).difference(comparison.needs))
            release_memory(device)
            batch = comparison.n_windows, comparison.n_channels, comparison.n_seconds
            eeg = random_eeg(*batch, device)

            with ExitStack() as stack:
                sides = {"reference": comparison.theirs(code, *batch)}
                for dtype in DTYPES:
                    context = prepared(model, comparison.work, eeg, dtype)
                    sides[dtype] = stack.enter_context(context)
                times = in_turn(sides, n_rounds, lambda: synchronize(device), bar.update)
            yield _row(comparison, times, code.dtype)


def in_turn(
    sides: Mapping[str, Side],
    n_rounds: int,
    wait: Callable[[], object],
    after_round: Callable[[], object],
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Return the seconds of each run of each side.

    Parameters
    ----------
    sides : mapping of str to callable
        What to time; each round runs every one of them once, in this order.
    n_rounds : int
        Number of rounds. All are timed: what only a first run does is no part of the fastest of
        several.
    wait : callable
        Waits for the device.
    after_round : callable
        Called after each round.
    clock : callable
        Returns seconds. Default :func:`time.perf_counter`.

    Returns
    -------
    times : dict of list of float
        In the order of the rounds.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(n_rounds):
        for name, side in sides.items():
            before = clock()
            side()
            wait()
            times[name].append(clock() - before)
        after_round()
    return times


def comparison_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table of rows from :func:`compare_all`."""
    n_rounds = max(row["runs"] for row in rows)
    precision = rows[0]["reference_dtype"]
    title = (
        f"Beside the released code, which computes in {precision} here; windows/s of the fastest "
        f"of {n_rounds} runs of each side, taken in turn:\n"
    )
    lines = []
    for row in rows:
        line = {
            "work": row["label"],
            "window": row["shape"],
            "batch": str(row["batch_size"]),
            "reference": number(row["reference"]),
        }
        for dtype in DTYPES:
            floor = row["floors"].get(dtype)
            line[f"ours {dtype}"] = number(row["ours"][dtype])
            ratio = row["ratios"][dtype]
            line[f"ratio {dtype}"] = f"{ratio:.2f}"
            line[f"floor {dtype}"] = (
                "none" if floor is None else f"{floor:g} {'ok' if ratio >= floor else 'missed'}"
            )
        lines.append(line)
    return title + aligned(lines)


def _row(
    comparison: Comparison, times: Mapping[str, Sequence[float]], reference_dtype: str
) -> dict[str, Any]:
    rates = {name: comparison.n_windows / min(its_times) for name, its_times in times.items()}
    ours = {dtype: rates[dtype] for dtype in DTYPES}
    return {
        "label": comparison.label,
        "work": comparison.work,
        "shape": comparison.shape,
        "batch_size": comparison.n_windows,
        "runs": len(times["reference"]),
        "reference": rates["reference"],
        "reference_dtype": reference_dtype,
        "ours": ours,
        "ratios": {dtype: rate / rates["reference"] for dtype, rate in ours.items()},
        "floors": dict(zip(DTYPES, comparison.floors or (), strict=False)),
        "times": {name: list(its_times) for name, its_times in times.items()},
    }
