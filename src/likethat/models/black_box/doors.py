"""Which door a predictor goes through; and the simplest door, for functions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from likethat._inputs import Inputs
from likethat.errors import InputError
from likethat.models.black_box.door import Door, Facts
from likethat.models.black_box.estimator import EstimatorDoor, is_estimator
from likethat.models.black_box.network import NetworkDoor
from likethat.models.split_model import SplitModel

__all__ = ["FunctionDoor", "open_door"]


class FunctionDoor:
    """A Python function: it gets the batch as it is, and no gradients are recorded."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        name = getattr(function, "__name__", "") or type(function).__name__
        self.facts = Facts(name=str(name))

    def __call__(self, batch: Inputs) -> Any:
        """Call the function."""
        with torch.no_grad():
            return self._function(batch)


def open_door(predict: Any) -> Door:
    """Return the door for a function, an estimator, a network, an ONNX file or a URL.

    Raises:
        InputError: it is none of them.
    """
    if isinstance(predict, nn.Module | SplitModel):
        return NetworkDoor(predict)
    if is_estimator(predict):
        return EstimatorDoor(predict)
    if callable(predict) and not isinstance(predict, type):
        return FunctionDoor(predict)
    raise InputError(
        "`predict` must be a function, a fitted scikit-learn estimator, a torch module, the path of an .onnx file or a "
        f"URL, got {_shown(predict)}.{' Make an instance of it first.' if isinstance(predict, type) else ''}"
    )


def _shown(predict: Any) -> str:
    if isinstance(predict, str | Path):
        return repr(str(predict))
    return f"the class {predict.__name__}" if isinstance(predict, type) else type(predict).__name__
