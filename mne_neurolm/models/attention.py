"""Attention: one function, computed in the way that is fastest where the model is.

On CPUs queries are taken in groups of neighbours with only those keys that one of them may see,
which spares half of the stair; in bfloat16 as plain products, which oneDNN does several times
faster than torch's attention kernel there. On CUDA FlexAttention leaves out what nobody may see.

Shapes are written with B = samples, H = heads, Q = queries, K = keys, E = width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .flex import block_mask, flex_attend
from .masks import stair_step_mask

NAME = "neurolm"  # under which transformers' models find it

# Queries in a group at least. Fewer keys are in vain with less, then each call costs more.
_ROWS = 96
# Queries in a group without a mask, so that scores stay in the cache.
_ROWS_UNMASKED = 256
# Weights that a layer may keep for the backward pass; torch's kernel keeps none.
_KEPT_BYTES = 64 * 2**20
# Below, a dense mask costs less than FlexAttention's blocks of 128 save.
_SHORTEST_FLEX = 256


class QueryGroup(NamedTuple):
    """Neighbouring queries and what they see.

    Attributes
    ----------
    start, stop : int
        The queries.
    n_keys : int
        No query of the group sees a key beyond these first ones.
    sees_all : bool
        Whether each of its queries sees all of these keys.
    """

    start: int
    stop: int
    n_keys: int
    sees_all: bool


@dataclass(frozen=True, eq=False)
class Visibility:
    """Who sees whom in a sequence, as the ways to compute attention want it.

    Parameters
    ----------
    mask : Tensor of bool, shape (Q, K)
        True where a query sees a key.
    groups : tuple of QueryGroup
        All queries, on the CPU; elsewhere empty.
    blocks : torch.nn.attention.flex_attention.BlockMask | None
        The same for FlexAttention, where it is used.
    """

    mask: Tensor
    groups: tuple[QueryGroup, ...] = ()
    blocks: Any = None


def visibility(steps: Tensor, branches: Tensor | None = None, n_past: int = 0) -> Visibility:
    """Return who sees whom; computed once for all batches of a montage and length.

    Parameters
    ----------
    steps : Tensor of int64, shape (Q,)
        Step of each token, see :func:`~mne_neurolm.models.masks.stair_step_mask`.
    branches : Tensor of int64, shape (Q,) or (Q, depth) | None
        Alternatives, see there.
    n_past : int
        Number of cached tokens before the first; everyone sees them.

    Returns
    -------
    visibility : Visibility
        On the device of ``steps``; not to be changed.
    """
    way = None if branches is None else (_to_bytes(branches), tuple(branches.shape))
    return _visibility(_to_bytes(steps), way, n_past, steps.device)


@lru_cache(maxsize=32)
def _visibility(
    steps: bytes, branches: tuple[bytes, tuple[int, ...]] | None, n_past: int, device: torch.device
) -> Visibility:
    with torch.inference_mode(False):  # what is kept may serve a backward pass
        its_branches = None
        if branches is not None:
            its_branches = _from_bytes(branches[0]).view(branches[1])
        mask = stair_step_mask(_from_bytes(steps), its_branches)
        mask = torch.cat([mask.new_ones(len(mask), n_past), mask], dim=1)
        if device.type == "cpu":
            return Visibility(mask, query_groups(mask))
        mask = mask.to(device)
        wants_blocks = device.type == "cuda" and len(mask) >= _SHORTEST_FLEX
        return Visibility(mask, blocks=block_mask(mask) if wants_blocks else None)


def _to_bytes(tensor: Tensor) -> bytes:
    return tensor.to("cpu", torch.int64).numpy().tobytes()


def _from_bytes(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.int64)


def query_groups(mask: Tensor) -> tuple[QueryGroup, ...]:
    """Divide queries into groups of neighbours that see about the same keys.

    Parameters
    ----------
    mask : Tensor of bool, shape (Q, K)
        True where a query sees a key; every query must see one.

    Returns
    -------
    groups : tuple of QueryGroup
        All queries in order.

    Examples
    --------
    Two seconds of 100 channels:

    >>> import torch
    >>> from mne_neurolm.models.attention import query_groups
    >>> from mne_neurolm.models.masks import stair_step_mask
    >>> for group in query_groups(stair_step_mask(torch.arange(2).repeat_interleave(100))):
    ...     print(group)
    QueryGroup(start=0, stop=100, n_keys=100, sees_all=True)
    QueryGroup(start=100, stop=200, n_keys=200, sees_all=True)
    """
    n_queries, n_keys = mask.shape
    seen = n_keys - mask.flip(1).int().argmax(dim=1)  # keys up to the last one that is seen
    # A step ends where the next query sees further, or less far.
    ends = [*(torch.nonzero(seen[1:] != seen[:-1]).flatten() + 1).tolist(), n_queries]
    groups: list[QueryGroup] = []
    start = 0
    for end in ends:
        if end - start >= _ROWS or end == n_queries:
            rows = mask[start:end, : int(seen[start:end].max())]
            groups.append(QueryGroup(start, end, rows.shape[1], bool(rows.all())))
            start = end
    return tuple(groups)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    seen: Visibility | None = None,
    *,
    dropout: float = 0.0,
    scale: float | None = None,
) -> Tensor:
    """Attend.

    Parameters
    ----------
    query : Tensor, shape (B, H, Q, E)
        Queries.
    key, value : Tensor, shape (B, H, K, E)
        Keys and values.
    seen : Visibility | None
        Who sees whom. None (default): everyone sees all.
    dropout : float
        Share of weights to leave out. Default 0.
    scale : float | None
        Factor of the scores. None (default): ``E ** -0.5``.

    Returns
    -------
    output : Tensor, shape (B, H, Q, E)
        Weighted sums of the values. On CPUs heads lie side by side in memory, where there are
        several groups of queries.
    """
    if query.device.type == "cuda" and seen is not None and seen.blocks is not None and not dropout:
        output = flex_attend(query, key, value, seen.blocks, scale)
        if output is not None:
            return output
    if query.device.type != "cpu":
        mask = None if seen is None else seen.mask[None, None]
        return _by_kernel(query, key, value, mask, dropout, scale)
    one = _by_kernel
    if _prefers_products(query, key) and not dropout:
        one = _by_products
        # Heads that lie side by side are copied for a product: once, not in each group.
        query, key, value = (x.contiguous() for x in (query, key, value))
    parts = []
    for start, stop, n_keys, sees_all in _groups(query, key, seen):
        mask = None if seen is None or sees_all else seen.mask[start:stop, :n_keys]
        rows = query[:, :, start:stop]
        part = one(rows, key[:, :, :n_keys], value[:, :, :n_keys], mask, dropout, scale)
        parts.append(part.transpose(1, 2))  # as those who asked will want them
    return (parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)).transpose(1, 2)


def _groups(query: Tensor, key: Tensor, seen: Visibility | None) -> Sequence[QueryGroup]:
    n_queries, n_keys = query.shape[2], key.shape[2]
    if query.requires_grad:
        # Backward, a part of the keys gets a gradient of all keys' size, which costs what it saved.
        return [QueryGroup(0, n_queries, n_keys, seen is None)]
    if seen is not None:
        return seen.groups
    return [
        QueryGroup(start, min(start + _ROWS_UNMASKED, n_queries), n_keys, True)
        for start in range(0, n_queries, _ROWS_UNMASKED)
    ]


def _prefers_products(query: Tensor, key: Tensor) -> bool:
    if query.dtype is not torch.bfloat16:
        return False
    n_weights = query.shape[:3].numel() * key.shape[2]
    return not query.requires_grad or n_weights * query.itemsize <= _KEPT_BYTES


def _by_products(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    scale: float | None,
) -> Tensor:
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = torch.matmul(query * scale, key.transpose(-1, -2))
    if mask is not None:
        scores.masked_fill_(~mask, -torch.inf)
    return torch.matmul(torch.softmax(scores, dim=-1), value)


def _by_kernel(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    scale: float | None,
) -> Tensor:
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, scale=scale
    )


# --- transformers ------------------------------------------------------------------------------


def register() -> str:
    """Make it known to the models of transformers, and return the name."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, backbone_attention)
    return NAME


def backbone_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    seen: Visibility | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend as the language models of transformers ask for it.

    Parameters
    ----------
    module : torch.nn.Module
        The layer.
    query : Tensor, shape (B, H, Q, E)
        Queries.
    key, value : Tensor, shape (B, H or fewer, K, E)
        Keys and values.
    attention_mask : Tensor of bool, shape (1 or B, 1, Q, K) | None
        Who sees whom, if that differs between samples.
    dropout, scaling
        See :func:`attend`.
    seen : Visibility | None
        Who sees whom, if it is the same in all samples. None (default): the mask says it.
    **kwargs
        Further arguments of transformers' own function.

    Returns
    -------
    output : Tensor, shape (B, Q, H, E)
        Weighted sums of the values.
    weights : None
        They are not kept.
    """
    if seen is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **kwargs
        )
    n_shared = query.shape[1] // key.shape[1]  # query heads with the same keys (Llama, Qwen)
    if n_shared > 1:
        key, value = (x.repeat_interleave(n_shared, dim=1) for x in (key, value))
    output = attend(query, key, value, seen, dropout=dropout, scale=scaling)
    return output.transpose(1, 2), None
