"""What a search draws from."""

from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Prior"]


class Prior(Protocol):
    """A density over latents that can be sampled and scored."""

    @property
    def dim(self) -> int:
        """Number of latent dimensions."""
        ...

    def sample(self, n: int, *, rng: torch.Generator) -> Float[Tensor, "n dim"]:
        """Draw `n` latents, float32 on the CPU."""
        ...

    def log_prob(self, latents: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """Return the log-density of each latent, in nats; differentiable."""
        ...
