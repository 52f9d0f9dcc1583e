"""Telling weights apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from torch import Tensor


def fingerprint(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """Return 16 hexadecimal digits that change when any value does.

    Parameters
    ----------
    tensors : iterable of (str, Tensor)
        Names and values; their order does not matter.

    Returns
    -------
    digits : str
        The same on any machine and number of threads.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors, key=lambda item: item[0]):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
