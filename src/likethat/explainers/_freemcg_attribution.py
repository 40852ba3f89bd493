"""Signed heat maps from outputs alone: by masks that hide patches, or by particles on the manifold of images."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._progress import Progress, Watcher
from likethat.explainers._freemcg_asking import Asked
from likethat.explainers._freemcg_pieces import patches
from likethat.explanations.status import Status
from likethat.functional.evidence import LinearFit, linear_fit
from likethat.functional.tweedie import denoised
from likethat.generators.base import Denoiser

__all__ = ["Asker", "HeatMap", "by_particles", "by_patches"]

_LEVELS = (0.15, 0.3, 0.6, 1.2)
_ROUND, _POOL = 16, 192


@dataclass(frozen=True, kw_only=True, eq=False)
class HeatMap:
    """What each pixel adds to the target's margin, (height, width), with its standard error."""

    values: Float[Tensor, "height width"]
    error: Float[Tensor, "height width"]
    spread_of_answers: float

    def status(self) -> Status:
        """Return whether there was anything to see."""
        if self.spread_of_answers > 1e-9:
            return Status(reached=True, reason="reached")
        advice = "The model gave the same answer to every changed image, so no pixel can be told from another."
        return Status(reached=False, reason="constant", advice=advice)


@dataclass(kw_only=True, eq=False)
class Asker:
    """Asks for changed images until the budget ends; keeps what was answered."""

    box: Asked
    target: int
    budget: int
    watch: Watcher | None = None

    def __call__(self, images: Tensor) -> Float[Tensor, " asked"]:
        """Return the target's log-odds of the leading images that the budget allows."""
        n = self.box.affordable(images)
        if n == 0:
            return torch.zeros(0, dtype=torch.float64)
        p = self.box(images[:n])[:, self.target].clamp(1e-4, 1 - 1e-4)
        if self.watch is not None:
            self.watch(Progress(stage="asking the model", done=self.box.queries, total=self.budget))
        return torch.logit(p)


def by_patches(image: Float[Tensor, "channel height width"], ask: Asker, *, rng: torch.Generator) -> HeatMap:
    """Hide random patches and fit what each place contributes; later masks go where the error is largest.

    Masks are of three sizes, shifted at random; what is hidden is filled with the mean colour and with the picture out
    of focus in turn, so that the map does not depend on one of them.

    Source:
        Petsiuk, Das, Saenko (2018), RISE, for the masks.

    Differs:
        A regression with a smooth prior in place of a weighted mean, and masks chosen by what they would teach.
    """
    size = (image.shape[1], image.shape[2])
    cells = min(16, *size)
    hats = patches(size, cells).flatten(1)
    area = hats.sum(dim=1)
    kernel = _smooth(cells)
    fillings = _fillings(image)
    design, values = torch.zeros(0, cells * cells + 1), torch.zeros(0, dtype=torch.float64)
    fit: LinearFit | None = None
    while True:
        masks = _random_masks(_ROUND * (3 if fit is None else 1) if fit is None else _POOL, size, rng=rng)
        stays = masks.flatten(1) @ hats.T / area
        kind = torch.arange(len(masks)) % len(fillings)
        rows = torch.cat([stays, kind[:, None].float()], dim=1)
        if fit is not None:
            chosen = _most_telling(rows, design, kernel, fit, n=_ROUND)
            masks, rows, kind = masks[chosen], rows[chosen], kind[chosen]
        shown = fillings[kind] + masks[:, None] * (image - fillings[kind])
        answers = ask(shown.to(image))
        design, values = torch.cat([design, rows[: len(answers)]]), torch.cat([values, answers])
        if len(values) < 4:
            return HeatMap(values=torch.zeros(size), error=torch.full(size, torch.inf), spread_of_answers=0.0)
        fit = linear_fit(design, values, smoothed=design @ kernel, kernel_diagonal=kernel.diagonal())
        if len(answers) < len(rows):
            break
    to_pixels: Callable[[Tensor], Tensor] = lambda cell: ((cell[:-1].float() / area) @ hats).reshape(size)  # noqa: E731
    return HeatMap(values=to_pixels(fit.mean), error=to_pixels(fit.error), spread_of_answers=float(values.std()))


def by_particles(
    image: Float[Tensor, "channel height width"], ask: Asker, denoiser: Denoiser, *, rng: torch.Generator
) -> HeatMap:
    """Regress the log-odds on denoised particles of several noise levels: FreeMCG's gradient, times what is there.

    Each particle is changed within a random soft window, where the error is large more often than elsewhere.

    Source:
        Kim et al. (2025), FreeMCG: C_xf e_c over noise levels.

    Differs:
        The covariance is divided by the particles' own (ridge regression), and the gradient is multiplied by the image
        less the particles' mean; the paper says neither.
    """
    size = (image.shape[1], image.shape[2])
    levels = [level for level in _LEVELS if level <= denoiser.sigma_max] or [denoiser.sigma_max]
    moves, values = torch.zeros(0, image.numel()), torch.zeros(0, dtype=torch.float64)
    weight = torch.ones(size)
    while True:
        n = 3 * _ROUND if not len(values) else _ROUND
        windows = _windows(n, weight, rng=rng)[:, None].to(image)
        particles = []
        for place in range(n):
            noise = torch.randn(image.shape, generator=rng).to(image)
            particles.append(image + levels[place % len(levels)] * noise)
        stacked = torch.stack(particles)
        for place, level in enumerate(levels):
            stacked[place :: len(levels)] = denoised(denoiser, stacked[place :: len(levels)], level)
        changed = image + windows * (stacked - image)
        answers = ask(changed)
        moves = torch.cat([moves, (changed - image)[: len(answers)].flatten(1).cpu()])
        values = torch.cat([values, answers])
        if len(values) < 4:
            return HeatMap(values=torch.zeros(size), error=torch.full(size, torch.inf), spread_of_answers=0.0)
        fit = linear_fit(moves, values, smoothed=_blurred(moves, image.shape))
        away = -moves.mean(dim=0) * len(moves) / (moves.abs() > 1e-4).sum(dim=0).clamp_min(1)
        found = (fit.mean.float() * away).reshape(image.shape).sum(dim=0)
        error = (fit.error.float() * away).reshape(image.shape).pow(2).sum(dim=0).sqrt()
        if len(answers) < n:
            return HeatMap(values=found, error=error, spread_of_answers=float(values.std()))
        weight = error / error.max().clamp_min(1e-12) + 0.2


