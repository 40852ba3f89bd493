"""All columns of a table at once: one step for all plain numbers, one for each other column."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from likethat.generators.table.columns import Column

if TYPE_CHECKING:
    import pandas as pd

_EXACT = 2**53  # whole numbers beyond are not all floats


class Whole:
    """Reads rows of a table as numbers, and writes them, as `Column.to_numbers` and `from_numbers` do, bit for bit.

    Args:
        columns: of the table.
        where: which columns may be plain; None for all that can.

    Attributes:
        columns: as given.
        plain: places of the columns that hold numbers in a type of NumPy's own; they are read and written together.
        others: places of all others.
    """

    def __init__(self, columns: Sequence[Column], *, where: Sequence[bool] | None = None) -> None:
        self.columns = tuple(columns)
        is_plain = np.array([_is_plain(column) for column in columns], dtype=bool)
        if where is not None:
            is_plain &= np.array(where, dtype=bool)
        self.plain, self.others = np.flatnonzero(is_plain), np.flatnonzero(~is_plain).tolist()
        some = [self.columns[place] for place in self.plain]
        self._names = [column.name for column in some]
        self._seen: tuple[Any, bool] = (None, False)  # columns of a table, and whether they are just these
        self._low, self._high, self._step = (
            np.array([float(getattr(column, name)) for column in some]) for name in ("low", "high", "step")
        )
        self._whole = self._step > 0
        self._can_miss = np.array([column.can_miss for column in some], dtype=bool)
        self._narrow = np.array([column.dtype == "float32" for column in some], dtype=bool)
        decimals = {column.decimals for column in some if not column.step and column.decimals is not None}
        self._rounded = {
            n: np.array([not column.step and column.decimals == n for column in some], dtype=bool) for n in decimals
        }

    def numbers(
        self,
        frame: "pd.DataFrame",
        *,
        each: Callable[[int], None] = lambda _: None,
    ) -> Float[np.ndarray, "n column"]:
        """Return each value as a number, NaN where it is missing.

        Args:
            frame: with all columns.
            each: told 1 after each column.

        Raises:
            InputError: values that are no numbers where a column has numbers.
        """
        found = np.empty((len(frame), len(self.columns)))
        values = self._plain_values(frame)
        if values is not None:
            found[:, self.plain] = self.placed(values)
            each(len(self.plain))
        for place in range(len(self.columns)) if values is None else self.others:
            found[:, place] = self.columns[place].to_numbers(frame[self.columns[place].name])
            each(1)
        return found

    def _plain_values(self, frame: "pd.DataFrame") -> np.ndarray | None:
        """Return the values of plain columns; None where some are of another type or infinite: alone they say so."""
        if frame.columns is not self._seen[0]:
            self._seen = frame.columns, list(frame.columns) == self._names
        values = (frame if self._seen[1] else frame[self._names]).to_numpy()
        is_plain = values.dtype.kind in "fiu" and not (values.dtype.kind == "f" and np.isinf(values).any())
        return values.astype(np.float64, copy=False) if is_plain else None

    def placed(self, values: Float[np.ndarray, "n plain"]) -> Float[np.ndarray, "n plain"]:
        """Return the numbers of values of the plain columns."""
        return np.where(self._whole, (values - self._low) / np.where(self._whole, self._step, 1.0), values)

    def snapped(self, numbers: Float[np.ndarray, "n plain"]) -> Float[np.ndarray, "n plain"]:
        """Return the nearest valid numbers of the plain columns; NaN stays."""
        found = np.where(self._whole, np.round(numbers), numbers)
        for decimals, where in self._rounded.items():
            found[:, where] = np.round(numbers[:, where], decimals)
        top = (self._high - self._low) / np.where(self._whole, self._step, 1.0)
        return np.clip(found, np.where(self._whole, 0.0, self._low), np.where(self._whole, top, self._high))

    def written(self, numbers: Float[np.ndarray, "n plain"]) -> Float[np.ndarray, "n plain"]:
        """Return the values of the plain columns for numbers; missing ones for NaN, where the column can miss."""
        snapped = self.snapped(np.where(np.isnan(numbers) & ~self._can_miss, 0.0, numbers))
        values = np.where(self._whole, snapped * self._step + self._low, snapped)
        if self._narrow.any():
            values[:, self._narrow] = values[:, self._narrow].astype(np.float32)
        return values

    def frame(
        self, numbers: Float[np.ndarray, "n column"], missing: Mapping[int, Bool[np.ndarray, " n"]]
    ) -> "pd.DataFrame":
        """Return a table whose columns are valid whatever the numbers are.

        Args:
            numbers: as `numbers` returns them, none missing.
            missing: where no value shall stand, by the place of the column.
        """
        some = numbers.copy()
        for place, where in missing.items():
            some[where, place] = np.nan
        values, made = self.written(some[:, self.plain]), dict[int, Any]()
        for at, place in enumerate(self.plain.tolist()):
            made[place] = values[:, at].astype(self.columns[place].dtype)
        for place in self.others:
            made[place] = self.columns[place].from_numbers(numbers[:, place], missing.get(place))
        return as_frame([made[place] for place in range(len(self.columns))], [column.name for column in self.columns])


def as_frame(columns: Sequence[Any], names: Any) -> "pd.DataFrame":
    """Return a table of arrays or series, one a column; of one type they are laid out as one array."""
    import pandas as pd

    n = len(columns[0]) if columns else 0
    dtypes = {str(column.dtype) if isinstance(column, np.ndarray) else "" for column in columns}
    if len(dtypes) == 1 and "" not in dtypes:
        return block_as_frame(np.stack(columns, axis=1), names)
    kept = [
        pd.Series(one, dtype=object) if one.dtype == object else one for one in columns
    ]  # else texts become strings
    made = pd.DataFrame(dict(enumerate(kept)), index=pd.RangeIndex(n))
    made.columns = pd.Index(names)
    return made


def block_as_frame(values: np.ndarray, names: Any) -> "pd.DataFrame":
    """Return a table of one array (row, column)."""
    import pandas as pd

    columns = names if isinstance(names, pd.Index) else pd.Index(names)
    return pd.DataFrame(values, columns=columns, index=pd.RangeIndex(len(values)))


def _is_plain(column: Column) -> bool:
    if column.kind != "number" or max(abs(column.low), abs(column.high)) >= _EXACT:
        return False
    return column.dtype in _PLAIN


_PLAIN = {np.dtype(code).name for code in "fdbhilqBHILQ"}
