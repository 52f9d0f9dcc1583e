"""Which weights each way of tuning trains."""

from __future__ import annotations

import pytest

from mne_neurolm import NeuroLM, NeuroLMConfig
from mne_neurolm.training.tuned_parts import prepare_tuning


def trained(tune: str | None) -> set[str]:
    model = NeuroLM(NeuroLMConfig.preset("tiny"))
    prepare_tuning(model, tune)
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def test_the_neural_tokenizer_is_never_trained() -> None:
    full, head, lora = trained("full"), trained("head"), trained("lora")
    assert not any(name.startswith("vq.") for name in full | head | lora)
    assert head < full and any(name.startswith("lm_head") for name in head)
    assert {".h.0." in name for name in head} == {False}, "the first block stays as it is"
    assert any("lora_A" in name for name in lora)
    everything = {name for name, _ in NeuroLM(NeuroLMConfig.preset("tiny")).named_parameters()}
    assert full < everything and trained(None) == everything, "None changes nothing"


def test_an_unknown_way() -> None:
    with pytest.raises(ValueError, match=r"'full', 'lora', 'head', None\); got 'heads'"):
        trained("heads")
