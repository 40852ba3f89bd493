"""Read what a predictor answered: one row of numbers an input, whatever they came wrapped in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from likethat.errors import BlackBoxError

__all__ = ["Rows", "read_rows"]

_ADVICE = "Return one row of class probabilities an input, as predict_proba does."


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """An answer as numbers, not yet known to be probabilities.

    Attributes:
        values: (row, class), float64; a single column where the predictor gave one number a row.
        names: the classes, where the answer named them; empty otherwise.
    """

    values: Float[Tensor, "row cls"]
    names: tuple[str, ...] = ()


def read_rows(answer: Any, *, n: int, name: str) -> Rows:
    """Return an answer to `n` inputs as finite numbers.

    Tensors, arrays, nested lists and tables are taken, and rows that name their classes: ``{"cat": 0.9, "dog": 0.1}``
    or ``[{"label": "cat", "score": 0.9}, ...]``. Classes named so are put in alphabetical (or numerical) order.

    Raises:
        BlackBoxError: labels, another number of rows, another shape, NaN or infinity.

    Example:
        >>> read_rows([{"b": 0.25, "a": 0.75}], n=1, name="it").names
        ('a', 'b')
    """
    names, array = _named(answer, name=name)
    values = _numbers(array, name=name)
    if values.ndim == 1 and _holds_labels(array):
        raise BlackBoxError(
            f"{name} must answer with probabilities, got one whole number a row: class labels. {_ADVICE}"
        )
    values = values.reshape(-1, 1) if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[0] != n:
        raise BlackBoxError(
            f"{name} must answer {n} inputs with {n} rows (n, class), got shape {tuple(values.shape)}. {_ADVICE}"
        )
    if values.shape[1] == 0:
        raise BlackBoxError(f"{name} must answer with at least two classes, got rows of no numbers. {_ADVICE}")
    bad = int((~np.isfinite(values)).any(axis=1).sum())
    if bad:
        raise BlackBoxError(
            f"{name} must answer with finite numbers, got NaN or infinity in {bad} of {n} rows. Check how it takes "
            "missing or extreme values."
        )
    return Rows(values=torch.from_numpy(values), names=names)


def _numbers(array: Any, *, name: str) -> np.ndarray:
    try:
        return np.array(array, dtype=np.float64)  # a copy: the predictor may write into its own array again
    except (TypeError, ValueError):
        labels = np.asarray(array, dtype=object).ravel()
        what = "labels" if labels.size and isinstance(labels[0], str) else "something that is no array of numbers"
        raise BlackBoxError(f"{name} must answer with probabilities, got {what}. {_ADVICE}") from None


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


def _holds_labels(array: Any) -> bool:
    """Whether the numbers of a flat answer were whole numbers by type, or are by value and beyond 0 and 1."""
    flat = np.asarray(array)
    if flat.dtype.kind in "iub":
        return True
    return bool(flat.size and (flat == np.round(flat)).all() and flat.max() > 1)
