"""Find an input that a black box gives to the target, then bring it nearer to the source."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._inputs import Inputs, take
from likethat._status import Reason
from likethat.explainers.freemcg.components import Components, revert
from likethat.explainers.freemcg.log import Archive
from likethat.explainers.freemcg.spaces import Space
from likethat.functional.kalman import kalman_move

_SURPLUS = 0.5  # margin aimed at beyond what is wanted, so that noise does not undo it
_ANYWHERE = 24  # inputs: a class that one in ten is given to is seen with probability .92
_MANY, _NEAREST, _TRIED = 1024, 20, 3  # rows made without a question; asked, the nearest; cut down
_TOGETHER = 4  # changes: a row with more is found by giving back
_SIDES = 3  # generations with constant answers before the search gives up
_HALVINGS = 5  # find a share to 1 in 32
_ROUNDS, _LIKELY = 3, 6  # questions for what a linear model of the answers expects, and as often
_SHARES = (0.8, 0.6, 0.4, 0.25, 0.15)  # of a whole change; no halving: trees may take 2 and 9 and refuse 5
_PROVE, _PROGRESS = (2, 3), 0.04  # generations that must bring the best particle this share nearer to what is wanted
_TRIES, _SURVIVES, _BEYOND = 4, 0.92, 1.02  # see `_confirm`
_FURTHER = (1.25, 1.6)  # of the way from the source: denoised changes are muted, and more of the same is surer


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a search aims at, and with how much.

    Attributes:
        n_particles: of a generation.
        target_margin: margin that is enough.
        asked: queries that were spent before it.
        budget: queries it may spend.
        keep: share of the way from the source that particles keep after each move.
        n_generations: at most: where inputs repeat, asking costs nothing, and the budget alone would never end it.
    """

    n_particles: int
    target_margin: float
    asked: int = 0
    budget: int = 200
    keep: float = 0.9
    n_generations: int = 100

    def until(self, share: float) -> int:
        """Return how many queries will have been spent at a share of the budget."""
        return self.asked + round(share * self.budget)


@dataclass(frozen=True, kw_only=True)
class Reach:
    """When the search for a first counterfactual asks for less, in shares of the budget.

    Attributes:
        extrapolate_after: more of the best change is asked for too: a surer input, though a farther one.
        accept_any_after: any counterfactual will do, though it has not the margin wanted.
    """

    extrapolate_after: float
    accept_any_after: float


REACH = Reach(extrapolate_after=0.4, accept_any_after=0.5)


class Step(Protocol):
    """What is done in a phase, at most until so many queries are spent."""

    def __call__(self, space: Space, archive: Archive, plan: Plan, until: int, *, rng: torch.Generator) -> None:
        """Ask, and let the archive hold the answers."""
        ...


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A way to bring a counterfactual nearer to the source.

    Attributes:
        name: as docs/freemcg.md draws it.
        until: share of the budget after which it begins nothing anew.
        may_spend: share of the budget after which it is not answered: what comes later keeps its queries.
        step: what is done.
    """

    name: str
    until: float
    may_spend: float
    step: Step


def reach(space: Space, archive: Archive, plan: Plan, *, rng: torch.Generator) -> Reason:
    """Move an ensemble until an input has the margin wanted; return why it stopped.

    Scatter, ask, move all by what each lacks (`kalman_move`), let those that lag follow those that lead, draw them a
    little towards the source, scatter less. When the levels are through it begins anew round the best particle so far.
    What is like a counterfactual found before neither ends the search nor leads it.
    """
    noise, first, constant = _Noise(space, plan.target_margin), len(archive.distances), 0
    start = space.origin.expand(plan.n_particles, *space.origin.shape)
    points = space.perturb(start, noise.level, rng=rng)
    for _ in range(plan.n_generations):
        margins = archive.ask(space.decode(points), points)
        ended = _ended(space, archive, plan, points, margins, first)
        if ended is not None:
            return ended
        margins = archive.apart(margins)
        after = noise.after(margins)
        if float(margins.std()) < 1e-9:
            constant += 1
            if constant == _SIDES and archive.is_constant:
                return Reason.COLLAPSED
            centres = start
        elif after == "from the source":
            centres = start
        else:
            moved = kalman_move(points, margins, plan.target_margin + _SURPLUS, trust=2.0)
            centres = space.origin + plan.keep * (_followed(moved, margins, rng) - space.origin)
        if after == "from the best":
            _look_anywhere(space, archive, rng=rng)
            centres = archive.best_point().expand_as(points)
        points = space.perturb(centres, noise.level, rng=rng)
    return Reason.NO_PROGRESS


def _look_anywhere(space: Space, archive: Archive, *, rng: torch.Generator) -> None:
    """Once, where nothing near the source was given to the target, ask whether anything is."""
    points = None if archive.n_typical or bool((archive.margins > 0).any()) else space.anywhere(_ANYWHERE, rng=rng)
    if points is not None:
        archive.n_typical = len(archive.ask(space.decode(points), points))


class _Noise:
    """How far particles are scattered: less with every generation, and once from far off if the first lead nowhere.

    Classes that differ in a small part are reached through little noise, and the rest stays as it is; others only
    through much.
    """

    def __init__(self, space: Space, target_margin: float) -> None:
        self._wider, self._target_margin = space.wider, target_margin
        self._levels, self._at, self._before = space.levels, 0, -math.inf

    @property
    def level(self) -> float:
        return self._levels[self._at]

    def after(self, margins: Float[Tensor, " particle"]) -> str:
        """Take in what a generation's margins are, choose the next level; say where to go on from."""
        self._at += 1
        largest, before = float(margins.max()), self._before
        self._before = largest
        lags = largest < 0 and largest - before < _PROGRESS * (self._target_margin - before)
        if lags and self._at in _PROVE and self._levels is not self._wider:
            self._levels, self._at = self._wider, 0
            return "from the source"
        if self._at == len(self._levels):
            self._at = 1
            return "from the best"
        return "from here"


