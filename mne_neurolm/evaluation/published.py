"""Published results on the paper's test splits, to stand beside ours.

The figures are those of the NeuroLM paper's Tables 2 to 4, as far as they could be found: its own
text was not at hand, so every row names where the figures were read. They come from the paper's
split, seeds and training, on subjects that need not be the ones of a table here.
"""

from __future__ import annotations

from typing import NamedTuple

from mne_neurolm.tasks import get_task

#: What each table reports (paper, section 3.3): binary tasks, and those with more classes.
BINARY = ("balanced_accuracy", "auc_pr", "auroc")
MULTICLASS = ("balanced_accuracy", "cohen_kappa", "f1_weighted")

#: Where figures were read.
SOURCES: dict[str, str] = {
    "alfee": "Xiong et al. (2025), ALFEE, arXiv:2505.06291, Tables 1-3, which repeat NeuroLM's",
    "labram": "Jiang et al. (2024), LaBraM, ICLR, Tables 1-2, which NeuroLM's Table 2 repeats",
}


class MeanStd(NamedTuple):
    """Mean and standard deviation over seeds."""

    mean: float
    std: float


class Published(NamedTuple):
    """A method's results on a data set.

    Attributes
    ----------
    method : str
        Name of the method: that of :mod:`mne_neurolm.evaluation.methods` where there is one.
    title : str
        What to call it.
    scores : dict of MeanStd
        By metric.
    source : str
        Key of :data:`SOURCES`.
    """

    method: str
    title: str
    scores: dict[str, MeanStd]
    source: str


# method, title
_METHODS = {
    "sparcnet": "SPaRCNet",
    "contrawr": "ContraWR",
    "cnn-transformer": "CNN-Transformer",
    "ffcl": "FFCL",
    "st-transformer": "ST-Transformer",
    "biot": "BIOT",
    "labram": "LaBraM-Base",
    "neurolm-b": "NeuroLM-B",
}

