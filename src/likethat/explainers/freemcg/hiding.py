"""Heat maps by masks that hide a part of a picture, or show it alone: no generator is needed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from likethat._checks import check_choice
from likethat._options import shown
from likethat.errors import InputError
from likethat.functional.blur import gaussian_blur
from likethat.functional.evidence import LinearFit, linear_fit
from likethat.functional.inpainting import inpainted
from likethat.functional.nearness import nearness

FILLS = ("mean", "blur", "noise", "inpainting")
"""What hidden pixels may show."""

_CELLS = 32  # a side, of a square: masks and maps are made of them, so that large pictures cost no arithmetic
_LEAST, _MOST = 0.05, 0.5  # share of a picture that is hidden, or shown alone: where its class comes and goes
_BLUR = 0.1  # of what hidden pixels show, standard deviation as a share of the shorter side
_SMOOTH = 8  # the blur of a prior of place alone (applied twice) is the side over this; others rank pixels worse
_OF_A_THING = 4  # pixels a side of a cell from which its colour is a thing's: of 7 colours help, of 1 they harm
_TOGETHER = 0.3  # variance of what cells do together, of that of what each does by itself; little hangs on it
_JITTER = 1e-4  # of a covariance of 1: cells that are all alike can be told apart in float32
_OFFSET = 0.2  # share of all cells that a fill changes the answer by wherever it is put; little hangs on it
_DRAWS = 256  # of the posterior: its standard deviation is known to 4 %


@dataclass(frozen=True, kw_only=True, eq=False)
class Fills:
    """What hidden pixels show.

    Attributes:
        n_kinds: of fills, which take turns.
        make: of one kind, a picture for each mask (n, 1, height, width) that hides where it is 1.
    """

    n_kinds: int
    make: Callable[[int, Tensor], Float[Tensor, "n channel height width"]]


class Masks:
    """Hide what may matter, or show it alone; regress what is explained on what is hidden; go on where it is not known.

    A mask has the highest cells of a random map that follows the colours of a large picture: at first of any, then of
    one that the answers allow. Draws agree where the map is known and differ where it is not, so masks go from anywhere
    to the places in question.
    Questions are told apart by their number: odd ones show a part alone, and every two have the next fill.

    Args:
        image: what is explained.
        fills: what takes the place of hidden pixels.
        rng: of the masks.

    Source:
        Petsiuk, Das, Saenko (2018), RISE: random masks; Thompson (1933): what is tried next is best under a draw from
        the posterior; MacKay (1992), Bayesian interpolation; Rasmussen and Williams (2006), Gaussian processes: a sum
        of kernels, of what is linear and what is not.

    Differs:
        Masks are balanced: half of them hide a little of the picture and half show a little of it alone, with each
        fill; a regression takes the place of RISE's mean of masks, its prior follows a large picture's colours, and
        what is no sum over cells has a part of its own there. Each raises insertion less deletion.
    """

    first = 32  # masks before the first estimate

    def __init__(self, image: Float[Tensor, "channel height width"], fills: Fills, *, rng: torch.Generator) -> None:
        self._image, self._fills, self._rng = image, fills, rng
        self._size = (image.shape[1], image.shape[2])
        scale = min(1.0, _CELLS / (self._size[0] * self._size[1]) ** 0.5)
        self._grid = (max(1, round(self._size[0] * scale)), max(1, round(self._size[1] * scale)))
        self._has_colours = min(self._size) >= _OF_A_THING * min(self._grid)
        if self._has_colours:
            self._prior = nearness(adaptive_avg_pool2d(image.detach().float().cpu(), self._grid))
            self._root = _root(self._prior)
        else:
            self._root = _blur(self._grid)
            self._prior = self._root @ self._root.T
        self._asked = self._hidden = torch.zeros(0, *self._grid, dtype=torch.float32)
        self._fit: LinearFit | None = None
        self.answers = torch.zeros(0, dtype=torch.float64)

    def ask(self, n: int) -> Float[Tensor, "n channel height width"]:
        """Return pictures of which a part is hidden."""
        self._asked, kinds, image = self.masks(n), self.kinds(n), self._image
        changed = torch.empty(n, *image.shape, dtype=image.dtype, device=image.device)
        for kind in range(self._fills.n_kinds):
            rows = (kinds == kind).nonzero()[:, 0]
            hidden = self._grown(self._asked[rows]).to(image)
            changed[rows] = torch.lerp(image, self._fills.make(kind, hidden), hidden)
        return changed

    def kinds(self, n: int) -> Int[Tensor, " n"]:
        """Return the kinds of the next fills."""
        return self._numbers(n) // 2 % self._fills.n_kinds

    def masks(self, n: int) -> Float[Tensor, "n row column"]:
        """Return the next masks; 1 is hidden."""
        maps = self._draws(n)
        share = _LEAST + (_MOST - _LEAST) * torch.rand(n, generator=self._rng, dtype=torch.float32)
        rank = maps.argsort(dim=1, descending=True).argsort(dim=1)
        top = rank < (share * maps.shape[1]).round().clamp_min(1)[:, None]
        alone = self._numbers(n) % 2 == 1
        return (top ^ alone[:, None]).float().reshape(n, *self._grid)

    def _grown(self, cells: Float[Tensor, "n row column"]) -> Float[Tensor, "n 1 height width"]:
        """Bring masks or maps to the picture's size."""
        if self._grid == self._size:
            return cells[:, None]
        return torch.nn.functional.interpolate(cells[:, None], size=self._size, mode="bilinear", align_corners=False)

    def add(self, answers: Float[Tensor, " n"]) -> None:
        """Take in what was asked."""
        self._hidden = torch.cat([self._hidden, self._asked[: len(answers)]])
        self.answers = torch.cat([self.answers, answers])
        design = -self._hidden.flatten(1)
        smoothed = design @ self._prior
        others = self._offsets(len(design))
        if self._has_colours:
            others = torch.cat([others, _together(design, smoothed)], dim=1)
        self._fit = linear_fit(
            torch.cat([design, others], dim=1), self.answers, smoothed=torch.cat([smoothed, others], dim=1)
        )

    def map(self) -> tuple[Float[Tensor, "height width"], Float[Tensor, "height width"]]:
        """Return what each pixel adds, and its standard error."""
        assert self._fit is not None
        n = self._grid[0] * self._grid[1]
        share = n / (self._size[0] * self._size[1])  # a cell's value is that of all its pixels
        mean = self._fit.mean[:n].float()
        error = (self._draws(_DRAWS) - mean).square().mean(dim=0).sqrt()
        values, error = self._grown(torch.stack([mean, error]).reshape(2, *self._grid))[:, 0] * share
        return values, error

    def _draws(self, n: int) -> Float[Tensor, "n cell"]:
        """Return maps as the answers allow them, or any before the first."""
        free = torch.randn(n, len(self._root), generator=self._rng, dtype=torch.float32) @ self._root.T
        if self._fit is None:
            return free
        n_others = len(self._fit.mean) - free.shape[1]
        others = torch.randn(n, n_others, generator=self._rng, dtype=torch.float32)
        return self._fit.draws(torch.cat([free, others], dim=1), rng=self._rng)[:, : free.shape[1]].float()

    def _offsets(self, n: int) -> Float[Tensor, "n offset"]:
        """Return which of the ways to ask each question has: what it does to the answer is no cell's doing."""
        number = torch.arange(n)
        way = 2 * (number // 2 % self._fills.n_kinds) + number % 2
        size = _OFFSET * self._grid[0] * self._grid[1]
        return size * torch.nn.functional.one_hot(way, 2 * self._fills.n_kinds).float()

    def _numbers(self, n: int) -> Int[Tensor, " n"]:
        return torch.arange(len(self.answers), len(self.answers) + n)


def _blur(grid: tuple[int, int]) -> Float[Tensor, "cell cell"]:
    """Return a blur; applied twice it is a covariance of about 1 in the middle."""
    n, sigma = grid[0] * grid[1], min(grid) / _SMOOTH
    peak = max(1.0, 4 * torch.pi * sigma**2)  # two blurs take a cell's variance down to 1 / (4 pi sigma^2)
    return gaussian_blur(torch.eye(n, dtype=torch.float32).reshape(n, 1, *grid), sigma).flatten(1) * peak**0.5


def _root(covariance: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """Return L with L L' the covariance, and a little more on its diagonal."""
    more = _JITTER * torch.eye(len(covariance), dtype=torch.float64)
    return torch.linalg.cholesky(covariance.double() + more).to(covariance)


def _together(
    design: Float[Tensor, "question cell"], smoothed: Float[Tensor, "question cell"]
) -> Float[Tensor, "question feature"]:
    """Return features of what cells do together: masks that hide much the same have much the same of it.

    It would otherwise be noise, of which a good part goes into the map. Their inner products are a Gaussian kernel of
    the masks, less the two terms of its series that are constant and linear: those are the offsets' and the map's.
    """
    inner = ((smoothed - smoothed.mean(dim=0)) @ (design - design.mean(dim=0)).T).double()
    size = inner.diagonal().mean().clamp_min(_JITTER)
    inner = inner / size
    fall = torch.exp(-0.5 * inner.diagonal())
    beyond = fall[:, None] * (torch.exp(inner) - 1 - inner) * fall
    return ((_TOGETHER * size).sqrt() * _root(beyond)).to(design)


def check_fills(fills: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of fills; left out, the first three: the fourth draws on the picture, and hides less of it.

    Raises:
        InputError: none, or one that does not exist.
    """
    if fills is None:
        return FILLS[:3]
    named = [fills] if isinstance(fills, str) else list(fills) if isinstance(fills, list | tuple) else []
    if not named or len({*map(str, named)}) < len(named):
        raise InputError(f"`fills` must be a list of one or more of {', '.join(FILLS)}, each once, got {shown(fills)}.")
    return tuple(check_choice(each, name="fills", choices=FILLS) for each in named)


def out_of_sight(
    image: Float[Tensor, "channel height width"],
    kinds: Sequence[str] = FILLS[:3],
    *,
    rng: torch.Generator,
) -> Fills:
    """Fill with the picture's mean colour, the picture out of focus, noise, or what is seen around, in turn.

    A picture of one colour has nothing to hide: it is filled with itself.
    """
    mean = image.mean(dim=(1, 2), keepdim=True)
    blurred = gaussian_blur(image[None], _BLUR * min(image.shape[1:]), repeat_edges=True)[0]
    makers: dict[str, Callable[[Tensor], Tensor]] = {
        "mean": lambda hidden: mean.expand(len(hidden), *image.shape),
        "blur": lambda hidden: blurred.expand(len(hidden), *image.shape),
        "noise": lambda hidden: torch.rand(len(hidden), *image.shape, generator=rng, dtype=torch.float32).to(image),
        "inpainting": lambda hidden: inpainted(image, hidden),
    }
    wanted = [makers[kind] for kind in kinds] if bool((image != mean).any()) else [makers["mean"]]
    return Fills(n_kinds=len(wanted), make=lambda kind, hidden: wanted[kind](hidden))
