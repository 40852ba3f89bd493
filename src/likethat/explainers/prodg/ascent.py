"""ProDG's search: from the best samples of a few channels up to images that are purer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from likethat.errors import InputError
from likethat.explainers.prodg.channels import respond
from likethat.generators.generated import make_images
from likethat.models import SplitModel
from likethat.search import CMAES, Evolution, HighResponse, Known, Problem

_BETA_1, _BETA_2 = 0.9, 0.99  # Adam's, with a shorter memory of squares than its .999: a climb has few steps


@dataclass(frozen=True, kw_only=True, eq=False)
class Climb:
    """What all channels share: model, generator, and how to climb.

    Attributes:
        model: what is explained.
        generator: makes the images.
        mixing: of the channels, a rotation.
        scale: (latent,) standard deviation of the prior.
        search: "gradient", "evolution" or "cma-es".
        steps: of the gradient; a search without one may ask for as many images.
        step: length of one, in standard deviations of the prior.
        closeness: weight of the mean squared distance from the start, in variances of the prior.
        diversity: weight of the mean cosine between a channel's images.
        mixed_precision: bfloat16 inside generator and model.
        seed: of the searches without a gradient.
    """

    model: SplitModel
    generator: Any
    mixing: Float[Tensor, "channel channel"]
    scale: Float[Tensor, " latent"]
    search: str
    steps: int
    step: float
    closeness: float
    diversity: float
    mixed_precision: bool
    seed: int

    @property
    def device(self) -> torch.device:
        """Where latents are made into images."""
        return torch.device(getattr(self.generator, "device", self.model.device))

    @property
    def on_gpu(self) -> bool:
        """Whether a card is needed."""
        return "cuda" in (self.device.type, self.model.device.type)

    def make(self, latents: Float[Tensor, "image latent"], seeds: list[int] | None) -> Tensor:
        """Return images of latents."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed_precision):
            return make_images(self.generator, latents, seeds=seeds)

    def answer(self, images: Tensor, units: Int[Tensor, " image"]) -> Any:
        """Return how images answer their channels."""
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.mixed_precision):
            return respond(self.model, images, self.mixing[units])


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Channels that climb together.

    Attributes:
        units: their numbers.
        latents: (unit, own, latent): one an image, or one for all images of the channel, which then differ by noise.
        seeds: (unit, image) of the start noise.
    """

    units: Int[Tensor, " unit"]
    latents: Float[Tensor, "unit own latent"]
    seeds: Int[Tensor, "unit image"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Summit:
    """What channels came to.

    Attributes:
        latents: (unit, own, latent) the purest on the way, the start among them.
        purity: (unit, image) theirs.
        calls: images made.
    """

    latents: Float[Tensor, "unit own latent"]
    purity: Float[Tensor, "unit image"]
    calls: int


def climb(options: Climb, group: Group, told: Callable[[int], None]) -> Summit:
    """Climb with a group of channels; `told` is called with the number of images made.

    Raises:
        InputError: a gradient was asked for and there is none.
    """
    if options.search == "gradient":
        return _Ascent(options, group).run(told)
    return _by_search(options, group, told)


class _Ascent:
    """Adam on the latents of a group; channels do not see one another.

    Only this group's latents and moments exist: memory does not grow with the number of channels.
    """

    def __init__(self, options: Climb, group: Group) -> None:
        self._options, self._group = options, group
        self._n = group.seeds.shape[1]
        self._scale = options.scale.to(options.device)
        self._start = group.latents.to(options.device)
        self._best = self._start.clone()
        self._best_purity = torch.full(group.seeds.shape, -torch.inf, device=options.device, dtype=torch.float32)

    def run(self, told: Callable[[int], None]) -> Summit:
        """Take all steps and return the best of all."""
        options = self._options
        at, first, second = self._start.clone(), torch.zeros_like(self._start), torch.zeros_like(self._start)
        for number in range(1, options.steps + 1):
            gradient = self._gradient(at)
            first = _BETA_1 * first + (1 - _BETA_1) * gradient
            second = _BETA_2 * second + (1 - _BETA_2) * gradient**2
            change = (first / (1 - _BETA_1**number)) / ((second / (1 - _BETA_2**number)).sqrt() + 1e-8)
            at = at - options.step * self._scale * change
            told(self._group.seeds.numel())
        with torch.no_grad():
            self._note(at, self._answer(at).purity)
        told(self._group.seeds.numel())
        calls = (options.steps + 1) * self._group.seeds.numel()
        return Summit(latents=self._best.cpu(), purity=self._best_purity.cpu(), calls=calls)

    def _answer(self, latents: Tensor) -> Any:
        group = self._group
        each = latents.expand(-1, self._n, -1)
        images = self._options.make(each.flatten(0, 1), group.seeds.flatten().tolist())
        return self._options.answer(images, group.units.repeat_interleave(self._n))

    def _gradient(self, at: Tensor) -> Tensor:
        """Return the gradient of the loss in whitened latents, NaN taken for no direction."""
        options = self._options
        asked = at.detach().clone().requires_grad_(True)
        answer = self._answer(asked)
        if not answer.purity.requires_grad:
            raise InputError(
                "`search` must be 'evolution' or 'cma-es' for this model and generator: no gradient flows from the "
                "features back to the latents."
            )
        self._note(at, answer.purity.detach())
        units = normalize(answer.pooled.reshape(len(at), self._n, -1), dim=2)
        alike = (units @ units.mT).mean((1, 2)).to(at.device)
        away = ((asked - self._start) / self._scale).square().mean((1, 2))
        own = self._n * (options.diversity * alike + options.closeness * away)
        (gradient,) = torch.autograd.grad(own.sum() - answer.purity.sum().to(at.device), asked)
        return torch.nan_to_num(gradient, posinf=0.0, neginf=0.0) * self._scale

    def _note(self, at: Tensor, purity: Tensor) -> None:
        """Keep what is purer than all before: each image by itself, or the channel's images together."""
        purity = purity.to(self._best_purity).reshape(self._best_purity.shape)
        if at.shape[1] == self._n:
            better = purity > self._best_purity
        else:
            better = purity.mean(1, keepdim=True) > self._best_purity.mean(1, keepdim=True)
        self._best = torch.where(better[..., None], at, self._best)
        self._best_purity = torch.where(better, purity, self._best_purity)


