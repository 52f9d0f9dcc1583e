"""What an answer depends on."""

from mne_neurolm.explain.attention import AnswerAttention, answer_attention
from mne_neurolm.explain.attribution import AnswerAttribution, answer_attribution

__all__ = ["AnswerAttention", "AnswerAttribution", "answer_attention", "answer_attribution"]
