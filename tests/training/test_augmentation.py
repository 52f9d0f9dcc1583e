"""Subsets of montages and gains of channels, drawn by step."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from mne_neurolm.training.augmentation import Augmentation
from mne_neurolm.training.config import TrainingConfig
from mne_neurolm.training.data import EEGBatch


def make_batch(n_channels=10, n_seconds=3):
    patches = torch.ones(4, n_channels * n_seconds, 200)
    return EEGBatch(
        channels=torch.arange(n_channels).repeat(n_seconds),
        times=torch.arange(n_seconds).repeat_interleave(n_channels),
        patches=patches,
    )


def test_off_by_default():
    batch = make_batch()
    config = TrainingConfig(max_epochs=1)
    assert (
        Augmentation(
            montage_subsets=config.montage_subsets, amplitude_jitter=config.amplitude_jitter
        )(batch, 0)
        is batch
    )


def test_a_step_keeps_the_same_channels_in_all_seconds():
    augment = Augmentation(montage_subsets=0.6, seed=3)
    sizes = set()
    for step in range(40):
        batch = augment(make_batch(), step)
        of_second = [batch.channels[batch.times == second].tolist() for second in range(3)]
        assert of_second[0] == of_second[1] == of_second[2] and of_second[0]
        assert batch.patches.shape[1] == len(batch.channels) == len(batch.times)
        sizes.add(len(of_second[0]))
    assert max(sizes) == 10 and min(sizes) <= 5 and len(sizes) > 3


def test_gains_are_of_channels_and_of_the_step():
    augment = Augmentation(amplitude_jitter=0.5, seed=1)
    first, again, other = (augment(make_batch(), step).patches for step in (5, 5, 6))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first, other)
    gains = first.view(4, 3, 10, 200)
    assert (gains == gains[:1, :1, :, :1]).all()  # the same for all windows, seconds and samples
    assert gains[0, 0, :, 0].log().std() > 0.2


@pytest.mark.parametrize("setting", [{"montage_subsets": 0.6}, {"amplitude_jitter": 0.2}])
def test_hidden_states_cannot_be_changed(setting):
    read = dataclasses.replace(make_batch(), patches=None, hidden=torch.ones(4, 30, 8))
    with pytest.raises(ValueError, match="got hidden states, which they cannot change"):
        Augmentation(**setting)(read, 0)
    assert Augmentation()(read, 0) is read
    nothing = dataclasses.replace(make_batch(), patches=None)  # a step of text alone
    assert Augmentation(**setting)(nothing, 0) is nothing


@pytest.mark.parametrize("field", ["montage_subsets", "amplitude_jitter"])
def test_refused_when_negative(field):
    with pytest.raises(ValueError, match="montage_subsets is a share"):
        TrainingConfig(max_epochs=1, **{field: -0.1})
