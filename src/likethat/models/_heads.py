"""A feature extractor with a linear head of somebody else's on it: an array of coefficients, or scikit-learn's."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat._double import double
from likethat._options import shown
from likethat.errors import InputError
from likethat.functional.links import Outputs, probabilities_of
from likethat.models._state import device_of, floating_type
from likethat.models._trace import tensor_of, vector_of

_ADVICE = "Pass (coef, intercept), an nn.Linear, or a fitted linear classifier of scikit-learn's."
_SAME = 1e-5  # relative: predictors in float32 round


@dataclass(frozen=True, kw_only=True, eq=False)
class _LinearHead:
    """Weights, and what a predictor says of its classes."""

    weight: Float[Tensor, "cls channel"]
    bias: Float[Tensor, " cls"]
    class_names: tuple[str, ...] | None = None
    outputs: Outputs | None = None


class Headed(nn.Module):
    """A feature extractor and the linear head on what it gives.

    Args:
        extractor: images to one vector each; spatial axes of one cell are dropped.
        head: its weights and what is known of its classes.
    """

    def __init__(self, extractor: nn.Module, head: _LinearHead) -> None:
        super().__init__()
        n_classes, width = head.weight.shape
        self.extractor, self.class_names, self.outputs = extractor, head.class_names, head.outputs
        self.head = nn.Linear(width, n_classes, device=device_of(extractor), dtype=floating_type(extractor))
        with torch.no_grad():
            self.head.weight.copy_(head.weight)
            self.head.bias.copy_(head.bias)
        self.train(extractor.training)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of images."""
        features = self.extractor(images)
        pooled = getattr(features, "pooler_output", None)  # Hugging Face's, where a network has one
        values = pooled if isinstance(pooled, Tensor) else tensor_of(features)
        vector = None if values is None else vector_of(values)
        if vector is None or vector.shape[1] != self.head.in_features:
            got = type(features).__name__ if values is None else str(tuple(values.shape))
            raise InputError(
                f"`network` must give one vector of {self.head.in_features} numbers an image, as `head` takes, got "
                f"{got}. Let it end in the pooling whose vectors the head was fitted on."
            )
        logits: Tensor = self.head(vector)
        return logits


def headed(extractor: nn.Module, head: Any) -> Headed:
    """Return the extractor with a head on it.

    Args:
        extractor: images to one vector each.
        head: (coef, intercept), an ``nn.Linear``, or whatever has a `decision_function` that is affine.

    Raises:
        InputError: no such head, or one that is not linear.
    """
    if isinstance(head, nn.Linear):
        head = (head.weight, head.bias)
    if isinstance(head, tuple | list) and len(head) == 2:
        return Headed(extractor, _of_arrays(*head))
    if callable(getattr(head, "decision_function", None)):
        return Headed(extractor, _of_predictor(head))
    raise InputError(f"`head` must be a linear head, got {shown(head)}. {_ADVICE}")


def _of_arrays(coef: Any, intercept: Any) -> _LinearHead:
    weight = _numbers(coef, name="coef")
    weight = weight[None] if weight.ndim == 1 else weight
    bias = weight.new_zeros(len(weight)) if intercept is None else _numbers(intercept, name="intercept").reshape(-1)
    if weight.ndim != 2 or len(bias) != len(weight) or not weight.numel():
        raise InputError(
            f"`head` must be (coef (class, channel), intercept (class,)), got shapes {tuple(weight.shape)} and "
            f"{tuple(bias.shape)}. {_ADVICE}"
        )
    return _LinearHead(weight=weight.float(), bias=bias.float())


def _numbers(values: Any, *, name: str) -> Tensor:
    try:
        found = double(torch.as_tensor(values).detach())
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"`head` must hold numbers, got for {name} {shown(values)}. {_ADVICE}") from error
    if not bool(torch.isfinite(found).all()):
        raise InputError(f"`head` must hold finite numbers, got NaN or infinity in {name}. Fit it again.")
    return found


def _of_predictor(head: Any) -> _LinearHead:
    """Measure the weights: what the decision function makes of nothing, and of each feature alone."""
    width, name = getattr(head, "n_features_in_", None), type(head).__name__
    if not isinstance(width, int | np.integer):
        raise InputError(f"`head` must be fitted, got {name} without n_features_in_. Call its fit first.")
    nothing, each = np.zeros((1, width), dtype=np.float64), np.eye(int(width), dtype=np.float64)
    tried = np.random.default_rng(0).normal(size=(8, width))
    nothing, each, answers = (_decisions(head, rows) for rows in (nothing, each, tried))
    weight, again = (each - nothing).T, tried @ (each - nothing) + nothing
    if np.abs(again - answers).max() > _SAME * max(1.0, np.abs(answers).max()):
        raise InputError(
            f"`head` must be linear in the features, got {name}, whose decision function is not. {_ADVICE}"
        )
    classes = [str(one) for one in getattr(head, "classes_", [])]
    classes = classes[1:] if len(weight) == 1 else classes
    outputs = _check_outputs(head, tried, answers)
    is_named = len(classes) == len(weight) and classes != [str(number) for number in range(len(weight))]
    found = _of_arrays(weight, nothing[0])
    return _LinearHead(
        weight=found.weight, bias=found.bias, class_names=tuple(classes) if is_named else None, outputs=outputs
    )


def _decisions(head: Any, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    answers = np.asarray(head.decision_function(rows), dtype=np.float64)
    return answers[:, None] if answers.ndim == 1 else answers


def _check_outputs(head: Any, rows: Any, answers: Any) -> Outputs | None:
    """Return what the decisions stand for, where the predictor tells it by its probabilities.

    Raises:
        InputError: its probabilities are not those of its decision function, as one against the rest.
    """
    outputs: Outputs = "sigmoid" if answers.shape[1] == 1 else "softmax"
    if not callable(getattr(head, "predict_proba", None)):
        return None
    ours = probabilities_of(torch.from_numpy(answers), outputs).numpy()
    own = np.asarray(head.predict_proba(rows), dtype=np.float64)[:, -ours.shape[1] :]
    if np.abs(own - ours).max() > _SAME:
        raise InputError(
            f"`head` must give the {outputs} of its decision function as probabilities, got {type(head).__name__}, "
            "which does not (one against the rest?). Pass (coef, intercept) to explain its scores."
        )
    return outputs
