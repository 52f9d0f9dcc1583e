"""The deep baselines as a table: what each reads, how it is built and trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from . import braindecode
from .cnn_transformer import CNNTransformer
from .ffcl import FFCL
from .st_transformer import STTransformer

# Of Adam (BIOT code, run_binary_supervised.py; the tables of LaBraM and NeuroLM quote its results).
_BIOT_LR = 1e-3
_BIOT_WEIGHT_DECAY = 1e-5
# BIOT's 512 and its 100 epochs are for hundreds of thousands of windows. With a thousand, 64 makes
# enough steps.
_BATCH = 64

#: Windows for which the epochs of the table are meant, about as many as the training subjects of
#: Workload have.
REFERENCE_WINDOWS = 1450


@dataclass(frozen=True, kw_only=True)
class DeepModel:
    """A network to compare with, and how it is trained by default.

    Attributes
    ----------
    title : str
        Name as the paper's tables write it.
    reference : str
        Where it was published.
    build : callable
        ``build(n_chans, n_times, n_outputs, sfreq)`` returns a :class:`torch.nn.Module` with random
        weights that maps windows (B, n_chans, n_times) to logits (B, n_outputs).
    library : str | None
        Package that has the network; ``None`` if it is one of ours.
    resamples : bool
        Whether windows are resampled to 200 Hz. Without it the network fits its kernels to the
        sampling rate of the data.
    scaling : str
        How volts are scaled, a key of ``SCALINGS`` in ``mne_neurolm.evaluation.deep.inputs``.
    shortest : float
        Shortest window in seconds.
    lr : float
        Peak learning rate of AdamW.
    weight_decay : float
        Weight decay of AdamW.
    batch_size : int
        Windows per step.
    max_epochs : int
        Passes over 1,450 windows; see :meth:`epochs_for`.
    source : str
        Where scaling and training parameters come from.

    See Also
    --------
    mne_neurolm.evaluation.deep.DeepClassifier : Trains one.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from torch import nn
    >>> from mne_neurolm.datasets import simulate_epochs
    >>> from mne_neurolm.evaluation.deep import DEEP, DeepClassifier
    >>> def build(n_chans, n_times, n_outputs, sfreq):
    ...     return nn.Sequential(nn.Flatten(), nn.Linear(n_chans * n_times, n_outputs))
    >>> linear = replace(DEEP["eegnet"], title="Linear", build=build, library=None)
    >>> linear.max_epochs, linear.epochs_for(40)  # as many windows in all
    (20, 725)
    >>> epochs = simulate_epochs(n_subjects=2, random_state=0)
    >>> net = DeepClassifier(linear, max_epochs=2, random_state=0)
    >>> net.fit(epochs, epochs.metadata["state"]).predict_proba(epochs).shape
    (40, 2)
    """

    title: str
    reference: str
    build: Callable[[int, int, int, float], nn.Module]
    library: str | None
    resamples: bool
    scaling: str
    shortest: float
    lr: float
    weight_decay: float
    batch_size: int
    max_epochs: int
    source: str

    def epochs_for(self, n_windows: int) -> int:
        """Return the default number of passes over some windows.

        Parameters
        ----------
        n_windows : int
            Windows to train on.

        Returns
        -------
        max_epochs : int
            ``max_epochs``; with fewer than 1,450 windows as many as see as many windows in all:
            forty trials, which are a single step, would else be seen only a few times.
        """
        return max(self.max_epochs, -(-self.max_epochs * REFERENCE_WINDOWS // n_windows))


_BIOT_CODE = (
    "scaling, learning rate and weight decay: BIOT code (utils.py, run_binary_supervised.py); "
    "batch size and epochs: for about 1,500 windows on one CPU core"
)

#: The deep baselines by name: the seven of the NeuroLM paper's tables, EEGNet and ShallowFBCSPNet.
#: Epochs are chosen so that a fit on 1,450 windows of 19 channels and 4 s takes about three minutes
#: on one CPU core; BIOT takes five and LaBraM seven, fewer passes would leave too few steps. With a
#: GPU or more patience, ask for more.
DEEP: dict[str, DeepModel] = {
    "sparcnet": DeepModel(
        title="SPaRCNet",
        reference="Jing et al. (2023). Neurology, 100(17), e1750-e1762",
        build=braindecode.sparcnet,
        library="braindecode",
        resamples=True,
        scaling="percentile",
        shortest=0.5,
        lr=_BIOT_LR,
        weight_decay=_BIOT_WEIGHT_DECAY,
        batch_size=_BATCH,
        max_epochs=8,
        source=_BIOT_CODE,
    ),
    "contrawr": DeepModel(
        title="ContraWR",
        reference="Yang et al. (2023). JMIR AI, 2(1), e46769",
        build=braindecode.contrawr,
        library="braindecode",
        resamples=True,
        scaling="percentile",
        shortest=1.0,
        lr=_BIOT_LR,
        weight_decay=_BIOT_WEIGHT_DECAY,
        batch_size=_BATCH,
        max_epochs=6,
        source=_BIOT_CODE,
    ),
    "cnn-transformer": DeepModel(
        title="CNN-Transformer",
        reference="Peh, Yao & Dauwels (2022). EMBC, 3599-3602",
        build=CNNTransformer,
        library=None,
        resamples=True,
        scaling="percentile",
        shortest=1.0,
        lr=_BIOT_LR,
        weight_decay=_BIOT_WEIGHT_DECAY,
        batch_size=_BATCH,
        max_epochs=6,
        source=_BIOT_CODE,
    ),
    "ffcl": DeepModel(
        title="FFCL",
        reference="Li et al. (2022). Biomedical Signal Processing and Control, 72, 103342",
        build=FFCL,
        library=None,
        resamples=True,
        scaling="percentile",
        shortest=1.0,
        lr=_BIOT_LR,
        weight_decay=_BIOT_WEIGHT_DECAY,
        batch_size=_BATCH,
        max_epochs=6,
        source=_BIOT_CODE,
    ),
    "st-transformer": DeepModel(
        title="ST-Transformer",
        reference="Song et al. (2021). arXiv:2106.11170",
        build=STTransformer,
        library=None,
        resamples=True,
        scaling="percentile",
        shortest=0.635,  # 127 samples
        lr=_BIOT_LR,
        weight_decay=_BIOT_WEIGHT_DECAY,
        batch_size=_BATCH,
        max_epochs=15,
        source=_BIOT_CODE,
    ),
    "biot": DeepModel(
        title="BIOT",
        reference="Yang, Westover & Sun (2023). NeurIPS 36",
        build=braindecode.biot,
        library="braindecode",
        resamples=True,
        scaling="percentile",
        shortest=1.0,
        lr=_BIOT_LR,
        weight_decay=_BIOT_WEIGHT_DECAY,
        batch_size=_BATCH,
        max_epochs=4,
        source=_BIOT_CODE,
    ),
    "labram": DeepModel(
        title="LaBraM-Base",
        reference="Jiang, Zhao & Lu (2024). ICLR",
        build=braindecode.labram,
        library="braindecode",
        resamples=True,
        scaling="100 uV",
        shortest=1.0,
        lr=5e-4,
        weight_decay=0.05,
        batch_size=_BATCH,
        max_epochs=4,
        source="LaBraM README, fine-tuning; but random weights, and fewer than its 50 epochs",
    ),
    "eegnet": DeepModel(
        title="EEGNet",
        reference="Lawhern et al. (2018). Journal of Neural Engineering, 15(5), 056013",
        build=braindecode.eegnet,
        library="braindecode",
        resamples=False,
        scaling="standard",
        shortest=0.5,
        lr=1e-3,
        weight_decay=0.0,
        batch_size=_BATCH,
        max_epochs=20,
        source=(
            "learning rate: the paper (Adam's default); scaling: Schirrmeister et al. (2017); "
            "batch size and epochs: for about 1,500 windows on one CPU core"
        ),
    ),
    "shallow": DeepModel(
        title="ShallowFBCSPNet",
        reference="Schirrmeister et al. (2017). Human Brain Mapping, 38(11), 5391-5420",
        build=braindecode.shallow,
        library="braindecode",
        resamples=False,
        scaling="standard",
        shortest=0.5,
        lr=6.25e-4,
        weight_decay=0.0,
        batch_size=_BATCH,
        max_epochs=15,
        source=(
            "learning rate, weight decay, batch size: Braindecode's examples (0.0625 * 0.01, 0, "
            "64); scaling: the paper; epochs: for about 1,500 windows on one CPU core"
        ),
    ),
}
