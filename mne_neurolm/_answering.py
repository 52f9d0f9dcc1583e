"""Predictions of a fitted classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from .models.inference import score_answers, write_answers
from .tasks import EncodedTask
from .training.calibration import calibrated

if TYPE_CHECKING:
    from skorch import NeuralNet

    from .models.neurolm import NeuroLM
    from .tokens import EEGTokens


class AnswersQuestions:
    """Turns the log-probabilities of answers into predictions."""

    if TYPE_CHECKING:
        batch_size: int
        dtype: str
        classes_: NDArray[Any]
        model_: NeuroLM
        net_: NeuralNet
        temperature_: float
        _encoder_id: str | None

        def _as_tokens(self, X: Any, model: NeuroLM, encoder_id: str | None) -> EEGTokens: ...

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return the log-probability of each class's answer.

        Parameters
        ----------
        X : EEGTokens | mne.BaseEpochs | list of mne.BaseEpochs | ndarray
            As for ``fit``.

        Returns
        -------
        scores : ndarray of float64, shape (n_epochs, n_classes) or (n_epochs,)
            Log-probability of each answer among all text; for two classes the difference between
            the second and the first, as scikit-learn has it.
        """
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class among those seen in ``fit``.

        Parameters
        ----------
        X : EEGTokens | mne.BaseEpochs | list of mne.BaseEpochs | ndarray
            As for ``fit``.

        Returns
        -------
        proba : ndarray of float64, shape (n_epochs, n_classes)
            Softmax of the answers' log-probabilities divided by ``temperature_``; columns as
            ``classes_``, rows sum to 1.
        """
        return calibrated(self._scores(X), self.temperature_)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class with the most likely answer.

        Parameters
        ----------
        X : EEGTokens | mne.BaseEpochs | list of mne.BaseEpochs | ndarray
            As for ``fit``.

        Returns
        -------
        y : ndarray, shape (n_epochs,)
            Labels as given to ``fit``.
        """
        best = self._scores(X).argmax(axis=1)
        return self.classes_[best]

    def answer(self, X: Any, *, max_new_tokens: int = 20) -> list[str]:
        """Let the model answer in its own words.

        Parameters
        ----------
        X : EEGTokens | mne.BaseEpochs | list of mne.BaseEpochs | ndarray
            As for ``fit``.
        max_new_tokens : int
            Longest answer in text tokens. Default 20.

        Returns
        -------
        answers : list of str, length n_epochs
            Generated text, most likely token first. It need not be one of the allowed answers.
        """
        check_is_fitted(self, "net_")
        return write_answers(
            self.model_,
            self._as_tokens(X, self.model_, self._encoder_id),
            self.net_.module_.prompt,
            max_new_tokens=max_new_tokens,
            batch_size=self.batch_size,
            dtype=self.dtype,
        )

    def _scores(self, X: Any) -> NDArray[np.float64]:
        check_is_fitted(self, "net_")
        tokens = self._as_tokens(X, self.model_, self._encoder_id)
        if not len(tokens):
            return np.empty((0, len(self.classes_)))
        module = self.net_.module_
        question = EncodedTask(module.prompt, module.answers)
        (scores,) = score_answers(
            module.model, tokens, [question], batch_size=self.batch_size, dtype=self.dtype
        )
        return scores

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")
