"""What may change when a run resumes: when it is saved, and where and how it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(kw_only=True, slots=True, frozen=True)
class CheckpointConfig:
    """When the state of a run is saved. May change when a run resumes.

    Attributes
    ----------
    every_minutes : float | None
        Minutes between checkpoints. Default 15. None: not by time.
    every_steps : int | None
        Steps between checkpoints. Default None: not by steps.
    keep_last : int
        Checkpoints to keep, beside the best. Default 2.
    asynchronous : bool
        Write while training goes on. Default True.
    publish : "last" | "best"
        Which weights become the final model: the last, or those of the epoch with the lowest
        validation loss. Default ``"last"``.

    Raises
    ------
    ValueError
        If a number is not positive.

    Examples
    --------
    >>> from mne_neurolm.training.config import CheckpointConfig
    >>> CheckpointConfig(every_minutes=None, every_steps=500, publish="best").keep_last
    2
    >>> CheckpointConfig(every_steps=0)
    Traceback (most recent call last):
        ...
    ValueError: every_steps must be positive; got 0.
    """

    every_minutes: float | None = 15.0
    every_steps: int | None = None
    keep_last: int = 2
    asynchronous: bool = True
    publish: Literal["last", "best"] = "last"

    def __post_init__(self) -> None:
        for name in ("every_minutes", "every_steps", "keep_last"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be positive; got {value}.")


@dataclass(kw_only=True, slots=True, frozen=True)
class RuntimeConfig:
    """Where and how the computation runs. May change when a run resumes.

    Attributes
    ----------
    device : "auto" | "cpu" | "cuda"
        Default ``"auto"``: a GPU if there is one.
    precision : "auto" | "float32" | "bfloat16"
        Precision of matrix products. Default ``"auto"``: bfloat16 on GPUs that have it, float32
        elsewhere. Weights, moments, losses and the codebook are float32 always.
    strategy : "ddp" | "fsdp"
        Several processes: replicate the model (default), or shard weights, gradients and moments
        (FSDP2), which XL needs.
    compile : bool
        Compile the transformer blocks with ``torch.compile``. Default False.
    activation_checkpointing : bool
        Compute activations again in the backward pass in place of keeping them. Default False.
    trackers : tuple of str
        ``"tensorboard"`` (default) and ``"wandb"``, whose key is read from the environment
        variable WANDB_API_KEY. ``metrics.jsonl`` is written always.
    log_every : int
        Steps between lines of ``metrics.jsonl``. Default 1.
    max_skipped : int
        Stop after this many steps in a row whose loss or gradient is not finite. Default 5.

    Raises
    ------
    ValueError
        If ``log_every`` or ``max_skipped`` is below 1.

    Examples
    --------
    >>> from mne_neurolm.training.config import RuntimeConfig
    >>> runtime = RuntimeConfig(precision="bfloat16", activation_checkpointing=True)
    >>> runtime.strategy, runtime.trackers
    ('ddp', ('tensorboard',))
    >>> RuntimeConfig(log_every=0)
    Traceback (most recent call last):
        ...
    ValueError: log_every and max_skipped must be at least 1; got 0 and 5.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    strategy: Literal["ddp", "fsdp"] = "ddp"
    compile: bool = False
    activation_checkpointing: bool = False
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = ("tensorboard",)
    log_every: int = 1
    max_skipped: int = 5

    def __post_init__(self) -> None:
        if self.log_every < 1 or self.max_skipped < 1:
            raise ValueError(
                "log_every and max_skipped must be at least 1; got "
                f"{self.log_every} and {self.max_skipped}."
            )
