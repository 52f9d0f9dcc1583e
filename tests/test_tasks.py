"""Tasks: the paper's wording, the reading of labels, and what is refused."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mne_neurolm import Task, get_task
from mne_neurolm.tasks import TASKS

# Prompts word for word (paper, Table 5, in the spelling of the released code).
PROMPTS = {
    "tuab": "Question: Is this EEG segment abnormal? Answer:",
    "tuev": (
        "Question: Which event type does this EEG segment belong to? "
        "Options: (A) spike and slow wave. (B) generalized periodic epileptiform discharge. "
        "(C) periodic lateralized epileptiform discharge. (D) eye movement. (E) artifact. "
        "(F) background. Answer: ("
    ),
    "seed": "Question: Which emotion type does this EEG segment belong to? Answer:",
    "hmc": (
        "Question: Which sleep type does this EEG segment belong to? "
        "Options: (A) Wake. (B) NREM-1. (C) NREM-2. (D) NREM-3. (E) REM. Answer: ("
    ),
    "workload": "Question: Is this EEG segment of high workload? Answer:",
    "tusl": (
        "Question: Which type does this EEG segment belong to? "
        "Options: (A) background. (B) seizure. (C) slowing. Answer: ("
    ),
}
# What completes them, label by label in the order of the table.
COMPLETIONS = {
    "tuab": {"No": " No ", "Yes": " Yes "},
    "tuev": dict(spsw="A) ", gped="B) ", pled="C) ", eyem="D) ", artf="E) ", bckg="F) "),
    "seed": {"positive": " Positive ", "neutral": " Neutral ", "negative": " Negative "},
    "hmc": {"W": "A) ", "N1": "B) ", "N2": "C) ", "N3": "D) ", "R": "E) "},
    "workload": {"No": " No ", "Yes": " Yes "},
    "tusl": {"bckg": "A) ", "seiz": "B) ", "slow": "C) "},
}


@pytest.fixture
def stages() -> Task:
    return Task(
        "stages", "Which stage?", {"w": "awake", "n": "asleep", "r": "dreaming"}, options=True
    )


def test_there_are_six_tasks():
    assert set(TASKS) == set(PROMPTS)


@pytest.mark.parametrize("name", PROMPTS)
def test_wording_of_the_paper(name):
    task = get_task(name)
    assert task.prompt() == PROMPTS[name]
    assert dict(zip(task.labels, task.answer_texts(), strict=True)) == COMPLETIONS[name]
    assert list(task.labels) == list(COMPLETIONS[name])


def test_get_task():
    assert get_task("Workload") is get_task("workload")
    task = Task("mine", "Which?", {0: "left", 1: "right"})
    assert get_task(task) is task
    for unknown in ("sleep", 3, None):
        with pytest.raises(ValueError, match=r"Unknown task .*'workload'.*Task\(name, question"):
            get_task(unknown)


def test_order_of_options(stages):
    """A label keeps its answer and takes the letter of the place where it is listed."""
    order = [2, 0, 1]
    assert stages.prompt(order) == (
        "Question: Which stage? Options: (A) dreaming. (B) awake. (C) asleep. Answer: ("
    )
    assert stages.answer_texts(order) == ["B) ", "C) ", "A) "]
    assert stages.prompt([0, 1, 2]) == stages.prompt()
    assert stages.answer_texts([0, 1, 2]) == stages.answer_texts() == ["A) ", "B) ", "C) "]


def test_options_may_be_answered_in_words(stages):
    task = replace(stages, options="words")
    assert task.prompt() == ("Question: Which stage? Options: awake; asleep; dreaming. Answer:")
    assert task.prompt([2, 0, 1]).endswith("Options: dreaming; awake; asleep. Answer:")
    assert (
        task.answer_texts([2, 0, 1]) == task.answer_texts() == [" awake ", " asleep ", " dreaming "]
    )
    assert not task.has_letters and stages.has_letters


def test_order_has_no_meaning_without_options():
    task = get_task("seed")
    assert task.prompt([2, 0, 1]) == task.prompt()
    assert task.answer_texts([2, 0, 1]) == task.answer_texts()


@pytest.mark.parametrize("order", [[0, 1], [0, 1, 1], [1, 2, 3], [0, 1, 2, 3]])
def test_order_must_be_a_permutation(stages, order):
    for method in (stages.prompt, stages.answer_texts):
        with pytest.raises(ValueError, match="permutation of 0 to 2"):
            method(order)


@pytest.mark.parametrize(
    ("y", "indices"),
    [
        (["Yes", "No", "Yes"], [1, 0, 1]),
        (["Yes", "no", " YES "], [1, 0, 1]),  # the answers' own words
        ([1, 0, 1], [1, 0, 1]),  # No = 0, Yes = 1
        ([1.0, 0.0, 1.0], [1, 0, 1]),
        ([True, False, True], [1, 0, 1]),
        (pd.Series(["Yes", "No", "Yes"], index=[7, 8, 9]), [1, 0, 1]),
        (pd.Categorical(["Yes", "No", "Yes"]), [1, 0, 1]),
        (np.array(["Yes", "No", "Yes"], dtype=object), [1, 0, 1]),
        (["No", "No"], [0, 0]),
    ],
)
def test_label_indices(y, indices):
    found = get_task("workload").label_indices(y)
    assert found.dtype == np.int64
    assert found.tolist() == indices


def test_integer_labels_of_a_task_are_no_positions():
    task = Task("runs", "Which run?", {2: "second", 1: "first"})
    assert task.label_indices([1, 2, 1]).tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match=r"Labels \[0\] do not belong to task 'runs'"):
        task.label_indices([0, 1])


def test_labels_go_before_words():
    """A label may look like another label's answer."""
    task = Task("swap", "Which?", {"yes": "no", "no": "yes"})
    assert task.label_indices(["yes", "no"]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("y", "named"),
    [
        (["Yes", "medium"], r"\['medium'\]"),
        ([0, 1, 2], r"\[2\]"),
        ([-1, 1], r"\[-1\]"),
        ([0.5, 1.0], r"\[0.5\]"),
        ([0.0, np.nan], r"\[nan\]"),
        (["0", "1"], r"\['0', '1'\]"),
        (["No", 1.5], r"\['1.5'\]"),
    ],
)
def test_labels_outside_the_task(y, named):
    with pytest.raises(ValueError, match=rf"Labels {named} do not .*\['No', 'Yes'\].*0 to 1"):
        get_task("workload").label_indices(y)


