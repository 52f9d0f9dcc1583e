"""Ablations of the paper as presets: what each changes in the recipe of which stage.

Nothing here imports torch or a command-line library.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .config import STAGES, RunConfig


@dataclass(kw_only=True, slots=True, frozen=True)
class Ablation:
    """One ablation.

    Attributes
    ----------
    description : str
        What it is, in a few words.
    source : str
        Where it is from: figure or table of the paper, unless it names another.
    stages : tuple of str
        The stages that are trained, one after another. Default the paper's three.
    changes : mapping of str to mapping
        Stage to settings that replace the recipe's, by the names of ``config.yaml``, such as
        ``{"training.alignment": 0.0}``.
    epochs : mapping of str to float
        Stage to a factor on its number of epochs, which is rounded, and 1 at least.

    See Also
    --------
    mne_neurolm.training.ablations.get_ablation : Those that are known by name.

    Examples
    --------
    >>> from mne_neurolm.training.ablations import Ablation, get_ablation
    >>> get_ablation("labram").touched
    ('tokenizer', 'masked')
    >>> small = Ablation(
    ...     description="a quarter of the codes",
    ...     source="ours",
    ...     changes={"tokenizer": {"model.codebook_size": 2048}},
    ... )
    >>> small.stages, small.touched
    (('tokenizer', 'autoregressive', 'instruct'), ('tokenizer',))
    """

    description: str
    source: str
    stages: tuple[str, ...] = STAGES
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    epochs: Mapping[str, float] = field(default_factory=dict)

    @property
    def touched(self) -> tuple[str, ...]:
        """Stages that differ from the recipe, or that the recipe does not have."""
        return tuple(
            stage
            for stage in self.stages
            if stage in self.changes or stage in self.epochs or stage not in STAGES
        )


def _instruction_data(percent: int) -> Ablation:
    return Ablation(
        description=f"{percent} % of the instruction data",
        source="Figure 6",
        changes={"instruct": {"data.train_fraction": percent / 100}},
    )


def _pretraining_epochs(percent: int) -> Ablation:
    # Shares, as the sizes of the model, and so their recipes, differ in the number of epochs.
    return Ablation(
        description=f"{percent} % of the epochs of autoregression",
        source="Tables 10 to 12",
        epochs={"autoregressive": percent / 100},
    )


ABLATIONS: dict[str, Ablation] = {
    "temporal-only": Ablation(
        description="codes rebuild waveforms only",
        source="Figure 10",
        changes={"tokenizer": {"model.reconstruction": "temporal"}},
    ),
    "frequency-only": Ablation(
        description="codes rebuild spectra only",
        source="Figure 10",
        changes={"tokenizer": {"model.reconstruction": "frequency"}},
    ),
    "no-alignment": Ablation(
        description="no alignment of EEG with text",
        source="Figure 11",
        changes={"tokenizer": {"training.alignment": 0.0}},
    ),
    "no-autoregression": Ablation(
        description="instruction tuning right after the tokenizer",
        source="Figure 8",
        stages=("tokenizer", "instruct"),
        changes={"instruct": {"model.allow_untrained": True}},
    ),
    "shuffled-options": Ablation(
        description="options of multiple-choice questions in random order",
        source="Figure 5",
        changes={"instruct": {"shuffle_options": True}},
    ),
    **{f"instruction-data-{p}": _instruction_data(p) for p in (25, 50, 75)},
    **{f"pretraining-epochs-{p}": _pretraining_epochs(p) for p in (25, 50, 75)},
    "labram": Ablation(
        description="LaBraM: amplitudes and phases, no text, codes of masked patches",
        source="LaBraM (Jiang et al., ICLR 2024)",
        stages=("tokenizer", "masked", "instruct"),
        changes={
            "tokenizer": {
                "model.reconstruction": "frequency",
                "model.frequency_target": "amplitude_phase",
                "training.alignment": 0.0,
            },
        },
    ),
}


def get_ablation(name: str) -> Ablation:
    """Return an ablation by its name.

    Parameters
    ----------
    name : str
        A key of ``ABLATIONS``.

    Returns
    -------
    ablation : Ablation
        The ablation.

    Raises
    ------
    ValueError
        If there is none of that name.

    Examples
    --------
    >>> from mne_neurolm.training.ablations import get_ablation
    >>> get_ablation("temporal-only").changes
    {'tokenizer': {'model.reconstruction': 'temporal'}}
    """
    if name not in ABLATIONS:
        raise ValueError(f"Unknown ablation {name!r}; choose one of {', '.join(ABLATIONS)}.")
    return ABLATIONS[name]


def apply_ablation(
    name: str, stage: str, config: RunConfig, *, strict: bool = True
) -> tuple[RunConfig, dict[str, Any]]:
    """Return the settings of a stage under an ablation.

    Parameters
    ----------
    name : str
        A key of ``ABLATIONS``.
    stage : "tokenizer" | "masked" | "autoregressive" | "instruct"
        The stage.
    config : RunConfig
        Its settings otherwise.
    strict : bool
        Refuse stages that the ablation leaves as they are, so that no run bears its name without
        being one (default). False returns their settings unchanged.

    Returns
    -------
    config : RunConfig
        The settings.
    options : dict
        Arguments of the stage that are no settings of
        :class:`~mne_neurolm.training.config.RunConfig`: ``shuffle_options``.

    Raises
    ------
    ValueError
        If there is no such ablation, it leaves the stage out, or it does not touch it.

    Examples
    --------
    >>> from mne_neurolm.training.ablations import apply_ablation
    >>> from mne_neurolm.training.config import recipe
    >>> config, options = apply_ablation("no-alignment", "tokenizer", recipe("tokenizer", "b"))
    >>> config.training.alignment, options
    (0.0, {})
    >>> config, options = apply_ablation("shuffled-options", "instruct", recipe("instruct", "b"))
    >>> options
    {'shuffle_options': True}
    """
    ablation = get_ablation(name)
    chain = ", ".join(ablation.stages)
    if stage not in ablation.stages:
        raise ValueError(
            f"The ablation {name!r} ({ablation.description}) has no stage {stage!r}: its stages "
            f"are {chain}, each with --init of the one before."
        )
    if stage not in ablation.touched:
        if not strict:
            return config, {}
        raise ValueError(
            f"The ablation {name!r} ({ablation.description}) changes nothing in the stage "
            f"{stage!r}; it is for {', '.join(ablation.touched)}. Leave --ablation out here, and "
            "give --init with the run of the stage before."
        )
    options: dict[str, Any] = {}
    groups: dict[str, dict[str, Any]] = {}
    for setting, value in ablation.changes.get(stage, {}).items():
        group, dot, setting_name = setting.rpartition(".")
        if dot:
            groups.setdefault(group, {})[setting_name] = value
        else:
            options[setting_name] = value
    if stage in ablation.epochs:
        n_epochs = round(ablation.epochs[stage] * config.training.max_epochs)
        groups.setdefault("training", {})["max_epochs"] = max(1, n_epochs)
    changed = {
        group: dataclasses.replace(getattr(config, group), **values)
        for group, values in groups.items()
    }
    return dataclasses.replace(config, **changed), options
