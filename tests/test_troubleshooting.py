"""The messages on the page "Troubleshooting" are those that users see."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
import torch
from pages import DOC

from mne_neurolm import (
    NeuroLM,
    NeuroLMClassifier,
    NeuroLMConfig,
    NeuroLMTokenizer,
    Task,
    convert_checkpoint,
    prepare_raw,
)
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.patches import make_patches
from mne_neurolm.store import Store, TextCorpus
from mne_neurolm.training.hidden_cache import HiddenCache
from mne_neurolm.utils.optional import import_optional

EPOCHS = simulate_epochs(n_subjects=2, n_epochs_per_subject=4, random_state=0)
STATE = EPOCHS.metadata["state"].to_numpy(dtype=str)
LABELS = np.where(STATE == "rest", "No", "Yes")
VOLTS = EPOCHS.get_data()


@cache
def built() -> NeuroLM:
    """Return a model with random weights."""
    return NeuroLM(NeuroLMConfig.preset("tiny"))


def patches_of(change: Callable[[np.ndarray], Any]) -> None:
    epochs = EPOCHS.copy()
    change(epochs.get_data(copy=False))
    make_patches(epochs)


def put(key: Any, value: float) -> Callable[[np.ndarray], None]:
    return lambda data: data.__setitem__(key, value)


def noise(
    ch_names: list[str], sfreq: float = 200.0, kind: str = "eeg", seconds: int = 40
) -> mne.io.RawArray:
    shape = len(ch_names), round(seconds * sfreq)
    data = 1e-5 * np.random.default_rng(0).standard_normal(shape)
    return mne.io.RawArray(data, mne.create_info(ch_names, sfreq, kind))


def epochs_of(raw: mne.io.BaseRaw) -> mne.Epochs:
    return mne.make_fixed_length_epochs(raw, duration=4.0, preload=True)


def fit(task: str | Task = "workload", y: Any = LABELS, **parameters: Any) -> None:
    NeuroLMClassifier(task, max_epochs=1, random_state=0, **parameters).fit(EPOCHS, y)


def full_disk() -> None:
    def refuse(file: int, start: int, length: int) -> None:
        raise OSError(28, os.strerror(28))

    def free(folder: Path) -> Any:
        return type("Usage", (), {"free": 100_000_000})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "posix_fallocate", refuse, raising=False)
        patch.setattr("shutil.disk_usage", free)
        HiddenCache("states").get(("a",), {"x": ((250, 1_000_000), "f4")}, lambda arrays: None)


def without_gpu() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        NeuroLMTokenizer(device="cuda").fit(EPOCHS)


def without_peft() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [])
        for name in [name for name in sys.modules if name.partition(".")[0] == "peft"]:
            patch.delitem(sys.modules, name)
        import_optional("peft", extra="train", purpose="tune='lora'")


def file(name: str, content: Any) -> Path:
    torch.save(content, name)
    return Path(name)


def cut_file() -> Path:
    path = file("VQ.pt", {"model": {"x": torch.zeros(2000, 200)}})
    path.write_bytes(path.read_bytes()[:800_000])
    return path


class Code:
    """What a file must not hold."""

    def __reduce__(self) -> tuple:
        return os.getcwd, ()


def damaged_folder() -> None:
    built().save_pretrained("runs")
    path = Path("runs/config.json")
    path.write_text(path.read_text().replace('"codebook_size": 1024', '"codebook_size": 512'))
    NeuroLM.from_pretrained("runs")


AMPLIFIER = [f"A{number}" for number in range(1, 33)]

# Name of a message on the page -> what brings it about.
MESSAGES: dict[str, Callable[[], Any]] = {
    # channels
    "unknown": lambda: prepare_raw(noise(["E1", "E2", "Cz"]), line_freq=50),
    "amplifier": lambda: prepare_raw(noise(AMPLIFIER), line_freq=50),
    "no eeg": lambda: prepare_raw(noise(["Fz", "Cz"], kind="misc")),
    # unit and rate
    "microvolts": lambda: patches_of(lambda data: data.__imul__(1e6)),
    "volts": lambda: make_patches(VOLTS, ch_names=EPOCHS.ch_names, sfreq=200.0, unit="uV"),
    "bare array": lambda: make_patches(VOLTS),
    "line": lambda: prepare_raw(noise(["Fz", "Cz"])),
    "unfiltered": lambda: make_patches(epochs_of(noise(["Fz", "Cz"]))),
    "narrow": lambda: make_patches(epochs_of(noise(["Fz", "Cz"]).filter(8.0, 30.0))),
    "short filter": lambda: prepare_raw(noise(["Fz", "Cz"], seconds=20), line_freq=50),
    # signals
    "nan": lambda: patches_of(put((0, 3, 10), np.nan)),
    "flat": lambda: patches_of(put((slice(None), 2), 0.0)),
    "flat in some": lambda: patches_of(put((slice(2), 2), 0.0)),
    "clipped": lambda: patches_of(lambda data: data[:, 4].clip(-1e-5, 1e-5, out=data[:, 4])),
    "loud": lambda: patches_of(lambda data: data[:, 5].__imul__(100.0)),
    # epochs
    "too short": lambda: make_patches(EPOCHS.copy().crop(tmax=0.495)),
    "too long": lambda: make_patches(simulate_epochs(1, 2, duration=60.0, random_state=0)),
    "raw": lambda: NeuroLMTokenizer().fit(noise(["Fz", "Cz"])),
    "epochs": lambda: prepare_raw(EPOCHS),
    "unlike": lambda: NeuroLMTokenizer().fit([EPOCHS, EPOCHS.copy().drop_channels(["Cz"])]),
    # labels and task
    "labels": lambda: fit(y=STATE),
    "single class": lambda: fit(y=["No"] * 8),
    "encoded": lambda: fit("seed", [0, 1] * 4, tune=None),
    "unknown task": lambda: fit("sleep"),
    "long question": lambda: fit(Task("long", "word " * 600, {"No": "No", "Yes": "Yes"})),
    "groups": lambda: NeuroLMClassifier("workload", patience=1).fit(EPOCHS, LABELS, [0] * 8),
    "few": lambda: fit(patience=1, validation_fraction=0.05),
    # speed and memory
    "diverged": lambda: NeuroLMClassifier(
        "workload", lr=1e30, max_epochs=5, batch_size=2, random_state=0
    ).fit(EPOCHS, LABELS),
    "full disk": full_disk,
    "device": without_gpu,
    # pretraining
    "no store": lambda: Store("store"),
    "no text": lambda: TextCorpus("text"),
    # weights
    "peft": without_peft,
    "unknown model": lambda: NeuroLMTokenizer("neurolm-s").fit(EPOCHS),
    "folder": lambda: NeuroLMTokenizer(".").fit(EPOCHS),
    "no fit": damaged_folder,
    "other encoder": lambda: NeuroLMClassifier("workload", built(), tune=None).fit(
        NeuroLMTokenizer().fit_transform(EPOCHS), LABELS
    ),
    "untrained": lambda: NeuroLMTokenizer(built()).fit_transform(EPOCHS),
    "code": lambda: convert_checkpoint(None, file("VQ.pt", {"model": Code()}), "out"),
    "cut": lambda: convert_checkpoint(None, cut_file(), "out"),
    "no released file": lambda: convert_checkpoint(None, file("VQ.pt", {"model": {}}), "out"),
}


def message_of(act: Callable[[], Any]) -> str:
    """Return what is raised or, where nothing is, what is warned about."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            act()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return f"{caught[-1].category.__name__}: {caught[-1].message}"


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.fixture(scope="module")
def page() -> str:
    return one_line((DOC / "troubleshooting.rst").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", MESSAGES)
def test_message(name: str, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # What a library adds, in brackets, and digits of weights may differ.
    message = one_line(message_of(MESSAGES[name])).partition(" (torch says")[0]
    message = re.sub(r"\b[0-9a-f]{16}\b", "...", message)
    assert message in page
