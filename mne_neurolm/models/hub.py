"""From the name of a model to the model."""

from __future__ import annotations

import os
import re
import shutil
from importlib.resources import files
from pathlib import Path

from mne.utils import logger

from .config import NeuroLMConfig
from .convert import convert_checkpoint, load_converted
from .neurolm import NeuroLM
from .text import SEP, load_text_tokenizer

# The models that are part of the package: one that has seen no label, and one that is tuned on five
# tasks. Both have the same neural tokenizer.
BUNDLED = {name: str(files("mne_neurolm") / "assets" / name) for name in ("tiny", "tiny-joint")}
TINY = BUNDLED["tiny"]

# The authors' repository on the Hugging Face hub, and what its files are called there.
RELEASED_REPOSITORY = "Weibang/NeuroLM"
RELEASED_TOKENIZER = r"(?:.*/)?VQ\.pt"
RELEASED_MODELS = {
    "neurolm-b": r"(?:.*/)?NeuroLM-B\.pt",
    "neurolm-l": r"(?:.*/)?NeuroLM-L\.pt",
    "neurolm-xl": r"(?:.*/)?NeuroLM-XL\.pt",
}
# GPT-2's byte-pair encoding, which all released models share.
TEXT_REPOSITORY = "openai-community/gpt2"
TEXT_FILES = ("vocab.json", "merges.txt")


def load_model(model: str | Path | NeuroLM, *, revision: str | None = None) -> NeuroLM:
    """Load a model by name.

    Parameters
    ----------
    model : str | pathlib.Path | NeuroLM
        ``"tiny"`` or ``"tiny-joint"``, the models that come with the package, the latter tuned to
        answer; ``"neurolm-b"``, ``"neurolm-l"`` or ``"neurolm-xl"``, the released weights, which
        are downloaded and converted on first use; a directory that ``save_pretrained`` or
        ``convert_checkpoint`` wrote; a released ``.pt`` file; or, as str, the id of a hub
        repository such as ``"user/model"``. A NeuroLM is returned as it is. A leading ``~`` is the
        home directory; a Path is always a file or folder.
    revision : str | None
        Revision of a hub repository: a branch, tag or commit.

    Returns
    -------
    model : NeuroLM
        The model in evaluation mode, on the CPU.

    Raises
    ------
    ValueError
        If there is no such model.
    OSError
        If a remote model can't be had; the message gives the manual steps.

    Notes
    -----
    Nothing touches the network unless a remote model is named.
    """
    name = type(model).__name__ if isinstance(model, NeuroLM) else str(model)
    is_name = isinstance(model, str)
    released = is_name and name.lower() in RELEASED_MODELS
    on_hub = released or (is_name and _is_hub_id(name))
    if revision is not None and not on_hub:
        raise ValueError(
            f"revision={revision!r} has no meaning for model {name!r}: only repositories on the "
            "hub have revisions. Leave it out."
        )
    if isinstance(model, NeuroLM):
        return model
    if is_name and name in BUNDLED:
        return NeuroLM.from_pretrained(BUNDLED[name])
    if released:
        return NeuroLM.from_pretrained(_released_directory(name.lower(), revision))
    path = Path(os.path.expanduser(name))  # unlike Path's, no error where ~ is nobody's
    if path.is_dir():
        return NeuroLM.from_pretrained(path)
    if path.suffix == ".pt":
        return _load_pt(path)
    if on_hub:
        return _load_from_hub(name, revision)
    known = ", ".join(map(repr, (*BUNDLED, *sorted(RELEASED_MODELS))))
    raise ValueError(
        f"Unknown model {name!r}: choose {known}, a "
        "directory with a config.json, a released .pt file, or a hub id such as 'user/model'."
    )


def _is_hub_id(name: str) -> bool:
    """Whether a name can only mean a repository such as ``user/model``."""
    if Path(name).suffix == ".pt" or Path(name).exists() or name.startswith("."):
        return False
    return re.fullmatch(r"[\w.-]+/[\w.-]+", name) is not None


def _load_from_hub(name: str, revision: str | None) -> NeuroLM:
    try:
        return NeuroLM.from_pretrained(name, revision=revision)
    except OSError as error:
        raise OSError(
            f"There is no folder {name!r} here, and no NeuroLM could be fetched from a repository "
            f"{name!r} on the Hugging Face hub (revision {revision or 'main'}): it does not exist, "
            "is private, or can't be reached. Check the name, or pass a folder. "
            f"({type(error).__name__}: {error})"
        ) from error


