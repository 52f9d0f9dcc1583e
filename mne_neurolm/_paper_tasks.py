"""The six tasks of the paper as a table: rows are the arguments of :class:`Task`.

Wording and order of labels are those of Table 5 as in the released code. The further wordings are
ours.
"""

from __future__ import annotations

from typing import Any

PAPER_TASKS: tuple[dict[str, Any], ...] = (
    {
        "name": "tuab",
        "question": "Is this EEG segment abnormal?",
        "answers": {
            "No": "No",
            "Yes": "Yes",
        },
        "phrasings": (
            "Does this EEG show anything abnormal?",
            "Are there abnormal findings in this EEG recording?",
            "Would a neurologist call this EEG abnormal?",
        ),
    },
    {
        "name": "tuev",
        "question": "Which event type does this EEG segment belong to?",
        "answers": {
            "spsw": "spike and slow wave",
            "gped": "generalized periodic epileptiform discharge",
            "pled": "periodic lateralized epileptiform discharge",
            "eyem": "eye movement",
            "artf": "artifact",
            "bckg": "background",
        },
        "options": True,
        "phrasings": (
            "What kind of event is in this EEG segment?",
            "Which event can be seen in this EEG?",
            "How is the event in this EEG recording classified?",
        ),
    },
    {
        "name": "seed",
        "question": "Which emotion type does this EEG segment belong to?",
        "answers": {
            "positive": "Positive",
            "neutral": "Neutral",
            "negative": "Negative",
        },
        "phrasings": (
            "What emotion does the person feel in this EEG segment?",
            "Which emotion can be read from this EEG?",
            "What is the emotional state in this EEG recording?",
        ),
    },
    {
        "name": "hmc",
        "question": "Which sleep type does this EEG segment belong to?",
        "answers": {
            "W": "Wake",
            "N1": "NREM-1",
            "N2": "NREM-2",
            "N3": "NREM-3",
            "R": "REM",
        },
        "options": True,
        "phrasings": (
            "In which sleep stage is the person in this EEG segment?",
            "Which stage of sleep does this EEG show?",
            "What is the sleep stage of this EEG recording?",
        ),
    },
    {
        "name": "workload",
        "question": "Is this EEG segment of high workload?",
        "answers": {
            "No": "No",
            "Yes": "Yes",
        },
        "phrasings": (
            "Does this EEG show a high mental workload?",
            "Is the person in this EEG segment working hard mentally?",
            "Was this EEG recorded during a demanding mental task?",
        ),
    },
    {
        "name": "tusl",
        "question": "Which type does this EEG segment belong to?",
        "answers": {
            "bckg": "background",
            "seiz": "seizure",
            "slow": "slowing",
        },
        "options": True,
        "phrasings": (
            "What does this EEG segment show?",
            "Which pattern can be seen in this EEG?",
            "What kind of activity is in this EEG recording?",
        ),
    },
)
