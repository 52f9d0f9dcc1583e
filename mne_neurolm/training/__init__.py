"""Training: objectives of the three stages, and a loop that runs them in memory."""

from .instruct import tune_instructions
from .loop import TrainingConfig
from .stages import train_autoregressive, train_text, train_tokenizer

__all__ = [
    "TrainingConfig",
    "train_autoregressive",
    "train_text",
    "train_tokenizer",
    "tune_instructions",
]