def _by_search(options: Climb, group: Group, told: Callable[[int], None]) -> Summit:
    """Climb without gradients, channel by channel."""
    summits = [_Lineages(options, group, place).run(told) for place in range(len(group.units))]
    return Summit(
        latents=torch.stack([item.latents[0] for item in summits]),
        purity=torch.stack([item.purity[0] for item in summits]),
        calls=sum(item.calls for item in summits),
    )


class _Lineages:
    """A search of `likethat.search` for each prototype of a channel, from its own sample; asked side by side.

    The fitness is the purity less the closeness term of the loss. Images stay as different as their samples were,
    because each has a search of its own: that stands in for the diversity term.
    """

    def __init__(self, options: Climb, group: Group, place: int) -> None:
        self._options, self._unit = options, int(group.units[place])
        self._start = group.latents[place]
        self._seeds = group.seeds[place].tolist()
        self._n = len(self._seeds) // len(self._start)  # images a latent: one, or all of the channel
        self._calls = 0

    def run(self, told: Callable[[int], None]) -> Summit:
        """Search until as many images were made as the gradient would make."""
        owners = torch.arange(len(self._start))
        best, purity = self._start.clone(), self._purity(self._start, owners)
        fitness = purity.mean(1)
        searches = [self._begin(owner, float(fitness[owner])) for owner in owners.tolist()]
        while self._calls < (self._options.steps + 1) * len(self._seeds):
            asked = [search.ask() for search in searches]
            owners = torch.cat([torch.full((len(part),), owner) for owner, part in enumerate(asked)])
            latents = torch.cat(asked).float()
            found = self._purity(latents, owners)
            values = found.mean(1) - self._options.closeness * self._away(latents, owners)
            for owner, search in enumerate(searches):
                own = (owners == owner).nonzero()[:, 0]
                search.tell(values[own], values[own][:, None])
                top = own[values[own].argmax()]
                if values[top] > fitness[owner]:
                    best[owner], purity[owner], fitness[owner] = latents[top], found[top], values[top]
            told(found.numel())
        return Summit(latents=best[None], purity=purity.reshape(1, -1), calls=self._calls)

    def _begin(self, owner: int, fitness: float) -> Any:
        """Begin the search of one prototype, which knows the sample it begins with."""
        options = self._options
        known = Known(
            latents=self._start[owner : owner + 1].double(), responses=torch.tensor([[fitness]], dtype=torch.float64)
        )
        rng = torch.Generator().manual_seed((options.seed * 1_000_003 + self._unit) * 101 + owner)
        goal = HighResponse(response=lambda responses: responses[:, 0])
        problem = Problem(prior=options.generator.prior, goal=goal, rng=rng, known=known)
        if options.search == "cma-es":
            return CMAES(sigma=options.step, population=4).begin(problem)
        width = 2 * options.step * float(options.scale.mean())
        return Evolution(elites=1, start="known", sigma=width).begin(problem)

    def _away(self, latents: Tensor, owners: Tensor) -> Tensor:
        moved = (latents - self._start[owners]) / self._options.scale.to(latents.device)
        return moved.square().mean(1)

    @torch.no_grad()
    def _purity(self, latents: Tensor, owners: Tensor, *, block: int = 16) -> Float[Tensor, "n image"]:
        """Return the purity of the images of some latents, each with the start noise of its prototype."""
        seeds = [self._seeds[owner * self._n : (owner + 1) * self._n] for owner in owners.tolist()]
        found = []
        for start in range(0, len(latents), max(1, block // self._n)):
            part = slice(start, start + max(1, block // self._n))
            each = latents[part].to(self._options.device).repeat_interleave(self._n, 0)
            images = self._options.make(each, [seed for own in seeds[part] for seed in own])
            answer = self._options.answer(images, torch.full((len(each),), self._unit))
            found.append(answer.purity.float().cpu().reshape(-1, self._n))
        self._calls += len(latents) * self._n
        return torch.cat(found)
