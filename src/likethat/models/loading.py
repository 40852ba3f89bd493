"""Load a classifier by name, with its class names and preprocessing."""

from typing import Any

from likethat.models.split_model import SplitModel

__all__ = ["load"]


def load(name: str, weights: Any = None, **model_kwargs: Any) -> SplitModel:
    """Load a classifier by name."""
    raise NotImplementedError
