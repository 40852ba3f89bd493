"""What the columns of a table are, kept as JSON, and held by every table that is made."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

from likethat._documents import typed
from likethat.errors import InputError, NonFiniteError

if TYPE_CHECKING:
    import pandas as pd

Scalar: TypeAlias = str | int | float | bool
ColumnKind: TypeAlias = Literal["number", "date", "category", "constant", "missing"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table, and what is valid in it.

    Attributes:
        name: as in the table.
        dtype: as pandas writes it; kept exactly.
        kind: "number"; "date" (also durations and periods); "category" (also truth values and numbers of two values);
            "constant"; "missing" (no value at all).
        can_miss: whether values are missing somewhere; where not, none ever will.
        missing_as: what stands in an object column for a missing value: "None" or "nan".
        choices: of a category or constant: its values, the most frequent first.
        low: the smallest value; of whole numbers and dates what `step` counts from.
        high: the largest value.
        step: of whole numbers and dates: what all distances are multiples of; 0 for fractions.
        decimals: of fractions: how many digits after the point; None for no end.
        categories: of pandas' own category dtype: all of them, seen or not.
        is_ordered: of pandas' own category dtype.
        is_identifier: whether it names or counts the rows, as a customer's number does: no value comes twice.
    """

    name: Scalar
    dtype: str
    kind: ColumnKind
    can_miss: bool = False
    missing_as: str = "nan"
    choices: tuple[Scalar, ...] = ()
    low: int | float = 0  # dates are whole numbers beyond what a float holds
    high: int | float = 0
    step: int = 0
    decimals: int | None = None
    categories: tuple[Scalar, ...] = ()
    is_ordered: bool = False
    is_identifier: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return plain values that `from_json` builds it from."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Column":
        """Build it again.

        Raises:
            Damaged: a value of another type.
        """
        return typed(values, cls)

    def describe(self) -> str:
        """Return what is valid in it, for people.

        Example:
            >>> Column(name="age", dtype="int64", kind="number", low=17, high=90, step=1).describe()
            'whole number from 17 to 90'
        """
        maybe = ", or missing" if self.can_miss and self.kind != "missing" else ""
        if self.kind == "missing":
            return "always missing"
        if self.is_identifier:
            return f"an identifier: no value comes twice{maybe}"
        if self.kind == "constant":
            return f"always {self.choices[0]!r}{maybe}"
        if self.kind == "category":
            shown = ", ".join(str(choice) for choice in self.choices[:4])
            return f"one of {len(self.choices):,} categories: {shown}{', …' if len(self.choices) > 4 else ''}{maybe}"
        if self.kind == "date":
            low, high = (self.from_numbers(np.array([end / self.step]))[0] for end in (0.0, self.high - self.low))
            return f"date from {low} to {high}{maybe}"
        what = "whole number" if self.step else "number"
        return f"{what} from {self.low:.6g} to {self.high:.6g}{maybe}"

    def to_numbers(self, series: "pd.Series") -> Float[np.ndarray, " n"]:
        """Return each value as a number, NaN where it is missing.

        A number is itself, or its place on the grid of steps; a category its place among the choices, -1 where it is
        none of them.

        Raises:
            InputError: values that are no numbers where the column has numbers.
        """
        present = series.notna().to_numpy(dtype=bool)
        numbers = np.full(len(series), np.nan)
        if self.kind in ("constant", "missing") or not present.any():
            return numbers
        if self.kind == "category":
            place = {_key(choice): index for index, choice in enumerate(self.choices)}
            codes, values = _different(series[present])
            numbers[present] = np.array([place.get(_key(plain(value)), -1) for value in values])[codes]
        elif self.kind == "date":
            numbers[present] = (ticks_of(series[present], self) - int(self.low)) / self.step
        else:
            values = finite_numbers(series[present], self.name)
            numbers[present] = (values - self.low) / self.step if self.step else values
        return numbers

    def from_numbers(self, numbers: Float[np.ndarray, " n"], missing: Bool[np.ndarray, " n"] | None = None) -> Any:
        """Return a series of the column's own dtype; whatever the numbers are, its values are valid.

        Args:
            numbers: as `to_numbers` returns them; rounded and clipped.
            missing: where no value shall stand.
        """
        import pandas as pd

        missing = np.zeros(len(numbers), dtype=bool) if missing is None else missing & self.can_miss
        if self.kind == "date":
            return _dates(self, numbers, missing)
        if self.kind == "number":
            return _numbers(self, numbers, missing)
        if self.kind == "missing":
            return self._of_objects([None] * len(numbers))
        last = len(self.choices) - 1
        places = np.clip(np.nan_to_num(numbers), 0, last).round().astype(np.int64)
        values = [None if gone else self.choices[place] for place, gone in zip(places, missing, strict=True)]
        if self.dtype == "category":
            return pd.Series(pd.Categorical(values, categories=list(self.categories), ordered=self.is_ordered))
        return self._of_objects(values)

    def _of_objects(self, values: list[Any]) -> Any:
        import pandas as pd

        if self.dtype == "category":
            return pd.Series(pd.Categorical(values, categories=list(self.categories), ordered=self.is_ordered))
        if self.dtype == "object" and self.missing_as == "nan":
            values = [float("nan") if value is None else value for value in values]
        return pd.Series(values, dtype=object).astype(self.dtype)


