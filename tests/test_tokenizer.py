"""The tokenizer as a scikit-learn transformer."""

from __future__ import annotations

import pickle

import mne
import numpy as np
import pandas as pd
import pytest
import torch
from mne.utils import catch_logging
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from mne_neurolm import EEGTokens, NeuroLM, NeuroLMTokenizer
from mne_neurolm.channels import CHANNELS
from mne_neurolm.datasets import simulate_epochs
from mne_neurolm.models.inference import encode_patches
from mne_neurolm.patches import make_patches

N_CHANNELS, N_SECONDS = 19, 4
N_TOKENS = N_CHANNELS * N_SECONDS


@pytest.fixture(scope="module")
def codes(small_model, epochs) -> np.ndarray:
    return NeuroLMTokenizer(small_model, "codes", dtype="float32").fit_transform(epochs)


def _tokenizer(model, output="codes", **kwargs) -> NeuroLMTokenizer:
    return NeuroLMTokenizer(model, output, dtype="float32", **kwargs)


def _array_tokenizer(model, epochs, unit="V", **kwargs) -> NeuroLMTokenizer:
    kwargs = {"sfreq": epochs.info["sfreq"], **kwargs}
    return _tokenizer(model, ch_names=epochs.ch_names, unit=unit, **kwargs)


# --- outputs -----------------------------------------------------------------------------------


def test_tokens(small_model, epochs, codes):
    tokens = _tokenizer(small_model, "tokens").fit_transform(epochs)
    assert isinstance(tokens, EEGTokens) and len(tokens) == len(epochs)
    assert tokens.ch_names == tuple(epochs.ch_names)
    assert tokens.hidden.shape == (len(epochs), N_TOKENS, 32)
    assert [CHANNELS[i] for i in tokens.channels[:3]] == ["FP1", "FP2", "F7"]
    assert tokens.times.tolist() == np.repeat(range(N_SECONDS), N_CHANNELS).tolist()
    np.testing.assert_array_equal(tokens[2:5].codes, codes[2:5])
    assert np.asarray(tokens).shape == (len(epochs), N_CHANNELS * 2 * 32)
    assert tokens.encoder_id == small_model.encoder_id()


def test_codes(small_model, epochs, codes):
    assert codes.shape == (len(epochs), N_TOKENS) and codes.dtype == np.int64
    assert 0 <= codes.min() < codes.max() < small_model.config.codebook_size
    assert len(np.unique(codes)) > 3
    # what a tokenizer gives is what the model computes
    expected = encode_patches(small_model, make_patches(epochs), dtype="float32")
    np.testing.assert_array_equal(codes, expected.codes)


def test_codes_are_time_major(small_model, epochs, codes):
    """The first epoch's channels swap places within each second when they swap in the data."""
    names = epochs.ch_names
    swapped = epochs.copy().reorder_channels([names[1], names[0], *names[2:]])
    after = _tokenizer(small_model).fit_transform(swapped).reshape(-1, N_SECONDS, N_CHANNELS)
    before = codes.reshape(-1, N_SECONDS, N_CHANNELS)
    assert (before[..., 0] != before[..., 1]).any()
    # attention sums in another order: a rare tie may fall the other way
    assert np.mean(after[..., [1, 0, *range(2, N_CHANNELS)]] == before) > 0.99


def test_embeddings(small_model, epochs):
    tokenizer = _tokenizer(small_model, "embeddings")
    embeddings = tokenizer.fit_transform(epochs)
    assert embeddings.shape == (len(epochs), N_TOKENS, 32) and embeddings.dtype == np.float32
    tokens = tokenizer.set_params(output="tokens").transform(epochs)
    np.testing.assert_array_equal(embeddings, tokens.hidden)


def test_other_montage_and_length_than_in_fit(small_model, epochs):
    tokenizer = _tokenizer(small_model, "tokens").fit(epochs)
    other = epochs.copy().pick(["Cz", "Pz", "O1"]).crop(0, 2 - 1 / 200)
    tokens = tokenizer.transform(other)
    assert (tokens.n_channels, tokens.n_seconds) == (3, 2)


