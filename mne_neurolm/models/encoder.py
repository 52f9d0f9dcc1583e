"""Patches to hidden states, and codes back to features: the tokenizer's transformers.

Shapes are written with B = samples in the batch, N = patches of a sample, D = width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..patches import PATCH_SIZE
from .config import NeuroLMConfig
from .layers import Block, gelu_after, masked_group_norm
from .scalp import ScalpEmbedding

_STRIDE = 8  # of the first convolution (paper, Table 7)


class TemporalConv(nn.Module):
    """Three convolutions along time and a linear layer: one patch in, one embedding out.

    Kernels 15, 3, 3, strides 8, 1, 1, paddings 7, 1, 1, each followed by a group norm with four
    groups and a GELU (paper, Table 7).
    """

    def __init__(self, n_embd: int, conv_channels: int) -> None:
        super().__init__()
        c = conv_channels
        self.conv1 = nn.Conv2d(1, c, kernel_size=(1, 15), stride=(1, _STRIDE), padding=(0, 7))
        self.norm1 = nn.GroupNorm(4, c)
        self.conv2 = nn.Conv2d(c, c, kernel_size=(1, 3), padding=(0, 1))
        self.norm2 = nn.GroupNorm(4, c)
        self.conv3 = nn.Conv2d(c, c, kernel_size=(1, 3), padding=(0, 1))
        self.norm3 = nn.GroupNorm(4, c)
        self.linear = nn.Linear(PATCH_SIZE // _STRIDE * c, n_embd)

    def forward(self, patches: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map patches (B, N, 200) to embeddings (B, N, D); ``mask`` (B, N) limits the norms."""
        x = patches.unsqueeze(1)
        for conv, norm in (
            (self.conv1, self.norm1),
            (self.conv2, self.norm2),
            (self.conv3, self.norm3),
        ):
            x = F.gelu(masked_group_norm(conv(x), norm, mask))
        # (B, C, N, T) -> (B, N, T * C), time outer, as the released weights expect.
        x = x.permute(0, 2, 3, 1).flatten(2)
        return gelu_after(self.linear, x)


class NeuralTransformer(nn.Module):
    """Embed patches or codes, add channel and time embeddings, and run the transformer.

    Parameters
    ----------
    embed : TemporalConv | torch.nn.Linear
        What turns an input row into an embedding: convolutions for the encoder, a linear layer
        from the code's dimension for a decoder.
    n_layer, n_head, n_embd : int
        Depth, heads and width.
    n_channel_embeddings, n_time_embeddings : int
        Rows of the two embedding tables.
    scalp_components : int
        See :class:`~mne_neurolm.NeuroLMConfig`. Default 0.
    """

    def __init__(
        self,
        embed: TemporalConv | nn.Linear,
        *,
        n_layer: int,
        n_head: int,
        n_embd: int,
        n_channel_embeddings: int,
        n_time_embeddings: int,
        scalp_components: int = 0,
    ) -> None:
        super().__init__()
        self.patch_embed = embed
        self.pos_embed = nn.Embedding(n_channel_embeddings, n_embd)
        self.time_embed = nn.Embedding(n_time_embeddings, n_embd)
        self.blocks = nn.ModuleList([Block(n_embd, n_head) for _ in range(n_layer)])
        self.fc_norm = nn.LayerNorm(n_embd, eps=1e-6)
        self.scalp_embed = (
            ScalpEmbedding(scalp_components, n_embd, n_channel_embeddings)
            if scalp_components
            else None
        )

    def forward(
        self,
        x: Tensor,
        channels: Tensor,
        times: Tensor,
        mask: Tensor | None = None,
        *,
        norm_over_padding: bool = False,
        hide: tuple[Tensor, Tensor] | None = None,
        scalp: Tensor | None = None,
    ) -> Tensor:
        """Run the transformer.

        Parameters
        ----------
        x : Tensor, shape (B, N, 200) or (B, N, codebook_dim)
            Patches in units of 100 µV for the encoder, code vectors for a decoder.
        channels, times : Tensor of int64, shape (N,) or (B, N)
            Vocabulary row and second of each patch.
        mask : Tensor of bool, shape (B, N) | None
            True for patches that exist; None when nothing is padded.
        norm_over_padding : bool
            Let padding into the group norms' statistics as the released code does. Default False.
        hide : tuple of Tensor | None
            Patches to hide, bool of shape (B, N), and the embedding (D,) that stands in for each of
            them; channel and time embeddings are added to it. Default None: all are seen.
        scalp : Tensor of float32, shape (B, N, K) | None
            What :meth:`~mne_neurolm.models.scalp.ScalpEmbedding.describe` returns for the same
            patches, if it is known already. Default None: it is computed, where it is needed.

        Returns
        -------
        hidden : Tensor, shape (B, N, D)
            Hidden states after the final layer norm.
        """
        patches = x
        if isinstance(self.patch_embed, TemporalConv):
            x = self.patch_embed(x, None if norm_over_padding else mask)
        else:
            x = self.patch_embed(x)
        if hide is not None:
            hidden, stand_in = hide
            x = torch.where(hidden[..., None], stand_in.to(x.dtype), x)
        x = x + self.pos_embed(channels) + self.time_embed(times)
        if self.scalp_embed is not None:
            if scalp is None:
                seen = mask
                if hide is not None:
                    seen = ~hide[0] if mask is None else mask & ~hide[0]
                scalp = self.scalp_embed.describe(patches, channels, times, seen)
            x = x + self.scalp_embed(scalp)
        for block in self.blocks:
            x = block(x, mask)
        return self.fc_norm(x)


def build_encoder(config: NeuroLMConfig) -> NeuralTransformer:
    """Build the encoder that a configuration describes."""
    return NeuralTransformer(
        TemporalConv(config.n_embd, config.conv_channels),
        n_layer=config.n_layer,
        n_head=config.n_head,
        n_embd=config.n_embd,
        n_channel_embeddings=config.n_channel_embeddings,
        n_time_embeddings=config.n_time_embeddings,
        scalp_components=config.scalp_components,
    )
