"""Train every ablation of the paper at tiny size, and print what each is worth.

    python benchmarks/ablations.py --data ../shared/data --seeds 3 [--only NAME ...] [--quick]

The folder is that of ``tools/train_tiny.py``, which the recipe is read from. Models are pretrained
on EEG without labels: EEGMAT subjects 00 to 25, and the visual trials of SMNI. Each is scored
twice, by a linear probe of its hidden states and by tuning it on both tasks at once, on people
whose labels it has not seen: EEGMAT subjects 26 to 30, and, in two folds, half of the people of
SMNI. (Their trials without labels are part of the pretraining, as there are so few.)

What is done is kept in the output folder, by its settings, and not done again: a run that is
killed goes on, and ablations share the stages that they have in common.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import ablation_cells as cells
import mne
import pandas as pd
import torch
from ablation_data import Recordings, load_recordings
from tqdm.auto import tqdm

from mne_neurolm import NeuroLM
from mne_neurolm.training.ablations import ABLATIONS, get_ablation
from mne_neurolm.utils.replacing import replace_text

BASELINE = "none"
# Of the whole table, 3 seeds on 2 cores of an AMD EPYC (Zen 5): pretraining with all steps of the
# recipe, and scoring with half of those of tuning. With a quarter of them, and windows mixed, the
# recipe itself had a balanced accuracy of 0.57 on Workload, and not of 0.79.
PRETRAINING_MINUTES, TUNING_MINUTES = 68.0, 24.0
TUNING_SHARE, SMALLEST_SHARE = 0.5, 0.02
QUICK_SUBJECTS = 4
COLUMNS = {
    f"{kind}_{task}_{metric}": f"{kind} {shown_task} {shown_metric}"
    for task, shown_task in (("workload", "Workload"), ("stimulus", "SMNI"))
    for kind in ("probe", "tuned")
    for metric, shown_metric in (("balanced_accuracy", "BA"), ("auroc", "AUROC"))
}


# --- what there is to do -------------------------------------------------------------------------


class Plan:
    """What a table is made of.

    Parameters
    ----------
    folder : Path
        Where results are kept.
    share : float
        Share of the recipe's steps in pretraining.
    tuning_share : float
        Share of the steps of tuning.
    n_subjects : int | None
        Training subjects of EEGMAT. None: all.
    """

    def __init__(
        self, folder: Path, share: float, tuning_share: float, n_subjects: int | None = None
    ) -> None:
        self.folder = folder
        self.share = share
        self.tuning_share = tuning_share
        self.n_subjects = n_subjects

    def chain(self, ablation: str, seed: int) -> list[tuple[str, dict[str, Any]]]:
        """Return the stages before instruction tuning, with their settings."""
        name = None if ablation == BASELINE else ablation
        return [(stage, cells.stage_settings(name, stage, seed)) for stage in cells.stages_of(name)]

    def model(self, seed: int, chain: Sequence[tuple[str, dict[str, Any]]]) -> Path:
        """Return where the model after some stages is kept; its name is made of their settings."""
        stage = chain[-1][0] if chain else "text"
        return self.folder / "models" / f"{stage}-{seed}-{self._digest([seed, *chain])}"

    def cell(self, ablation: str, seed: int) -> Path:
        """Return where the scores of an ablation are kept."""
        name = None if ablation == BASELINE else ablation
        tuning = cells.stage_settings(name, "instruct", seed)
        digest = self._digest([seed, *self.chain(ablation, seed), tuning, self.tuning_share])
        return self.folder / "cells" / f"{ablation}-{seed}-{digest}.json"

    def _digest(self, settings: Any) -> str:
        text = json.dumps([settings, self.share, self.n_subjects], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def recordings(self) -> Path:
        """Return where the prepared recordings are kept."""
        return self.folder / f"recordings-{self.n_subjects or 'all'}.npz"

    def rounds(self, todo: Sequence[tuple[str, int]]) -> list[list[tuple[Any, ...]]]:
        """Return calls that may run at the same time, in rounds that need the ones before.

        Parameters
        ----------
        todo : sequence of (ablation, seed)
            The table's cells.

        Returns
        -------
        rounds : list of list of tuple
            Functions with their arguments; what is done already is left out.
        """
        missing = [(a, s) for a, s in todo if not self.cell(a, s).exists()]
        rounds: list[list[tuple[Any, ...]]] = []
        for depth in range(3):
            models: dict[Path, tuple[Any, ...]] = {}
            for ablation, seed in missing:
                chain = self.chain(ablation, seed)[:depth]
                path = self.model(seed, chain)
                if len(chain) == depth and not path.exists():
                    models[path] = (make_model, self, seed, chain)
            rounds.append(list(models.values()))
        rounds.append([(make_cell, self, ablation, seed) for ablation, seed in missing])
        return [calls for calls in rounds if calls]


# --- in other processes --------------------------------------------------------------------------


def set_up(n_threads: int) -> None:
    """Let processes share the machine."""
    torch.set_num_threads(n_threads)
    mne.set_log_level("ERROR")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


@lru_cache(maxsize=1)
def _recordings(path: Path) -> Recordings:
    return Recordings.read(path)


def make_model(plan: Plan, seed: int, chain: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Train the last stage of a chain, after the others, and keep the model."""
    began = time.monotonic()
    recordings = _recordings(plan.recordings())
    if not chain:
        model = cells.new_language_model(recordings, seed, plan.share)
    else:
        stage, settings = chain[-1]
        before = NeuroLM.from_pretrained(plan.model(seed, chain[:-1]))
        model = cells.train_stage(before, stage, settings, recordings, plan.share)
    path = plan.model(seed, chain)
    aside = path.with_name(path.name + ".unfinished")
    shutil.rmtree(aside, ignore_errors=True)
    model.save_pretrained(aside)
    record = {"seconds": round(time.monotonic() - began, 1), "chain": list(chain)}
    (aside / "run.json").write_text(json.dumps(record, indent=1))
    aside.rename(path)