def _ended(
    space: Space, archive: Archive, plan: Plan, points: Tensor, margins: Float[Tensor, " particle"], first: int
) -> Reason | None:
    """Return why the search is over, None if it is not; ask for more of the best change first where it is late."""
    is_late = archive.box.queries >= plan.until(REACH.extrapolate_after)
    if is_late and len(margins) == plan.n_particles and 0 < float(margins.max()) < plan.target_margin:
        _go_further(space, archive, points[int(margins.argmax())])
    best = archive.largest(first)
    if best >= plan.target_margin:
        return Reason.REACHED
    is_enough = best > 0 and archive.box.queries >= plan.until(REACH.accept_any_after)
    return Reason.BUDGET if is_enough or len(margins) < plan.n_particles else None


def _go_further(space: Space, archive: Archive, point: Tensor) -> None:
    """Ask for more of the change that one particle made."""
    shares = torch.tensor(_FURTHER, dtype=torch.float32).reshape(-1, *[1] * point.ndim).to(point)
    points = space.origin + shares * (point - space.origin)
    archive.ask(space.decode(points), points)


def _followed(
    moved: Float[Tensor, "particle *shape"], margins: Float[Tensor, " particle"], rng: torch.Generator
) -> Float[Tensor, "particle *shape"]:
    """Draw particles anew, those with a larger margin more often: e times for each standard deviation."""
    weight = ((margins - margins.max()) / margins.std()).exp().float()
    return moved[torch.multinomial(weight, len(moved), replacement=True, generator=rng).to(moved.device)]


def bring_nearer(space: Space, archive: Archive, plan: Plan, *, rng: torch.Generator) -> None:
    """Spend what is left of the budget on inputs nearer to the source that keep the margin wanted."""
    for phase in ON_ROWS if space.is_table else ON_PIXELS:
        archive.until = plan.until(phase.may_spend)
        phase.step(space, archive, plan, plan.until(phase.until), rng=rng)


def _confirm(space: Space, archive: Archive, plan: Plan, until: int, *, rng: torch.Generator) -> None:  # noqa: ARG001
    """Pass over counterfactuals that do not survive a little noise and denoising: they fool this model alone."""
    before = archive.passed_over
    while (row := archive.nearest(plan.target_margin)) is not None:
        again = space.reproject(archive.input(row), _TRIES, rng=rng)
        margins = torch.zeros(0, dtype=torch.float32) if again is None else archive.ask(again)
        if len(margins) < _TRIES or float(margins.mean()) >= _SURVIVES * plan.target_margin:
            return
        archive.pass_over(up_to=_BEYOND * float(archive.costs[row]))
    archive.passed_over = before  # none survives: better the nearest than nothing


def _revert_components(space: Space, archive: Archive, plan: Plan, until: int, *, rng: torch.Generator) -> None:  # noqa: ARG001
    """Cut the change into soft components, finer each time, and give back those that carry little of the margin."""
    for round_number in range(3):
        row = archive.nearest(plan.target_margin)
        components = None if row is None else space.components(archive.input(row), round_number)
        if row is None or components is None or archive.box.queries >= until:
            break
        revert(archive, components, float(archive.margins[row]), target_margin=plan.target_margin)


