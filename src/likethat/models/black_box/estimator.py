"""The backend of scikit-learn: any fitted classifier or regressor, or a whole pipeline."""

from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from torch import Tensor

from likethat._inputs import Inputs
from likethat.errors import BlackBoxError, InputError, ModelError
from likethat.models.black_box.arrays import as_frame, position_note, select_columns
from likethat.models.black_box.backend import Facts
from likethat.models.black_box.casting import as_type

if TYPE_CHECKING:
    import pandas as pd

_UNCALIBRATED = "{name} has no predict_proba: its decision_function was taken, which is not calibrated"


def is_estimator(predict: Any) -> TypeGuard[Any]:
    """Whether it speaks as scikit-learn's estimators do."""
    if isinstance(predict, type):
        return False
    if hasattr(predict, "predict_proba") or hasattr(predict, "decision_function"):
        return True
    return hasattr(predict, "predict") and hasattr(predict, "get_params")


class EstimatorBackend:
    """Asks `predict_proba`, or `decision_function` where there is none; of a regressor `predict`.

    A table goes in as a table, with the columns the estimator was fitted on; a tensor as rows of numbers.

    Raises:
        ModelError: the estimator gives labels alone, several answers of more than two classes, or finds outliers.
    """

    def __init__(self, estimator: Any) -> None:
        name = type(estimator).__name__
        self._estimator = estimator
        is_number = _is_regressor(estimator)
        methods = ("predict",) if is_number else ("predict_proba", "decision_function")
        self._method = next((m for m in methods if hasattr(estimator, m)), "")
        if not self._method:
            raise ModelError(
                f"`predict` must have predict_proba or decision_function, and {name} has neither. Use a classifier, or "
                "pass a function that returns one probability a class."
            )
        _refuse_other_tasks(estimator, name)
        self.notes: tuple[str, ...] = ()
        is_margin = self._method == "decision_function"
        n_labels = _labels_of(estimator)
        if n_labels and is_margin:
            raise ModelError(
                f"`predict` must have predict_proba where it gives {n_labels} labels, and {name} has none. Pass a "
                "function that returns the probability of each, with output='labels'."
            )
        self._n_labels = n_labels
        self.facts = Facts(
            name=name,
            class_names=_names_of(estimator, n_labels),
            output="numbers" if is_number else "labels" if n_labels else "logits" if is_margin else "probabilities",
            batch_size=1024,
            notes=(_UNCALIBRATED.format(name=name),) if is_margin else (),
        )

    def __call__(self, batch: Inputs) -> Any:
        """Return probabilities (n, class) or (n, label), margins as logits (n, class), or numbers."""
        answer = getattr(self._estimator, self._method)(self._prepare(batch))
        _refuse_other_tasks(self._estimator, self.facts.name)  # one that was fitted since
        if self._n_labels and isinstance(answer, list):
            return np.stack([np.asarray(one)[:, 1] for one in answer], axis=1)  # of each label: off, on
        return self._margins(np.asarray(answer)) if self._method == "decision_function" else answer

    def _prepare(self, batch: Inputs) -> Any:
        if not isinstance(batch, Tensor) and not hasattr(batch, "columns"):
            return batch  # texts, or what the user made of the batch
        names = getattr(self._estimator, "feature_names_in_", None)
        if isinstance(batch, Tensor):
            return as_frame(batch, list(names)) if names is not None else self._array(batch)
        if names is not None:
            return select_columns(batch, list(names))
        if getattr(self._estimator, "n_features_in_", None) is None:
            return batch
        self.notes = (position_note(self.facts.name, batch),)
        return self._array(batch)

    def _array(self, batch: "Tensor | pd.DataFrame") -> Any:
        array = as_type(batch, np.dtype(np.float64), taker=self.facts.name)
        rows = array.reshape(len(array), -1)
        expected = getattr(self._estimator, "n_features_in_", rows.shape[1])
        if rows.shape[1] != expected:
            raise InputError(
                f"`inputs` must have {expected} values a row as {self.facts.name} was fitted on, got {rows.shape[1]} "
                f"(shape {tuple(array.shape)})."
            )
        return rows

    def _margins(self, answer: np.ndarray) -> np.ndarray:
        """A single margin says how sure the second class is: as logits that is (0, margin)."""
        if answer.ndim == 1:
            return np.stack([np.zeros_like(answer), answer], axis=1)
        classes = len(self.facts.class_names)
        if classes and answer.shape[1] != classes:
            raise BlackBoxError(
                f"The margins of {self.facts.name} must be one a class ({classes}), got {answer.shape[1]}: pairs of "
                "classes. Set decision_function_shape='ovr', or fit with probability estimates."
            )
        return answer


def _is_regressor(estimator: Any) -> bool:
    """Whether its answers are numbers, by what scikit-learn and those who follow it say of an estimator."""
    from sklearn.base import is_regressor

    return bool(is_regressor(estimator)) and not hasattr(estimator, "predict_proba")


def _labels_of(estimator: Any) -> int:
    """Return how many independent labels a fitted estimator gives, each there or not; 0 where it gives none."""
    classes = getattr(estimator, "classes_", None)
    if getattr(estimator, "multilabel_", False) is True:
        return len(classes) if classes is not None else 0
    several = isinstance(classes, list) and bool(classes) and all(np.ndim(item) == 1 for item in classes)
    return len(classes) if several and classes and all(len(item) == 2 for item in classes) else 0


def _names_of(estimator: Any, n_labels: int) -> tuple[str, ...]:
    classes = getattr(estimator, "classes_", ())
    if n_labels and isinstance(classes, list):
        return tuple(f"label {place}" for place in range(n_labels))
    return tuple(str(item) for item in classes)


def _refuse_other_tasks(estimator: Any, name: str) -> None:
    """Refuse what has the methods of a classifier and is none: several targets at once, detectors of outliers."""
    classes = getattr(estimator, "classes_", None)
    several = isinstance(classes, list) and any(np.ndim(item) for item in classes)
    if several and not _labels_of(estimator):
        raise ModelError(
            f"`predict` must choose one of several classes, and {name} answers several questions at once. Pass a "
            "function that returns the probabilities of one, such as lambda x: model.predict_proba(x)[0]."
        )
    if hasattr(estimator, "fit_predict") and hasattr(estimator, "decision_function") and classes is None:
        raise ModelError(
            f"`predict` must be a classifier, and {name} finds outliers. Pass a function that returns the "
            "probabilities of an ordinary and an outlying row."
        )
