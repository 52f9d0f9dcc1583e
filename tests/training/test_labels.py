"""Windows with labels: from file names, from annotations, and without leaks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mne_neurolm.training.labels import label_windows, read_rules

SECOND = 200


def recording(name: str, seconds: float, annotations: tuple = (), channels: int = 19):
    return SimpleNamespace(
        name=name,
        dataset=name.split("/")[0],
        subject=name.split("/")[1].split("_")[0],
        split="",
        n_times=int(seconds * SECOND),
        sfreq=200.0,
        channels=tuple(range(channels)),
        annotations=annotations,
    )


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "tasks.yaml"
    path.write_text(text)
    return str(path)


EYES = """
name: eyes
question: Are the eyes open?
answers: {open: "Yes", closed: "No"}
duration: 4
"""


@pytest.mark.parametrize(
    ("options", "expected"), [("true", True), ("words", "words"), ("false", False)]
)
def test_options_of_a_file(options, expected, tmp_path: Path) -> None:
    (rule,) = read_rules([write(tmp_path, f"{EYES}options: {options}\n")])
    assert rule.task.options == expected


def test_wrong_options_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="tasks.yaml: options of task 'eyes' .* got 'letters'"):
        read_rules([write(tmp_path, f"{EYES}options: letters\n")])


def test_workload_follows_the_protocol() -> None:
    """Last 60 s, windows of 4 s every 2 s, the paper's split; any folder of these files will do."""
    there = [
        recording("d/Subject00_1.edf", 182.0),
        recording("d/Subject00_2.edf", 62.5),
        recording("d/Subject27_2.edf", 60.0),
        recording("d/Subject33_1.edf", 180.0),  # of the test set
        recording("d/Subject01_1.edf", 59.0),  # too short for the protocol
        recording("d/other.edf", 300.0),
    ]
    train, val = label_windows(there, read_rules(["workload"]), 0.1)
    assert len(train) == 58 and len(val) == 29
    assert set(train.recording) == {0, 1} and set(val.recording) == {2}
    assert train.label[train.recording == 0].tolist() == [0] * 29
    assert train.label[train.recording == 1].tolist() == [1] * 29
    assert train.start[train.recording == 0].tolist() == [(122 + 2 * i) * SECOND for i in range(29)]
    assert train.start[train.recording == 1][0] == int(2.5 * SECOND)
    assert {b.n_seconds for b in train.buckets} == {4} and {b.task for b in train.buckets} == {0}


def test_wordings_of_a_file(tmp_path: Path) -> None:
    text = EYES + "phrasings:\n- Does the person look at something?\n- Is somebody looking?\n"
    (rule,) = read_rules([write(tmp_path, text)])
    assert rule.task.phrasings == ("Does the person look at something?", "Is somebody looking?")
    with pytest.raises(TypeError, match="sequence of texts"):
        read_rules([write(tmp_path, EYES + "phrasings: Just one?\n")])


def test_annotations_are_labels(tmp_path: Path) -> None:
    spans = (
        (0.0, 10.0, "open"),  # two windows
        (10.0, 4.0, "closed"),  # one
        (20.0, 3.0, "open"),  # longer than a mark, shorter than a window: none
        (30.0, 0.0, "closed"),  # a mark: one
        (57.0, 0.0, "closed"),  # the recording ends before the window does
        (40.0, 10.0, "asleep"),  # no answer of the task
    )
    train, val = label_windows(
        [recording("d/a_1.edf", 60.0, spans)], read_rules([write(tmp_path, EYES)]), 0.1
    )
    assert (train.start // SECOND).tolist() == [0, 4, 10, 30]
    assert train.label.tolist() == [0, 0, 1, 1]
    assert len(val) == 0


def test_subjects_are_in_one_part(tmp_path: Path) -> None:
    there = [recording(f"d/s{i // 2}_{i % 2}.edf", 8.0, ((0.0, 8.0, "open"),)) for i in range(20)]
    train, val = label_windows(there, read_rules([write(tmp_path, EYES)]), 0.2)
    subjects = [{there[i].subject for i in part.recording} for part in (train, val)]
    assert len(subjects[1]) == 2 and not subjects[0] & subjects[1]


def test_one_split_for_all_tasks(tmp_path: Path) -> None:
    """A subject that one task holds out is not another's to train on."""
    eyes = ((0.0, 60.0, "open"),)
    there = [recording(f"d/Subject{s:02d}_1.edf", 60.0, eyes) for s in (0, 1, 2, 27, 33)]
    there += [recording(f"d/s{i}_1.edf", 60.0, eyes) for i in range(10)]
    other = tmp_path / "other.yaml"
    other.write_text(EYES.replace("eyes", "again") + "files: s[0-5]_")
    rules = read_rules(["workload", write(tmp_path, EYES), str(other)])
    train, val = label_windows(there, rules, 0.3)
    names = [{there[i].subject for i in part.recording} for part in (train, val)]
    assert not names[0] & names[1]
    assert "Subject27" in names[1] and "Subject33" not in names[0] | names[1]
    assert {"Subject00", "Subject01", "Subject02"} <= names[0]


def test_several_tasks_are_counted(tmp_path: Path) -> None:
    there = [
        recording("d/Subject00_1.edf", 60.0, ((0.0, 4.0, "open"),)),
        recording("d/Subject02_2.edf", 60.0, ((0.0, 4.0, "closed"),)),
    ]
    rules = read_rules([f"workload,{write(tmp_path, EYES)}"])
    train, _ = label_windows(there, rules, 0.0)
    tasks = np.array([train.buckets[b].task for b in train.bucket])
    assert (tasks == 0).sum() == 58 and (tasks == 1).sum() == 2


def test_too_many_patches_are_left_out(tmp_path: Path) -> None:
    there = [
        recording("d/a_1.edf", 60.0, ((0.0, 60.0, "open"),), channels=64),
        recording("d/b_1.edf", 60.0, ((0.0, 60.0, "open"),), channels=19),
    ]
    rules = read_rules([write(tmp_path, EYES.replace("duration: 4", "duration: 20"))])
    with pytest.warns(RuntimeWarning, match="64 channels are 1280 patches, more than 1024"):
        train, _ = label_windows(there, rules, 0.0)
    assert set(train.recording) == {1} and len(train) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a", "needs name, question, answers and duration"),
        (EYES + "durations: 3", r"unknown \['durations'\]"),
        (EYES.replace("duration: 4", "duration: 80"), "must last 1 to 64 s"),
        (EYES + "hop: 0", "start a positive time after each other"),
        (EYES.replace('closed: "No"', ""), "at least two"),
        ("[", "can't be read"),
        (EYES.replace("{open", "{open,: "), "(?s)expected.*quotes around labels and texts"),
    ],
)
def test_files_that_describe_no_task(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_rules([write(tmp_path, text)])


def test_yes_and_no_need_no_quotes(tmp_path: Path) -> None:
    (rule,) = read_rules([write(tmp_path, EYES.replace('"', ""))])
    assert rule.task.answers == {"open": "Yes", "closed": "No"}


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Unknown task 'moods'. Known by name: tuab, .*workload"):
        read_rules(["moods"])
    with pytest.raises(ValueError, match="Which tasks"):
        read_rules([])
    with pytest.raises(ValueError, match="can't be read from .*absent.yaml"):
        read_rules(["absent.yaml"])
    there = [recording("d/a_1.edf", 60.0, ((0.0, 60.0, "asleep"),))]
    with pytest.raises(ValueError, match="no window to train on.*Annotations in the store: 'asl"):
        label_windows(there, read_rules([write(tmp_path, EYES)]), 0.0)