def _peel(space: Space, archive: Archive, plan: Plan, until: int, *, rng: torch.Generator) -> None:  # noqa: ARG001
    """Find by halving how many pixels, the least changed first, can be the source's again."""
    row = archive.nearest(plan.target_margin)
    if row is None:
        return
    changed, enough, too_many = archive.input(row), 0.0, 1.0
    for _ in range(_HALVINGS):
        share = (enough + too_many) / 2
        peeled = space.revert_least_changed(changed, share)
        margin = torch.zeros(0, dtype=torch.float32) if peeled is None else archive.ask(peeled)
        if not len(margin):
            return
        enough, too_many = (share, too_many) if float(margin[0]) >= plan.target_margin else (enough, share)


def _fewest_columns(space: Space, archive: Archive, plan: Plan, until: int, *, rng: torch.Generator) -> None:
    """Make particles surer than they need be, and give back columns of the surest."""
    row = archive.nearest(plan.target_margin, with_point=True)
    if row is None:
        return
    centre = archive.point(row)
    points = space.perturb(centre.expand(plan.n_particles, *centre.shape), space.near, rng=rng)
    margins = archive.ask(space.decode(points), points)
    if len(margins) == plan.n_particles:
        moved = kalman_move(points, margins, plan.target_margin + 4 * _SURPLUS, trust=2.0)
        archive.ask(space.decode(moved), moved)
    for tried, sure in enumerate(archive.surest(plan.target_margin)[: plan.n_generations]):
        if tried and archive.box.queries >= until:
            break
        _revert(space, archive, sure, plan)


def _near_rows(space: Space, archive: Archive, plan: Plan, until: int, *, rng: torch.Generator) -> None:
    """Ask for the nearest of many rows that the generator makes anywhere, and give back columns of those that serve."""
    points = space.anywhere(_MANY, rng=rng)
    if points is None:
        return
    decoded = space.decode(points)
    nearest = space.cost(decoded).argsort(stable=True)[:_NEAREST]
    first = len(archive.distances)
    archive.ask(take(decoded, nearest), points[nearest])
    serve = (archive.margins[first:] >= plan.target_margin) & archive.reals[first:]
    for row in (first + serve.nonzero()[:, 0])[:_TRIED].tolist():
        if archive.box.queries >= until:
            return
        _revert(space, archive, row, plan)


def _single_columns(space: Space, archive: Archive, plan: Plan, until: int, *, rng: torch.Generator) -> None:  # noqa: ARG001
    """Of the surest rows, ask for each change alone, then for the strongest two, three, ... together."""
    for row in archive.surest(plan.target_margin)[:_TRIED]:
        components = space.components(archive.input(row), 0)
        live = torch.zeros(0, dtype=torch.long) if components is None else (components.sizes > 0).nonzero()[:, 0]
        if components is None or archive.box.queries >= until:
            return
        alone = torch.zeros(len(live), len(components.sizes), dtype=torch.float32)
        alone[torch.arange(len(live)), live] = 1.0
        margins = archive.ask(components.compose(alone))
        if len(margins) < len(live):
            return
        together = alone[margins.argsort(descending=True)].cumsum(dim=0)[1:_TOGETHER]
        archive.ask(components.compose(together))


def _likely_rows(space: Space, archive: Archive, plan: Plan, until: int, *, rng: torch.Generator) -> None:
    """Ask for cheaper changes that all answers so far let expect to be enough; learn from these answers, and again."""
    for _ in range(_ROUNDS):
        likely = None if archive.box.queries >= until else space.likely(archive, plan.target_margin, n=_LIKELY, rng=rng)
        if likely is None:
            return
        archive.ask(likely)