def test_feature_names(small_model, epochs):
    tokenizer = _tokenizer(small_model).fit(epochs)
    names = tokenizer.get_feature_names_out()
    assert len(names) == N_TOKENS and names.dtype == object
    assert names[0] == "Fp1_0s" and names[1] == "Fp2_0s" and names[-1] == "O2_3s"
    names = tokenizer.set_params(output="tokens").get_feature_names_out()
    assert names.tolist() == tokenizer.transform(epochs).feature_names()
    with pytest.raises(ValueError, match="three axes.*output='tokens' or 'codes'"):
        tokenizer.set_params(output="embeddings").get_feature_names_out()


@pytest.mark.parametrize("output", ["tokens", "codes"])
def test_set_output_pandas(small_model, epochs, output):
    tokenizer = _tokenizer(small_model, output)
    plain = np.asarray(tokenizer.fit_transform(epochs))
    frame = tokenizer.set_output(transform="pandas").transform(epochs)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == list(tokenizer.get_feature_names_out())
    np.testing.assert_array_equal(frame.to_numpy(), plain)
    pipe = make_pipeline(clone(tokenizer)).set_output(transform="pandas")
    assert list(pipe.fit_transform(epochs).columns) == list(frame.columns)
    back = tokenizer.set_output(transform="default").transform(epochs)
    assert isinstance(back, EEGTokens if output == "tokens" else np.ndarray)
    with config_context(transform_output="pandas"):
        again = _tokenizer(small_model, output).fit_transform(epochs)
    pd.testing.assert_frame_equal(again, frame)


def test_set_output_pandas_of_another_montage(small_model, epochs):
    tokenizer = _tokenizer(small_model).fit(epochs).set_output(transform="pandas")
    with pytest.raises(ValueError, match="have 2 channels and 8 tokens"):
        tokenizer.transform(epochs.copy().pick(["Cz", "Pz"]))


def test_set_output_pandas_needs_two_axes(small_model, epochs):
    tokenizer = _tokenizer(small_model, "embeddings").set_output(transform="pandas")
    with pytest.raises(ValueError, match="three axes.*output='tokens' or 'codes'"):
        tokenizer.fit_transform(epochs)


# --- inverse_transform -------------------------------------------------------------------------


def test_inverse_transform(small_model, epochs, codes):
    tokenizer = _tokenizer(small_model, "tokens", batch_size=5)
    tokens = tokenizer.fit_transform(epochs)
    waveforms = tokenizer.inverse_transform(tokens)
    assert waveforms.shape == (len(epochs), N_CHANNELS, 200 * N_SECONDS)
    assert waveforms.dtype == np.float32 and np.isfinite(waveforms).all()
    np.testing.assert_array_equal(tokenizer.inverse_transform(codes), waveforms)
    np.testing.assert_array_equal(tokenizer.inverse_transform(codes.astype(np.int16)), waveforms)
    assert tokenizer.inverse_transform(codes[:0]).shape == (0, N_CHANNELS, 200 * N_SECONDS)


def test_inverse_transform_puts_patches_where_they_were(small_model, epochs, codes):
    """Row c of the output, second s, is the decoder's patch of token s * n_channels + c."""
    tokenizer = _tokenizer(small_model).fit(epochs)
    waveforms = tokenizer.inverse_transform(codes[:1])
    channels, times = (torch.from_numpy(a) for a in (tokenizer.channels_, tokenizer.times_))
    with torch.inference_mode():
        _, raw = small_model.vq.decode_codes(torch.from_numpy(codes[:1]), channels, times)
    for channel, second in ((0, 0), (5, 2), (18, 3)):
        np.testing.assert_allclose(
            waveforms[0, channel, 200 * second : 200 * (second + 1)],
            raw[0, second * N_CHANNELS + channel].numpy(),
            atol=1e-6,
        )


