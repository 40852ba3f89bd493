"""Rows beside one source row: read once, and written so that what stays is the source's own, bit for bit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from likethat.generators.table.columns import Column
from likethat.generators.table.scale import Scale
from likethat.generators.table.whole import Whole, as_frame, block_as_frame

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Rows of a table as numbers.

    Attributes:
        frame: the table.
        numbers: of each value (`Column.to_numbers`).
        gone: where values are missing.
        positions: of each value (`Scale.positions`).
        same: where values are the source's own; a missing one is the same as a missing one.
    """

    frame: "pd.DataFrame"
    numbers: Float[np.ndarray, "n column"]
    gone: Bool[np.ndarray, "n column"]
    positions: Float[np.ndarray, "n column"]
    same: Bool[np.ndarray, "n column"]


class Writer:
    """Reads and writes rows that have the columns of one source row, in its order and types.

    Args:
        source: a table of one row.
        columns: what is valid in those of its columns that a generator knows.

    Attributes:
        source: as given.
        columns: as given.
        own: the source itself.
    """

    def __init__(self, source: "pd.DataFrame", columns: Sequence[Column]) -> None:
        self.source, self.columns = source, tuple(columns)
        self._whole = Whole(columns, where=[str(source[column.name].dtype) == column.dtype for column in columns])
        self._scales = [Scale(column) for column in columns]
        self._constant = [place for place, column in enumerate(columns) if column.kind == "constant"]
        self._moved = [place for place, one in enumerate(columns) if one.kind in ("constant", "category")]
        self._plain_at = {place: at for at, place in enumerate(self._whole.plain.tolist())}
        known = {column.name: place for place, column in enumerate(columns)}
        self._places = [known.get(name) for name in source.columns]
        self._own_columns = [_array(source[name]) for name in source.columns]
        self._own_values = np.array([float(source[columns[place].name].iloc[0]) for place in self._plain_at])
        types = {
            str(one.dtype) if place in self._plain_at else ""
            for one, place in zip(self._own_columns, self._places, strict=True)
        }
        self._one_type = types.pop() if len(types) == 1 and "" not in types else None
        self._order = [self._plain_at[place] for place in self._places if place in self._plain_at]
        numbers, gone = self._numbers(source)
        at = self._positions(numbers, gone)
        self.own = Rows(frame=source, numbers=numbers, gone=gone, positions=at, same=np.ones(at.shape, dtype=bool))

    def read(self, frame: "pd.DataFrame") -> Rows:
        """Return rows as numbers.

        Raises:
            InputError: values that are no numbers or dates where a column has those.
        """
        numbers, gone = self._numbers(frame)
        same = (numbers == self.own.numbers) | (np.isnan(numbers) & np.isnan(self.own.numbers))
        for place in self._whole.others:
            name = self.columns[place].name
            same[:, place] = _equal(frame[name], self.source[name].iloc[0])
        return Rows(frame=frame, numbers=numbers, gone=gone, positions=self._positions(numbers, gone), same=same)

    def positions(self, frame: "pd.DataFrame") -> Float[np.ndarray, "n column"]:
        """Return where each value stands (`Scale.positions`)."""
        return self._positions(*self._numbers(frame))

    def _numbers(self, frame: "pd.DataFrame") -> tuple[np.ndarray, np.ndarray]:
        numbers = self._whole.numbers(frame)
        gone = np.isnan(numbers)
        for place in self._constant:  # they have no number
            gone[:, place] = frame[self.columns[place].name].isna().to_numpy(dtype=bool)
        return numbers, gone

    def _positions(self, numbers: np.ndarray, gone: np.ndarray) -> Float[np.ndarray, "n column"]:
        at = numbers.copy()
        for place in self._moved:
            at[:, place] = self._scales[place].positions_of(numbers[:, place], gone[:, place])
        return at

    def snapped(
        self, at: Float[np.ndarray, "n column"], live: Bool[np.ndarray, " column"]
    ) -> Float[np.ndarray, "n column"]:
        """Return the nearest positions of valid values in some columns; NaN stays."""
        found, plain = at.copy(), self._whole.plain
        found[:, plain] = np.where(live[plain], self._whole.snapped(at[:, plain]), at[:, plain])
        for place in self._whole.others:
            if live[place]:
                found[:, place] = self._scales[place].snap(at[:, place])
        return found

    def made(self, at: Float[np.ndarray, "n column"], keeps: Bool[np.ndarray, "n column"]) -> Rows:
        """Return rows with the valid values at some positions.

        Args:
            at: positions, as `snapped` returns them.
            keeps: where the source's own value stays.
        """
        numbers, gone = np.where(keeps, self.own.numbers, at), np.where(keeps, self.own.gone, np.isnan(at))
        plain = self._whole.plain
        values = np.where(keeps[:, plain], self._own_values, self._whole.written(at[:, plain]))
        numbers[:, plain] = self._whole.placed(values)
        if self._one_type is not None:
            frame = block_as_frame(values[:, self._order].astype(self._one_type, copy=False), self.source.columns)
        else:
            frame = self._mixed(at, keeps, values, numbers, gone)
        positions = self._positions(numbers, gone)
        same = keeps | (positions == self.own.positions)
        return Rows(frame=frame, numbers=numbers, gone=gone, positions=positions, same=same)

    def _mixed(
        self, at: np.ndarray, keeps: np.ndarray, values: np.ndarray, numbers: np.ndarray, gone: np.ndarray
    ) -> "pd.DataFrame":
        """Return the table column by column, and put the numbers of columns that are not plain in place."""
        columns = []
        for own, place in zip(self._own_columns, self._places, strict=True):
            if place is None or keeps[:, place].all():
                columns.append(own.take(np.zeros(len(at), dtype=np.int64)))
            elif place in self._plain_at:
                columns.append(values[:, self._plain_at[place]].astype(own.dtype))
            else:
                column, series = self.columns[place], self._changed(place, own, at[:, place], keeps[:, place])
                numbers[:, place] = np.where(keeps[:, place], self.own.numbers[:, place], column.to_numbers(series))
                gone[:, place] = series.isna().to_numpy(dtype=bool)
                columns.append(series)
        return as_frame(columns, self.source.columns)

    def _changed(self, place: int, own: Any, at: np.ndarray, keeps: np.ndarray) -> "pd.Series":
        """Return a column in which the source's own value stays in some rows."""
        import pandas as pd

        made = self._scales[place].values(at).astype(own.dtype)
        both = pd.concat([pd.Series(own), made], ignore_index=True)
        return both.take(np.where(keeps, 0, 1 + np.arange(len(at)))).reset_index(drop=True)


def _array(series: "pd.Series") -> Any:
    return series.to_numpy() if isinstance(series.dtype, np.dtype) else series.array


def _equal(values: "pd.Series", own: Any) -> Bool[np.ndarray, " n"]:
    gone = values.isna().to_numpy(dtype=bool)
    if is_missing(own):
        return gone
    return np.array([not lost and value == own for value, lost in zip(values, gone, strict=True)], dtype=bool)


def is_missing(value: Any) -> bool:
    """Tell whether a value is none."""
    import pandas as pd

    return bool(pd.isna(value))
