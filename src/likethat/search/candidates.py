"""Latents worth a look that are typical of a prior: samples, steps round the best, ways between poles."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from likethat.search.base import Prior
from likethat.search.whitening import Whitening

_POOL = 2000  # draws of the prior that a point's neighbours are looked for among
_NEIGHBOURS = 50  # of the pool, whose spread is the scale there: local, yet enough for a covariance


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Makes candidates, all of them whitened.

    Attributes:
        prior: what is typical.
        rng: the source of chance.
        whitening: of the prior.
        pool: (m, dim) prior samples, whitened, whose neighbourhoods say in which directions the prior is wide.
        floor: log-density below which a latent counts as untypical.
    """

    prior: Prior
    rng: torch.Generator
    whitening: Whitening
    pool: Float[Tensor, "m dim"]
    floor: float

    @classmethod
    def of(cls, prior: Prior, rng: torch.Generator, *, typical: float) -> "Candidates":
        """Measure a prior; `typical` is the share of its samples that count as untypical."""
        samples = prior.sample(_POOL, rng=rng)
        whitening = Whitening.measured(samples)
        floor = float(prior.log_prob(samples).double().quantile(typical))
        return cls(prior=prior, rng=rng, whitening=whitening, pool=whitening.to(samples), floor=floor)

    def typical(self, latents: Float[Tensor, "n dim"]) -> Float[Tensor, "m dim"]:
        """Keep what is dense enough under the prior."""
        density = self.prior.log_prob(self.whitening.back(latents).float())
        return latents[density.double() >= self.floor]

    def fresh(self, n: int) -> Float[Tensor, "m dim"]:
        """Return typical samples, about `n`."""
        return self.typical(self.whitening.to(self.prior.sample(n, rng=self.rng)))

    def near(self, latents: Float[Tensor, "n dim"], *, step: float, each: int) -> Float[Tensor, "m dim"]:
        """Return latents a step away from each given one, in directions in which the prior is wide around it.

        With a normal prior and its whole pool as neighbourhood, z' = mean + sqrt(1 - step^2) (z - mean) + step * noise
        has the prior's own distribution again if z has it: steps of any size stay typical.
        """
        nearest = torch.cdist(latents, self.pool).topk(min(_NEIGHBOURS, len(self.pool)), largest=False).indices
        middle = self.pool[nearest].mean(1)
        pairs = torch.randint(nearest.shape[1], (2, len(latents), each), generator=self.rng)
        ends = self.pool[torch.stack([nearest.gather(1, pair) for pair in pairs])]
        noise = (ends[0] - ends[1]) / 2**0.5
        kept = middle + (1 - step**2) ** 0.5 * (latents - middle)
        return self.typical((kept[:, None] + step * noise).flatten(0, 1))

    def between(self, first: Float[Tensor, "n dim"], second: Float[Tensor, "m dim"], n: int) -> Float[Tensor, "k dim"]:
        """Return latents on the ways from one group to the other, as far from the middle as their ends are."""
        start = first[torch.randint(len(first), (n,), generator=self.rng)]
        end = second[torch.randint(len(second), (n,), generator=self.rng)]
        share = torch.rand(n, 1, generator=self.rng, dtype=torch.float64)
        straight = (1 - share) * start + share * end
        radius = (1 - share) * start.norm(dim=1, keepdim=True) + share * end.norm(dim=1, keepdim=True)
        return self.typical(straight * radius / straight.norm(dim=1, keepdim=True).clamp(min=1e-9))