def make_cell(plan: Plan, ablation: str, seed: int) -> None:
    """Score an ablation, and keep its scores."""
    began = time.monotonic()
    recordings = _recordings(plan.recordings())
    chain = plan.chain(ablation, seed)
    model = NeuroLM.from_pretrained(plan.model(seed, chain))
    workload, stimulus = cells.encode(model, recordings)
    # Many ablations have the same encoder.
    probe = plan.folder / "probes" / f"{model.encoder_id()}-{plan.n_subjects}.json"
    if not probe.exists():
        scores = cells.score_probe(workload, stimulus, recordings)
        _write(probe, scores)
    name = None if ablation == BASELINE else ablation
    tuning = cells.stage_settings(name, "instruct", seed)
    tuned = cells.score_tuned(model, workload, stimulus, tuning, recordings, plan.tuning_share)
    models = [plan.model(seed, chain[:n]) for n in range(len(chain) + 1)]
    trained = [json.loads((path / "run.json").read_text())["seconds"] for path in models]
    record = {
        "ablation": ablation,
        "seed": seed,
        "share": plan.share,
        "tuning_share": plan.tuning_share,
        "codebook_size": model.config.codebook_size,
        **json.loads(probe.read_text()),
        **tuned,
        "seconds": round(sum(trained) + time.monotonic() - began, 1),
        "settings": [*chain, ("instruct", tuning)],
    }
    _write(plan.cell(ablation, seed), record)


def _write(path: Path, record: dict[str, Any]) -> None:
    # Two processes may write the same scores: each does so beside the other.
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    aside.write_text(json.dumps(record, indent=1) + "\n")
    aside.replace(path)


# --- the table -----------------------------------------------------------------------------------


