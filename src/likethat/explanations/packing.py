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
        return _packed_table(value, place, tensors)
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
            return _table(columns, value.get("index"), tensors)
    return {name.removeprefix("$"): unpack(one, tensors) for name, one in value.items()}


def _packed_table(table: Any, place: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Return a table, with its index where that is more than the rows' numbers."""
    columns = [_packed_column(table.iloc[:, at], f"{place}.{at}", tensors) for at in range(table.shape[1])]
    index = table.index
    if index.name is None and index.equals(table.reset_index(drop=True).index):
        return {_TABLE: columns}
    names = index.to_series(name=index.name) if index.nlevels == 1 else index.map(str).to_series()
    return {_TABLE: columns, "index": _packed_column(names, f"{place}.index", tensors)}


def _packed_column(column: Any, place: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Return a column: numbers as an array, categories as their numbers, all else as a list."""
    about = {"name": pack(column.name, place, {}), "dtype": str(column.dtype)}
    if about["dtype"] == "category":
        categories = _packed_column(column.cat.categories.to_series(name=""), f"{place}.categories", tensors)
        codes = pack(column.cat.codes.to_numpy(), place, tensors)
        return about | {"values": codes, "categories": categories, "is_ordered": bool(column.cat.ordered)}
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return about | {"values": pack(column.to_numpy(), place, tensors)}
    pandas: Any = require("pandas", purpose="a result with a table")
    values = [None if one is pandas.NA else one for one in column.tolist()]
    if isinstance(column.dtype, pandas.IntervalDtype | pandas.PeriodDtype):
        about["dtype"] = "object"  # its text does not say all of it
    return about | {"values": pack(values, place, tensors)}


def _table(columns: list[Any], index: Any, tensors: Mapping[str, Tensor]) -> Any:
    pandas: Any = require("pandas", purpose="a result with a table")
    series = [_column(one, tensors) for one in columns]
    if len({len(one) for one in series}) > 1:
        raise Damaged("holds a table whose columns are not of one length")
    frame = pandas.concat(series, axis=1) if series else pandas.DataFrame()
    frame.columns = [_name_of(one) for one in columns]
    if index is not None:
        frame.index = pandas.Index(_column(index, tensors), name=_name_of(index))
    return frame


def _name_of(about: Mapping[str, Any]) -> Any:
    name = about["name"]
    return tuple(name) if isinstance(name, list) else name


def _column(about: dict[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    pandas: Any = require("pandas", purpose="a result with a table")
    values = unpack(about["values"], tensors)
    if not isinstance(values, list | np.ndarray):
        raise Damaged("holds a table whose columns are no lists")
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
