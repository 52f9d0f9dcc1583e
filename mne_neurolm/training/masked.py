"""LaBraM's second stage: predict the codes of hidden patches (Jiang et al., ICLR 2024).

The neural tokenizer is frozen and names the code of every patch. A second encoder of the same shape
reads the EEG with half of the patches hidden, and again with the other half hidden, and a linear
layer predicts the hidden ones' codes. What is learned is that encoder: the model's hidden states
come from it afterwards (``separate_encoder``), and mask token and linear layer are thrown away.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.config import NeuroLMConfig
from ..models.neurolm import NeuroLM
from ..patches import Patches
from .config import MASKED_DEFAULTS, TrainingConfig
from .data import EEGBatch, PatchesSource, Source
from .memory import fit, per_gpu, set_windows
from .plan import Plan
from .stages import Stage, given

_MASKS, _HEAD, _ENCODER = 6, 7, 8  # streams of random numbers


class CodePredictor(nn.Module):
    """What masked-code modelling needs beside the encoder: a mask token and a linear layer.

    Parameters
    ----------
    config : NeuroLMConfig
        Width of the encoder and size of the codebook.
    seed : int
        What the initial weights depend on.

    Attributes
    ----------
    mask_token : Tensor, shape (n_embd,)
        Learned embedding of a hidden patch.
    head : torch.nn.Linear
        Logits over the codes.
    """

    def __init__(self, config: NeuroLMConfig, seed: int = 0) -> None:
        super().__init__()
        self.mask_token = nn.Parameter(torch.empty(config.n_embd))
        with torch.random.fork_rng(devices=[]):
            # All processes start from the same weights.
            torch.manual_seed(_draw_seed(seed, _HEAD))
            self.head = nn.Linear(config.n_embd, config.codebook_size)
            # As LaBraM's released code starts both (modeling_pretrain.py).
            nn.init.trunc_normal_(self.mask_token, std=0.02)
            nn.init.trunc_normal_(self.head.weight, std=0.02)
            nn.init.zeros_(self.head.bias)


class MaskedStage(Stage):
    """LaBraM's masked-code modelling as a stage.

    Parameters
    ----------
    model : NeuroLM
        A model with a trained neural tokenizer. It gets an encoder of its own (see
        :func:`add_encoder`) if it has none yet, and that is trained.
    mask_ratio : float
        Share of the patches to hide. The other view hides the rest. Default 0.5 (LaBraM's released
        code, ``engine_for_pretraining.py``).
    seed : int
        What initial weights and masks depend on. Default 0.
    precision : str
        See :class:`~mne_neurolm.training.stages.Stage`.

    Raises
    ------
    ValueError
        If the share is not between 0 and 1; when training starts, if there are no codes yet.
    """

    name = "masked"
    description = "masked codes"
    predictor: CodePredictor

    def __init__(
        self,
        model: NeuroLM,
        *,
        mask_ratio: float = 0.5,
        seed: int = 0,
        precision: str = "float32",
    ) -> None:
        if not 0 < mask_ratio < 1:
            raise ValueError(
                f"mask_ratio is a share of the patches, above 0 and below 1; got {mask_ratio}."
            )
        add_encoder(model, seed)
        predictor = CodePredictor(model.config, seed).to(model.device)
        super().__init__(model, precision, predictor=predictor)
        self.mask_ratio = mask_ratio
        self.seed = seed

    def start(self, source: Source, seed: int) -> None:
        """Check that there are codes; a run that resumes has its weights only later."""
        _require_codes(self.model)

    def trained(self) -> list[nn.Module]:
        """Return the encoder that the language model reads, and what predicts codes from it."""
        return [self.model.encoder, self.predictor]

    def losses(
        self, batch: EEGBatch, text: Tensor | None, text_share: float, step: int, n_steps: int
    ) -> dict[str, Tensor]:
        """Return the cross-entropies of both views, and the share of codes predicted right."""
        patches = given(batch.patches)
        hidden = draw_masks(patches, self.mask_ratio, seed=self.seed, step=step)
        terms = masked_objective(
            self.model,
            self.predictor,
            patches,
            batch.channels,
            batch.times,
            hidden,
        )
        return {
            name: value * (batch.window_share if name.endswith("accuracy") else batch.share)
            for name, value in terms.items()
        }


def masked_objective(
    model: NeuroLM,
    predictor: CodePredictor,
    patches: Tensor,
    channels: Tensor,
    times: Tensor,
    hidden: Tensor,
) -> dict[str, Tensor]:
    """Predict the codes of hidden patches, and of the others when those are hidden.

    Parameters
    ----------
    model : NeuroLM
        Model with a ``separate_encoder``; its neural tokenizer, which is not trained, says which
        codes are right.
    predictor : CodePredictor
        Mask token and linear layer.
    patches : Tensor, shape (B, N, 200)
        Patches in units of 100 µV.
    channels, times : Tensor of int64, shape (N,) or (B, N)
        Vocabulary row and second of each patch.
    hidden : Tensor of bool, shape (B, N)
        True for patches that the first view hides; the second hides the others (LaBraM, section
        2.3, "symmetric masking").

    Returns
    -------
    losses : dict of Tensor
        ``loss``, the sum of the two cross-entropies as in LaBraM's released code; ``masked``, their
        mean, in nats; and ``masked_accuracy``.
    """
    with torch.no_grad():
        codes = model.vq.codes(model.vq.encode(patches, channels, times))
    losses, hits = [], []
    for mask in (hidden, ~hidden):
        states = model.encoder(patches, channels, times, hide=(mask, predictor.mask_token))
        logits = predictor.head(states[mask]).float()
        targets = codes[mask]
        # A view that hides nothing, as of a single patch, has nothing to predict.
        losses.append(F.cross_entropy(logits, targets, reduction="sum") / max(1, len(targets)))
        hits.append((logits.detach().argmax(dim=-1) == targets).sum())
    loss = torch.stack(losses).sum()
    return {
        "loss": loss,
        "masked": loss.detach() / 2,
        "masked_accuracy": torch.stack(hits).sum() / codes.numel(),
    }


def draw_masks(patches: Tensor, ratio: float, *, seed: int, step: int) -> Tensor:
    """Draw which patches to hide, the same number in every window.

    Parameters
    ----------
    patches : Tensor of float32, shape (B, N, 200)
        Patches.
    ratio : float
        Share to hide; of N patches ``N - floor(N * (1 - ratio))`` are (LaBraM's released code).
    seed, step : int
        What the choice depends on, beside the samples of each window.

    Returns
    -------
    hidden : Tensor of bool, shape (B, N)
        True for patches to hide. A window gets the same mask however the windows of a step are
        divided over processes and passes.
    """
    n = patches.shape[1]
    n_hidden = n - int(n * (1 - ratio))
    # A sum of the samples' bits is exact in any order, so it is the same on all devices.
    marks = patches.detach().float().contiguous().view(torch.int32).sum(dim=(1, 2)).tolist()
    hidden = np.zeros((len(marks), n), dtype=bool)
    for row, mark in zip(hidden, marks, strict=True):
        rng = np.random.default_rng([seed, _MASKS, step, mark % 2**64])
        row[rng.permutation(n)[:n_hidden]] = True
    return torch.from_numpy(hidden).to(patches.device)


def add_encoder(model: NeuroLM, seed: int) -> None:
    """Give a model an encoder of its own for the language model to read through, in place.

    Parameters
    ----------
    model : NeuroLM
        A model. If it has a ``separate_encoder`` already, nothing changes.
    seed : int
        What the new encoder's weights depend on; LaBraM starts from random ones too.
    """
    if model.config.separate_encoder:
        return
    fields = model.config.to_dict()
    for name in ("model_type", "transformers_version", "architectures", "dtype"):
        fields.pop(name, None)
    fields.pop("tie_word_embeddings", None)
    fields |= {"separate_encoder": True, "text_config": None}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_draw_seed(seed, _ENCODER))
        fresh = NeuroLM(NeuroLMConfig(**fields))  # only it knows how encoders start
    # Buffers are what was measured on the training data, by the tokenizer's stage.
    measured = dict(model.vq.encoder.named_buffers())
    for name, buffer in fresh.encoder.named_buffers():
        buffer.copy_(measured[name])
    model.encoder = fresh.encoder.to(model.device)
    model.config = copy.deepcopy(model.config)  # other models may share it
    model.config.separate_encoder = True


def train_masked(
    model: NeuroLM,
    data: Sequence[Patches],
    *,
    config: TrainingConfig | None = None,
) -> list[dict[str, float]]:
    """LaBraM's second stage: learn an encoder by predicting hidden patches' codes, in place.

    Masked-code modelling with symmetric masking (Jiang, Zhao and Lu, ICLR 2024, section 2.3).

    Parameters
    ----------
    model : NeuroLM
        Model with a trained neural tokenizer, which stays as it is. Afterwards the model has a
        ``separate_encoder``, and hidden states come from it.
    data : sequence of Patches
        Sets of samples; each has one montage and one length.
    config : TrainingConfig | None
        None (default): the recipe of LaBraM's released code with the batches of one GPU.

    Returns
    -------
    history : list of dict
        Means per epoch: ``masked``, the cross-entropy of the hidden patches' codes in nats;
        ``loss``, the sum over the two views, which is twice that; and ``masked_accuracy``.

    Raises
    ------
    ValueError
        If there are no samples, or the codebook was never trained.
    FloatingPointError
        If a loss is not finite.

    Examples
    --------
    >>> from mne_neurolm import NeuroLM, NeuroLMConfig
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.patches import make_patches
    >>> from mne_neurolm.training import TrainingConfig, train_masked, train_tokenizer
    >>> epochs = simulate_epochs(n_subjects=1, n_epochs_per_subject=8, random_state=0)
    >>> data = [make_patches(epochs.pick(["Fz", "Cz", "Pz"]))]
    >>> model = NeuroLM(NeuroLMConfig.preset("tiny", n_layer=1, text_config=None))
    >>> config = TrainingConfig(max_epochs=1, batch_size=8, progress=False)
    >>> _ = train_tokenizer(model, data, config=config)  # there must be codes to predict
    >>> history = train_masked(model, data, config=config)
    >>> sorted(history[0]), model.config.separate_encoder
    (['loss', 'masked', 'masked_accuracy'], True)
    """
    config = config or per_gpu(MASKED_DEFAULTS)
    _require_codes(model)  # before anything is changed
    stage = MaskedStage(model, mask_ratio=config.mask_ratio, seed=config.seed)
    shapes = [(p.channels[: p.n_channels].tolist(), p.n_seconds, -1) for p in data]
    windows = set_windows(shapes, [len(p) for p in data])
    source = PatchesSource(data, windows, Plan(windows.bucket, config.batch_size, config.seed))
    return fit(stage, source, config, None)


def _require_codes(model: NeuroLM) -> None:
    if not bool(model.vq.codebook.initialized):
        raise ValueError(
            "This model's codebook was never trained, so there are no codes to predict. Train the "
            "neural tokenizer first (the stage 'tokenizer', or train_tokenizer)."
        )


def _draw_seed(seed: int, stream: int) -> int:
    """Return a seed for torch that belongs to one use of random numbers."""
    state = np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)
    return int(state[0] >> 1)
