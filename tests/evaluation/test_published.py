"""Published figures."""

from __future__ import annotations

import pytest

from mne_neurolm.evaluation import METRICS, published_results
from mne_neurolm.evaluation.published import SOURCES, primary_metrics
from mne_neurolm.tasks import TASKS


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_has_published_results(name: str) -> None:
    results = published_results(name)
    titles = [result.title for result in results]
    assert {"BIOT", "LaBraM-Base", "NeuroLM-B"} <= set(titles) and len(set(titles)) == len(titles)
    for result in results:
        assert tuple(result.scores) == primary_metrics(len(TASKS[name].labels))
        assert set(result.scores) <= set(METRICS) and result.source in SOURCES
        assert all(0 <= s.mean <= 1 and 0 < s.std < 0.2 for s in result.scores.values())


def test_best_of_workload() -> None:
    """The paper's best deep model on Workload has 0.707, 0.782 and 0.786."""
    scores = [result.scores for result in published_results("workload")]
    best = [max(s[m].mean for s in scores) for m in ("balanced_accuracy", "auc_pr", "auroc")]
    assert [round(value, 3) for value in best] == [0.707, 0.782, 0.786]


def test_none_for_others() -> None:
    assert published_results("mine") == []
