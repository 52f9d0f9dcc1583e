"""What channels and seconds add to an answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mne_neurolm.explain import AnswerAttribution, answer_attribution
from mne_neurolm.explain.attribution import _log_odds


@pytest.fixture(scope="module")
def attribution(classifier, epochs) -> AnswerAttribution:
    return answer_attribution(classifier, epochs)


def test_shares_add_up_to_what_changed(classifier, epochs, attribution) -> None:
    """The axiom of completeness; log-odds are those of the predicted probabilities."""
    assert attribution.values.shape == (4, 4, 3) and attribution.ch_names == ("Fz", "Cz", "Pz")
    change = attribution.log_odds - attribution.baseline_log_odds
    assert np.abs(change).max() > 0.3, "there is something to explain"
    np.testing.assert_allclose(attribution.values.sum(axis=(1, 2)), change, atol=0.03)
    proba = classifier.predict_proba(epochs)
    assert classifier.temperature_ == 1
    np.testing.assert_array_equal(attribution.labels, classifier.predict(epochs))
    best = proba.max(axis=1)
    np.testing.assert_allclose(attribution.log_odds, np.log(best / (1 - best)), atol=1e-4)


def test_more_steps_come_closer(classifier, epochs) -> None:
    def error(n_steps: int) -> float:
        found = answer_attribution(classifier, epochs, n_steps=n_steps)
        change = found.log_odds - found.baseline_log_odds
        return float(np.abs(found.values.sum(axis=(1, 2)) - change).max())

    assert error(1) > 5 * error(24)


def test_the_other_class_has_the_opposite_shares(classifier, epochs, attribution) -> None:
    other = np.where(attribution.labels == "Yes", "No", "Yes")
    found = answer_attribution(classifier, epochs, other)
    assert found.labels.tolist() == other.tolist()
    np.testing.assert_allclose(found.values, -attribution.values, atol=1e-4)
    np.testing.assert_allclose(found.log_odds, -attribution.log_odds, atol=1e-6)


def test_eeg_like_the_reference_has_no_share(classifier, tokens) -> None:
    """Tokens that are the reference's mean add nothing; the mean is taken per channel."""
    shown = replace(tokens[:1], hidden=tokens.hidden[:1].copy())
    means = tokens.hidden.reshape(4, 4, 3, -1).mean(axis=(0, 1))
    shown.hidden[0, 3:6] = means  # the second second
    values = answer_attribution(classifier, shown, reference=tokens, n_steps=4).values
    np.testing.assert_allclose(values[0, 1], 0, atol=1e-6)
    assert (np.abs(values[0, [0, 2, 3]]) > 1e-5).all()


def test_batches_precisions_and_modes_make_no_difference(classifier, tokens, attribution) -> None:
    half = replace(tokens, hidden=tokens.hidden.astype(np.float16))
    classifier.model_.train()
    classifier.set_params(batch_size=3)
    try:
        with torch.no_grad():
            found = answer_attribution(classifier, tokens)
        assert not classifier.model_.training
        np.testing.assert_allclose(found.values, attribution.values, atol=1e-4)
        of_half = answer_attribution(classifier, half)
    finally:
        classifier.set_params(batch_size=32)
    as_single = replace(half, hidden=half.hidden.astype(np.float32))
    np.testing.assert_allclose(
        of_half.values, answer_attribution(classifier, as_single).values, atol=1e-4
    )
    assert all(p.grad is None for p in classifier.model_.parameters())


def test_log_odds_of_several_answers() -> None:
    p = torch.tensor([[0.2, 0.3, 0.5]], dtype=torch.float64)
    unnormalised = p.log() - 3
    torch.testing.assert_close(_log_odds(unnormalised), (p / (1 - p)).log())


def test_wrong_input(classifier, epochs) -> None:
    with pytest.raises(ValueError, match=r"one of \['No', 'Yes'\].*\['maybe'\] are no classes"):
        answer_attribution(classifier, epochs, ["No", "Yes", "No", "maybe"])
    with pytest.raises(ValueError, match=r"for each of 4 epochs; got shape \(1,\)"):
        answer_attribution(classifier, epochs, ["No"])
    with pytest.raises(ValueError, match="two without a reference"):
        answer_attribution(classifier, epochs[:1])
    with pytest.raises(ValueError, match="n_steps=0"):
        answer_attribution(classifier, epochs, n_steps=0)
    with pytest.raises(ValueError, match=r"reference has the channels \['Fz', 'Cz'\]"):
        answer_attribution(classifier, epochs, reference=epochs.copy().pick(["Fz", "Cz"]))
    with pytest.raises(ValueError, match=r"got shape \(\), and \['maybe'\] are no classes"):
        answer_attribution(classifier, epochs, "maybe")
    with pytest.raises(TypeError, match="integer"):
        answer_attribution(classifier, epochs, n_steps=2.5)
