"""The whole pipeline in one command: tokenize, tune, predict unseen subjects, report.

``python -m mne_neurolm.demo`` simulates EEG; with ``--data`` it takes recordings.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mne
import numpy as np
from numpy.typing import NDArray

from mne_neurolm.datasets import load_eegmat, load_folder, simulate_epochs
from mne_neurolm.datasets.catalog import get_spec
from mne_neurolm.datasets.members import find_members
from mne_neurolm.datasets.readers import eegmat
from mne_neurolm.datasets.splits import split_by_subject, split_by_time
from mne_neurolm.evaluation import band_power_classifier, demo_report, score_predictions
from mne_neurolm.patches import make_patches
from mne_neurolm.tasks import Task, get_task

if TYPE_CHECKING:
    from mne_neurolm import NeuroLMTokenizer

# Passes over the training windows. Simulated states differ in one way only and there are few
# windows of them; on real EEG the tuned model fits subjects instead of states if it goes on.
_MAX_EPOCHS = {"simulated": 10, "recorded": 3}
_MIN_WINDOWS = 10  # per class; annotations that occur now and then are no class to learn
_SHOWN = ("balanced_accuracy", "auroc")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoData:
    """Epochs with labels, split, and the question to ask about them."""

    epochs: mne.EpochsArray
    y: NDArray[Any]  # (n_epochs,) labels of the task
    subjects: NDArray[Any]  # (n_epochs,)
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    task: Task
    names: dict[Any, str]  # label -> what to call it
    description: str


def simulated_data(random_state: int = 0) -> DemoData:
    """Simulate two states of 12 subjects, the last 4 of which are held out."""
    epochs = simulate_epochs(n_subjects=12, n_epochs_per_subject=30, random_state=random_state)
    subjects = epochs.metadata["subject"].to_numpy()
    return DemoData(
        epochs=epochs,
        y=epochs.metadata["state"].to_numpy(dtype=str),
        subjects=subjects,
        train=np.flatnonzero(subjects < 8),
        test=np.flatnonzero(subjects >= 8),
        task=Task(
            "state", "Is this EEG segment of an active state?", {"rest": "No", "active": "Yes"}
        ),
        names={"rest": "rest", "active": "active"},
        description="Simulated EEG: weaker alpha and stronger beta when active. 8 subjects to "
        "train on, 4 others to test on.",
    )


def eegmat_data(root: Path) -> DemoData:
    """Load EEGMAT: the paper's training subjects to train on, its validation subjects to test."""
    there = {int(member.subject[-2:]) for member in find_members("workload", root)}
    parts = {part: sorted(there & set(eegmat.SPLITS[part])) for part in ("train", "validation")}
    if not all(parts.values()):
        raise ValueError(
            f"{root} holds EEGMAT subjects {sorted(there)}, but both subjects 0-25 to train on and "
            f"26-30 to test on are needed. {get_spec('workload').how_to_get()}"
        )
    epochs = load_eegmat(root, parts["train"] + parts["validation"], progress=True)
    subjects = epochs.metadata["subject"].to_numpy()
    held_out = np.isin(subjects, parts["validation"])
    return DemoData(
        epochs=epochs,
        y=epochs.metadata["label"].to_numpy(),
        subjects=subjects,
        train=np.flatnonzero(~held_out),
        test=np.flatnonzero(held_out),
        task=get_task("workload"),
        names={label: name for name, label in epochs.event_id.items()},
        description="EEG during mental arithmetic by the paper's protocol: the last 60 s of every "
        f"recording, windows of 4 s every 2 s. Subjects {_ranges(parts['train'])} to train on, "
        f"{_ranges(parts['validation'])} (the paper's validation subjects) to test on.",
    )


def folder_data(path: Path, **options: Any) -> DemoData:
    """Load annotated recordings and hold out subjects, or the end if there is only one."""
    duration = options.get("duration", 4.0)
    epochs = load_folder(path, progress=True, **options)
    counts = Counter(epochs.metadata["label"])
    frequent = sorted(name for name, n in counts.items() if n >= _MIN_WINDOWS)
    if len(frequent) < 2:
        raise ValueError(
            f"The demo needs two classes of {_MIN_WINDOWS} windows or more; found "
            f"{dict(counts.most_common())}. Add recordings, or take shorter windows (--duration)."
        )
    epochs = epochs[np.isin(epochs.metadata["label"], frequent)]
    y = epochs.metadata["label"].to_numpy(dtype=str)
    subjects = epochs.metadata["subject"].to_numpy(dtype=str)
    starts = epochs.metadata["start"].to_numpy()
    n_subjects = len(set(subjects))
    if n_subjects > 1:
        train, test = split_by_subject(y, subjects)
        how = (
            f"{len(set(subjects[train]))} subjects to train on, {len(set(subjects[test]))} others "
        )
        how += "to test on: " + ", ".join(sorted(set(subjects[test])))
    else:
        # Runs of one subject follow each other on one clock, far apart.
        _, run = np.unique(epochs.metadata["file"], return_inverse=True)
        clock = starts + run * (starts.max() + 10 * duration)
        train, test = split_by_time(y, clock, duration, gap=duration)
        how = (
            "One subject only: the first 70% of each class's windows to train on, the last 30% to "
        )
        how += f"test on, at least {duration:g} s apart. This says little about other subjects"
    left_out = sorted(set(counts) - set(frequent))
    rare = f" Left out, with fewer than {_MIN_WINDOWS} windows: {left_out}." if left_out else ""
    return DemoData(
        epochs=epochs,
        y=y,
        subjects=subjects,
        train=train,
        test=test,
        task=Task(
            "annotation",
            "Which type does this EEG segment belong to?",
            {name: name for name in frequent},
            options=len(frequent) > 2,
        ),
        names={name: name for name in frequent},
        description=f"Recordings of {path}, windows of {duration:g} s. {how}.{rare}",
    )


