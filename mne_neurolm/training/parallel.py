"""One process or many: devices, replication, sharding, and sums over processes."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, distributed, nn

from ..utils.device import resolve_device
from ..utils.optional import import_optional
from .config import RuntimeConfig

_BLOCKS = ("Block", "GPT2Block")  # modules that are sharded and compiled one by one


class Parallel:
    """Where a stage runs: on one device, or on one of several that work together.

    Parameters
    ----------
    device : torch.device
        This process's device.
    accelerator : accelerate.Accelerator | None
        What replicates, clips and tracks in a run of several processes. None: a single process
        in which nothing global is set up, for training in a notebook.
    strategy : "ddp" | "fsdp"
        See :class:`~mne_neurolm.training.config.RuntimeConfig`.
    """

    def __init__(
        self, device: torch.device, accelerator: Any = None, strategy: str = "ddp"
    ) -> None:
        self.device = device
        self.accelerator = accelerator
        self.strategy = strategy
        self.rank = 0 if accelerator is None else accelerator.process_index
        self.world = 1 if accelerator is None else accelerator.num_processes

    @classmethod
    def from_environment(cls, runtime: RuntimeConfig, **accelerator_options: Any) -> Parallel:
        """Join the processes that ``torchrun`` or ``accelerate launch`` started, if any.

        Parameters
        ----------
        runtime : RuntimeConfig
            Device and strategy.
        **accelerator_options
            Passed to :class:`accelerate.Accelerator`.

        Returns
        -------
        parallel : Parallel
            The place of this process.
        """
        accelerate = import_optional("accelerate", extra="train", purpose="Pretraining")
        # Without cpu=True on a machine that has no GPU, processes of one torchrun would not join:
        # each would train a model of its own.
        on_cpu = resolve_device(runtime.device).type == "cpu"
        handlers = []
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            # Checkpoints are written by CPU threads, which need a backend of their own.
            backend = "gloo" if on_cpu else "cpu:gloo,cuda:nccl"
            handlers.append(accelerate.InitProcessGroupKwargs(backend=backend))
        accelerator = accelerate.Accelerator(
            cpu=on_cpu, kwargs_handlers=handlers, **accelerator_options
        )
        return cls(accelerator.device, accelerator, runtime.strategy)

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def wrap(self, stage: nn.Module, *, bfloat16: bool = False) -> nn.Module:
        """Place a stage on the device and prepare it for several processes.

        Parameters
        ----------
        stage : torch.nn.Module
            The stage; with FSDP2 its parameters become sharded in place.
        bfloat16 : bool
            With FSDP2, gather the weights of transformer blocks in bfloat16.

        Returns
        -------
        wrapped : torch.nn.Module
            What to call in place of ``stage``.
        """
        stage.to(self.device)
        if self.world == 1:
            return stage
        if self.strategy == "fsdp":
            return self._shard(stage, bfloat16)
        return self.accelerator.prepare_model(stage)

    def _shard(self, stage: nn.Module, bfloat16: bool) -> nn.Module:
        # By torch's own call: accelerate 1.15 offers FSDP2 on accelerators only, so it could
        # neither be tested nor tried without one.
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

        mesh = init_device_mesh(self.device.type, (self.world,))
        # Gradients are summed in float32, and what flows between blocks stays float32, as without
        # sharding: autocast makes matrix products bfloat16.
        policy = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16 if bfloat16 else None,
            reduce_dtype=torch.float32,
            cast_forward_inputs=False,
        )
        for block in transformer_blocks(stage):
            fully_shard(block, mesh=mesh, mp_policy=policy)
        fully_shard(stage, mesh=mesh)
        return stage

    def accumulate(self, wrapped: nn.Module, *, last: bool) -> AbstractContextManager:
        """Return a context for one forward and backward pass; gradients are summed in the last."""
        # Sharded gradients are summed each time: keeping them whole until the last pass would take
        # the memory that sharding is for.
        if self.world == 1 or self.strategy == "fsdp" or last:
            return nullcontext()
        return self.accelerator.no_sync(wrapped)

    def clip(self, parameters: list[Tensor], max_norm: float) -> Tensor:
        """Scale gradients to a largest norm (0: leave them), and return the norm before."""
        limit = max_norm if max_norm > 0 else float("inf")
        if self.accelerator is not None:
            norm = self.accelerator.clip_grad_norm_(parameters, limit)
        else:
            norm = nn.utils.clip_grad_norm_(parameters, limit)
        return norm.full_tensor() if hasattr(norm, "full_tensor") else norm

    def sum(self, values: Tensor) -> Tensor:
        """Return values (n,) summed over processes."""
        if self.world > 1:
            distributed.all_reduce(values)
        return values

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.world > 1:
            distributed.barrier()


def transformer_blocks(module: nn.Module) -> list[nn.Module]:
    """Return the transformer blocks inside a module."""
    return [m for m in module.modules() if type(m).__name__ in _BLOCKS]
