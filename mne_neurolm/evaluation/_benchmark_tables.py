"""The numbers of a benchmark: rows of MOABB, put together, averaged and compared."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from mne_neurolm.utils.optional import import_optional

if TYPE_CHECKING:
    import pandas as pd

#: What rows are compared within.
PROBLEM = ["paradigm", "evaluation", "dataset"]
#: What stands for the dataset where several are combined.
ALL_DATASETS = "all datasets"
PURPOSE = "Benchmarking with MOABB"

_NEEDED = ("dataset", "pipeline", "subject", "session", "score")
_TRIAL = [*PROBLEM, "pipeline", "subject", "session"]
_COMPARISON = [*PROBLEM, "pipeline", "other", "difference", "effect", "p", "n_subjects"]


def join_results(results: pd.DataFrame | Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return all rows of several results once, with all columns that are needed.

    Parameters
    ----------
    results : pandas.DataFrame | sequence of pandas.DataFrame
        Results of MOABB.

    Returns
    -------
    rows : pandas.DataFrame
        With the columns ``paradigm`` and ``evaluation``, which ``moabb.benchmark`` adds.

    Raises
    ------
    ValueError
        If a column is missing, there is no row, or there are two scores of one pipeline, subject
        and session.
    """
    import pandas as pd

    frames = [results] if isinstance(results, pd.DataFrame) else list(results)
    for frame in frames:
        missing = [name for name in _NEEDED if name not in frame]
        if missing and len(frame):
            raise ValueError(
                f"Results of MOABB have the columns {', '.join(_NEEDED)}; {', '.join(missing)} "
                f"are missing among {', '.join(map(str, frame.columns))}."
            )
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        raise ValueError("There are no results: the data frames are empty.")
    rows = pd.concat(frames, ignore_index=True)
    for name in PROBLEM:
        rows[name] = rows[name].fillna("").astype(str) if name in rows else ""
    for name in ("pipeline", "subject", "session"):
        rows[name] = rows[name].astype(str)
    rows["score"] = pd.to_numeric(rows["score"], errors="coerce")
    # MOABB returns rows of other datasets again where their processing is the same.
    rows = rows.drop_duplicates([*_TRIAL, "score"])
    # A fold that failed and was run again has failed no more.
    scored = rows[rows["score"].notna()].set_index(_TRIAL).index
    again = rows["score"].isna() & pd.Index(rows.set_index(_TRIAL).index).isin(scored)
    rows = rows[~again]
    twice = rows[rows.duplicated(_TRIAL)]
    if len(twice):
        names = ", ".join(sorted(set(twice["pipeline"])))
        raise ValueError(
            f"There are several scores of one subject and session for {names}: results of "
            "different runs, such as of other weights or splits. Rename the pipeline in one of "
            "them, or pass the results of one run."
        )
    return rows


def count_classes(rows: pd.DataFrame) -> int | None:
    """Return the number of classes of a dataset, if its rows tell.

    Parameters
    ----------
    rows : pandas.DataFrame
        Rows of a dataset.

    Returns
    -------
    n_classes : int | None
        None for results that say nothing about it.
    """
    if "n_classes" not in rows or rows["n_classes"].isna().all():
        return None
    return int(rows["n_classes"].max())


def chance_level(rows: pd.DataFrame) -> float:
    """Return MOABB's theoretical chance level of a dataset.

    Parameters
    ----------
    rows : pandas.DataFrame
        Rows of a dataset.

    Returns
    -------
    chance : float
        One over the number of classes; NaN if that is not known.
    """
    n_classes = count_classes(rows)
    if n_classes is None or "samples_test" not in rows or rows["samples_test"].isna().all():
        return np.nan
    module = import_optional("moabb.analysis.chance_level", extra="moabb", purpose=PURPOSE)
    told = rows.dropna(subset="samples_test").assign(n_classes=n_classes)
    (levels,) = module.chance_by_chance(told).values()
    return float(levels["theoretical"])


def compare_pipelines(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the paired differences between all pipelines, by MOABB's statistics.

    Parameters
    ----------
    rows : pandas.DataFrame
        As of :func:`join_results`.

    Returns
    -------
    table : pandas.DataFrame
        See :meth:`mne_neurolm.evaluation.BenchmarkResults.compare`.
    """
    import pandas as pd

    found: list[list[Any]] = []
    for names, group in rows.groupby(PROBLEM[:2]):
        for one, other in combinations(group["pipeline"].unique(), 2):
            found += _compare_two(list(names), group, one, other)
    return pd.DataFrame(found, columns=_COMPARISON).sort_values(
        [*PROBLEM, "difference"],
        ascending=[True, True, True, False],
        kind="stable",
        ignore_index=True,
    )


def _compare_two(names: list[str], group: pd.DataFrame, one: str, other: str) -> list[list[Any]]:
    """Return the rows that compare two pipelines, one for each dataset and one for all."""
    statistics = import_optional("moabb.analysis.meta_analysis", extra="moabb", purpose=PURPOSE)
    both = group[group["pipeline"].isin([one, other])]
    subjects = statistics.collapse_session_scores(both[["dataset", "pipeline", "subject", "score"]])
    scores = subjects.pivot(index=["dataset", "subject"], columns="pipeline", values="score")
    paired = scores.dropna()  # not those that only one pipeline has been given
    if paired.empty:
        return []
    facts = statistics.compute_dataset_statistics(paired.stack().rename("score").reset_index())
    differences = (paired[one] - paired[other]).groupby(level="dataset").mean()
    found = [
        _row([*names, dataset], one, other, difference, facts[facts["dataset"] == dataset])
        for dataset, difference in differences.items()
    ]
    several = facts[facts["nsub"] > 1]  # one subject has neither effect nor p
    datasets = several["dataset"].unique()
    if len(datasets) > 1:
        p, effect = statistics.find_significant_differences(several)
        together = several.groupby(["pipe1", "pipe2"], as_index=False)["nsub"].sum()
        pairs = list(zip(together["pipe1"], together["pipe2"], strict=True))
        together["p"] = [p.loc[pair] for pair in pairs]
        together["smd"] = [effect.loc[pair] for pair in pairs]
        mean = differences[datasets].mean()
        found.append(_row([*names, ALL_DATASETS], one, other, mean, together))
    return found


def _row(
    problem: list[str], one: str, other: str, difference: float, facts: pd.DataFrame
) -> list[Any]:
    """Return a row of the comparison, the better pipeline first."""
    if difference < 0:
        one, other, difference = other, one, -difference
    fact = facts[(facts["pipe1"] == one) & (facts["pipe2"] == other)].iloc[0]
    n_subjects = int(fact["nsub"])
    # A single difference has no spread, and its sign is all that a permutation could change.
    effect, p = (float(fact["smd"]), float(fact["p"])) if n_subjects > 1 else (np.nan, np.nan)
    return [*problem, one, other, difference, effect, p, n_subjects]
