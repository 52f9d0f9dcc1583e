"""The page on one's own data: every block of code runs, in order, from top to bottom."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import mne
import numpy as np
import pandas as pd
import pytest

from mne_neurolm.datasets import load_folder, to_braindecode, to_epochs
from mne_neurolm.evaluation import read_problem

PAGE = Path(__file__).resolve().parents[2] / "doc" / "own_data.rst"
COLIN27 = "colin27_1005"
if COLIN27 not in mne.channels.get_builtin_montages():
    COLIN27 = "standard_1005"
if not PAGE.exists():
    pytest.skip("the tests run outside a clone of the repository", allow_module_level=True)

pytestmark = [
    # MOABB 1.7.2 with MNE 1.13 and h5py 3.16, as in test_moabb_datasets.py
    pytest.mark.filterwarnings("ignore:Montage name 'standard_10:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Creating a dataset without passing data or dtype"),
]


def blocks(kind: str) -> list[str]:
    """Return the code blocks of the page."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(rf"^\.\. code-block:: {kind}\n\n((?:   .*\n|\n)+)", text, re.MULTILINE)
    return [dedent(block) for block in found]


def write_recording(path: Path, seed: int) -> None:
    """Write 40 s of 4 channels: eyes open, then closed with an alpha rhythm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    times = np.arange(8000) / 200
    alpha = np.where(times < 20, 0, 30e-6 * np.sin(2 * np.pi * 10 * times))
    data = 1e-5 * rng.standard_normal((4, 8000)) + alpha
    raw = mne.io.RawArray(
        data, mne.create_info(["Fz", "Cz", "Pz", "Oz"], 200.0, "eeg"), verbose="error"
    )
    raw.set_annotations(mne.Annotations([0, 20], [20, 20], ["open", "closed"]))
    raw.export(path, verbose="error")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_data: Path) -> Path:
    """Return a folder with all that the page names, small; it is the working directory."""
    for seed, name in enumerate(("anna", "ben")):
        write_recording(tmp_path / "recordings" / name / "first.edf", seed)
        folder = tmp_path / "my_bids" / f"sub-{name}" / "eeg"
        stem = f"sub-{name}_task-eyes"
        write_recording(folder / f"{stem}_eeg.edf", seed)
        events = "onset\tduration\ttrial_type\n0\t20\topen\n20\t20\tclosed\n"
        (folder / f"{stem}_events.tsv").write_text(events, encoding="utf-8")
        facts = json.dumps({"TaskName": "eyes", "PowerLineFrequency": 50})
        (folder / f"{stem}_eeg.json").write_text(facts, encoding="utf-8")
    (tmp_path / "my_bids" / "participants.tsv").write_text(
        "participant_id\tgroup\nsub-anna\tpatient\nsub-ben\tcontrol\n", encoding="utf-8"
    )
    (table,) = blocks("text")
    (tmp_path / "recordings" / "trials.csv").write_text(table, encoding="utf-8")
    # Of the real database 4 people with 2 trials of each kind, and 3 trials with flat channels.
    trials = pd.read_csv(shared_data / "smni" / "trials.csv")
    people = ["co2a0000364", "co2a0000368", "co2c0000337", "co2c0000338"]
    with np.load(shared_data / "smni" / "smni.npz") as whole:
        scalp = ~np.isin(whole["ch_names"], ["X", "Y", "nd"])
        flat = (np.ptp(whole["X_nV"][:, scalp], axis=2) < 100).any(axis=1)
    own = trials["subject"].isin(people)
    few = pd.concat(
        [trials[own & ~flat].groupby(["subject", "cond"]).head(2), trials[own & flat].head(3)]
    ).sort_index()
    archive = dict(np.load(shared_data / "smni" / "smni.npz"))
    archive["X_nV"] = archive["X_nV"][few.index]
    (tmp_path / "smni").mkdir()
    np.savez(tmp_path / "smni" / "smni.npz", **archive)
    few.to_csv(tmp_path / "smni" / "trials.csv", index=False)
    # And two subjects of EEGMAT.
    (tmp_path / "eegmat").mkdir()
    for name in ("Subject04", "Subject05"):
        for run in (1, 2):
            file = f"{name}_{run}.edf"
            os.symlink(shared_data / "eegmat" / file, tmp_path / "eegmat" / file)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("_MNE_FAKE_HOME_DIR", str(tmp_path))
    monkeypatch.setenv("MOABB_DOWNLOAD_PROVIDER", "upstream")
    return tmp_path


def test_every_block_runs(place: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("moabb", reason="MOABB is not installed")
    recordings = shared_data / "mne_data"
    if not (recordings / "MNE-eegbci-data").is_dir():
        pytest.skip(f"no EEGBCI recordings in {recordings}")
    monkeypatch.setenv("MNE_DATA", str(recordings))
    names: dict[str, Any] = {}
    seen: dict[str, list[Any]] = {}
    for number, block in enumerate(blocks("python")):
        # The name that the page has is unknown to MNE before 1.13.
        block = block.replace('"colin27_1005"', f'"{COLIN27}"')
        exec(compile(block, f"{PAGE.name}, block {number + 1}", "exec"), names)
        for name, value in names.items():
            if name not in seen or seen[name][-1] is not value:
                seen.setdefault(name, []).append(value)
    by_folder, by_table, by_bids, arrays = seen["epochs"]
    assert by_folder.metadata["label"].value_counts().to_dict() == {"open": 10, "closed": 10}
    assert len(names["scores"]) == 2 and np.isfinite(names["scores"]).all()
    assert by_table.metadata["start"].tolist() == [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 0, 4, 12.5]
    np.testing.assert_array_equal(by_bids.get_data(), by_folder.get_data())
    assert names["by_group"].event_id == {"control": 0, "patient": 1}
    assert (
        len(arrays.drop_log) == 27
        and arrays.get_data().shape == (24, 64, 256)
        and arrays.info["sfreq"] == 256.0
    )
    assert 5e-6 < arrays.get_data("eeg").std() < 2e-5  # volts
    scalp = arrays.copy().pick("eeg")
    assert len(scalp.ch_names) == len(scalp.get_montage().ch_names) == 61
    assert names["pipe"][0].fit(arrays).ch_names_ == tuple(scalp.ch_names)
    for scores in (names["ours"], names["baseline"]):
        assert scores.shape == (2,) and np.isfinite(scores).all()
    imagined = names["imagined"]
    assert len(imagined) == 45
    assert (imagined.info["highpass"], imagined.info["lowpass"]) == (0.1, 75.0)
    assert set(names["classifier"].classes_) == {"left_hand", "right_hand"}
    assert len(names["results"]) == 2 and names["results"]["score"].between(0, 1).all()
    # The file of doc/evaluation.rst is for these epochs.
    (place / "epochs").mkdir()
    arrays.save(place / "epochs" / "smni-epo.fif", verbose="error")
    text = (PAGE.parent / "evaluation.rst").read_text(encoding="utf-8")
    (described,) = re.findall(r"^\.\. code-block:: yaml\n\n((?:   .*\n|\n)+)", text, re.MULTILINE)
    (place / "condition.yaml").write_text(dedent(described), encoding="utf-8")
    problem = read_problem(place / "condition.yaml")
    assert np.bincount(problem.positions).tolist() == [8, 8, 8] and len(problem.folds) == 4
    assert names["x"].shape == (4, 800) and set(names["people"]) == {"anna", "ben"}


def test_the_first_example_has_ten_lines() -> None:
    first = [line for line in blocks("python")[0].splitlines() if line.strip()]
    assert len(first) <= 10


def test_braindecode_and_back(place: Path) -> None:
    epochs = load_folder("recordings", line_freq=50)
    dataset = to_braindecode(epochs)
    assert len(dataset) == 20 and len(dataset.datasets) == 2
    assert dataset.description["subject"].tolist() == ["anna", "ben"]
    x, y, (_, first, last) = dataset[6]
    assert x.dtype == np.float32 and (first, last) == (4800, 5600)
    np.testing.assert_allclose(x, epochs.get_data()[6], rtol=1e-6)
    assert y == epochs.event_id["closed"] == 0
    back = to_epochs(dataset)
    np.testing.assert_array_equal(back.get_data(), epochs.get_data())
    assert back.event_id == epochs.event_id
    pd.testing.assert_frame_equal(back.metadata[list(epochs.metadata)], epochs.metadata)
    assert epochs.metadata.columns.tolist() == ["subject", "label", "file", "start"]  # as it was
    bare = epochs.copy()
    bare.metadata = None
    with pytest.raises(ValueError, match="no metadata"):
        to_braindecode(bare)
