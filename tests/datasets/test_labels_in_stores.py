"""Training from a store sees the windows and labels that ``load`` gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tuh_files import write_edf, write_rec, write_tse

from mne_neurolm.datasets import load
from mne_neurolm.prepare import main
from mne_neurolm.store import Store
from mne_neurolm.training.labels import label_windows, read_rules

SUBJECTS = [f"aaaaaa{a}{b}" for a in "abc" for b in "adg"]
EVENTS = ("spsw", "gped", "pled", "eyem", "artf", "bckg")


def write(name: str, root: Path, subject: str, seed: int) -> None:
    """Write a recording with labels at random places, near its ends too."""
    rng = np.random.default_rng(seed)
    onsets = np.round(np.append(rng.uniform(0, 39, 5), [0.3, 38.9]), 4)
    if name == "tuev":
        path = write_edf(root / f"train/{subject}/{subject}_00000001.edf", seconds=40, seed=seed)
        lines = [f"{k},{t:.4f},{t + 1:.4f},{1 + k % 6}" for k, t in enumerate(onsets)]
        write_rec(path, lines)
    elif name == "tusl":
        place = f"edf/{subject}/s001_2010/01_tcp_ar/{subject}_s001_t000"
        path = write_edf(root / f"{place}.edf", seconds=40, seed=seed)
        events = [(20.0, 30.0, "slow"), (0.0, 10.0, "seiz"), (10.0, 20.0, "bckg")]
        write_tse(path.with_suffix(".tse_agg"), events)
    else:
        label = ("normal", "abnormal")[seed % 2]
        write_edf(root / f"train/{label}/01_tcp_ar/{subject}_s001_t000.edf", seconds=40, seed=seed)


@pytest.mark.parametrize("name", ["tuab", "tuev", "tusl"])
def test_same_windows(name: str, tmp_path: Path) -> None:
    root, output = tmp_path / "root", tmp_path / "store"
    for seed, subject in enumerate(SUBJECTS):
        write(name, root, subject, seed)
    arguments = [name, "--root", str(root), "--output", str(output)]
    assert main([*arguments, "--n-jobs", "1", "--quiet"]) == 0
    store = Store(output)
    train, val = label_windows(store.recordings, read_rules([name]), 0.5)
    found: dict[str, dict[str, list[tuple[int, int]]]] = {"train": {}, "validation": {}}
    for part, windows in (("train", train), ("validation", val)):
        for index, start, label in zip(
            windows.recording, windows.start, windows.label, strict=True
        ):
            file = store.recordings[index].name.partition("/")[2]
            found[part].setdefault(file, []).append((int(start), int(label)))
    dataset = load(name, root)
    parts = set(dataset.description["split"])
    assert {"train", "validation"} <= parts
    for one in dataset.datasets:
        part, file = one.description["split"], one.description["file"]
        expected = sorted(
            zip(one.metadata["i_start_in_trial"], one.metadata["target"], strict=True)
        )
        if part != "test":
            assert sorted(found[part].pop(file)) == expected
    assert found == {"train": {}, "validation": {}}
