"""Read what a predictor answered: one row of numbers an input, whatever they came wrapped in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from likethat.errors import BlackBoxError

_ADVICE = "Return one row of class probabilities an input, as predict_proba does."


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """An answer as numbers, not yet known to be probabilities.

    Attributes:
        values: (row, class), float64; a single column where the predictor gave one number a row.
        names: the classes, where the answer named them; empty otherwise.
        rounding: how far a sum of 1 may be off, relative, by the type that the numbers came in (float16, bfloat16).
    """

    values: Float[Tensor, "row cls"]
    names: tuple[str, ...] = ()
    rounding: float = 0.0


def read_rows(answer: Any, *, n: int, name: str, are_numbers: bool = False) -> Rows:
    """Return an answer to `n` inputs as finite numbers.

    Tensors, arrays, nested lists and tables are taken, and rows that name their classes: ``{"cat": 0.9, "dog": 0.1}``
    or ``[{"label": "cat", "score": 0.9}, ...]``. Classes named so are put in alphabetical (or numerical) order.

    Args:
        answer: what the predictor returned.
        n: inputs it was given.
        name: of the predictor, for errors.
        are_numbers: whether any numbers will do, whole ones too, which are else labels.

    Raises:
        BlackBoxError: labels, another number of rows, another shape, NaN or infinity.

    Example:
        >>> read_rows([{"b": 0.25, "a": 0.75}], n=1, name="it").names
        ('a', 'b')
    """
    names, array = _named(answer, name=name)
    rounding = _rounding(answer)
    values = _numbers(array, name=name)
    if not are_numbers and _are_labels(values, array):
        raise BlackBoxError(
            f"{name} must answer with probabilities, got one whole number a row: class labels. {_ADVICE}"
        )
    values = values.reshape(-1, 1) if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[0] != n:
        raise BlackBoxError(
            f"{name} must answer {n} inputs with {n} rows (n, class), got shape {tuple(values.shape)}. {_ADVICE}"
        )
    if values.shape[1] == 0:
        least = "one number" if are_numbers else "two classes"
        raise BlackBoxError(f"{name} must answer with at least {least}, got rows of no numbers. {_ADVICE}")
    bad = int((~np.isfinite(values)).any(axis=1).sum())
    if bad:
        raise BlackBoxError(
            f"{name} must answer with finite numbers, got NaN or infinity in {bad} of {n} rows. Check how it takes "
            "missing or extreme values."
        )
    return Rows(values=torch.from_numpy(values), names=names, rounding=rounding)


def _numbers(array: Any, *, name: str) -> np.ndarray:
    try:
        if _is_text(array) or getattr(getattr(array, "dtype", None), "kind", "f") not in "fiubO":
            raise ValueError
        return np.array(array, dtype=np.float64)  # a copy: the predictor may write into its own array again
    except (TypeError, ValueError, OverflowError):
        what = "labels" if _is_text(array) else "something that is no array of numbers"
        raise BlackBoxError(f"{name} must answer with probabilities, got {what}. {_ADVICE}") from None


def _is_text(array: Any) -> bool:
    """Whether the first thing in a nest of lists or arrays is a text: NumPy would read "1" as a number."""
    kind = getattr(getattr(array, "dtype", None), "kind", "O")
    if kind in "US":
        return True
    if kind != "O":
        return False
    for _ in range(64):  # NumPy has no arrays of more axes
        if isinstance(array, str | bytes):
            return True
        if not isinstance(array, list | tuple | np.ndarray) or not len(array):
            return False
        array = array[0]
    return False


def _rounding(answer: Any) -> float:
    dtype = getattr(answer[0] if isinstance(answer, list | tuple) and answer else answer, "dtype", None)
    if isinstance(dtype, torch.dtype):
        return float(torch.finfo(dtype).eps) if dtype.is_floating_point else 0.0
    return float(np.finfo(dtype).eps) if dtype in (np.float16, np.float32) else 0.0


def _named(answer: Any, *, name: str) -> tuple[tuple[str, ...], Any]:
    """Return the names of the classes, where the answer has them, and its numbers."""
    if isinstance(answer, Tensor):
        return (), answer.detach().cpu().to(torch.float64 if answer.is_floating_point() else torch.int64).numpy()
    if answer is None or isinstance(answer, str | bytes | Mapping | int | float | complex):
        raise BlackBoxError(f"{name} must answer with an array (n, class), got {type(answer).__name__}. {_ADVICE}")
    if hasattr(answer, "to_numpy"):
        columns = getattr(answer, "columns", ())
        return tuple(str(column) for column in columns), answer.to_numpy()
    if not isinstance(answer, Sequence) or not answer:
        return (), answer
    if isinstance(answer[0], Tensor):
        return (), [row.detach().cpu().numpy() for row in answer]
    rows = [_labelled(row) for row in answer]
    return _aligned(rows, name=name) if all(isinstance(row, Mapping) for row in rows) else ((), answer)


def _labelled(row: Any) -> Any:
    """Turn a list of {"label": ..., "score": ...} into one mapping."""
    if isinstance(row, Sequence) and row and all(isinstance(x, Mapping) and {"label", "score"} <= set(x) for x in row):
        return {item["label"]: item["score"] for item in row}
    return row


def _aligned(rows: list[Mapping[Any, Any]], *, name: str) -> tuple[tuple[str, ...], list[list[Any]]]:
    keys = list(rows[0])
    if any(set(row) != set(keys) for row in rows):
        raise BlackBoxError(f"{name} must name the same classes in every row, got rows with different names. {_ADVICE}")
    numeric = all(isinstance(key, int | float) for key in keys)
    keys.sort(key=None if numeric else str)
    return tuple(str(key) for key in keys), [[row[key] for key in keys] for row in rows]


def _are_labels(values: np.ndarray, array: Any) -> bool:
    if values.ndim == 1:
        return _holds_labels(array)
    if np.asarray(array).dtype.kind == "b":
        return True  # one True a row: which class, not how probable
    is_whole = values.ndim == 2 and values.shape[1] == 1 and np.asarray(array).dtype.kind in "iub"
    return is_whole and not bool(np.isin(values, (0, 1)).all())


def _holds_labels(array: Any) -> bool:
    """Whether the numbers of a flat answer were whole numbers by type, or are by value and beyond 0 and 1."""
    flat = np.asarray(array)
    if flat.size and flat.dtype.kind not in "fiub":
        flat = flat.astype(np.float64)
    if flat.dtype.kind in "iub":
        return True
    return bool(flat.size and (flat == np.round(flat)).all() and flat.max() > 1)
