"""Evaluations: every cell once, whatever happens in between."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mne.utils import catch_logging
from quick_methods import BROKEN, CHANCE, Loudness, loudness

from mne_neurolm import EEGTokens, NeuroLM
from mne_neurolm.evaluation import Problem, run_evaluation, runner
from mne_neurolm.evaluation.calibration import undo_temperature
from mne_neurolm.evaluation.cells import cell_key, read_cell
from mne_neurolm.evaluation.methods import (
    METHODS,
    Settings,
    choose_methods,
    deep_methods,
    linear_probe,
    mean_states,
    pooled_states,
)


def n_fits(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_cells_in_order(problem: Problem) -> None:
    results = run_evaluation([problem], methods=[loudness(), CHANCE], seeds=[3, 1], n_jobs=1)
    places = [(cell.method, cell.seed, cell.fold) for cell in results.cells]
    # What does not depend on a seed runs once.
    assert places == [
        *(("loudness", seed, fold) for seed in (3, 1) for fold in range(4)),
        *(("chance", 3, fold) for fold in range(4)),
    ]
    assert not results.failures
    assert all(cell.temperature == 2.0 for cell in results.cells[:8])


def test_columns_are_the_tasks(problem: Problem) -> None:
    """Estimators sort labels (active, rest); the task has rest first."""
    results = run_evaluation([problem], methods=[loudness()], seeds=[0], n_jobs=1)
    fold = problem.folds[0]
    X, y = problem.epochs[fold.train], problem.y[fold.train]
    expected = Loudness().fit(X, y, problem.subjects[fold.train])
    assert expected.classes_.tolist() == ["active", "rest"]
    proba = expected.predict_proba(problem.epochs[fold.test])
    assert np.allclose(results.cells[0].proba, proba[:, ::-1])


def test_resumes_where_it_was(problem: Problem, tmp_path: Path) -> None:
    log, cache = tmp_path / "log", tmp_path / "cells"
    method = loudness(log=str(log))
    first = run_evaluation([problem], methods=[method], seeds=[0], cache=cache, n_jobs=1)
    assert n_fits(log) == 4
    # One file is lost and one was cut.
    lost, cut = sorted(cache.rglob("*.json"))[:2]
    lost.unlink()
    cut.write_text(cut.read_text()[:50])
    again = run_evaluation([problem], methods=[method], seeds=[0], cache=cache, n_jobs=1)
    assert n_fits(log) == 6
    for one, two in zip(first.cells, again.cells, strict=True):
        assert np.array_equal(one.proba, two.proba)
    # Another seed and another name of the problem: only the seed is new.
    renamed = replace(problem, name="renamed")
    more = run_evaluation([renamed], methods=[method], seeds=[0, 1], cache=cache, n_jobs=1)
    assert n_fits(log) == 10
    assert {cell.problem for cell in more.cells} == {"renamed"}


def test_key_changes_with_what_results_depend_on(problem: Problem) -> None:
    fold = problem.folds[0]
    key = cell_key(problem, fold, Loudness(), 0, "")
    assert cell_key(replace(problem, name="x"), fold, Loudness(), 0, "") == key
    others = [
        cell_key(problem, problem.folds[1], Loudness(), 0, ""),
        cell_key(problem, fold, Loudness(noise=0.5), 0, ""),
        cell_key(problem, fold, Loudness(), 1, ""),
        cell_key(problem, fold, Loudness(), 0, "weights"),
        cell_key(replace(problem, subjects=problem.subjects + 1), fold, Loudness(), 0, ""),
    ]
    assert len({key, *others}) == 6


def test_keys_tell_networks_apart(problem: Problem) -> None:
    fold = problem.folds[0]
    keys = {
        cell_key(problem, fold, method.build(problem, 0, Settings()), 0, "")
        for method in deep_methods().values()
    }
    assert len(keys) == len(deep_methods()) >= 9


def test_a_model_is_known_by_its_weights(problem: Problem) -> None:
    fold, build = problem.folds[0], METHODS["neurolm"].build
    names = [build(problem, 0, Settings(model=name)) for name in ("tiny", "elsewhere")]
    one, two = (cell_key(problem, fold, estimator, 0, "same weights") for estimator in names)
    assert one == two
    changed = build(problem, 0, Settings(classifier={"max_epochs": 2}))
    assert cell_key(problem, fold, changed, 0, "same weights") != one


@pytest.mark.parametrize("name", sorted(METHODS))
def test_keys_of_all_methods_are_stable(problem: Problem, name: str) -> None:
    fold, method = problem.folds[0], METHODS[name]
    keys = {
        cell_key(problem, fold, method.build(problem, 0, Settings(device=device)), 0, "")
        for device in ("cpu", "auto")
    }
    assert len(keys) == 1
    for key in keys:
        assert "0x" not in key and len(key) == 32


def test_a_cell_that_fails_stops_nothing(problem: Problem, tmp_path: Path) -> None:
    log = tmp_path / "log"
    methods = [BROKEN, loudness(log=str(log))]
    with catch_logging() as logged:
        results = run_evaluation([problem], methods=methods, seeds=[0], n_jobs=1)
    assert "broken failed on state, fold 1, seed 0: RuntimeError: out of" in logged.getvalue()
    assert n_fits(log) == 4
    (failure,) = results.failures
    assert (failure.method, failure.fold) == ("broken", 0)
    assert "RuntimeError: out of order" in failure.traceback
    assert len([cell for cell in results.cells if cell.method == "broken"]) == 3


def test_a_method_that_cannot_be_built(problem: Problem) -> None:
    def build(problem, seed, settings):
        raise ImportError("pyriemann is not there")

    absent = replace(CHANCE, name="absent", build=build)
    results = run_evaluation([problem], methods=[absent, CHANCE], n_jobs=1)
    assert "pyriemann is not there" in results.failures[0].error
    assert len(results.failures) == len(results.cells) == 4


def test_costs_are_announced(problem: Problem, tmp_path: Path) -> None:
    options = dict(methods=[loudness(), CHANCE], cache=tmp_path, n_jobs=1)
    with catch_logging() as logged:
        run_evaluation([problem], seeds=[0], **options)
        run_evaluation([problem], seeds=[0, 1, 2], **options)
    one, three = logged.getvalue().splitlines()
    assert one == "8 cells (2 methods x 4 folds): 0 are there already, 8 are to be computed."
    # What costs little needs no advice.
    assert three == (
        "16 cells (2 methods x 4 folds, 1 of them x 3 seeds): 8 are there already, 8 are to be "
        "computed."
    )
    many = runner._announced([problem] * 10, [CHANCE], [0], 3, 37, kept=True)
    assert many.endswith("(cv: group-5-fold); what is computed once is kept.")
    unkept = runner._announced([problem] * 10, [CHANCE], [0], 0, 39, kept=False)
    assert "39 are to be computed, 1 can't be." in unkept and unkept.endswith("5-fold).")
    few = runner._announced([problem] * 10, [CHANCE], [0], 37, 3, kept=True)
    assert few.endswith("3 are to be computed."), "what is there costs nothing"
    assert many.startswith("40 cells (1 method x 40 folds): 3 are there already, 37 are to be")
    for advice in ("--seeds 1", "--methods", "cv: group-5-fold"):
        assert advice in many


def test_stopped(problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = []

    def fit(self, X, y, groups=None):
        if len(fitted) == 2:
            raise KeyboardInterrupt
        fitted.append(1)
        return original(self, X, y, groups)

    original = Loudness.fit
    monkeypatch.setattr(Loudness, "fit", fit)
    options = dict(methods=[CHANCE, loudness()], seeds=[0], n_jobs=1)
    with pytest.raises(KeyboardInterrupt, match="stopped: none of 8 cells are kept, as there is"):
        run_evaluation([problem], **options)
    fitted.clear()
    kept = rf"stopped: 6 of 8 cells are kept in {re.escape(str(tmp_path))}; run the same"
    with pytest.raises(KeyboardInterrupt, match=kept):
        run_evaluation([problem], cache=tmp_path, **options)
    assert len(list(tmp_path.rglob("*.json"))) == 6
    monkeypatch.undo()
    assert len(run_evaluation([problem], cache=tmp_path, **options).cells) == 8


def _copy(job: runner._Job) -> runner._Job:
    return pickle.loads(pickle.dumps(job))


def test_parallel_is_the_same(
    problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads stand for processes, which take seconds to start; each gets its own copy, as a
    process does, since indexing Epochs is not safe in threads."""
    compute = runner._compute
    names = ["chance", "evoked"]
    one = run_evaluation([problem], methods=names, n_jobs=1)
    monkeypatch.setattr(runner, "_BACKEND", "threading")
    # Without a number of threads, which would be this process's, and that of all later tests.
    monkeypatch.setattr(runner, "_compute", lambda job, *_: compute(_copy(job)))
    two = run_evaluation([problem], methods=names, n_jobs=2, cache=tmp_path)
    assert len(list(tmp_path.rglob("*.json"))) == 8
    for a, b in zip(one.cells, two.cells, strict=True):
        assert (a.method, a.fold) == (b.method, b.fold)
        assert np.allclose(a.proba, b.proba, atol=1e-6)


