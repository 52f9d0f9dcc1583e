"""Run methods on problems: in parallel, resumable, and without computing anything twice."""

from __future__ import annotations

import signal
import threading
import time
import traceback
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import torch
from mne.utils import logger, use_log_level
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from tqdm.auto import tqdm

from mne_neurolm.evaluation.cells import (
    Cell,
    Failure,
    cell_key,
    fits_with_groups,
    read_cell,
    write_cell,
)
from mne_neurolm.evaluation.methods import Method, Settings, choose_methods
from mne_neurolm.evaluation.problem import Fold, Problem
from mne_neurolm.models.neurolm import NeuroLM

_MANY_CELLS = 30  # more than these take long enough to say how to have fewer
_MOST_WARNINGS = 5  # kept of each cell
_BACKEND = "loky"  # of joblib: processes, since most methods hold Python's lock


@dataclass(frozen=True, eq=False)
class Results:
    """What the methods predicted.

    Attributes
    ----------
    problems : dict of Problem
        By name.
    methods : dict of Method
        By name.
    cells : list of Cell
        In the order of problems, methods, seeds and folds.
    failures : list of Failure
        Cells that could not be computed.
    model : str
        What to call the NeuroLM that was evaluated. Default: none.

    See Also
    --------
    mne_neurolm.evaluation.summarize : Scores by method.
    mne_neurolm.evaluation.subject_scores : Scores by subject.

    Examples
    --------
    >>> import mne
    >>> from mne_neurolm import Task
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation import Problem, make_folds, run_evaluation
    >>> epochs = simulate_epochs(n_subjects=3, n_epochs_per_subject=4, random_state=0)
    >>> y, subjects = epochs.metadata["state"], epochs.metadata["subject"]
    >>> task = Task("state", "Is this active?", {"rest": "No", "active": "Yes"})
    >>> folds = make_folds("leave-one-subject-out", y, subjects)
    >>> problem = Problem("state", task, epochs, y, subjects, folds)
    >>> with mne.use_log_level("warning"):
    ...     results = run_evaluation([problem], methods=["chance"], n_jobs=1)
    >>> [problem.folds[cell.fold].name for cell in results.cells]
    ['subject 0', 'subject 1', 'subject 2']
    >>> results.cells[0].proba.shape  # test epochs of the fold, answers
    (4, 2)
    """

    problems: dict[str, Problem]
    methods: dict[str, Method]
    cells: list[Cell]
    failures: list[Failure] = field(default_factory=list)
    model: str = ""


class _Work(NamedTuple):
    """A cell to be computed."""

    problem: Problem
    method: Method
    fold: int
    seed: int
    path: Path | None


class _Job(NamedTuple):
    """The same as another process gets it: with an estimator, and without what builds one."""

    problem: Problem
    method: str
    fold: int
    seed: int
    path: Path | None
    estimator: BaseEstimator
    tokens: Any  # EEGTokens, or None for a method that reads epochs


