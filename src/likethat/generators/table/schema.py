"""Learn from a table what its columns are."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from likethat._checks import require
from likethat.errors import InputError
from likethat.generators.table.columns import Column, ColumnKind, Scalar, finite_numbers, plain, ticks_of

if TYPE_CHECKING:
    import pandas as pd

_EXACT = 2**53  # whole numbers up to here are exact as float64
_DECIMALS = 6  # that a column may be rounded to; beyond, it counts as measured
_NAMED, _NEARLY_ALL = 30, 0.9  # rows, and the share of them with a value of their own, that make names of categories
_COLLISIONS = 10  # pairs of equal numbers expected where there is none: by chance once in 22,000 columns


def learn_columns(frame: "pd.DataFrame", *, each: Callable[[int], None] = lambda _: None) -> tuple[Column, ...]:
    """Return what the columns of a table are.

    Args:
        frame: the table.
        each: told 1 after each column.

    Raises:
        InputError: names that occur twice or are no text or number; values of a kind that has no place in a table.
        NonFiniteError: infinite numbers.
    """
    require("pandas", purpose="a generator of tables")
    names = list(frame.columns)
    twice = sorted({str(name) for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise InputError(f"the columns of a table must have different names, got {twice[0]!r} twice. Rename one.")
    for name in names:
        if not isinstance(plain(name), str | int | float | bool):
            raise InputError(f"a column's name must be text or a number, got {name!r}. Flatten the columns first.")
    columns = []
    for name in names:
        columns.append(_learn(plain(name), frame[name]))
        each(1)
    return tuple(columns)


def _learn(name: Scalar, series: "pd.Series") -> Column:
    import pandas as pd

    dtype, kinds = series.dtype, pd.api.types
    present = series[series.notna()]
    is_category = isinstance(dtype, pd.CategoricalDtype)
    shared: dict[str, Any] = {
        "name": name,
        "dtype": "category" if is_category else str(dtype),
        "can_miss": len(present) < len(series),
        "missing_as": "None" if any(value is None for value in series[series.isna()].head(1)) else "nan",
    }
    if is_category:
        shared["categories"] = tuple(_checked(name, value) for value in series.cat.categories)
        shared["is_ordered"] = bool(series.cat.ordered)
    if not len(present):
        return Column(kind="missing", **shared)
    is_number = kinds.is_numeric_dtype(dtype) and not kinds.is_bool_dtype(dtype) and not is_category
    if is_number:
        finite_numbers(present, name)
    is_date = kinds.is_datetime64_any_dtype(dtype) or kinds.is_timedelta64_dtype(dtype)
    is_date = is_date or isinstance(dtype, pd.PeriodDtype)
    if is_date and present.nunique() > 1:
        return _learn_dates(shared, present)
    if is_number and present.nunique() > 2 and _fits(present):
        return _learn_numbers(shared, present)
    if is_date:
        tick = int(ticks_of(present, Column(kind="date", **shared))[0])
        return Column(kind="date", low=tick, high=tick, step=1, **shared)
    return _learn_choices(shared, present)


def _learn_choices(shared: dict[str, Any], present: "pd.Series") -> Column:
    try:
        counts = present.value_counts()
    except TypeError as error:
        raise _no_place(shared["name"], present.iloc[0]) from error
    pairs = [(_checked(shared["name"], value), int(count)) for value, count in counts.items() if count]
    pairs.sort(key=lambda pair: (-pair[1], str(pair[0])))
    choices = tuple(value for value, _ in pairs)
    is_identifier = len(present) >= _NAMED and len(choices) > _NEARLY_ALL * len(present)
    kind: ColumnKind = "constant" if len(choices) == 1 else "category"
    return Column(kind=kind, choices=choices, is_identifier=is_identifier, **shared)


def _learn_numbers(shared: dict[str, Any], present: "pd.Series") -> Column:
    values = present.to_numpy(dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    if (values == np.round(values)).all() and max(abs(low), abs(high)) < _EXACT:
        step = int(np.gcd.reduce((values - low).astype(np.int64)))
        is_identifier = _counts_rows(len(values), present.nunique(), (high - low) / step)
        return Column(kind="number", low=int(low), high=int(high), step=step, is_identifier=is_identifier, **shared)
    fits = (d for d in range(1, _DECIMALS + 1) if np.allclose(np.round(values, d), values, rtol=1e-15, atol=0))
    return Column(kind="number", low=low, high=high, decimals=next(fits, None), **shared)


def _counts_rows(n: int, n_different: int, places: float) -> bool:
    """Whether whole numbers are numbers of rows: no two are the same, though drawn at random many would be."""
    return n >= _NAMED and n_different == n and n * n / (2 * (places + 1)) >= _COLLISIONS


def _learn_dates(shared: dict[str, Any], present: "pd.Series") -> Column:
    ticks = ticks_of(present, Column(kind="date", **shared))
    low, high = int(ticks.min()), int(ticks.max())
    return Column(kind="date", low=low, high=high, step=int(np.gcd.reduce(ticks - low)), **shared)


def _fits(present: "pd.Series") -> bool:
    """Whether numbers survive as float64; identifiers beyond 2**53 do not, and are categories."""
    return present.dtype.kind == "f" or bool((present.abs() < _EXACT).all())


def _checked(name: Scalar, value: Any) -> Scalar:
    own = plain(value)
    if not isinstance(own, str | int | float | bool):
        raise _no_place(name, value)
    result: Scalar = own
    return result


def _no_place(name: Scalar, value: Any) -> InputError:
    return InputError(
        f"column {name!r} must hold numbers, texts, truth values or dates, got {type(value).__name__}. Convert it, "
        f"say with frame[{name!r}].astype(str), or leave it out."
    )
