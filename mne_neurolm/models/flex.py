"""FlexAttention, which leaves out blocks of scores that nobody may see; for CUDA."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from mne.utils import warn
from torch import Tensor


def block_mask(mask: Tensor) -> Any:
    """Return a mask as FlexAttention takes it.

    Parameters
    ----------
    mask : Tensor of bool, shape (Q, K)
        True where a query sees a key.

    Returns
    -------
    blocks : torch.nn.attention.flex_attention.BlockMask
        Which blocks of 128 queries and keys are seen, in part or whole.
    """
    from torch.nn.attention.flex_attention import create_block_mask

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return mask[query, key]

    n_queries, n_keys = mask.shape
    return create_block_mask(sees, None, None, n_queries, n_keys, device=mask.device)


def flex_attend(
    query: Tensor, key: Tensor, value: Tensor, blocks: Any, scale: float | None = None
) -> Tensor | None:
    """Attend by FlexAttention.

    Parameters
    ----------
    query : Tensor, shape (B, H, Q, E)
        Queries.
    key, value : Tensor, shape (B, H, K, E)
        Keys and values.
    blocks : torch.nn.attention.flex_attention.BlockMask
        Who sees whom.
    scale : float | None
        Factor of the scores. None (default): ``E ** -0.5``.

    Returns
    -------
    output : Tensor, shape (B, H, Q, E) | None
        Weighted sums of the values; None where torch can't compile it, which is said once.
    """
    if not _Compiled.works:
        return None
    try:
        return _Compiled.function()(query, key, value, block_mask=blocks, scale=scale)
    except torch.cuda.OutOfMemoryError:
        raise
    except (RuntimeError, NotImplementedError, ImportError, OSError) as error:
        _Compiled.works = False
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        warn(
            f"FlexAttention can't be compiled here ({reason[:200]}), which needs triton and a C "
            "compiler. Attention takes a dense mask in its place: the same results, more slowly."
        )
        return None


class _Compiled:
    """The compiled function, made on first use, and whether it has worked so far."""

    works = True

    @staticmethod
    @lru_cache(maxsize=1)
    def function() -> Callable[..., Tensor]:
        """Return it."""
        from torch.nn.attention.flex_attention import flex_attention

        return torch.compile(flex_attention)
