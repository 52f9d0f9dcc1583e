"""One row of the table per preset, kind of work, shape and precision."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from timing import BestProduct, best_product, peak_memory, release_memory, run_times
from tqdm import tqdm
from workloads import WORKS, among_many, compile_blocks, prepared, random_eeg, random_model

from mne_neurolm import NeuroLM, NeuroLMConfig, __version__
from mne_neurolm.training.peak import peak_flops

_LIKELY_SHARE = 0.4  # of the best product's rate, to tell how long a table will take


@dataclass(frozen=True, slots=True)
class Case:
    """What one row is about.

    Attributes
    ----------
    preset, work, dtype : str
        Names.
    n_channels, n_seconds : int
        Shape of a window.
    batch_size : int
        Windows at a time.
    compiled : bool
        Whether transformer blocks are compiled. Default False.
    """

    preset: str
    work: str
    n_channels: int
    n_seconds: int
    dtype: str
    batch_size: int
    compiled: bool = False

    @property
    def shape(self) -> str:
        """Return channels and seconds as the table shows them."""
        return f"{self.n_channels}x{self.n_seconds}"

    @property
    def flops(self) -> float:
        """Return the useful operations of a batch."""
        config = NeuroLMConfig.preset(self.preset)
        return WORKS[self.work].flops(config, self.batch_size, self.n_channels, self.n_seconds)


def machine(device: torch.device) -> dict[str, Any]:
    """Return what the figures of a run depend on beside the code."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "machine": gpu or _cpu_name(),
        "device": device.type,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "package": __version__,
    }


def best_products(
    dtypes: Sequence[str], device: torch.device, seconds: float
) -> dict[str, BestProduct]:
    """Return the fastest matrix product in each precision; ``seconds`` is for one shape and way."""
    return {dtype: best_product(getattr(torch, dtype), device, seconds) for dtype in dtypes}


def fastest(
    before: dict[str, BestProduct], after: dict[str, BestProduct]
) -> dict[str, BestProduct]:
    """Return the faster of two measurements for each precision."""
    return {dtype: max(before[dtype], after[dtype]) for dtype in before}


def measure(
    cases: Sequence[Case], seconds: float, device: torch.device, products: dict[str, BestProduct]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each case, with a progress bar on stderr.

    Parameters
    ----------
    cases : sequence of Case
        Those of a preset, and of compiled ones, in a row: a model is made once for them.
    seconds : float
        Time for the runs of a case. There is at least one; if it is likely to take longer, there
        is no run before it to warm up.
    device : torch.device
        Where.
    products : dict of BestProduct
        By precision; only to tell how long it will take.

    Yields
    ------
    row : dict
        The case, windows per second of the fastest run, bytes, useful operations.
    """
    likely = [
        max(seconds, case.flops / (products[case.dtype].flops * _LIKELY_SHARE)) for case in cases
    ]
    model: NeuroLM | None = None
    made_for: tuple[str, bool] | None = None
    bar_format = "{desc} |{bar}| {percentage:3.0f}% [{elapsed}<{remaining}]"
    with tqdm(total=sum(likely), bar_format=bar_format) as bar:
        for case, its_time in zip(cases, likely, strict=True):
            bar.set_description_str(f"{case.preset}, {case.work}, {case.shape}, {case.dtype}")
            if model is None or (case.preset, case.compiled) != made_for:
                model = None  # before there is another one
                model = random_model(case.preset, device)
                made_for = case.preset, case.compiled
                _warm_up(model, [c for c in cases if (c.preset, c.compiled) == made_for])
            if case.compiled:  # anew, or many shapes would reach the limit of compilations
                compile_blocks(model)
            yield _row(model, case, seconds, warm_up=its_time <= seconds)
            bar.update(its_time)


def _row(model: NeuroLM, case: Case, seconds: float, warm_up: bool) -> dict[str, Any]:
    device = model.device
    row: dict[str, Any] = {
        "preset": case.preset,
        "work": case.work,
        "shape": case.shape,
        "tokens": case.n_channels * case.n_seconds,
        "dtype": case.dtype,
        "batch_size": case.batch_size,
        "compiled": case.compiled,
        "flops_per_window": case.flops / case.batch_size,
    }
    times: list[float] = []
    eeg = random_eeg(case.batch_size, case.n_channels, case.n_seconds, device)
    try:
        with (
            peak_memory(device) as peak,
            among_many(model, case.work, case.dtype, compiled=case.compiled),
            prepared(model, case.work, eeg, case.dtype) as function,
        ):
            if warm_up or case.compiled:  # what takes long is not worth a run that does not count
                function()
            times = run_times(function, seconds, device)
    except torch.OutOfMemoryError:
        release_memory(device)
    else:
        row["peak_bytes"] = peak.n_bytes
    row["runs"] = len(times)
    row["windows_per_second"] = case.batch_size / min(times) if times else None
    return row


def with_shares(
    rows: Sequence[dict[str, Any]], products: dict[str, BestProduct], device: torch.device
) -> list[dict[str, Any]]:
    """Add to rows the share of the best product's rate, and on CUDA of the maker's figure."""
    completed = []
    for row in rows:
        rate = (row["windows_per_second"] or 0.0) * row["flops_per_window"]
        shares = {"share": rate / products[row["dtype"]].flops}
        if device.type == "cuda":
            shares["mfu"] = rate / peak_flops(device, row["dtype"])
        completed.append({**row, **(shares if rate else dict.fromkeys(shares))})
    return completed


def _warm_up(model: NeuroLM, cases: Sequence[Case]) -> None:
    """Load what libraries load on first use, with the smallest windows that will do."""
    eeg = random_eeg(1, 2, 2, model.device)
    for work, dtype in dict.fromkeys((case.work, case.dtype) for case in cases):
        with prepared(model, work, eeg, dtype) as function:
            function()


def _cpu_name() -> str:
    """Return what the CPU calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # no Linux
        return platform.processor() or platform.machine()
    named = dict(line.split("\t: ", 1) for line in lines if "\t: " in line)
    names = [named.get("model name\t", named.get("model name", ""))]
    numbers = [named.get(key, named.get(f"{key}\t")) for key in ("cpu family", "model")]
    if all(numbers):
        names.append("family {}, model {}".format(*numbers))
    return ", ".join(name for name in names if name) or platform.machine()