def run_evaluation(
    problems: Sequence[Problem],
    model: str | Path | NeuroLM = "tiny",
    methods: Sequence[str | Method] | None = None,
    *,
    baselines: bool = False,
    seeds: Sequence[int] = (0, 1, 2),
    classifier: Mapping[str, Any] | None = None,
    cache: str | Path | None = None,
    device: str = "auto",
    n_jobs: int = -1,
    progress: bool = False,
) -> Results:
    """Let methods predict the test sets of problems.

    All methods get the same epochs of the same folds. A method that fails is reported, and the
    others go on. NeuroLM's tokens are computed once per problem.

    Parameters
    ----------
    problems : sequence of Problem
        As of :func:`load_problems`, or your own.
    model : str | pathlib.Path | NeuroLM
        The NeuroLM to evaluate. Default ``"tiny"``.
    methods : sequence of str | sequence of Method | None
        Names in ``mne_neurolm.evaluation.methods.METHODS`` or of deep networks, or methods of
        your own. ``None`` (default): all in ``METHODS``.
    baselines : bool
        Whether to train the deep networks as well. Default False.
    seeds : sequence of int
        Seeds of methods that depend on one; the others run once. Default 0, 1, 2.
    classifier : dict | None
        Parameters of :class:`mne_neurolm.NeuroLMClassifier` for the tuned NeuroLM. ``None``
        (default): its own.
    cache : str | pathlib.Path | None
        Folder that keeps every cell. A run that was interrupted, or that adds methods, computes
        what is missing; a cell's file is found by a fingerprint of the signals, labels, fold,
        method, parameters, weights and seed. ``None`` (default): nothing is kept.
    device : str
        Where networks compute. Default ``"auto"``. On a GPU they run one after the other.
    n_jobs : int
        Cells to compute in parallel processes, which share the cores. Default -1: one per core.
    progress : bool
        Whether to show a progress bar, with the time left, on standard error. Default False.

    Returns
    -------
    results : Results
        Predictions; :func:`summarize` scores them.

    Raises
    ------
    ValueError
        If there is no problem, method or seed, or two have the same name.
    KeyboardInterrupt
        If it is interrupted; the message says how many cells are kept.

    Examples
    --------
    >>> import mne
    >>> from mne_neurolm import Task
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation import Problem, make_folds, run_evaluation
    >>> epochs = simulate_epochs(n_subjects=3, n_epochs_per_subject=4, random_state=0)
    >>> y, subjects = epochs.metadata["state"], epochs.metadata["subject"]
    >>> task = Task("state", "Is this active?", {"rest": "No", "active": "Yes"})
    >>> folds = make_folds("leave-one-subject-out", y, subjects)
    >>> problem = Problem("state", task, epochs, y, subjects, folds)
    >>> with mne.use_log_level("warning"):
    ...     results = run_evaluation([problem], methods=["neurolm-probe", "chance"], n_jobs=1)
    >>> [(cell.method, cell.fold) for cell in results.cells[2:4]], len(results.failures)
    ([('neurolm-probe', 2), ('chance', 0)], 0)
    """
    seeds = [int(seed) for seed in seeds]
    settings = Settings(model=model, device=device, classifier=dict(classifier or {}))
    chosen = _choose(methods, baselines)
    for what, names in (
        ("problem", [problem.name for problem in problems]),
        ("method", [method.name for method in chosen]),
        ("seed", list(seeds)),
    ):
        if not names or len(set(names)) < len(names):
            raise ValueError(f"There must be one {what} or more, each once; got {names}.")
    network = _Network(settings)
    folder = None if cache is None else Path(cache).expanduser()
    found: dict[tuple[str, str, int, int], Cell | Failure] = {}
    work: list[_Work] = []
    for problem in problems:
        for method in chosen:
            for seed in seeds if method.seeded else seeds[:1]:
                _plan(problem, method, seed, settings, network, folder, found, work)
    n_cells, n_there = len(found) + len(work), sum(isinstance(c, Cell) for c in found.values())
    kept = folder is not None
    logger.info(_announced(problems, chosen, seeds, n_there, len(work), kept=kept))
    try:
        with (
            warnings.catch_warnings(),
            tqdm(total=len(work), desc="cells", disable=not progress, smoothing=0.1) as bar,
        ):
            # Workers of loky end by themselves between two cells when their memory has grown by
            # 300 MB, as it does by a network and its tokens, and others take their place. No cell
            # is lost: a worker that dies at work is an error of its own.
            warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
            # Of the cells that Ctrl-C leaves behind, which the error tells about.
            warnings.filterwarnings("ignore", message=r"\d+ tasks (have been|which were) ")
            for problem in problems:
                own = [item for item in work if item.problem is problem]
                with closing(_compute_all(own, problem, settings, network, n_jobs)) as cells:
                    for cell in cells:
                        found[cell.problem, cell.method, cell.seed, cell.fold] = cell
                        if isinstance(cell, Failure):
                            bar.clear()
                            logger.warning(_failed(cell))
                        bar.update()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_stopped(work, n_there, n_cells, folder)) from None
    order = {(p.name, m.name): (i, j) for i, p in enumerate(problems) for j, m in enumerate(chosen)}
    keys = sorted(found, key=lambda key: (*order[key[:2]], seeds.index(key[2]), key[3]))
    outcomes = [found[key] for key in keys]
    return Results(
        {problem.name: problem for problem in problems},
        {method.name: method for method in chosen},
        [cell for cell in outcomes if isinstance(cell, Cell)],
        [cell for cell in outcomes if isinstance(cell, Failure)],
        type(model).__name__ if isinstance(model, NeuroLM) else str(model),
    )


