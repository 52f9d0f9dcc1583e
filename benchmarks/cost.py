"""Compare the formulas of the cost of training with real steps: ``python benchmarks/cost.py``.

Each case runs in a process of its own: forward, backward and AdamW in float32 on one CPU core.
Printed are the arithmetic of a step, the time it would take at the speed of a large matrix product,
the CPU time it took (the fastest of several), their ratio, and the memory that the process grew by
at most beside what the formula says.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

from mne_neurolm import NeuroLM, NeuroLMConfig
from mne_neurolm.models.layers import checkpoint_activations
from mne_neurolm.models.scoring import answer_log_probs
from mne_neurolm.training.config import STAGES
from mne_neurolm.training.cost import measured_peak, step_flops, training_memory
from mne_neurolm.training.objectives import (
    autoregressive_objective,
    text_objective,
    vq_objective,
)
from mne_neurolm.training.optim import adamw, parameter_groups
from mne_neurolm.training.regularization import tuning_loss

# Preset, windows, channels, seconds, rows of text, tokens per row, steps, activation checkpointing.
CASES = [
    ("tiny", 16, 23, 10, 4, 129, 5, False),
    ("tiny", 16, 23, 10, 4, 129, 5, True),
    ("tiny", 16, 19, 8, 4, 129, 5, False),
    ("tiny", 64, 23, 10, 16, 129, 2, False),
    ("b", 1, 23, 10, 1, 65, 2, False),
]
PROMPT = list(range(1, 12))
ANSWERS = [[11, 1, 2], [12, 1, 2]]


def loss_of(model: NeuroLM, stage: str, eeg: tuple, text: torch.Tensor | None) -> torch.Tensor:
    """Return the loss of a step."""
    patches, channels, times = eeg
    if stage == "tokenizer":
        words = None
        if text is not None:
            words = model.backbone.get_input_embeddings()(text).flatten(0, 1)
        return vq_objective(model.vq, *eeg, word_embeddings=words, alpha=0.5)["loss"]
    if stage == "autoregressive":
        hidden, codes = model.tokenize(*eeg)
        loss = autoregressive_objective(model, hidden, codes, channels, times)["loss"]
    else:
        hidden = model.encode(*eeg)
        labels = torch.zeros(len(patches), dtype=torch.long)
        log_probs = answer_log_probs(
            model, hidden, channels, times, PROMPT, ANSWERS, text_only=False
        )
        loss = tuning_loss(log_probs, labels, [len(answer) for answer in ANSWERS])
    return loss if text is None else loss + text_objective(model, text)["loss"]


def resident_bytes() -> int:
    """Return the memory that this process has now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def take_steps(
    preset: str,
    stage: str,
    shape: tuple[int, int, int, int, int],
    n_steps: int,
    checkpointing: bool,
) -> float:
    """Train and return the seconds of the fastest step."""
    n_windows, n_channels, n_seconds, n_rows, length = shape
    torch.manual_seed(0)
    model = NeuroLM(NeuroLMConfig.preset(preset)).requires_grad_(False)
    model.vq.codebook.initialized.fill_(1.0)
    modules = (
        [model.vq]
        if stage == "tokenizer"
        else [model.backbone, model.channel_embed, model.projection, model.lm_head]
    )
    for module in modules:
        module.requires_grad_(True).train()
    if checkpointing:
        checkpoint_activations(model)
    optimizer = adamw(parameter_groups(modules, 0.1), lr=1e-6)
    eeg = (
        torch.randn(n_windows, n_channels * n_seconds, 200),
        torch.arange(n_channels).repeat(n_seconds),
        torch.arange(n_seconds).repeat_interleave(n_channels),
    )
    text = torch.randint(0, 1000, (n_rows, length)) if n_rows else None
    fastest = float("inf")
    for step in range(1 + n_steps):  # the first warms up
        started = time.process_time()  # of a single thread, whatever else runs
        optimizer.zero_grad(set_to_none=True)
        loss_of(model, stage, eeg, text).backward()
        optimizer.step()
        if stage == "tokenizer":
            model.vq.codebook.update(step)
        if step:
            fastest = min(fastest, time.process_time() - started)
    return fastest


def measure(
    preset: str,
    stage: str,
    shape: tuple[int, int, int, int, int],
    n_steps: int,
    checkpointing: bool,
) -> dict[str, float]:
    """Take steps and return seconds per step, bytes, and what the formulas say."""
    torch.set_num_threads(1)
    # Load what libraries load on first use, which is no part of the formula.
    take_steps("tiny", stage, (1, 2, 2, 1, 9), 1, checkpointing)
    before = resident_bytes()
    seconds = take_steps(preset, stage, shape, n_steps, checkpointing)
    config = NeuroLMConfig.preset(preset)
    memory = training_memory(
        config, stage, *shape, precision="float32", activation_checkpointing=checkpointing
    )
    return {
        "flops": step_flops(config, stage, *shape),
        "measured_s": seconds,
        "predicted_bytes": memory.total,
        "measured_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before,
    }


def main(argv: list[str] | None = None) -> int:
    """Run the cases, or one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", help="one case, as JSON; what the other processes are given")
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    args = parser.parse_args(argv)
    if args.one:
        preset, stage, shape, n_steps, checkpointing = json.loads(args.one)
        row = measure(preset, stage, tuple(shape), n_steps, checkpointing)
        sys.stdout.write(json.dumps(row) + "\n")
        return 0
    torch.set_num_threads(1)
    # The fastest of several, as other programs may be in the way of some.
    peak = max(measured_peak("float32") for _ in range(10))
    sys.stdout.write(f"A large matrix product: {peak / 1e9:.0f} GFLOP/s\n\n")
    sys.stdout.write(
        "preset  stage           windows   checkpt   GFLOP  at peak s    took s    MFU"
        "   predicted MB  grew by MB  ratio\n"
    )
    rows = []
    for preset, n_windows, n_channels, n_seconds, n_rows, length, n_steps, checkpointing in CASES:
        for stage in STAGES:
            case = (
                preset,
                stage,
                (n_windows, n_channels, n_seconds, n_rows, length),
                n_steps,
                checkpointing,
            )
            done = subprocess.run(
                [sys.executable, __file__, "--one", json.dumps(case)],
                check=True,
                capture_output=True,
                text=True,
            )
            row = json.loads(done.stdout.splitlines()[-1])
            row["predicted_s"] = row["flops"] / peak
            row["mfu"] = row["predicted_s"] / row["measured_s"]
            rows.append({"preset": preset, "stage": stage, "windows": case[2], **row})
            megabytes = row["predicted_bytes"] / 1e6, row["measured_bytes"] / 1e6
            sys.stdout.write(
                f"{preset:<7} {stage:<15} {f'{n_windows}x{n_channels}x{n_seconds}':<9} "
                f"{'yes' if checkpointing else 'no':<7} {row['flops'] / 1e9:7.1f} "
                f"{row['predicted_s']:10.3f} {row['measured_s']:9.3f} {row['mfu']:6.2f} "
                f"{megabytes[0]:14.0f} {megabytes[1]:11.0f} {megabytes[0] / megabytes[1]:6.2f}\n"
            )
            sys.stdout.flush()
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
