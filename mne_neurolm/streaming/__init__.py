"""Estimators applied to continuous recordings of any length, in bounded memory."""

from .apply import apply_to_raw
from .output import RecordingOutput

__all__ = ["RecordingOutput", "apply_to_raw"]
