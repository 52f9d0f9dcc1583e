"""Dropped channels, mixed windows, smoothed labels, averaged weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mne_neurolm.training.averaging import WeightAverage, check_decay
from mne_neurolm.training.objectives import answer_loss
from mne_neurolm.training.regularization import (
    check_regularization,
    drop_channels,
    kept_channels,
    mix_windows,
    tuning_loss,
)


def test_channels_are_left_out_at_their_rate() -> None:
    rng = np.random.default_rng(0)
    kept = np.array([kept_channels(20, 0.3, rng) for _ in range(500)])
    assert kept.mean() == pytest.approx(0.7, abs=0.02)
    assert all(kept_channels(3, 0.999, rng).any() for _ in range(50))


def test_the_tokens_of_a_channel_go_together() -> None:
    channels = torch.tensor([5, 9, 2] * 4)
    times = torch.arange(4).repeat_interleave(3)
    hidden = torch.arange(2 * 12 * 3.0).view(2, 12, 3)
    few, names, seconds = drop_channels(hidden, channels, times, np.array([True, False, True]))
    assert names.tolist() == [5, 2] * 4 and seconds.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    torch.testing.assert_close(few, hidden[:, channels != 9])
    all_of_it = drop_channels(hidden, channels, times, np.ones(3, bool))
    assert all_of_it[0] is hidden and all_of_it[1] is channels


def test_smoothed_loss_by_hand() -> None:
    log_probs = torch.tensor([[-1.0, -3.0], [-2.0, -4.0]])
    labels = torch.tensor([0, 1])
    # (0.8 · 1 + 0.2 · 2) + (0.8 · 4 + 0.2 · 3) = 5.0, over 2 + 3 tokens
    loss = tuning_loss(log_probs, labels, [2, 3], 0.2)
    assert float(loss) == pytest.approx(1.0)
    plain = tuning_loss(log_probs, labels, [2, 3])
    assert float(plain) == float(answer_loss(log_probs, labels, torch.tensor([2, 3]))) == 1.0


def test_contrast_is_the_cross_entropy_among_the_answers() -> None:
    log_probs = torch.tensor([[-7.0, -9.0], [-8.0, -8.0]])
    labels = torch.tensor([0, 1])
    among = torch.nn.functional.cross_entropy(log_probs, labels, reduction="sum")
    plain = tuning_loss(log_probs, labels, [3, 3])
    with_it = tuning_loss(log_probs, labels, [3, 3], contrast=2.0)
    torch.testing.assert_close(with_it - plain, 2.0 * among / 6)


def test_smoothing_is_least_at_smooth_answers() -> None:
    logits = torch.zeros(1, 3, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = tuning_loss(logits.log_softmax(-1), torch.tensor([1]), [1, 1, 1], 0.3)
        loss.backward()
        return loss

    optimizer.step(closure)
    found = logits.detach().softmax(-1)[0]
    torch.testing.assert_close(found, torch.tensor([0.1, 0.8, 0.1]), atol=1e-3, rtol=0)


def test_each_window_is_mixed_with_one_partner() -> None:
    hidden = torch.randn(6, 5, 3)
    mixture = mix_windows(hidden, 0.7, np.random.default_rng(0))
    assert sorted(mixture.partner.tolist()) == list(range(6))
    assert all(partner != i for i, partner in enumerate(mixture.partner.tolist()))
    assert 0.5 <= mixture.weight < 1
    for i, partner in enumerate(mixture.partner.tolist()):
        expected = mixture.weight * hidden[i] + (1 - mixture.weight) * hidden[partner]
        torch.testing.assert_close(mixture.hidden[i], expected)


def test_a_single_window_stays_as_it_is() -> None:
    hidden = torch.randn(1, 5, 3)
    mixture = mix_windows(hidden, 0.7, np.random.default_rng(0))
    torch.testing.assert_close(mixture.hidden, hidden)
    assert mixture.partner.tolist() == [0]


def test_shares_are_beta_distributed() -> None:
    """Beta(1, 1) is even, so the larger share is 0.75 on average; Beta(0.1, 0.1) hardly mixes."""
    rng = np.random.default_rng(0)
    window = torch.zeros(1, 1, 1)
    weights = {a: [mix_windows(window, a, rng).weight for _ in range(2000)] for a in (0.1, 1.0)}
    assert np.mean(weights[1.0]) == pytest.approx(0.75, abs=0.01)
    assert np.median(weights[0.1]) > 0.97


def test_the_loss_of_a_mixture_is_that_of_soft_answers() -> None:
    """Of answers of different lengths: both windows' losses are over as many tokens."""
    log_probs = torch.randn(6, 4).log_softmax(1)
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    lengths = torch.tensor([1, 4, 9, 2])
    mixture = mix_windows(torch.randn(6, 2, 3), 1.0, np.random.default_rng(2))
    own = torch.nn.functional.one_hot(labels, 4).float()
    soft = mixture.weight * own + (1 - mixture.weight) * own[mixture.partner]
    found = mixture.loss(lambda y: tuning_loss(log_probs, y, lengths), labels)
    torch.testing.assert_close(found, -(soft * log_probs).sum() / lengths[labels].sum())


@pytest.mark.parametrize(
    "values",
    [
        (1.0, 0.0, 0.0, 0.0),
        (-0.1, 0.0, 0.0, 0.0),
        (0.0, 1.0, 0.0, 0.0),
        (0.0, 0.0, -1.0, 0.0),
        (0.0, 0.0, 0.0, -1.0),
        (0.0, 0.0, 0.0, float("nan")),
    ],
)
def test_impossible_shares(values: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must be 0"):
        check_regularization(*values)


def test_the_average_follows_the_weights() -> None:
    layer = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(0.0)
    average = WeightAverage(layer, 0.9)
    expected = 0.0
    for t in range(1, 200):
        with torch.no_grad():
            layer.weight.fill_(float(t % 2))
        average.update()
        decay = min(0.9, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * (t % 2)
    with average.shown():
        np.testing.assert_allclose(layer.weight.detach().numpy(), expected, rtol=1e-5)
    assert layer.weight[0, 0].item() == 1.0
    average.show(True)
    average.show(True)  # once is enough
    np.testing.assert_allclose(layer.weight.detach().numpy(), expected, rtol=1e-5)


def test_the_average_is_in_the_state_and_frozen_weights_are_not() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    average = WeightAverage(model, 0.5)
    assert not list(average.parameters())
    assert set(average.state_dict()) == {"mean_0", "mean_1", "n_updates"}
    other = WeightAverage(model, 0.5)
    average.update()
    other.load_state_dict(average.state_dict())
    assert float(other.n_updates) == 1


@pytest.mark.parametrize("decay", [1.0, -0.5, 2.0])
def test_impossible_decay(decay: float) -> None:
    with pytest.raises(ValueError, match="0 \\(off\\) or below 1"):
        check_decay(decay)
    with pytest.raises(ValueError, match="leave the average out"):
        WeightAverage(nn.Linear(1, 1), 0.0)
