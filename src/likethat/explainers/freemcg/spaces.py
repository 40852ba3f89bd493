"""Where a counterfactual is sought: among an image's denoised neighbours, or in a generator's latents."""

import difflib
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from likethat._inputs import Inputs, Kind, join_inputs, take
from likethat._jointly import jointly
from likethat.errors import InputError, NonFiniteError
from likethat.explainers.freemcg.columns import Columns, Limits
from likethat.explainers.freemcg.components import Components, image_components, revert_least_changed, with_details
from likethat.explanations.counterfactual import Change
from likethat.functional.tweedie import denoised
from likethat.generators.base import Denoiser, Encoder, LatentGenerator
from likethat.generators.table.generator import TableVAE

_N_TYPICAL, _N_STARTS = 256, 1024  # draws of the prior: what is typical of it; and rows to begin at the nearest of
_DESCENDING, _DESCENT, _RATES = 4, 120, (0.1, 0.01)  # of the nearest draws; steps; their length, in spreads of a prior
_OUTSIDE = 0.1  # of a pixel's range: what it costs to lie as far out again as draws do
_UNUSUAL = 95  # of 100 real rows so many are less surprising than one that passes for real
_LIKELY = 2  # rows cut down for each that is asked: some end as one and the same
_SATURATED = 4.0  # log odds: beyond them trees say the same or far more, and nothing there is linear
_WIDEST = 8.0  # noise on pictures of 32 pixels a side; less at first on larger ones: smaller parts


class Space(Protocol):
    """Points that particles are, and the inputs made of them.

    Attributes:
        origin: the point of the source.
        levels: how far particles are scattered, generation by generation.
        wider: the same where those lead nowhere; `levels` itself where nothing goes further.
        near: how far when a counterfactual that was found is brought nearer.
        exact: whether the origin makes the source itself.
        is_table: whether few changed columns matter more than short ways.
    """

    origin: Tensor
    levels: tuple[float, ...]
    wider: tuple[float, ...]
    near: float
    exact: bool
    is_table: bool

    def perturb(self, points: Tensor, level: float, *, rng: torch.Generator) -> Tensor:
        """Scatter points, and bring them back to where inputs are typical."""
        ...

    def decode(self, points: Tensor) -> Inputs:
        """Return the input of each point."""
        ...

    def anywhere(self, n: int, *, rng: torch.Generator) -> Tensor | None:
        """Return points of typical inputs, wherever they lie; None where there is nothing that knows them."""
        ...

    def distance(self, inputs: Inputs) -> Float[Tensor, " n"]:
        """Return how far each input is from the source."""
        ...

    def cost(self, inputs: Inputs) -> Float[Tensor, " n"]:
        """Return what is to be small."""
        ...

    def dissimilarity(self, inputs: Inputs, other: Inputs) -> Float[Tensor, " n"]:
        """Return how different the changes of inputs are from that of one other: 0 the same, 1 nothing in common."""
        ...

    def components(self, changed: Inputs, round_number: int) -> Components | None:
        """Cut the change of one input into components, finer in later rounds; None where it cannot be cut (further)."""
        ...

    def revert_least_changed(self, changed: Inputs, share: float) -> Tensor | None:
        """Give back a share of the pixels, the least changed; None where there are no pixels."""
        ...

    def reproject(self, changed: Inputs, n: int, *, rng: torch.Generator) -> Tensor | None:
        """Return one input n times, each brought back to where inputs are typical; None where nothing can do that."""
        ...

    def likely(self, archive: Any, target_margin: float, *, n: int, rng: torch.Generator) -> Inputs | None:
        """Return inputs that the answers so far let expect to be nearer counterfactuals; None where nothing does."""
        ...


