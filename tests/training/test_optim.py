"""Schedules and parameter groups."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mne_neurolm import NeuroLM
from mne_neurolm.training.optim import alignment_weight, cosine_factor, parameter_groups
from mne_neurolm.training.stages import language_model_parts


def test_schedule_of_the_released_code() -> None:
    """Warm-up by linspace from 0, then half a cosine that ends just above the floor."""
    n_steps, warmup, peak, floor = 50, 10, 5e-4, 5e-5
    n_decay = n_steps - warmup
    decay = [
        floor + 0.5 * (peak - floor) * (1 + math.cos(math.pi * i / n_decay)) for i in range(n_decay)
    ]
    released = np.concatenate([np.linspace(0, peak, warmup), decay])
    ours = [
        peak * cosine_factor(step, n_steps, warmup=warmup, floor=floor / peak)
        for step in range(n_steps)
    ]
    np.testing.assert_allclose(ours, released, rtol=1e-12)


def test_schedule_without_warmup_and_beyond_the_end() -> None:
    assert cosine_factor(0, 10, warmup=0, floor=0.1) == 1.0
    assert cosine_factor(99, 10, warmup=0, floor=0.1) == pytest.approx(0.1)


def test_alignment_rises_from_nothing_to_all() -> None:
    weights = [alignment_weight(step, 100) for step in range(101)]
    assert weights[0] == 0.0
    assert np.all(np.diff(weights) > 0)
    assert weights[50] == pytest.approx(2 / (1 + math.exp(-5)) - 1)
    assert weights[-1] == pytest.approx(1.0, abs=1e-4)


def test_every_parameter_is_in_one_group(small_model: NeuroLM) -> None:
    parts = [*language_model_parts(small_model), small_model.vq]
    decayed, plain = parameter_groups(parts, 0.1)
    grouped = [id(p) for group in (decayed, plain) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in small_model.parameters())
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    assert {p.dim() for p in plain["params"]} == {1}
    assert min(p.dim() for p in decayed["params"]) == 2


def test_shared_and_frozen_parameters(small_model: NeuroLM) -> None:
    import copy

    head = copy.deepcopy(small_model.lm_head)
    assert len(parameter_groups([head, head], 0.1)[0]["params"]) == 1
    head.requires_grad_(False)
    assert parameter_groups([head], 0.1)[0]["params"] == []
