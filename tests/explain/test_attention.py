"""Where the language model looks when it answers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mne_neurolm import NeuroLMClassifier, Task
from mne_neurolm.explain import AnswerAttention, answer_attention
from mne_neurolm.models.backbone import keeping_weights


@pytest.fixture(scope="module")
def attention(classifier, epochs) -> AnswerAttention:
    return answer_attention(classifier, epochs, batch_size=3)


def test_weights_are_those_of_the_layers(classifier, tokens, attention) -> None:
    """The first layer's, written out: softmax of queries times keys, of the last word."""
    model = classifier.model_
    prompt = torch.tensor(classifier.net_.module_.prompt)
    with torch.no_grad():
        eeg = model.embed_eeg(torch.from_numpy(tokens.hidden), torch.from_numpy(tokens.channels))
        words = model.backbone.wte(prompt).expand(len(eeg), -1, -1)
        steps = torch.cat([torch.from_numpy(tokens.times), 4 + torch.arange(len(prompt))])
        x = torch.cat([eeg, words], dim=1) + model.backbone.wpe(steps)
        block = model.backbone.h[0]
        q, k, _ = block.attn.c_attn(block.ln_1(x)).split(x.shape[-1], dim=2)
        n_heads = model.backbone.config.n_head
        q, k = (t.unflatten(2, (n_heads, -1)).transpose(1, 2) for t in (q, k))
        scores = q[:, :, -1:] @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
        expected = scores.softmax(dim=-1).mean(dim=1)[:, 0]
    np.testing.assert_allclose(attention.weights[:, 0], expected, atol=1e-6)
    assert attention.weights.shape == (4, len(model.backbone.h), 12 + len(prompt))
    assert attention.weights.dtype == np.float32
    np.testing.assert_allclose(attention.weights.sum(axis=2), 1, atol=1e-5)


def test_parts(attention) -> None:
    assert len(attention) == 4 and attention.ch_names == ("Fz", "Cz", "Pz")
    assert attention.words[0] == "[SEP]" and attention.words[-2:] == (" Answer", ":")
    assert attention.eeg.shape == (4, 4, 4, 3)
    # The second token of the third second.
    assert np.array_equal(attention.eeg[:, :, 2, 1], attention.weights[:, :, 7])
    assert np.array_equal(attention.text, attention.weights[:, :, 12:])


def test_words_of_any_alphabet(tokens) -> None:
    """Letters that the byte-pair encoding cuts into bytes are dots, not other letters."""
    task = Task("q", "Schläft jemand?", {"n": "No", "y": "Yes"})
    asked = NeuroLMClassifier(task, "tiny-joint", tune=None, dtype="float32", device="cpu")
    asked.fit(tokens, ["n", "y", "n", "y"])
    words = answer_attention(asked, tokens).words
    assert "".join(words).replace("·", "") == "[SEP]Question: Schlft jemand? Answer:"


def test_other_precisions_and_modes(classifier, tokens, attention) -> None:
    """States may be kept in any precision, and a model may be left in training mode."""
    double = replace(tokens, hidden=tokens.hidden.astype(np.float64))
    classifier.model_.train()
    found = answer_attention(classifier, double)
    assert found.weights.dtype == np.float32 and not classifier.model_.training
    np.testing.assert_allclose(found.weights, attention.weights, atol=1e-6)


def test_the_fast_way_is_back_after_an_error(classifier) -> None:
    backbone = classifier.model_.backbone
    before = backbone.config._attn_implementation
    with pytest.raises(MemoryError), keeping_weights(backbone):
        assert backbone.config._attn_implementation == "eager"
        raise MemoryError
    assert backbone.config._attn_implementation == before != "eager"


def test_wrong_input(classifier, epochs, tokens) -> None:
    with pytest.raises(ValueError, match="X has no epochs"):
        answer_attention(classifier, tokens[:0])
    with pytest.raises(ValueError, match="batch_size must be 1 or more; got 0"):
        answer_attention(classifier, epochs, batch_size=0)
    long = Task("long", "Is it " + "very " * 512 + "late?", {"n": "No", "y": "Yes"})
    asked = NeuroLMClassifier(long, "tiny-joint", tune=None, dtype="float32", device="cpu")
    asked.fit(tokens, ["n", "y", "n", "y"])
    with pytest.raises(ValueError, match="the language model has 512"):
        answer_attention(asked, tokens)
