"""Answers scored side by side, and generated text."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mne_neurolm import NeuroLM, NeuroLMConfig
from mne_neurolm.models import scoring
from mne_neurolm.models.masks import stair_step_mask
from mne_neurolm.models.scoring import answer_log_probs, generate_text, question_log_probs
from mne_neurolm.tasks import EncodedTask

N_CHANNELS, N_SECONDS = 3, 2
CHANNELS = torch.arange(N_CHANNELS).repeat(N_SECONDS)
TIMES = torch.arange(N_SECONDS).repeat_interleave(N_CHANNELS)
PROMPT = [60, 5, 6, 7]
ANSWERS = [[8, 9, 59], [10, 59], [8, 11, 12, 59]]
# Of other lengths, with other numbers of answers: one, and answers of one token.
QUESTIONS = [
    EncodedTask(PROMPT, ANSWERS),
    EncodedTask([60, 20], [[21, 22, 23, 24, 59]]),
    EncodedTask([60, *range(30, 45)], [[59], [8], [9, 59]]),
    EncodedTask([60, 5, 6, 7], [[10, 59], [8, 9, 59]]),
]

BACKBONES = {
    "gpt2": {"model_type": "gpt2", "activation_function": "gelu", "n_layer": 2, "n_head": 2,
             "n_embd": 16, "n_positions": 64, "resid_pdrop": 0.0, "embd_pdrop": 0.0,
             "attn_pdrop": 0.0},
    "llama": {"model_type": "llama", "num_hidden_layers": 2, "num_attention_heads": 2,
              "hidden_size": 16, "intermediate_size": 32, "num_key_value_heads": 1},
}  # fmt: skip


@pytest.fixture(scope="module", params=BACKBONES)
def model(request: pytest.FixtureRequest, small_model: NeuroLM) -> NeuroLM:
    """A random model over GPT-2, and over another language model of transformers."""
    torch.manual_seed(0)
    config = NeuroLMConfig(
        n_layer=1,
        n_head=2,
        n_embd=16,
        decoder_n_layer=1,
        decoder_n_head=2,
        decoder_n_embd=16,
        codebook_size=8,
        codebook_dim=4,
        sep_token_id=60,
        text_config={
            **BACKBONES[request.param],
            "vocab_size": 64,
            "bos_token_id": 59,
            "eos_token_id": 59,
        },
    )
    model = NeuroLM(config).eval()
    torch.nn.init.normal_(model.lm_head.weight)  # so that answers differ
    return model


@pytest.fixture
def hidden() -> torch.Tensor:
    return torch.randn(4, len(TIMES), 16, generator=torch.Generator().manual_seed(0))


def one_by_one(model: NeuroLM, hidden: torch.Tensor, answer: list[int], rows: int) -> torch.Tensor:
    """Score an answer alone, as plain text after the prompt."""
    ids = torch.tensor(PROMPT + answer[:-1])
    states = model(hidden, CHANNELS, TIMES, ids).last_hidden_state[:, -len(answer) :]
    log_probs = F.log_softmax(model.logits(states)[..., :rows], dim=-1)
    return log_probs.gather(2, torch.tensor(answer).expand(len(hidden), -1)[..., None]).sum((1, 2))


@torch.no_grad()
@pytest.mark.parametrize("text_only", [True, False])
def test_side_by_side_equals_one_by_one(model, hidden, text_only: bool) -> None:
    together = answer_log_probs(
        model, hidden, CHANNELS, TIMES, PROMPT, ANSWERS, text_only=text_only
    )
    rows = 60 if text_only else 64 + 8
    alone = torch.stack([one_by_one(model, hidden, a, rows) for a in ANSWERS], dim=1)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)


@torch.no_grad()
def test_each_sample_is_scored_alone(model, hidden) -> None:
    """Neither batch mates nor the other answers matter."""
    together = answer_log_probs(model, hidden, CHANNELS, TIMES, PROMPT, ANSWERS)
    alone = torch.cat(
        [answer_log_probs(model, h[None], CHANNELS, TIMES, PROMPT, ANSWERS) for h in hidden]
    )
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)
    two = answer_log_probs(model, hidden, CHANNELS, TIMES, PROMPT, ANSWERS[:2])
    torch.testing.assert_close(two, together[:, :2], rtol=0, atol=1e-4)


@torch.no_grad()
def test_cached_generation_equals_running_everything_again(model, hidden, words) -> None:
    model.text_tokenizer = words
    written = generate_text(model, hidden, CHANNELS, TIMES, PROMPT, max_new_tokens=6)
    for sample, ids in zip(hidden, written, strict=True):
        expected: list[int] = []
        for _ in range(6):
            text = torch.tensor(PROMPT + expected)
            states = model(sample[None], CHANNELS, TIMES, text).last_hidden_state
            token = int(model.logits(states[0, -1])[:60].argmax())
            if token == 59:
                break
            expected.append(token)
        assert ids == expected


def test_sampling_is_reproducible(model, hidden, words) -> None:
    model.text_tokenizer = words
    runs = [
        generate_text(
            model,
            hidden,
            CHANNELS,
            TIMES,
            PROMPT,
            temperature=1.0,
            top_k=20,
            generator=torch.Generator().manual_seed(seed),
        )
        for seed in (0, 0, 1)
    ]
    assert runs[0] == runs[1] != runs[2]
    assert all(token < 60 for run in runs for row in run for token in row)


def test_no_words_without_a_text_tokenizer(model, hidden) -> None:
    model.text_tokenizer = None
    with pytest.raises(ValueError, match="no text tokenizer"):
        generate_text(model, hidden, CHANNELS, TIMES, PROMPT)


@pytest.fixture(scope="module")
def words() -> object:
    """A text tokenizer of 60 words."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    vocabulary = {f"w{i}": i for i in range(59)} | {"<end>": 59}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="w0")), eos_token="<end>"
    )