def _shorten_columns(space: Space, archive: Archive, plan: Plan, until: int, *, rng: torch.Generator) -> None:  # noqa: ARG001
    """Less of all columns of the nearest; then of each: nothing if that will do, else the least by halving.

    Columns that hang together (how long, how much a month, how much in all) can only go part of the way together.
    """
    components = _nearest_cut(space, archive, plan)
    if components is None:
        return
    archive.ask(components.compose(torch.tensor(_SHARES, dtype=torch.float32)[:, None] * (components.sizes > 0)))
    components = _nearest_cut(space, archive, plan)
    assert components is not None
    stays = (components.sizes > 0).float()
    for component in components.sizes.argsort(descending=True)[: int(stays.sum())].tolist():
        enough, too_little = 1.0, 0.0
        for tried in (0.0, *[None] * _HALVINGS):
            share = (enough + too_little) / 2 if tried is None else tried
            composed = components.compose(stays.clone().index_fill(0, torch.tensor(component), share)[None])
            asked = archive.ask(composed)
            if not len(asked) or archive.box.queries >= until:
                return
            holds = float(asked[0]) >= plan.target_margin and bool(archive.reals[-1])
            enough, too_little = (share, too_little) if holds else (enough, share)
            if enough == 0:
                break
        stays[component] = enough


def _nearest_cut(space: Space, archive: Archive, plan: Plan) -> Components | None:
    row = archive.nearest(plan.target_margin)
    return None if row is None else space.components(archive.input(row), 0)


def _halve_columns(space: Space, archive: Archive, plan: Plan, until: int, *, rng: torch.Generator) -> None:  # noqa: ARG001
    """Go on from the nearest: give back columns of what is left of its change."""
    for _ in range(4):
        row = archive.nearest(plan.target_margin)
        if row is None or archive.is_spent:
            return
        _revert(space, archive, row, plan, left=0.6)


def _revert(space: Space, archive: Archive, row: int, plan: Plan, *, left: float = 0.0) -> None:
    components = space.components(archive.input(row), 0)
    if components is not None:
        revert(archive, components, float(archive.margins[row]), target_margin=plan.target_margin, left=left)


def _approach(space: Space, archive: Archive, plan: Plan, until: int, *, rng: torch.Generator) -> None:
    """Begin again and again a quarter nearer to the source, with the gradient seen from there."""
    level = space.near
    for _ in range(plan.n_generations):
        row = archive.nearest(plan.target_margin, with_point=True)
        if row is None or archive.box.queries >= until:
            return
        centre = space.origin + 0.75 * (archive.point(row) - space.origin)
        points = space.perturb(centre.expand(plan.n_particles, *centre.shape), level, rng=rng)
        margins = archive.ask(space.decode(points), points)
        if len(margins) < plan.n_particles:
            return
        moved = kalman_move(points, margins, plan.target_margin + _SURPLUS, trust=2.0, back=True)
        settled = space.perturb(moved, 0.3 * level, rng=rng)
        decoded = space.decode(settled)
        nearest = space.distance(decoded).argsort()[: math.ceil(plan.n_particles / 2)]
        archive.ask(take(decoded, nearest), settled[nearest.to(settled.device)])
        level *= 0.9


def _along_the_line(space: Space, archive: Archive, plan: Plan, until: int, *, rng: torch.Generator) -> None:  # noqa: ARG001
    """Ask for points between the source and the nearest counterfactual, all at once."""
    row = archive.nearest(plan.target_margin, with_point=True)
    if row is None:
        return
    shares = torch.linspace(0.4, 0.95, 6, dtype=torch.float32).reshape(-1, *[1] * space.origin.ndim).to(space.origin)
    points = space.origin + shares * (archive.point(row) - space.origin)
    if space.exact:
        points = space.perturb(points, space.near / 6, rng=rng)
    decoded: Inputs = space.decode(points)
    archive.ask(decoded, points)


ON_PIXELS = (
    Phase(name="approach", until=0.6, may_spend=0.9, step=_approach),
    Phase(name="line", until=0.9, may_spend=0.9, step=_along_the_line),
    Phase(name="peel", until=0.9, may_spend=0.9, step=_peel),
    Phase(name="revert", until=0.9, may_spend=0.9, step=_revert_components),
    Phase(name="confirm", until=1.0, may_spend=1.0, step=_confirm),
)
"""For images and texts: a denoiser's mistakes are many, so what is found is confirmed at the end."""
ON_ROWS = (
    Phase(name="near rows", until=0.4, may_spend=0.5, step=_near_rows),
    Phase(name="fewest columns", until=0.6, may_spend=0.7, step=_fewest_columns),
    Phase(name="single columns", until=0.75, may_spend=0.8, step=_single_columns),
    Phase(name="likely rows", until=0.85, may_spend=0.85, step=_likely_rows),
    Phase(name="shorten", until=0.9, may_spend=0.9, step=_shorten_columns),
    Phase(name="halve the rest", until=1.0, may_spend=1.0, step=_halve_columns),
)
"""For tables: there columns are few, and giving them back comes first."""
