"""How a run is trained: typed settings, and the published recipes as a table.

Nothing here imports torch or a command-line library; ``mne_neurolm.pretrain`` turns the fields
into flags, and a YAML file has the same names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from .running import CheckpointConfig, RuntimeConfig

# The paper's; "masked" is LaBraM's, which may take the place of "autoregressive".
STAGES = ("tokenizer", "autoregressive", "instruct")
ALL_STAGES = ("tokenizer", "masked", "autoregressive", "instruct")


@dataclass(kw_only=True, slots=True, frozen=True)
class TrainingConfig:
    """Optimiser, schedule and batches of a stage. Stages have defaults of their own.

    Attributes
    ----------
    max_epochs : int
        Passes over the data.
    max_steps : int | None
        Number of optimiser steps, in place of ``max_epochs``; schedules span it. Default None.
    batch_size : int
        EEG windows per step, all processes together.
    micro_batch_size : int | None
        Most windows that one process puts through the network at a time; a larger share of the
        batch is accumulated. None (default): no accumulation.
    lr : float
        Peak learning rate.
    min_lr : float
        Final learning rate.
    warmup : float
        Share of all steps spent on linear warm-up.
    weight_decay : float
        Weight decay of matrices and embeddings.
    betas : tuple of float
        AdamW's averages.
    grad_clip : float
        Largest norm of the gradient. 0 does not clip.
    text_batch_size, text_length : int
        Rows of text per step, all processes together, and tokens per row.
    alignment : float
        Stage 1: strength of the alignment with text at the end of training. 1 is the paper's, 0
        its Figure 11.
    mask_ratio : float
        Stage ``masked``: share of the patches that are hidden. Default 0.5 (LaBraM).
    montage_subsets : float
        Largest share of the channels that is left out of a step's windows. Each step draws its
        share evenly from 0 to this. Default 0, as in the paper.
    amplitude_jitter : float
        Standard deviation of the natural logarithm of a gain per channel and step. Default 0, as in
        the paper.
    seed : int
        Seed of everything random.
    progress : bool
        Show a progress bar with the time left.

    Raises
    ------
    ValueError
        If a value is out of range, or ``min_lr`` is above ``lr``.

    See Also
    --------
    mne_neurolm.training.config.recipe : The settings of each stage and size.

    Notes
    -----
    What is not given is 64 windows per step, a learning rate from 5e-4 to 5e-5 after a warm-up of
    0.1, weight decay 0.1, averages of 0.9 and 0.95, gradients clipped at 1, 4 rows of 256 tokens of
    text, ``alignment=1.0``, ``seed=0`` and a progress bar.

    Examples
    --------
    >>> from mne_neurolm.training import TrainingConfig
    >>> TrainingConfig(max_epochs=3, lr=1e-3).min_lr
    5e-05
    """

    max_epochs: int
    max_steps: int | None = None
    batch_size: int = 64
    micro_batch_size: int | None = None
    lr: float = 5e-4
    min_lr: float = 5e-5
    warmup: float = 0.1
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    grad_clip: float = 1.0
    text_batch_size: int = 4
    text_length: int = 256
    alignment: float = 1.0
    mask_ratio: float = 0.5
    montage_subsets: float = 0.0
    amplitude_jitter: float = 0.0
    seed: int = 0
    progress: bool = True

    def __post_init__(self) -> None:
        for name in (
            "max_epochs",
            "max_steps",
            "batch_size",
            "micro_batch_size",
            "text_batch_size",
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1; got {value}.")
        if self.text_length < 2:
            raise ValueError(
                f"text_length must be at least 2, a token and the next; got {self.text_length}."
            )
        for name in ("weight_decay", "grad_clip", "alignment"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more; got {getattr(self, name)}.")
        if not 0 <= self.montage_subsets < 1 or not 0 <= self.amplitude_jitter < float("inf"):
            raise ValueError(
                "montage_subsets is a share of the channels, 0 or more and below 1, and "
                "amplitude_jitter 0 or more; got "
                f"{self.montage_subsets} and {self.amplitude_jitter}."
            )
        if not 0 < self.mask_ratio < 1:
            raise ValueError(
                f"mask_ratio is a share of the patches, above 0 and below 1; got {self.mask_ratio}."
            )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be 0 or more and below 1; got {self.betas}.")
        if not 0 < self.min_lr <= self.lr:
            raise ValueError(
                f"Learning rates must satisfy 0 < min_lr <= lr; got {self.min_lr} and {self.lr}."
            )
        if not 0 <= self.warmup < 1:
            raise ValueError(
                f"warmup is a share of all steps, 0 or more and below 1; got {self.warmup}."
            )


@dataclass(kw_only=True, slots=True, frozen=True)
class DataConfig:
    """How recordings of a store become windows.

    Attributes
    ----------
    max_tokens : int
        Patches per window: with C channels a window lasts ``max_tokens // C`` seconds, at most the
        64 that the time embedding knows. Default 1024 (paper, section 2.3).
    min_seconds : int
        Shortest window. A recording shorter than a full window is one shorter window. Default 2,
        the least that autoregression can learn from.
    val_fraction : float
        Share of subjects held out for validation, when the store does not say which recordings are
        for validation. Default 0.05.
    train_fraction : float
        Share of the training windows, of each task, to train on; which ones depends on the seed.
        Default 1. The paper's Figure 6 varies it for instruction tuning.
    max_val_windows : int
        Most windows that validation looks at. Default 2048.
    text_val_fraction : float
        Share of the text, its end, held out for validation. Default 0.02.
    num_workers : int
        Processes that read windows. Default 2; 0 reads in the training process.

    Raises
    ------
    ValueError
        If a value is out of range.

    Examples
    --------
    >>> from mne_neurolm.training.config import DataConfig
    >>> config = DataConfig(max_tokens=128, val_fraction=0.2)
    >>> config.max_tokens // 19  # seconds of a window of 19 channels
    6
    >>> DataConfig(train_fraction=0.0)
    Traceback (most recent call last):
        ...
    ValueError: train_fraction must be above 0 and at most 1; got 0.0.
    """

    max_tokens: int = 1024
    min_seconds: int = 2
    val_fraction: float = 0.05
    train_fraction: float = 1.0
    max_val_windows: int = 2048
    text_val_fraction: float = 0.02
    num_workers: int = 2

    def __post_init__(self) -> None:
        for name in ("val_fraction", "text_val_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be 0 or more and below 1; got {getattr(self, name)}."
                )
        if not 0 < self.train_fraction <= 1:
            raise ValueError(
                f"train_fraction must be above 0 and at most 1; got {self.train_fraction}."
            )
        if not 1 <= self.min_seconds <= 64:
            raise ValueError(f"min_seconds must be 1 to 64; got {self.min_seconds}.")
        if self.max_tokens < 1 or self.num_workers < 0 or self.max_val_windows < 1:
            raise ValueError(
                "max_tokens and max_val_windows must be at least 1 and num_workers 0 or more; got "
                f"{self.max_tokens}, {self.max_val_windows} and {self.num_workers}."
            )


@dataclass(kw_only=True, slots=True, frozen=True)
class ModelConfig:
    """What differs from the preset's network. None keeps the preset's value.

    Attributes
    ----------
    language_model : str | None
        What the language model starts from when there is no ``--init``: a folder or hub id of a
        causal language model of transformers (the paper: ``gpt2``, ``gpt2-medium``, ``gpt2-xl``),
        ``"tiny"`` for the bundled model's, or None for random weights. Nothing is downloaded unless
        a hub id is named here.
    allow_untrained : bool
        Stage ``instruct``: let ``--init`` be a run of the stage ``tokenizer``, whose language model
        has seen no EEG (paper, Figure 8). Default False: that is most likely a mistake.
    codebook_size, codebook_decay, commitment_weight, dead_code_threshold, reconstruction,
    frequency_target, hidden_target_weight, scalp_components
        See :class:`~mne_neurolm.NeuroLMConfig`.

    Examples
    --------
    >>> from mne_neurolm import NeuroLMConfig
    >>> from mne_neurolm.training.config import ModelConfig
    >>> changes = ModelConfig(codebook_size=512, reconstruction="temporal").overrides()
    >>> changes
    {'codebook_size': 512, 'reconstruction': 'temporal'}
    >>> NeuroLMConfig.preset("tiny", **changes).codebook_size
    512
    """

    language_model: str | None = None
    allow_untrained: bool = False
    codebook_size: int | None = None
    codebook_decay: float | None = None
    commitment_weight: float | None = None
    dead_code_threshold: float | None = None
    reconstruction: Literal["both", "temporal", "frequency"] | None = None
    frequency_target: Literal["magnitude", "log_magnitude", "amplitude_phase"] | None = None
    hidden_target_weight: float | None = None
    scalp_components: int | None = None

    def overrides(self) -> dict[str, Any]:
        """Return the arguments of :class:`~mne_neurolm.NeuroLMConfig` that are set.

        Returns
        -------
        overrides : dict
            By name, those that are not None.
        """
        names = (
            "codebook_size",
            "codebook_decay",
            "commitment_weight",
            "dead_code_threshold",
            "reconstruction",
            "frequency_target",
            "hidden_target_weight",
            "scalp_components",
        )
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


@dataclass(kw_only=True, slots=True, frozen=True)
class RunConfig:
    """Everything about a run of ``mne_neurolm.pretrain`` beside its paths.

    Attributes
    ----------
    training : TrainingConfig
        Optimiser, schedule and batches.
    data : DataConfig
        Windows.
    model : ModelConfig
        Changes to the preset's network.
    checkpoint : CheckpointConfig
        When state is saved.
    runtime : RuntimeConfig
        Device, precision, parallelism, logging.

    See Also
    --------
    mne_neurolm.training.config.recipe : The settings of each stage and size.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from mne_neurolm.training.config import DataConfig, RunConfig, TrainingConfig, recipe
    >>> config = RunConfig(training=TrainingConfig(max_epochs=3), data=DataConfig(max_tokens=256))
    >>> config.data.max_tokens, config.runtime.precision
    (256, 'auto')
    >>> tiny = recipe("tokenizer", "tiny")
    >>> shorter = replace(tiny, training=replace(tiny.training, max_epochs=1))
    >>> shorter.training.max_epochs, shorter.model.codebook_decay
    (1, 0.9)
    """

    training: TrainingConfig
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)


# Tables 7 to 9 of the paper, as the released scripts have them for NeuroLM-B. Batch sizes are per
# GPU there and per step here: those scripts run on 8 GPUs.
TOKENIZER_DEFAULTS = TrainingConfig(
    max_epochs=50,
    batch_size=512,
    lr=5e-5,
    min_lr=1e-5,
    warmup=0.1,
    weight_decay=1e-4,
    betas=(0.9, 0.999),
    grad_clip=0.0,
    text_batch_size=128,
    text_length=1024,
)
AUTOREGRESSIVE_DEFAULTS = TrainingConfig(
    max_epochs=20,
    batch_size=480,
    lr=6e-4,
    min_lr=6e-5,
    warmup=0.1,
    text_batch_size=32,
    text_length=1024,
)
INSTRUCTION_DEFAULTS = TrainingConfig(
    max_epochs=5,
    batch_size=512,
    lr=5e-4,
    min_lr=5e-5,
    warmup=0.1,
    text_batch_size=128,
    text_length=1024,
)
# LaBraM's second stage, from its released script (README.md and run_labram_pretraining.py of
# 935963004/LaBraM, base size): 64 windows on each of 8 GPUs, warm-up for 5 of 50 epochs.
MASKED_DEFAULTS = TrainingConfig(
    max_epochs=50,
    batch_size=512,
    lr=5e-4,
    min_lr=1e-5,
    warmup=0.1,
    weight_decay=0.05,
    betas=(0.9, 0.98),
    grad_clip=3.0,
    mask_ratio=0.5,
)

# The tiny model is 45 times smaller than NeuroLM-B and sees hours, not years: higher rates, small
# batches, short windows, and a codebook that moves faster than its encoder settles (with the
# paper's targets, commitment and decay most codes die on so little EEG).
_TINY_DATA = DataConfig(max_tokens=128)
_TINY = {
    "tokenizer": RunConfig(
        training=TrainingConfig(
            max_epochs=6,
            batch_size=16,
            lr=1e-3,
            min_lr=1e-4,
            weight_decay=1e-4,
            betas=(0.9, 0.99),
            text_batch_size=4,
            text_length=129,
            alignment=0.1,
            montage_subsets=0.6,
            amplitude_jitter=0.2,
        ),
        data=_TINY_DATA,
        model=ModelConfig(
            language_model="tiny",
            frequency_target="log_magnitude",
            commitment_weight=0.1,
            codebook_decay=0.9,
            dead_code_threshold=0.5,
            hidden_target_weight=1.0,
            scalp_components=64,
        ),
    ),
    "masked": RunConfig(
        training=TrainingConfig(
            max_epochs=6,
            batch_size=16,
            lr=1e-3,
            min_lr=1e-4,
            weight_decay=0.05,
            betas=(0.9, 0.98),
            grad_clip=3.0,
        ),
        data=_TINY_DATA,
        model=ModelConfig(language_model="tiny"),
    ),
    "autoregressive": RunConfig(
        training=TrainingConfig(
            max_epochs=4,
            batch_size=16,
            lr=1e-3,
            min_lr=1e-4,
            text_batch_size=4,
            text_length=129,
            montage_subsets=0.6,
            amplitude_jitter=0.2,
        ),
        data=_TINY_DATA,
        model=ModelConfig(language_model="tiny"),
    ),
    "instruct": RunConfig(
        training=TrainingConfig(
            max_epochs=4, batch_size=16, lr=5e-4, min_lr=5e-5, text_batch_size=4, text_length=129
        ),
        data=_TINY_DATA,
        model=ModelConfig(language_model="tiny"),
    ),
}
_PUBLISHED = {
    "tokenizer": RunConfig(training=TOKENIZER_DEFAULTS),
    "masked": RunConfig(training=MASKED_DEFAULTS),
    "autoregressive": RunConfig(training=AUTOREGRESSIVE_DEFAULTS),
    "instruct": RunConfig(training=INSTRUCTION_DEFAULTS),
}


def recipe(stage: str, preset: str) -> RunConfig:
    """Return the settings of a stage for a size of the model.

    Parameters
    ----------
    stage : "tokenizer" | "masked" | "autoregressive" | "instruct"
        The stage.
    preset : "tiny" | "b" | "l" | "xl"
        The size. The three published ones share the recipe of the released scripts.

    Returns
    -------
    config : RunConfig
        The settings.

    Raises
    ------
    ValueError
        If there is no such stage or size.

    Examples
    --------
    >>> from mne_neurolm.training.config import recipe
    >>> config = recipe("tokenizer", "b")
    >>> config.training.max_epochs, config.training.batch_size
    (50, 512)
    """
    if stage not in ALL_STAGES:
        raise ValueError(f"Unknown stage {stage!r}; choose one of {', '.join(ALL_STAGES)}.")
    if preset not in ("tiny", "b", "l", "xl"):
        raise ValueError(f"Unknown preset {preset!r}; choose one of tiny, b, l, xl.")
    return (_TINY if preset == "tiny" else _PUBLISHED)[stage]
