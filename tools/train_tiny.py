"""Train the bundled model ``"tiny"`` from public recordings, all stages, on a laptop.

    python tools/train_tiny.py --data DIR [--output mne_neurolm/assets/tiny]

``DIR`` holds ``eegmat/`` (PhysioNet eegmat, subjects 00 to 25 are used), ``mne_data/`` with
subject 1 of PhysioNet eegmmidb in MNE's own layout, ``smni/smni.npz`` (UCI EEG Database), and
``text/*.txt``. The result is a model directory: weights in float16, text tokenizer, and
``training.json`` with the settings, sizes and losses.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import torch
from mne.utils import logger
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from mne_neurolm import NeuroLM, NeuroLMConfig, Task, prepare_raw, tune_instructions
from mne_neurolm.datasets.members import find_members
from mne_neurolm.models.inference import encode_patches
from mne_neurolm.models.text import SEP, encode_text
from mne_neurolm.patches import Patches, make_patches
from mne_neurolm.tasks import TASKS
from mne_neurolm.training import (
    TrainingConfig,
    train_autoregressive,
    train_text,
    train_tokenizer,
)

END_OF_TEXT = "<|endoftext|>"
TRAINING_SUBJECTS = range(26)  # of EEGMAT: 26 to 30 stay unseen
WINDOW = 4.0  # seconds
IMAGERY_RUNS = (4, 8, 12)  # of eegmmidb: imagined left and right fist
SEED = 0
IMAGERY = Task(
    "imagery", "Which fist does the subject imagine closing?", {"T1": "left", "T2": "right"}
)
STIMULUS = Task(
    "stimulus",
    "Which picture does the subject see?",
    {"S1 obj": "the first", "S2 match": "the same again", "S2 nomatch": "another"},
    options=True,
)

# Where this model departs from the paper's recipe. On hours of EEG instead of years the codebook
# must move faster than the encoder settles: 4 epochs of EEGMAT alone left 277 codes in use and a
# waveform error of 0.89 of the variance with the paper's targets, commitment and decay (dead codes
# replaced below 0.3, alignment 0.1), 1024 and 0.75 with these and no alignment.
CODEBOOK = {
    "frequency_target": "log_magnitude",
    "commitment_weight": 0.1,
    "codebook_decay": 0.9,
    "dead_code_threshold": 0.5,
}

# Peak rates are several times those of Tables 7 to 9: this model is 45 times smaller than NeuroLM-B
# and sees hours, not years.
TEXT_STAGE = TrainingConfig(
    max_epochs=1, lr=1.5e-3, min_lr=1.5e-4, text_batch_size=8, text_length=129, seed=SEED
)
TOKENIZER_STAGE = TrainingConfig(
    max_epochs=8,
    batch_size=32,
    lr=1e-3,
    min_lr=1e-4,
    weight_decay=1e-4,
    betas=(0.9, 0.99),
    text_batch_size=4,
    text_length=129,
    alignment=0.1,  # at full strength the encoder gives up EEG for the sake of looking like text
    seed=SEED,
)
AUTOREGRESSIVE_STAGE = TrainingConfig(
    max_epochs=5,
    batch_size=16,
    lr=1e-3,
    min_lr=1e-4,
    text_batch_size=2,
    text_length=129,
    seed=SEED,
)
INSTRUCTION_STAGE = TrainingConfig(
    max_epochs=6,
    batch_size=16,
    lr=5e-4,
    min_lr=5e-5,
    text_batch_size=2,
    text_length=129,
    seed=SEED,
)


def make_text_tokenizer(text: str, config: NeuroLMConfig) -> PreTrainedTokenizerFast:
    """Train a byte-pair encoding on the text and on the wording of the paper's tasks."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    wording = [
        task.prompt() + answer
        for task in (*TASKS.values(), IMAGERY, STIMULUS)
        for answer in task.answer_texts()
    ]
    trainer = trainers.BpeTrainer(
        # The two special tokens come last, so that everything that may be written lies below [SEP].
        vocab_size=config.sep_token_id - 1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # The wording is short: repeated, its words become single tokens.
    tokenizer.train_from_iterator([text, *(wording * 20)], trainer)
    tokenizer.add_special_tokens([END_OF_TEXT, SEP])
    if tokenizer.token_to_id(SEP) != config.sep_token_id:
        raise RuntimeError(
            f"[SEP] is {tokenizer.token_to_id(SEP)}, not {config.sep_token_id}: the text is too "
            "short for a vocabulary of this size."
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END_OF_TEXT, bos_token=END_OF_TEXT, sep_token=SEP
    )


def load_recordings(data: Path) -> list[Patches]:
    """Return all recordings as windows without labels."""
    sets = []
    for member in find_members("workload", data / "eegmat"):
        if int(member.subject[-2:]) in TRAINING_SUBJECTS:
            raw = mne.io.read_raw_edf(member.path, preload=True)
            sets.append(_windows(prepare_raw(raw, line_freq=50.0), WINDOW))
    n_eegmat = len(sets)
    for path in sorted((data / "mne_data").rglob("S001R*.edf")):
        sets.append(
            _windows(prepare_raw(mne.io.read_raw_edf(path, preload=True), line_freq=60.0), WINDOW)
        )
    sets = [_join(sets[:n_eegmat]), _join(sets[n_eegmat:])]
    sets.append(load_smni(data)[0])
    return sets


def load_smni(data: Path) -> tuple[Patches, np.ndarray]:
    """Return visual trials of one second, those with a dead channel left out, and conditions."""
    stored = np.load(data / "smni" / "smni.npz", allow_pickle=False)
    patches = make_patches(
        stored["X_nV"] * 1e-3,
        ch_names=stored["ch_names"].tolist(),
        sfreq=float(stored["sfreq"]),
        unit="uV",
        verbose="ERROR",
    )
    conditions = pd.read_csv(data / "smni" / "trials.csv")["cond"].str.strip(",").to_numpy()
    alive = (patches.data.std(axis=2) > 1e-6).all(axis=1)
    return patches[alive], conditions[alive]


def _windows(raw: mne.io.BaseRaw, duration: float) -> Patches:
    return make_patches(mne.make_fixed_length_epochs(raw, duration=duration, preload=True))


def _join(parts: list[Patches]) -> Patches:
    first = parts[0]
    return Patches(
        np.concatenate([part.data for part in parts]), first.channels, first.times, first.ch_names
    )


def load_imagery(data: Path) -> tuple[mne.BaseEpochs, np.ndarray]:
    """Return imagined fists of subject 1 and their annotations."""
    epochs = []
    for path in sorted((data / "mne_data").rglob("S001R*.edf")):
        if int(path.stem[-2:]) in IMAGERY_RUNS:
            raw = prepare_raw(mne.io.read_raw_edf(path, preload=True), line_freq=60.0)
            events, ids = mne.events_from_annotations(raw, {"T1": 1, "T2": 2})
            epochs.append(mne.Epochs(raw, events, ids, 0.0, 4.0, baseline=None, preload=True))
    joined = mne.concatenate_epochs(epochs)
    return joined, np.array(["T1" if code == 1 else "T2" for code in joined.events[:, 2]])


def main() -> None:
    """Run all stages and write the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(__file__).parents[1] / "mne_neurolm" / "assets" / "tiny",
    )
    arguments = parser.parse_args()
    mne.set_log_level("WARNING")
    torch.manual_seed(SEED)
    started = time.perf_counter()

    config = NeuroLMConfig.preset("tiny", **CODEBOOK)
    text = "\n".join(path.read_text() for path in sorted((arguments.data / "text").glob("*.txt")))
    model = NeuroLM(config)
    model.text_tokenizer = make_text_tokenizer(text, config)
    corpus = np.asarray(encode_text(model.text_tokenizer, text))
    sets = load_recordings(arguments.data)
    seconds = {", ".join(s.ch_names[:3]) + ", ...": len(s) * s.n_seconds for s in sets}
    history = {}

    def note(stage: str, losses: list[dict[str, float]]) -> None:
        history[stage] = losses
        rounded = {name: round(value, 4) for name, value in losses[-1].items()}
        mne.utils.logger.warning(f"{time.perf_counter() - started:6.0f} s  {stage}: {rounded}")

    logger.warning(f"{time.perf_counter() - started:6.0f} s  data: {seconds}")
    note("text", train_text(model, corpus, n_steps=500, config=TEXT_STAGE))
    note("tokenizer", train_tokenizer(model, sets, text=corpus, config=TOKENIZER_STAGE))
    long_enough = [s for s in sets if s.n_seconds > 1]
    note(
        "autoregression",
        train_autoregressive(model, long_enough, text=corpus, config=AUTOREGRESSIVE_STAGE),
    )
    # No labels of EEGMAT: results on its subjects, cross-validated ones too, must not rest on them.
    trials, conditions = load_smni(arguments.data)
    model = tune_instructions(
        {
            IMAGERY: load_imagery(arguments.data),
            STIMULUS: (encode_patches(model, trials), conditions),
        },
        model,
        text=text,
        shuffle_options=True,
        config=INSTRUCTION_STAGE,
    )
    note("instructions", model.history)

    model.half().save_pretrained(arguments.output)
    record = {
        "seed": SEED,
        "seconds of EEG": seconds,
        "text tokens": len(corpus),
        "minutes": round((time.perf_counter() - started) / 60, 1),
        "torch": torch.__version__,
        "losses of the last epoch": {stage: losses[-1] for stage, losses in history.items()},
    }
    (arguments.output / "training.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
