"""The final model of a run: weights that both estimators load, and a card that describes them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import yaml

from .._version import __version__
from ..models.neurolm import NeuroLM
from .parallel import Parallel
from .stages import Stage

_SHOWN = (  # rows of the card's table of results, as far as there are any
    "loss", "frequency", "phase", "raw", "commitment", "hidden_frequency", "hidden_phase",
    "hidden_raw", "codebook_used", "codebook_perplexity", "masked", "masked_accuracy",
    "eeg", "eeg_accuracy", "eeg_perplexity", "answer", "answer_accuracy",
    "text", "text_accuracy", "text_perplexity",
)  # fmt: skip


def publish_model(stage: Stage, parallel: Parallel, folder: Path, card: dict[str, Any]) -> None:
    """Write a stage's model as a folder of safetensors with a model card.

    Parameters
    ----------
    stage : Stage
        The stage; its weights may be sharded.
    parallel : Parallel
        The processes, all of which must call this.
    folder : Path
        Where to write; it is replaced as a whole when the new one is complete.
    card : dict
        What :func:`model_card` takes.
    """
    weights = {}
    for name, tensor in stage.model.state_dict().items():
        whole = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
        if parallel.is_main:
            weights[name] = whole.detach().cpu()
    if parallel.is_main:
        with torch.random.fork_rng(devices=[]):  # initial weights are drawn, then replaced
            model = NeuroLM(stage.model.config)
        model.load_state_dict(weights)
        model.text_tokenizer = stage.model.text_tokenizer
        aside = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(aside, ignore_errors=True)
        model.save_pretrained(aside)
        (aside / "README.md").write_text(model_card(**card))
        (aside / "training.json").write_text(json.dumps(card, indent=1, default=str) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
    parallel.barrier()


def model_card(
    *,
    stage: str,
    preset: str,
    config: dict[str, Any],
    data: dict[str, Any],
    metrics: dict[str, Any],
    step: int,
) -> str:
    """Return a model card in Markdown.

    Parameters
    ----------
    stage, preset : str
        What was trained.
    config : dict
        Resolved settings of the run.
    data : dict
        The store's and the text's fingerprints and sizes, and the subjects held out.
    metrics : dict
        The last logged line that has each number.
    step : int
        Step of the weights.

    Returns
    -------
    card : str
        The text, with the metadata that model hubs read.
    """
    rows = [
        f"| {name} | {_number(metrics.get(name))} | {_number(metrics.get(f'val_{name}'))} |"
        for name in _SHOWN
        if name in metrics or f"val_{name}" in metrics
    ]
    table = "\n".join(["| | training | validation |", "|---|---|---|", *rows])
    head = yaml.safe_dump(
        {"library_name": "mne-neurolm", "tags": ["eeg", "neurolm", f"preset-{preset}"]}
    )
    return f"""---
{head}---

# NeuroLM ({preset}), stage: {stage}

Weights after step {step} of `python -m mne_neurolm.pretrain {stage}` (mne-neurolm {__version__}).
Load them with `NeuroLM.from_pretrained(folder)`, or give the folder as `model` to
`NeuroLMTokenizer` and `NeuroLMClassifier`.

Not a medical device: nothing here was evaluated for diagnosis.

## Results

Training: the last step. Validation: {data.get("validation", "none")}.

{table}

## Data

```yaml
{yaml.safe_dump(data, sort_keys=False, allow_unicode=True)}```

## Settings

```yaml
{yaml.safe_dump(config, sort_keys=False)}```
"""


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4g}"


def write_report(folder: Path) -> str:
    """Write the report of a run, and return where it is or why there is none."""
    from ..runs import write_run_report

    try:
        return str(write_run_report(folder))
    except OSError as error:  # the run is complete all the same
        return f"could not be written ({error})"
