"""The loop that all stages run in, on one process or many, with or without a run directory."""

from __future__ import annotations

import math
import signal
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mne.utils import warn
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from ..models.layers import checkpoint_activations
from ..utils.products import fast_products
from .augmentation import Augmentation
from .config import RuntimeConfig, TrainingConfig
from .data import EEGBatch, Source, text_rows
from .metrics import epoch_means, with_perplexities
from .optim import adamw, cosine_factor, parameter_groups
from .parallel import Parallel, transformer_blocks
from .plan import share
from .recorder import SIGNALS, Recorder
from .stages import Stage

if TYPE_CHECKING:
    from .throughput import Throughput

_TEXT_STEP_OF_VALIDATION = 2**31  # steps of training never reach it


class Trainer:
    """Trains a stage.

    Parameters
    ----------
    stage : Stage
        What is trained.
    source : Source
        Training windows.
    config : TrainingConfig
        Optimiser, schedule and batches.
    validation : Source | None
        Windows to look at after every epoch; their shares are those of all (``of_all``).
    text, text_validation : ndarray of int, shape (n_tokens,) | None
        Text that is mixed into every step, and what is held out of it.
    parallel : Parallel | None
        Device and processes. None: a single process on the model's device.
    runtime : RuntimeConfig
        Compilation, activation checkpointing and what to do about steps that are not finite.
    recorder : Recorder | None
        Where metrics and checkpoints go. None: nowhere.
    num_workers : int
        Processes that load windows.
    """

    def __init__(
        self,
        stage: Stage,
        source: Source,
        config: TrainingConfig,
        *,
        validation: Source | None = None,
        text: np.ndarray | None = None,
        text_validation: np.ndarray | None = None,
        parallel: Parallel | None = None,
        runtime: RuntimeConfig | None = None,
        recorder: Recorder | None = None,
        num_workers: int = 0,
    ) -> None:
        if not len(source.windows):
            raise ValueError(
                f"{stage.description}: there are no samples to train on; pass at least one."
            )
        self.stage = stage
        self.source = source
        self.config = config
        self.validation = validation
        self.text = text
        self.text_validation = text_validation
        self.parallel = parallel or Parallel(stage.model.device)
        self.runtime = runtime or RuntimeConfig()
        self.recorder = recorder or Recorder()
        self.num_workers = num_workers
        self.complete = False  # a trainer may find before the last step that it is enough
        self.steps_per_epoch = source.plan.steps_per_epoch
        self._augment = Augmentation(
            montage_subsets=config.montage_subsets,
            amplitude_jitter=config.amplitude_jitter,
            seed=config.seed,
        )
        self.n_steps = config.max_steps or config.max_epochs * self.steps_per_epoch
        done = self.recorder.completed_steps()
        if done > self.n_steps:
            raise ValueError(
                f"{stage.description}: {done} steps are done already, more than the "
                f"{self.n_steps} asked for; give --max-steps {done} or more, or leave it out."
            )

    def fit(self) -> list[dict[str, float]]:
        """Train to the end, or until a signal asks to stop.

        Returns
        -------
        history : list of dict
            Mean of each loss per epoch, of the epochs that were trained in this call.

        Raises
        ------
        FloatingPointError
            If several steps in a row are not finite.
        OSError
            If a checkpoint could not be written, or windows could not be read.
        """
        # Initialising and reviving codes, and dropout, draw from torch's generator.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            try:
                return self._fit()
            finally:
                self.stage.eval()
                self.recorder.close()

    def _fit(self) -> list[dict[str, float]]:
        stage, runtime = self.stage, self.runtime
        done = self.recorder.completed_steps()
        stage.to(self.parallel.device)
        if done == 0:
            stage.start(self.source, self.config.seed)
        if runtime.activation_checkpointing:
            checkpoint_activations(stage.model)
        self._wrapped = self.parallel.wrap(stage, bfloat16=stage.precision == "bfloat16")
        if runtime.compile:
            for block in transformer_blocks(stage):
                block.compile()
        groups = parameter_groups(stage.trained(), self.config.weight_decay)
        self._parameters = [p for group in groups for p in group["params"]]
        self._optimizer = adamw(groups, lr=self.config.lr, betas=self.config.betas)
        self.recorder.start(stage, self._optimizer)
        self._skipped, self._skipped_in_a_row = self.recorder.skipped, 0
        self._blamed: list[str] = []
        history: list[dict[str, float]] = []
        losses_of_epoch: list[dict[str, float]] = []
        throughput = self._throughput()
        stage.train()
        with tqdm(
            total=self.n_steps,
            initial=done,
            desc=stage.description,
            unit="step",
            disable=not (self.config.progress and self.parallel.is_main),
            leave=False,
        ) as bar:
            for step, batches in zip(
                range(done, self.n_steps), self._load(done, self.n_steps), strict=True
            ):
                losses, lr, norm = self._step(step, batches)
                losses_of_epoch.append(losses)
                if throughput is not None:
                    throughput.add(self.source, step, self._text_shape())
                ends_epoch = (step + 1) % self.steps_per_epoch == 0 or step + 1 == self.n_steps
                entry: dict[str, Any] = {}
                if throughput is not None and (ends_epoch or self.recorder.wants_metrics(step + 1)):
                    entry = {
                        "step": step + 1,
                        "epoch": step // self.steps_per_epoch,
                        "lr": lr,
                        **with_perplexities(losses),
                        "grad_norm": norm,
                        "skipped": self._skipped,
                        **throughput.read(),
                    }
                if ends_epoch:
                    history.append(epoch_means(losses_of_epoch))
                    losses_of_epoch = []
                    if self.validation is not None:
                        seen = with_perplexities(self._validate())
                        entry |= seen
                        history[-1] |= seen
                        if throughput is not None:
                            throughput.restart()
                    bar.set_postfix_str(_shown(history[-1]))
                if entry:
                    self.recorder.log(entry)
                bar.update()
                self.recorder.after_step(step + 1, self._skipped, self._judge(entry))
                if self.complete:
                    break
                if self.recorder.stop_requested and step + 1 < self.n_steps:
                    self.recorder.interrupt(step + 1)
                    return history
        self.recorder.finish(step + 1 if self.complete else self.n_steps)
        return history

    def _judge(self, entry: dict[str, Any]) -> float | None:
        """Return the validation loss that the best weights have the lowest of, if there is one."""
        names = [f"val_{name}" for name in self.stage.judged_by]
        return sum(entry[name] for name in names) if all(n in entry for n in names) else None

    def _throughput(self) -> Throughput | None:
        if not self.recorder.measures:
            return None
        from .throughput import Throughput

        return Throughput(self.stage, self.parallel)

    # --- one step ------------------------------------------------------------------------------

    def _step(self, step: int, batches: list[EEGBatch]) -> tuple[dict[str, float], float, float]:
        """Take a step; returns its losses, learning rate and gradient norm."""
        config = self.config
        # A function of the step, so that a resumed run draws the same numbers.
        seeds = np.random.SeedSequence([config.seed, step, self.parallel.rank])
        torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0] >> 1))
        factor = cosine_factor(
            step,
            self.n_steps,
            warmup=int(config.warmup * self.n_steps),
            floor=config.min_lr / config.lr,
        )
        for group in self._optimizer.param_groups:
            group["lr"] = config.lr * factor
        self._optimizer.zero_grad(set_to_none=True)
        rows, shares = self._rows_of_text(step, len(batches), self.text)
        sums: dict[str, Tensor] = {}
        for i, batch in enumerate(batches):
            with (
                self._products(),
                self.parallel.accumulate(self._wrapped, last=i + 1 == len(batches)),
            ):
                seen = self._augment(batch.to(self.parallel.device), step)
                terms = self._wrapped(seen, rows[i], shares[i], step, self.n_steps)
                # Gradients are averaged over processes; shares already divide by their number.
                (terms["loss"] * self.parallel.world).backward()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value.detach().float()
        losses = self._sum_over_processes(sums)
        norm = float(self.parallel.clip(self._parameters, config.grad_clip))
        if math.isfinite(losses["loss"]) and math.isfinite(norm):
            self._optimizer.step()
            losses |= self.stage.after_step(step)
            self._skipped_in_a_row, self._blamed = 0, []
        else:
            self._skip(step, losses["loss"], norm)
        return losses, config.lr * factor, norm

    def _products(self) -> AbstractContextManager:
        return fast_products(self.parallel.device, compiled=self.runtime.compile)

    def _skip(self, step: int, loss: float, norm: float) -> None:
        self.stage.discard()
        self._skipped += 1
        self._skipped_in_a_row += 1
        names = self.source.names(step)
        self._blamed += [name for name in names if name not in self._blamed]
        what = f"the loss is {loss:g} and the gradient's norm {norm:g} at step {step + 1}"
        if self._skipped_in_a_row >= self.runtime.max_skipped:
            raise FloatingPointError(
                f"{self.stage.description}: {what}, as at {self._skipped_in_a_row} steps in a row. "
                f"Lower lr={self.config.lr}, or look for extreme values in "
                f"{', '.join(self._blamed[:20])}."
            )
        if self.parallel.is_main:
            warn(
                f"{self.stage.description}: {what}, which is skipped. Its windows come from "
                f"{', '.join(names[:20])}."
            )

    def _sum_over_processes(self, sums: dict[str, Tensor]) -> dict[str, float]:
        names = sorted(sums)
        flags = self.recorder.flags()
        flags_and_sums = [*(sums[name] for name in names), *map(torch.tensor, flags)]
        values = self._add_up(flags_and_sums)
        self.recorder.hear([value > 0 for value in values[len(names) :]], values[-1])
        ordered = dict(zip(names, values, strict=False))
        return {name: ordered[name] for name in sums}

    def _add_up(self, values: list[Tensor]) -> list[float]:
        """Return scalars summed over processes."""
        device = self.parallel.device
        dtype = torch.float32 if device.type == "mps" else torch.float64  # Apple's have no double
        return self.parallel.sum(
            torch.stack([value.to(device, dtype) for value in values])
        ).tolist()

    # --- data ----------------------------------------------------------------------------------

    def _load(self, first: int, last: int) -> Any:
        return DataLoader(
            self.source,
            batch_size=None,
            sampler=range(first, last),
            num_workers=self.num_workers,
            prefetch_factor=4 if self.num_workers else None,
            pin_memory=self.parallel.device.type == "cuda",
            worker_init_fn=_leave_signals_to_parent if self.num_workers else None,
        )

    def _text_shape(self) -> tuple[int, int]:
        if self.text is None:
            return 0, 0
        return self.config.text_batch_size, self.config.text_length

    def _rows_of_text(
        self, step: int, n_pieces: int, corpus: np.ndarray | None
    ) -> tuple[list[Tensor | None], list[float]]:
        """Return this process's rows of a step's text, one piece per batch, and their shares."""
        n_rows, length = self.config.text_batch_size, self.config.text_length
        if corpus is None or n_rows == 0:
            return [None] * n_pieces, [0.0] * n_pieces
        rows = text_rows(corpus, n_rows, length, seed=self.config.seed, step=step)
        own = share(np.arange(n_rows), self.parallel.rank, self.parallel.world)
        pieces: list[Tensor | None] = []
        shares = []
        for piece in np.array_split(own, n_pieces):
            shares.append(len(piece) / n_rows)
            kept = torch.from_numpy(piece if len(piece) else np.zeros(1, dtype=np.int64))
            pieces.append(rows[kept].to(self.parallel.device))
        return pieces, shares

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """Return the losses over the validation windows and text, as ``val_<name>``."""
        source = self.validation
        if source is None:
            return {}
        self.stage.eval()
        sums: dict[str, Tensor] = {}
        n_batches = source.plan.steps_per_epoch
        for index in range(n_batches):
            batches = source[index]
            rows, shares = self._rows_of_text(
                _TEXT_STEP_OF_VALIDATION + index, len(batches), self.text_validation
            )
            for batch, text, text_share in zip(batches, rows, shares, strict=True):
                with self._products():
                    terms = self.stage(
                        batch.to(self.parallel.device),
                        text,
                        text_share / n_batches,
                        self.n_steps,
                        self.n_steps,
                    )
                for name, value in terms.items():
                    sums[name] = sums.get(name, 0.0) + value.float()
        self.stage.train()
        names = list(sums)
        values = self._add_up([sums[name] for name in names])
        return {f"val_{name}": value for name, value in zip(names, values, strict=True)}


def _leave_signals_to_parent(worker: int) -> None:
    """Ignore what schedulers and keyboards send to all processes: the parent ends its workers."""
    for name in SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _shown(losses: dict[str, float]) -> str:
    """Return the losses that fit beside a progress bar."""
    names = [name for name in ("loss", "val_loss") if name in losses]
    return " ".join(f"{name} {losses[name]:.3f}" for name in names)
