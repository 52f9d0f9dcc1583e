"""Data through a model."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from mne_neurolm import EEGTokens, NeuroLM
from mne_neurolm.models import inference
from mne_neurolm.models.inference import as_tokens, encode_patches, score_answers, write_answers
from mne_neurolm.patches import Patches, make_patches
from mne_neurolm.tasks import EncodedTask
from mne_neurolm.utils import packed


@pytest.fixture(scope="module")
def patches(epochs) -> Patches:
    return make_patches(epochs)


def test_no_epochs_give_no_tokens(small_model: NeuroLM, patches: Patches) -> None:
    tokens = encode_patches(small_model, replace(patches, data=patches.data[:0]))
    assert tokens.codes.shape == (0, 76)
    assert tokens.hidden.shape == (0, 76, 32)
    settings = {"max_new_tokens": 2, "batch_size": 4, "dtype": "float32"}
    assert write_answers(small_model, tokens, [1023, 1], **settings) == []


def test_epochs_beyond_the_time_embedding(small_model: NeuroLM, patches: Patches) -> None:
    late = replace(patches, times=patches.times + 61)
    with pytest.raises(ValueError, match="from 61 to 64 s; .* seconds 0 to 63"):
        encode_patches(small_model, late)


def test_batch_size_reaches_the_encoder(
    small_model: NeuroLM, epochs, tokens: EEGTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    tokenize = NeuroLM.tokenize

    def spy(self: NeuroLM, batch, *args):
        sizes.append(len(batch))
        return tokenize(self, batch, *args)

    monkeypatch.setattr(inference.NeuroLM, "tokenize", spy)
    got = as_tokens(epochs, small_model, small_model.encoder_id(), batch_size=10, dtype="float32")
    assert sizes == [10, 10, 4]
    np.testing.assert_array_equal(got.codes, tokens.codes)


def test_codes_in_training_mode_move_nothing(small_model: NeuroLM, patches: Patches) -> None:
    model = copy.deepcopy(small_model).train()
    encode_patches(model, patches)
    assert model.encoder_id() == small_model.encoder_id()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_packed_weights_change_no_answer(
    small_model: NeuroLM, patches: Patches, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches, the last of them small, and text written token by token."""
    question = EncodedTask([1023, 5, 6], [[7, 8], [9]])
    settings = {"batch_size": 5, "dtype": dtype}
    results = []
    for packs in (False, True):
        if packs:
            monkeypatch.setattr(packed, "mkl_holds_back", lambda: True)
            monkeypatch.setattr(packed, "_ROWS_UNPACKED", 100)
        else:
            monkeypatch.setattr(packed, "_packable", lambda model: set())
        tokens = encode_patches(small_model, patches, **settings)
        (scores,) = score_answers(small_model, tokens, [question], **settings)
        texts = write_answers(small_model, tokens, [1023, 5], max_new_tokens=4, **settings)
        results.append((tokens, scores, texts))
        monkeypatch.undo()
    (before, scores, texts), (after, scores_after, texts_after) = results
    exact = dtype == "float32"
    assert (before.codes == after.codes).mean() >= (1.0 if exact else 0.95)
    np.testing.assert_allclose(after.hidden, before.hidden, atol=1e-5 if exact else 0.1)
    np.testing.assert_allclose(scores_after, scores, atol=1e-5 if exact else 0.05)
    assert not exact or texts_after == texts
