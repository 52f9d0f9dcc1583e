"""NeuroLM for MNE-Python: EEG as a language, behind scikit-learn estimators."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .classifier import NeuroLMClassifier
    from .models.config import NeuroLMConfig
    from .models.convert import convert_checkpoint
    from .models.neurolm import NeuroLM
    from .preprocessing import prepare_raw
    from .questions import ask
    from .streaming import apply_to_raw
    from .tasks import Task, get_task
    from .tokenizer import NeuroLMTokenizer
    from .tokens import EEGTokens
    from .training.instruct import tune_instructions

# Public name -> where it lives. Loaded on first use: torch and transformers take seconds.
_PUBLIC = {
    "EEGTokens": "tokens",
    "NeuroLM": "models.neurolm",
    "NeuroLMClassifier": "classifier",
    "NeuroLMConfig": "models.config",
    "NeuroLMTokenizer": "tokenizer",
    "Task": "tasks",
    "apply_to_raw": "streaming",
    "ask": "questions",
    "convert_checkpoint": "models.convert",
    "get_task": "tasks",
    "prepare_raw": "preprocessing",
    "tune_instructions": "training.instruct",
}

__all__ = [
    "EEGTokens",
    "NeuroLM",
    "NeuroLMClassifier",
    "NeuroLMConfig",
    "NeuroLMTokenizer",
    "Task",
    "__version__",
    "apply_to_raw",
    "ask",
    "convert_checkpoint",
    "get_task",
    "prepare_raw",
    "tune_instructions",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