class ImageSpace:
    """Particles are images: noised, then denoised in one step. Pixels outside `mask` never change."""

    exact = True
    is_table = False

    def __init__(
        self,
        denoiser: Denoiser,
        source: Float[Tensor, "channel height width"],
        *,
        mask: Bool[Tensor, "height width"] | None = None,
        noise: float | None = None,
        as_published: bool = False,
    ) -> None:
        self.origin = source
        self.denoiser, self._mask, self._as_published = denoiser, mask, as_published
        widest = min(_WIDEST if noise is None else noise, denoiser.sigma_max)
        top = min(widest, _WIDEST * min(1.0, 32 / min(source.shape[1:]))) if noise is None else widest
        self.levels = self.wider = _down_from(top)
        if top < widest:
            self.wider = _down_from(widest)
        self.near, self._settling = min(0.6, top), min(0.5 * max(1.0, min(source.shape[1:]) / 32), top)

    def perturb(self, points: Tensor, level: float, *, rng: torch.Generator) -> Tensor:
        """Noise at one level and one denoising step (Tweedie's formula)."""
        noise = torch.randn(points.shape, generator=rng, dtype=torch.float32).to(points)
        return self.decode(denoised(self.denoiser, points + level * noise, level))

    def anywhere(self, n: int, *, rng: torch.Generator) -> None:
        """Return None: noise is where nothing is typical yet."""

    def decode(self, points: Tensor) -> Tensor:
        """Return the points with the source's pixels where they hardly differ, and outside the mask."""
        points = points.clamp(0, 1)
        if not self._as_published:
            points = with_details(self.origin, points)
        return points if self._mask is None else torch.where(self._mask.to(points.device), points, self.origin)

    def distance(self, inputs: Inputs) -> Float[Tensor, " n"]:
        """Return the mean absolute difference of pixels."""
        return _pixels(inputs, self.origin)

    def cost(self, inputs: Inputs) -> Float[Tensor, " n"]:
        """Return the distance."""
        return self.distance(inputs)

    def dissimilarity(self, inputs: Inputs, other: Inputs) -> Float[Tensor, " n"]:
        """Return the pixels' difference from the other, as a share of both changes."""
        return _changes_apart(inputs, other, self.origin)

    def components(self, changed: Inputs, round_number: int) -> Components | None:
        """Cut into soft patches, 4 by 4 at first."""
        return _patches_of(changed, self.origin, round_number)

    def reproject(self, changed: Inputs, n: int, *, rng: torch.Generator) -> Tensor:
        """Noise a little, denoise: what is no typical picture of its class leaves it."""
        assert isinstance(changed, Tensor)
        return self.perturb(changed.to(self.origin).expand(n, *self.origin.shape), self._settling, rng=rng)

    def likely(self, archive: Any, target_margin: float, *, n: int, rng: torch.Generator) -> None:
        """Return None: pixels are too many to learn what each does."""

    def revert_least_changed(self, changed: Inputs, share: float) -> Tensor:
        """Give back the least changed pixels."""
        assert isinstance(changed, Tensor)
        return revert_least_changed(self.origin, changed[0].to(self.origin), share)[None]


