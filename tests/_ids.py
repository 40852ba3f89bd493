"""Names for the cases of a test: the same in every process, so that several can share the tests."""

import re
from typing import Any

__all__ = ["said"]


def said(value: Any) -> str:
    """Say a value by its kind and shape where its own words are long, or name a place in memory.

    Example:
        >>> import torch
        >>> said([1, 2]), said(torch.zeros(2, 3))
        ('[1, 2]', 'Tensor of (2, 3)')
    """
    if hasattr(value, "shape"):
        return f"{type(value).__name__} of {tuple(value.shape)}"
    return re.sub(r" at 0x[0-9A-Fa-f]+", "", str(value))
