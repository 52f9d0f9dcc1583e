"""Problems from the data sets of the paper and from files that describe one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import mne
import numpy as np

from mne_neurolm.evaluation.problem import SCHEMES, Problem, make_folds
from mne_neurolm.tasks import YAML_HINT, Task, get_task
from mne_neurolm.utils.optional import import_optional

_REQUIRED = ("name", "question", "answers", "epochs", "label", "subject", "cv")
_OPTIONAL = ("options", "phrasings")
_SUFFIXES = (".yaml", ".yml")

Root = str | Path


def load_problems(
    tasks: Sequence[str | Path],
    root: Root | Mapping[str, Root] | None = None,
    *,
    n_jobs: int = 1,
    progress: bool = False,
) -> list[Problem]:
    """Load what is to be classified.

    Parameters
    ----------
    tasks : sequence of str | pathlib.Path
        Names of downstream data sets of the paper, such as ``"workload"``, or YAML files
        (see :func:`read_problem`). A name alone takes the paper's split;
        ``"workload:group-5-fold"`` takes other folds, see :func:`make_folds`, and
        ``"condition.yaml:group-2-fold"`` other ones than the file says.
    root : str | pathlib.Path | dict | None
        Folder of the data sets' files, or folders by name. Not needed for YAML files.
    n_jobs : int
        Recordings to prepare in parallel processes. Default 1.
    progress : bool
        Whether to show progress bars on standard error. Default False.

    Returns
    -------
    problems : list of Problem
        In the order of the tasks, with names of their own. Epochs are in memory: 8 bytes per
        sample.

    Raises
    ------
    FileNotFoundError
        If a file or folder is not there.
    ValueError
        If there is no such data set or scheme, a name is there twice, or a data set has no folder.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation import load_problems
    >>> text = '''
    ... {name: eyes, question: "Are the eyes open?", answers: {rest: "No", active: "Yes"},
    ...  epochs: "*-epo.fif", label: state, subject: subject, cv: leave-one-subject-out}
    ... '''
    >>> epochs = simulate_epochs(n_subjects=3, n_epochs_per_subject=4, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = epochs.save(Path(folder, "all-epo.fif"), verbose="error")
    ...     _ = Path(folder, "eyes.yaml").write_text(text)
    ...     (problem,) = load_problems([f"{folder}/eyes.yaml:group-2-fold"])
    >>> problem.name, [fold.name for fold in problem.folds]
    ('eyes', ['fold 1', 'fold 2'])

    A data set of the paper needs its files:

    >>> problems = load_problems(["workload"], "eegmat")  # doctest: +SKIP
    """
    problems: list[Problem] = []
    loaded: dict[str, mne.BaseEpochs] = {}
    for entry in tasks:
        name, scheme = _parse(entry)
        if name.lower().endswith(_SUFFIXES):
            problem = read_problem(name, cv=scheme)
        else:
            problem = _load_dataset(
                name, root, scheme or "paper", loaded=loaded, n_jobs=n_jobs, progress=progress
            )
        if problem.name in {other.name for other in problems}:
            raise ValueError(
                f"Two problems are called {problem.name!r}; files and tables go by names. Name "
                "each one once, or change the name in the YAML file."
            )
        problems.append(problem)
    if not problems:
        raise ValueError("There is no task; name one or more, e.g. 'workload' or a YAML file.")
    return problems


def read_problem(path: str | Path, *, cv: str | None = None) -> Problem:
    """Read a problem from a YAML file that describes it.

    Parameters
    ----------
    path : str | pathlib.Path
        The file. Its keys are ``name``; ``question`` and ``answers`` (label: text), as of
        :class:`mne_neurolm.Task`; ``epochs``, a pattern such as ``epochs/*-epo.fif`` of files
        beside the YAML file, in volts; ``label`` and ``subject``, columns of their metadata; and
        ``cv``, see :func:`make_folds`; ``paper`` needs a column ``split`` of ``train``,
        ``validation`` or ``test``. ``options`` (true, false or words) and ``phrasings`` (a list)
        may be there.
    cv : str | None
        Takes the place of the file's ``cv``. Default ``None``: as the file says.

    Returns
    -------
    problem : Problem
        With the EEG channels that are not bad, the same in all files.

    Raises
    ------
    FileNotFoundError
        If the file is not there, or no file is like the pattern.
    ValueError
        If keys are missing or unknown, or files do not fit each other or the answers.
    ImportError
        If PyYAML is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation import read_problem
    >>> text = '''name: eyes
    ... question: Are the eyes open?
    ... answers: {rest: "No", active: "Yes"}
    ... epochs: "*-epo.fif"
    ... label: state
    ... subject: subject
    ... cv: leave-one-subject-out
    ... '''
    >>> epochs = simulate_epochs(n_subjects=3, n_epochs_per_subject=4, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = epochs.save(Path(folder, "all-epo.fif"), verbose="error")
    ...     _ = Path(folder, "eyes.yaml").write_text(text)
    ...     problem = read_problem(Path(folder, "eyes.yaml"))
    >>> problem.task.prompt(), [fold.name for fold in problem.folds]
    ('Question: Are the eyes open? Answer:', ['subject 0', 'subject 1', 'subject 2'])
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {file}.")
    yaml = import_optional("yaml", extra="train", purpose="Reading a problem from a YAML file")
    try:
        entries = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{file} is no valid YAML: {error}\n{YAML_HINT}") from error
    _check_keys(file, entries)
    further = {"phrasings": tuple(entries["phrasings"])} if "phrasings" in entries else {}
    try:
        task = Task(
            str(entries["name"]),
            entries["question"],
            entries["answers"],
            options=entries.get("options", False),
            **further,
        )
    except (TypeError, ValueError) as error:
        hint = " YAML reads No and Yes as false and true: put quotes around them."
        raise ValueError(f"{file}: {error}{hint if _has_truth(entries) else ''}") from error
    epochs, y, subjects = _read_epochs(file, entries, task)
    scheme = str(entries["cv"]) if cv is None else cv
    parts = epochs.metadata["split"].to_numpy() if "split" in epochs.metadata else None
    try:
        return Problem(
            task.name,
            task,
            epochs,
            y,
            subjects,
            make_folds(scheme, y, subjects, parts=parts),
            description=_describe(f"{entries['epochs']} of {file.name}", epochs, subjects, scheme),
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from error


def _parse(entry: str | Path) -> tuple[str, str | None]:
    """Return a name, or path, and the scheme behind its last colon."""
    text = str(entry)
    name, colon, scheme = text.rpartition(":")
    # A colon may also belong to a path: C:\folder\task.yaml
    if colon and "/" not in scheme and "\\" not in scheme and not scheme.endswith(_SUFFIXES):
        return name, scheme
    return text, None


def _load_dataset(
    name: str,
    root: Root | Mapping[str, Root] | None,
    scheme: str,
    *,
    loaded: dict[str, mne.BaseEpochs],
    n_jobs: int,
    progress: bool,
) -> Problem:
    """Return a downstream data set of the paper as a problem."""
    from mne_neurolm.datasets import load, to_epochs
    from mne_neurolm.datasets.catalog import get_spec

    spec = get_spec(name)
    if spec.protocol is None:
        raise ValueError(
            f"{spec.title} is a pretraining corpus without labels. Name a downstream data set, or "
            "describe your own data in a YAML file."
        )
    if spec.name not in loaded:
        folder = _folder_of(spec.name, name, root)
        dataset = load(spec.name, folder, n_jobs=n_jobs, progress=progress)
        loaded[spec.name] = to_epochs(dataset)
    epochs = loaded[spec.name]
    task = get_task(spec.protocol.task)
    y = epochs.metadata["label"].to_numpy()
    subjects = epochs.metadata["subject"].to_numpy(dtype=str)
    folds = make_folds(scheme, y, subjects, parts=epochs.metadata["split"])
    what = _describe(spec.title, epochs, subjects, scheme)
    if scheme == "paper":
        what += f" The paper's split: {spec.split}; scored on the {folds[0].name}."
    return Problem(
        spec.name if scheme == "paper" else f"{spec.name} {scheme}",
        task,
        epochs,
        y,
        subjects,
        folds,
        description=what,
        dataset=spec.name,
    )


def _folder_of(name: str, asked: str, root: Root | Mapping[str, Root] | None) -> Root:
    """Return the folder of a data set."""
    if isinstance(root, Mapping):
        folders = {key.lower(): folder for key, folder in root.items()}
        for key in (name, asked.lower()):
            if key in folders:
                return folders[key]
        near = get_close_matches(name, list(folders), n=1)
        hint = f" Did you mean {name!r} by {near[0]!r}?" if near else ""
        raise ValueError(
            f"No folder is given for {name!r}, only for {', '.join(folders) or 'none'}.{hint} Add "
            f"{name}=DIR."
        )
    if root is None:
        raise ValueError(f"Where are the files of {name!r}? Give its folder as root.")
    return root


def _has_truth(entries: Mapping[str, Any]) -> bool:
    """Tell whether an answer is true or false and no text."""
    answers = entries["answers"]
    return isinstance(answers, Mapping) and any(isinstance(a, bool) for a in answers.values())


def _check_keys(file: Path, entries: Any) -> None:
    """Refuse a description with missing or unknown entries."""
    if not isinstance(entries, Mapping):
        raise ValueError(f"{file} must hold keys and values: {', '.join(_REQUIRED)}.")
    missing = [key for key in _REQUIRED if key not in entries]
    unknown = [key for key in entries if key not in (*_REQUIRED, *_OPTIONAL)]
    if missing or unknown:
        raise ValueError(
            f"{file}: missing are {missing or 'none'}, unknown are {unknown or 'none'}. Needed are "
            f"{', '.join(_REQUIRED)}; {' and '.join(_OPTIONAL)} may be there. cv is one of "
            f"{', '.join(SCHEMES)}."
        )


def _read_epochs(
    file: Path, entries: Mapping[str, Any], task: Task
) -> tuple[mne.BaseEpochs, np.ndarray, np.ndarray]:
    """Return the epochs of all files, their labels and subjects."""
    import pandas as pd

    from mne_neurolm.datasets.epochs import join_windows

    paths = sorted(file.parent.glob(str(entries["epochs"])))
    if not paths:
        raise FileNotFoundError(
            f"{file}: there is no file like {entries['epochs']} in {file.parent}."
        )
    parts, infos, tables = [], [], []
    for path in paths:
        epochs = mne.read_epochs(path, verbose="error").pick("eeg", exclude="bads")
        table = epochs.metadata
        columns = [] if table is None else list(table.columns)
        absent = [entries[key] for key in ("label", "subject") if entries[key] not in columns]
        if absent:
            raise ValueError(
                f"{path}: its metadata has no column {absent}; there are {columns or 'none'}."
            )
        parts.append(epochs.get_data(copy=False))
        infos.append(epochs.info)
        tables.append(table)
    kinds = {
        (tuple(i["ch_names"]), i["sfreq"], d.shape[2]) for d, i in zip(parts, infos, strict=True)
    }
    if len(kinds) > 1:
        shown = sorted(f"{len(c)} channels, {rate:g} Hz, {n} samples" for c, rate, n in kinds)
        raise ValueError(
            f"{file}: epochs differ between files: {'; '.join(shown[:5])}. Bring them to the same "
            "good EEG channels, rate and length, e.g. with interpolate_bads and resample."
        )
    metadata = pd.concat(tables, ignore_index=True)
    labels = metadata[entries["label"]]
    if labels.isna().any() or metadata[entries["subject"]].isna().any():
        raise ValueError(
            f"{file}: some epochs have no {entries['label']} or no {entries['subject']}. Leave "
            "them out of the epochs files."
        )
    y = labels.to_numpy(dtype=str) if labels.dtype.kind not in "iub" else labels.to_numpy()
    codes = task.label_indices(y)
    texts = list(task.answers.values())
    joined = join_windows(
        parts,
        infos,
        codes=codes,
        event_id={texts[code]: int(code) for code in np.unique(codes)},
        metadata=metadata,
    )
    return joined, y, metadata[entries["subject"]].to_numpy(dtype=str)


def _describe(what: str, epochs: mne.BaseEpochs, subjects: np.ndarray, scheme: str) -> str:
    """Return data and folds in words."""
    info = epochs.info
    seconds = len(epochs.times) / info["sfreq"]
    people = len(np.unique(subjects))
    return (
        f"{what}: {len(epochs)} epochs of {seconds:g} s, {len(info['ch_names'])} channels at "
        f"{info['sfreq']:g} Hz, {people} subject{'s' if people > 1 else ''}. Folds: {scheme}."
    )
