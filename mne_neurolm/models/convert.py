"""Read checkpoints of the released code and write them as a NeuroLM directory."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mne.utils import logger
from torch import Tensor

from .checkpoint import load_released, read_sizes
from .config import PRESETS, NeuroLMConfig
from .files import check_output
from .neurolm import NeuroLM
from .text import SEP, load_text_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Released key (a regular expression) -> our key. None: read by nobody, left out.
# "^T" before our key: transformers keeps GPT-2's linear weights transposed ("Conv1D").
_ENCODER = r"(patch_embed|pos_embed|time_embed|blocks|fc_norm)"
TOKENIZER_KEYS: tuple[tuple[str, str | None], ...] = (
    (r"VQ\.encoder\.patch_embed\.l\.0\.(.+)", r"vq.encoder.patch_embed.linear.\1"),
    (rf"VQ\.(encoder|decoder_freq|decoder_raw)\.{_ENCODER}\.(.+)", r"vq.\1.\2.\3"),
    (r"VQ\.encode_task_layer\.(.+)", r"vq.to_code.\1"),
    (r"VQ\.decode_task_layer_(freq|raw)\.(.+)", r"vq.head_\1.\2"),
    (r"VQ\.quantize\.embedding\.weight", "vq.codebook.weight"),
    (r"VQ\.quantize\.embedding\.initted", "vq.codebook.initialized"),
    (r"VQ\.quantize\.cluster_size", "vq.codebook.cluster_size"),
    # Written by the released code, never read by it.
    (r"VQ\.quantize\.embedding\.(cluster_size|embed_avg)", None),
    (r"domain_classifier\.(.+)", r"vq.domain_classifier.\1"),
    # GPT-2's own frozen word embeddings, which stage 1 aligns with.
    (r"wte\.weight", None),
)
_SIZES = ("n_layer", "n_head", "n_embd")
LANGUAGE_MODEL_KEYS: tuple[tuple[str, str | None], ...] = (
    (
        r"GPT2\.transformer\.(h\.\d+\.(?:attn|mlp)\.(?:c_attn|c_proj|c_fc)\.weight)",
        r"^Tbackbone.\1",
    ),
    (r"GPT2\.transformer\.(.+)", r"backbone.\1"),
    (r"GPT2\.lm_head\.weight", "lm_head.weight"),
    (r"pos_embed\.weight", "channel_embed.weight"),
    (r"encode_transform_layer\.0\.(.+)", r"projection.0.\1"),
    (r"tokenizer\.patch_embed\.l\.0\.(.+)", r"encoder.patch_embed.linear.\1"),
    (rf"tokenizer\.{_ENCODER}\.(.+)", r"encoder.\1.\2"),
)


def convert_checkpoint(
    checkpoint: str | Path | None,
    tokenizer: str | Path,
    output: str | Path,
    *,
    text_tokenizer: str | Path | None = None,
) -> Path:
    """Convert released ``.pt`` files into a directory that everything here loads.

    Parameters
    ----------
    checkpoint : str | pathlib.Path | None
        ``NeuroLM-B.pt`` or its like. None converts the neural tokenizer alone.
    tokenizer : str | pathlib.Path
        ``VQ.pt``.
    output : str | pathlib.Path
        Directory to write: ``config.json``, ``model.safetensors`` and the text tokenizer.
    text_tokenizer : str | pathlib.Path | None
        Folder with GPT-2's ``vocab.json`` and ``merges.txt``, or a ``tokenizer.json``. Needed with
        ``checkpoint``.

    Returns
    -------
    output : pathlib.Path
        The directory.

    Raises
    ------
    FileNotFoundError
        If a file or the text tokenizer is missing.
    ValueError
        If a file is not of the released format, is truncated or carries code, or if keys are
        missing, unknown or of another shape: all of them are named. Or if ``output`` is a file.

    Examples
    --------
    >>> from mne_neurolm import convert_checkpoint
    >>> convert_checkpoint("NeuroLM-B.pt", "VQ.pt", "neurolm-b", text_tokenizer="gpt2")
    ... # doctest: +SKIP
    """
    output = check_output(output)
    model = load_converted(checkpoint, tokenizer, text_tokenizer=text_tokenizer)
    model.save_pretrained(output)
    logger.info(f"Wrote {sum(p.numel() for p in model.parameters()):,} parameters to {output}.")
    return output


def load_converted(
    checkpoint: str | Path | None,
    tokenizer: str | Path,
    *,
    text_tokenizer: str | Path | None = None,
) -> NeuroLM:
    """Build a model from released ``.pt`` files in memory; see :func:`convert_checkpoint`."""
    if checkpoint is not None and text_tokenizer is None:
        raise ValueError(
            "A language model needs its text tokenizer: pass text_tokenizer=DIR (on the command "
            "line --text-tokenizer DIR) with GPT-2's vocab.json and merges.txt."
        )
    released = load_released(tokenizer, ("encoder_args", "decoder_args"))
    config_args = _tokenizer_config(released, tokenizer)
    state = _rename(released["model"], TOKENIZER_KEYS, tokenizer)
    if checkpoint is not None:
        released_lm = load_released(checkpoint, ("model_args",))
        lm_state = _rename(released_lm["model"], LANGUAGE_MODEL_KEYS, checkpoint)
        config_args["text_config"] = _text_config(released_lm, checkpoint)
        config_args["separate_encoder"] = not _drop_equal_encoder(lm_state, state)
        state |= lm_state
    paths = [p for p in (tokenizer, checkpoint) if p is not None]
    try:
        config = NeuroLMConfig(**config_args)
        wanted = _shapes(config)
    except (ValueError, TypeError, RuntimeError) as error:  # the latter two for absurd sizes
        raise ValueError(f"{_join(paths)} state sizes that make no model: {error}") from error
    _check_state(state, wanted, paths)
    words = None
    if text_tokenizer is not None and checkpoint is not None:
        words = _load_words(text_tokenizer, config)
    model = NeuroLM(config)
    model.load_state_dict(state)
    model.text_tokenizer = words
    return model.eval()


def _load_words(directory: str | Path, config: NeuroLMConfig) -> PreTrainedTokenizerFast:
    """Load the text tokenizer and make sure that it is GPT-2's: ids must mean the same words."""
    if not Path(directory).is_dir():
        raise FileNotFoundError(
            f"There is no folder {directory}; pass the one with GPT-2's vocab.json and merges.txt."
        )
    tokenizer = load_text_tokenizer(directory)
    got = (tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(SEP))
    wanted = (PRESETS["b"]["text_config"]["eos_token_id"], config.sep_token_id)
    if got != wanted:
        raise ValueError(
            f"{directory} is not the text tokenizer of this model: its end-of-text token and {SEP} "
            f"have the ids {got}, but released checkpoints use GPT-2's, {wanted}. Pass the folder "
            "with GPT-2's vocab.json and merges.txt."
        )
    return tokenizer


