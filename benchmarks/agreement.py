"""Do the fast ways give the same answers? ``python benchmarks/agreement.py --data DIR``.

Windows of real EEG are answered by a trained model along three ways: in float32 without anything
that makes it fast (one window and one answer at a time, attention with a dense mask in plain
formulas, logits of all tokens), in float32 as the package does it, and in bfloat16.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import mne
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from mne_neurolm import EEGTokens, NeuroLM, get_task, prepare_raw
from mne_neurolm.models.hub import load_language_model
from mne_neurolm.models.inference import encode_patches, score_answers
from mne_neurolm.patches import Patches, make_patches
from mne_neurolm.tasks import EncodedTask


class Answered(NamedTuple):
    """What a way gives.

    Attributes
    ----------
    codes : ndarray of int64, shape (n_windows, n_tokens)
        Codes.
    log_probs : ndarray of float64, shape (n_windows, n_answers)
        Log-probability of each answer.
    """

    codes: NDArray[np.int64]
    log_probs: NDArray[np.float64]


@torch.no_grad()
def plainly(model: NeuroLM, patches: Patches, question: EncodedTask) -> Answered:
    """Answer in float32 with nothing that makes it fast."""
    channels, times = torch.from_numpy(patches.channels), torch.from_numpy(patches.times)
    codes, log_probs = [], []
    for window in tqdm(patches.data, desc="plainly", leave=False):
        hidden, its_codes = model.tokenize(torch.from_numpy(window)[None], channels, times)
        codes.append(its_codes[0].numpy())
        log_probs.append(
            [
                _log_prob(model, hidden, channels, times, question.prompt, answer)
                for answer in question.answers
            ]
        )
    return Answered(np.stack(codes), np.array(log_probs))


def _log_prob(
    model: NeuroLM,
    hidden: Tensor,
    channels: Tensor,
    times: Tensor,
    prompt: Sequence[int],
    answer: Sequence[int],
) -> float:
    text = torch.tensor([*prompt, *answer])
    # Attention weights are asked for, so that the language model attends in plain formulas.
    out = model(hidden, channels, times, text, output_attentions=True)
    logits = model.logits(out.last_hidden_state)[0, :, : model.n_writable]
    first = hidden.shape[1] + len(prompt) - 1
    rows = F.log_softmax(logits, dim=-1)[first : first + len(answer)]
    return float(rows.gather(1, torch.tensor(answer)[:, None]).sum())


def as_the_package(model: NeuroLM, patches: Patches, question: EncodedTask, dtype: str) -> Answered:
    """Answer as tokenizer and classifier do."""
    tokens: EEGTokens = encode_patches(model, patches, dtype=dtype)
    (log_probs,) = score_answers(model, tokens, [question], batch_size=64, dtype=dtype)
    return Answered(tokens.codes, log_probs)


def compare(found: Answered, expected: Answered) -> dict[str, float]:
    """Return what differs."""
    p, q = (np.exp(a.log_probs - _log_sum(a.log_probs)) for a in (found, expected))
    return {
        "windows": len(p),
        "codes_same": float((found.codes == expected.codes).mean()),
        "argmax_same": float((p.argmax(axis=1) == q.argmax(axis=1)).mean()),
        "log_prob_max": float(np.abs(found.log_probs - expected.log_probs).max()),
        "p_mean": float(np.abs(p - q).mean()),
        "p_max": float(np.abs(p - q).max()),
    }


def _log_sum(log_probs: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.logaddexp.reduce(log_probs, axis=1, keepdims=True)


def windows_of(folder: Path, n_recordings: int, duration: float) -> Patches:
    """Return windows of the EDF recordings of a folder, prepared."""
    data, first = [], None
    for path in tqdm(sorted(folder.rglob("*.edf"))[:n_recordings], desc="read", leave=False):
        raw = mne.io.read_raw(path, verbose="error")
        raw = prepare_raw(raw, line_freq=50.0, on_missing="ignore", verbose="error")
        epochs = mne.make_fixed_length_epochs(raw, duration, preload=True, verbose="error")
        patches = make_patches(epochs, on_missing="ignore", verbose="error")
        first = first or patches
        data.append(patches.data)
    if first is None:
        raise SystemExit(f"There are no EDF files in {folder}.")
    return Patches(np.concatenate(data), first.channels, first.times, first.ch_names)


def main(argv: list[str] | None = None) -> int:
    """Print how far the ways agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with EDF recordings")
    parser.add_argument("--model", default="tiny-joint")
    parser.add_argument("--task", default="workload")
    parser.add_argument("--recordings", type=int, default=72)
    parser.add_argument("--duration", type=float, default=4.0, help="seconds of a window")
    args = parser.parse_args(argv)
    model = load_language_model(args.model).eval()
    words = model.text_tokenizer
    assert words is not None
    question = get_task(args.task).encode(words, model.config.sep_token_id)
    patches = windows_of(args.data, args.recordings, args.duration)
    plain = plainly(model, patches, question)
    exact = as_the_package(model, patches, question, "float32")
    halves = as_the_package(model, patches, question, "bfloat16")
    sys.stdout.write(f"{args.model}, {args.task}, {len(patches.data)} windows\n")
    for name, found, expected in (
        ("float32 and plainly", exact, plain),
        ("bfloat16 and float32", halves, exact),
    ):
        row = compare(found, expected)
        sys.stdout.write(
            f"{name:>22}: answers {row['argmax_same']:.2%} the same, log-probabilities within "
            f"{row['log_prob_max']:.2g}, |dp| {row['p_mean']:.2g} on average and "
            f"{row['p_max']:.2g} at most, codes {row['codes_same']:.2%} the same\n"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
