"""Decide once whether a predictor gives probabilities or logits, and hold it to that."""

import torch
from jaxtyping import Float
from torch import Tensor

from likethat.errors import BlackBoxError
from likethat.models.black_box.backend import Output

LOGITS_NOTE = "logits were taken: softmax applied"
LABELS_NOTE = "labels are independent: each has its own probability, and a row need not sum to 1"
_TOLERANCE = 1e-3  # to which probabilities sum to 1 that a service rounded to four digits
_ADVICE = "Normalise the rows in the function, or say output='logits' if softmax shall do it."


class Reader:
    """Turns the rows of one predictor into probabilities, by one rule for all of them.

    The rule of ``output="auto"``, decided on the first answer: rows without negative numbers that sum to 1 (to 1e-3)
    are probabilities; numbers below 0 or above 1 are logits, and softmax is applied. All else is refused: rows
    between 0 and 1 with another sum are scores of independent classes, and rows with another common sum (100, say)
    are shares of something. ``"labels"`` takes such scores as they are, ``"numbers"`` whatever is finite.

    Attributes:
        output: "probabilities", "logits", "labels" or "numbers" once decided; "auto" before.
        n_classes: number of classes; 0 before the first answer.
    """

    def __init__(self, name: str, *, output: Output = "auto", binary: bool = False, n_classes: int = 0) -> None:
        self.output: Output = output
        self.n_classes = n_classes
        self._name, self._binary = name, binary
        self._is_fixed = output != "auto"

    @property
    def is_decided(self) -> bool:
        """Whether the first answer was read, or nothing was to decide."""
        return self.output != "auto" and self.n_classes > 0

    def probabilities(self, rows: Float[Tensor, "row column"], *, rounding: float = 0.0) -> Float[Tensor, "row cls"]:
        """Return the rows as float64: probabilities that sum to 1, those of independent labels, or numbers.

        Args:
            rows: the answers.
            rounding: how far a sum of 1 may be off by the type the numbers came in, where that is more than 1e-3.

        Raises:
            BlackBoxError: not what this predictor gave before, or no probabilities and no logits.

        Example:
            >>> Reader("it").probabilities(torch.tensor([[0.0, 2.0], [1.0, -1.0]])).argmax(dim=1)
            tensor([1, 0])
        """
        rows = rows.double() if self.output == "numbers" else self._paired(rows.double())
        n_classes = rows.shape[1]
        if self.n_classes and n_classes != self.n_classes:
            raise BlackBoxError(
                f"{self._name} must answer with {self.n_classes} classes as before, got {n_classes} (shape "
                f"{tuple(rows.shape)})."
            )
        if self.output in ("labels", "numbers"):
            self.n_classes = n_classes
            return self._in_unit(rows) if self.output == "labels" else rows
        output = self._decide(rows, max(_TOLERANCE, rounding))
        self.output, self.n_classes = output, n_classes
        if output == "logits":
            return rows.softmax(dim=1)
        clean = rows.clamp(min=0)
        return clean / clean.sum(dim=1, keepdim=True)

    def _in_unit(self, rows: Tensor) -> Tensor:
        if float(rows.min()) < -1e-6 or float(rows.max()) > 1 + 1e-6:
            raise BlackBoxError(
                f"{self._name} must answer with probabilities of labels, from 0 to 1, got numbers from "
                f"{float(rows.min()):.4g} to {float(rows.max()):.4g}. Apply the sigmoid in the function."
            )
        return rows.clamp(0, 1)

    def _paired(self, rows: Tensor) -> Tensor:
        """Turn the single column of a binary classifier into two."""
        if rows.shape[1] > 1:
            return rows
        if not self._binary:
            raise BlackBoxError(
                f"{self._name} must answer with one column a class, got a single column. Say binary=True if it is the "
                "probability of the second class, output='numbers' if it is no probability."
            )
        is_probability = bool(((rows >= 0) & (rows <= 1)).all())
        if self.output == "logits" or (self.output == "auto" and not is_probability):
            return torch.cat([torch.zeros_like(rows), rows], dim=1)
        return torch.cat([1 - rows, rows], dim=1)

    def _decide(self, rows: Tensor, tolerance: float) -> Output:
        if self.output == "logits" and self._is_fixed:
            return "logits"
        good = _are_probabilities(rows, tolerance)
        if self.output == "logits":
            if len(rows) > 1 and bool(good.all()):  # one row of logits may sum to 1 by chance
                raise BlackBoxError(
                    f"{self._name} must keep to logits, which it answered with before, got rows that sum to 1. Say "
                    "output='logits' or output='probabilities'."
                )
            if _have_one_sum(rows) and bool(
                (rows != rows[0]).any()
            ):  # the first answer was one row, which may be either
                self._refuse_shares(rows)
            return "logits"
        if bool(good.all()):
            return "probabilities"
        if self.output == "probabilities" or 2 * int(good.sum()) >= len(rows):
            raise BlackBoxError(self._no_probabilities(rows, good))
        self._refuse_shares(rows)
        return "logits"

    def _no_probabilities(self, rows: Tensor, good: Tensor) -> str:
        first = int((~good).nonzero()[0])
        row = rows[first]
        got = f"sums to {float(row.sum()):.4g}" if float(row.min()) >= 0 else f"holds {float(row.min()):.4g}"
        return (
            f"{self._name} must answer with probabilities, from 0 to 1 and summing to 1 (to {_TOLERANCE}), got "
            f"{int((~good).sum())} of {len(rows)} rows that do not: row {first} {got}. {_ADVICE}"
        )

    def _refuse_shares(self, rows: Tensor) -> None:
        if float(rows.min()) < 0:
            return
        sums, is_common = rows.sum(dim=1), _have_one_sum(rows)
        is_percent = bool(((sums - 100).abs() <= 0.1).all())
        if float(rows.max()) <= 1 or is_common or is_percent:
            raise BlackBoxError(
                f"{self._name} must answer with rows that sum to 1 or with logits, got numbers from "
                f"{float(rows.min()):.4g} to {float(rows.max()):.4g} that sum to {float(sums[0]):.4g}. {_ADVICE}"
            )


def _have_one_sum(rows: Tensor) -> bool:
    """Return whether several rows sum to the same: shares of something, which logits are not."""
    sums = rows.sum(dim=1)
    return len(rows) > 1 and bool(((sums - sums[0]).abs() <= _TOLERANCE * sums[0].abs()).all())


def _are_probabilities(rows: Tensor, tolerance: float) -> Tensor:
    return (rows.min(dim=1).values >= -1e-6) & ((rows.sum(dim=1) - 1).abs() <= tolerance + 1e-9)  # .999 is just so
