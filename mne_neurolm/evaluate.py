"""Evaluate a NeuroLM beside baselines: ``python -m mne_neurolm.evaluate MODEL --tasks ...``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mne

_TUNE = ("full", "lora", "head")
_INTERRUPTED = 130  # exit status of what SIGINT has ended, as shells count


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str | None
        Arguments. ``None`` (default) takes those of the process.

    Returns
    -------
    status : int
        0 if all cells were computed, 1 if the arguments or data do not allow it, 3 if some cells
        failed; the report then says which. 130 if it was stopped by Ctrl-C; the same command goes
        on then.
    """
    args = _parser().parse_args(argv)
    try:
        return _run(args)
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        sys.stderr.write(f"\nmne_neurolm.evaluate: {error}\n")
        return 1
    except KeyboardInterrupt as stopped:
        sys.stderr.write(f"\n{str(stopped) or 'stopped: run the same command again to go on'}\n")
        return _INTERRUPTED


def _run(args: argparse.Namespace) -> int:
    """Evaluate, write and tell."""
    begin = time.perf_counter()
    # Only now: help need not wait for torch.
    from mne_neurolm.evaluation import (
        evaluation_report,
        load_problems,
        run_evaluation,
        write_tables,
    )
    from mne_neurolm.evaluation.comparison import format_results

    folder = Path(args.out).expanduser()
    with mne.use_log_level("warning"):
        sys.stdout.write(f"Loading {', '.join(args.tasks)} ...\n")
        sys.stdout.flush()
        problems = load_problems(args.tasks, _roots(args.root), n_jobs=args.n_jobs, progress=True)
        with mne.use_log_level("info"):
            results = run_evaluation(
                problems,
                args.model,
                args.methods,
                baselines=args.baselines,
                seeds=range(args.seeds),
                classifier=_classifier(args),
                cache=folder / "cells" if args.cache is None else args.cache,
                device=args.device,
                n_jobs=args.n_jobs,
                progress=True,
            )
        sys.stdout.write("Scoring ...\n")
        sys.stdout.flush()
        tables = write_tables(results, folder)
        sys.stdout.write("\n" + format_results(results, tables["methods"]))
        report = evaluation_report(results, tables=tables, title=f"Evaluation of {results.model}")
        report.save(folder / "report.html", overwrite=True, open_browser=False, verbose="error")
    sys.stdout.write(
        f"\nReport: {folder / 'report.html'}; tables beside it: "
        f"{', '.join(f'{name}.csv' for name, table in tables.items() if len(table))}\n"
        f"Total: {time.perf_counter() - begin:.0f} s\n"
    )
    if results.failures:
        sys.stderr.write(
            f"{len(results.failures)} cells failed; the report says why. The same command computes "
            "only these again.\n"
        )
        return 3
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mne_neurolm.evaluate",
        description="Evaluate NeuroLM on tasks, over folds and seeds, beside simple methods that "
        "get the same epochs, and write tables and report.html. A run that was interrupted goes on "
        "where it was.",
    )
    parser.add_argument(
        "model", help='the NeuroLM: "tiny-joint", "tiny", a folder, or another model id'
    )
    parser.add_argument(
        "--tasks",
        nargs="+",
        required=True,
        metavar="TASK",
        help="downstream data sets of the paper (workload, tuab, ...), or YAML files; "
        "workload:group-5-fold takes other folds than the paper's split",
    )
    parser.add_argument(
        "--root",
        nargs="+",
        metavar="DIR",
        help="folder of the data sets, or NAME=DIR for each (default: none, for YAML files that "
        "say where their epochs are)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("neurolm_evaluation"),
        help="folder to write to (default: neurolm_evaluation)",
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        metavar="METHOD",
        help="only these (default: NeuroLM's and the simple ones)",
    )
    parser.add_argument(
        "--baselines",
        action="store_true",
        help="train the deep networks of the paper, EEGNet and ShallowFBCSPNet as well (default: "
        "do not)",
    )
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument(
        "--cache", type=Path, help="folder that keeps results (default: cells in --out)"
    )
    parser.add_argument("--device", default="auto", help="where networks compute (default: auto)")
    parser.add_argument(
        "--n-jobs", type=int, default=-1, help="parallel processes (default: one per core)"
    )
    group = parser.add_argument_group("tuning of NeuroLM")
    group.add_argument("--tune", choices=_TUNE, help="what is tuned (default: full)")
    group.add_argument(
        "--max-epochs", type=int, help="passes over the training epochs (default: 3)"
    )
    group.add_argument("--lr", type=float, help="peak learning rate (default: 5e-4)")
    group.add_argument(
        "--calibration",
        choices=("temperature",),
        help="fit a temperature on people held out of the training set (default: none)",
    )
    return parser


def _roots(entries: Sequence[str] | None) -> Path | dict[str, Path] | None:
    """Return one folder, or folders by name."""
    if entries is None:
        return None
    if len(entries) == 1 and "=" not in entries[0]:
        return Path(entries[0])
    wrong = [entry for entry in entries if "=" not in entry]
    if wrong:
        raise ValueError(
            f"--root takes one folder, or NAME=DIR for each data set; got {' '.join(entries)}."
        )
    return {name: Path(path) for name, _, path in (entry.partition("=") for entry in entries)}


def _classifier(args: argparse.Namespace) -> dict[str, Any]:
    """Return the parameters of the tuned NeuroLM that were given."""
    names = ("tune", "max_epochs", "lr", "calibration")
    given = {name: getattr(args, name) for name in names}
    return {name: value for name, value in given.items() if value is not None}


if __name__ == "__main__":
    sys.exit(main())
