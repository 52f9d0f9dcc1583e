"""EEGTokens: features, indexing, and how scikit-learn sees them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.utils import check_array

from mne_neurolm import EEGTokens

N_EPOCHS, N_CHANNELS, N_SECONDS, WIDTH = 6, 2, 3, 4


@pytest.fixture
def tokens() -> EEGTokens:
    rng = np.random.default_rng(0)
    n_tokens = N_CHANNELS * N_SECONDS
    return EEGTokens(
        codes=rng.integers(0, 64, (N_EPOCHS, n_tokens)),
        hidden=rng.standard_normal((N_EPOCHS, n_tokens, WIDTH)).astype(np.float32),
        channels=np.tile([3, 7], N_SECONDS),
        times=np.repeat(np.arange(N_SECONDS), N_CHANNELS),
        ch_names=("Cz", "Pz"),
        encoder_id="abc",
    )


def test_sizes(tokens):
    assert len(tokens) == N_EPOCHS
    assert (tokens.n_channels, tokens.n_seconds) == (N_CHANNELS, N_SECONDS)
    assert tokens.shape == (N_EPOCHS, N_CHANNELS * 2 * WIDTH)
    assert tokens.ndim == 2 and tokens.dtype == np.float32
    assert "6 epochs, 2 channels x 3 s, 4-dimensional" in repr(tokens)


def test_features_by_hand(tokens):
    features = np.asarray(tokens)
    assert features.shape == tokens.shape and features.dtype == np.float32
    names = tokens.feature_names()
    assert len(names) == len(set(names)) == features.shape[1]
    for epoch in range(N_EPOCHS):
        for channel, ch_name in enumerate(tokens.ch_names):
            for k in range(WIDTH):
                # time-major: a channel's seconds lie N_CHANNELS tokens apart
                course = [tokens.hidden[epoch, s * N_CHANNELS + channel, k] for s in range(3)]
                for name, value in (("mean", np.mean(course)), ("std", np.std(course))):
                    column = names.index(f"{ch_name}_{name}_{k:03d}")
                    np.testing.assert_allclose(features[epoch, column], value, rtol=1e-5, atol=1e-6)


def test_features_of_a_single_second(tokens):
    single = EEGTokens(
        tokens.codes[:, :2], tokens.hidden[:, :2], tokens.channels[:2], tokens.times[:2],
        tokens.ch_names, tokens.encoder_id,
    )  # fmt: skip
    features = np.asarray(single).reshape(N_EPOCHS, N_CHANNELS, 2, WIDTH)
    np.testing.assert_array_equal(features[:, :, 0], single.hidden)
    np.testing.assert_array_equal(features[:, :, 1], 0)


def test_dtype_and_copy(tokens):
    assert np.asarray(tokens, dtype=np.float64).dtype == np.float64
    assert np.array(tokens).shape == tokens.shape
    with pytest.raises(ValueError, match="computed"):
        np.asarray(tokens, copy=False)


@pytest.mark.parametrize(
    ("item", "rows"),
    [
        (2, [2]),
        (np.int64(-1), [5]),
        (slice(1, 4), [1, 2, 3]),
        (slice(None, None, -2), [5, 3, 1]),
        (np.array([True, False, False, True, False, False]), [0, 3]),
        (np.array([4, 0, 0]), [4, 0, 0]),
        ([1, 3], [1, 3]),
        ([], []),
        (np.array([], dtype=int), []),
        (([2, 5], ...), [2, 5]),  # as scikit-learn indexes
    ],
    ids=str,
)
def test_indexing(tokens, item, rows):
    some = tokens[item]
    assert isinstance(some, EEGTokens) and len(some) == len(rows)
    np.testing.assert_array_equal(some.codes, tokens.codes[rows])
    np.testing.assert_array_equal(some.hidden, tokens.hidden[rows])
    assert some.channels is tokens.channels and some.times is tokens.times
    assert (some.ch_names, some.encoder_id) == (tokens.ch_names, tokens.encoder_id)
    np.testing.assert_array_equal(np.asarray(some), np.asarray(tokens)[rows])


def test_indexing_is_by_epoch_only(tokens):
    with pytest.raises(IndexError):
        tokens[N_EPOCHS]
    for item in ((0, 1), (slice(None), 2), (slice(None), slice(2))):
        with pytest.raises((IndexError, TypeError), match="epoch"):
            tokens[item]


def test_iteration(tokens):
    parts = list(tokens)
    assert len(parts) == N_EPOCHS
    np.testing.assert_array_equal(np.concatenate([part.codes for part in parts]), tokens.codes)


def test_scikit_learn_takes_them_as_a_matrix(tokens):
    np.testing.assert_array_equal(check_array(tokens), np.asarray(tokens))
    y = np.array([0, 1] * 3)
    predicted = cross_val_predict(LogisticRegression(), tokens, y, cv=3)
    expected = cross_val_predict(LogisticRegression(), np.asarray(tokens), y, cv=3)
    np.testing.assert_array_equal(predicted, expected)


def test_pickle(tokens):
    copy = pickle.loads(pickle.dumps(tokens))
    np.testing.assert_array_equal(copy.codes, tokens.codes)
    np.testing.assert_array_equal(copy.hidden, tokens.hidden)
    assert (copy.ch_names, copy.encoder_id) == (tokens.ch_names, tokens.encoder_id)


def test_fields_cannot_be_replaced(tokens):
    with pytest.raises(AttributeError):
        tokens.codes = tokens.codes + 1
