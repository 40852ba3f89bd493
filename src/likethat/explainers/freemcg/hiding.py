"""Heat maps by masks that hide a part of a picture, or show it alone: no generator is needed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from likethat._checks import check_choice
from likethat._options import shown
from likethat.errors import InputError
from likethat.functional.blur import gaussian_blur
from likethat.functional.evidence import LinearFit, linear_fit
from likethat.functional.inpainting import inpainted

FILLS = ("mean", "blur", "noise", "inpainting")
"""What hidden pixels may show."""

_CELLS = 32  # a side, at most: masks and maps are made of them, so that large pictures cost no arithmetic
_SMOOTH = 8  # the blur of the prior (applied twice) is the side over this; finer and coarser ones rank pixels worse
_LEAST, _MOST = 0.05, 0.5  # share of a picture that is hidden, or shown alone: where its class comes and goes
_BLUR = 0.1  # of what hidden pixels show, standard deviation as a share of the shorter side
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

    A mask has the highest cells of a smooth random map: at first of any, then of one that the answers allow. Draws
    agree where the map is known and differ where it is not, so masks go from anywhere to the places in question.
    Questions are told apart by their number: odd ones show a part alone, and every two have the next fill.

    Args:
        image: what is explained.
        fills: what takes the place of hidden pixels.
        rng: of the masks.

    Source:
        Petsiuk, Das, Saenko (2018), RISE: random masks; Thompson (1933): what is tried next is best under a draw from
        the posterior; MacKay (1992), Bayesian interpolation.

    Differs:
        Masks are balanced: half of them hide a little of the picture and half show a little of it alone, with each
        fill; a regression with a smooth prior takes the place of RISE's mean of masks. Each raises insertion less
        deletion.
    """

    first = 32  # masks before the first estimate

    def __init__(self, image: Float[Tensor, "channel height width"], fills: Fills, *, rng: torch.Generator) -> None:
        self._image, self._fills, self._rng = image, fills, rng
        self._size = (image.shape[1], image.shape[2])
        scale = min(1.0, _CELLS / min(self._size))
        self._grid = (round(self._size[0] * scale), round(self._size[1] * scale))
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
        design, offsets = -self._hidden.flatten(1), self._offsets(self._hidden.shape[0])
        smoothed = self._smooth(self._smooth(design)) * self._peak
        self._fit = linear_fit(
            torch.cat([design, offsets], dim=1), self.answers, smoothed=torch.cat([smoothed, offsets], dim=1)
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

    @property
    def _peak(self) -> float:
        """What makes the prior's variance of a cell about 1: two blurs take it down to 1 / (4 pi sigma^2)."""
        return max(1.0, 4 * torch.pi * (min(self._grid) / _SMOOTH) ** 2)

    def _draws(self, n: int) -> Float[Tensor, "n cell"]:
        """Return maps as the answers allow them, or any smooth ones before the first."""
        noise = torch.randn(n, self._grid[0] * self._grid[1], generator=self._rng, dtype=torch.float32)
        free = self._smooth(noise) * self._peak**0.5
        if self._fit is None:
            return free
        offsets = torch.randn(n, 2 * self._fills.n_kinds, generator=self._rng, dtype=torch.float32)
        return self._fit.draws(torch.cat([free, offsets], dim=1), rng=self._rng)[:, : free.shape[1]].float()

    def _offsets(self, n: int) -> Float[Tensor, "n offset"]:
        """Return which of the ways to ask each question has: what it does to the answer is no cell's doing."""
        number = torch.arange(n)
        way = 2 * (number // 2 % self._fills.n_kinds) + number % 2
        size = _OFFSET * self._grid[0] * self._grid[1]
        return size * torch.nn.functional.one_hot(way, 2 * self._fills.n_kinds).float()

    def _numbers(self, n: int) -> Int[Tensor, " n"]:
        return torch.arange(len(self.answers), len(self.answers) + n)

    def _smooth(self, rows: Float[Tensor, "n cell"]) -> Float[Tensor, "n cell"]:
        """Blur; applied twice it is the prior's covariance, but for its size."""
        return gaussian_blur(rows.reshape(-1, 1, *self._grid), min(self._grid) / _SMOOTH).flatten(1)


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
