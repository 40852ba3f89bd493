"""EPIC the way its reference works, re-implemented from its description to compare with; never imported by likethat.

Every stage forwards the whole data set again, chooses prototypes channel by channel in a Python loop, and trains U
for two epochs in which every prototype image goes through the backbone again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(kw_only=True)
class ReferenceEpic:
    """The schedule of the paper: 20 epochs, prototypes anew every 2, N from 100 to 5, Adam at 1e-3, batches of 512."""

    backbone: Callable[[Tensor], Tensor]
    epochs: int = 20
    every: int = 2
    first: int = 100
    last: int = 5
    batch: int = 512
    seed: int = 0
    forwards: int = 0
    steps: int = 0
    history: list[float] = field(default_factory=list)

    def fit(self, images: Tensor, n_channels: int) -> Tensor:
        """Return the rotation."""
        generator = torch.Generator().manual_seed(self.seed)
        exponent = torch.zeros(n_channels, n_channels, requires_grad=True)
        optimizer = torch.optim.Adam([exponent], lr=1e-3, weight_decay=1e-5)
        stages = self.epochs // self.every
        for stage in range(stages):
            n = round(self.first + (self.last - self.first) * stage / max(stages - 1, 1))
            chosen = self._choose(images, exponent, min(n, len(images)))
            for _ in range(self.every):
                for pairs in chosen[torch.randperm(len(chosen), generator=generator)].split(self.batch):
                    self._step(images, pairs, exponent, optimizer)
        return self._mixing(exponent).detach()

    @staticmethod
    def _mixing(exponent: Tensor) -> Tensor:
        return torch.linalg.matrix_exp(exponent - exponent.T)

    @torch.no_grad()
    def _forward(self, images: Tensor) -> Tensor:
        self.forwards += len(images)
        return self.backbone(images)

    @torch.no_grad()
    def _choose(self, images: Tensor, exponent: Tensor, n: int) -> Tensor:
        """Return (channel, image) of the n images of highest summed activation of each channel."""
        mixing = self._mixing(exponent)
        best: list[list[tuple[float, int]]] = [[] for _ in mixing]
        for start in range(0, len(images), 32):
            sums = torch.einsum("kd,ndhw->nk", mixing, self._forward(images[start : start + 32]))
            for channel in range(len(mixing)):
                values, rows = sums[:, channel].topk(min(n, len(sums)))
                best[channel] += zip(values.tolist(), (rows + start).tolist(), strict=True)
                best[channel] = sorted(best[channel], reverse=True)[:n]
        return torch.tensor([(channel, row) for channel, found in enumerate(best) for _, row in found])

    def _step(self, images: Tensor, pairs: Tensor, exponent: Tensor, optimizer: torch.optim.Adam) -> None:
        channels, rows = pairs.unbind(1)
        maps = torch.cat([self._forward(images[part]) for part in rows.split(32)]).flatten(2)
        mixed = torch.einsum("kd,ndp->nkp", self._mixing(exponent), maps)
        peaks = mixed[torch.arange(len(channels)), channels].argmax(1)
        vectors = mixed[torch.arange(len(channels)), :, peaks]
        values = vectors[torch.arange(len(channels)), channels] / vectors.norm(dim=1).clamp_min(1e-12)
        loss = -values.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        self.steps += 1
        self.history.append(-float(loss.detach()))
