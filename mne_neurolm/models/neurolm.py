"""Stages 2 and 3: a causal language model that reads EEG (paper, sections 2.3 and 2.4).

Shapes are written with B = samples in the batch, N = patches of a sample, T = text tokens,
L = N + T, D = width of the language model.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..utils.fingerprint import fingerprint
from .attention import register, visibility
from .backbone import build_backbone, keeping_weights, takes_visibility
from .config import NeuroLMConfig
from .encoder import NeuralTransformer, build_encoder
from .files import check_config, check_loaded, check_output, silent_progress, without_adapters
from .masks import stair_step_mask
from .text import find_text_tokenizer
from .vq import VQ, check_times

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_N_HASHED = 65_536  # elements at either end of a tensor that `extra_repr` reads
# Arguments of `from_pretrained` that the text tokenizer of the same repository needs too.
_HUB_OPTIONS = ("revision", "token", "cache_dir", "local_files_only", "subfolder")


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
    supports_gradient_checkpointing = True
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

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled model, perhaps in a process that has built none."""
        register()
        super().__setstate__(state)

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

        Raises
        ------
        ValueError
            If a second lies outside the time embedding.
        """
        check_times(times, self.config.n_time_embeddings)
        encoder = self.encoder if self.config.separate_encoder else self.vq.encoder
        return encoder(patches, channels, times, mask, norm_over_padding=norm_over_padding)

    @torch.no_grad()
    def tokenize(self, patches: Tensor, channels: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return hidden states and codes.

        Parameters
        ----------
        patches, channels, times : Tensor
            As for :meth:`encode`.

        Returns
        -------
        hidden : Tensor, shape (B, N, n_embd)
            What the language model reads.
        codes : Tensor of int64, shape (B, N)
            Rows of the codebook.
        """
        hidden = self.encode(patches, channels, times)
        if not self.config.separate_encoder:
            return hidden, self.vq.codes(hidden)
        return hidden, self.vq.codes(self.vq.encode(patches, channels, times))

    def encoder_id(self) -> str:
        """Return a fingerprint of everything that hidden states and codes depend on.

        Returns
        -------
        fingerprint : str
            Hexadecimal digits; models with the same tokenize alike.
        """
        parts = {"encoder": self.vq.encoder, "to_code": self.vq.to_code, "codes": self.vq.codebook}
        if self.config.separate_encoder:
            parts["language_model_encoder"] = self.encoder
        return fingerprint(
            (f"{part}.{name}", tensor)
            for part, module in parts.items()
            for name, tensor in module.state_dict().items()
            if name != "cluster_size"  # bookkeeping of training
        )

    def extra_repr(self) -> str:
        """Return a fingerprint of all weights: two models with other weights look different.

        Caches of results, such as MOABB's, tell models apart by their representation.

        Returns
        -------
        text : str
            ``"weights: "`` and 16 hexadecimal digits.

        Notes
        -----
        Of large tensors the first and last 65,536 elements are read, which is fast for billions
        of weights and still sees any training, as that moves whole tensors. Bytes are hashed, no
        sums, whose last bits would depend on the number of threads.
        """
        digest = hashlib.sha256()
        for name, tensor in self.state_dict().items():
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            flat = tensor.detach().flatten()
            ends = [flat[:_N_HASHED], flat[_N_HASHED:][-_N_HASHED:]]
            for end in ends if not tensor.is_meta else []:
                digest.update(end.float().cpu().numpy().tobytes())
        if self.config.temperatures:
            digest.update(repr(sorted(self.config.temperatures.items())).encode())
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
        output_attentions: bool = False,
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
        branches : Tensor of int64, shape (L,) or (L, depth) | None
            Alternatives, see ``models.masks.stair_step_mask``.
        past : transformers.Cache | None
            Keys and values of what came before; ``times`` then only tells where text goes on.
        use_cache : bool
            Return a cache. Default False.
        output_attentions : bool
            Return how much each token attends to each other one, which takes more time and memory.
            Default False.

        Returns
        -------
        outputs : transformers.modeling_outputs.BaseModelOutputWithPast
            ``last_hidden_state`` (B, L, D) and, on request, ``past_key_values``, and
            ``attentions``, for each layer (B, n_heads, L, L), the last axis with what ``past`` has
            before it. Apply :meth:`logits` to the rows that are needed: the full head is 58496
            wide.

        Raises
        ------
        ValueError
            If there is no language model, or hidden states come without channels or times.
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
        n_past = 0 if past is None else past.get_seq_length()  # what goes on sees all before it
        seen = None
        # Without values there is nothing to work out: on the meta device, and in a graph.
        has_values = type(positions) is Tensor and not positions.is_meta
        if positions.dim() == 1 and has_values and not torch.compiler.is_compiling():
            seen = visibility(positions, branches, n_past)
            mask = seen.mask[None, None]
        else:
            mask = stair_step_mask(positions, branches)
            mask = mask[None, None] if mask.dim() == 2 else mask[:, None]
            mask = torch.cat([mask.new_ones((*mask.shape[:-1], n_past)), mask], dim=-1)
        inputs = torch.cat(embeddings, dim=1)
        position_ids = positions[None] if positions.dim() == 1 else positions
        given: dict[str, Any] = {
            "inputs_embeds": inputs,
            "position_ids": position_ids,
            "past_key_values": past,
            "use_cache": use_cache,
        }
        if not output_attentions:
            if seen is not None and takes_visibility(self.backbone):
                given["seen"] = seen
            return self.backbone(attention_mask=mask, **given)
        # Added to what the softmax is taken of, as the slow way has it.
        added = torch.zeros_like(mask, dtype=inputs.dtype)
        added.masked_fill_(~mask, torch.finfo(inputs.dtype).min)
        with keeping_weights(self.backbone):
            return self.backbone(attention_mask=added, output_attentions=True, **given)

    def embed_eeg(self, hidden: Tensor, channels: Tensor) -> Tensor:
        """Return the language model's inputs for EEG.

        Parameters
        ----------
        hidden : Tensor, shape (B, N, n_embd)
            Encoder hidden states.
        channels : Tensor of int64, shape (N,) or (B, N)
            Vocabulary row of each token's channel.

        Returns
        -------
        inputs : Tensor, shape (B, N, D)
            In the language model's width D, positions not yet added.
        """
        return self.projection(hidden) + self.channel_embed(channels)

    def logits(self, states: Tensor) -> Tensor:
        """Return logits over the merged vocabulary.

        Parameters
        ----------
        states : Tensor, shape (..., D)
            Last hidden states of the language model.

        Returns
        -------
        logits : Tensor, shape (..., n_text + n_codes)
            Text tokens first, then codes.
        """
        return self.lm_head(states)

    # --- files -------------------------------------------------------------------------------

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Write config, safetensors and, if there is one, the text tokenizer to a folder.

        Parameters
        ----------
        save_directory : str | pathlib.Path
            The folder, made if needed.
        **kwargs
            As for :meth:`transformers.PreTrainedModel.save_pretrained`.

        Raises
        ------
        ValueError
            If there is a file of that name.

        Notes
        -----
        LoRA adapters are written merged into the weights; the model in memory keeps them apart.
        """
        path = check_output(save_directory)
        with silent_progress():
            super(NeuroLM, without_adapters(self)).save_pretrained(path, **kwargs)
        if self.text_tokenizer is not None:
            self.text_tokenizer.save_pretrained(str(path))

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
            The model in evaluation mode, with its text tokenizer if the folder has one. With
            ``output_loading_info=True`` a tuple of it and transformers' report on the keys, which
            is then not judged.

        Raises
        ------
        ValueError
            If there is no such folder, it holds another kind of model, its weights are damaged, or
            they do not fit the configuration: missing, unexpected and misshapen keys are named.
        OSError
            If there is no such repository on the hub, or no weights.
        """
        source = Path(pretrained_model_name_or_path).expanduser()
        folder = source / kwargs.get("subfolder", "")
        if source.is_dir():
            if kwargs.get("config") is None:
                check_config(folder)
        elif isinstance(pretrained_model_name_or_path, Path):
            raise ValueError(f"There is no folder {source}. (A hub id must be a str.)")
        name = str(source) if source.is_dir() else str(pretrained_model_name_or_path)
        kwargs.setdefault("dtype", torch.float32)
        wants_info = kwargs.pop("output_loading_info", False)
        # Let through by transformers, as its own error names no key; judged below.
        allow_mismatched = kwargs.pop("ignore_mismatched_sizes", False)
        try:
            with silent_progress():
                model, info = super().from_pretrained(
                    name, *args, output_loading_info=True, ignore_mismatched_sizes=True, **kwargs
                )
        except (RuntimeError, SafetensorError) as error:
            raise ValueError(
                f"The weights of {name} can't be read: the file is truncated or damaged. Get or "
                f"write it again. ({type(error).__name__}: {error})"
            ) from error
        if not wants_info:
            check_loaded(name, info, allow_mismatched=allow_mismatched)
        if model.has_language_model:
            options = {key: kwargs[key] for key in _HUB_OPTIONS if key in kwargs}
            model.text_tokenizer = find_text_tokenizer(
                folder if source.is_dir() else name, **options
            )
        return (model, info) if wants_info else model  # type: ignore[return-value]


def _concatenate_steps(steps: list[Tensor]) -> Tensor:
    """Join EEG and text steps along the last axis; either may lack the batch axis."""
    if any(step.dim() == 2 for step in steps):
        n_batch = max(len(step) for step in steps if step.dim() == 2)
        steps = [step.expand(n_batch, -1) for step in steps]
    return torch.cat(steps, dim=-1)
