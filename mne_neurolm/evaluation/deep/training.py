"""Training a network on labelled windows: AdamW, one learning-rate cycle, early stopping."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedShuffleSplit
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a network is trained.

    Attributes
    ----------
    lr : float
        Peak learning rate of the cycle (Smith & Topin, 2018; torch's default shape).
    weight_decay : float
        Weight decay of AdamW.
    batch_size : int
        Windows per step, at most, but for the one that may be left over; 2 or more.
    max_epochs : int
        Passes over the training part.
    patience : int
        Epochs without a lower loss on the validation part after which training ends.
    seed : int
        Seed of the order of windows.
    """

    lr: float
    weight_decay: float
    batch_size: int
    max_epochs: int
    patience: int
    seed: int


def train(
    network: nn.Module,
    inputs: NDArray[np.float32],
    labels: NDArray[np.int64],
    plan: Plan,
    *,
    weights: NDArray[np.float64] | None = None,
    validation: NDArray[np.intp] | None = None,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Train a network in place.

    Parameters
    ----------
    network : torch.nn.Module
        Maps (B, n_chans, n_times) to logits (B, n_classes); on the device that is to compute.
    inputs : ndarray of float32, shape (n_epochs, n_chans, n_times)
        Windows.
    labels : ndarray of int64, shape (n_epochs,)
        Classes from 0.
    plan : Plan
        How to train.
    weights : ndarray of float64, shape (n_classes,) | None
        Weight of each class in the loss; ``None`` for equal ones.
    validation : ndarray of int | None
        Windows to validate on. After training the network has the weights of the epoch with the
        lowest loss on them; ``None`` (default) trains on all and keeps the last weights.
    progress : bool
        Whether to show a bar. Default False.

    Returns
    -------
    history : list of dict
        For each epoch ``epoch`` (from 1), ``train_loss`` and, if there is a validation part,
        ``valid_loss``: mean cross-entropy per window in nats.

    Raises
    ------
    FloatingPointError
        If the loss is no number any more.
    """
    device = next(network.parameters()).device
    held_out = np.zeros(len(inputs), dtype=bool)
    held_out[[] if validation is None else validation] = True
    training = np.flatnonzero(~held_out)
    rng = np.random.RandomState(plan.seed)
    criterion = nn.CrossEntropyLoss(
        weight=None if weights is None else torch.tensor(weights, dtype=torch.float32).to(device)
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.lr, weight_decay=plan.weight_decay)
    # Even batches of two at least: a single window would leave batch normalisation no variance.
    n_batches = min(-(-len(training) // plan.batch_size), len(training) // 2)
    n_steps = n_batches * plan.max_epochs
    # The cycle needs two steps to have a peak.
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=plan.lr, total_steps=max(2, n_steps)
    )
    history: list[dict[str, Any]] = []
    best, best_epoch, best_state = np.inf, 0, None
    with tqdm(total=n_steps, desc="train", disable=not progress, leave=False) as bar:
        for epoch in range(1, plan.max_epochs + 1):
            network.train()
            total = 0.0
            for rows in np.array_split(rng.permutation(training), n_batches):
                x, y = _batch(inputs, labels, rows, device)
                loss = criterion(network(x), y)
                if not torch.isfinite(loss):
                    raise FloatingPointError(
                        f"The loss is {loss.item()} in epoch {epoch} of {plan.max_epochs}; lower "
                        f"lr={plan.lr:g}, or look for extreme values in the data."
                    )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                total += loss.item() * len(rows)
                bar.update()
            record: dict[str, Any] = {"epoch": epoch, "train_loss": total / len(training)}
            history.append(record)
            if validation is None:
                continue
            logits = torch.from_numpy(predict_logits(network, inputs[validation], plan.batch_size))
            targets = torch.from_numpy(labels[validation])
            record["valid_loss"] = F.cross_entropy(logits, targets).item()
            if record["valid_loss"] < best:
                best, best_epoch = record["valid_loss"], epoch
                best_state = copy.deepcopy(network.state_dict())
            elif epoch - best_epoch >= plan.patience:
                break
    if best_state is not None:
        network.load_state_dict(best_state)
    return history


def predict_logits(
    network: nn.Module, inputs: NDArray[np.float32], batch_size: int
) -> NDArray[np.float64]:
    """Return what a network says of windows; it is in evaluation mode afterwards.

    Parameters
    ----------
    network : torch.nn.Module
        Maps (B, n_chans, n_times) to logits (B, n_classes).
    inputs : ndarray of float32, shape (n_epochs, n_chans, n_times)
        Windows.
    batch_size : int
        Windows at a time.

    Returns
    -------
    logits : ndarray of float64, shape (n_epochs, n_classes)
        The logits.
    """
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        batches = [
            network(torch.from_numpy(inputs[k : k + batch_size]).to(device)).double().cpu()
            for k in range(0, len(inputs), batch_size)
        ]
    return torch.cat(batches).numpy()


def validation_part(
    y: NDArray[np.int64], groups: NDArray[Any] | None, fraction: float, seed: int
) -> NDArray[np.intp]:
    """Choose windows to validate on, whole groups where there are any, with classes in proportion.

    Parameters
    ----------
    y : ndarray of int64, shape (n_epochs,)
        Classes.
    groups : ndarray, shape (n_epochs,) | None
        Group of each window, e.g. its subject: a group is never split.
    fraction : float
        Share of the windows, above 0 and up to 0.5. With groups, the nearest share of the form
        1 / n that the number of groups allows.
    seed : int
        Seed of the choice.

    Returns
    -------
    rows : ndarray of int
        The windows, sorted.

    Raises
    ------
    ValueError
        If there are fewer than two groups, or a class would be missing in either part.
    """
    empty = np.zeros(len(y))
    if groups is None:
        splitter = StratifiedShuffleSplit(1, test_size=fraction, random_state=seed)
        _, rows = next(splitter.split(empty, y))
    else:
        n_groups = len(np.unique(groups))
        if n_groups < 2:
            raise ValueError(
                f"validation_fraction={fraction:g} needs two groups or more to keep one aside; got "
                f"{n_groups}. Pass more subjects, no groups, or validation_fraction=0."
            )
        n_splits = min(max(2, round(1 / fraction)), n_groups)
        folds = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed)
        _, rows = next(folds.split(empty, y, groups))
    rest = np.setdiff1d(np.arange(len(y)), rows)
    for name, part in (("training", rest), ("validation", rows)):
        missing = np.setdiff1d(y, y[part])
        if len(missing):
            raise ValueError(
                f"The {name} part would have no window of {len(missing)} of the classes: there are "
                "too few groups that hold them. Set validation_fraction=0, or another random_state."
            )
    return np.sort(rows)


@contextmanager
def reproducible(seed: int, device: torch.device) -> Iterator[None]:
    """Let torch draw from a seed inside, and leave its generators as they were.

    Parameters
    ----------
    seed : int
        Seed of weights and dropout.
    device : torch.device
        Where the network computes. On a GPU cuDNN takes deterministic algorithms inside.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.backends.cudnn.flags(deterministic=True):
        torch.manual_seed(seed)
        yield


def _batch(
    inputs: NDArray[np.float32],
    labels: NDArray[np.int64],
    rows: NDArray[np.intp],
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    return (
        torch.from_numpy(inputs[rows]).to(device),
        torch.from_numpy(labels[rows]).to(device),
    )