def test_inverse_transform_of_another_montage(small_model, epochs):
    tokenizer = _tokenizer(small_model, "tokens").fit(epochs)
    tokens = tokenizer.transform(epochs.copy().pick(["Cz", "Pz"]).crop(0, 3 - 1 / 200))
    assert tokenizer.inverse_transform(tokens).shape == (len(epochs), 2, 600)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda c: c[:, :-1], r"shape \(n_epochs, 76\).*19 channels.*pass EEGTokens"),
        (lambda c: c[0], r"got int64 of shape \(76,\)"),
        (lambda c: c.astype(float), "must be integers.*float64"),
        (lambda c: c + 64, "between 0 and 63"),
        (lambda c: c - 64, "between 0 and 63"),
    ],
)
def test_inverse_transform_of_what_is_no_code(small_model, epochs, codes, change, match):
    tokenizer = _tokenizer(small_model).fit(epochs)
    with pytest.raises(ValueError, match=match):
        tokenizer.inverse_transform(change(codes))


# --- scikit-learn --------------------------------------------------------------------------------


def test_clone(small_model, epochs):
    tokenizer = _tokenizer(small_model, batch_size=7).fit(epochs)
    copy = clone(tokenizer)
    assert copy.get_params()["batch_size"] == 7 and copy.dtype == "float32"
    with pytest.raises(NotFittedError):
        copy.transform(epochs)
    np.testing.assert_array_equal(copy.fit_transform(epochs), tokenizer.transform(epochs))


def test_unfitted(small_model, epochs, codes):
    tokenizer = _tokenizer(small_model)
    for call in (
        lambda: tokenizer.transform(epochs),
        lambda: tokenizer.inverse_transform(codes),
        lambda: tokenizer.get_feature_names_out(),
    ):
        with pytest.raises(NotFittedError, match="fit"):
            call()


def test_pickle_of_a_model_in_memory(small_model, epochs, codes):
    tokenizer = _tokenizer(small_model).fit(epochs)
    copy = pickle.loads(pickle.dumps(tokenizer))
    np.testing.assert_array_equal(copy.transform(epochs), codes)


def test_pickle_of_a_named_model_leaves_its_weights_out(epochs):
    tokenizer = _tokenizer("tiny").fit(epochs)
    data = pickle.dumps(tokenizer)
    assert len(data) < 20_000
    copy = pickle.loads(data)
    np.testing.assert_array_equal(copy.transform(epochs), tokenizer.transform(epochs))
    assert len(pickle.dumps(copy)) == len(data)
    unfitted = pickle.loads(pickle.dumps(_tokenizer("tiny")))
    with pytest.raises(NotFittedError):
        unfitted.transform(epochs)


def test_pickle_of_a_trained_tokenizer(small_config, epochs):
    tokenizer = _tokenizer(small_config, max_epochs=1, random_state=0).fit(epochs)
    copy = pickle.loads(pickle.dumps(tokenizer))
    np.testing.assert_array_equal(copy.transform(epochs), tokenizer.transform(epochs))
    assert copy.history_ == tokenizer.history_


def test_a_directory_serves_as_model(small_model, epochs, codes, tmp_path):
    small_model.save_pretrained(tmp_path / "small")
    for model in (tmp_path / "small", str(tmp_path / "small")):
        np.testing.assert_array_equal(_tokenizer(model).fit_transform(epochs), codes)


def test_revision_reaches_the_hub(small_model, epochs, monkeypatch):
    asked = []

    def from_pretrained(name, **kwargs):
        asked.append((name, kwargs))
        return small_model

    monkeypatch.setattr(NeuroLM, "from_pretrained", from_pretrained)
    NeuroLMTokenizer("user/model", revision="v2").fit(epochs)
    assert asked == [("user/model", {"revision": "v2"})]


def test_tiny_is_the_default(epochs):
    tokens = NeuroLMTokenizer().fit_transform(epochs)
    assert tokens.hidden.shape[2] == 192
    assert len(np.unique(tokens.codes)) > 50
    reconstructed = NeuroLMTokenizer().fit(epochs).inverse_transform(tokens)
    patches = make_patches(epochs).data
    z = (patches - patches.mean((1, 2), keepdims=True)) / patches.std((1, 2), keepdims=True)
    z = z.reshape(len(epochs), N_SECONDS, N_CHANNELS, 200).transpose(0, 2, 1, 3)
    z = z.reshape(reconstructed.shape)
    # trained: better than the mean, which explains nothing
    assert np.mean((reconstructed - z) ** 2) < 0.98 * np.mean(z**2)


