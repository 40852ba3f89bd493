"""Signed heat maps from outputs alone: by masks that hide patches, or by particles on the manifold of images."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._queries import QueryLog
from likethat._status import Reason, Status, ended
from likethat.functional.blur import gaussian_blur
from likethat.functional.evidence import linear_fit
from likethat.functional.tweedie import tweedie_particles
from likethat.generators.base import Denoiser

__all__ = ["HeatMap", "Replace", "heat_map", "hiding_masks", "mean_colour", "particles"]

_LEVELS = (1.8, 3.6, 7.2)  # of noise on a picture of 32 pixels a side, in proportion more on larger ones
_FIRST, _ROUND = 48, 16  # masks before the first estimate, and the fewest that a later one is made of
_CELLS, _HIDDEN = 8, 0.3  # cells of a mask, a side, and the share of them that is hidden
_SMOOTH, _FINEST = 22.6, 16  # blurs are the picture's side over these: of the prior (applied twice), of the map
_DRAWS = 64  # of the posterior: its standard deviation is known to a tenth
Replace = Callable[[int], Float[Tensor, "n channel height width"]]


@dataclass(frozen=True, kw_only=True, eq=False)
class HeatMap:
    """What each pixel adds to the number explained, (height, width), with its standard error."""

    values: Float[Tensor, "height width"]
    error: Float[Tensor, "height width"]
    spread_of_answers: float
    n_answers: int
    is_stopped: bool = False

    def status(self) -> Status:
        """Return whether there was anything to see."""
        if self.is_stopped:
            return ended("heat map", Reason.INTERRUPTED)
        if self.n_answers < _ROUND:
            return ended("heat map", Reason.BUDGET, answers=self.n_answers)
        return ended("heat map", Reason.REACHED if self.spread_of_answers > 1e-9 else Reason.CONSTANT)


def heat_map(
    image: Float[Tensor, "channel height width"],
    log: QueryLog,
    explained: Callable[[Tensor], Tensor],
    replace: Replace,
    *,
    rng: torch.Generator,
) -> HeatMap:
    """Replace random patches, regress what is explained on each pixel's change, and go on where the error is large.

    The gradient g is fitted with a smooth prior, and a pixel's value is g times what is there beyond the mean colour.

    Args:
        image: what is explained.
        log: the model, with its budget.
        explained: answers (n, cls) to the number that is explained, (n,): the log-odds of a class.
        replace: returns n pictures whose patches take the place of the image's.
        rng: of the masks.

    Source:
        Kim et al. (2025), FreeMCG: C_xf e_c over noise levels; Petsiuk, Das, Saenko (2018), RISE: shifted masks.

    Differs:
        The covariance is divided by the changes' own (ridge regression); changes stay within patches; the gradient is
        multiplied by the image. The paper says neither; each of them raises insertion less deletion.
    """
    reading, is_stopped = _Reading(image.detach().cpu()), False
    try:
        _fill(reading, image, log, explained, replace, rng)
    except KeyboardInterrupt:
        if len(reading.answers) < _ROUND:
            raise
        is_stopped = True
    if len(reading.answers) < _ROUND:
        nothing = torch.zeros(image.shape[1:], dtype=torch.float32)
        return HeatMap(values=nothing, error=nothing + torch.inf, spread_of_answers=0, n_answers=len(reading.answers))
    values, error = reading.fit()
    spread, n = float(reading.answers.std()), len(reading.answers)
    return HeatMap(values=values, error=error, spread_of_answers=spread, n_answers=n, is_stopped=is_stopped)


def _fill(
    reading: "_Reading",
    image: Tensor,
    log: QueryLog,
    explained: Callable[[Tensor], Tensor],
    replace: Replace,
    rng: torch.Generator,
) -> None:
    """Ask until the budget ends, or all that masks make is known, more often where the error is large."""
    weight = torch.ones(image.shape[1:], dtype=torch.float32)
    while True:
        n = max(_ROUND, len(reading.answers) // 3) if len(reading.answers) else _FIRST
        masks = hiding_masks(n, weight, rng=rng)[:, None].to(image)
        changed = image + masks * (replace(n) - image)
        before = log.box.queries
        found = log.query(changed)
        if len(found):
            reading.add((changed - image)[: len(found)].cpu(), explained(found.probabilities))
        log.tell()
        if len(found) < n or log.box.queries == before:  # nothing new was asked: of one colour, or a few pixels large
            return
        weight = reading.fit()[1]


class _Reading:
    """Changes and answers so far, and the map that they make under a smooth prior."""

    def __init__(self, image: Float[Tensor, "channel height width"]) -> None:
        self._image, self._side = image, min(image.shape[1:])
        self._moves = self._smoothed = torch.zeros(0, image.numel(), dtype=torch.float32)
        self.answers = torch.zeros(0, dtype=torch.float64)
        self._rng = torch.Generator().manual_seed(0)

    def add(self, moves: Float[Tensor, "n channel height width"], answers: Float[Tensor, " n"]) -> None:
        """Take in what was asked."""
        flat = moves.flatten(1)
        self._moves = torch.cat([self._moves, flat])
        self._smoothed = torch.cat([self._smoothed, self._smooth(self._smooth(flat))])
        self.answers = torch.cat([self.answers, answers])

    def fit(self) -> tuple[Float[Tensor, "height width"], Float[Tensor, "height width"]]:
        """Return the map and its standard error."""
        fit = linear_fit(self._moves, self.answers, smoothed=self._smoothed)
        prior = self._smooth(torch.randn(_DRAWS, self._image.numel(), generator=self._rng, dtype=torch.float32))
        values = self._map(fit.mean.float())[0]
        variance = (self._map(fit.draws(prior, rng=self._rng).float()) - values).square().mean(dim=0)
        return values, gaussian_blur(variance[None, None], self._side / _FINEST, repeat_edges=True)[0, 0].sqrt()

    def _smooth(self, rows: Float[Tensor, "n feature"]) -> Float[Tensor, "n feature"]:
        """Blur; applied twice it is the prior's covariance."""
        return gaussian_blur(rows.reshape(-1, *self._image.shape), self._side / _SMOOTH).flatten(1)

    def _map(self, gradients: Float[Tensor, "*n feature"]) -> Float[Tensor, "n height width"]:
        beyond = self._image - self._image.mean(dim=(1, 2), keepdim=True)
        maps = (gradients.reshape(-1, *self._image.shape) * beyond).sum(dim=1, keepdim=True)
        return gaussian_blur(maps, self._side / _FINEST)[:, 0]


