"""From what a user calls a target to a goal of the search."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from likethat._class_names import resolve_target
from likethat._options import check_number
from likethat._responses import Measure, measure_of
from likethat.errors import InputError, TargetError
from likethat.search import Goal, HighResponse, Probabilities

_NO_LINE = -1e9  # takes what `HighResponse` adds where there is no line, so that none is reached
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
        measure: reads the number that is asked about off the answers; None where that is none of our words.
    """

    goal: Goal
    index: int
    description: str
    wanted: Tensor | None
    slack: float
    measure: Measure | None = None

    def errors(self, responses: Tensor) -> Tensor:
        """Return how far answers are from the one wanted."""
        return self.goal.shortfall(responses) + self.slack

    def measured(self, responses: Tensor) -> dict[str, Any]:
        """Return what a result says of the number that was asked about."""
        return (
            {} if self.measure is None else {"measured": self.measure.about, "values": self.measure.values(responses)}
        )


def read_target(
    target: Any,
    class_names: Sequence[str],
    *,
    tolerance: float,
    threshold: float | None,
    output: str = "probabilities",
) -> Aim:
    """Return the aim that a class, a probability vector or a response stands for.

    Args:
        target: index or name of a class; a probability a class; a mapping from classes to probabilities, the others
            0; a function of probabilities (n, cls) to (n,); or a `Label`, a line such as `Above`, or a `Response`.
        class_names: of the model.
        tolerance: largest difference, over the classes, that counts as reached.
        threshold: of a function.
        output: what the model's answers are: "probabilities", "labels" or "numbers".

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
        slack = 0.0 if threshold is not None else _NO_LINE
        return Aim(goal=goal, index=-1, description=_described(name, threshold), wanted=None, slack=slack)
    if threshold is not None:
        raise InputError("`threshold` must be left out for a class or probabilities; `tolerance` says what is near.")
    measure = measure_of(target, class_names, output=output)
    if measure is not None:
        return _measured(measure, tolerance)
    if output != "probabilities":
        raise InputError(
            "`target` must be one label or number where the answers do not exclude each other, got several. Ask for "
            "one: likethat.Label(name), or likethat.Above(value, of=name)."
        )
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


def _measured(measure: Measure, tolerance: float) -> Aim:
    """Return the aim of a number: on the wanted side of its line, of a label as sure as of a class, else the most."""
    about = measure.about
    if about.is_label:
        goal = HighResponse(response=lambda p: _sure(measure, p), threshold=1 - tolerance)
        return Aim(goal=goal, index=-1, description=str(about), wanted=None, slack=tolerance, measure=measure)
    is_line = about.low is not None or about.high is not None
    return Aim(
        goal=HighResponse(response=measure.inside, threshold=0.0 if is_line else float("inf")),
        index=-1,
        description=str(about) if is_line else f"high {about.name}",
        wanted=None,
        slack=0.0 if is_line else _NO_LINE,
        measure=measure,
    )


def _sure(measure: Measure, answers: Tensor) -> Tensor:
    """Return the probability of a label, or that it is not given, as is wanted."""
    p = measure.values(answers)
    return p if measure.about.high is None else 1 - p


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
