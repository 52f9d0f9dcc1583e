"""What an answer depends on."""

from mne_neurolm.explain.attention import AnswerAttention, answer_attention

__all__ = ["AnswerAttention", "answer_attention"]