def _tokenizer_config(released: dict[str, Any], path: str | Path) -> dict[str, Any]:
    """Return arguments of NeuroLMConfig from a released tokenizer checkpoint."""
    args: dict[str, Any] = {}
    for prefix, source in (("", "encoder_args"), ("decoder_", "decoder_args")):
        sizes = read_sizes(released, source, _SIZES, path)
        args |= {prefix + key: size for key, size in sizes.items()}
    codebook = released["model"].get("VQ.quantize.embedding.weight")
    # A missing or misshapen one is named with all other such keys.
    if codebook is not None and codebook.dim() == 2:
        args["codebook_size"], args["codebook_dim"] = map(int, codebook.shape)
    return args


def _text_config(released: dict[str, Any], path: str | Path) -> dict[str, Any]:
    """Return the GPT-2 configuration of a released language model checkpoint."""
    sizes = read_sizes(released, "model_args", (*_SIZES, "block_size"), path)
    text_config = PRESETS["b"]["text_config"] | {key: sizes[key] for key in _SIZES}
    text_config["n_positions"] = sizes["block_size"]
    words = released["model"].get("GPT2.transformer.wte.weight")
    if words is None or words.dim() != 2:
        raise ValueError(
            f"{path} has no matrix 'GPT2.transformer.wte.weight'; is it a NeuroLM file?"
        )
    text_config["vocab_size"] = int(words.shape[0])
    return text_config


def _rename(
    released: dict[str, Tensor],
    table: Sequence[tuple[str, str | None]],
    path: str | Path,
) -> dict[str, Tensor]:
    """Apply a key table; unknown keys are an error that names them all."""
    state, unknown = {}, []
    for key, tensor in released.items():
        for pattern, ours in table:
            if re.fullmatch(pattern, key):
                if ours is not None:
                    name = re.sub(pattern, ours, key)
                    if name.startswith("^T"):
                        name, tensor = name[2:], tensor.T if tensor.dim() == 2 else tensor
                    if name.endswith("codebook.initialized") and tensor.numel() == 1:
                        tensor = tensor.reshape(())  # released as one element
                    state[name] = tensor
                break
        else:
            unknown.append(key)
    if unknown:
        raise ValueError(
            f"{path} has {len(unknown)} keys that a released checkpoint does not have: "
            f"{', '.join(unknown)}. Pass the language model and the tokenizer in the right places?"
        )
    return state


def _shapes(config: NeuroLMConfig) -> dict[str, Tensor]:
    """Return the state of a model of this configuration, shapes without data."""
    with torch.device("meta"):
        return NeuroLM(config).state_dict()


def _join(paths: Sequence[str | Path]) -> str:
    return " and ".join(map(str, paths))


def _check_state(
    state: dict[str, Tensor], wanted: dict[str, Tensor], paths: Sequence[str | Path]
) -> None:
    """Compare keys and shapes with those that a model needs."""
    problems = [f"missing: {key} {tuple(wanted[key].shape)}" for key in wanted if key not in state]
    problems += [f"extra: {key} {tuple(state[key].shape)}" for key in state if key not in wanted]
    problems += [
        f"misshapen: {key} is {tuple(state[key].shape)}, expected {tuple(wanted[key].shape)}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    if problems:
        raise ValueError(
            f"{_join(paths)} do not fit the sizes they state "
            f"({len(problems)} problems, keys under their names here):\n  " + "\n  ".join(problems)
        )


def _drop_equal_encoder(lm_state: dict[str, Tensor], tokenizer_state: dict[str, Tensor]) -> bool:
    """Drop the language model's copy of the encoder if it equals the tokenizer's.

    Returns whether it did. Both released files carry the frozen encoder; should they differ, each
    must read EEG with its own.
    """
    copies = {f"vq.{key}": lm_state[key] for key in lm_state if key.startswith("encoder.")}
    ours = {key: tokenizer_state[key] for key in tokenizer_state if key.startswith("vq.encoder.")}
    if copies.keys() != ours.keys():
        return False  # an incomplete copy: what is missing is named later
    equal = all(
        copies[key].dtype == ours[key].dtype and torch.equal(copies[key], ours[key])
        for key in copies
    )
    if equal:
        for key in copies:
            del lm_state[key.removeprefix("vq.")]
    else:
        logger.info("The two files hold different encoders; both are kept.")
    return equal
