"""What the whole scalp does in a second, for any montage: an embedding beside that of each patch.

A patch of one electrode knows nothing of the others, and attention over patches learns how
electrodes vary together only from far more EEG than a small model sees. Linear models on logarithms
of covariance matrices ("tangent space", Barachant et al. 2012; log-Euclidean metric, Arsigny et al.
2007) are the strongest classical decoders of rhythms, and linear models on averaged amplitudes
those of evoked responses. This embedding hands both to every patch of the second. It is ours, not
the paper's, and off by default.

Shapes are written with B = samples in the batch, N = patches of a sample, S = seconds,
K = spatial components, D = width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import mne
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import sph_harm_y
from torch import Tensor, nn

from ..channels import CHANNELS
from ..patches import PATCH_SIZE

# Edges in Hz, the upper one left out; bins of a patch's DFT are 1 Hz apart. Clinical bands, alpha
# and beta each in two halves, as the band-power baseline has them.
BANDS = ((1, 4), (4, 8), (8, 10), (10, 13), (13, 20), (20, 30), (30, 45))
_MAX_DEGREE = 5
#: Spherical harmonics of degree 0 to 5, which averaged amplitudes are written in. For responses to
#: pictures (SMNI) degree 3 lost 0.03 of balanced accuracy, degree 4 and 6 were no better.
N_HARMONICS = (_MAX_DEGREE + 1) ** 2
#: Those of degree 0 to 3, for covariances. On Workload 16 did as well as 25, better than 9.
N_COARSE = 16
_TRIANGLE = N_COARSE * (N_COARSE + 1) // 2
_N_STEPS = 20  # averages of 50 ms, as in the baseline of evoked responses
#: Numbers that describe a second: covariances, and averaged amplitudes.
N_FEATURES = (len(BANDS) * _TRIANGLE, N_HARMONICS * _N_STEPS)
# Weight of roughness in spherical splines (Perrin et al. 1989, where it is 1e-5 too).
_ROUGHNESS = 1e-5
# Added to matrices whose mean eigenvalue is 1: a second of EEG is too short for full rank.
_SHRINKAGE = 0.02
# Standard deviation of the components of covariances and of amplitudes. With 1 for both, evoked
# responses drown in what they do not depend on: logistic regression on all components had a
# balanced accuracy of 0.60 on responses to pictures (SMNI) with 1, 0.63 with 2 and with 3, and
# 0.80, 0.79 and 0.77 on Workload.
_SCALES = (1.0, 2.0)
_ENOUGH = 20  # seconds of a montage from which on it counts as much as any other
_RANK = 1e-4  # eigenvalues of a montage below this share of the largest are directions not seen
_TINY = 1e-12


class ScalpEmbedding(nn.Module):
    """Embed each second's covariances and topographies.

    All montages share one description, in spherical harmonics. Its first part is the upper triangle
    of the matrix logarithm of the cross-spectrum of each of seven bands from 1 to 45 Hz, between
    harmonics that are orthonormalised over the montage at hand, scaled to a mean eigenvalue of 1
    and shrunk. Its second part are coefficients of smoothing spherical splines (Perrin et al. 1989,
    Electroencephalography and Clinical Neurophysiology 72(2):184-187) through the EEG in averages
    of 50 ms, over the standard deviation of the sample. Of each part the leading principal
    components are scaled, to standard deviations over the training data of 1 (covariances) and 2
    (amplitudes), and embedded by one linear layer: :meth:`describe` returns the components, and
    calling the module embeds them. It is ours, not the paper's.

    Parameters
    ----------
    n_components : int
        Principal components of covariances, 1 to 952; of amplitudes there are half as many,
        rounded up.
    n_embd : int
        Width D of the embedding.
    n_channel_embeddings : int
        Rows of the channel vocabulary, 139 or more; those without a known position add nothing.

    Notes
    -----
    Before :meth:`fit` all components are 0. Linear models on logarithms of covariance matrices are
    those of Barachant et al. (2012, IEEE TBME 59(4):920-928), with the log-Euclidean metric of
    Arsigny et al. (2007, SIAM Journal on Matrix Analysis and Applications 29(1):328-347).

    Examples
    --------
    >>> import torch
    >>> from mne_neurolm.channels import channel_index
    >>> from mne_neurolm.models.scalp import ScalpEmbedding
    >>> channels = torch.tensor([channel_index(name) for name in ("Fz", "Cz", "Pz", "Oz")] * 2)
    >>> times = torch.tensor([0] * 4 + [1] * 4)  # two seconds
    >>> patches = torch.randn(16, 8, 200, generator=torch.Generator().manual_seed(0))
    >>> embedding = ScalpEmbedding(n_components=4, n_embd=32, n_channel_embeddings=256)
    >>> embedding.fit([(patches, channels, times)])
    >>> components = embedding.describe(patches, channels, times)
    >>> components.shape  # 4 of covariances, 2 of amplitudes
    torch.Size([16, 8, 6])
    >>> bool((components[:, 0] == components[:, 3]).all())  # two channels of the same second
    True
    >>> embedding(components).shape
    torch.Size([16, 8, 32])
    """

    harmonics: Tensor
    mean: Tensor
    components: Tensor

    def __init__(self, n_components: int, n_embd: int, n_channel_embeddings: int) -> None:
        super().__init__()
        table = np.zeros((n_channel_embeddings, N_HARMONICS), dtype=np.float32)
        table[: len(CHANNELS)] = channel_harmonics()
        self.n_components = (n_components, description_size(n_components) - n_components)
        self.register_buffer("harmonics", torch.from_numpy(table))
        # Of the training data, set when training of the tokenizer starts; see `fit`.
        self.register_buffer("mean", torch.zeros(sum(N_FEATURES)))
        self.register_buffer("components", torch.zeros(sum(N_FEATURES), n_components))
        self.linear = nn.Linear(sum(self.n_components), n_embd)

    def forward(self, components: Tensor) -> Tensor:
        """Embed what :meth:`describe` returned for patches.

        Parameters
        ----------
        components : Tensor, shape (B, N, K)
            Principal components.

        Returns
        -------
        embedding : Tensor, shape (B, N, D)
            In the type of the linear layer's weights.
        """
        # Components are float32 in a model of any dtype; autocast casts by itself.
        return self.linear(components.to(self.linear.weight.dtype))

    @torch.no_grad()
    def describe(
        self, patches: Tensor, channels: Tensor, times: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Return the principal components (B, N, K) of each patch's second.

        Parameters
        ----------
        patches : Tensor, shape (B, N, 200)
            Patches, in any unit: scale does not matter.
        channels, times : Tensor of int64, shape (N,) or (B, N)
            Vocabulary row and second of each patch.
        mask : Tensor of bool, shape (B, N) | None
            True for patches that exist and may be seen.

        Returns
        -------
        components : Tensor of float32, shape (B, N, K)
            Covariances first; K is ``description_size``.
        """
        first = N_FEATURES[0]
        # Eigenvalues of nearly singular matrices need every bit.
        with torch.autocast(patches.device.type, enabled=False):
            features, where = self.features(patches.float(), channels, times, mask)
            centred, matrix = features - self.mean.float(), self.components.float()
            few = self.n_components[1]
            parts = (centred[:, :first] @ matrix[:first], centred[:, first:] @ matrix[first:, :few])
            return torch.cat(parts, dim=1)[where].view(*patches.shape[:2], -1)

    @torch.no_grad()
    def features(
        self, patches: Tensor, channels: Tensor, times: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return descriptions of seconds before their components are taken.

        Parameters
        ----------
        patches, channels, times, mask
            As for :meth:`describe`; patches as float32.

        Returns
        -------
        features : Tensor, shape (B * S, 1672)
            952 numbers on covariances, 720 on amplitudes.
        where : Tensor of int64, shape (B * N,)
            The row of each patch.
        """
        n_batch, n_patches, _ = patches.shape
        # Decompositions refuse what is not finite, for the whole batch: such samples stay NaN.
        finite = torch.isfinite(patches).flatten(1).all(dim=1)
        patches = torch.where(finite[:, None, None], patches, torch.zeros_like(patches))
        # Electrodes at unknown places are no part of the scalp that is described.
        placed = (self.harmonics[channels] != 0).any(dim=-1).expand(n_batch, n_patches)
        exists = (placed if mask is None else placed & mask)[..., None].float()
        patches = (patches - patches.mean(dim=-1, keepdim=True)) * exists
        count = exists.sum(dim=(1, 2), keepdim=True).clamp_min(1)
        power = patches.square().sum(dim=(1, 2), keepdim=True) / (count * PATCH_SIZE)
        patches = patches / power.sqrt().clamp_min(_TINY)

        rows = self.harmonics[channels].float().expand(n_batch, n_patches, -1) * exists
        different, seconds = torch.unique(times, return_inverse=True)
        n_seconds = len(different)
        # Sums over the patches of each second, all samples at once.
        offsets = n_seconds * torch.arange(n_batch, device=patches.device)[:, None]
        where = (seconds.expand(n_batch, n_patches) + offsets).flatten()

        def per_second(values: Tensor) -> Tensor:
            total = values.new_zeros(n_batch * n_seconds, *values.shape[2:])
            return total.index_add(0, where, values.flatten(0, 1))

        gram = per_second(rows[..., :, None] * rows[..., None, :])
        coarse = slice(None, N_COARSE)
        # Rows of the montage, made orthonormal: M = Y (Y'Y)^(-1/2).
        values, vectors = _eigh(gram[:, coarse, coarse])
        kept = values > _RANK * values[:, -1:].clamp_min(_TINY)
        scale = torch.where(kept, values.clamp_min(_TINY).rsqrt(), torch.zeros_like(values))
        root = (vectors * scale[:, None]) @ vectors.mT
        products = per_second(rows[..., :, None] * patches[..., None, :])  # Y'x: (B * S, K, 200)
        projected = root @ products[:, coarse]

        window = torch.hann_window(PATCH_SIZE, periodic=False, device=patches.device)
        spectrum = torch.fft.rfft(projected * window, dim=-1)
        bins = [torch.view_as_real(spectrum[..., a:b]).flatten(-2) for a, b in BANDS]
        cross = torch.stack([band @ band.mT for band in bins], dim=1)  # (B * S, bands, K, K)
        size = cross.diagonal(dim1=-2, dim2=-1).mean(dim=-1)[..., None, None]
        identity = torch.eye(N_COARSE, device=patches.device)
        values, vectors = _eigh(cross / size.clamp_min(_TINY) + _SHRINKAGE * identity)
        logarithms = (vectors * values.clamp_min(_SHRINKAGE / 2).log()[..., None, :]) @ vectors.mT
        i, j = torch.triu_indices(N_COARSE, N_COARSE, device=patches.device)
        # Entries off the diagonal stand for two: distances between matrices are kept.
        weight = torch.where(i == j, 1.0, 2.0**0.5)
        covariances = (logarithms[..., i, j] * weight).flatten(1)
        averages = products.unflatten(-1, (_N_STEPS, -1)).mean(dim=-1)
        amplitudes = _splines(gram, averages, per_second(exists)).flatten(1)
        features = torch.cat([covariances, amplitudes], dim=1)
        known = finite.repeat_interleave(n_seconds)[:, None]
        return torch.where(known, features, torch.full_like(features, torch.nan)), where

    @torch.no_grad()
    def fit(self, batches: Iterable[tuple[Tensor, Tensor, Tensor]]) -> None:
        """Find the principal components.

        Covariances are of all seconds alike. Of amplitudes each montage, which stands for a data
        set, counts the same: an hour of evoked responses would drown in days of ongoing EEG, whose
        components lost 0.05 of balanced accuracy on responses to pictures (SMNI).

        Parameters
        ----------
        batches : iterable of (patches, channels, times)
            Training data, as for :meth:`describe`. Seconds that are not finite are left out.
        """
        covariances: list[NDArray[np.float32]] = []
        amplitudes: dict[tuple[int, ...], list[NDArray[np.float32]]] = {}
        device, first = self.mean.device, N_FEATURES[0]
        for batch in batches:
            patches, channels, times = (tensor.to(device) for tensor in batch)
            features = self.features(patches.float(), channels, times)[0].cpu().numpy()
            features = features[np.isfinite(features).all(axis=1)]
            covariances.append(features[:, :first])
            montage = tuple(torch.unique(channels).tolist())
            amplitudes.setdefault(montage, []).append(features[:, first:])
        montages = [np.concatenate(parts) for parts in amplitudes.values()]
        montages = [part for part in montages if len(part)]
        if sum(len(part) for part in montages) < 2:
            return
        self.components.zero_()
        parts = zip(
            (0, first),
            ([np.concatenate(covariances)], montages),
            self.n_components,
            _SCALES,
            strict=True,
        )
        for start, groups, n_components, scale in parts:
            mean, covariance = _mean_moments(groups)
            rows = slice(start, start + len(mean))
            self.mean[rows] = torch.from_numpy(mean).to(self.mean)
            matrix = scale * _whitening(covariance, n_components)
            self.components[rows, :n_components] = torch.from_numpy(matrix).to(self.components)


def _mean_moments(
    groups: Sequence[NDArray[np.float32]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean over groups of rows of their means and of their covariances."""
    # A few seconds of a montage tell no covariance: those count by their number.
    weights = [min(len(group), _ENOUGH) / _ENOUGH for group in groups]
    n = groups[0].shape[1]
    total, squares = np.zeros(n), np.zeros((n, n))
    for group, weight in zip(groups, weights, strict=True):
        mean = group.mean(axis=0, dtype=np.float64)
        centred = group - mean
        total += weight * mean
        squares += weight * (centred.T @ centred / len(group))
    return total / sum(weights), squares / sum(weights)


def description_size(n_components: int) -> int:
    """Return how many numbers describe a second.

    Parameters
    ----------
    n_components : int
        Principal components of covariances.

    Returns
    -------
    size : int
        Those and half as many of amplitudes, rounded up.
    """
    return n_components + (n_components + 1) // 2


def _whitening(covariance: NDArray[np.float64], n_components: int) -> NDArray[np.float64]:
    """Return the matrix (n, n_components) that makes components of variance 1."""
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1][:n_components], vectors[:, ::-1][:, :n_components]
    # The sign of an eigenvector is arbitrary; another machine must find the same.
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])
    # Too few seconds leave directions without variance: they say nothing.
    kept = values > 1e-9 * max(values[0], _TINY)
    return np.where(kept, vectors / np.sqrt(np.maximum(values, _TINY)), 0.0)


