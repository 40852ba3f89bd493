"""ProDG as its release works, written anew from the paper's equations and what is known of its code, for latents.

Every channel has a dense learned latent (its delta on one shared anchor, and the spread of its noise); AdamW steps over
the latents of *all* channels though 4 take part in a step; purity has a ReLU on the peak; 5 steps on the rotation and
5 on the latents in turn; nothing is screened and nothing begun anew.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from likethat.functional import rotation_from
from likethat.models import SplitModel


@dataclass
class ReferenceProdg:
    """The release's loop.

    Attributes:
        learning_rate: of the latents; the release's 1e-4 is for embeddings whose entries are about a tenth.
        calls: images made so far.
    """

    model: SplitModel
    generator: Any
    learning_rate: float = 1e-3
    channels: int = 4
    images: int = 2
    seed: int = 0
    calls: int = 0
    history: list[tuple[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        n, dim = self.model.n_channels, self.generator.prior.dim
        self.rng = torch.Generator().manual_seed(self.seed)
        sample = self.generator.prior.sample(1000, rng=self.rng)
        self.anchor = sample.mean(0)
        self.delta = torch.zeros(n, dim, requires_grad=True)
        self.spread = (0.1 * sample.std(0)).expand(n, dim).clone().requires_grad_(True)
        self.exponent = torch.zeros(n, n, requires_grad=True)
        self.of_latents = torch.optim.AdamW([self.delta, self.spread], lr=self.learning_rate)
        self.of_rotation = torch.optim.AdamW([self.exponent], lr=1e-3)

    def mixing(self) -> Tensor:
        return rotation_from(self.exponent, orthogonal=True)

    def run(self, calls: int) -> None:
        """Alternate until as many images were made."""
        while self.calls < calls:
            for turn in range(10):
                self._step(on_rotation=turn < 5)

    def latents(self, units: Tensor, n: int) -> Tensor:
        """Return latents (unit, image, latent) of fresh noise."""
        noise = torch.randn(len(units), n, self.anchor.numel(), generator=self.rng)
        return self.anchor + self.delta[units, None] + self.spread[units, None] * noise

    def _step(self, *, on_rotation: bool) -> None:
        units = torch.randperm(len(self.delta), generator=self.rng)[: self.channels]
        with torch.set_grad_enabled(not on_rotation):
            made = self.generator(self.latents(units, self.images).flatten(0, 1))
            maps = self.model.features(made).flatten(2)
        self.calls += len(made)
        mixing = self.mixing() if on_rotation else self.mixing().detach()
        each = units.repeat_interleave(self.images)
        values = torch.einsum("id,idc->ic", mixing[each], maps)
        peaks = values.argmax(1)
        rows = torch.arange(len(maps))
        vectors = maps[rows, :, peaks]
        purity = values[rows, peaks].relu() / vectors.norm(dim=1).clamp_min(1e-12)
        pooled = normalize(maps.mean(2).reshape(self.channels, self.images, -1), dim=2)
        loss = -purity.mean() + 0.1 * (pooled @ pooled.mT).mean() + 0.1 * self.delta[units].square().mean()
        optimizer = self.of_rotation if on_rotation else self.of_latents
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
        optimizer.step()
