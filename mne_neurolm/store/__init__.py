"""The store: continuous EEG as memory-mapped int16, and text as memory-mapped tokens."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .format import Recording
    from .interchange import StoredRaw, from_braindecode, to_braindecode
    from .reader import Store
    from .text import TextCorpus
    from .writer import StoreWriter

# Public name -> where it lives. Loaded on first use: readers need no writer, and EEG no text.
_PUBLIC = {
    "Recording": "format",
    "Store": "reader",
    "StoreWriter": "writer",
    "StoredRaw": "interchange",
    "from_braindecode": "interchange",
    "to_braindecode": "interchange",
    "TextCorpus": "text",
}

__all__ = [
    "Recording",
    "Store",
    "StoreWriter",
    "StoredRaw",
    "TextCorpus",
    "from_braindecode",
    "to_braindecode",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_PUBLIC[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