def _splines(gram: Tensor, products: Tensor, count: Tensor) -> Tensor:
    """Return coefficients of smoothing spherical splines.

    The harmonics' coefficients c minimise |x - Yc|^2 / n + w sum_l (l (l + 1))^2 c_l^2, for EEG x
    at n electrodes; the penalty is the squared Laplacian, l the degree of each harmonic.

    Parameters
    ----------
    gram : Tensor, shape (B * S, 36, 36)
        Y'Y.
    products : Tensor, shape (B * S, 36, T)
        Y'x.
    count : Tensor, shape (B * S, 1)
        Number n of electrodes.

    Returns
    -------
    coefficients : Tensor, shape (B * S, 36, T)
        Zero without electrodes.
    """
    degrees = torch.arange(_MAX_DEGREE + 1, device=gram.device)
    degree = degrees.repeat_interleave(2 * degrees + 1)
    # Degree 0 has no roughness: the least that keeps a montage without positions solvable.
    penalty = (_ROUGHNESS * (degree * (degree + 1)).square()).clamp_min(1e-6)
    n = count[..., None].clamp_min(1)
    left, right = gram / n + torch.diag(penalty), products / n
    if gram.device.type == "mps":  # as in `_eigh`
        return torch.linalg.solve(left.cpu(), right.cpu()).to(gram.device)
    return torch.linalg.solve(left, right)