def run_demo(
    data: DemoData, out: str | Path, *, model: str = "tiny", max_epochs: int, random_state: int = 0
) -> dict[str, dict[str, float]]:
    """Tokenize, tune, predict, compare with baselines and write ``report.html``.

    Parameters
    ----------
    data : DemoData
        Epochs, labels, split and task.
    out : str | Path
        Folder for the report, made if needed.
    model : str
        Model of both estimators. Default ``"tiny"``.
    max_epochs : int
        Passes over the training windows in tuning.
    random_state : int
        Seed. Default 0.

    Returns
    -------
    results : dict of dict of float
        Method -> metric -> value. Metrics are those of
        :func:`mne_neurolm.evaluation.score_predictions`, and the balanced accuracies of the
        ``worst_subject`` and ``best_subject`` if there are several.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from mne_neurolm import NeuroLMClassifier, NeuroLMTokenizer

    X_train, X_test = data.epochs[data.train], data.epochs[data.test]
    y_train, y_test = data.y[data.train], data.y[data.test]
    results: dict[str, dict[str, float]] = {}

    def score(name: str, proba: NDArray, classes: NDArray) -> None:
        results[name] = _score(y_test, proba, classes, data.subjects[data.test])

    tokenizer = NeuroLMTokenizer(model=model)
    tokens_train: Any  # EEGTokens, as output="tokens" is the default
    tokens_test: Any
    with _step(f"Tokenizing {len(X_train)} + {len(X_test)} windows"):
        tokens_train = tokenizer.fit_transform(X_train)
        tokens_test = tokenizer.transform(X_test)
    # The same as make_pipeline(NeuroLMTokenizer(), NeuroLMClassifier(task)), in two steps because
    # the probe and the report need the tokens too.
    classifier = NeuroLMClassifier(
        task=data.task, model=model, tune="full", max_epochs=max_epochs, random_state=random_state
    )
    with _step(f"Tuning on {len(y_train)} windows, passes: {max_epochs}"):
        classifier.fit(tokens_train, y_train)
    with _step(f"Predicting {len(y_test)} windows"):
        proba = classifier.predict_proba(tokens_test)
    score(f"NeuroLM {model}, tuned", proba, classifier.classes_)
    with _step("Linear probe of the tokens"):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
        probe.fit(tokens_train, y_train)
        score("Linear probe of tokens", probe.predict_proba(tokens_test), probe.classes_)
    with _step("Band power and logistic regression"):
        baseline = band_power_classifier().fit(X_train, y_train)
        score("Band power, logistic regression", baseline.predict_proba(X_test), baseline.classes_)
    results["Chance"] = {"balanced_accuracy": 1 / len(data.names), "auroc": 0.5}

    with _step("Report"):
        labels = list(data.names)
        order = [X_test.ch_names.index(name) for name in tokens_test.ch_names]
        # One example of every class that occurs, of the first few.
        examples = [int(np.flatnonzero(y_test == k)[0]) for k in labels if (y_test == k).any()][:3]
        original = X_test[examples].get_data(copy=False)[:, order]
        reconstruction = tokenizer.inverse_transform(tokens_test[examples])
        report = demo_report(
            results=results,
            y_true=y_test,
            y_pred=classifier.predict(tokens_test),
            labels=labels,
            names=[data.names[label] for label in labels],
            original=original[..., : reconstruction.shape[-1]],
            reconstruction=reconstruction,
            spectra=_spectra(tokenizer, X_test[examples]),
            frequency_target=tokenizer.model_.vq.frequency_target,
            examples={
                f"Reconstruction of a test window ({data.names[y_test[k]]})": row
                for row, k in enumerate(examples)
            },
            ch_names=tokens_test.ch_names,
            codes=tokens_test.codes,
            codebook_size=tokenizer.model_.config.codebook_size,
            times=tokens_test.times,
            description=data.description,
        )
        folder = Path(out).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        report.save(folder / "report.html", overwrite=True, open_browser=False, verbose="error")
    return results


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str | None
        Arguments. ``None`` (default) takes those of the process.

    Returns
    -------
    status : int
        0 if the report was written, 1 if the data or the arguments do not allow it.
    """
    args = _parser().parse_args(argv)
    begin = time.perf_counter()
    try:
        with mne.use_log_level("warning"):
            with _step("Simulating" if args.data is None else f"Loading {args.data}"):
                data = _load(args)
            sys.stdout.write(data.description + "\n")
            kind = "simulated" if args.data is None else "recorded"
            max_epochs = _MAX_EPOCHS[kind] if args.max_epochs is None else args.max_epochs
            results = run_demo(
                data,
                args.out,
                model=args.model,
                max_epochs=max_epochs,
                random_state=args.random_state,
            )
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        sys.stderr.write(f"\nmne_neurolm.demo: {error}\n")
        return 1
    sys.stdout.write("\n" + format_table(results))
    sys.stdout.write(
        f"\nReport: {Path(args.out).expanduser() / 'report.html'}\n"
        f"Total: {time.perf_counter() - begin:.0f} s\n"
    )
    return 0


