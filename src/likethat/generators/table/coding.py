"""A table as numbers a network can learn, and back: normal scores, classes and bits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.special import ndtri
from torch import Tensor

from likethat.errors import InputError
from likethat.generators.table.columns import Column
from likethat.generators.table.whole import Whole

if TYPE_CHECKING:
    import pandas as pd

MOST_CLASSES = 256
"""A column of more categories has the most frequent as classes; a score says which of the others."""

_KNOTS = 1001  # of a quantile function: values are placed to .1 percent


@dataclass(frozen=True, kw_only=True, eq=False)
class Coded:
    """Rows as a network sees them, or makes them.

    Attributes:
        scores: of numbers, dates and rare categories; NaN where unknown.
        classes: of categories; the number of classes where unknown.
        bits: 1 where a value is missing; of the columns that can miss.
    """

    scores: Float[Tensor, "n score"]
    classes: Int[Tensor, "n category"]
    bits: Float[Tensor, "n bit"]

    def take(self, rows: Int[Tensor, " some"]) -> "Coded":
        """Return some rows."""
        return Coded(scores=self.scores[rows], classes=self.classes[rows], bits=self.bits[rows])

    def __len__(self) -> int:
        return len(self.scores)


class Coding:
    """The way from a table to scores, classes and bits, and back to a table whose columns are valid.

    Args:
        columns: of the table.
        knots: for each score, sorted values of its column, evenly spread over its distribution.
        scales: for each score, the spread of its normal scores, by which they are divided.
    """

    def __init__(
        self, columns: Sequence[Column], knots: Sequence[Float[np.ndarray, " knot"]], scales: Sequence[float]
    ) -> None:
        self.columns = tuple(columns)
        self.knots = tuple(knots)
        self.scales = tuple(scales)
        self.scored = [index for index, column in enumerate(columns) if _has_score(column)]
        self.classed = [index for index, column in enumerate(columns) if _is_classed(column)]
        self.missable = [index for index, column in enumerate(columns) if _has_bit(column)]
        self.whole = Whole(columns)
        self._levels = [_Levels(*one) for one in zip(self.knots, self.scales, strict=True)]

    @property
    def n_classes(self) -> list[int]:
        """How many classes each category has."""
        return [min(MOST_CLASSES, len(self.columns[index].choices)) for index in self.classed]

    @classmethod
    def learn(cls, columns: Sequence[Column], frame: "pd.DataFrame") -> "Coding":
        """Return the coding of a table."""
        knots, scales = [], []
        for column in columns:
            if _has_score(column):
                values = _score_values(column, column.to_numbers(frame[column.name]))
                values = np.sort(values[np.isfinite(values)])
                values = values if len(values) else np.zeros(1)  # all that it holds stands in rows not learned from
                levels = np.linspace(0, 1, min(_KNOTS, len(values)))
                knots.append(values if len(values) <= _KNOTS else np.quantile(values, levels))
                scales.append(float(normal_scores(values, knots[-1]).std()) or 1.0)
        return cls(columns, knots, scales)

    def encode(self, frame: "pd.DataFrame", *, each: Callable[[int], None] = lambda _: None) -> Coded:
        """Return a table as numbers; a category never seen is unknown, a number out of range at its end.

        Args:
            frame: the table.
            each: told 1 after each column.

        Raises:
            InputError: columns are absent, or hold something else than what was learned.
        """
        absent = [column.name for column in self.columns if column.name not in frame.columns]
        if absent:
            raise InputError(
                f"the table must have the {len(self.columns)} columns that the generator learned, got one without "
                f"{absent[0]!r}."
            )
        gone = [frame[self.columns[index].name].isna().to_numpy(dtype=bool) for index in self.missable]
        return self.coded(self.whole.numbers(frame, each=each), _stacked(gone, len(frame)).astype(bool))

    def coded(self, numbers: Float[np.ndarray, "n column"], gone: Bool[np.ndarray, "n bit"]) -> Coded:
        """Return rows as `encode` does, of their numbers (`Column.to_numbers`) and where values are missing."""
        scores = [
            levels(_score_values(self.columns[index], numbers[:, index]))
            for index, levels in zip(self.scored, self._levels, strict=True)
        ]
        classes = [_classes(numbers[:, index], n) for index, n in zip(self.classed, self.n_classes, strict=True)]
        return Coded(
            scores=torch.from_numpy(_stacked(scores, len(numbers))).float(),
            classes=torch.from_numpy(_stacked(classes, len(numbers))).long(),
            bits=torch.from_numpy(gone).float(),
        )

    def decode(self, levels: Float[Tensor, "n score"], classes: Int[Tensor, "n category"], bits: Tensor) -> Any:
        """Return the table; its columns are valid whatever is given.

        Args:
            levels: shares of the distribution below each value, in [0, 1].
            classes: as in `Coded`.
            bits: (n, bit), true where a value is missing.
        """
        at, gone, numbers = (
            levels.cpu().double().numpy(),
            bits.cpu().numpy(),
            np.zeros((len(levels), len(self.columns))),
        )
        numbers[:, self.classed] = classes.cpu().double().numpy()
        for place, index in enumerate(self.scored):
            values = values_at(at[:, place], self.knots[place])
            is_rare = numbers[:, index] >= MOST_CLASSES - 1
            numbers[:, index] = np.where(is_rare, values, numbers[:, index]) if index in self.classed else values
        missing = {index: gone[:, place].astype(bool) for place, index in enumerate(self.missable)}
        return self.whole.frame(numbers, missing)

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that `from_state` needs beside the columns."""
        knots = {f"knots.{place}": torch.from_numpy(values.copy()) for place, values in enumerate(self.knots)}
        return knots | {"scales": torch.tensor(self.scales, dtype=torch.float64)}

    @classmethod
    def from_state(cls, columns: Sequence[Column], tensors: Mapping[str, Tensor]) -> "Coding":
        """Build it again."""
        scales = tensors["scales"].tolist()
        return cls(columns, [tensors[f"knots.{place}"].double().numpy() for place in range(len(scales))], scales)