def _fillings(image: Tensor) -> Float[Tensor, "filling channel height width"]:
    """Return what hides: the mean colour, and the picture out of focus."""
    mean = image.mean(dim=(1, 2), keepdim=True).expand_as(image)
    return torch.stack([mean, blurred(image[None], 0.1 * min(image.shape[1:]))[0]])


def _random_masks(n: int, size: tuple[int, int], *, rng: torch.Generator) -> Float[Tensor, "n height width"]:
    """Return smooth masks from coarse coin throws on 4, 6 and 8 cells a side, shifted at random; 1 is shown."""
    masks = torch.empty(n, *size)
    for place in range(n):
        cells = (4, 6, 8)[place % 3]
        step = [-(-side // cells) for side in size]
        coins = (torch.rand(1, 1, cells + 1, cells + 1, generator=rng) < 0.5).float()
        grown = [(cells + 1) * width for width in step]
        large = torch.nn.functional.interpolate(coins, size=grown, mode="bilinear", align_corners=False)[0, 0]
        down, across = (int(torch.randint(width + 1, (1,), generator=rng)) for width in step)
        masks[place] = large[down : down + size[0], across : across + size[1]]
    return masks


def _windows(n: int, weight: Float[Tensor, "height width"], *, rng: torch.Generator) -> Float[Tensor, "n height width"]:
    """Return soft round windows whose centres are drawn by weight; 1 is changed."""
    height, width = weight.shape
    centres = torch.multinomial(weight.flatten().cpu(), n, replacement=True, generator=rng)
    radius = (0.1 + 0.3 * torch.rand(n, generator=rng)) * min(height, width)
    down = (torch.arange(height)[None, :, None] - (centres // width)[:, None, None]) ** 2
    across = (torch.arange(width)[None, None, :] - (centres % width)[:, None, None]) ** 2
    return torch.exp(-0.5 * (down + across) / radius[:, None, None] ** 2)


def _smooth(cells: int, reach: float = 0.1) -> Float[Tensor, "feature feature"]:
    """Return the prior's kernel: neighbouring cells are alike; the last feature is the kind of filling."""
    place = torch.arange(cells) / cells
    near = torch.exp(-0.5 * ((place[:, None] - place) / reach) ** 2)
    kernel = torch.zeros(cells**2 + 1, cells**2 + 1)
    kernel[:-1, :-1] = torch.kron(near, near) + 0.05 * torch.eye(cells**2)
    kernel[-1, -1] = 4.0
    return kernel


def _most_telling(
    rows: Float[Tensor, "pool feature"],
    design: Float[Tensor, "row feature"],
    kernel: Float[Tensor, "feature feature"],
    fit: LinearFit,
    *,
    n: int,
) -> list[int]:
    """Return the rows after which the summed variance of all weights is least, chosen one after the other."""
    centre = design.mean(dim=0)
    X = (design - centre).double()
    K = kernel.double()
    noise = fit.noise / fit.spread
    solved = torch.linalg.solve(X @ K @ X.T + noise * torch.eye(len(X), dtype=K.dtype), X @ K)
    covariance = K - K @ X.T @ solved
    pool = (rows - centre).double()
    chosen: list[int] = []
    for _ in range(min(n, len(rows))):
        seen = pool @ covariance
        gains = (seen**2).sum(dim=1) / (noise + (seen * pool).sum(dim=1))
        gains[chosen] = -1.0
        best = int(gains.argmax())
        chosen.append(best)
        covariance = covariance - torch.outer(seen[best], seen[best]) / (noise + seen[best] @ pool[best])
    return chosen


def blurred(images: Float[Tensor, "n channel height width"], sigma: float) -> Float[Tensor, "n channel height width"]:
    """Return a Gaussian blur, edges repeated."""
    reach = max(1, round(3 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(images)
    n, channels, height, width = images.shape
    flat = images.reshape(n * channels, 1, height, width)
    pad = [min(reach, width - 1)] * 2 + [min(reach, height - 1)] * 2
    flat = torch.nn.functional.pad(flat, pad, mode="replicate")
    kept = kernel[reach - pad[0] : reach + pad[0] + 1]
    flat = torch.nn.functional.conv2d(flat, (kept / kept.sum())[None, None, None, :])
    kept = kernel[reach - pad[2] : reach + pad[2] + 1]
    return torch.nn.functional.conv2d(flat, (kept / kept.sum())[None, None, :, None]).reshape(images.shape)


def _blurred(rows: Float[Tensor, "row feature"], shape: torch.Size, sigma: float = 1.0) -> Float[Tensor, "row feature"]:
    """Return rows times the prior's kernel: neighbouring pixels of a channel are alike."""
    return blurred(rows.reshape(-1, *shape), sigma).flatten(1)
