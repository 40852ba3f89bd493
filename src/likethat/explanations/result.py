"""What all results can do: be plain values, a table, and a short table in a notebook."""

import dataclasses
import html
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from likethat._calls import public
from likethat._checks import require
from likethat._inputs import Inputs
from likethat._options import check_flag
from likethat._session import in_own_session
from likethat._showing import figure_of, save

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1  # raised where a kept file could no longer be read (docs/records.md)
_SHOWN = 8
"""Rows of the table in a notebook: more than most explanations have, and less than a screen."""
_LONGEST = 240
"""Characters of the one line that a result prints as: two lines of a terminal, whatever classes are called."""


@public
@in_own_session
class Result(ABC):
    """A result as plain values and as a table; what they hold, each result says itself."""

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write a folder, a page (.html), a figure (.png, .svg, .pdf), values (.json) or a table (.csv).

        The checkpoint of the fit that made a bank goes when its folder stands.

        Args:
            path: a new or empty folder, or the name of a file. A link is kept, and what it leads to written.
            overwrite: replace an earlier folder there, and only what likethat wrote; or any file of that name. Without
                it, a file is replaced where likethat wrote it and nobody changed it since (a table: where it holds the
                same).

        Raises:
            InputError: the path ends in what the result cannot be, or something stands there that may not be replaced;
                nothing was touched.
            StorageError: the disk did not take it; what stood there before still does.
        """
        check_flag(overwrite, name="overwrite")
        return save(self, path, overwrite=overwrite, folder=lambda folder: self._write(folder, overwrite=overwrite))

    def figure(self) -> Any:
        """Return a matplotlib figure for a notebook (needs ``likethat[figures]``)."""
        return figure_of(self)

    @abstractmethod
    def _write(self, path: Path, *, overwrite: bool) -> Path:
        """Write the folder and return its path."""

    @abstractmethod
    def _facts(self) -> Mapping[str, Any]:
        """Return all that `to_dict` gives, by name."""

    @abstractmethod
    def _columns(self) -> dict[str, Sequence[Any]]:
        """Return the table of `to_frame` as columns of one length."""

    @abstractmethod
    def _line(self) -> str:
        """Return what the result prints as; names in it may be of any length, and hold ends of lines."""

    def __repr__(self) -> str:
        line = " ".join("".join(sign if sign.isprintable() else " " for sign in self._line()).split())
        return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 2]}…>"

    def to_dict(self) -> dict[str, Any]:
        """Return the result as values that JSON has, with ``schema`` and ``kind``.

        Arrays become lists; of pictures only the shape is given (``save`` writes a folder that holds them exactly), and
        a number that is not finite is None.
        """
        return {"schema": SCHEMA_VERSION, "kind": type(self).__name__, **plain(self._facts())}

    def to_frame(self) -> "pd.DataFrame":
        """Return a table (needs ``likethat[tables]``).

        One row is a prototype of a bank, a shown unit of an explanation, an exemplar, a counterfactual, or a pixel of
        an attribution, strongest first.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        pandas: Any = require("pandas", purpose="a result as a table")
        frame: pd.DataFrame = pandas.DataFrame(self._columns())
        return frame

    def _repr_html_(self) -> str:
        columns = self._columns()
        n_rows = len(next(iter(columns.values())))
        head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
        rows = [
            "".join(f"<td>{html.escape(_cell(column[row]))}</td>" for column in columns.values())
            for row in range(min(n_rows, _SHOWN))
        ]
        more = f"<p>{n_rows - _SHOWN:,} more rows: to_frame()</p>" if n_rows > _SHOWN else ""
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<p>{html.escape(repr(self))}</p><table><tr>{head}</tr>{body}</table>{more}"


def fields_of(records: Sequence[Any], names: Sequence[str]) -> dict[str, Sequence[Any]]:
    """Return fields of records as columns; a box becomes its four sides."""
    columns: dict[str, Sequence[Any]] = {name: [getattr(one, name) for one in records] for name in names}
    if "box" in columns:
        boxes = columns.pop("box")
        sides = ("left", "top", "right", "bottom")
        columns |= {side: [box[place] for box in boxes] for place, side in enumerate(sides)}
    return columns


def input_columns(inputs: Inputs) -> dict[str, Sequence[Any]]:
    """Return texts, or the columns of a table, as columns of a result's table; pictures have none."""
    if isinstance(inputs, list):
        return {"text": inputs}
    return {} if isinstance(inputs, Tensor) else {f"input {name}": one.tolist() for name, one in inputs.items()}


def plain(value: Any) -> Any:
    """Return a value as JSON has it; of an array of three dimensions or more its shape.

    Example:
        >>> plain({"a": np.asarray([1.5, np.nan]), "b": (np.int64(2), None)})
        {'a': [1.5, None], 'b': [2, None]}
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | str | int | float):
        return value
    if isinstance(value, Result):
        return value.to_dict()
    named = _named(value)
    if named is not None:
        return {str(name): plain(one) for name, one in named.items()}
    if isinstance(value, Tensor | np.ndarray):
        value = value.tolist()
    return [plain(one) for one in value] if isinstance(value, Sequence | Set) else str(value)


def _named(value: Any) -> Mapping[str, Any] | None:
    """Return what a value is made of, where that has names: a record, a table, the shape of pictures."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, Tensor | np.ndarray):
        return {"shape": list(value.shape)} if value.ndim > 2 else None
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {name: value[name].tolist() for name in value.columns} if hasattr(value, "columns") else None


def _cell(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return f"{float(value):.3g}"
    text = "" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
