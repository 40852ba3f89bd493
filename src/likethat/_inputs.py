"""What goes into a classifier: a batch of images, a table, or texts; and what any batch can do."""

import hashlib
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from likethat.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    # Images (n, channel, height, width) float32 in [0, 1] or any tensor (n, ...); a table in its own units; texts.
    Inputs: TypeAlias = Tensor | pd.DataFrame | list[str]
else:
    Inputs = Any  # the reader of records evaluates annotations, and pandas may be missing

Kind: TypeAlias = Literal["image", "table", "text"]


def kind_of(inputs: Any) -> Kind:
    """Return which of the three a batch is.

    Raises:
        InputError: none of them.

    Example:
        >>> kind_of(["a text", "another"])
        'text'
    """
    if isinstance(inputs, Tensor):
        return "image"
    if _is_frame(inputs):
        return "table"
    if isinstance(inputs, list) and all(isinstance(item, str) for item in inputs):
        return "text"
    raise InputError(
        "inputs must be a tensor (n, channel, height, width), a pandas DataFrame or a list of texts, got "
        f"{type(inputs).__module__}.{type(inputs).__qualname__}."
    )


def take(inputs: Inputs, rows: Sequence[int] | Tensor) -> Inputs:
    """Return some rows of a batch, in the order given; a table keeps its columns and gets a fresh index.

    Example:
        >>> take(["a", "b", "c"], [2, 0])
        ['c', 'a']
    """
    index = [int(row) for row in rows]
    if isinstance(inputs, Tensor):
        return inputs[torch.tensor(index, dtype=torch.long, device=inputs.device)]
    if isinstance(inputs, list):
        return [inputs[row] for row in index]
    found = inputs.take(np.array(index, dtype=np.intp))
    found.index = range(len(index))
    return found


def join_inputs(parts: Sequence[Inputs]) -> Inputs:
    """Put batches of one kind one behind the other.

    Example:
        >>> join_inputs([["a"], ["b", "c"]])
        ['a', 'b', 'c']
    """
    if isinstance(parts[0], Tensor):
        return torch.cat([part for part in parts if isinstance(part, Tensor)])
    if isinstance(parts[0], list):
        return [text for part in parts for text in part]
    import pandas as pd

    return pd.concat(list(parts), ignore_index=True)


def digests(inputs: Inputs) -> list[bytes]:
    """Return 16 bytes an input that two inputs share only if they are the same, bit for bit.

    Example:
        >>> first, second, third = digests(["a", "b", "a"])
        >>> first == third, first == second
        (True, False)
    """
    if isinstance(inputs, Tensor):
        flat = inputs.detach().cpu().contiguous()
        head = f"{flat.dtype}{tuple(flat.shape[1:])}".encode()
        if flat.dtype == torch.bfloat16:
            flat = flat.float()
        return [_digest(head, row.numpy().tobytes()) for row in flat]
    if isinstance(inputs, list):
        return [_digest(b"text", text.encode("utf-8", "surrogatepass")) for text in inputs]
    kinds = list(inputs.dtypes)
    head = repr([*zip(names_of(inputs.columns), map(_named, kinds), strict=True)]).encode()
    if len({*kinds}) == 1 and isinstance(kinds[0], np.dtype) and kinds[0].kind in "fiu":
        return [_digest(head, repr(row).encode()) for row in inputs.to_numpy().tolist()]  # the same, sooner
    rows = inputs.astype(object).to_numpy()
    return [_digest(head, repr([_plain(value) for value in row]).encode("utf-8", "surrogatepass")) for row in rows]


def names_of(columns: Any) -> list[str]:
    """Return the names of columns as texts; pandas takes its time to say them, and they cannot change."""
    known = _KNOWN.get(id(columns))
    if known is None or known[0] is not columns:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        known = _KNOWN[id(columns)] = columns, [str(name) for name in columns]
    return known[1]


_KNOWN: dict[int, tuple[Any, list[str]]] = {}
_MOST_KNOWN = 256  # tables at a time: searches under way together have one each


def _digest(head: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16, key=hashlib.blake2b(head, digest_size=32).digest()).digest()


def _named(kind: Any) -> str:
    return _name_of_type(kind) if isinstance(kind, np.dtype) else str(kind)


_name_of_type = lru_cache(str)  # NumPy takes its time to say it


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _is_frame(value: Any) -> bool:
    pandas = sys.modules.get("pandas")  # a DataFrame cannot exist before its library was imported
    return pandas is not None and isinstance(value, pandas.DataFrame)
