"""Turn a batch into what predictors take: tables with the right columns, arrays of the right shape and length."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from likethat._checks import require
from likethat._inputs import Inputs
from likethat.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def as_frame(batch: Tensor, columns: Sequence[str]) -> "pd.DataFrame":
    """Return a tensor (n, ...) as a table with these column names.

    Raises:
        InputError: another number of values a row.
    """
    flat = batch.detach().cpu().flatten(1).double().numpy()
    if flat.shape[1] != len(columns):
        raise InputError(
            f"`inputs` must have {len(columns)} values a row, one for each column of the model, got "
            f"{flat.shape[1]} (shape {tuple(batch.shape)})."
        )
    return require("pandas", purpose="A table").DataFrame(flat, columns=list(columns))


def select_columns(frame: "pd.DataFrame", columns: Sequence[str]) -> "pd.DataFrame":
    """Return the named columns in that order; others are left out.

    Raises:
        InputError: some of them are not there.
    """
    check_named_once(frame, columns)
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        have = ", ".join(repr(str(name)) for name in list(frame.columns)[:8])
        raise InputError(
            f"`inputs` must have the columns that the model takes, got none named {', '.join(map(repr, missing[:6]))} "
            f"(it has {have}). Add them, or rename what is there."
        )
    return frame if list(frame.columns) == list(columns) else frame[list(columns)]


def check_named_once(frame: "pd.DataFrame", columns: Sequence[str]) -> None:
    """Raise `InputError` where two columns of a table have a name that the model takes."""
    twice = [name for name in columns if list(frame.columns).count(name) > 1]
    if twice:
        raise InputError(
            f"`inputs` must have one column of each name, got several named {str(twice[0])!r}. Drop or rename one."
        )


def rows_of(batch: Inputs) -> int:
    """Return the number of inputs in a batch."""
    return batch.shape[0] if isinstance(batch, Tensor) else len(batch)


def fit_shape(array: np.ndarray, shape: Sequence[int | None], *, taker: str) -> np.ndarray:
    """Return an array in the shape that a model takes: flattened to rows, rows folded up, or as it is.

    Args:
        array: (n, ...).
        shape: the model's own, batch first; None where any size will do.
        taker: who takes it, for the message.

    Raises:
        InputError: it does not fit; axes are never swapped.
    """
    wanted, n = list(shape[1:]), len(array)
    if array.ndim == len(shape) and all(
        want in (None, have) for want, have in zip(wanted, array.shape[1:], strict=True)
    ):
        return array
    size = array[:1].size if n else 0
    if len(wanted) == 1 and wanted[0] in (None, size):
        return array.reshape(n, -1)
    is_fixed = all(want is not None for want in wanted)
    if is_fixed and array.ndim <= 2 and size == int(np.prod([want or 1 for want in wanted])):
        return array.reshape(n, *(want or 1 for want in wanted))
    if not wanted and size == 1:
        return array.reshape(n)
    text = ", ".join(["n", *("any" if want is None else str(want) for want in wanted)])
    raise InputError(
        f"`inputs` must have shape ({text}) as {taker} takes, got {tuple(array.shape)}. Turn them with "
        "inputs=..., e.g. lambda x: x.permute(0, 2, 3, 1) for channels last."
    )


def filled_up(array: np.ndarray, size: int) -> np.ndarray:
    """Return an array of `size` rows: its last row is repeated.

    Example:
        >>> filled_up(np.array([1, 2]), 4)
        array([1, 2, 2, 2])
    """
    missing = size - len(array)
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array


def position_note(name: str, frame: "pd.DataFrame") -> str:
    """Say that a table's columns were told apart by their place alone."""
    columns = ", ".join(repr(str(column)) for column in list(frame.columns)[:6]) + (", …" if frame.shape[1] > 6 else "")
    return f"{name} knows no names of columns: the table's went in by their place ({columns})"


def padding_note(name: str, size: int) -> str:
    """Say that a model of a fixed batch was given more rows than there were."""
    return f"{name} takes {size} rows at once: the last batch was filled up with its last row, which is not counted"
