"""The network against recorded values of the released code: every family of values."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import Tensor
from torch.nn import functional as F

from mne_neurolm import NeuroLM, get_task
from mne_neurolm.models.scoring import answer_log_probs
from mne_neurolm.models.text import load_text_tokenizer
from mne_neurolm.models.vq import reconstruction_targets
from mne_neurolm.training.objectives import (
    autoregressive_objective,
    text_objective,
    vq_objective,
)
from mne_neurolm.training.regularization import tuning_loss

SAMPLES = list(reference.load_samples())
GOLDEN = reference.load_golden()
STATE_ATOL = 1e-4  # hidden states, reconstructions, logits
RTOL = 1e-5  # targets and losses
PADDED_LENGTH = 32
PAD_CHANNEL = 136

# "[SEP]Question: Is this EEG segment abnormal? Answer:" and what follows, in GPT-2's ids.
PROMPT = [50257, 24361, 25, 1148, 428, 48749, 10618, 18801, 30, 23998, 25]
YES, NO = [3363, 220, 50256], [1400, 220, 50256]
# Columns that the golden file keeps of the first answer's logits.
ANSWER_COLUMNS = [3363, 1400, 33733, 25627, 36183, 357, 0, 50256]

each_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: f"sample{s.index}")

_COMPARED: set[str] = set()


def golden(sample: reference.Sample, key: str) -> np.ndarray:
    """Look up a recorded value, and note that it was compared."""
    _COMPARED.add(key)
    return sample.golden[key]


def close(ours: Tensor, theirs: np.ndarray) -> None:
    assert_allclose(ours.detach().numpy(), theirs, rtol=0, atol=STATE_ATOL)


@each_sample
def test_tokenizer(golden_model: NeuroLM, sample: reference.Sample) -> None:
    """Hidden states, codes, both reconstructions and the domain classifier."""
    with torch.no_grad():
        out = golden_model.vq(sample.patches, sample.channels, sample.times)
        domain = golden_model.vq.domain_logits(out.hidden)
    close(out.hidden[0], golden(sample, "encoder_hidden"))
    assert_array_equal(out.codes[0], golden(sample, "codes"))
    close(out.frequency[0], golden(sample, "rec_freq"))
    close(out.raw[0], golden(sample, "rec_raw"))
    close(domain[0], golden(sample, "domain_logits"))


@each_sample
@pytest.mark.parametrize("norm_over_padding", [True, False])
def test_padding(golden_model: NeuroLM, sample: reference.Sample, norm_over_padding: bool) -> None:
    """Masked zero patches: as the released code if asked to, else without any effect."""
    n_tokens = sample.patches.shape[1]
    n_added = PADDED_LENGTH - n_tokens
    patches = F.pad(sample.patches, (0, 0, 0, n_added))
    channels = F.pad(sample.channels, (0, n_added), value=PAD_CHANNEL)
    times = F.pad(sample.times, (0, n_added))
    mask = torch.arange(PADDED_LENGTH)[None] < n_tokens
    with torch.no_grad():
        out = golden_model.vq(patches, channels, times, mask, norm_over_padding=norm_over_padding)
    prefix = "padded32_" if norm_over_padding else ""
    close(out.hidden[0, :n_tokens], golden(sample, f"{prefix}encoder_hidden"))
    assert_array_equal(out.codes[0, :n_tokens], golden(sample, f"{prefix}codes"))


def test_padding_matters_to_the_released_code() -> None:
    """The two cases of the golden file differ, so the test above can tell them apart."""
    for sample in SAMPLES:
        assert (sample.golden["padded32_codes"] != sample.golden["codes"]).mean() > 0.2


@each_sample
def test_targets(sample: reference.Sample) -> None:
    frequency, raw = reconstruction_targets(sample.patches)
    assert_allclose(frequency[0], golden(sample, "target_freq"), rtol=RTOL, atol=1e-6)
    assert_allclose(raw[0], golden(sample, "target_raw"), rtol=RTOL, atol=1e-6)


@each_sample
def test_tokenizer_losses(golden_model: NeuroLM, sample: reference.Sample) -> None:
    words = reference.make_weight("wte.weight", reference.META["vq_shapes"]["wte.weight"])
    with torch.no_grad():
        losses = vq_objective(
            golden_model.vq,
            sample.patches,
            sample.channels,
            sample.times,
            word_embeddings=words[100:164],
        )
    ours = [losses[name].item() for name in ("commitment", "frequency", "raw", "domain_eeg")]
    theirs = golden(sample, "vq_losses")
    assert_allclose(ours, theirs, rtol=RTOL)
    text = GOLDEN["domain_loss_text_100_163"]
    assert_allclose(losses["domain_text"].item(), text, rtol=RTOL)
    assert_allclose(losses["loss"].item(), theirs.sum() + text, rtol=RTOL)


def test_codebook_update(golden_model: NeuroLM) -> None:
    """One step of the moving average, on the first sample."""
    vq = golden_model.vq
    before = {name: buffer.clone() for name, buffer in vq.codebook.state_dict().items()}
    sample = SAMPLES[0]
    try:
        vq.codebook.train()
        with torch.no_grad():
            vq(sample.patches, sample.channels, sample.times)
        vq.codebook.update(0)
        moved = vq.codebook.weight.clone()
    finally:
        vq.codebook.eval()
        vq.codebook.load_state_dict(before)
    rows = GOLDEN["ema_rows"]
    assert_allclose(moved[rows], GOLDEN["ema_codebook_rows"], rtol=0, atol=1e-6)
    others = np.setdiff1d(np.arange(len(moved)), sample.golden["codes"])
    assert_allclose(moved[others], before["weight"][others], rtol=0, atol=1e-6)


def encode(model: NeuroLM, sample: reference.Sample) -> tuple[Tensor, Tensor]:
    return model.tokenize(sample.patches, sample.channels, sample.times)


@each_sample
def test_autoregression(golden_model: NeuroLM, sample: reference.Sample) -> None:
    hidden, codes = encode(golden_model, sample)
    with torch.no_grad():
        states = golden_model(hidden, sample.channels, sample.times).last_hidden_state[0]
        # First row, and last row that predicts anything: codes of the first 64 columns.
        logits = golden_model.logits(states[[0, -sample.n_channels - 1]])
        losses = autoregressive_objective(
            golden_model, hidden, codes, sample.channels, sample.times
        )
    start = golden_model.text_vocab_size
    close(logits[:, start : start + 64], golden(sample, "ar_logits_first_last"))
    assert_allclose(losses["loss"].item(), golden(sample, "ar_loss"), rtol=RTOL)


@each_sample
def test_answers(golden_model: NeuroLM, sample: reference.Sample) -> None:
    hidden, _ = encode(golden_model, sample)
    eeg = (hidden, sample.channels, sample.times)
    with torch.no_grad():
        states = golden_model(*eeg, torch.tensor(PROMPT)).last_hidden_state
        logits = golden_model.logits(states[0, -1])
        first_tokens = answer_log_probs(golden_model, *eeg, PROMPT, [YES[:1], NO[:1]])
        log_probs = answer_log_probs(golden_model, *eeg, PROMPT, [YES, NO], text_only=False)
        loss = tuning_loss(log_probs, torch.tensor([0]), [len(YES), len(NO)])
    close(logits[ANSWER_COLUMNS], golden(sample, "first_answer_logits"))
    close(first_tokens[0], golden(sample, "first_answer_logprob_yes_no"))
    assert_allclose(loss.item(), golden(sample, "instruction_loss"), rtol=RTOL)


def test_text(golden_model: NeuroLM) -> None:
    with torch.no_grad():
        losses = text_objective(golden_model, torch.arange(1000, 1065)[None])
    assert_allclose(losses["loss"].item(), GOLDEN["text_loss_1000_1063"], rtol=RTOL)


def test_prompt_is_that_of_the_task(shared_data) -> None:
    """The ids above are what the task "tuab" becomes under GPT-2's own encoding."""
    tokenizer = load_text_tokenizer(shared_data / "gpt2_bpe")
    encoded = get_task("tuab").encode(tokenizer, 50257)
    assert encoded.prompt == PROMPT
    assert encoded.answers == [NO, YES]


def test_nothing_is_left_out() -> None:
    """Every family of the golden file was compared (runs last in this module)."""
    recorded = {key for sample in SAMPLES for key in sample.golden}
    assert recorded - _COMPARED == {"eeg_uV"}
    assert set(GOLDEN) == {
        "domain_loss_text_100_163",
        "ema_rows",
        "ema_codebook_rows",
        "text_loss_1000_1063",
    }
