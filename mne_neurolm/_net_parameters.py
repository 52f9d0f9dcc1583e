"""Parameters of an estimator that belong to the skorch net inside it."""

from __future__ import annotations

from typing import Any, TypeVar

from sklearn.base import BaseEstimator

# Arguments of the net that have no double underscore and no parameter of the classifier.
NET_ARGUMENTS = (
    "callbacks",
    "compile",
    "dataset",
    "iterator_train",
    "iterator_valid",
    "optimizer",
    "train_split",
)
_Self = TypeVar("_Self", bound="NetParameters")


def is_net_argument(name: str) -> bool:
    """Whether a parameter belongs to the skorch net."""
    return "__" in name or name in NET_ARGUMENTS


class NetParameters(BaseEstimator):
    """An estimator whose ``skorch_params`` are parameters like its own."""

    skorch_params: dict[str, Any]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, those of the skorch net included.

        Parameters
        ----------
        deep : bool
            As in scikit-learn.

        Returns
        -------
        params : dict
            Names and values.
        """
        return {**super().get_params(deep=deep), **self.skorch_params}

    def set_params(self: _Self, **params: Any) -> _Self:
        """Set parameters, those of the skorch net included.

        Parameters
        ----------
        **params
            Names and values.

        Returns
        -------
        self : NeuroLMClassifier
            The estimator.
        """
        own = {}
        for name, value in params.items():
            if is_net_argument(name):
                self.skorch_params = {**self.skorch_params, name: value}
            else:
                own[name] = value
        super().set_params(**own)
        return self