def test_the_representation_names_model_and_revision(small_config):
    assert "model='tiny', revision=None" in repr(NeuroLMTokenizer())
    assert "NeuroLMTokenizer(model='tiny', revision=None)" in repr(
        make_pipeline(NeuroLMTokenizer())
    )
    text = repr(NeuroLMTokenizer("user/model", revision="v2", sfreq=200.0))
    assert "model='user/model'" in text and "revision='v2'" in text and "sfreq=200.0" in text


# --- training a codebook -------------------------------------------------------------------------


def test_a_configuration_trains_a_codebook(small_config, epochs):
    state = torch.get_rng_state()
    tokenizer = _tokenizer(small_config, max_epochs=4, batch_size=8, lr=2e-3, random_state=0)
    codes = tokenizer.fit_transform(epochs)
    assert torch.equal(torch.get_rng_state(), state)
    assert isinstance(tokenizer.model_, NeuroLM) and tokenizer.model is small_config
    assert [set(row) >= {"loss", "raw", "frequency"} for row in tokenizer.history_] == [True] * 4
    losses = [row["raw"] + row["frequency"] for row in tokenizer.history_]
    assert losses[-1] < losses[0]
    assert 0 <= codes.min() <= codes.max() < small_config.codebook_size
    assert bool(tokenizer.model_.vq.codebook.initialized)
    assert not tokenizer.model_.training


def test_random_state_of_a_training(small_config, epochs):
    settings = dict(max_epochs=1, batch_size=12)
    first = _tokenizer(small_config, random_state=3, **settings).fit(epochs)
    again = _tokenizer(small_config, random_state=3, **settings).fit(epochs)
    assert first.model_.encoder_id() == again.model_.encoder_id()
    assert first.history_ == again.history_
    generator = _tokenizer(small_config, random_state=np.random.RandomState(3), **settings)
    assert generator.fit(epochs).model_.encoder_id() == first.model_.encoder_id()
    assert generator.fit(epochs).model_.encoder_id() != first.model_.encoder_id()
    unseeded = [_tokenizer(small_config, **settings).fit(epochs).model_ for _ in range(2)]
    assert unseeded[0].encoder_id() != unseeded[1].encoder_id()


def test_a_pretrained_model_is_frozen(small_model, epochs):
    before = {name: tensor.clone() for name, tensor in small_model.state_dict().items()}
    tokenizer = _tokenizer(small_model, lr=1.0, max_epochs=3).fit(epochs)
    assert tokenizer.history_ == []
    assert all(torch.equal(before[n], t) for n, t in small_model.state_dict().items())


def test_an_untrained_model_has_no_codes(small_config, epochs):
    with pytest.raises(ValueError, match="never trained.*Fit a NeuroLMTokenizer"):
        _tokenizer(NeuroLM(small_config)).fit_transform(epochs)


# --- kinds of input ------------------------------------------------------------------------------


def test_list_of_epochs(small_model, epochs, codes):
    singles = [epochs[i] for i in range(len(epochs))]
    np.testing.assert_array_equal(_tokenizer(small_model).fit_transform(singles), codes)
    np.testing.assert_array_equal(
        _tokenizer(small_model).fit(epochs).transform([epochs[:3], epochs[3:]]), codes
    )


def test_arrays_in_any_unit(small_model, epochs, codes):
    volts = epochs.get_data()
    for unit, factor in (("V", 1.0), ("mV", 1e3), ("uV", 1e6), ("µV", 1e6)):
        tokenizer = _array_tokenizer(small_model, epochs, unit)
        np.testing.assert_array_equal(tokenizer.fit_transform(volts * factor), codes)


def test_array_of_float32(small_model, epochs, codes):
    data = (epochs.get_data() * 1e6).astype(np.float32)
    found = _array_tokenizer(small_model, epochs, "uV").fit_transform(data)
    assert np.mean(found == codes) > 0.99


def test_resampling(small_model, epochs):
    """The same signal at twice the rate gives (all but) the same codes."""
    codes = _tokenizer(small_model).fit_transform(epochs)
    faster = epochs.copy().resample(400, verbose="ERROR")
    found = _tokenizer(small_model).fit_transform(faster)
    assert found.shape == codes.shape
    assert np.mean(found == codes) > 0.9
    tokenizer = _array_tokenizer(small_model, faster)
    np.testing.assert_array_equal(tokenizer.fit_transform(faster.get_data()), found)


