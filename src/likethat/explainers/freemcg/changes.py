"""Heat maps by particles on the manifold of images: patches give way to them, answers are regressed on the change."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from likethat.functional.blur import gaussian_blur
from likethat.functional.evidence import linear_fit
from likethat.functional.tweedie import tweedie_particles
from likethat.generators.base import Denoiser

_LEVELS = (1.8, 3.6, 7.2)  # of noise on a picture of 32 pixels a side, in proportion more on larger ones
_CELLS, _HIDDEN = 8, 0.3  # cells of a mask, a side, and the share of them that is hidden
_SMOOTH, _FINEST = 22.6, 16  # blurs are the picture's side over these: of the prior (applied twice), of the map
_DRAWS = 64  # of the posterior: its standard deviation is known to a tenth
Replace = Callable[[int], Float[Tensor, "n channel height width"]]


class Changes:
    """Replace random patches, regress what is explained on each pixel's change, and go on where the error is large.

    The gradient g is fitted with a smooth prior, and a pixel's value is g times what is there beyond the mean colour.

    Args:
        image: what is explained.
        replace: returns n pictures whose patches take the place of the image's.
        rng: of the masks.

    Source:
        Kim et al. (2025), FreeMCG: C_xf e_c over noise levels; Petsiuk, Das, Saenko (2018), RISE: shifted masks.

    Differs:
        The covariance is divided by the changes' own (ridge regression); changes stay within patches; the gradient is
        multiplied by the image. The paper says neither; each of them raises insertion less deletion.
    """

    first = 48  # masks before the first estimate

    def __init__(self, image: Float[Tensor, "channel height width"], replace: Replace, *, rng: torch.Generator) -> None:
        self._given, self._replace, self._masks = image, replace, rng
        self._image, self._side = image.detach().cpu(), min(image.shape[1:])
        self._moves = self._smoothed = torch.zeros(0, image.numel(), dtype=torch.float32)
        self._asked = torch.zeros(0, *image.shape, dtype=torch.float32)
        self._weight = torch.ones(image.shape[1:], dtype=torch.float32)
        self.answers = torch.zeros(0, dtype=torch.float64)
        self._rng = torch.Generator().manual_seed(0)

    def ask(self, n: int) -> Float[Tensor, "n channel height width"]:
        """Return pictures with other patches, more often where the error is large."""
        if len(self.answers):
            self._weight = self.map()[1]
        masks = hiding_masks(n, self._weight, rng=self._masks)[:, None].to(self._given)
        changed = self._given + masks * (self._replace(n) - self._given)
        self._asked = (changed - self._given).cpu()
        return changed

    def add(self, answers: Float[Tensor, " n"]) -> None:
        """Take in what was asked."""
        flat = self._asked[: len(answers)].flatten(1)
        self._moves = torch.cat([self._moves, flat])
        self._smoothed = torch.cat([self._smoothed, self._smooth(self._smooth(flat))])
        self.answers = torch.cat([self.answers, answers])

    def map(self) -> tuple[Float[Tensor, "height width"], Float[Tensor, "height width"]]:
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