def _different(series: "pd.Series") -> tuple[np.ndarray, Any]:
    """Return values that differ, and which of them each is; True and 1, which pandas takes for one, stay two."""
    import pandas as pd

    if series.dtype == object and pd.api.types.infer_dtype(series) != "string":
        return np.arange(len(series)), series
    codes, values = pd.factorize(series)
    return np.asarray(codes), values


def _numbers(column: Column, numbers: np.ndarray, missing: np.ndarray) -> Any:
    import pandas as pd

    values = np.nan_to_num(numbers)
    if column.step:
        places = np.clip(np.round(values), 0, (column.high - column.low) / column.step)
        series = pd.Series(places.astype(np.int64) * column.step + int(column.low))
    else:
        if column.decimals is not None:
            values = np.round(values, column.decimals)
        series = pd.Series(np.clip(values, column.low, column.high))
    if missing.any():
        series = series.astype("Int64" if column.step else "Float64").mask(missing)
        if column.dtype.startswith("float"):
            return pd.Series(series.to_numpy(dtype=column.dtype, na_value=np.nan))
    return series.astype(column.dtype)


def _dates(column: Column, numbers: np.ndarray, missing: np.ndarray) -> Any:
    import pandas as pd

    low, step = int(column.low), column.step
    places = np.clip(np.round(np.nan_to_num(numbers)), 0, (int(column.high) - low) // step)
    ticks = low + places.astype(np.int64) * step
    if column.dtype.startswith("period"):
        ticks[missing] = np.iinfo(np.int64).min  # NaT
        return pd.Series(pd.PeriodIndex.from_ordinals(ticks, freq=_freq(column)))
    unit = _unit(column)
    what = "timedelta64" if column.dtype.startswith("timedelta") else "datetime64"
    ticks[missing] = np.iinfo(np.int64).min  # NaT
    series = pd.Series(ticks.view(f"{what}[{unit}]"))
    return series.dt.tz_localize("UTC").astype(column.dtype) if ", " in column.dtype else series.astype(column.dtype)


def ticks_of(series: "pd.Series", column: Column) -> Int[np.ndarray, " n"]:
    """Return dates or durations as whole numbers of the column's unit.

    Raises:
        InputError: they are none.
    """
    import pandas as pd

    try:
        if column.dtype.startswith("period"):
            return np.asarray(series.astype(column.dtype).array.asi8, dtype=np.int64)
        if ", " in column.dtype:
            series = pd.to_datetime(series, utc=True).dt.tz_localize(None)
        what = "timedelta64" if column.dtype.startswith("timedelta") else "datetime64"
        return series.astype(f"{what}[{_unit(column)}]").to_numpy().astype(np.int64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"column {column.name!r} must hold dates as the generator learned, got {series.dtype}. Convert it with "
            "pandas.to_datetime."
        ) from error


def _freq(column: Column) -> str:
    return column.dtype.partition("[")[2].rstrip("]")


def _unit(column: Column) -> str:
    inside = _freq(column).split(",")[0]
    return inside if inside in {"s", "ms", "us", "ns"} else "ns"


def finite_numbers(series: "pd.Series", name: Scalar) -> Float[np.ndarray, " n"]:
    """Return present values as numbers.

    Raises:
        InputError: they are none.
        NonFiniteError: infinite ones among them.
    """
    try:
        values: np.ndarray = series.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"column {name!r} must hold numbers as the generator learned, got {series.dtype}. Convert it with "
            "pandas.to_numeric."
        ) from error
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise NonFiniteError(
            f"column {name!r} must be finite or missing, got {bad} infinite of {len(values)} values. Replace them by "
            "missing ones, or leave the column out."
        )
    return values


def plain(value: Any) -> Any:
    """Return a value of numpy as Python's own."""
    return value.item() if isinstance(value, np.generic) else value


def _key(value: Any) -> tuple[bool, Any]:
    """Tell True from 1, which are equal."""
    return isinstance(value, bool), value