def test_labels_of_mixed_types():
    with pytest.raises(TypeError, match="mix the types int, str; name every class in one way"):
        get_task("workload").label_indices(np.array(["No", 1], dtype=object))


def test_labels_must_be_one_dimensional():
    with pytest.raises(ValueError, match=r"one-dimensional; got shape \(2, 1\)"):
        get_task("workload").label_indices([["No"], ["Yes"]])


@pytest.mark.parametrize(
    ("answers", "options", "match"),
    [
        ({"a": "Yes"}, False, "has 1 answers; it needs at least two"),
        ({}, False, "has 0 answers"),
        ({"a": "Yes", "b": "yes "}, False, "must be different and not empty"),
        ({"a": "Yes", "b": " "}, False, "must be different and not empty"),
        ({i: f"text {i}" for i in range(27)}, True, "27 options; letters allow 26"),
        ({0: "a", 1: "b"}, "word", "False, True .lettered. or 'words'; got 'word'"),
        (["left", "right"], False, r"answers=\{label: text, \.\.\.\}"),
        ({0: 0, 1: 1}, False, r"answers=\{label: text, \.\.\.\}"),
    ],
)
def test_invalid_answers(answers, options, match):
    with pytest.raises((ValueError, TypeError), match=match):
        Task("broken", "Which?", answers, options=options)


