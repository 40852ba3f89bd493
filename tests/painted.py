"""A generator of two colours, the model that looks at them, and what ProDG is told in tests."""

from typing import Any

import torch
from torch import Tensor

import likethat as lt
from likethat.generators.priors import StandardNormal

DIM = 6


class Painted:
    """A grid of 1 x 2 colours."""

    kind, differentiable = "image", True
    prior = StandardNormal(DIM)

    def __call__(self, latents: Tensor) -> Tensor:
        return torch.sigmoid(2 * latents).reshape(-1, 3, 1, 2).repeat_interleave(16, 2).repeat_interleave(8, 3)


def mixing() -> Tensor:
    return torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(4))).Q


def prodg(**options: Any) -> lt.ProDG:
    usual = {"n_prototypes": 3, "n_samples": 60, "steps": 1, "batch": 9, "controls": False}
    return lt.ProDG(options.pop("generator", Painted()), **{**usual, **options})
