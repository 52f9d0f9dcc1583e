"""What tuning changes: the whole language model, adapters beside it, or its last part."""

from __future__ import annotations

from torch import nn

from ..models.neurolm import NeuroLM
from ..utils.optional import import_optional
from .stages import language_model_parts

TUNE = ("full", "lora", "head", None)
_LORA = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0}
_ADAPTERS = ("lora_A", "lora_B")  # peft's names


def prepare_tuning(model: NeuroLM, tune: str | None) -> None:
    """Choose what is trained, and add adapters for ``"lora"``.

    Parameters
    ----------
    model : NeuroLM
        The model, changed in place.
    tune : "full" | "lora" | "head" | None
        ``"full"``: all but the neural tokenizer. ``"lora"``: low-rank adapters (Hu et al. 2022) of
        rank 8 beside all matrices of the language model. ``"head"``: its last transformer block,
        what normalises the output, and the output layer. None: the model is left as it is.

    Raises
    ------
    ImportError
        If ``peft``, which ``"lora"`` needs, is not installed.
    ValueError
        If ``tune`` is unknown, or the transformer blocks of the language model can't be found, for
        ``"head"``.

    Notes
    -----
    The output layer alone can only rearrange what the last token of the question already knows of
    the EEG, which is nothing unless the model was tuned to look at it: on Workload that token's
    state varies by a tenth of its length over windows, and not even a logistic regression on it
    tells the classes of the training windows apart. The last block is the least that can look.

    Examples
    --------
    >>> from mne_neurolm import NeuroLM, NeuroLMConfig
    >>> from mne_neurolm.training.tuned_parts import prepare_tuning
    >>> model = NeuroLM(NeuroLMConfig.preset("tiny"))
    >>> for tune in ("full", "head"):
    ...     prepare_tuning(model, tune)
    ...     print(tune, sum(p.numel() for p in model.parameters() if p.requires_grad))
    full 2517120
    head 838464
    """
    if tune not in TUNE:
        raise ValueError(f"tune must be one of {TUNE}; got {tune!r}.")
    if tune is None:
        return
    if tune == "lora":
        peft = import_optional("peft", extra="train", purpose="tune='lora'")
        config = peft.LoraConfig(
            target_modules="all-linear",
            # GPT-2 keeps its linear weights transposed.
            fan_in_fan_out=model.config.text_config.model_type == "gpt2",
            **_LORA,
        )
        peft.inject_adapter_in_model(config, model.backbone)
    model.requires_grad_(False)
    for part in trained_parts(model, tune):
        part.requires_grad_(True)


def trained_parts(model: NeuroLM, tune: str) -> list[nn.Module]:
    """Return the modules that are trained, of a model that :func:`prepare_tuning` has prepared.

    Parameters
    ----------
    model : NeuroLM
        The model.
    tune : "full" | "lora" | "head"
        As for :func:`prepare_tuning`.

    Returns
    -------
    parts : list of torch.nn.Module
        The modules.
    """
    if tune == "full":
        return language_model_parts(model)
    if tune == "head":
        return [*_last_block_and_norm(model.backbone), model.lm_head]
    return [
        module
        for name, module in model.backbone.named_modules()
        if name.rpartition(".")[2] in _ADAPTERS
    ]


def merge_adapters(model: nn.Module) -> None:
    """Add the adapters of ``"lora"`` to the matrices beside them, and remove them, in place."""
    for name, layer in list(model.named_modules()):
        if hasattr(layer, "get_base_layer"):  # told by what they have, as peft is optional
            layer.merge()
            model.set_submodule(name, layer.get_base_layer())


def _last_block_and_norm(backbone: nn.Module) -> list[nn.Module]:
    """Return the last transformer block and the modules after it that have parameters."""
    children = list(backbone.children())
    for index, child in enumerate(children):
        if isinstance(child, nn.ModuleList) and len(child):
            after = [c for c in children[index + 1 :] if list(c.parameters())]
            return [child[-1], *after]
    raise ValueError(
        f"tune='head' trains the last transformer block, but {type(backbone).__name__} has no list "
        "of blocks. Use tune='full' or tune='lora'."
    )
