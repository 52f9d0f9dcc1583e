"""One model on several tasks at once against one model per task, over people and seeds.

    python benchmarks/joint.py --data DIR [--model tiny] [--seeds 3] [--jobs 2] [--output joint]

``DIR`` is described in ``tools/tiny_data.py``. There are ten rounds. Each holds out one of the ten
people of SMNI (its two tasks), one of five folds of the 31 people of Workload
(``StratifiedGroupKFold``, shuffled, seed 0; every fold is held out in two rounds), and one of five
folds of the 45 trials of an imagined fist and one of the 45 of a closed fist. One model is tuned on
the rest of all tasks together, and asked the questions as they are, in a wording that was not in
its training, and, where a task lists options, with these in another order. Scores of Workload are
means over rounds, those of the others are of all people or trials together (those of fists are
divided in two ways), and ± is the standard deviation over seeds.

With ``--single``, models are tuned on one task each, for at least as many passes over it as in
joint tuning. Workload's five folds are then tuned once each, not twice, so its deviation over seeds
is larger. Finished models are kept in ``--output`` as their answers and not made again. The base
model must not have seen labels of these recordings; the bundled ``"tiny"`` has not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import torch
from joblib import Parallel, delayed
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from tqdm.auto import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
import tiny_data
import train_tiny

from mne_neurolm import NeuroLM, NeuroLMClassifier, tune_instructions
from mne_neurolm.evaluation import score_predictions
from mne_neurolm.models.hub import load_model
from mne_neurolm.models.inference import encode_patches
from mne_neurolm.tokens import EEGTokens
from mne_neurolm.training import TrainingConfig
from mne_neurolm.training.sampling import task_shares

N_ROUNDS = 10
# Half of the rounds has all folds of Workload and people of both groups, but 34 of the 45 trials of
# fists, of which some are in it twice.
_ORDER = [*range(0, N_ROUNDS, 2), *range(1, N_ROUNDS, 2)]
_SHOWN = ("balanced_accuracy", "auc_pr", "auroc", "cohen_kappa")
Data = dict[str, tuple[EEGTokens, np.ndarray, np.ndarray]]


def held_out(data: Data, number: int) -> dict[str, np.ndarray]:
    """Return which windows of each task a round holds out."""
    rows = {}
    for name, (_, labels, subjects) in data.items():
        if name == "workload":
            folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
            splits = list(folds.split(labels, labels, subjects))
            rows[name] = splits[number // 2][1]
        elif name in ("imagery", "execution"):
            splits = list(
                StratifiedKFold(5, shuffle=True, random_state=number // 5).split(labels, labels)
            )
            rows[name] = splits[number % 5][1]
        else:
            rows[name] = np.flatnonzero(subjects == np.unique(subjects)[number])
    return rows


def settings(sizes: dict[str, int], only: str | None, seed: int) -> TrainingConfig:
    """Return how long a model is tuned: alone, it sees its task at least as often as jointly."""
    config = replace(train_tiny.INSTRUCTION_STAGE, seed=seed, progress=False)
    if only is None:
        return config
    shares = task_shares(list(sizes.values()), train_tiny.TUNING["sampling"])
    jointly = dict(zip(sizes, shares * sum(sizes.values()), strict=True))[only]
    passes = config.max_epochs * max(1.0, jointly / sizes[only])
    # The last step of a pass may have fewer windows than a batch.
    steps = math.ceil(passes * math.ceil(sizes[only] / config.batch_size))
    return replace(config, max_steps=steps)


def answers(model: NeuroLM, name: str, tokens: EEGTokens, way: str) -> list[list[float]]:
    """Return probabilities of a task's labels, in its order."""
    task = next(task for task in tiny_data.TASKS if task.name == name)
    labels = list(task.labels)
    if way == "unseen":
        task = replace(task, question=tiny_data.UNSEEN[name], phrasings=())
    elif way == "shuffled":
        task = replace(task, answers=dict(reversed(task.answers.items())))
    asked = NeuroLMClassifier(task, model=model, tune=None, calibration=None, dtype="float32")
    asked.fit(tokens[: len(labels)], np.array(labels))
    proba = asked.predict_proba(tokens)
    order = [asked.classes_.tolist().index(label) for label in labels]
    return proba[:, order].round(6).tolist()


