"""Questions to ask about the recordings of a store: which windows, and what the answers are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from mne.utils import logger, warn

from ..datasets.catalog import DATASETS
from ..datasets.readers import eegmat
from ..datasets.specs import DatasetSpec
from ..datasets.windows import Span, window_starts
from ..patches import MAX_SECONDS, MAX_TOKENS, PATCH_SIZE
from ..tasks import YAML_HINT, Task, get_task
from .plan import Bucket, Windows, make_windows, split_recordings

_REQUIRED = {"name", "question", "answers", "duration"}
_FIELDS = _REQUIRED | {"phrasings", "options", "files", "hop", "point_duration"}


@dataclass(frozen=True, kw_only=True)
class LabelRule:
    """Where the windows of a task and their labels come from.

    Attributes
    ----------
    task : Task
        Question and answers.
    duration : float
        Length of a window in seconds; what exceeds whole seconds is not used.
    hop : float
        Seconds from the start of a window to that of the next.
    files : str
        Regular expression; only recordings in whose names it is found take part.
    by_file : dict of str | None
        Label by the text of the group ``label`` of ``files``: the whole recording is one class.
        None (default): the descriptions of annotations are the labels.
    last_seconds : float | None
        Only the end of a recording counts. None (default): all of it.
    point_duration : float
        Annotations shorter than a window that last at most this many seconds mark the start of one
        window. Default 1.0.
    lead : float
        Seconds that a window starts before its annotation, which then has one. Default 0.
    splits : dict of range | None
        Numbers of subjects by split, matched by the group ``subject`` of ``files``. None (default):
        subjects are held out as for the other stages.
    """

    task: Task
    duration: float
    hop: float
    files: str = ""
    by_file: dict[str, Any] | None = None
    last_seconds: float | None = None
    point_duration: float = 1.0
    lead: float = 0.0
    splits: dict[str, range] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.duration <= MAX_SECONDS or not 0 < self.hop:
            raise ValueError(
                f"Task {self.task.name!r}: windows must last 1 to {MAX_SECONDS} s and start a "
                f"positive time after each other; got duration={self.duration}, hop={self.hop}."
            )


def _rule(spec: DatasetSpec) -> LabelRule:
    """Return where the labels of a downstream data set are once it is in a store."""
    protocol = spec.protocol
    assert protocol is not None
    return LabelRule(
        task=get_task(protocol.task),
        duration=protocol.duration,
        hop=protocol.hop,
        lead=protocol.lead,
        point_duration=protocol.point_duration,
        # Data sets share words for labels, so only the recordings of this one take part.
        files=f"^{spec.name}/",
    )


# The tasks of the paper, whose labels `prepare` stores as annotations. Those of Workload are in the
# names of its files too, so any folder of them will do.
_RULES = {spec.name: _rule(spec) for spec in DATASETS.values() if spec.protocol is not None}
_RULES["workload"] = replace(
    _RULES["workload"],
    files=r"Subject(?P<subject>\d{2})_(?P<label>[12])\.edf$",
    by_file=eegmat.LABELS,
    last_seconds=eegmat.SECONDS,
    splits=eegmat.SPLITS,
)


def read_rules(names: Sequence[str]) -> list[LabelRule]:
    """Return the rules of tasks given on the command line.

    Parameters
    ----------
    names : sequence of str
        Names of tasks, or YAML files with one task or a list of tasks. A task there has ``name``,
        ``question``, ``answers`` (annotation description to answer) and ``duration`` in seconds,
        and perhaps ``phrasings`` (a list), ``hop``, ``options`` (true, false or
        words), ``files`` and ``point_duration``.

    Returns
    -------
    rules : list of LabelRule
        In the order of the names.

    Raises
    ------
    ValueError
        If there is no name, no such task or file, or a file does not describe tasks.
    """
    rules = []
    for name in (part for item in names for part in item.split(",") if part):
        if name in _RULES:
            rules.append(_RULES[name])
        elif Path(name).suffix.lower() in (".yaml", ".yml"):
            rules += _read_file(Path(name).expanduser())
        else:
            raise ValueError(
                f"Unknown task {name!r}. Known by name: {', '.join(_RULES)}. For others give a "
                "YAML file with name, question, answers (annotation description: answer) and "
                "duration."
            )
    if not rules:
        raise ValueError(f"Which tasks? Give names ({', '.join(_RULES)}) or YAML files.")
    return rules


def _read_file(path: Path) -> list[LabelRule]:
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ValueError(f"Tasks can't be read from {path}: {error}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"Tasks can't be read from {path}: {error}\n{YAML_HINT}") from error
    entries = content if isinstance(content, list) else [content]
    rules = []
    for entry in entries:
        if not isinstance(entry, dict) or not set(entry) >= _REQUIRED:
            raise ValueError(
                f"{path}: a task needs name, question, answers and duration; got {entry!r}."
            )
        unknown = set(entry) - _FIELDS
        if unknown:
            raise ValueError(
                f"{path}: unknown {sorted(unknown)}; a task may have {sorted(_FIELDS)}."
            )
        answers = {_word(key): _word(text) for key, text in dict(entry["answers"]).items()}
        try:
            task = Task(
                str(entry["name"]),
                entry["question"],
                answers,
                options=entry.get("options") or False,
                phrasings=entry.get("phrasings") or (),
            )
        except (TypeError, ValueError) as error:
            raise type(error)(f"{path}: {error}") from error
        rules.append(
            LabelRule(
                task=task,
                duration=float(entry["duration"]),
                hop=float(entry["hop"] if "hop" in entry else entry["duration"]),
                files=str(entry.get("files", "")),
                point_duration=float(entry.get("point_duration", 1.0)),
            )
        )
    return rules


def _word(value: Any) -> str:
    """Return a word of a YAML file, where Yes and No without quotes are truth values."""
    return {True: "Yes", False: "No"}[value] if isinstance(value, bool) else str(value)


def label_windows(
    recordings: Sequence, rules: Sequence[LabelRule], val_fraction: float
) -> tuple[Windows, Windows]:
    """Cut windows with labels.

    Parameters
    ----------
    recordings : sequence of Recording
        All recordings of a store.
    rules : sequence of LabelRule
        One per task.
    val_fraction : float
        See :func:`~mne_neurolm.training.plan.split_recordings`.

    Returns
    -------
    train, val : Windows
        ``task`` of their buckets counts the rules. No subject is in both.

    Raises
    ------
    ValueError
        If a task has no windows to train on.
    """
    cuts = [
        {i: _cut(r, rule) for i, r in enumerate(recordings) if re.search(rule.files, r.name)}
        for rule in rules
    ]
    there = sorted({i for cut in cuts for i in cut if cut[i]})
    splits = _split(recordings, there, rules, val_fraction)
    rows: dict[str, list] = {"train": [], "val": [], "test": []}
    for number, (rule, cut) in enumerate(zip(rules, cuts, strict=True)):
        for i, windows in cut.items():
            if not windows:
                continue
            bucket = Bucket(tuple(sorted(recordings[i].channels)), int(rule.duration), number)
            rows[splits[i]] += [(bucket, i, start, 0, label) for start, label in windows]
        count = sum(row[0].task == number for row in rows["train"])
        if not count:
            raise ValueError(
                f"Task {rule.task.name!r}: no window to train on. {sum(map(bool, cut.values()))} "
                f"of {len(recordings)} recordings have windows of {rule.duration:g} s with the "
                f"labels {list(rule.task.labels)}; names must match {rule.files!r}. Annotations in "
                f"the store: {_descriptions(recordings)}."
            )
        logger.info(f"Task {rule.task.name!r}: {count} windows to train on.")
    return make_windows(rows["train"]), make_windows(rows["val"])


def _split(
    recordings: Sequence, there: list[int], rules: Sequence[LabelRule], val_fraction: float
) -> dict[int, str]:
    """Return the part of each recording: one for all tasks, so that no subject is in two."""
    fixed: dict[tuple[str, str], str] = {}
    for rule in rules:
        for i in there if rule.splits is not None else []:
            match = re.search(rule.files, recordings[i].name)
            subject = int(match["subject"]) if match else -1
            for split, numbers in (rule.splits or {}).items():
                if subject in numbers:
                    fixed[_subject(recordings[i])] = "val" if split == "validation" else split
    free = [i for i in there if _subject(recordings[i]) not in fixed]
    train, val = split_recordings([recordings[i] for i in free], val_fraction)
    splits = {i: fixed.get(_subject(recordings[i]), "test") for i in there}
    splits |= {free[i]: "train" for i in train} | {free[i]: "val" for i in val}
    return splits


def _subject(recording: Any) -> tuple[str, str]:
    return recording.dataset, recording.subject


def _cut(recording: Any, rule: LabelRule) -> list[tuple[int, int]]:
    """Return (first sample, index of the answer) of the windows of a recording."""
    n_times = int(rule.duration) * PATCH_SIZE
    n_tokens = int(rule.duration) * len(recording.channels)
    if n_tokens > MAX_TOKENS:
        warn(
            f"{recording.name}: windows of {rule.duration:g} s with {len(recording.channels)} "
            f"channels are {n_tokens} patches, more than {MAX_TOKENS}; it takes no part in task "
            f"{rule.task.name!r}."
        )
        return []
    sfreq, seconds = recording.sfreq, recording.n_times / recording.sfreq
    windows = []
    for span in _spans(recording, rule, seconds):
        if span.label not in rule.task.labels:
            continue
        label = rule.task.labels.index(span.label)
        for begin in window_starts(
            span,
            seconds,
            duration=n_times / sfreq,
            hop=rule.hop,
            lead=rule.lead,
            point_duration=rule.point_duration,
        ):
            start = min(max(round(begin * sfreq), 0), recording.n_times - n_times)
            windows.append((start, label))
    return windows


def _spans(recording: Any, rule: LabelRule, seconds: float) -> list[Span]:
    """Return what is labelled: annotations, or all or the end of a file whose name is a label."""
    if rule.by_file is None:
        return [Span(*note) for note in recording.annotations]
    match = re.search(rule.files, recording.name)
    length = seconds if rule.last_seconds is None else rule.last_seconds
    if match is None or match["label"] not in rule.by_file or length > seconds:
        return []
    return [Span(seconds - length, length, rule.by_file[match["label"]])]


def _descriptions(recordings: Sequence) -> str:
    found = sorted({a[2] for r in recordings for a in r.annotations})
    return ", ".join(map(repr, found[:20])) or "none"