class LatentSpace:
    """Particles are latents; what the generator makes of them is held to the limits."""

    def __init__(
        self,
        generator: LatentGenerator,
        source: Inputs,
        *,
        limits: Limits | None = None,
        mask: Bool[Tensor, "height width"] | None = None,
        rng: torch.Generator,
    ) -> None:
        self.kind: Kind = generator.kind
        self._generator, self._source, self._mask = generator, source, mask
        self._rebuilt: Tensor | None = None
        self._most_surprise: float | None = None
        latents = generator.prior.sample(_N_TYPICAL, rng=rng)
        self._middle, self._spread = latents.mean(dim=0), latents.std(dim=0).clamp_min(1e-3)
        with torch.no_grad():
            self._columns = _table_of(generator, source, latents, limits) if self.kind == "table" else None
            self.origin = self._start(rng)
        if self.kind == "image":
            rebuilt = self._made_free(self.origin[None])
            assert isinstance(rebuilt, Tensor)
            self._rebuilt = rebuilt[0]
        self.levels = self.wider = tuple(_geometric(1.0, 0.3, 6))
        self.near = 0.3
        self.exact = self.kind == "image"
        self.is_table = self.kind == "table"

    def perturb(self, points: Tensor, level: float, *, rng: torch.Generator) -> Tensor:
        """Scatter by `level` times the prior's spread."""
        return points + level * self._spread * torch.randn(points.shape, generator=rng, dtype=torch.float32)

    def anywhere(self, n: int, *, rng: torch.Generator) -> Tensor | None:
        """Draw from the prior, for tables."""
        return self._generator.prior.sample(n, rng=rng) if self.is_table else None

    def decode(self, points: Tensor) -> Inputs:
        """Return what the generator makes of each latent, within the limits."""
        with torch.no_grad():
            is_ours = isinstance(self._generator, TableVAE)  # each row is made as it would be alone
            decoded: Any = jointly(self._generator, points) if is_ours else self._generator(points)
        if self._columns is not None:
            return self._columns.constrained(decoded)
        if not isinstance(decoded, Tensor):
            return decoded
        if not bool(torch.isfinite(decoded).all()):
            raise NonFiniteError("the generator must make finite images, got NaN or infinity. Check its weights.")
        return self._with_details(decoded.detach())

    def distance(self, inputs: Inputs) -> Float[Tensor, " n"]:
        """Return the mean difference of pixels or columns, or the share of words that differ."""
        if self._columns is not None:
            return self.by_column(inputs).mean(dim=1)
        if isinstance(inputs, Tensor):
            return _pixels(inputs, self._image())
        return torch.tensor([_words_apart(str(self._source[0]), str(text)) for text in inputs], dtype=torch.float32)

    def cost(self, inputs: Inputs) -> Float[Tensor, " n"]:
        """Return the distance; of tables the number of columns changed, and the distance within equal numbers.

        A column that moves by several spreads counts as often: one leap is not nearer than three small steps.
        """
        if not self.is_table:
            return self.distance(inputs)
        assert self._columns is not None
        frame: Any = inputs
        return self._columns.costs(frame)

    def plausible(self, inputs: Inputs) -> Bool[Tensor, " n"]:
        """Return which rows are as likely as real ones, or as the source; all where nobody can say."""
        surprise = self._surprise(inputs)
        if surprise is None:
            return torch.ones(len(inputs), dtype=torch.bool)
        if self._most_surprise is None:
            own = self._surprise(self._source)
            assert own is not None
            self._most_surprise = max(float(own[0]), _usual(self._generator)[_UNUSUAL])
        return surprise <= self._most_surprise

    def share_as_odd(self, inputs: Inputs) -> float | None:
        """Return which share of real rows is as unlikely as one row, or more; None where nobody can say."""
        surprise = self._surprise(inputs)
        return None if surprise is None else float(np.mean(np.array(_usual(self._generator)) >= float(surprise[0])))

    def _surprise(self, inputs: Inputs) -> Tensor | None:
        if not self.is_table or not len(_usual(self._generator)):
            return None
        if isinstance(self._generator, TableVAE):
            assert self._columns is not None
            frame: Any = inputs
            rows = self._columns.read(frame)
            surprise: Tensor = jointly(self._generator.surprise_at, rows.numbers, rows.gone)
            return surprise
        return self._generator.surprise(inputs) if hasattr(self._generator, "surprise") else None

    def dissimilarity(self, inputs: Inputs, other: Inputs) -> Float[Tensor, " n"]:
        """Return the share of changed columns, pixels or words that are not common to both."""
        if self._columns is not None:
            changed, theirs = self.by_column(inputs) > 0, self.by_column(other) > 0
            either = (changed | theirs).sum(dim=1).clamp_min(1)
            return 1 - (changed & theirs).sum(dim=1) / either
        if isinstance(inputs, Tensor):
            return _changes_apart(inputs, other, self._image())
        return torch.tensor([_words_apart(str(other[0]), str(text)) for text in inputs], dtype=torch.float32)

    def components(self, changed: Inputs, round_number: int) -> Components | None:
        """Cut into columns or soft patches; a text is not cut, for its words hang together."""
        if self._columns is not None:
            return self._columns.components(changed)
        return _patches_of(changed, self._image(), round_number) if self.kind == "image" else None

    def reproject(self, changed: Inputs, n: int, *, rng: torch.Generator) -> None:
        """Return None: there is no denoiser."""

    def revert_least_changed(self, changed: Inputs, share: float) -> Tensor | None:
        """Give back the least changed pixels."""
        if not isinstance(changed, Tensor):
            return None
        return revert_least_changed(self._image(), changed[0].to(self._image()), share)[None]

    def by_column(self, inputs: Inputs) -> Float[Tensor, "n column"]:
        """Return the distance of each column from the source's, of tables."""
        assert self._columns is not None
        frame: Any = inputs
        return self._columns.distances(frame)

    def changes(self, changed: Any) -> tuple[Change, ...]:
        """Return the columns of one row that differ from the source's."""
        assert self._columns is not None
        return self._columns.changes(changed)

    def broken(self, changed: Any) -> tuple[str, ...]:
        """Return the dependences of the table that one row breaks, in words."""
        assert self._columns is not None
        return self._columns.broken(changed)

    def notes(self) -> tuple[str, ...]:
        """Return what a reader should know of the columns."""
        if self._columns is None or not self._columns.identifiers:
            return ()
        return (f"identifiers never change: {', '.join(self._columns.identifiers[:8])}",)

    @property
    def rebuilt(self) -> Tensor | None:
        """What the generator makes of the source, (channel, height, width); None but for images."""
        return self._rebuilt

    @property
    def n_dependences(self) -> int:
        """How many dependences of the table are known."""
        return 0 if self._columns is None else len(self._columns.dependences)

    def likely(self, archive: Any, target_margin: float, *, n: int, rng: torch.Generator) -> Inputs | None:
        """Return the cheapest changes, of typical rows, that a linear model of the answers so far finds enough.

        None where none is cheaper than the nearest counterfactual, or there are no columns.
        """
        nearest, points = archive.nearest(target_margin), self.anywhere(_N_STARTS, rng=rng)
        if self._columns is None or points is None or nearest is None:
            return None
        known: Any = join_inputs(archive.inputs)
        rows: Any = self.decode(points)
        own = float(archive.margins[0])
        gains = archive.margins.clamp(-_SATURATED, _SATURATED).numpy() - own
        need = target_margin - own
        found: Any = self._columns.likely(known, gains, rows, need=need, plausible=self.plausible, n=_LIKELY * n)
        cost = (
            torch.where(self.plausible(found), self.cost(found), torch.inf)
            if len(found)
            else torch.zeros(0, dtype=torch.float64)
        )
        cheap = [at for at in cost.argsort(stable=True).tolist() if cost[at] < archive.costs[nearest]]
        return take(found, cheap[:n]) if cheap else None

    def _with_details(self, decoded: Tensor) -> Tensor:
        """Put back, where nothing changes, what the generator leaves out when it rebuilds the source."""
        source = self._image()
        decoded = decoded.to(source).clamp(0, 1)
        if self._rebuilt is not None:
            decoded = with_details(source, decoded, rebuilt=self._rebuilt)
        return decoded if self._mask is None else torch.where(self._mask, decoded, source)

    def _image(self) -> Tensor:
        assert isinstance(self._source, Tensor)
        return self._source[0]

    def _start(self, rng: torch.Generator) -> Tensor:
        """Return the source's latent: by the encoder, else the nearest of many, brought nearer step by step."""
        if isinstance(self._generator, Encoder):
            return self._generator.encode(self._source).detach().cpu().float()[0]
        latents = self._generator.prior.sample(_N_STARTS, rng=rng)
        order = self.distance(self._made_free(latents)).argsort(stable=True)
        if self._generator.differentiable and self.kind == "image":
            with suppress(RuntimeError, InputError):  # there is no way back through the function, or it ends in NaN
                return self._descended(latents[order[:_DESCENDING]])
        best = latents[int(order[0])]
        for level in _geometric(0.7, 0.05, 12):
            tried = torch.cat(
                [
                    best[None],
                    best + level * self._spread * torch.randn(64, len(best), generator=rng, dtype=torch.float32),
                ]
            )
            best = tried[int(self.distance(self._made_free(tried)).argmin())]
        return best

    def _descended(self, latents: Tensor) -> Tensor:
        """Return the latent whose image comes nearest to the source by gradients, no farther out than draws lie."""
        at = ((latents - self._middle) / self._spread).requires_grad_(True)
        optimizer, source = torch.optim.Adam([at]), self._image()
        best, least = latents[0], math.inf
        for rate in _geometric(*_RATES, _DESCENT):
            optimizer.param_groups[0]["lr"] = rate
            with torch.enable_grad():
                tried = self._middle + self._spread * at
                made: Any = self._generator(tried)
                apart = (made.to(source) - source).abs().flatten(1).mean(dim=1)
                outside = (at.square().mean(dim=1) - 1).clamp_min(0)
                (at.grad,) = torch.autograd.grad((apart + _OUTSIDE * outside).sum(), at)
            if not bool(torch.isfinite(at.grad).all()):
                raise RuntimeError("the gradients are no numbers")
            far = apart.detach()
            if float(far.min()) < least:
                best, least = tried.detach()[int(far.argmin())], float(far.min())
            optimizer.step()
        return best

    def _made_free(self, latents: Tensor) -> Inputs:
        mask, self._mask = self._mask, None
        try:
            return self.decode(latents)
        finally:
            self._mask = mask


