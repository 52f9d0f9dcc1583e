"""Tasks: the question a model is asked, and the answers it may give."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np

from ._paper_tasks import PAPER_TASKS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

#: What may help where YAML that describes a task can't be parsed.
YAML_HINT = 'Put quotes around labels and texts with commas or colons, as in {"left, up": left}.'

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class EncodedTask:
    """A task in the language model's ids.

    Attributes
    ----------
    prompt : list of int
        ``[SEP]Question: ... Answer:``.
    answers : list of list of int
        One per label, in the task's order, each closed by the end-of-text token.
    """

    prompt: list[int]
    answers: list[list[int]]


@dataclass(frozen=True)
class Task:
    """A classification task in words.

    Parameters
    ----------
    name : str
        Name of the task.
    question : str
        The question, e.g. ``"Is this EEG segment abnormal?"``.
    answers : mapping of label to str
        Text of the answer that each label stands for. At least two.
    options : bool | "words"
        True: list the answers in the prompt as lettered options, and answer with the letter
        (``"(A)"``), as the paper does for tasks with long answers. ``"words"``: list them without
        letters, and answer in their words, which do not depend on the order of the list. Default
        False: the prompt lists none.
    phrasings : sequence of str
        Other wordings of the question. Joint tuning asks in all of them, so that the model follows
        the meaning and not the letter; predictions are asked for in the question's own. Default
        none.

    Raises
    ------
    ValueError
        If there is no question, there are fewer than two answers, two answers are the same or one
        is empty, ``options`` is none of the above, there are more options than letters, or a
        wording is empty or there twice.
    TypeError
        If the answers are no mapping to texts, or the phrasings no sequence of texts.

    Notes
    -----
    Prompts follow the paper's Table 5 and the released code:
    ``Question: ... Options: (A) ... . (B) ... . Answer: (`` or ``Question: ... Answer:``.

    Examples
    --------
    >>> from mne_neurolm import Task
    >>> hands = Task("hands", "Which hand is imagined?", {"left": "left", "right": "right"})
    >>> hands.prompt()
    'Question: Which hand is imagined? Answer:'
    """

    name: str
    question: str
    answers: Mapping[Any, str]
    options: bool | str = False
    phrasings: Sequence[str] = ()
    labels: tuple[Any, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.question, str) or not self.question.strip():
            raise ValueError(f"Task {self.name!r} needs a question; got {self.question!r}.")
        if not isinstance(self.answers, Mapping) or not all(
            isinstance(text, str) for text in self.answers.values()
        ):
            raise TypeError(
                f"Answers of task {self.name!r} must be texts by label, as "
                f"answers={{label: text, ...}}; got {self.answers!r}."
            )
        texts = [text.strip() for text in self.answers.values()]
        if len(texts) < 2:
            raise ValueError(
                f"Task {self.name!r} has {len(texts)} answers; it needs at least two, as "
                "answers={label: text, ...}."
            )
        if "" in texts or len({text.lower() for text in texts}) < len(texts):
            raise ValueError(
                f"Answers of task {self.name!r} must be different and not empty; got {texts}."
            )
        if self.options is None or isinstance(self.options, bool | int | np.bool_):
            object.__setattr__(self, "options", bool(self.options))
        elif self.options != "words":
            raise ValueError(
                f"options of task {self.name!r} must be False, True (lettered) or 'words'; got "
                f"{self.options!r}."
            )
        if self.has_letters and len(texts) > len(_LETTERS):
            raise ValueError(
                f"Task {self.name!r} has {len(texts)} options; letters allow {len(_LETTERS)}. "
                "Use options='words' or False."
            )
        self._check_phrasings()
        object.__setattr__(self, "answers", dict(self.answers))  # the caller's may change
        object.__setattr__(self, "phrasings", tuple(self.phrasings))
        object.__setattr__(self, "labels", tuple(self.answers))

    def __hash__(self) -> int:
        return hash((self.name, self.question, tuple(self.answers.items()), self.options))

    def _check_phrasings(self) -> None:
        if isinstance(self.phrasings, str) or not all(
            isinstance(wording, str) for wording in self.phrasings
        ):
            raise TypeError(
                f"Phrasings of task {self.name!r} must be a sequence of texts, as "
                f'phrasings=("another wording", ...); got {self.phrasings!r}.'
            )
        wordings = [wording.strip() for wording in self.wordings]
        if "" in wordings or len(set(wordings)) < len(wordings):
            raise ValueError(
                f"Wordings of task {self.name!r} must be different and not empty; got {wordings}."
            )

    @property
    def has_letters(self) -> bool:
        """Whether answers are letters of listed options."""
        return self.options is True

    @property
    def wordings(self) -> tuple[str, ...]:
        """The question and its other wordings."""
        return (self.question, *self.phrasings)

    def phrased(self, index: int) -> Task:
        """Return the task with another wording of its question.

        Parameters
        ----------
        index : int
            0 is the question itself, 1 the first of ``phrasings``, and so on.

        Returns
        -------
        task : Task
            The same task, asked in this wording only.

        Raises
        ------
        IndexError
            If there is no such wording.

        Notes
        -----
        For a wording that the task does not have, use ``dataclasses.replace(task,
        question="...")``.

        Examples
        --------
        >>> from mne_neurolm import get_task
        >>> get_task("workload").phrased(1).prompt()
        'Question: Does this EEG show a high mental workload? Answer:'
        """
        wordings = self.wordings
        if not 0 <= index < len(wordings):
            raise IndexError(
                f"Task {self.name!r} has the wordings 0 to {len(wordings) - 1}; got {index}."
            )
        return replace(self, question=wordings[index], phrasings=())

    def prompt(self, order: Sequence[int] | None = None) -> str:
        """Return the question as the model reads it.

        Parameters
        ----------
        order : sequence of int | None
            Order in which options are listed, as indices into the answers. None: as given.

        Returns
        -------
        prompt : str
            The text after ``[SEP]``.
        """
        if not self.options:
            return f"Question: {self.question} Answer:"
        texts = [list(self.answers.values())[index] for index in self._order(order)]
        if not self.has_letters:
            return f"Question: {self.question} Options: {'; '.join(texts)}. Answer:"
        listed = " ".join(
            f"({letter}) {text}." for letter, text in zip(_LETTERS, texts, strict=False)
        )
        return f"Question: {self.question} Options: {listed} Answer: ("

    def answer_texts(self, order: Sequence[int] | None = None) -> list[str]:
        """Return what completes the prompt for each label.

        Parameters
        ----------
        order : sequence of int | None
            As for :meth:`prompt`. None (default): as given.

        Returns
        -------
        texts : list of str, length n_labels
            In the order of ``labels``, whatever the order of the options.
        """
        # The space before the end-of-text token is the released code's.
        if not self.has_letters:
            return [f" {text} " for text in self.answers.values()]
        letters = {
            index: letter for letter, index in zip(_LETTERS, self._order(order), strict=False)
        }
        return [f"{letters[index]}) " for index in range(len(self.answers))]

    def encode(
        self,
        tokenizer: PreTrainedTokenizerFast,
        sep_token_id: int,
        order: Sequence[int] | None = None,
    ) -> EncodedTask:
        """Return prompt and answers in ids of a text tokenizer.

        Parameters
        ----------
        tokenizer : transformers.PreTrainedTokenizerFast
            The text tokenizer.
        sep_token_id : int
            Id of ``[SEP]``, which the prompt starts with.
        order : sequence of int | None
            As for :meth:`prompt`. None (default): as given.

        Returns
        -------
        encoded : EncodedTask
            ``prompt``, a list of ids, and ``answers``, a list of them for each label, which end
            with the end-of-text token.
        """
        from .models.text import encode_text

        prompt = [sep_token_id, *encode_text(tokenizer, self.prompt(order))]
        answers = [
            [*encode_text(tokenizer, text), tokenizer.eos_token_id]
            for text in self.answer_texts(order)
        ]
        return EncodedTask(prompt, answers)

    def label_indices(self, y: Any) -> np.ndarray:
        """Map labels to positions among the answers.

        Parameters
        ----------
        y : array-like, shape (n,)
            Labels as the task names them, or the answers' own words (any case), or integers 0 to
            n - 1, which stand for the answers in order.

        Returns
        -------
        indices : ndarray of int64, shape (n,)
            Position of each label's answer.

        Raises
        ------
        ValueError
            If a label belongs to none of them.
        TypeError
            If labels are of types that can't be compared.
        """
        y = np.asarray(y)
        if y.ndim != 1:
            raise ValueError(f"Labels must be one-dimensional; got shape {y.shape}.")
        by_label: dict[Hashable, int] = {label: i for i, label in enumerate(self.labels)}
        by_text = {text.strip().lower(): i for i, text in enumerate(self.answers.values())}
        try:
            values, inverse = np.unique(y, return_inverse=True)
        except TypeError as error:  # nothing orders 1 and "No"
            kinds = sorted({type(value).__name__ for value in y.tolist()})
            raise TypeError(
                f"Labels mix the types {', '.join(kinds)}; name every class in one way."
            ) from error
        found, unknown = [], []
        for value in values.tolist():
            position = by_label.get(value)
            if position is None and isinstance(value, str):
                position = by_text.get(value.strip().lower())
            # Positions only serve labels that are not themselves integers: 1 and 2 as labels must
            # never be read as the second and third answer.
            if position is None and not self._has_numbers:
                whole = isinstance(value, (int, float)) and float(value).is_integer()
                position = int(value) if whole and 0 <= value < len(self.labels) else None
            if position is None:
                unknown.append(value)
            else:
                found.append(position)
        if unknown:
            raise ValueError(
                f"Labels {unknown} do not belong to task {self.name!r}. Allowed are "
                f"{list(self.labels)}, their answers {list(self.answers.values())}, or integers 0 "
                f"to {len(self.labels) - 1} in that order. For other classes define your own: "
                "Task(name, question, answers={label: text, ...})."
            )
        return np.asarray(found, dtype=np.int64)[inverse.ravel()]

    def reads_positions(self, y: Any) -> bool:
        """Whether labels are numbers that stand for the answers in order.

        Parameters
        ----------
        y : array-like, shape (n,)
            Labels.

        Returns
        -------
        positions : bool
            False if the task's own labels are numbers.
        """
        return not self._has_numbers and np.asarray(y).dtype.kind in "iufb"

    @property
    def _has_numbers(self) -> bool:
        return any(isinstance(label, (Number, np.number, np.bool_)) for label in self.labels)

    def _order(self, order: Sequence[int] | None) -> Sequence[int]:
        n = len(self.answers)
        if order is None:
            return range(n)
        if sorted(order) != list(range(n)):
            raise ValueError(f"order must be a permutation of 0 to {n - 1}; got {list(order)}.")
        return order


TASKS: dict[str, Task] = {row["name"]: Task(**row) for row in PAPER_TASKS}


def get_task(name: str | Task) -> Task:
    """Return one of the paper's six tasks.

    Parameters
    ----------
    name : "tuab" | "tuev" | "seed" | "hmc" | "workload" | "tusl" | Task
        Name of the task (paper, Table 5). A :class:`Task` is returned as it is.

    Returns
    -------
    task : Task
        The task.

    Raises
    ------
    ValueError
        If there is no task of that name.

    Examples
    --------
    >>> from mne_neurolm import get_task
    >>> get_task("workload").answers
    {'No': 'No', 'Yes': 'Yes'}
    """
    if isinstance(name, Task):
        return name
    if not isinstance(name, str) or name.lower() not in TASKS:
        raise ValueError(
            f"Unknown task {name!r}; choose one of {sorted(TASKS)}, or define your own: "
            "Task(name, question, answers={label: text, ...})."
        )
    return TASKS[name.lower()]