def _eigh(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues and vectors; on the CPU for Apple's GPUs, where older PyTorch has none."""
    if matrices.device.type != "mps":
        return tuple(torch.linalg.eigh(matrices))
    values, vectors = torch.linalg.eigh(matrices.cpu())
    return values.to(matrices.device), vectors.to(matrices.device)


@lru_cache(maxsize=1)
def channel_harmonics() -> NDArray[np.float32]:
    """Return real spherical harmonics at the electrodes of the channel vocabulary.

    Returns
    -------
    harmonics : ndarray of float32, shape (139, 36)
        A bipolar derivation is the difference of its two electrodes; a name without a known
        position is zero.
    """
    # MNE renamed its 10-05 electrodes of the Colin27 head in 1.13.
    known = mne.channels.get_builtin_montages()
    montage = mne.channels.make_standard_montage(
        "colin27_1005" if "colin27_1005" in known else "standard_1005"
    )
    places = {name.upper(): place for name, place in montage.get_positions()["ch_pos"].items()}
    # Above the line from nasion to ears the head is close to a sphere around this point.
    centre = np.array([0.0, 0.0, 0.04])
    table = np.zeros((len(CHANNELS), N_HARMONICS), dtype=np.float32)
    for row, name in enumerate(CHANNELS):
        ends = [places.get(end) for end in name.upper().split("-")]
        if any(end is None for end in ends):
            continue
        first, *second = (_harmonics(end - centre) for end in ends if end is not None)
        table[row] = first - second[0] if second else first
    return table


def _harmonics(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the real harmonics (36,) in a direction (3,)."""
    x, y, z = direction / np.linalg.norm(direction)
    polar, azimuth = np.arccos(z), np.arctan2(y, x)
    values = []
    for degree in range(_MAX_DEGREE + 1):
        for order in range(-degree, degree + 1):
            value = sph_harm_y(degree, abs(order), polar, azimuth)
            values.append(value.imag if order < 0 else value.real)
    return np.array(values)
