"""Training: the stages, one loop for all of them, and what a run leaves behind."""

from .config import TrainingConfig
from .instruct import tune_instructions
from .masked import train_masked
from .memory import train_autoregressive, train_text, train_tokenizer

__all__ = [
    "TrainingConfig",
    "train_autoregressive",
    "train_masked",
    "train_text",
    "train_tokenizer",
    "tune_instructions",
]
