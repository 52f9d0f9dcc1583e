"""Results of MOABB's evaluations side by side: scores, paired differences, and an HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mne
import numpy as np
from sklearn.base import BaseEstimator

from mne_neurolm.evaluation._benchmark_tables import (
    ALL_DATASETS,
    PROBLEM,
    PURPOSE,
    chance_level,
    compare_pipelines,
    count_classes,
    join_results,
)
from mne_neurolm.evaluation.comparison import html_table
from mne_neurolm.evaluation.moabb_files import moabb_pipelines
from mne_neurolm.evaluation.report_figures import add_figure
from mne_neurolm.models.revision import NamesRevision, model_revision
from mne_neurolm.utils.optional import import_optional

if TYPE_CHECKING:
    import pandas as pd

_METRICS = {"roc_auc": "ROC AUC"}

#: What a row of the tables says.
EXPLANATION = (
    "Mean ± standard deviation over people and sessions, as MOABB averages folds. Chance is 1 over "
    "the number of classes, which for accuracy holds if they are equally frequent. A difference is "
    "the mean over people, sessions averaged. p is one-sided: how often the better pipeline would "
    "come out this much better if there were no difference (MOABB's statistics: permutation below "
    "20 people, else Wilcoxon; Stouffer's method over datasets). It is not corrected for the "
    "number of comparisons."
)


class BenchmarkResults:
    """Results of MOABB, to be compared.

    Parameters
    ----------
    results : pandas.DataFrame | sequence of pandas.DataFrame
        What ``moabb.benchmark`` or the ``process`` of MOABB's evaluations returned, one or several
        of them. Rows that are there twice count once.
    metric : str | None
        What the scores are. None (default): ROC AUC of two classes and accuracy of more, which is
        what MOABB's paradigms take unless they are given a ``scorer``.
    pipelines : str | sequence of dict | mapping of str to estimator | None
        What was run, to name each pipeline's model and the revision of its weights: a folder of
        YAML files, a list in MOABB's format, or pipelines by name. None (default): those of
        :func:`moabb_pipelines`.

    Attributes
    ----------
    results : pandas.DataFrame
        All rows, with the columns ``paradigm`` and ``evaluation``, which are empty for results of
        ``process``. Rows without a score, of folds that failed, are not among them.
    n_failed : int
        How many rows had no score.
    models : dict of str to str
        Model and revision by name of the pipeline, of those that have a NeuroLM.

    Raises
    ------
    ValueError
        If a column is missing, there is no score, or there are two scores of one pipeline, subject
        and session.
    ImportError
        If MOABB is not installed.

    See Also
    --------
    mne_neurolm.evaluation.run_evaluation : Evaluations of our own, with calibration and intervals.

    Notes
    -----
    ``models`` tells the weights that the names stand for now. MOABB keeps results by what a
    pipeline prints, of which the revision is a part: results of other weights are not taken from
    its cache.

    Examples
    --------
    >>> import pandas as pd
    >>> from mne_neurolm import NeuroLMClassifier
    >>> from mne_neurolm.evaluation import BenchmarkResults, chance_classifier
    >>> rows = pd.DataFrame(  # as moabb.benchmark returns them, in part
    ...     {
    ...         "pipeline": ["NeuroLM", "Chance"] * 3,
    ...         "subject": ["1", "1", "2", "2", "3", "3"],
    ...         "session": "0",
    ...         "score": [0.9, 0.5, 0.7, 0.5, 0.8, 0.5],
    ...         "dataset": "BNCI2014-001",
    ...     }
    ... )
    >>> pipelines = {"NeuroLM": NeuroLMClassifier("workload"), "Chance": chance_classifier()}
    >>> comparison = BenchmarkResults(rows, pipelines=pipelines)
    >>> print(comparison.table()[["pipeline", "score", "std"]].round(2).to_string(index=False))
    pipeline  score  std
     NeuroLM    0.8  0.1
      Chance    0.5  0.0
    >>> [name for name in comparison.models]  # those with weights, and which
    ['NeuroLM']
    """

    def __init__(
        self,
        results: pd.DataFrame | Sequence[pd.DataFrame],
        *,
        metric: str | None = None,
        pipelines: str | Sequence[Mapping[str, Any]] | Mapping[str, BaseEstimator] | None = None,
    ) -> None:
        import_optional("moabb", extra="moabb", purpose=PURPOSE)
        every = join_results(results)
        self.n_failed = int(every["score"].isna().sum())
        self.results = every[every["score"].notna()].reset_index(drop=True)
        if self.results.empty:
            raise ValueError(f"There is no score: all of {self.n_failed} rows have failed.")
        self.metric = metric
        self.models = find_models(moabb_pipelines() if pipelines is None else pipelines)

    def table(self) -> pd.DataFrame:
        """Return the scores of every pipeline on every dataset.

        Returns
        -------
        table : pandas.DataFrame
            A row for each paradigm, evaluation, dataset and pipeline, the best of a dataset first:
            ``metric``, ``score`` and ``std`` (mean and standard deviation over subjects and
            sessions, which is NaN for one), ``chance``, ``n_subjects``, ``n_rows`` (subjects times
            sessions), ``time`` (seconds of a fit) and, if CodeCarbon measured it,
            ``carbon_emission`` (g of CO2 equivalents, the sum).
        """
        import pandas as pd

        rows = []
        for problem, own in self._problems():
            metric, chance = self._metric_of(own), chance_level(own)
            for name, part in own.groupby("pipeline", sort=False):
                row = {
                    **dict(zip(PROBLEM, problem, strict=True)),
                    "pipeline": name,
                    "metric": metric,
                    "score": part["score"].mean(),
                    "std": part["score"].std(),
                    "chance": chance,
                    "n_subjects": part["subject"].nunique(),
                    "n_rows": len(part),
                    "time": part["time"].mean() if "time" in part else np.nan,
                }
                if "carbon_emission" in part and part["carbon_emission"].notna().any():
                    row["carbon_emission"] = part["carbon_emission"].sum()
                rows.append(row)
        table = pd.DataFrame(rows)
        order = [*PROBLEM, "score"]
        return table.sort_values(
            order, ascending=[True, True, True, False], kind="stable", ignore_index=True
        )

    def compare(self) -> pd.DataFrame:
        """Return the paired differences between pipelines, by MOABB's statistics.

        Returns
        -------
        table : pandas.DataFrame
            A row for each two pipelines with subjects in common, the better one first:
            ``difference`` of the scores, ``effect`` (the difference over its standard deviation)
            and one-sided ``p``, all over the ``n_subjects``, sessions averaged; see
            ``moabb.analysis.meta_analysis``. Effect and p are NaN for a single subject. Where two
            pipelines meet on several datasets with two subjects or more, a row of
            ``"all datasets"`` combines these: the difference is the mean over datasets, and
            subjects are counted together.
        """
        return compare_pipelines(self.results)

    def report(self, title: str = "Benchmark") -> mne.Report:
        """Put everything on one page.

        Parameters
        ----------
        title : str
            Title of the page. Default ``"Benchmark"``.

        Returns
        -------
        report : mne.Report
            The models, and for every dataset the scores, a figure with all subjects, and the
            differences; then the differences over datasets.
        """
        import matplotlib.pyplot as plt

        from mne_neurolm.viz import plot_benchmark

        report = mne.Report(title=title, verbose="error")
        ran = set(self.results["pipeline"])
        models = [[name, model] for name, model in self.models.items() if name in ran]
        if models:
            lines = [["pipeline", "model and revision of its weights"], *models]
            report.add_html(html_table(lines), title="Models")
        table, differences = self.table(), self.compare()
        for problem, own in self._problems():
            name = ", ".join(part for part in reversed(problem) if part)
            report.add_html(
                f"{html_table(_score_lines(_of(table, problem)))}<p>{escape(EXPLANATION)}</p>"
                f"{self._failures()}",
                title=f"{name}: scores",
            )
            # MOABB's plots change matplotlib's settings for the whole process, on import.
            with plt.style.context("default"):
                figure = plot_benchmark(
                    own,
                    highlight=list(self.models),
                    chance=chance_level(own),
                    label=_METRICS.get(self._metric_of(own), self._metric_of(own)),
                    show=False,
                )
                add_figure(
                    report,
                    figure,
                    title=f"{name}: people",
                    caption="A mark for every person, sessions averaged, at the same height in "
                    "every row; the bar is their mean, the dotted line chance. NeuroLM is blue and "
                    "round.",
                )
            pairs = _of(differences, problem)
            if len(pairs):
                report.add_html(_differences_html(pairs), title=f"{name}: differences")
        together = differences[differences["dataset"] == ALL_DATASETS]
        for (paradigm, evaluation), pairs in together.groupby(PROBLEM[:2], sort=False):
            name = ", ".join(part for part in (ALL_DATASETS, evaluation, paradigm) if part)
            report.add_html(_differences_html(pairs), title=f"{name}: differences")
        return report

    def to_html(self, path: str | Path, title: str = "Benchmark") -> Path:
        """Write the page.

        Parameters
        ----------
        path : str | pathlib.Path
            The file, which is replaced if it is there.
        title : str
            Title of the page. Default ``"Benchmark"``.

        Returns
        -------
        path : pathlib.Path
            The file.
        """
        place = Path(path).expanduser()
        place.parent.mkdir(parents=True, exist_ok=True)
        self.report(title).save(place, open_browser=False, overwrite=True, verbose="error")
        return place

    def _problems(self) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
        yield from self.results.groupby(PROBLEM)

    def _metric_of(self, own: pd.DataFrame) -> str:
        if self.metric is not None:
            return self.metric
        classes = count_classes(own)
        return "score" if classes is None else "roc_auc" if classes == 2 else "accuracy"

    def _failures(self) -> str:
        if not self.n_failed:
            return ""
        return f"<p>{self.n_failed} rows of all results had no score and are left out.</p>"


def find_models(
    pipelines: str | Sequence[Mapping[str, Any]] | Mapping[str, BaseEstimator],
) -> dict[str, str]:
    """Return model and revision of every pipeline that has a NeuroLM.

    Parameters
    ----------
    pipelines : str | sequence of dict | mapping of str to estimator
        As of :class:`BenchmarkResults`.

    Returns
    -------
    models : dict of str to str
        By name of the pipeline, such as ``"tiny (weights <16 digits>)"``.
    """
    named: list[tuple[str, Any]]
    if isinstance(pipelines, Mapping):
        named = list(pipelines.items())
    else:
        listed: Any = pipelines
        if isinstance(pipelines, str | Path):
            utils = import_optional("moabb.pipelines.utils", extra="moabb", purpose=PURPOSE)
            listed = utils.parse_pipelines_from_directory(str(pipelines))
        named = [(str(entry["name"]), entry["pipeline"]) for entry in listed]
    models: dict[str, str] = {}
    for name, pipeline in named:
        for step in [pipeline, *pipeline.get_params(deep=True).values()]:
            if isinstance(step, NamesRevision):
                found = model_revision(step.model, step.revision)
                known = isinstance(step.model, str | Path)
                model = str(step.model) if known else type(step.model).__name__
                models.setdefault(name, f"{model} ({found})" if found else model)
    return models


def _of(table: pd.DataFrame, problem: tuple[str, str, str]) -> pd.DataFrame:
    return table[(table[PROBLEM] == list(problem)).all(axis=1)]


def _score_lines(table: pd.DataFrame) -> list[list[str]]:
    metric = str(table["metric"].iloc[0])
    carbon = "carbon_emission" in table and table["carbon_emission"].notna().any()
    header = ["pipeline", _METRICS.get(metric, metric.replace("_", " ")), "chance", "people"]
    header += ["people × sessions", "s per fit"]
    lines = [[*header, "g CO₂eq"] if carbon else header]
    for _, row in table.iterrows():
        score = f"{row['score']:.3f}"
        score += f" ± {row['std']:.3f}" if np.isfinite(row["std"]) else ""
        cells = [row["pipeline"], score, _number(row["chance"], "{:.3f}")]
        cells += [str(row["n_subjects"]), str(row["n_rows"]), _number(row["time"], "{:.2g}")]
        lines.append([*cells, _number(row["carbon_emission"], "{:.2g}")] if carbon else cells)
    return lines


def _differences_html(table: pd.DataFrame) -> str:
    """Return who is better than whom as a square of pipelines, the best first."""
    wins = table["pipeline"].value_counts()
    names = list(dict.fromkeys([*table["pipeline"], *table["other"]]))
    names.sort(key=lambda name: -wins.get(name, 0))
    pairs = {(row["pipeline"], row["other"]): row for _, row in table.iterrows()}
    lines = [["by how much a row is better than a column", *names[1:]]]
    for place, name in enumerate(names[:-1]):
        cells = [_difference_text(pairs, name, other) for other in names[place + 1 :]]
        lines.append([name, *[""] * place, *cells])
    people = sorted(set(table["n_subjects"]))
    over = str(people[0]) if len(people) == 1 else f"{people[0]} to {people[-1]}, those in common"
    return f"{html_table(lines)}<p>People: {over}.</p>"


def _difference_text(pairs: Mapping[tuple[str, str], pd.Series], name: str, other: str) -> str:
    # Where pipelines have been given other people, who wins need not follow one order.
    for sign, pair in (("", (name, other)), ("\u2212", (other, name))):
        if pair in pairs:
            difference, p = pairs[pair][["difference", "p"]]
            if np.isnan(p):
                return f"{sign}{difference:.3f}"
            return f"{sign}{difference:.3f} ({'p < 0.001' if p < 0.001 else f'p = {p:.3f}'})"
    return "–"


def _number(value: float, form: str) -> str:
    return form.format(value) if np.isfinite(value) else "–"