def load_language_model(
    model: str | Path | NeuroLM | NeuroLMConfig, *, revision: str | None = None
) -> NeuroLM:
    """Load a model that answers: one with a language model and its text tokenizer.

    Parameters
    ----------
    model : str | pathlib.Path | NeuroLM | NeuroLMConfig
        As for :func:`load_model`, or a configuration, which gives fresh weights.
    revision : str | None
        Revision of a hub repository.

    Returns
    -------
    model : NeuroLM
        The model. One without a text tokenizer gets that of ``"tiny"``, if its vocabulary fits.

    Raises
    ------
    ValueError
        If there is no language model, or no text tokenizer for it.
    """
    if isinstance(model, NeuroLMConfig):
        loaded = NeuroLM(model).eval()
    else:
        loaded = load_model(model, revision=revision)
    loaded._require_language_model()
    if loaded.text_tokenizer is None:
        tokenizer = load_text_tokenizer(TINY)
        if loaded.config.sep_token_id != tokenizer.convert_tokens_to_ids(SEP):
            raise ValueError(
                "The model has no text tokenizer, and its vocabulary is not that of 'tiny' "
                "(sep_token_id 1023). Build a NeuroLM, set its text_tokenizer with "
                "mne_neurolm.models.text.load_text_tokenizer, and pass the model."
            )
        loaded.text_tokenizer = tokenizer
    return loaded


def is_reloadable(model: object) -> bool:
    """Whether a model can be had again from its name alone, on any machine."""
    return isinstance(model, str) and (model in BUNDLED or model.lower() in RELEASED_MODELS)


def _load_pt(path: Path) -> NeuroLM:
    """Load a released file: the tokenizer alone, or the language model with what lies beside it."""
    if path.name == "VQ.pt":
        return load_converted(None, path)
    tokenizer = path.with_name("VQ.pt")
    texts = [d for d in (path.parent, path.parent / "gpt2") if _has_text_tokenizer(d)]
    if not path.exists() or not tokenizer.exists() or not texts:
        raise ValueError(
            f"To load {path.name} directly, {path.parent} must hold it, VQ.pt, and GPT-2's "
            f"{' and '.join(TEXT_FILES)} (there or in a folder gpt2). Or convert once and load the "
            f"directory: python -m mne_neurolm.convert {path} --tokenizer VQ.pt "
            "--text-tokenizer DIR --output DIR"
        )
    return load_converted(path, tokenizer, text_tokenizer=texts[0])


def _has_text_tokenizer(directory: Path) -> bool:
    return all((directory / name).exists() for name in TEXT_FILES)


def cache_directory() -> Path:
    """Return the folder of converted models, ``~/.cache/mne-neurolm`` or ``$MNE_NEUROLM_CACHE``."""
    return Path(os.environ.get("MNE_NEUROLM_CACHE", Path.home() / ".cache" / "mne-neurolm"))


def _released_directory(name: str, revision: str | None) -> Path:
    """Return the converted directory of a released model, made on first use."""
    from huggingface_hub import HfApi, hf_hub_download

    directory = cache_directory() / (name if revision is None else f"{name}-{revision}")
    if (directory / "config.json").exists():
        return directory
    try:
        available = HfApi().list_repo_files(RELEASED_REPOSITORY, revision=revision)
        checkpoint, tokenizer = (
            hf_hub_download(RELEASED_REPOSITORY, _find(pattern, available), revision=revision)
            for pattern in (RELEASED_MODELS[name], RELEASED_TOKENIZER)
        )
        text = [hf_hub_download(TEXT_REPOSITORY, file) for file in TEXT_FILES]
    except Exception as error:  # hub, network and proxy errors share no base class
        raise OSError(
            f"The released weights of {name!r} could not be fetched from {RELEASED_REPOSITORY} "
            f"({type(error).__name__}: {error}). By hand: download the model's .pt file, VQ.pt, "
            f"and GPT-2's {' and '.join(TEXT_FILES)}; run python -m mne_neurolm.convert MODEL.pt "
            "--tokenizer VQ.pt --text-tokenizer DIR --output OUT; then use model='OUT'."
        ) from error
    logger.info(f"Converting {name} once, to {directory}.")
    # Written beside and renamed, so that an interrupted conversion leaves nothing half-done.
    partial = directory.with_name(f"{directory.name}.partial-{os.getpid()}")
    convert_checkpoint(checkpoint, tokenizer, partial, text_tokenizer=Path(text[0]).parent)
    try:
        partial.replace(directory)
    except OSError:
        if not (directory / "config.json").exists():
            raise
        shutil.rmtree(partial)  # another process was faster; both wrote the same
    return directory


def _find(pattern: str, available: list[str]) -> str:
    matches = [name for name in available if re.fullmatch(pattern, name, flags=re.IGNORECASE)]
    if len(matches) != 1:
        raise FileNotFoundError(
            f"expected one file like {pattern!r}, found {matches} among {available}"
        )
    return matches[0]
