"""Rows of features whose classes and states are known, without pictures."""

from typing import Any

import torch
from torch import Tensor

from likethat.features import Features


def features_of(pooled: Tensor, labels: Tensor, predicted: Tensor | None = None) -> Features:
    """Return features of rows numbered from 100 on."""
    n = len(pooled)
    given: Any = {"means": pooled, "pooled": pooled, "labels": labels, "indices": torch.arange(n) + 100}
    given |= {"predicted": labels.clamp_min(0) if predicted is None else predicted}
    given |= {"names": [f"row {number}" for number in range(n)], "kept": None, "maps": None, "views": None}
    return Features(**given, grid=(1, 1))


def planted(n: int = 150, *, gap: float = 12.0, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows of four numbers, classes 0 to 2, and whether the third number has `gap` more: mostly in class 0."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    is_on = torch.rand(n, generator=rng) < torch.tensor([0.7, 0.3, 0.3])[labels]
    rows = torch.randn(n, 4, generator=rng, dtype=torch.float64)
    rows[:, 2] += gap * is_on
    rows[:, 3] += 0.5 * rows[:, 2]
    rows[:, 0] += 3.0 * (labels == 0)
    rows[:, 1] += 3.0 * (labels == 1)
    return rows, labels, is_on
