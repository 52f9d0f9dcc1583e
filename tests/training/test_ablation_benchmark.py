"""The benchmark of ablations: what it plans, keeps and prints, on simulated EEG."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from mne_neurolm.patches import make_patches
from mne_neurolm.training.ablations import ABLATIONS

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def modules():
    """Import the scripts as they import one another."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import ablation_cells
        import ablation_data
        import ablations
    finally:
        sys.path.remove(str(BENCHMARKS))
    return ablations, ablation_cells, ablation_data


@pytest.fixture(scope="module")
def recordings(modules, epochs):
    """Two tasks of eight windows each, with four people who are to be scored."""
    windows = make_patches(epochs.copy().pick(epochs.ch_names[:3]))[:16]
    trials = make_patches(epochs.copy().pick(epochs.ch_names[:3]).crop(tmax=0.995))[:12]
    return modules[2].Recordings(
        unlabelled=[windows, trials],
        workload=windows,
        workload_labels=np.arange(16) % 2,
        workload_subjects=np.repeat([0, 1, 26, 30], 4),
        stimulus=trials,
        stimulus_labels=np.array(["S1 obj", "S2 match", "S2 nomatch"] * 4),
        stimulus_subjects=np.repeat(["a", "b", "c", "d"], 3),
        text="The quick brown fox jumps over the lazy dog. " * 100,
    )


def test_recordings_come_back(modules, recordings, tmp_path: Path) -> None:
    path = tmp_path / "recordings.npz"
    recordings.save(path)
    back = modules[2].Recordings.read(path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert back.text == recordings.text and len(back.unlabelled) == 2
    for ours, theirs in zip(recordings.unlabelled, back.unlabelled, strict=True):
        np.testing.assert_array_equal(ours.data, theirs.data)
        assert ours.ch_names == theirs.ch_names and ours.n_seconds == theirs.n_seconds
    np.testing.assert_array_equal(back.stimulus_labels, recordings.stimulus_labels)


def test_nobody_is_on_both_sides(recordings) -> None:
    for labels, folds in (
        (recordings.stimulus_subjects, recordings.folds()),
        (recordings.workload_subjects, [recordings.parts()]),
    ):
        for learn, test in folds:
            assert not set(labels[learn]) & set(labels[test])
    scored = np.concatenate([test for _, test in recordings.folds()])
    assert sorted(scored) == list(range(12)), "everybody is scored once"
    assert set(recordings.workload_subjects[recordings.parts()[1]]) == {26, 30}


def test_ablations_share_the_stages_they_have_in_common(modules, tmp_path: Path) -> None:
    ablations, cells, _ = modules
    plan = ablations.Plan(tmp_path, 1.0, 0.5)
    names = [ablations.BASELINE, *ABLATIONS]
    text, tokenizers, second, last = plan.rounds([(name, 0) for name in names])
    assert len(text) == 1 and len(last) == len(names)
    # The recipe's, two with one target, one without alignment, LaBraM's.
    assert len(tokenizers) == 5
    # One for each tokenizer, and three that are shorter; the others differ in tuning only.
    assert len(second) == 8
    assert len({plan.cell(name, seed) for name in names for seed in range(2)}) == 2 * len(names)
    done = plan.cell("labram", 0)
    done.parent.mkdir(parents=True)
    done.write_text("{}")
    assert plan.rounds([("labram", 0)]) == []
    assert ablations.Plan(tmp_path, 0.5, 0.5).cell("labram", 0) != done
    other = ablations.Plan(tmp_path, 1.0, 1.0)
    assert other.cell("labram", 0) != done
    assert other.model(0, other.chain("labram", 0)) == plan.model(0, plan.chain("labram", 0))


def test_a_share_of_the_steps(modules) -> None:
    cells = modules[1]
    whole = cells.stage_settings(None, "tokenizer", 0)
    batch_size, epochs = whole["training"]["batch_size"], whole["training"]["max_epochs"]
    lengths = [10 * batch_size + 1, batch_size]  # 11 and 1 batches
    assert cells.shortened(whole, lengths, 1.0).max_steps == 12 * epochs
    assert cells.shortened(whole, lengths * 10, 0.5).max_steps == 60 * epochs
    assert cells.stage_settings("temporal-only", "tokenizer", 0)["model"] == {
        **whole["model"],
        "reconstruction": "temporal",
    }
    assert cells.stage_settings("instruction-data-25", "instruct", 0)["fraction"] == 0.25
    assert cells.stage_settings("labram", "instruct", 1) == cells.stage_settings(
        None, "instruct", 1
    )


def test_the_table_has_means_and_deviations(modules) -> None:
    ablations = modules[0]
    records = [
        {
            "ablation": name,
            "seed": seed,
            "codes": 100 + seed,
            "seconds": 1.0,
            **dict.fromkeys(ablations.COLUMNS, 0.5 + 0.1 * seed),
        }
        for name, seeds in (("labram", 3), (ablations.BASELINE, 3), ("no-alignment", 1))
        for seed in range(seeds)
    ]
    table = ablations.make_table(records)
    assert list(table.index) == [ablations.BASELINE, "no-alignment", "labram"]
    assert table.loc["labram", "probe_workload_auroc"] == pytest.approx(0.6)
    assert table.loc["labram", "probe_workload_auroc_std"] == pytest.approx(0.1)
    assert np.isnan(table.loc["no-alignment", "codes_std"])
    lines = ablations.to_markdown(table).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert "0.600 ± 0.100" in lines[-1] and lines[-1].endswith("| 101 ± 1 |")
    assert "| 0.500 |" in lines[-2] and "Figure 11" in lines[-2]


def test_a_cell_from_beginning_to_end(modules, recordings, tmp_path: Path, monkeypatch) -> None:
    ablations, cells, data = modules
    monkeypatch.setattr(cells, "_FEWEST_STEPS", 2)
    small = {"n_layer": 1, "codebook_size": 64, "scalp_components": 4}
    tiny = data.tool("train_tiny")
    monkeypatch.setattr(tiny, "RECIPE", {**tiny.RECIPE, **small})
    plan = ablations.Plan(tmp_path, 1e-6, 1e-6)
    recordings.save(plan.recordings())
    for name in ("models", "cells", "probes"):
        (tmp_path / name).mkdir()
    for calls in plan.rounds([("labram", 0)]):
        for function, *arguments in calls:
            function(*arguments)
    record = json.loads(plan.cell("labram", 0).read_text())
    assert all(0 <= record[name] <= 1 for name in ablations.COLUMNS)
    assert 1 <= record["codes"] <= record["codebook_size"]
    assert [stage for stage, _ in record["settings"]] == ["tokenizer", "masked", "instruct"]
    assert plan.rounds([("labram", 0)]) == []
    assert not list(tmp_path.rglob("*.unfinished"))


def test_command_refuses_unknown_names(modules, tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        modules[0].main(["--data", str(tmp_path), "--only", "lesion"])
    assert "Unknown ablation 'lesion'" in capsys.readouterr().err
