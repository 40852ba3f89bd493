"""One column as a line: its values in their order, and back to values that can stand in it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from likethat.errors import InputError
from likethat.generators.table.columns import Column, Scalar

if TYPE_CHECKING:
    import pandas as pd

_TICKS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}  # nanoseconds, so that dates of two dtypes compare
_FEW = 12  # a number with so few values is a code: there is nothing between two of them


class Scale:
    """Where the values of a column stand.

    Args:
        column: what is valid.
        typical: positions of some values; they give its spread. Without them that is 1, and nothing is divisible.

    Attributes:
        column: as given.
        is_ordered: whether one value can lie above another: numbers, dates, ordered categories.
        is_divisible: whether there are valid values between two.
        spread: standard deviation of the positions; 1 where they are all the same.
    """

    def __init__(self, column: Column, typical: Float[np.ndarray, " n"] | None = None) -> None:
        self.column = column
        self._order = _order_of(column)
        self.is_ordered = column.kind in ("number", "date") or self._order is not None
        self.is_divisible, self.spread = False, 1.0
        if typical is None:
            return
        positions = typical[np.isfinite(typical)]
        values = np.unique(positions)
        has_no_gap = len(values) > 2 and float(values[-1] - values[0]) == len(values) - 1  # as of scores from 1 to 10
        self.is_divisible = column.kind in ("number", "date") and (
            len(values) > _FEW or (has_no_gap and column.step > 0)
        )
        self.spread = (float(positions.std()) if len(positions) else 0.0) or 1.0

    def positions(self, series: "pd.Series") -> Float[np.ndarray, " n"]:
        """Return where each value stands; NaN where it is missing, -1 for a category that was never seen.

        Raises:
            InputError: values that are no numbers or dates where the column has those.
        """
        return self.positions_of(self.column.to_numbers(series), series.isna().to_numpy(dtype=bool))

    def positions_of(self, numbers: Float[np.ndarray, " n"], gone: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return where values stand by their numbers (`Column.to_numbers`), and where they are missing."""
        if self.column.kind == "constant":
            return np.where(gone, np.nan, 0.0)
        if self._order is None or self.column.kind != "category":
            return numbers
        is_known = np.isfinite(numbers) & (numbers >= 0)
        return np.where(is_known, self._order[np.where(is_known, numbers, 0).astype(int)], numbers)

    def values(self, positions: Float[np.ndarray, " n"]) -> "pd.Series":
        """Return the valid values nearest to some positions; missing ones for NaN, where the column can miss."""
        found: pd.Series = self.column.from_numbers(self.numbers_of(positions), np.isnan(positions))
        return found

    def numbers_of(self, positions: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return the numbers that `Column.from_numbers` takes."""
        if self._order is None or self.column.kind != "category":
            return positions
        return np.abs(np.nan_to_num(positions)[:, None] - self._order[None]).argmin(axis=1).astype(float)

    def positions_of_choices(self) -> Float[np.ndarray, " choice"]:
        """Return where the choices of a category stand, the most frequent first."""
        return np.arange(len(self.column.choices), dtype=float) if self._order is None else self._order

    def snap(self, positions: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return the nearest positions of valid values; NaN stays."""
        column = self.column
        if self._order is not None and len(self._order):
            nearest = np.abs(np.nan_to_num(positions)[:, None] - self._order[None]).argmin(axis=1)
            return np.where(np.isnan(positions), np.nan, self._order[nearest])
        if column.kind in ("category", "constant"):
            return np.clip(np.round(positions), 0, len(column.choices) - 1)
        if column.step:
            return np.clip(np.round(positions), 0, (column.high - column.low) // column.step)
        rounded = positions if column.decimals is None else np.round(positions, column.decimals)
        return np.clip(rounded, column.low, column.high)

    def sizes(self, positions: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return numbers and dates in units that columns share: the number itself; dates in ticks of their dtype."""
        column = self.column
        scale = float(_TICKS.get(column.dtype.partition("[")[2][:2].rstrip("],"), 1)) if column.kind == "date" else 1.0
        return scale * (column.low + positions * column.step) if column.step else positions

    def at_size(self, sizes: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return the positions of sizes; the inverse of `sizes`."""
        column = self.column
        scale = float(_TICKS.get(column.dtype.partition("[")[2][:2].rstrip("],"), 1)) if column.kind == "date" else 1.0
        return (sizes / scale - column.low) / column.step if column.step else sizes

    def place_of(self, end: Any, *, name: str) -> float:
        """Return where an end of a range stands.

        Raises:
            InputError: it is no number, date or category of the column.
        """
        import pandas as pd

        column = self.column
        try:
            if column.kind == "date":
                dtype = dtype_of(column)
                return float(column.to_numbers(pd.Series([end]).astype(dtype))[0])
            if column.is_ordered:
                return float(column.categories.index(end))
            return (float(end) - column.low) / column.step if column.step else float(end)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"`{name}` must be of values as column {column.name!r} holds, got {end!r}. It holds: "
                f"{column.describe()}."
            ) from error

    def within(self, positions: Float[np.ndarray, " n"], low: float, high: float) -> Float[np.ndarray, " n"]:
        """Return the nearest valid positions between two; NaN for all where there is none."""
        valid = self._valid_between(low, high)
        if valid is None:
            return np.full(len(positions), np.nan)
        if isinstance(valid, tuple):
            return np.clip(positions, *valid)
        return valid[np.abs(positions[:, None] - valid[None]).argmin(axis=1)]

    def _valid_between(self, low: float, high: float) -> tuple[float, float] | Float[np.ndarray, " some"] | None:
        """Return the lowest and highest valid position, or all of them where they are few; None for none."""
        column = self.column
        if self._order is not None:
            order = np.sort(self._order[(self._order >= low) & (self._order <= high)])
            return order if len(order) else None
        bottom, top = (column.low, column.high) if not column.step else (0, (column.high - column.low) // column.step)
        if column.step:
            low, high = np.ceil(low), np.floor(high)
        elif column.decimals is not None:
            ten = 10.0**column.decimals
            low, high = (np.round(way(end * ten) / ten, column.decimals) for way, end in ((_up, low), (_down, high)))
        low, high = max(low, bottom), min(high, top)
        return (float(low), float(high)) if low <= high else None


def _up(value: float) -> float:
    """Round up, but for what arithmetic adds: 0.3 x 10 is 3, not 4."""
    return float(np.ceil(value - 1e-9 * max(1.0, abs(value)))) if np.isfinite(value) else value


def _down(value: float) -> float:
    return -_up(-value)


def _order_of(column: Column) -> Float[np.ndarray, " choice"] | None:
    """Return where each choice stands, of categories that have an order; None of others."""
    if column.kind not in ("category", "constant"):
        return None
    if column.is_ordered:
        return np.array([column.categories.index(choice) for choice in column.choices], dtype=float)
    if all(_is_number(choice) for choice in column.choices):
        return np.array(column.choices, dtype=float)
    return None


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def dtype_of(column: Column) -> Any:
    """Return the dtype of a column as pandas takes it."""
    import pandas as pd

    if column.dtype == "category":
        return pd.CategoricalDtype(list(column.categories), ordered=column.is_ordered)
    return column.dtype


def as_learned(frame: "pd.DataFrame", columns: Sequence[Column]) -> "pd.DataFrame":
    """Return rows in the types that were learned, wherever that loses nothing: what a model was trained on.

    A row of a CSV file has other types than the table it belongs to: whole numbers as floats, categories as text.
    """
    import pandas as pd

    made = {column.name: _cast(frame[column.name], column) for column in columns if column.name in frame.columns}
    return pd.DataFrame({name: made.get(name, frame[name]) for name in frame.columns}, index=frame.index)


def _cast(series: "pd.Series", column: Column) -> "pd.Series":
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "fiu" and series.dtype.name == column.dtype:
        return series
    try:
        cast = series.astype(dtype_of(column))
        gone = series.isna().to_numpy(dtype=bool)
        before, after = (each[~gone].astype(object).to_numpy() for each in (series, cast))
        same = before == after
        if column.kind == "date" and all(isinstance(value, str) for value in before):
            same = np.ones(len(before), dtype=bool)  # a file has dates as text; that they were read is enough
        if column.dtype == "float32":  # a file has it in decimals, which a float64 holds otherwise
            same = np.isclose(before.astype(float), after.astype(float), rtol=float(np.finfo("float32").eps), atol=0)
        is_whole = bool((cast.isna().to_numpy(dtype=bool) == gone).all()) and bool(np.all(same))
    except (TypeError, ValueError, OverflowError):
        return series
    if column.dtype == "object" and column.missing_as == "None":
        cast = cast.where(~gone, None)
    return cast if is_whole else series
