"""Configuration of a NeuroLM model and the published sizes."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from .targets import FREQUENCY_TARGETS, RECONSTRUCTIONS

# Sizes as data: preset name -> arguments of NeuroLMConfig.
# "b", "l" and "xl": encoder and decoders of Table 7, language models of Table 8 (GPT-2, its medium
# and its xl); the released code has 4 decoder layers where Table 7 says 3, and weights exist only
# for 4.
# "tiny" is ours: small enough to live inside the package and to be trained on two CPU cores.
_GPT2 = {
    "model_type": "gpt2",
    # The released model uses the exact GELU; transformers' default for GPT-2 is the tanh form.
    "activation_function": "gelu",
    "vocab_size": 50304,
    "n_positions": 1024,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "bos_token_id": 50256,
    "eos_token_id": 50256,
}
#: Numbers that describe the covariances of a second, see `mne_neurolm.models.scalp`.
MAX_SCALP_COMPONENTS = 952
PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "n_layer": 4,
        "n_head": 4,
        "n_embd": 192,
        "decoder_n_layer": 1,
        "decoder_n_head": 4,
        "decoder_n_embd": 192,
        "codebook_size": 1024,
        "codebook_dim": 64,
        "sep_token_id": 1023,
        "text_config": {
            **_GPT2,
            "vocab_size": 1024,
            "n_positions": 512,
            "n_layer": 4,
            "n_head": 4,
            "n_embd": 192,
            "bos_token_id": 1022,
            "eos_token_id": 1022,
        },
    },
    "b": {"text_config": {**_GPT2, "n_layer": 12, "n_head": 12, "n_embd": 768}},
    "l": {"text_config": {**_GPT2, "n_layer": 24, "n_head": 16, "n_embd": 1024}},
    "xl": {"text_config": {**_GPT2, "n_layer": 48, "n_head": 25, "n_embd": 1600}},
}


class NeuroLMConfig(PreTrainedConfig):
    """Shape of the neural tokenizer and of the language model behind it.

    Parameters
    ----------
    n_layer, n_head, n_embd : int
        Layers, attention heads and width of the tokenizer's encoder. Defaults 12, 12, 768
        (paper, Table 7).
    decoder_n_layer, decoder_n_head, decoder_n_embd : int
        The same for each of the two decoders. Defaults 4, 12, 768: the released code; Table 7
        prints 3 layers.
    conv_channels : int
        Channels of the three temporal convolutions. Default 16 (Table 7).
    codebook_size, codebook_dim : int
        Number of codes and their dimension. Defaults 8192 and 128 (Table 7).
    codebook_decay : float
        Decay of the codebook's exponential moving average. Default 0.99 (released code).
    commitment_weight : float
        Weight of the commitment loss. Default 1.0 (released code).
    dead_code_threshold : float
        Codes whose moving-average count per batch falls below this value are replaced by encoder
        outputs of the batch. Default 0.0, which never replaces one, as in the paper.
    reconstruction : "both" | "temporal" | "frequency"
        What is rebuilt from the codes: spectra and waveforms (default), or one of them (paper,
        Figure 10). A decoder that is not needed is not built. LaBraM's tokenizer is
        ``"frequency"`` with ``frequency_target="amplitude_phase"``.
    frequency_target : "magnitude" | "log_magnitude" | "amplitude_phase"
        What the frequency decoder predicts: the DFT magnitudes of the paper (default), z-scored
        over the sample; or their logarithms, standardised per bin over the training data, so that
        the many faint high frequencies count as much as the few loud low ones; or, as LaBraM
        (Jiang et al., ICLR 2024, section 2.2), amplitudes and phases of all bins, each z-scored
        over the sample.
    hidden_target_weight : float
        Factor of a loss that is ours: one linear layer per target predicts what the decoders
        predict, from the encoder's hidden states. Reconstruction sees those only through codes,
        but the language model reads them unquantised. Default 0.0, as in the paper: no such layer.
    scalp_components : int
        Principal components of the covariances over the whole scalp, and half as many of evoked
        amplitudes, that the encoder gets beside each patch (see
        :class:`~mne_neurolm.models.scalp.ScalpEmbedding`). Ours. Default 0, as in the paper: none.
    n_channel_embeddings, n_time_embeddings : int
        Rows of the learned channel and time embeddings. Defaults 256 and 64 (released code).
    separate_encoder : bool
        Whether the language model reads EEG through an encoder of its own, as converted checkpoints
        may; by default (False) it shares the neural tokenizer's.
    sep_token_id : int
        Text id of ``[SEP]``, which closes the EEG part. Default 50257 (paper, Appendix; the first
        row after GPT-2's own vocabulary).
    temperatures : dict of float | None
        Calibration temperature by name of task, which
        :func:`~mne_neurolm.tune_instructions` fits with ``calibration="temperature"``. None
        (default): no task has one.
    text_config : dict | PreTrainedConfig | None
        Configuration of the language model: any causal language model of transformers that takes
        ``inputs_embeds`` and ``position_ids``. ``None`` (default) describes a neural tokenizer
        without a language model, which is what stage 1 trains.
    **kwargs
        Passed to :class:`transformers.PreTrainedConfig`.

    Raises
    ------
    ValueError
        If a width is not divisible by its number of heads, ``sep_token_id`` is outside the text
        vocabulary, or a target is unknown.

    Examples
    --------
    >>> from mne_neurolm import NeuroLMConfig
    >>> NeuroLMConfig.preset("tiny").codebook_size
    1024
    """

    model_type = "neurolm"
    sub_configs = {"text_config": AutoConfig}

    def __init__(
        self,
        *,
        n_layer: int = 12,
        n_head: int = 12,
        n_embd: int = 768,
        decoder_n_layer: int = 4,
        decoder_n_head: int = 12,
        decoder_n_embd: int = 768,
        conv_channels: int = 16,
        codebook_size: int = 8192,
        codebook_dim: int = 128,
        codebook_decay: float = 0.99,
        commitment_weight: float = 1.0,
        dead_code_threshold: float = 0.0,
        reconstruction: str = "both",
        frequency_target: str = "magnitude",
        hidden_target_weight: float = 0.0,
        scalp_components: int = 0,
        n_channel_embeddings: int = 256,
        n_time_embeddings: int = 64,
        separate_encoder: bool = False,
        sep_token_id: int = 50257,
        temperatures: dict[str, float] | None = None,
        text_config: dict[str, Any] | PreTrainedConfig | None = None,
        **kwargs: Any,
    ) -> None:
        for what, value, allowed in (
            ("reconstruction", reconstruction, RECONSTRUCTIONS),
            ("frequency_target", frequency_target, FREQUENCY_TARGETS),
        ):
            if value not in allowed:
                listed = ", ".join(map(repr, allowed))
                raise ValueError(f"{what} must be one of {listed}; got {value!r}.")
        if not 0 <= hidden_target_weight < float("inf"):
            raise ValueError(
                "hidden_target_weight must be 0, for no such loss, or a positive number; got "
                f"{hidden_target_weight}."
            )
        if not 0 <= scalp_components <= MAX_SCALP_COMPONENTS:
            raise ValueError(
                f"scalp_components must be 0, for none, to {MAX_SCALP_COMPONENTS}, the numbers "
                f"that describe covariances; got {scalp_components}."
            )
        for what, width, heads in (
            ("n_embd", n_embd, n_head),
            ("decoder_n_embd", decoder_n_embd, decoder_n_head),
        ):
            if width % heads:
                raise ValueError(
                    f"{what}={width} is not divisible by its {heads} attention heads; change "
                    "either."
                )
        self.n_layer = n_layer
        self.n_head = n_head
        self.n_embd = n_embd
        self.decoder_n_layer = decoder_n_layer
        self.decoder_n_head = decoder_n_head
        self.decoder_n_embd = decoder_n_embd
        self.conv_channels = conv_channels
        self.codebook_size = codebook_size
        self.codebook_dim = codebook_dim
        self.codebook_decay = codebook_decay
        self.commitment_weight = commitment_weight
        self.dead_code_threshold = dead_code_threshold
        self.reconstruction = reconstruction
        self.frequency_target = frequency_target
        self.hidden_target_weight = hidden_target_weight
        self.scalp_components = scalp_components
        self.n_channel_embeddings = n_channel_embeddings
        self.n_time_embeddings = n_time_embeddings
        self.separate_encoder = separate_encoder
        self.sep_token_id = sep_token_id
        self.temperatures = dict(temperatures or {})
        language: Any = text_config
        if isinstance(text_config, dict):
            fields = dict(text_config)
            language = AutoConfig.for_model(fields.pop("model_type"), **fields)
        self.text_config = language
        if language is not None and not 0 <= sep_token_id < language.vocab_size:
            raise ValueError(
                f"sep_token_id={sep_token_id} lies outside the text vocabulary of "
                f"{language.vocab_size} rows; enlarge text_config['vocab_size'] or move it."
            )
        # Head and word embeddings are separate matrices (released code: the head also has a row
        # per code).
        kwargs["tie_word_embeddings"] = False
        super().__init__(**kwargs)

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> NeuroLMConfig:
        """Return the configuration of a published size, or of the bundled tiny model.

        Parameters
        ----------
        name : "tiny" | "b" | "l" | "xl"
            NeuroLM-B, -L and -XL are the sizes of the paper (Table 8).
        **overrides
            Arguments of :class:`NeuroLMConfig` that replace the preset's.

        Returns
        -------
        config : NeuroLMConfig
            The configuration.

        Raises
        ------
        ValueError
            If there is no such preset.
        """
        if name not in PRESETS:
            raise ValueError(f"Unknown preset {name!r}; choose one of {sorted(PRESETS)}.")
        return cls(**{**PRESETS[name], **overrides})
