"""From what a user calls a target to a goal of the search."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from likethat._checks import resolve_target
from likethat._options import check_number
from likethat.errors import InputError, TargetError
from likethat.search import Goal, HighResponse, Probabilities

__all__ = ["Aim", "read_target"]

_SUM_TOLERANCE = 1e-3  # percentages that people round to .1 sum to 1 within it


@dataclass(frozen=True, kw_only=True, eq=False)
class Aim:
    """A target, understood.

    Attributes:
        goal: for the search.
        index: of the class; -1 where it is no single class.
        description: in words.
        wanted: (cls,) the probability vector; None for a response.
        slack: what is added to a shortfall to give an error.
    """

    goal: Goal
    index: int
    description: str
    wanted: Tensor | None
    slack: float

    def errors(self, responses: Tensor) -> Tensor:
        """Return how far answers are from the one wanted."""
        return self.goal.shortfall(responses) + self.slack


def read_target(target: Any, class_names: Sequence[str], *, tolerance: float, threshold: float | None) -> Aim:
    """Return the aim that a class, a probability vector or a response stands for.

    Args:
        target: index or name of a class; a probability a class; a mapping from classes to probabilities, the others
            0; or a function of probabilities (n, cls) to (n,).
        class_names: of the model.
        tolerance: largest difference, over the classes, that counts as reached.
        threshold: of a response.

    Raises:
        TargetError: no class of the model.
        InputError: no probability vector.

    Example:
        >>> aim = read_target({"a": 0.5, "c": 0.5}, ["a", "b", "c"], tolerance=0.05, threshold=None)
        >>> aim.description, aim.wanted.tolist()
        ('50 % a, 50 % c', [0.5, 0.0, 0.5])
    """
    if threshold is not None:
        threshold = check_number(threshold, name="threshold", low=-1e30)
    if callable(target) and not isinstance(target, type):
        goal = HighResponse(response=target, threshold=float("inf") if threshold is None else threshold)
        name = str(getattr(target, "__name__", type(target).__name__))
        slack = 0.0 if threshold is not None else -1e9
        return Aim(goal=goal, index=-1, description=_described(name, threshold), wanted=None, slack=slack)
    if threshold is not None:
        raise InputError("`threshold` must be left out for a class or probabilities; `tolerance` says what is near.")
    wanted = _wanted(target, class_names)
    classes = [int(index) for index in wanted.nonzero()[:, 0]]
    words = ", ".join(f"{100 * float(wanted[index]):.3g} % {class_names[index]}" for index in classes)
    is_class = len(classes) == 1
    return Aim(
        goal=Probabilities(wanted=wanted, tolerance=tolerance),
        index=classes[0] if is_class else -1,
        description=class_names[classes[0]] if is_class else words,
        wanted=wanted,
        slack=tolerance,
    )


def _wanted(target: Any, class_names: Sequence[str]) -> Tensor:
    n_classes = len(class_names)
    if isinstance(target, Mapping):
        wanted = torch.zeros(n_classes, dtype=torch.float64)
        for name, probability in target.items():
            wanted[resolve_target(name, class_names)] += check_number(probability, name="target", high=1.0)
        return _checked(wanted, n_classes)
    values = target.tolist() if getattr(target, "ndim", 0) == 1 else target
    if isinstance(values, Sequence) and not isinstance(values, str | bytes):
        numbers = [check_number(value, name="target", high=1.0 + _SUM_TOLERANCE) for value in values]
        return _checked(torch.tensor(numbers, dtype=torch.float64), n_classes)
    try:
        index = resolve_target(target, class_names)
    except TargetError as error:
        raise TargetError(f"{error} A vector of probabilities or a function of them is taken too.") from None
    return torch.nn.functional.one_hot(torch.tensor(index), n_classes).double()


def _checked(wanted: Tensor, n_classes: int) -> Tensor:
    if wanted.shape != (n_classes,):
        raise InputError(f"`target` must have one probability for each of {n_classes} classes, got {len(wanted)}.")
    total = float(wanted.sum())
    if bool((wanted < 0).any()) or not abs(total - 1) <= _SUM_TOLERANCE:
        raise InputError(f"`target` must be probabilities that sum to 1, got {wanted.tolist()}, sum {total:.4g}.")
    return wanted / total


def _described(name: str, threshold: float | None) -> str:
    name = "response" if name == "<lambda>" else name
    return f"high {name}" if threshold is None else f"{name} of at least {threshold:g}"


Response = Callable[[Tensor], Tensor]
"""Probabilities (n, cls) to (n,), higher is better."""