def make_table(records: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return mean and standard deviation over seeds of every score.

    Parameters
    ----------
    records : iterable of dict
        Contents of the cells' files.

    Returns
    -------
    table : DataFrame
        One row per ablation, in the order of ``ABLATIONS``; the columns of a score are its mean
        and, with ``_std``, its standard deviation (n - 1), NaN for a single seed.
    """
    frame = pd.DataFrame(list(records))
    numbers = [*COLUMNS, "codes", "seconds"]
    groups = frame.groupby("ablation")[numbers]
    table = groups.mean().join(groups.std().add_suffix("_std"))
    table.insert(0, "seeds", groups.size())
    order = [name for name in (BASELINE, *ABLATIONS) if name in table.index]
    return table.loc[order]


def to_markdown(table: pd.DataFrame) -> str:
    """Return the table as Markdown, ``mean ± std``."""

    def shown(row: pd.Series, name: str) -> str:
        digits = 3 if name in COLUMNS else 0
        mean, std = row[name], row[f"{name}_std"]
        return f"{mean:.{digits}f}" + ("" if pd.isna(std) else f" ± {std:.{digits}f}")

    head = ["ablation", "source", *COLUMNS.values(), "codes in use"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, row in table.iterrows():
        source = "the recipe" if name == BASELINE else ABLATIONS[str(name)].source
        values = [shown(row, column) for column in (*COLUMNS, "codes")]
        lines.append("| " + " | ".join([str(name), source, *values]) + " |")
    return "\n".join(lines) + "\n"


def run(plan: Plan, data: Path, todo: Sequence[tuple[str, int]], n_jobs: int) -> pd.DataFrame:
    """Do what is not done yet, and return the table of all that was asked for."""
    for name in ("models", "cells", "probes"):
        (plan.folder / name).mkdir(parents=True, exist_ok=True)
    if not plan.recordings().exists():
        with mne.use_log_level("warning"):
            found = load_recordings(data, n_subjects=plan.n_subjects)
        found.save(plan.recordings())
    rounds = plan.rounds(todo)
    n_threads = max(1, (os.cpu_count() or 1) // n_jobs)
    # Threads of torch do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(n_jobs, context, initializer=set_up, initargs=(n_threads,)) as pool,
        tqdm(total=sum(map(len, rounds)), desc="stages and cells") as bar,
    ):
        for calls in rounds:
            for future in [pool.submit(*call) for call in calls]:
                future.result()
                bar.update()
    records = [json.loads(plan.cell(ablation, seed).read_text()) for ablation, seed in todo]
    table = make_table(records)
    replace_text(plan.folder / "table.md", to_markdown(table))
    replace_text(plan.folder / "table.csv", table.to_csv())
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with eegmat, smni, text")
    parser.add_argument("--output", type=Path, default=Path("ablations"), help="default ablations")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default 3)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some of the ablations")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument(
        "--minutes",
        type=float,
        default=160.0,
        help="for the whole table on 2 cores: pretraining is shortened to fit (default 160)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few minutes: does everything work? (few steps)"
    )
    arguments = parser.parse_args(argv)
    if arguments.seeds < 1 or arguments.jobs < 1 or arguments.minutes <= 0:
        parser.error("--seeds and --jobs must be 1 or more, and --minutes above 0.")
    names = [BASELINE, *(arguments.only or ABLATIONS)]
    for name in names[1:]:
        try:
            get_ablation(name)
        except ValueError as error:
            parser.error(str(error))
    share = (arguments.minutes - TUNING_MINUTES) / PRETRAINING_MINUTES
    plan = Plan(arguments.output, min(1.0, max(SMALLEST_SHARE, share)), TUNING_SHARE)
    if arguments.quick:
        plan = Plan(arguments.output / "quick", SMALLEST_SHARE, SMALLEST_SHARE, QUICK_SUBJECTS)
    todo = [(name, seed) for name in dict.fromkeys(names) for seed in range(arguments.seeds)]
    table = run(plan, arguments.data, todo, arguments.jobs)
    sys.stdout.write(
        to_markdown(table) + f"\nIn {plan.folder}: table.md, table.csv, cells/*.json\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
