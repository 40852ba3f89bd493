"""A record as values that JSON has, with its arrays beside them, and back, bit for bit."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likethat._checks import require
from likethat._documents import Damaged

__all__ = ["pack", "unpack"]

_ARRAY, _TENSOR, _TABLE = "$array", "$tensor", "$table"
"""Stand alone in a mapping for what is no plain value; names of the user's own that begin so get another $."""


def pack(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    """Return a value as JSON has it, and put its arrays among `tensors`, named after their place.

    What is neither a record, a batch nor a plain value becomes its text.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | str | int | float):
        return value
    if isinstance(value, np.ndarray | Tensor):
        tensors[place] = torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value
        return {_ARRAY if isinstance(value, np.ndarray) else _TENSOR: place}
    if _is_table(value):
        columns = [_packed_column(value.iloc[:, at], f"{place}.{at}", tensors) for at in range(value.shape[1])]
        return {_TABLE: columns}
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_escaped(str(name)): pack(one, f"{place}.{name}", tensors) for name, one in value.items()}
    if isinstance(value, Sequence | Set):
        return [pack(one, f"{place}.{at}", tensors) for at, one in enumerate(value)]
    return str(value)


def unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return what `pack` was given; records come back as mappings.

    Raises:
        Damaged: an array that is not among `tensors`, or a table that is none.
    """
    if isinstance(value, list):
        return [unpack(one, tensors) for one in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"$array": str(place)}:
            return _found(place, tensors).numpy()
        case {"$tensor": str(place)}:
            return _found(place, tensors)
        case {"$table": list(columns)}:
            return _table(columns, tensors)
    return {name.removeprefix("$"): unpack(one, tensors) for name, one in value.items()}


def _packed_column(column: Any, place: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Return a column: numbers as an array, categories as their numbers, all else as a list."""
    about = {"name": column.name, "dtype": str(column.dtype)}
    if about["dtype"] == "category":
        categories = _packed_column(column.cat.categories.to_series(name=""), f"{place}.categories", tensors)
        codes = pack(column.cat.codes.to_numpy(), place, tensors)
        return about | {"values": codes, "categories": categories, "is_ordered": bool(column.cat.ordered)}
    is_number = isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf"
    return about | {"values": pack(column.to_numpy() if is_number else column.tolist(), place, tensors)}


def _table(columns: list[Any], tensors: Mapping[str, Tensor]) -> Any:
    pandas: Any = require("pandas", purpose="a result with a table")
    series = [_column(one, tensors) for one in columns]
    if len({len(one) for one in series}) > 1:
        raise Damaged("holds a table whose columns are not of one length")
    frame = pandas.concat(series, axis=1) if series else pandas.DataFrame()
    frame.columns = [one["name"] for one in columns]
    return frame


def _column(about: dict[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    pandas: Any = require("pandas", purpose="a result with a table")
    values = unpack(about["values"], tensors)
    if about["dtype"] != "category":
        return pandas.Series(values, dtype=about["dtype"])
    categories = pandas.Index(_column(about["categories"], tensors))
    return pandas.Series(pandas.Categorical.from_codes(values, categories, ordered=about["is_ordered"] is True))


def _found(place: str, tensors: Mapping[str, Tensor]) -> Tensor:
    if place not in tensors:
        raise Damaged(f"names the array {place[:60]!r}, which is not there")
    return tensors[place]


def _escaped(name: str) -> str:
    return f"${name}" if name.startswith("$") else name


def _is_table(value: Any) -> bool:
    pandas = sys.modules.get("pandas")  # a DataFrame cannot exist before its library was imported
    return pandas is not None and isinstance(value, pandas.DataFrame)
