"""Stages 2 and 3: a causal language model that reads EEG (paper, sections 2.3 and 2.4).

Shapes are written with B = samples in the batch, N = patches of a sample, T = text tokens,
L = N + T, D = width of the language model.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import logging

from .backbone import build_backbone
from .config import NeuroLMConfig
from .encoder import NeuralTransformer, build_encoder
from .masks import stair_step_mask
from .vq import VQ

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class NeuroLM(PreTrainedModel):
    """The neural tokenizer and, behind it, a causal language model with a merged vocabulary.

    Parameters
    ----------
    config : NeuroLMConfig
        Sizes. Without ``text_config`` the model is the neural tokenizer alone.

    Attributes
    ----------
    vq : VQ
        The neural tokenizer.
    backbone : transformers.PreTrainedModel
        The language model without its head. Absent without ``text_config``.
    lm_head : torch.nn.Linear
        Logits over the text rows, then over the codes.
    text_tokenizer : transformers.PreTrainedTokenizerFast | None
        Saved and loaded with the weights.

    See Also
    --------
    mne_neurolm.NeuroLMClassifier : The scikit-learn estimator most users want.

    Examples
    --------
    >>> from mne_neurolm import NeuroLM, NeuroLMConfig
    >>> model = NeuroLM(NeuroLMConfig.preset("tiny"))
    >>> model.lm_head.out_features
    2048
    """

    config_class = NeuroLMConfig
    base_model_prefix = "neurolm"
    main_input_name = "hidden"
    _supports_sdpa = True
    _no_split_modules = ["Block", "GPT2Block"]

    def __init__(self, config: NeuroLMConfig) -> None:
        super().__init__(config)
        self.text_tokenizer: PreTrainedTokenizerFast | None = None
        self.vq = VQ(config)
        if config.separate_encoder:
            self.encoder = build_encoder(config)
        if config.text_config is not None:
            self.backbone = build_backbone(config.text_config)
            width = self.backbone.get_input_embeddings().embedding_dim
            self.channel_embed = nn.Embedding(config.n_channel_embeddings, width)
            self.projection = (
                nn.Identity()
                if width == config.n_embd
                else nn.Sequential(nn.Linear(config.n_embd, width), nn.GELU())
            )
            self.lm_head = nn.Linear(
                width, config.text_config.vocab_size + config.codebook_size, bias=False
            )
        self.post_init()
        # Not in _init_weights, which also runs over loaded weights.
        self._shrink_residuals()

    def _init_weights(self, module: nn.Module) -> None:
        """Initialise as the released code does; the backbone initialises itself."""
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            # The released code leaves embeddings at standard deviation 1, five times that of the
            # patches they are added to: codes then start out as names of channels.
            nn.init.normal_(module.weight, std=0.02)
        elif isinstance(module, (nn.LayerNorm, nn.GroupNorm)):
            nn.init.ones_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def _shrink_residuals(self) -> None:
        """Let the tokenizer's residual branches shrink with depth (released code, as in BEiT)."""
        encoders = [m for m in self.modules() if isinstance(m, NeuralTransformer)]
        for encoder in encoders:
            for depth, block in enumerate(encoder.blocks, start=1):
                for name in ("attn.c_proj.weight", "mlp.c_proj.weight"):
                    block.get_parameter(name).data.div_((2.0 * depth) ** 0.5)

    @property
    def has_language_model(self) -> bool:
        """Whether there is a language model behind the neural tokenizer."""
        return self.config.text_config is not None

    @property
    def text_vocab_size(self) -> int:
        """Rows of the text part of the merged vocabulary; codes follow."""
        self._require_language_model()
        return self.config.text_config.vocab_size

    @property
    def n_writable(self) -> int:
        """Number of text tokens that may be written: those below ``[SEP]`` (released code)."""
        self._require_language_model()
        return self.config.sep_token_id

    def _require_language_model(self) -> None:
        if not self.has_language_model:
            raise ValueError(
                "This model holds a neural tokenizer only, no language model. Train one with "
                "mne_neurolm.training.train_autoregressive, or load a full model such as 'tiny'."
            )

    # --- parts of a forward pass -------------------------------------------------------------

    @torch.no_grad()
    def encode(
        self,
        patches: Tensor,
        channels: Tensor,
        times: Tensor,
        mask: Tensor | None = None,
        *,
        norm_over_padding: bool = False,
    ) -> Tensor:
        """Return the frozen encoder's hidden states, which the language model reads.

        Parameters
        ----------
        patches : Tensor, shape (B, N, 200)
            Patches in units of 100 µV.
        channels, times : Tensor of int64, shape (N,) or (B, N)
            Vocabulary row and second of each patch.
        mask : Tensor of bool, shape (B, N) | None
            True for patches that exist.
        norm_over_padding : bool
            Take group norm statistics over padding too, as the released code. Default False.

        Returns
        -------
        hidden : Tensor, shape (B, N, n_embd)
            Unless the model has a ``separate_encoder``, the codebook quantises the same states.
        """
        encoder = self.encoder if self.config.separate_encoder else self.vq.encoder
        return encoder(patches, channels, times, mask, norm_over_padding=norm_over_padding)

    @torch.no_grad()
    def tokenize(self, patches: Tensor, channels: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return hidden states (B, N, n_embd) and codes (B, N); see :meth:`encode`."""
        hidden = self.encode(patches, channels, times)
        if not self.config.separate_encoder:
            return hidden, self.vq.codes(hidden)
        return hidden, self.vq.codes(self.vq.encode(patches, channels, times))

    def encoder_id(self) -> str:
        """Return a fingerprint of everything that hidden states and codes depend on."""
        digest = hashlib.sha256()
        parts = [self.vq.encoder, self.vq.to_code, self.vq.codebook]
        if self.config.separate_encoder:
            parts.append(self.encoder)
        for part in parts:
            for name, tensor in sorted(part.state_dict().items()):
                if name != "cluster_size":  # bookkeeping of training
                    digest.update(tensor.detach().float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def extra_repr(self) -> str:
        """Return a fingerprint of all weights: two models with other weights look different.

        Caches of results, such as MOABB's, tell models apart by their representation.
        """
        digest = hashlib.sha256()
        for name, tensor in self.state_dict().items():
            moments = (tensor.double().sum().item(), tensor.double().square().sum().item())
            digest.update(f"{name} {moments}".encode())
        return f"weights: {digest.hexdigest()[:16]}"

    def forward(
        self,
        hidden: Tensor | None = None,
        channels: Tensor | None = None,
        times: Tensor | None = None,
        input_ids: Tensor | None = None,
        text_times: Tensor | None = None,
        branches: Tensor | None = None,
        past: Any = None,
        use_cache: bool = False,
    ) -> Any:
        """Run the language model over EEG, text, or EEG followed by text.

        Parameters
        ----------
        hidden : Tensor, shape (B, N, n_embd) | None
            Encoder hidden states.
        channels, times : Tensor of int64, shape (N,) or (B, N) | None
            Vocabulary row and second of each EEG token.
        input_ids : Tensor of int64, shape (B, T) or (T,) | None
            Text; a single row serves the whole batch.
        text_times : Tensor of int64, shape (T,) | None
            Steps of the text tokens. None: they follow the sample's last second, or start at 0.
        branches : Tensor of int64, shape (L,) | None
            Alternatives, see :func:`~mne_neurolm.models.masks.stair_step_mask`.
        past : transformers.Cache | None
            Keys and values of what came before; ``times`` then only tells where text goes on.
        use_cache : bool
            Return a cache. Default False.

        Returns
        -------
        outputs : transformers.modeling_outputs.BaseModelOutputWithPast
            ``last_hidden_state`` (B, L, D) and, on request, ``past_key_values``. Apply
            :meth:`logits` to the rows that are needed: the full head is 58496 wide.
        """
        self._require_language_model()
        embeddings: list[Tensor] = []
        steps: list[Tensor] = []
        if hidden is not None:
            if channels is None or times is None:
                raise ValueError("EEG needs channels and times beside its hidden states.")
            embeddings.append(self.embed_eeg(hidden, channels))
            steps.append(times)
        if input_ids is not None:
            text = self.backbone.get_input_embeddings()(input_ids)
            if text.dim() == 2:
                n_batch = len(hidden) if hidden is not None else 1
                text = text.expand(n_batch, -1, -1)
            embeddings.append(text)
            if text_times is None:
                n_text = input_ids.shape[-1]
                start = 0 if times is None else times.amax(dim=-1, keepdim=True) + 1
                text_times = start + torch.arange(n_text, device=text.device)
            steps.append(text_times)
        positions = _concatenate_steps(steps)
        if past is None:
            mask = stair_step_mask(positions, branches)
        else:  # text that goes on sees everything before it
            n_past = past.get_seq_length()
            causal = stair_step_mask(positions)
            mask = torch.cat([causal.new_ones((*causal.shape[:-1], n_past)), causal], dim=-1)
        mask = mask[None, None] if mask.dim() == 2 else mask[:, None]
        inputs = torch.cat(embeddings, dim=1)
        position_ids = positions[None] if positions.dim() == 1 else positions
        return self.backbone(
            inputs_embeds=inputs,
            attention_mask=mask,
            position_ids=position_ids,
            past_key_values=past,
            use_cache=use_cache,
        )

    def embed_eeg(self, hidden: Tensor, channels: Tensor) -> Tensor:
        """Return the language model's EEG inputs (B, N, D), positions not yet added."""
        return self.projection(hidden) + self.channel_embed(channels)

    def logits(self, states: Tensor) -> Tensor:
        """Return logits (..., text rows + codes) of states (..., D)."""
        return self.lm_head(states)

    # --- files -------------------------------------------------------------------------------

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Write config, safetensors and, if there is one, the text tokenizer to a folder."""
        super().save_pretrained(save_directory, **kwargs)
        if self.text_tokenizer is not None:
            self.text_tokenizer.save_pretrained(str(save_directory))

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, *args: Any, **kwargs: Any
    ) -> NeuroLM:
        """Load a model that :meth:`save_pretrained` or ``convert_checkpoint`` wrote.

        Parameters
        ----------
        pretrained_model_name_or_path : str | pathlib.Path
            A folder, or a hub id.
        *args, **kwargs
            As for :meth:`transformers.PreTrainedModel.from_pretrained`. Weights come as float32
            unless ``dtype`` says otherwise.

        Returns
        -------
        model : NeuroLM
            The model in evaluation mode, with its text tokenizer if the folder has one.
        """
        from .text import load_text_tokenizer

        kwargs.setdefault("dtype", torch.float32)
        bars = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()  # it would flash up for every model, whatever `verbose`
        try:
            model = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        finally:
            if bars:
                logging.enable_progress_bar()
        if model.has_language_model:
            model.text_tokenizer = load_text_tokenizer(
                pretrained_model_name_or_path, revision=kwargs.get("revision")
            )
        return model


def _concatenate_steps(steps: list[Tensor]) -> Tensor:
    """Join EEG and text steps along the last axis; either may lack the batch axis."""
    if any(step.dim() == 2 for step in steps):
        n_batch = max(len(step) for step in steps if step.dim() == 2)
        steps = [step.expand(n_batch, -1) for step in steps]
    return torch.cat(steps, dim=-1)
