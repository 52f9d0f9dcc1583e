"""Time tokenizing and answering: ``make bench``.

Windows per second on this machine for several montages, in float32 and bfloat16, and the ratio of
scoring all answers in one pass to running the sequence once per answer. Weights are random: speed
does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from mne_neurolm import NeuroLM, NeuroLMConfig
from mne_neurolm.models.scoring import answer_log_probs
from mne_neurolm.utils.device import autocast, resolve_device

MONTAGES = {"23 x 10": (23, 10), "62 x 4": (62, 4), "19 x 4": (19, 4), "4 x 30": (4, 30)}
PROMPT_LENGTH = 13  # tokens of "[SEP]Question: Is this EEG segment of high workload? Answer:"
ANSWERS = [[11, 1, 2], [12, 1, 2]]  # lengths of " Yes " and " No " with the end-of-text token


def windows_per_second(function: Callable[[], object], n_windows: int, seconds: float) -> float:
    """Return the rate of the fastest of several runs, after one to warm up."""
    function()
    best, started = float("inf"), time.perf_counter()
    while time.perf_counter() - started < seconds:
        before = time.perf_counter()
        function()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - before)
    return n_windows / best


@torch.inference_mode()
def bench(preset: str, batch_size: int, seconds: float, device: str) -> list[dict[str, object]]:
    """Return one row per montage and precision."""
    where = resolve_device(device)
    model = NeuroLM(NeuroLMConfig.preset(preset)).to(where).eval()
    prompt = [model.config.sep_token_id, *range(3, 2 + PROMPT_LENGTH)]
    rows = []
    for name, (n_channels, n_seconds) in MONTAGES.items():
        patches = torch.randn(batch_size, n_channels * n_seconds, 200, device=where)
        channels = torch.arange(n_channels, device=where).repeat(n_seconds)
        times = torch.arange(n_seconds, device=where).repeat_interleave(n_channels)
        for dtype in ("float32", "bfloat16"):
            with autocast(dtype, where):
                hidden = model.encode(patches, channels, times)

                def encode(x=patches, c=channels, t=times) -> object:
                    return model.tokenize(x, c, t)

                def together(h=hidden, c=channels, t=times) -> object:
                    return answer_log_probs(model, h, c, t, prompt, ANSWERS)

                def apart(h=hidden, c=channels, t=times) -> object:
                    return [answer_log_probs(model, h, c, t, prompt, [a]) for a in ANSWERS]

                rates = [
                    windows_per_second(f, batch_size, seconds) for f in (encode, together, apart)
                ]
            rows.append(
                {
                    "preset": preset,
                    "channels x seconds": name,
                    "dtype": dtype,
                    "tokenize (windows/s)": round(rates[0], 2),
                    "answer (windows/s)": round(rates[1], 2),
                    "one pass / one per answer": round(rates[1] / rates[2], 2),
                }
            )
    return rows


def main() -> None:
    """Print a table and write the same as JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--presets", nargs="+", default=["tiny", "b"])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each figure")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="file to write")
    arguments = parser.parse_args()
    header = True
    rows = []
    for preset in arguments.presets:
        for row in bench(preset, arguments.batch_size, arguments.seconds, arguments.device):
            if header:
                sys.stdout.write("  ".join(f"{name:>20}" for name in row) + "\n")
                header = False
            sys.stdout.write("  ".join(f"{value!s:>20}" for value in row.values()) + "\n")
            rows.append(row)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
