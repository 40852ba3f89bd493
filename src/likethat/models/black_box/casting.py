"""Numbers in the type that a model's input has: nothing is cut off, wrapped round or lost without a word."""

import datetime
import decimal
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from likethat.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_ROUNDING = 1e-4
"""How far from a whole number still is one: 255 times a float32 in [0, 1] is off by up to 1.5e-5."""
_IMAGE_SLACK = 1e-3
"""How far beyond [0, 1] an image may lie, as everywhere else."""


class Brightness:
    """How floating-point images reach an input of 8-bit integers, decided on the first ones and held to.

    Images in [0, 1] become 0 to 255. Where the first ones go beyond 1, they are 0 to 255 already.

    Attributes:
        notes: what was done, in a sentence; empty where nothing was.
    """

    def __init__(self) -> None:
        self.notes: tuple[str, ...] = ()
        self._is_scaled: bool | None = None
        self._lock = threading.Lock()

    def apply(self, images: np.ndarray, *, taker: str) -> np.ndarray:
        """Return images as whole numbers where they are in [0, 1], else as they are.

        Raises:
            InputError: earlier ones were in [0, 1], and these are not.
        """
        low, high = float(images.min(initial=0)), float(images.max(initial=0))
        is_unit = low >= -_IMAGE_SLACK and high <= 1 + _IMAGE_SLACK
        with self._lock:
            if self._is_scaled is None and images.size:
                self._is_scaled = is_unit
        if not self._is_scaled:
            return images
        if not is_unit:
            raise InputError(
                f"`inputs` must be images in [0, 1] as those before, which {taker} got as 0 to 255, got values from "
                f"{low:.4g} to {high:.4g}. Divide them by 255, or let inputs=... return torch.uint8."
            )
        self._say(
            f"images in [0, 1] were sent as whole numbers from 0 to 255, as {taker} takes uint8: to the nearest 1/255",
        )
        return np.rint(images.clip(0, 1) * 255)

    def doubt(self, *, taker: str) -> None:
        """Say that images of whole numbers went into an input that takes fractions."""
        self._say(f"images of whole numbers were sent as they are: divide them by 255 if {taker} was trained on [0, 1]")

    def _say(self, sentence: str) -> None:
        self.notes = (sentence,)


def as_type(
    batch: "Tensor | np.ndarray | pd.DataFrame",
    dtype: "np.dtype[Any]",
    *,
    taker: str,
    brightness: Brightness | None = None,
) -> np.ndarray:
    """Return a batch in the type of a model's input: a tensor in its own shape, a table as (row, column).

    Args:
        batch: tensor, array or table.
        dtype: of the input.
        taker: who takes it, for messages.
        brightness: how images go into 8-bit integers; None where they are taken as they are.

    Raises:
        InputError: text, dates, fractions or missing values for whole numbers, or numbers out of range.

    Example:
        >>> as_type(torch.tensor([[1.0, 200.0]]), np.dtype("uint8"), taker="it")
        array([[  1, 200]], dtype=uint8)
    """
    if isinstance(batch, Tensor | np.ndarray):
        array = _array_of(batch) if isinstance(batch, Tensor) else batch
        if brightness is not None and array.ndim == 4:
            if dtype == np.uint8 and array.dtype.kind == "f":
                array = brightness.apply(array, taker=taker)
            elif dtype.kind == "f" and array.dtype == np.uint8:
                brightness.doubt(taker=taker)
        return fit_type(array, dtype, taker=taker)
    columns = [
        fit_type(column_of_numbers(column, name=name, taker=taker), dtype, taker=taker, what=f"column {str(name)!r}")
        for name, column in batch.items()
    ]
    return np.stack(columns, axis=1) if columns else np.empty((len(batch), 0), dtype=dtype)


def fit_type(array: np.ndarray, dtype: "np.dtype[Any]", *, taker: str, what: str = "") -> np.ndarray:
    """Return numbers in another type, if each of them can be said in it.

    Args:
        array: numbers; NaN where one is missing.
        dtype: the type.
        taker: who takes it, for messages.
        what: which part of the inputs, for messages.

    Raises:
        InputError: out of range, or fractions or missing values for whole numbers.
    """
    where = f" in {what}" if what else ""
    if dtype.kind == "f":
        return _fraction(array, dtype, taker=taker, where=where)
    missing = int(np.isnan(array).sum()) if array.dtype.kind == "f" else 0
    if missing:
        raise InputError(
            f"`inputs` must have no missing values for {taker}, which takes {dtype.name}, got {missing}{where}. Fill "
            "them as the model's training data was."
        )
    if dtype == array.dtype:
        return array
    low, high = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    return _whole(array, low, high, dtype=dtype, taker=taker, where=where)


