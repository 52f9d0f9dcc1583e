"""What the representation of an estimator says."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

_Class = TypeVar("_Class", bound=type)


def always_shown(*names: str) -> Callable[[_Class], _Class]:
    """Let the representation of an estimator name some parameters even at their defaults.

    A result is worth little without the model that it came from, and representations are what
    logs, reports and result files keep.

    Parameters
    ----------
    *names : str
        Parameters of ``__init__``.

    Returns
    -------
    decorate : callable
        Takes the class and returns it.

    Notes
    -----
    scikit-learn leaves out what equals its default, and inside a pipeline it does not ask
    ``__repr__``. It reads the defaults from the signature of ``__init__``, which therefore has none
    for these names; the signature of the class, the one that ``help`` shows, stays the true one.
    """

    def decorate(cls: _Class) -> _Class:
        init = vars(cls)["__init__"]
        true = inspect.signature(init)
        parameters = list(true.parameters.values())
        cls.__signature__ = true.replace(parameters=parameters[1:])  # type: ignore[attr-defined]
        init.__signature__ = true.replace(
            parameters=[
                p.replace(default=inspect.Parameter.empty) if p.name in names else p
                for p in parameters
            ]
        )
        return cls

    return decorate