def test_a_job_reaches_another_process(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent can be pickled, however the method was defined."""
    threads: list[int] = []  # a worker gives up Ctrl-C, which this process should not
    monkeypatch.setattr(runner, "_prepare_worker", threads.append)
    method = choose_methods(["evoked"])[0]
    estimator = method.build(problem, 0, Settings())
    job = runner._Job(problem, "evoked", 0, 0, None, estimator, None)
    there = pickle.loads(pickle.dumps(job))
    assert np.allclose(runner._compute(there, 1).proba, runner._compute(job).proba, atol=1e-6)
    assert threads == [1]


def test_neurolm_reads_tokens_once(
    problem: Problem, small_model: NeuroLM, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from mne_neurolm import tokenizer

    calls = []
    encode = tokenizer.encode_patches

    def counted(*args, **kwargs):
        calls.append(1)
        return encode(*args, **kwargs)

    monkeypatch.setattr(tokenizer, "encode_patches", counted)
    names = ["neurolm", "neurolm-probe", "neurolm-pooled-probe", "neurolm-untuned"]
    few = replace(problem, folds=problem.folds[:2])
    options = dict(classifier={"max_epochs": 1}, seeds=[0], cache=tmp_path, n_jobs=1, device="cpu")
    results = run_evaluation([few], small_model, names, **options)
    assert not results.failures and len(results.cells) == 8
    assert len(calls) == 1
    for cell in results.cells:
        assert np.allclose(cell.proba.sum(axis=1), 1)
    # All cells are there: nothing is encoded again.
    again = run_evaluation([few], small_model, names, **options)
    assert len(again.cells) == 8 and len(calls) == 1
    cell = read_cell(next(tmp_path.rglob("*.json")))
    assert undo_temperature(cell.proba, cell.temperature).shape == cell.proba.shape


def test_probe_reads_means_over_time(tokens: EEGTokens) -> None:
    features = mean_states(tokens[:3])
    assert features.shape == (3, tokens.n_channels * tokens.hidden.shape[2])
    # The second channel's tokens are every n_channels-th, from the second on.
    second = tokens.hidden[0, 1 :: tokens.n_channels].mean(axis=0)
    assert np.allclose(features[0].reshape(tokens.n_channels, -1)[1], second, atol=1e-6)


def test_pooled_probe_reads_means_over_time_and_channels(tokens: EEGTokens) -> None:
    expected = mean_states(tokens[:3]).reshape(3, tokens.n_channels, -1).mean(axis=1)
    assert np.allclose(pooled_states(tokens[:3]), expected, atol=1e-6)
    names = [name for name, _ in linear_probe(20, pool_channels=True).steps]
    assert names == ["pooledstates", "standardscaler", "logisticregression"]


def test_choose_methods() -> None:
    assert [method.name for method in choose_methods()] == list(METHODS)
    assert [method.name for method in choose_methods(["csp", "chance"])] == ["csp", "chance"]


def test_wrong_arguments(problem: Problem) -> None:
    with pytest.raises(ValueError, match="one problem or more"):
        run_evaluation([])
    with pytest.raises(ValueError, match="problem or more, each once"):
        run_evaluation([problem, problem], methods=[CHANCE])
    with pytest.raises(ValueError, match="one seed or more"):
        run_evaluation([problem], methods=[CHANCE], seeds=[])