@pytest.mark.parametrize("output", ["tokens", "codes"])
def test_fit_transform_reads_the_data_once(small_model, epochs, output):
    slower = epochs.copy().resample(100, verbose="ERROR")
    slower.set_channel_types({"Fp1": "eog"}, verbose="ERROR")
    tokenizer = NeuroLMTokenizer(small_model, output=output, dtype="float32")
    with catch_logging() as log, mne.utils.use_log_level("INFO"):
        found = tokenizer.fit_transform(slower)
    said = log.getvalue().splitlines()
    assert said.count("Resampling epochs from 100 to 200 Hz.") == 1
    assert said.count("Using 18 of 19 channels; not EEG: Fp1 (eog).") == 1
    np.testing.assert_array_equal(np.asarray(found), np.asarray(tokenizer.transform(slower)))


def test_batch_size_does_not_change_codes(small_model, epochs, codes):
    for batch_size in (1, 7, 1000):
        found = _tokenizer(small_model, batch_size=batch_size).fit_transform(epochs)
        np.testing.assert_array_equal(found, codes)


def test_the_data_are_left_alone(small_model, epochs):
    data = epochs.get_data() * 1e6
    before = data.copy()
    _array_tokenizer(small_model, epochs, "uV").fit_transform(data)
    np.testing.assert_array_equal(data, before)


