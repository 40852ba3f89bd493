"""Latents on one scale: the prior's mean at 0 and its standard deviation 1 in every dimension."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from likethat.search.base import Prior

_SAMPLES = 2000  # for the covariance of some hundred latents


@dataclass(frozen=True, kw_only=True, eq=False)
class Whitening:
    """Moments of a prior, from samples.

    Attributes:
        mean: (dim,).
        scale: (dim,) standard deviations, positive.
    """

    mean: Float[Tensor, " dim"]
    scale: Float[Tensor, " dim"]

    @classmethod
    def of(cls, prior: Prior, rng: torch.Generator) -> "Whitening":
        """Measure a prior."""
        return cls.measured(prior.sample(_SAMPLES, rng=rng))

    @classmethod
    def measured(cls, samples: Float[Tensor, "n dim"]) -> "Whitening":
        """Measure samples of a prior."""
        values = samples.double()
        return cls(mean=values.mean(0), scale=values.std(0).clamp(min=1e-9))

    def to(self, latents: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """Return latents whitened, float64."""
        return (latents.double() - self.mean) / self.scale

    def back(self, whitened: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """Return latents from whitened ones."""
        return whitened * self.scale + self.mean