def _fraction(array: np.ndarray, dtype: "np.dtype[Any]", *, taker: str, where: str) -> np.ndarray:
    """Return numbers with a fraction, or say which is too large."""
    with np.errstate(over="ignore"):
        cast = np.asarray(array.astype(dtype))
    if not np.isfinite(cast).all():
        lost = ~np.isfinite(cast) & np.isfinite(array.astype(np.float64))
        if lost.any():
            raise InputError(
                f"`inputs` must fit {dtype.name} as {taker} takes, which ends at {np.finfo(dtype).max:.3g}, got "
                f"{float(array[lost][0]):.4g}{where}. Scale them as the model's training data was."
            )
    return cast


def _whole(array: np.ndarray, low: int, high: int, *, dtype: "np.dtype[Any]", taker: str, where: str) -> np.ndarray:
    """Return whole numbers from `low` to `high`, or say which is none."""
    kind = "0 or 1 (bool)" if dtype.kind == "b" else f"whole numbers from {low} to {high} ({dtype.name})"
    rounded = np.rint(array) if array.dtype.kind == "f" else array
    with np.errstate(invalid="ignore"):  # infinity less infinity
        bad = np.abs(array - rounded) > _ROUNDING if array.dtype.kind == "f" else np.zeros(array.shape, dtype=bool)
    advice = "Turn them into whole numbers with inputs=..., as the model's training data was."
    if not bad.any():
        top = np.nextafter(float(high), 0) if float(high) > high and array.dtype.kind == "f" else high
        bad = (rounded < low) | (rounded > top)
        advice = "Check the units."
    if bad.any():
        raise InputError(f"`inputs` must be {kind} as {taker} takes, got {array[bad][0].item()!r}{where}. {advice}")
    return rounded.astype(dtype)


def column_of_numbers(column: "pd.Series[Any]", *, name: Any, taker: str) -> np.ndarray:
    """Return a column as integers, booleans or floats, exactly; NaN where a value is missing.

    Raises:
        InputError: it holds text, dates, or anything else that is no number.
    """
    kind = getattr(column.dtype, "kind", "O")
    if kind in "iub" and not column.isna().any():
        return np.asarray(column.to_numpy(dtype=np.dtype(_exact(kind))))
    if kind in "iubf":
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    cells = [None if missing else cell for cell, missing in zip(column, column.isna(), strict=True)]
    if all(cell is None or _is_number(cell) for cell in cells):
        present = [cell for cell in cells if cell is not None]
        exact = np.array(present) if len(present) == len(cells) else np.empty(0)
        if len(exact) and exact.dtype.kind in "iu":
            return exact
        return np.array([np.nan if cell is None else float(cell) for cell in cells], dtype=np.float64)
    example = next(cell for cell in cells if cell is not None and not _is_number(cell))
    raise InputError(
        f"`inputs` must hold numbers alone, as {taker} takes one array, got column {str(name)!r} of {column.dtype} "
        f"with {str(example)[:40]!r}. Encode it with inputs=..., or use a pipeline that takes the table."
    )


def _exact(kind: str) -> str:
    return {"i": "int64", "u": "uint64", "b": "bool"}[kind]


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int | float | np.integer | np.floating | np.bool_ | decimal.Decimal)


def texts_of(column: "pd.Series[Any]", *, name: Any, taker: str) -> list[str | None]:
    """Return a column as texts: whole numbers in digits, dates as ISO 8601, None where a value is missing.

    Raises:
        InputError: it holds fractions, booleans or anything else that can be written in several ways.
    """
    texts: list[str | None] = []
    for cell in cells_of(column, name=name):
        if isinstance(cell, bool | float):
            raise InputError(
                f"`inputs` must hold text in column {str(name)!r} as {taker} takes, got {cell!r}, which can be written "
                "in several ways. Turn the column into text as the model's training data was."
            )
        texts.append(None if cell is None else str(cell))
    return texts


def cells_of(column: "pd.Series[Any]", *, name: Any) -> list[str | bool | int | float | None]:
    """Return a column as JSON knows it: None where a value is missing, dates as ISO 8601.

    Raises:
        InputError: infinity, or something that JSON does not know.
    """
    return [None if missing else _plain(cell, name) for cell, missing in zip(column, column.isna(), strict=True)]


def _plain(cell: Any, name: Any) -> str | bool | int | float | None:
    if isinstance(cell, np.generic):
        cell = cell.item() if cell.dtype.kind in "biuf" else str(cell)
    if isinstance(cell, str | bool | int):
        return cell
    if isinstance(cell, decimal.Decimal):
        cell = float(cell)
    if isinstance(cell, float) and np.isfinite(cell):
        return cell
    if isinstance(cell, datetime.datetime | datetime.date | datetime.time | datetime.timedelta):
        return str(cell.isoformat() if hasattr(cell, "isoformat") else cell)
    raise InputError(
        f"`inputs` must hold numbers, texts, dates or missing values, got {str(cell)[:40]!r} in column {str(name)!r}. "
        "JSON knows nothing else: turn it into one of them."
    )


def _array_of(tensor: Tensor) -> np.ndarray:
    """Return a tensor as an array; NumPy has no bfloat16."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
