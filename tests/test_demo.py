"""The demo command."""

from __future__ import annotations

import shutil
from pathlib import Path

import mne
import numpy as np
import pytest
import torch

from mne_neurolm import NeuroLM, NeuroLMTokenizer, demo
from mne_neurolm.datasets import simulate_epochs


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with recordings of three subjects, one annotation per state."""
    folder = tmp_path_factory.mktemp("recordings")
    epochs = simulate_epochs(3, 24, random_state=0)
    for subject in range(3):
        own = epochs[(epochs.metadata["subject"] == subject).to_numpy()]
        data = np.concatenate(own.get_data(), axis=1)
        raw = mne.io.RawArray(data, own.info, verbose="error")
        states = own.metadata["state"].tolist()
        raw.set_annotations(mne.Annotations(4.0 * np.arange(24), 4.0, states))
        raw.info["line_freq"] = 50.0
        raw.save(folder / f"s{subject}_raw.fif", verbose="error")
    return folder


def test_simulated_run(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The command as users run it, with one pass of tuning."""
    assert demo.main(["--out", str(tmp_path / "new" / "out"), "--max-epochs", "1"]) == 0
    written = capsys.readouterr().out
    for part in (
        "8 subjects to train on, 4 others",
        "balanced accuracy",
        "auroc",
        "NeuroLM tiny, tuned",
        "Linear probe of tokens",
        "Band power, logistic regression",
        "Chance",
        "report.html",
    ):
        assert part in written
    html = (tmp_path / "new" / "out" / "report.html").read_text(encoding="utf-8")
    for part in (
        "Confusion matrix",
        "Reconstruction of a test window (rest): waveforms",
        "Reconstruction of a test window (active): spectra",
        "Code usage",
        "Stair-step mask",
        "Chance",
    ):
        assert part in html


def test_run_on_recordings(recordings: Path, tmp_path: Path) -> None:
    data = demo.folder_data(recordings)
    results = demo.run_demo(data, tmp_path, max_epochs=1)
    assert list(results)[-1] == "Chance" and len(results) == 4
    for name, scores in results.items():
        assert 0 <= scores["balanced_accuracy"] <= 1 and 0 <= scores["auroc"] <= 1, name
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_spectra(small_model: NeuroLM, epochs: mne.EpochsArray) -> None:
    """Originals are the DFT's magnitudes, time-major; decoded are those of the epochs' codes."""
    tokenizer = NeuroLMTokenizer(small_model, dtype="float32").fit(epochs)
    original, decoded = demo._spectra(tokenizer, epochs[:2])
    seconds = epochs[:2].get_data(copy=False).reshape(2, 19, 4, 200).transpose(0, 2, 1, 3)
    magnitudes = np.abs(np.fft.fft(seconds.reshape(2, 76, 200)))
    mean, std = (f(magnitudes, axis=(1, 2), keepdims=True) for f in (np.mean, np.std))
    assert np.allclose(original, ((magnitudes - mean) / std)[..., :100], atol=1e-3)
    tokens = tokenizer.transform(epochs[:2])
    arrays = [torch.from_numpy(a) for a in (tokens.codes, tokens.channels, tokens.times)]
    with torch.inference_mode():
        expected = small_model.vq.decode_codes(*arrays)[0].numpy()
    assert decoded.shape == (2, 76, 100) and np.allclose(decoded, expected, atol=1e-5)


def test_recordings_are_split_by_subject(recordings: Path) -> None:
    data = demo.folder_data(recordings)
    train, test = set(data.subjects[data.train]), set(data.subjects[data.test])
    assert len(train) == 2 and len(test) == 1 and not train & test
    assert data.task.labels == ("active", "rest") and not data.task.options
    assert set(data.y) == {"active", "rest"} and len(data.y) == 72
    assert f"1 others to test on: {test.pop()}" in data.description


def test_one_recording_is_split_by_time(recordings: Path) -> None:
    data = demo.folder_data(recordings / "s1_raw.fif")
    starts = data.epochs.metadata["start"].to_numpy()
    between = np.abs(starts[data.train][:, None] - starts[data.test][None])
    assert between.min() >= 8.0 - 1e-3
    for label in ("active", "rest"):
        latest = starts[data.train][data.y[data.train] == label].max()
        assert latest < starts[data.test][data.y[data.test] == label].min()
    assert "at least 4 s apart" in data.description


def test_rare_classes_are_left_out(tmp_path: Path) -> None:
    raw = mne.io.RawArray(
        2e-5 * np.random.default_rng(0).standard_normal((2, 40000)),
        mne.create_info(["Cz", "Pz"], 200.0, "eeg"),
        verbose="error",
    )
    notes = mne.Annotations([0, 60, 120, 190], [48, 48, 48, 8], ["a", "b", "c", "cough"])
    raw.set_annotations(notes)
    raw.save(tmp_path / "x_raw.fif", verbose="error")
    data = demo.folder_data(tmp_path, line_freq=50)
    assert data.task.labels == ("a", "b", "c") and data.task.options
    assert "Left out, with fewer than 10 windows: ['cough']" in data.description
    with pytest.raises(ValueError, match=r"two classes of 10 windows.*'cough': 2"):
        demo.folder_data(tmp_path, line_freq=50, classes=["a", "cough"])


def test_eegmat_is_recognised(shared_data: Path, tmp_path: Path) -> None:
    for subject in (4, 26):
        for run in (1, 2):
            name = f"Subject{subject:02d}_{run}.edf"
            shutil.copyfile(shared_data / "eegmat" / name, tmp_path / name)
    data = demo._load(demo._parser().parse_args(["--data", str(tmp_path)]))
    assert data.task.name == "workload"
    assert set(data.subjects[data.train]) == {4} and set(data.subjects[data.test]) == {26}
    assert len(data.y) == 4 * 29 and set(data.y) == {0, 1}
    assert data.names == {0: "rest", 1: "arithmetic"}
    for run in (1, 2):
        (tmp_path / f"Subject26_{run}.edf").unlink()
    with pytest.raises(ValueError, match=r"EEGMAT subjects \[4\], but both"):
        demo.eegmat_data(tmp_path)


def test_errors_end_the_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert demo.main(["--data", str(tmp_path / "nowhere")]) == 1
    assert "There is no file or folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        demo.main(["--no-such-option"])


def test_table() -> None:
    table = demo.format_table(
        {"A": {"balanced_accuracy": 0.75, "auroc": 0.5, "worst_subject": 0.1}, "Chance": {}}
    )
    lines = table.splitlines()
    assert lines[0].split() == ["balanced", "accuracy", "auroc", "worst", "subject"]
    assert lines[1].split() == ["A", "0.750", "0.500", "0.100"]
    assert lines[2].split() == ["Chance", "-", "-", "-"]
    assert len({len(line) for line in lines}) == 1


def test_ranges() -> None:
    assert demo._ranges([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"