def _announced(
    problems: Sequence[Problem],
    methods: Sequence[Method],
    seeds: Sequence[int],
    n_there: int,
    n_todo: int,
    *,
    kept: bool,
) -> str:
    """Return how much there is to compute, and how to have less of it."""
    n_seeded = sum(method.seeded for method in methods)
    n_folds = sum(len(problem.folds) for problem in problems)
    n_cells = n_folds * (len(methods) + n_seeded * (len(seeds) - 1))
    text = f"{n_cells} cells ({len(methods)} method{'s' * (len(methods) > 1)} x "
    text += f"{n_folds} fold{'s' * (n_folds > 1)}"
    if n_seeded and len(seeds) > 1:
        text += f", {n_seeded} of them x {len(seeds)} seeds"
    text += f"): {n_there} are there already, {n_todo} are to be computed"
    n_failed = n_cells - n_there - n_todo  # of methods that can't be built
    text += f", {n_failed} can't be." if n_failed else "."
    if n_todo > _MANY_CELLS:
        text += (
            " For a first look take one seed (--seeds 1), fewer methods (--methods neurolm "
            "band-power) or fewer folds (cv: group-5-fold)"
        )
        text += "; what is computed once is kept." if kept else "."
    return text


def _stopped(work: Sequence[_Work], n_there: int, n_cells: int, folder: Path | None) -> str:
    """Return what is left of an evaluation that somebody stopped."""
    if folder is None:
        return f"stopped: none of {n_cells} cells are kept, as there is no cache"
    # By their files: those in other processes may have become complete meanwhile.
    n_kept = n_there + sum(item.path is not None and item.path.exists() for item in work)
    return (
        f"stopped: {n_kept} of {n_cells} cells are kept in {folder}; run the same command again to "
        "go on"
    )


class _Network:
    """The NeuroLM, loaded when it is needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: NeuroLM | None = None
        self._id = ""

    def _load(self) -> NeuroLM:
        from mne_neurolm.models.hub import load_model

        if self._loaded is None:
            self._loaded = load_model(self._settings.model)
        return self._loaded

    @property
    def id(self) -> str:
        """Fingerprint of all weights."""
        from mne_neurolm.utils.fingerprint import fingerprint

        if not self._id:
            model = self._load()
            weights = fingerprint(model.state_dict().items())
            self._id = f"{weights} {sorted(model.config.temperatures.items())}"
        return self._id

    def tokenize(self, problem: Problem) -> Any:
        """Return the tokens of a problem's epochs."""
        from mne_neurolm.tokenizer import NeuroLMTokenizer

        tokenizer = NeuroLMTokenizer(
            self._load(), device=self._settings.device, on_missing="warn", verbose="warning"
        )
        return tokenizer.fit_transform(problem.epochs)


def _choose(methods: Sequence[str | Method] | None, baselines: bool) -> list[Method]:
    """Return the methods to run."""
    if methods is None:
        return choose_methods(baselines=baselines)
    given = [method for method in methods if isinstance(method, Method)]
    names = [method for method in methods if isinstance(method, str)]
    return [*choose_methods(names, baselines=baselines), *given]


def _plan(
    problem: Problem,
    method: Method,
    seed: int,
    settings: Settings,
    network: _Network,
    folder: Path | None,
    found: dict[tuple[str, str, int, int], Cell | Failure],
    work: list[_Work],
) -> None:
    """Add the cells of a method and seed to those that are found, or to the work."""
    for k, fold in enumerate(problem.folds):
        place = (problem.name, method.name, seed, k)
        try:
            estimator = method.build(problem, seed, settings)
            path = None
            if folder is not None:
                model_id = network.id if method.kind == "neurolm" else ""
                key = cell_key(problem, fold, estimator, seed, model_id)
                path = folder / key[:2] / f"{key}.json"
        except Exception as error:  # a package that is not installed, a model that is not there
            found[place] = _failure(problem, method.name, k, seed, error)
            logger.warning(_failed(found[place]))
            continue
        cell = None if path is None else read_cell(path)
        if cell is not None and cell.proba.shape == (len(fold.test), len(problem.task.labels)):
            # Names may have changed since; what a cell holds has not.
            found[place] = replace(
                cell, problem=problem.name, method=method.name, fold=k, seed=seed
            )
        else:
            work.append(_Work(problem, method, k, seed, path))