# --- several questions ---------------------------------------------------------------------------


def apart(model: NeuroLM, hidden: torch.Tensor, **kwargs) -> list[torch.Tensor]:
    """Ask each question alone."""
    return [
        answer_log_probs(model, hidden, CHANNELS, TIMES, q.prompt, q.answers, **kwargs)
        for q in QUESTIONS
    ]


def assert_same(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    assert [log_probs.shape for log_probs in found] == [e.shape for e in expected]
    for of_question, alone in zip(found, expected, strict=True):
        torch.testing.assert_close(of_question, alone, rtol=0, atol=1e-5)
        assert torch.equal(of_question.argmax(dim=1), alone.argmax(dim=1))


@pytest.fixture
def passes(model, monkeypatch) -> list[int]:
    """Return a list that gets the number of text tokens of every forward pass."""
    lengths: list[int] = []
    forward = model.forward

    def counting(hidden, channels, times, ids, *args, **kwargs):
        lengths.append(len(ids))
        return forward(hidden, channels, times, ids, *args, **kwargs)

    monkeypatch.setattr(model, "forward", counting)
    return lengths


@torch.no_grad()
@pytest.mark.parametrize("text_only", [True, False])
def test_questions_together_equal_one_by_one(model, hidden, passes, text_only: bool) -> None:
    expected = apart(model, hidden, text_only=text_only)
    passes.clear()
    found = question_log_probs(model, hidden, CHANNELS, TIMES, QUESTIONS, text_only=text_only)
    assert_same(found, expected)
    assert passes == [4 + 6 + 2 + 4 + 16 + 1 + 4 + 3], "one pass"


@torch.no_grad()
def test_a_question_has_the_same_answers_whatever_else_is_asked(model, hidden) -> None:
    expected = apart(model, hidden)
    for order in ([0, 1], [2, 0, 3], [3, 2, 1, 0], [1, 1]):
        found = question_log_probs(model, hidden, CHANNELS, TIMES, [QUESTIONS[i] for i in order])
        assert_same(found, [expected[i] for i in order])


@torch.no_grad()
@pytest.mark.parametrize(
    ("limit", "expected"),
    # A question that is longer than the limit is asked alone.
    [(40, [40]), (39, [33, 7]), (16, [16, 17, 7]), (1, [10, 6, 17, 7])],
)
def test_many_questions_are_divided_over_passes(
    model, hidden, passes, monkeypatch, limit: int, expected: list[int]
) -> None:
    alone = apart(model, hidden)
    passes.clear()
    monkeypatch.setattr(scoring, "TEXT_PER_PASS", limit)
    assert_same(question_log_probs(model, hidden, CHANNELS, TIMES, QUESTIONS), alone)
    assert passes == expected


def test_gradients_reach_eeg_from_all_questions(model, hidden) -> None:
    """What two questions together tell of the EEG is the sum of what each tells."""
    some = QUESTIONS[:3:2]

    def gradient(questions: list[EncodedTask]) -> torch.Tensor:
        eeg = hidden.clone().requires_grad_()
        found = question_log_probs(model, eeg, CHANNELS, TIMES, questions)
        return torch.autograd.grad(sum(log_probs.sum() for log_probs in found), eeg)[0]

    each = [gradient([question]) for question in some]
    assert all(g.abs().max() > 0 for g in each)
    torch.testing.assert_close(gradient(some), sum(each), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_nothing_to_ask(model, hidden) -> None:
    assert question_log_probs(model, hidden, CHANNELS, TIMES, []) == []
    empty = question_log_probs(model, hidden[:0], CHANNELS, TIMES, QUESTIONS)
    assert [log_probs.shape for log_probs in empty] == [(0, 3), (0, 1), (0, 3), (0, 2)]


@torch.no_grad()
def test_each_question_has_all_positions(model, hidden) -> None:
    """Together they may be longer than the positions, none of them alone."""
    limit = model.backbone.config.max_position_embeddings
    longest = EncodedTask([60, *[5] * (limit - 2 - 3)], [[8, 9, 59], [59]])
    found = question_log_probs(model, hidden, CHANNELS, TIMES, [longest, QUESTIONS[0], longest])
    torch.testing.assert_close(found[0], found[2], rtol=0, atol=1e-5)
    too_long = EncodedTask(longest.prompt, [[8, 9, 10, 59]])
    with pytest.raises(ValueError, match=f"need {limit + 1} positions; .* has {limit}"):
        question_log_probs(model, hidden, CHANNELS, TIMES, [QUESTIONS[0], too_long])


# --- what does not fit ---------------------------------------------------------------------------


def test_text_longer_than_the_positions(model, hidden, words) -> None:
    """64 positions, of which two seconds, the question and the answer's fed tokens take theirs."""
    model.text_tokenizer = words
    limit = model.backbone.config.max_position_embeddings
    question = [60, *[5] * (limit - 2 - 3)]  # leaves two
    fits = answer_log_probs(model, hidden, CHANNELS, TIMES, question, [[8, 9, 59]])
    assert fits.shape == (4, 1)
    with pytest.raises(ValueError, match=f"need {limit + 1} positions; .* has {limit}"):
        answer_log_probs(model, hidden, CHANNELS, TIMES, question, [[8, 9, 10, 59]])
    assert len(generate_text(model, hidden, CHANNELS, TIMES, question, max_new_tokens=3)) == 4
    with pytest.raises(ValueError, match="max_new_tokens"):
        generate_text(model, hidden, CHANNELS, TIMES, question, max_new_tokens=4)


@pytest.mark.parametrize(
    ("prompt", "answers", "message"),
    [
        ([60, 5, 60], ANSWERS, r"The question .* ids \[60\].*\[SEP\]"),
        (PROMPT, [[8, 61, 59]], r"An answer .* ids \[61\]"),
        (PROMPT, [[8, -1, 59]], r"An answer .* ids \[-1\]"),
        (PROMPT, [[8, 59], []], "An answer is empty"),
        ([64, 5], ANSWERS, "start with"),
        ([], ANSWERS, "start with"),
    ],
)
def test_ids_that_are_no_words(model, hidden, prompt, answers, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        answer_log_probs(model, hidden, CHANNELS, TIMES, prompt, answers)


@torch.no_grad()
def test_no_samples(model, hidden, words) -> None:
    model.text_tokenizer = words
    assert generate_text(model, hidden[:0], CHANNELS, TIMES, PROMPT) == []
    assert answer_log_probs(model, hidden[:0], CHANNELS, TIMES, PROMPT, ANSWERS).shape == (0, 3)


def test_writing_is_evaluation(model, hidden, words) -> None:
    model.text_tokenizer = words
    model.train()
    generate_text(model, hidden, CHANNELS, TIMES, PROMPT, max_new_tokens=1)
    assert not model.training


@torch.no_grad()
def test_attention_weights_come_beside_the_same_states(model, hidden) -> None:
    """The slow way heeds the mask as the fast one does, which is back afterwards."""
    ids = torch.tensor(PROMPT)
    fast = model(hidden, CHANNELS, TIMES, ids)
    slow = model(hidden, CHANNELS, TIMES, ids, output_attentions=True)
    torch.testing.assert_close(slow.last_hidden_state, fast.last_hidden_state, atol=1e-5, rtol=0)
    again = model(hidden, CHANNELS, TIMES, ids)
    assert torch.equal(again.last_hidden_state, fast.last_hidden_state)
    mask = stair_step_mask(torch.cat([TIMES, N_SECONDS + torch.arange(len(PROMPT))]))
    assert len(slow.attentions) == 2
    for weights in slow.attentions:
        assert weights.shape == (4, 2, *mask.shape)
        assert (weights[..., ~mask] == 0).all() and (weights[..., mask] > 0).all()