# Data set, method, source, and means and standard deviations of the three metrics of its kind.
# ALFEE's Table 3 calls the row of NeuroLM on Workload and TUSL "NeuroLM-XL", its Tables 1 and 2
# "NeuroLM-B"; other summaries of the paper give all of these figures as those of one model.
_ROWS: tuple[tuple[str, str, str, tuple[tuple[float, float], ...]], ...] = (
    ("tuab", "sparcnet", "labram", ((0.7896, 0.0018), (0.8414, 0.0018), (0.8676, 0.0012))),
    ("tuab", "contrawr", "labram", ((0.7746, 0.0041), (0.8421, 0.0104), (0.8456, 0.0074))),
    ("tuab", "cnn-transformer", "labram", ((0.7777, 0.0022), (0.8433, 0.0039), (0.8461, 0.0013))),
    ("tuab", "ffcl", "labram", ((0.7848, 0.0038), (0.8448, 0.0065), (0.8569, 0.0051))),
    ("tuab", "st-transformer", "labram", ((0.7966, 0.0023), (0.8521, 0.0026), (0.8707, 0.0019))),
    ("tuab", "biot", "labram", ((0.7959, 0.0057), (0.8792, 0.0023), (0.8815, 0.0043))),
    ("tuab", "labram", "labram", ((0.8140, 0.0019), (0.8965, 0.0016), (0.9022, 0.0009))),
    ("tuab", "neurolm-b", "alfee", ((0.7826, 0.0065), (0.6975, 0.0081), (0.7816, 0.0079))),
    ("tuev", "sparcnet", "labram", ((0.4161, 0.0262), (0.4233, 0.0181), (0.7024, 0.0104))),
    ("tuev", "contrawr", "labram", ((0.4384, 0.0349), (0.3912, 0.0237), (0.6893, 0.0136))),
    ("tuev", "cnn-transformer", "labram", ((0.4087, 0.0161), (0.3815, 0.0134), (0.6854, 0.0293))),
    ("tuev", "ffcl", "labram", ((0.3979, 0.0104), (0.3732, 0.0188), (0.6783, 0.0120))),
    ("tuev", "st-transformer", "labram", ((0.3984, 0.0228), (0.3765, 0.0306), (0.6823, 0.0190))),
    ("tuev", "biot", "labram", ((0.5281, 0.0225), (0.5273, 0.0249), (0.7492, 0.0082))),
    ("tuev", "labram", "labram", ((0.6409, 0.0065), (0.6637, 0.0093), (0.8312, 0.0052))),
    ("tuev", "neurolm-b", "alfee", ((0.4560, 0.0048), (0.4285, 0.0048), (0.7153, 0.0028))),
    ("seed", "sparcnet", "alfee", ((0.5596, 0.0244), (0.3464, 0.0372), (0.5585, 0.0297))),
    ("seed", "contrawr", "alfee", ((0.6106, 0.0078), (0.4220, 0.0129), (0.6137, 0.0085))),
    ("seed", "ffcl", "alfee", ((0.5808, 0.0322), (0.3732, 0.0462), (0.5743, 0.0402))),
    ("seed", "biot", "alfee", ((0.7097, 0.0024), (0.5682, 0.0051), (0.7134, 0.0027))),
    ("seed", "labram", "alfee", ((0.7318, 0.0019), (0.5994, 0.0031), (0.7354, 0.0021))),
    ("seed", "neurolm-b", "alfee", ((0.5554, 0.0075), (0.3393, 0.0117), (0.5599, 0.0068))),
    ("hmc", "sparcnet", "alfee", ((0.4756, 0.1109), (0.3147, 0.1315), (0.4108, 0.1310))),
    ("hmc", "contrawr", "alfee", ((0.4242, 0.0541), (0.2340, 0.0554), (0.2987, 0.0288))),
    ("hmc", "ffcl", "alfee", ((0.4427, 0.0702), (0.2542, 0.0654), (0.2902, 0.0485))),
    ("hmc", "biot", "alfee", ((0.6862, 0.0041), (0.6295, 0.0113), (0.7091, 0.0147))),
    ("hmc", "labram", "alfee", ((0.7286, 0.0101), (0.6812, 0.0073), (0.7554, 0.0024))),
    ("hmc", "neurolm-b", "alfee", ((0.6737, 0.0050), (0.6188, 0.0057), (0.7126, 0.0034))),
    ("workload", "sparcnet", "alfee", ((0.5977, 0.0071), (0.6638, 0.0314), (0.6717, 0.0172))),
    ("workload", "contrawr", "alfee", ((0.6966, 0.0332), (0.7668, 0.0408), (0.7685, 0.0317))),
    ("workload", "ffcl", "alfee", ((0.7069, 0.0197), (0.7823, 0.0099), (0.7857, 0.0234))),
    ("workload", "biot", "alfee", ((0.6655, 0.0665), (0.7189, 0.0722), (0.7342, 0.0536))),
    ("workload", "labram", "alfee", ((0.6609, 0.0204), (0.7174, 0.0234), (0.7272, 0.0165))),
    ("workload", "neurolm-b", "alfee", ((0.6172, 0.0113), (0.5824, 0.0080), (0.6253, 0.0160))),
    ("tusl", "sparcnet", "alfee", ((0.4185, 0.0452), (0.1399, 0.0799), (0.3500, 0.0968))),
    ("tusl", "contrawr", "alfee", ((0.5857, 0.0662), (0.3567, 0.0968), (0.5458, 0.0798))),
    ("tusl", "ffcl", "alfee", ((0.3819, 0.0688), (0.0628, 0.0888), (0.2120, 0.0786))),
    ("tusl", "biot", "alfee", ((0.5758, 0.0303), (0.2012, 0.0212), (0.2394, 0.0040))),
    ("tusl", "labram", "alfee", ((0.7625, 0.0131), (0.6407, 0.0304), (0.7614, 0.0210))),
    ("tusl", "neurolm-b", "alfee", ((0.6734, 0.0436), (0.5107, 0.0617), (0.6743, 0.0394))),
)


def primary_metrics(n_classes: int) -> tuple[str, ...]:
    """Return the three metrics that the paper reports (section 3.3).

    Parameters
    ----------
    n_classes : int
        Number of classes.

    Returns
    -------
    metrics : tuple of str
        Keys of :func:`mne_neurolm.evaluation.score_predictions`.
    """
    return BINARY if n_classes == 2 else MULTICLASS


def published_results(dataset: str) -> list[Published]:
    """Return published results on a downstream data set of the paper.

    Parameters
    ----------
    dataset : str
        Its name, e.g. ``"workload"``.

    Returns
    -------
    results : list of Published
        One per method, all on the paper's test split; empty for another data set.

    Examples
    --------
    >>> from mne_neurolm.evaluation import published_results
    >>> best = max(published_results("workload"), key=lambda r: r.scores["auroc"].mean)
    >>> best.title, best.scores["auroc"]
    ('FFCL', MeanStd(mean=0.7857, std=0.0234))
    """
    return [
        Published(
            method,
            _METHODS[method],
            {
                metric: MeanStd(*value)
                for metric, value in zip(
                    primary_metrics(len(get_task(name).labels)), values, strict=True
                )
            },
            source,
        )
        for name, method, source, values in _ROWS
        if name == dataset
    ]