@pytest.mark.parametrize("question", ["", "  ", None])
def test_question_must_be_text(question):
    with pytest.raises((ValueError, TypeError), match="question"):
        Task("broken", question, {0: "left", 1: "right"})


def test_many_answers_without_letters():
    task = Task("many", "Which?", {i: f"text {i}" for i in range(27)})
    assert task.label_indices([26, 0]).tolist() == [26, 0]


def test_equality_hash_and_pickle(stages):
    twin = Task(
        "stages", "Which stage?", {"w": "awake", "n": "asleep", "r": "dreaming"}, options=True
    )
    assert twin == stages and hash(twin) == hash(stages)
    other = Task("stages", "Which stage?", {"w": "awake", "n": "asleep", "r": "dreaming"})
    assert other != stages
    copy = pickle.loads(pickle.dumps(stages))
    assert copy == stages and copy.labels == ("w", "n", "r")


def test_answers_do_not_change_with_the_mapping_they_came_from():
    answers = {"a": "left", "b": "right"}
    task = Task("mine", "Which?", answers)
    answers["c"] = "up"
    assert task.labels == ("a", "b")
    assert task.answer_texts() == [" left ", " right "]


@pytest.mark.parametrize("name", ["workload", "tusl"])
def test_encode(name, small_model):
    task, text = get_task(name), small_model.text_tokenizer
    sep = small_model.config.sep_token_id
    encoded = task.encode(text, sep)
    assert encoded.prompt[0] == sep
    assert text.decode(encoded.prompt[1:]) == task.prompt()
    assert len(encoded.answers) == len(task.labels)
    for ids, written in zip(encoded.answers, task.answer_texts(), strict=True):
        assert ids[-1] == text.eos_token_id
        assert text.decode(ids[:-1]) == written


def test_encode_in_another_order(stages, small_model):
    text = small_model.text_tokenizer
    encoded = stages.encode(text, small_model.config.sep_token_id, order=[2, 0, 1])
    assert text.decode(encoded.prompt[1:]) == stages.prompt([2, 0, 1])
    assert [text.decode(ids[:-1]) for ids in encoded.answers] == ["B) ", "C) ", "A) "]


# --- wordings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROMPTS)
def test_tasks_of_the_paper_have_several_wordings(name):
    """They are questions of their own, and the first is the paper's."""
    task = get_task(name)
    assert len(task.phrasings) >= 3 and task.wordings[0] == task.question
    assert all(wording.endswith("?") and "(" not in wording for wording in task.wordings)
    assert len({wording.lower() for wording in task.wordings}) == len(task.wordings)
    for index, wording in enumerate(task.wordings):
        asked = task.phrased(index)
        assert asked.prompt() == PROMPTS[name].replace(task.question, wording)
        assert asked.answer_texts() == task.answer_texts()
        assert (asked.name, asked.labels, asked.phrasings) == (name, task.labels, ())


def test_wordings_that_are_refused(stages):
    answers = {"a": "a", "b": "b"}
    with pytest.raises(IndexError, match="wordings 0 to 0; got 1"):
        stages.phrased(1)
    with pytest.raises(IndexError, match="got -1"):
        stages.phrased(-1)
    with pytest.raises(TypeError, match="sequence of texts"):
        Task("t", "Which?", answers, phrasings="What?")
    for twice in (("Which?",), ("What?", "What? "), (" ",)):
        with pytest.raises(ValueError, match="different and not empty"):
            Task("t", "Which?", answers, phrasings=twice)


def test_wordings_survive_a_pickle():
    task = Task("t", "Which?", {"a": "a", "b": "b"}, phrasings=["What?"])
    assert pickle.loads(pickle.dumps(task)) == task and task.phrasings == ("What?",)
    assert task != Task("t", "Which?", {"a": "a", "b": "b"})
    assert hash(task) == hash(pickle.loads(pickle.dumps(task)))