def normal_scores(values: Float[np.ndarray, " n"], knots: Float[np.ndarray, " knot"]) -> Float[np.ndarray, " n"]:
    """Return the standard normal quantile at which each value stands among `knots`; the middle where many are equal.

    Zeros that make up most of a column all get one score, and a long tail is no longer than a normal one.

    Example:
        >>> normal_scores(np.array([0.0, 5.0]), np.array([0.0, 0.0, 0.0, 5.0])).round(2)
        array([-0.32,  1.15])
    """
    clipped = np.clip(values, knots[0], knots[-1])
    rank = (np.searchsorted(knots, clipped, "left") + np.searchsorted(knots, clipped, "right")) / 2
    level = np.clip(rank / len(knots), 0.5 / len(knots), 1 - 0.5 / len(knots))
    return np.where(np.isnan(values), np.nan, ndtri(level))


class _Levels:
    """The normal scores of one column, divided by their spread: looked up, for there are two a knot."""

    def __init__(self, knots: Float[np.ndarray, " knot"], scale: float) -> None:
        self._values, counts = np.unique(knots, return_counts=True)
        ends = counts.cumsum()
        ranks = np.stack([ends - counts, ends - counts / 2], axis=1)  # between the knots before and these, and at these
        level = np.clip(ranks / len(knots), 0.5 / len(knots), 1 - 0.5 / len(knots))
        self._scores = ndtri(level) / scale

    def __call__(self, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return what `normal_scores` does."""
        clipped = np.clip(values, self._values[0], self._values[-1])
        place = np.searchsorted(self._values, clipped).clip(0, len(self._values) - 1)  # NaN stands behind the last
        scores = self._scores[place, (self._values[place] == clipped).astype(int)]
        return np.where(np.isnan(values), np.nan, scores)


def values_at(levels: Float[np.ndarray, " n"], knots: Float[np.ndarray, " knot"]) -> Float[np.ndarray, " n"]:
    """Return the value below which a share `levels` of the distribution lies; never outside the knots.

    Example:
        >>> values_at(np.array([0.1, 0.6, 0.9]), np.array([0.0, 0.0, 0.0, 5.0]))
        array([0., 0., 5.])
    """
    place = np.clip(levels * len(knots) - 0.5, 0, len(knots) - 1)
    return np.interp(place, np.arange(len(knots)), knots)


def _is_classed(column: Column) -> bool:
    return column.kind == "category" and not column.is_identifier


def _has_score(column: Column) -> bool:
    if column.is_identifier:  # nothing hangs on it: it is left out, and made rows have the first
        return False
    if column.kind == "category":
        return len(column.choices) > MOST_CLASSES
    return column.kind in ("number", "date") and column.high > column.low


def _has_bit(column: Column) -> bool:
    return column.can_miss and column.kind != "missing" and not column.is_identifier


def _score_values(column: Column, numbers: np.ndarray) -> np.ndarray:
    """Return what a score stands for: the number; of a category its place among the rare ones."""
    if column.kind != "category":
        return numbers
    return np.where(numbers >= MOST_CLASSES - 1, numbers, np.nan)


def _classes(numbers: np.ndarray, n_classes: int) -> np.ndarray:
    """Return classes; `n_classes` itself where missing or never seen."""
    is_known = np.isfinite(numbers) & (numbers >= 0)
    return np.where(is_known, np.minimum(np.nan_to_num(numbers), n_classes - 1), n_classes)


def _stacked(columns: list[np.ndarray], n: int) -> np.ndarray:
    return np.stack(columns, axis=1) if columns else np.zeros((n, 0))