def _compute_all(
    work: Sequence[_Work], problem: Problem, settings: Settings, network: _Network, n_jobs: int
) -> Generator[Cell | Failure, None, None]:
    """Compute cells of one problem as they come."""
    from mne_neurolm.utils.device import resolve_device

    tokens = None
    if any(item.method.tokens for item in work):
        try:
            tokens = network.tokenize(problem)
        except Exception as error:
            for item in work:
                if item.method.tokens:
                    yield _failure(problem, item.method.name, item.fold, item.seed, error)
            work = [item for item in work if not item.method.tokens]
    alone = resolve_device(settings.device).type != "cpu"
    for on_gpu, jobs in ((False, n_jobs), (True, 1)):
        items = [item for item in work if (alone and item.method.kind != "simple") is on_gpu]
        n_workers = min(joblib.effective_n_jobs(jobs), len(items))
        # Estimators are made when their turn comes: fitted ones are large.
        todo = (
            _Job(
                *(problem, item.method.name, item.fold, item.seed, item.path),
                estimator=item.method.build(problem, item.seed, settings),
                tokens=tokens if item.method.tokens else None,
            )
            for item in items
        )
        if n_workers <= 1:
            yield from map(_compute, todo)
            continue
        # joblib limits the threads of each process so that all of them share the cores.
        threads = max(1, joblib.cpu_count() // n_workers)
        parallel = joblib.Parallel(n_workers, backend=_BACKEND, return_as="generator_unordered")
        yield from parallel(joblib.delayed(_compute)(job, threads) for job in todo)


def _compute(job: _Job, threads: int | None = None) -> Cell | Failure:
    """Fit and predict one cell, and write its file."""
    problem, fold, estimator = job.problem, job.problem.folds[job.fold], job.estimator
    begin = time.perf_counter()
    try:
        if threads is not None:
            _prepare_worker(threads)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with use_log_level("warning"):
                proba = _predict(problem, fold, estimator, job.tokens)
        texts = dict.fromkeys(" ".join(str(w.message).split()) for w in caught)
        cell = Cell(
            *(problem.name, job.method, job.fold, job.seed),
            proba=proba,
            temperature=float(getattr(estimator, "temperature_", 1.0)),
            seconds=time.perf_counter() - begin,
            warnings=tuple(texts)[:_MOST_WARNINGS],
        )
        if job.path is not None:
            write_cell(job.path, cell)
        return cell
    except Exception as error:  # of a method that may be anyone's: the others go on
        return _failure(problem, job.method, job.fold, job.seed, error)


def _prepare_worker(threads: int) -> None:
    """Set up a process that does nothing else than cells."""
    torch.set_num_threads(threads)
    # Ctrl-C reaches all processes. The one that started this one ends it, so that there is no
    # traceback between the lines, and no warning of the semaphore that bars would share by default.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tqdm.set_lock(threading.RLock())


def _predict(problem: Problem, fold: Fold, estimator: Any, tokens: Any) -> NDArray[np.float64]:
    """Return probabilities of a fold's test set, columns as the task's labels."""
    X = problem.epochs if tokens is None else tokens
    groups = {"groups": problem.subjects[fold.train]} if fits_with_groups(estimator) else {}
    estimator.fit(X[fold.train], problem.y[fold.train], **groups)
    proba = np.zeros((len(fold.test), len(problem.task.labels)))
    columns = problem.task.label_indices(np.asarray(estimator.classes_))
    proba[:, columns] = estimator.predict_proba(X[fold.test])
    if not np.isfinite(proba).all():
        raise ValueError(
            f"predict_proba gave {(~np.isfinite(proba)).sum()} values that are NaN or infinite."
        )
    return proba


def _failure(problem: Problem, method: str, fold: int, seed: int, error: Exception) -> Failure:
    text = f"{type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))
    return Failure(problem.name, method, fold, seed, text, trace)


def _failed(cell: Cell | Failure) -> str:
    assert isinstance(cell, Failure)
    return (
        f"{cell.method} failed on {cell.problem}, fold {cell.fold + 1}, seed {cell.seed}: "
        f"{cell.error}"
    )
