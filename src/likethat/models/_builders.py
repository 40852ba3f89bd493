"""Preprocessing from what the user has."""

from typing import Any

from torch import nn

from likethat.errors import InputError
from likethat.models.preprocessing import Preprocess

__all__ = ["as_preprocess"]


def as_preprocess(anything: Any, network: nn.Module | None = None) -> Preprocess:
    """Return the preprocessing that `anything` stands for."""
    if anything is None:
        return Preprocess()
    if isinstance(anything, Preprocess):
        return anything
    if isinstance(anything, dict):
        return Preprocess(**anything)
    if callable(anything):
        return Preprocess(transform=anything)
    raise InputError(f"`preprocess` must be None, 'auto', a Preprocess, a dictionary or a function, got {anything!r}.")
