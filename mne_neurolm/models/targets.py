"""What the neural tokenizer must rebuild from its codes: spectra and waveforms.

Shapes are written with B = samples in the batch, N = patches of a sample.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..patches import PATCH_SIZE

N_FREQUENCIES = PATCH_SIZE // 2  # bins of the patch's DFT that the frequency decoder predicts
# Values of ``frequency_target`` -> outputs of the frequency decoder, and bins of each. LaBraM's
# released code predicts all 200 bins, of which 99 mirror others; NeuroLM's the first 100.
FREQUENCY_TARGETS: dict[str, dict[str, int]] = {
    "magnitude": {"frequency": N_FREQUENCIES},
    "log_magnitude": {"frequency": N_FREQUENCIES},
    "amplitude_phase": {"frequency": PATCH_SIZE, "phase": PATCH_SIZE},
}
# Values of ``reconstruction`` (paper, Figure 10) -> whether there is a frequency decoder, and
# whether there is one of the waveform.
RECONSTRUCTIONS = {
    "both": (True, True),
    "temporal": (False, True),
    "frequency": (True, False),
}


def target_sizes(reconstruction: str, frequency_target: str) -> dict[str, int]:
    """Return what a tokenizer predicts for each patch.

    Parameters
    ----------
    reconstruction : "both" | "temporal" | "frequency"
        Which decoders there are.
    frequency_target : "magnitude" | "log_magnitude" | "amplitude_phase"
        What the frequency decoder predicts.

    Returns
    -------
    sizes : dict of int
        Name of each target, of ``"frequency"``, ``"phase"`` and ``"raw"``, to its number of values.
    """
    of_spectrum, of_waveform = RECONSTRUCTIONS[reconstruction]
    sizes = dict(FREQUENCY_TARGETS[frequency_target]) if of_spectrum else {}
    return {**sizes, "raw": PATCH_SIZE} if of_waveform else sizes


def reconstruction_targets(patches: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return what the two decoders must predict (paper, section 2.2; released code).

    Parameters
    ----------
    patches : Tensor, shape (B, N, 200)
        Patches; the scale does not matter.
    mask : Tensor of bool, shape (B, N) | None
        True for patches that exist.

    Returns
    -------
    frequency : Tensor, shape (B, N, 100)
        DFT magnitudes, z-scored over all patches and all 200 bins of the sample, first 100 bins
        (released code).
    raw : Tensor, shape (B, N, 200)
        The waveform, z-scored over all patches and time points of the sample.
    """
    magnitudes = torch.fft.fft(patches.float(), dim=-1).abs()
    return _zscore(magnitudes, mask)[..., :N_FREQUENCIES], _zscore(patches.float(), mask)


def amplitudes_and_phases(patches: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return what LaBraM's decoder must predict (Jiang et al., ICLR 2024, section 2.2).

    Parameters
    ----------
    patches : Tensor, shape (B, N, 200)
        Patches; the scale does not matter.
    mask : Tensor of bool, shape (B, N) | None
        True for patches that exist.

    Returns
    -------
    amplitude, phase : Tensor, shape (B, N, 200)
        Magnitudes and angles (radians) of the DFT, each z-scored over all patches and bins of the
        sample, as in LaBraM's released code (``modeling_vqnsp.py``).
    """
    spectrum = torch.fft.fft(patches.float(), dim=-1)
    return _zscore(spectrum.abs(), mask), _zscore(spectrum.angle(), mask)


def log_magnitudes(patches: Tensor) -> Tensor:
    """Return natural logarithms (B, N, 100) of the DFT magnitudes of patches (B, N, 200)."""
    spectrum = torch.fft.rfft(patches.float(), dim=-1)[..., :N_FREQUENCIES]
    # A hundredth of a microvolt per sample: far below any amplifier's noise.
    return spectrum.abs().clamp_min(1e-4 * PATCH_SIZE**0.5).log()


def _zscore(x: Tensor, mask: Tensor | None) -> Tensor:
    """Z-score each sample over its valid rows (unbiased), zeros elsewhere."""
    if mask is None:
        mean = x.mean(dim=(1, 2), keepdim=True)
        std = x.std(dim=(1, 2), keepdim=True)
        return (x - mean) / std.clamp_min(torch.finfo(x.dtype).tiny)
    weight = mask[..., None].to(x.dtype)
    count = weight.sum(dim=(1, 2), keepdim=True) * x.shape[2]
    mean = (x * weight).sum(dim=(1, 2), keepdim=True) / count
    var = ((x - mean).square() * weight).sum(dim=(1, 2), keepdim=True) / (count - 1)
    return (x - mean) * weight / var.sqrt().clamp_min(torch.finfo(x.dtype).tiny)