@pytest.mark.parametrize("name", ["small", "tiny"])
def test_verbosity(small_model, epochs, capsys, name):
    model = small_model if name == "small" else name
    _tokenizer(model, verbose=False).fit_transform(epochs)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    _tokenizer(model, verbose=True).fit_transform(epochs)
    captured = capsys.readouterr()
    assert captured.out == "" and "tokenize" in captured.err


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        (dict(output="token"), r"output must be one of .*'tokens', 'codes', 'embeddings'"),
        (dict(device="gpu"), "Unknown device 'gpu'; use 'auto', 'cpu'"),
        (dict(dtype="float16"), "dtype must be 'auto', 'float32' or 'bfloat16'; got 'float16'"),
        (dict(batch_size=0), "batch_size must be at least 1; got 0"),
        (dict(on_missing="skip"), "on_missing"),
        (dict(model="large"), "Unknown model 'large': choose 'tiny'"),
        (dict(model=".."), "no config.json"),
        (dict(model=None), "Unknown model"),
        (dict(verbose="loud"), "(?i)verbos|log"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_parameters(small_model, epochs, parameters, match):
    with pytest.raises(ValueError, match=match):
        NeuroLMTokenizer(**{"model": small_model, **parameters}).fit(epochs)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there(small_model, epochs):
    with pytest.raises(ValueError, match="no such device; use device='auto'"):
        NeuroLMTokenizer(small_model, device="cuda").fit(epochs)


@pytest.mark.parametrize("setting", [dict(max_epochs=0), dict(lr=0.0), dict(batch_size=-1)])
def test_parameters_of_a_training(small_config, epochs, setting):
    with pytest.raises(ValueError, match="|".join(setting)):
        NeuroLMTokenizer(small_config, **setting).fit(epochs)


def _with(epochs, change) -> mne.EpochsArray:
    data = epochs.get_data()
    change(data)
    return mne.EpochsArray(data, epochs.info, verbose="ERROR")


def _set_nan(data):
    data[3, 2, 100] = np.nan


def _set_inf(data):
    data[3, 2, 100] = np.inf


def _set_flat(data):
    data[:, 4] = 0.0


BAD_EPOCHS = {
    "nan": (
        lambda e: _with(e, _set_nan),
        r"1 samples are NaN or infinite, in 1 epoch\(s\) \(3\) and channel\(s\) F7\. Drop these",
    ),
    "inf": (lambda e: _with(e, _set_inf), "NaN or infinite.*F7"),
    "flat": (lambda e: _with(e, _set_flat), "flat.*Fz.*Mark them as bad"),
    "short": (lambda e: e.copy().crop(0, 0.5), "0.505 s long.*at least 1 s"),
    "no EEG": (
        lambda e: e.copy().set_channel_types(
            dict.fromkeys(e.ch_names, "misc"), on_unit_change="ignore"
        ),
        "EEG channel",
    ),
    "montages": (
        lambda e: [e, e.copy().drop_channels(["Cz"])],
        r"item 1 differs from item 0: its channels are not the same \(Cz\).*equalize_channels",
    ),
    "rates": (
        lambda e: [e, e.copy().resample(100, verbose="ERROR")],
        "its rate is 100 instead of 200 Hz",
    ),
    "µV as V": (
        lambda e: _with(e, lambda data: data.__imul__(1e6)),
        "1,000,000 times that of EEG.*Epochs must be in volts",
    ),
    "V as µV": (
        lambda e: _with(e, lambda data: data.__imul__(1e-6)),
        "a millionth that of EEG.*Epochs must be in volts",
    ),
    "no epochs": (lambda e: e[:0], "no epochs"),
}


@pytest.mark.filterwarnings("ignore:.*Epochs-object is empty:RuntimeWarning")  # MNE's own
@pytest.mark.parametrize("name", BAD_EPOCHS)
def test_bad_epochs(small_model, epochs, name):
    change, match = BAD_EPOCHS[name]
    bad = change(epochs)
    with pytest.raises(ValueError, match=match):
        _tokenizer(small_model).fit(bad)
    with pytest.raises(ValueError, match=match):
        _tokenizer(small_model).fit(epochs).transform(bad)


@pytest.mark.parametrize(
    ("factor", "unit", "match"),
    [
        (1e6, "V", "1,000,000 times that of EEG.*pass unit='uV'"),
        (1.0, "uV", "a millionth that of EEG.*pass unit='V'"),
        (1e3, "V", "1,000 times that of EEG.*pass unit='mV'"),
    ],
)
def test_wrong_unit(small_model, epochs, factor, unit, match):
    with pytest.raises(ValueError, match=match):
        _array_tokenizer(small_model, epochs, unit).fit(epochs.get_data() * factor)


@pytest.mark.parametrize("missing", ["ch_names", "sfreq", "unit"])
def test_an_array_says_what_it_is(small_model, epochs, missing):
    tokenizer = _array_tokenizer(small_model, epochs).set_params(**{missing: None})
    with pytest.raises(ValueError, match=f"{missing} must be given as well"):
        tokenizer.fit(epochs.get_data())


def test_unknown_channels(small_model, epochs):
    renamed = epochs.copy().set_montage(None).rename_channels({"Cz": "E129"})
    with pytest.raises(ValueError, match="E129"):
        _tokenizer(small_model).fit(renamed)
    with pytest.warns(RuntimeWarning, match="E129"):
        found = _tokenizer(small_model, on_missing="warn").fit_transform(renamed)
    assert found.shape == (len(epochs), N_SECONDS * (N_CHANNELS - 1))


def test_other_types(small_model, epochs):
    with pytest.raises(TypeError, match="list of mne.Epochs, or an array"):
        _tokenizer(small_model).fit("epochs-epo.fif")
    with pytest.raises(TypeError, match="item 1 is ndarray"):
        _tokenizer(small_model).fit([epochs, epochs.get_data()])


def test_parameters_set_after_fit_are_checked() -> None:
    epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=2, random_state=0)
    tokenizer = NeuroLMTokenizer().fit(epochs)
    with pytest.raises(ValueError, match="batch_size must be at least 1; got -1"):
        tokenizer.set_params(batch_size=-1).transform(epochs)
    with pytest.raises(ValueError, match="output must be one of"):
        tokenizer.set_params(batch_size=8, output="words").transform(epochs)


def test_codes_come_in_the_order_of_fit() -> None:
    epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=2, random_state=0)
    tokenizer = NeuroLMTokenizer(output="codes", dtype="float32").fit(epochs)
    turned = epochs.copy().reorder_channels(epochs.ch_names[::-1])
    np.testing.assert_array_equal(tokenizer.transform(turned), tokenizer.transform(epochs))
