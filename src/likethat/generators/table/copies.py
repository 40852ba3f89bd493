"""Whether rows are those that a generator learned from, or nearer to them than new rows are."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from likethat.generators.table.columns import Column
from likethat.generators.table.quality import varying_columns

if TYPE_CHECKING:
    import pandas as pd

_MOST = 5000  # rows that distances are measured to: of more, a draw
_BLOCK = 200  # rows at a time: 4 MB of distances


class Learned:
    """Rows that were learned from, to compare others with.

    Args:
        rows: all of them.
        columns: of the table.
        seed: of the draw that distances are measured to, where the rows are more than 5,000.
    """

    def __init__(self, rows: "pd.DataFrame", columns: Sequence[Column], *, seed: int = 0) -> None:
        self._columns = varying_columns(columns)
        numbers = self._numbers(rows)
        self._known = set(map(bytes, numbers))
        self._sorted = [np.sort(values[np.isfinite(values)]) for values in numbers.T]
        few = np.random.default_rng(seed).permutation(len(rows))[:_MOST]
        self._places = self._levels(numbers[few])

    def copied(self, rows: "pd.DataFrame") -> Bool[np.ndarray, " n"]:
        """Return which rows equal a learned one in every column that varies."""
        return np.array([bytes(row) in self._known for row in self._numbers(rows)], dtype=bool)

    def distances(self, rows: "pd.DataFrame") -> Float[np.ndarray, " n"]:
        """Return how far each row is from the nearest learned one, in [0, 1]: the mean over the columns.

        Of a number or a date it is the share of learned values between the two; of a category, and of a value that is
        missing in one of them, 0 or 1.
        """
        levels = self._levels(self._numbers(rows))
        blocks = [self._nearest(levels[start : start + _BLOCK]) for start in range(0, len(levels), _BLOCK)]
        return np.concatenate(blocks) if blocks else np.zeros(0)

    def _nearest(self, levels: Float[np.ndarray, "block column"]) -> Float[np.ndarray, " block"]:
        total = np.zeros((len(levels), len(self._places)), dtype=np.float32)
        for place, column in enumerate(self._columns):
            own, theirs = levels[:, place, None], self._places[None, :, place]
            if column.kind == "category":
                total += own != theirs
            else:
                apart = np.abs(own - theirs)
                total += np.where(np.isnan(apart), np.isnan(own) != np.isnan(theirs), apart)
        return np.asarray(total.min(axis=1) / max(1, len(self._columns)), dtype=np.float64)

    def _numbers(self, rows: "pd.DataFrame") -> Float[np.ndarray, "n column"]:
        found = [column.to_numbers(rows[column.name]) for column in self._columns]
        return np.stack(found, axis=1) + 0.0 if found else np.zeros((len(rows), 0))  # -0.0 is 0.0

    def _levels(self, numbers: Float[np.ndarray, "n column"]) -> Float[np.ndarray, "n column"]:
        """Return numbers as shares of the learned ones below; categories as they are, missing ones as -2."""
        levels = np.empty(numbers.shape, dtype=np.float32)
        for place, (column, ordered) in enumerate(zip(self._columns, self._sorted, strict=True)):
            values = numbers[:, place]
            if column.kind == "category":
                levels[:, place] = np.nan_to_num(values, nan=-2.0)
                continue
            below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
            levels[:, place] = np.where(np.isnan(values), np.nan, below / max(1, 2 * len(ordered)))
        return levels