def run_cell(
    model: NeuroLM, data: Data, number: int, seed: int, only: str | None, path: Path
) -> None:
    """Tune in one round, and write the answers to what it holds out."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    test = held_out(data, number)
    names = [only] if only else list(data)
    rest = {k: np.setdiff1d(np.arange(len(part[1])), test[k]) for k, part in data.items()}
    train = {
        task: (data[task.name][0][rest[task.name]], data[task.name][1][rest[task.name]])
        for task in tiny_data.TASKS
        if task.name in names
    }
    config = settings({name: len(rows) for name, rows in rest.items()}, only, seed)
    tuned = tune_instructions(train, model, config=config, **train_tiny.TUNING)
    cell = {"round": number, "seed": seed, "only": only, "tasks": {}}
    for name in names:
        tokens, labels, subjects = data[name]
        rows = test[name]
        ways = ["question", "unseen"]
        if next(task for task in tiny_data.TASKS if task.name == name).options:
            ways.append("shuffled")
        cell["tasks"][name] = {
            "rows": rows.tolist(),
            **{way: answers(tuned, name, tokens[rows], way) for way in ways},
        }
    cell["seconds"] = round(time.perf_counter() - started, 1)
    aside = path.with_suffix(".unfinished")
    aside.write_text(json.dumps(cell))
    aside.replace(path)


def summarize(data: Data, cells: list[dict]) -> list[dict]:
    """Return scores of every task, tuned jointly or alone, and way of asking."""
    rows = []
    for kind in ("joint", "single"):
        of_kind = [cell for cell in cells if (cell["only"] is None) == (kind == "joint")]
        for task in tiny_data.TASKS:
            parts = [cell for cell in of_kind if task.name in cell["tasks"]]
            labels = data[task.name][1]
            for way in ("question", "unseen", "shuffled"):
                scores = []
                for seed in sorted({cell["seed"] for cell in parts}):
                    done = [c["tasks"][task.name] for c in parts if c["seed"] == seed]
                    done = [part for part in done if way in part]
                    if not done:
                        continue
                    scores.append(_score(task, labels, done, way))
                if scores:
                    mean = {k: float(np.mean([s[k] for s in scores])) for k in scores[0]}
                    std = {f"{k}_std": _spread([s[k] for s in scores]) for k in scores[0]}
                    rows.append(
                        {"tuned": kind, "task": task.name, "asked": way, "seeds": len(scores)}
                        | mean
                        | std
                    )
    return rows


def _spread(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def _score(task, labels: np.ndarray, parts: list[dict], way: str) -> dict[str, float]:
    """Score one seed: mean over folds for Workload, all people together for the others."""
    order = list(task.labels)
    if task.name == "workload":
        each = [score_predictions(labels[p["rows"]], np.array(p[way]), order) for p in parts]
        return {name: float(np.mean([scores[name] for scores in each])) for name in _SHOWN}
    rows = np.concatenate([p["rows"] for p in parts])
    proba = np.concatenate([np.array(p[way]) for p in parts])
    scores = score_predictions(labels[rows], proba, order)
    return {name: scores[name] for name in _SHOWN}


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--rounds", type=int, default=N_ROUNDS, help="of ten: five for a quick look"
    )
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--single", action="store_true", help="one model per task instead")
    parser.add_argument("--output", type=Path, default=Path("joint"))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    mne.set_log_level("WARNING")
    model = load_model(arguments.model)
    data: Data = {
        name: (encode_patches(model, part.patches, dtype="float32"), part.labels, part.subjects)
        for name, part in tiny_data.load_labelled(arguments.data).items()
    }
    tasks = [task.name for task in tiny_data.TASKS] if arguments.single else [None]
    # Results of another model or recipe are not these.
    recipe = (train_tiny.TUNING, train_tiny.INSTRUCTION_STAGE, tiny_data.TASKS, tiny_data.UNSEEN)
    sizes = {name: len(labels) for name, (_, labels, _) in data.items()}
    steps = [settings(sizes, name, 0).max_steps for name in sizes]
    facts = f"{model.extra_repr()} {recipe} {steps}"
    mark = hashlib.sha256(facts.encode()).hexdigest()[:16]
    # Rounds that hold out the same windows of a task would tune the same model on it alone.
    rows = {number: held_out(data, number) for number in _ORDER[: arguments.rounds]}
    jobs = []
    for seed in range(arguments.seeds):
        for i, number in enumerate(rows):
            before = list(rows.values())[:i]
            for only in tasks:
                if only and any(np.array_equal(r[only], rows[number][only]) for r in before):
                    continue
                path = arguments.output / f"{mark}_{only or 'joint'}_{seed}_{number}.json"
                if not path.exists():
                    jobs.append(delayed(run_cell)(model, data, number, seed, only, path))
    results = Parallel(n_jobs=arguments.jobs, return_as="generator_unordered")(jobs)
    for _ in tqdm(results, total=len(jobs), desc="rounds"):
        pass
    cells = [json.loads(path.read_text()) for path in arguments.output.glob(f"{mark}_*.json")]
    table = summarize(data, cells)
    (arguments.output / "summary.json").write_text(json.dumps(table, indent=1) + "\n")
    lines = [
        "| tuned | task | asked | seeds | " + " | ".join(_SHOWN) + " |",
        "|" + "---|" * (4 + len(_SHOWN)),
    ]
    for row in table:
        values = " | ".join(f"{row[name]:.3f} ± {row[name + '_std']:.3f}" for name in _SHOWN)
        lines.append(
            f"| {row['tuned']} | {row['task']} | {row['asked']} | {row['seeds']} | {values} |"
        )
    seconds = [cell["seconds"] for cell in cells]
    lines.append(f"{len(cells)} models, {np.mean(seconds):.0f} s each on one core")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
