"""The networks that Braindecode has, built for a window and with random weights.

Nothing is downloaded. Braindecode is imported when a network is built, not before.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from types import ModuleType

from torch import Tensor, nn

from ...utils.optional import import_braindecode

_PATCH = 200  # samples of a LaBraM patch at 200 Hz (LaBraM paper)
_LABRAM_DROP_PATH = 0.1  # LaBraM README, fine-tuning

# Kernels of EEGNet and ShallowFBCSPNet by their length in seconds; with the rates of the papers,
# 128 Hz and 250 Hz, they have the papers' numbers of samples.
_EEGNET_KERNEL = 0.5  # half the sampling rate (Lawhern et al., 2018, section 2.2.1)
_EEGNET_POOLED_RATE = 32.0  # Hz after the first pooling (same section)
_SHALLOW_KERNEL = 0.1  # 25 samples at 250 Hz (Schirrmeister et al., 2017)
_SHALLOW_POOL = 0.3  # 75 samples
_SHALLOW_STRIDE = 0.06  # 15 samples
# Torch's default. The 0.01 of the original, which is Keras' default, leaves the running statistics
# of EEGNet far from the data unless there are thousands of steps.
_EEGNET_MOMENTUM = 0.1


def sparcnet(n_chans: int, n_times: int, n_outputs: int, sfreq: float) -> nn.Module:
    """Build SPaRCNet with the sizes of BIOT's code, which are Braindecode's defaults.

    Parameters
    ----------
    n_chans : int
        Number of channels.
    n_times : int
        Samples of a window. The number of blocks follows from it.
    n_outputs : int
        Number of classes.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    network : torch.nn.Module
        Maps (B, n_chans, n_times) to logits (B, n_outputs).
    """
    return _models().SPARCNet(**_signal(n_chans, n_times, n_outputs, sfreq))


def contrawr(n_chans: int, n_times: int, n_outputs: int, sfreq: float) -> nn.Module:
    """Build the encoder of ContraWR and a linear head with the sizes of BIOT's code.

    Parameters and the result are those of :func:`sparcnet`; windows last 1 s at least.
    """
    return _models().ContraWR(**_signal(n_chans, n_times, n_outputs, sfreq))


def biot(n_chans: int, n_times: int, n_outputs: int, sfreq: float) -> nn.Module:
    """Build BIOT with the sizes of its code.

    Parameters and the result are those of :func:`sparcnet`; windows last 1 s at least.
    """
    return _Quiet(_models().BIOT(**_signal(n_chans, n_times, n_outputs, sfreq)))


def labram(n_chans: int, n_times: int, n_outputs: int, sfreq: float) -> nn.Module:
    """Build LaBraM-Base.

    Parameters and the result are those of :func:`sparcnet`; windows last 1 s at least, and what
    exceeds whole seconds is left out.

    Raises
    ------
    ValueError
        If there are more than the 128 channels for which it has embeddings.
    """
    models = _models()
    names = import_module("braindecode.models.labram").LABRAM_CHANNEL_ORDER
    if n_chans > len(names):
        raise ValueError(
            f"LaBraM has embeddings for {len(names)} channels; got {n_chans}. Pick fewer."
        )
    whole = n_times // _PATCH * _PATCH
    network = models.Labram(
        **_signal(n_chans, whole, n_outputs, sfreq),
        use_mean_pooling=True,  # LaBraM code, run_class_finetuning.py
        drop_path_prob=_LABRAM_DROP_PATH,
    )
    # With random weights the rows of the channel embedding are alike: any row for any channel.
    return _NamedChannels(network, list(names[:n_chans]), whole)


def eegnet(n_chans: int, n_times: int, n_outputs: int, sfreq: float) -> nn.Module:
    """Build EEGNet-8,2.

    Parameters and the result are those of :func:`sparcnet`; windows last 0.5 s at least. The first
    kernel lasts half a second and the first pooling leaves about 32 Hz at any sampling rate.
    """
    return _models().EEGNet(
        **_signal(n_chans, n_times, n_outputs, sfreq),
        kernel_length=max(2, round(_EEGNET_KERNEL * sfreq)),
        pool1_kernel_size=max(1, round(sfreq / _EEGNET_POOLED_RATE)),
        batch_norm_momentum=_EEGNET_MOMENTUM,
        final_layer_with_constraint=True,
    )


def shallow(n_chans: int, n_times: int, n_outputs: int, sfreq: float) -> nn.Module:
    """Build the shallow convolutional network of filter-bank common spatial patterns.

    Parameters and the result are those of :func:`sparcnet`; windows last 0.5 s at least. Filters
    last 0.1 s, pooling 0.3 s every 0.06 s, at any sampling rate.
    """
    return _models().ShallowFBCSPNet(
        **_signal(n_chans, n_times, n_outputs, sfreq),
        filter_time_length=max(1, round(_SHALLOW_KERNEL * sfreq)),
        pool_time_length=max(1, round(_SHALLOW_POOL * sfreq)),
        pool_time_stride=max(1, round(_SHALLOW_STRIDE * sfreq)),
    )


class _NamedChannels(nn.Module):
    """LaBraM, which wants channel names with every batch, for windows of one montage."""

    def __init__(self, network: nn.Module, ch_names: list[str], n_times: int) -> None:
        super().__init__()
        self.network = network
        self.ch_names = ch_names
        self.n_times = n_times

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, n_chans, n_times) to logits (B, n_outputs)."""
        return self.network(x[..., : self.n_times].contiguous(), ch_names=self.ch_names)


class _Quiet(nn.Module):
    """BIOT without the warning that its rectangular Fourier window leaks: that is its design."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, n_chans, n_times) to logits (B, n_outputs)."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A window was not provided", UserWarning)
            return self.network(x)


def _models() -> ModuleType:
    import_braindecode()
    return import_module("braindecode.models")


def _signal(n_chans: int, n_times: int, n_outputs: int, sfreq: float) -> dict[str, float]:
    """Return the description of the input that all of Braindecode's networks take."""
    return {"n_chans": n_chans, "n_times": n_times, "n_outputs": n_outputs, "sfreq": sfreq}