def mean_colour(image: Float[Tensor, "channel height width"]) -> Replace:
    """Hide patches behind the picture's mean colour: no generator is needed."""
    return lambda n: image.mean(dim=(1, 2), keepdim=True).expand(n, *image.shape)


def particles(image: Float[Tensor, "channel height width"], denoiser: Denoiser, *, rng: torch.Generator) -> Replace:
    """Replace patches by those of denoised particles, of several noise levels in turn."""
    scaled = [level * min(image.shape[1:]) / 32 for level in _LEVELS]
    levels = [level for level in scaled if level <= denoiser.sigma_max] or [denoiser.sigma_max]

    def replace(n: int) -> Tensor:
        made = torch.empty(n, *image.shape, dtype=image.dtype, device=image.device)
        for place, level in enumerate(levels):
            count = len(range(place, n, len(levels)))
            made[place :: len(levels)] = tweedie_particles(denoiser, image, level, n=count, rng=rng)
        return made

    return replace


def hiding_masks(
    n: int, weight: Float[Tensor, "height width"], *, rng: torch.Generator
) -> Float[Tensor, "n height width"]:
    """Return soft masks on a coarse grid that is shifted at random; 1 is hidden, more often where `weight` is large."""
    size = (weight.shape[0], weight.shape[1])
    cells = min(_CELLS, *size)
    step = [-(-side // cells) for side in size]
    coarse = torch.nn.functional.adaptive_avg_pool2d(weight[None, None], cells)[0, 0]
    chance = (_HIDDEN * coarse / coarse.mean().clamp_min(1e-12)).clamp(0.5 * _HIDDEN, 0.6)
    chance = torch.nn.functional.pad(chance[None, None], [0, 1, 0, 1], mode="replicate")
    coins = (torch.rand(n, 1, cells + 1, cells + 1, generator=rng, dtype=torch.float32) < chance).float()
    grown = [(cells + 1) * width for width in step]
    large = torch.nn.functional.interpolate(coins, size=grown, mode="bilinear", align_corners=False)[:, 0]
    down, across = (torch.randint(width + 1, (n,), generator=rng).tolist() for width in step)
    cut = [
        large[row, top : top + size[0], left : left + size[1]]
        for row, (top, left) in enumerate(zip(down, across, strict=True))
    ]
    return torch.stack(cut)