def format_table(results: dict[str, dict[str, float]]) -> str:
    """Return results as a plain text table, one row per method."""
    columns = [*_SHOWN, "worst_subject", "best_subject"]
    columns = [c for c in columns if any(c in row for row in results.values())]
    width = max(len(name) for name in results)
    lines = ["  ".join([" " * width, *(c.replace("_", " ") for c in columns)])]
    for name, row in results.items():
        cells = (f"{row[c]:.3f}" if c in row else "-" for c in columns)
        lines.append(
            "  ".join(
                [name.ljust(width), *(v.rjust(len(c)) for v, c in zip(cells, columns, strict=True))]
            )
        )
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mne_neurolm.demo",
        description="Tokenize EEG, tune NeuroLM, predict unseen subjects and write report.html.",
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="EEGMAT's folder (SubjectNN_1.edf, SubjectNN_2.edf), or any file or folder that MNE "
        "reads, with annotations as classes; default: simulated EEG",
    )
    parser.add_argument("--out", type=Path, default=Path("neurolm_demo"), help="folder to write to")
    parser.add_argument("--model", default="tiny", help="model of both estimators (default: tiny)")
    parser.add_argument("--max-epochs", type=int, help="passes over the training windows")
    parser.add_argument("--random-state", type=int, default=0, help="seed (default: 0)")
    group = parser.add_argument_group("annotated recordings")
    group.add_argument("--duration", type=float, default=4.0, help="window in s (default: 4)")
    group.add_argument("--classes", nargs="+", help="annotations to tell apart (default: all)")
    group.add_argument("--line-freq", type=float, help="50 or 60 Hz (default: as recorded)")
    return parser


def _load(args: argparse.Namespace) -> DemoData:
    if args.data is None:
        return simulated_data(args.random_state)
    if args.data.is_dir():
        with suppress(FileNotFoundError):  # it holds no recording of EEGMAT
            find_members("workload", args.data)
            return eegmat_data(args.data)
    return folder_data(
        args.data,
        duration=args.duration,
        classes=args.classes,
        line_freq="auto" if args.line_freq is None else args.line_freq,
    )


def _score(
    y_true: NDArray, proba: NDArray, classes: NDArray, subjects: NDArray
) -> dict[str, float]:
    """Return scores, and the range of balanced accuracy over subjects that have several classes."""
    scores = score_predictions(y_true, proba, classes)
    parts = [subjects == subject for subject in sorted(set(subjects.tolist()))]
    several = [part for part in parts if len(set(y_true[part].tolist())) > 1]
    if len(several) > 1:
        each = [
            score_predictions(y_true[part], proba[part], classes)["balanced_accuracy"]
            for part in several
        ]
        scores["worst_subject"], scores["best_subject"] = min(each), max(each)
    return scores


def _spectra(
    tokenizer: NeuroLMTokenizer, epochs: mne.BaseEpochs
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return spectra of epochs and those decoded from codes, both (n_epochs, n_tokens, 100)."""
    import torch

    # Whatever there is to warn about was said when all windows were tokenized.
    with mne.use_log_level("error"):
        patches = make_patches(epochs)
        tokens: Any = tokenizer.transform(epochs)
    model = tokenizer.model_
    codes, channels, times, data = (
        torch.from_numpy(a).to(model.device)
        for a in (tokens.codes, tokens.channels, tokens.times, patches.data)
    )
    with torch.inference_mode():
        original, _ = model.vq.targets(data)
        decoded, _ = model.vq.decode_codes(codes, channels, times)
    return original.float().cpu().numpy(), decoded.float().cpu().numpy()


@contextmanager
def _step(name: str) -> Iterator[None]:
    """Write the name of a step, and how long it took when it is done."""
    # On one line each, before and after: progress bars on standard error come in between.
    sys.stdout.write(f"{name} ...\n")
    sys.stdout.flush()
    begin = time.perf_counter()
    yield
    sys.stdout.write(f"  {time.perf_counter() - begin:.1f} s\n")
    sys.stdout.flush()


def _ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers as text, e.g. ``"0-3, 5"``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)


if __name__ == "__main__":
    sys.exit(main())