def _table_of(generator: LatentGenerator, source: Inputs, latents: Tensor, limits: Limits | None) -> Columns:
    decoded: Any = jointly(generator, latents) if isinstance(generator, TableVAE) else generator(latents)
    one: Any = source
    return Columns(one, decoded, limits or Limits(), generator)


def _usual(generator: Any) -> Sequence[float]:
    usual: Sequence[float] = getattr(generator, "usual", ())
    return usual


def _down_from(top: float) -> tuple[float, ...]:
    return tuple(_geometric(top, min(0.5, top), 6))


def _geometric(first: float, last: float, n: int) -> list[float]:
    return (
        torch.logspace(0, 1, n, base=last / first, dtype=torch.float64).mul(first).tolist()
        if first > last
        else [first] * n
    )


def _pixels(inputs: Inputs, source: Tensor) -> Tensor:
    assert isinstance(inputs, Tensor)
    return (inputs.to(source) - source).abs().flatten(1).mean(dim=1)


def _changes_apart(inputs: Inputs, other: Inputs, source: Tensor) -> Tensor:
    assert isinstance(other, Tensor)
    both = _pixels(inputs, source) + _pixels(other, source)
    return _pixels(inputs, other[0].to(source)) / both.clamp_min(1e-9)


def _patches_of(changed: Inputs, source: Tensor, round_number: int) -> Components | None:
    assert isinstance(changed, Tensor)
    grids = (4, 6, 8)
    return image_components(source, changed[0], grids[round_number]) if round_number < len(grids) else None


def _words_apart(first: str, second: str) -> float:
    return 1 - difflib.SequenceMatcher(None, first.split(), second.split(), autojunk=False).ratio()
