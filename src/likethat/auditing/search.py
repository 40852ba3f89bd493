"""The search for directions of the pooled features along which pictures come in two states that some classes prefer."""

import warnings
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from likethat.functional.two_states import TwoStates, step, two_states

_MOST = 64  # directions of largest variance: independent components of more are not found in a few thousand pictures
_PICTURES_EACH = 10  # a component needs: with fewer, noise looks like states
_SMALLEST = 1e-6  # of the largest variance: float32 features hold no more
_QUICK = 15  # steps of a fit that only ranks
_STARTS = 8  # components that are climbed from: the one that leads to a planted mark was among the best four
_FEWEST, _CONTRASTS = 5, 16  # images on each side of a contrast of errors; contrasts climbed from, the longest
_CLIMB, _RATE, _INNER = 50, 0.03, 3
"""Steps of the climb, their length, and steps of the fit within each: scores rise by less than a hundredth after."""
_FLOOR = 0.02  # of the spread while climbing, so that a gain leads somewhere where the classes do not differ yet
_SAME = 0.7  # cosine of two readers of white features, from which on they read one state


@dataclass(frozen=True, kw_only=True, eq=False)
class White:
    """Features less the mean of their class, turned and scaled so that none is correlated.

    Attributes:
        features: (image, channel) as they were.
        values: (image, component), variance 1 each.
        to_white: (channel, component): values = (features - class mean) @ to_white.
        covariance: (channel, channel) within classes.
        groups: (image,) class of each.
        n_groups: how many classes.
    """

    features: Float[Tensor, "image channel"]
    values: Float[Tensor, "image component"]
    to_white: Float[Tensor, "channel component"]
    covariance: Float[Tensor, "channel channel"]
    groups: Int[Tensor, " image"]
    n_groups: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Direction:
    """A direction and the states along it.

    Attributes:
        reader: (channel,) r; the states are 1 apart in r' x.
        written: (channel,) d, a multiple of S r with r' d = 1: what the state adds to the features.
        states: of r' x, one row; the upper one is the rarer.
    """

    reader: Float[Tensor, " channel"]
    written: Float[Tensor, " channel"]
    states: TwoStates


def whitened(features: Float[Tensor, "image channel"], groups: Int[Tensor, " image"], *, n_groups: int) -> White:
    """Centre features by class and whiten what varies, at most `_MOST` directions."""
    features = features.double()
    sums = torch.zeros(n_groups, features.shape[1], dtype=torch.float64).index_add(0, groups, features)
    apart = features - (sums / torch.bincount(groups, minlength=n_groups).clamp_min(1)[:, None])[groups]
    covariance = apart.T @ apart / len(apart)
    variances, axes = torch.linalg.eigh(covariance)
    is_kept = variances > _SMALLEST * variances[-1].clamp_min(1e-300)
    is_kept[: -max(2, min(_MOST, len(features) // _PICTURES_EACH))] = False
    to_white = axes[:, is_kept] / variances[is_kept].sqrt()
    return White(
        features=features,
        values=apart @ to_white,
        to_white=to_white,
        covariance=covariance,
        groups=groups,
        n_groups=n_groups,
    )


def search(
    white: White,
    *,
    n: int,
    seed: int,
    begin: Float[Tensor, "row channel"] | None = None,
    predicted: Int[Tensor, " image"] | None = None,
) -> list[Direction]:
    """Return up to n directions of different states, the highest score first.

    Source:
        Hyvärinen (1999), Fast and robust fixed-point algorithms for independent component analysis: where it begins.

    Differs:
        Components are ranked by the score of two states, and the best are climbed by its gradient: independence alone
        prefers channels that are rarely active, and finds a faint mark only in part.

    Args:
        white: the features.
        n: how many at most.
        seed: of the components' start.
        begin: readers to climb from; independent components where there are none.
        predicted: the class that the model gives each image: what tells its errors apart is climbed from, too.
    """
    if begin is None:
        rows = components(white.values, seed)
    else:  # the white row whose reader is nearest
        rows = torch.nn.functional.normalize(begin @ white.covariance @ white.to_white, dim=1)
    scores = two_states(rows @ white.values.T, white.groups, n_groups=white.n_groups, steps=_QUICK).score
    starts = rows[scores.argsort(descending=True, stable=True)[:_STARTS]]
    best = _climbed(starts if predicted is None else torch.cat([starts, _errors(white, predicted)]), white)
    scores = two_states(best @ white.values.T, white.groups, n_groups=white.n_groups, steps=_QUICK).score
    chosen: list[int] = []
    for place in scores.argsort(descending=True, stable=True).tolist():
        if len(chosen) < n and all(float((best[place] @ best[other]).abs()) < _SAME for other in chosen):
            chosen.append(place)
    return [_direction(best[place], white) for place in chosen]


def gaussian_like(white: White, *, seed: int) -> White:
    """Return Gaussian features, as many in the same classes: nothing in them comes in states."""
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.randn(white.values.shape, dtype=torch.float64, generator=rng)
    return whitened(drawn, white.groups, n_groups=white.n_groups)


def states_along(
    reader: Float[Tensor, " channel"],
    features: Float[Tensor, "image channel"],
    groups: Int[Tensor, " image"],
    *,
    n_groups: int,
) -> TwoStates:
    """Return the states of r' x, one row."""
    return two_states((features.double() @ reader)[None], groups, n_groups=n_groups)


def components(values: Tensor, seed: int) -> Tensor:
    """Return unit readers of white features, one an independent component."""
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of Gaussian features there are no components to find
        found = FastICA(whiten=False, random_state=seed, max_iter=200, tol=1e-3).fit(values.numpy()).components_
    return torch.nn.functional.normalize(torch.from_numpy(found).double(), dim=1)


def _errors(white: White, predicted: Tensor) -> Tensor:
    """Return unit readers, two a class: images wrongly given to it less right ones, and its own right ones less wrong.

    Where a mark makes the model say a class, both lie along it, however few components it is spread over.
    """
    is_right, found = predicted == white.groups, []
    for label in range(white.n_groups):
        own, said = white.groups == label, predicted == label
        for first, second in ((said & ~own, is_right & ~own), (own & said, own & ~said)):
            if min(int(first.sum()), int(second.sum())) >= _FEWEST:
                found.append(white.values[first].mean(0) - white.values[second].mean(0))
    apart = torch.stack(found) if found else white.values[:0]
    longest = apart.norm(dim=1).argsort(descending=True, stable=True)[:_CONTRASTS]
    return torch.nn.functional.normalize(apart[longest], dim=1)


@torch.enable_grad()
def _climbed(rows: Tensor, white: White) -> Tensor:
    """Climb each row's score by gradient; return the best of each."""
    moving = rows.clone().requires_grad_()
    optimizer = torch.optim.Adam([moving], lr=_RATE)
    on = two_states(rows @ white.values.T, white.groups, n_groups=white.n_groups, steps=_QUICK).on
    best, highest = rows, torch.full((len(rows),), -torch.inf, dtype=torch.float64)
    for _ in range(_CLIMB):
        unit = torch.nn.functional.normalize(moving, dim=1)
        for _ in range(_INNER):
            fit = step(unit @ white.values.T, white.groups, on, n_groups=white.n_groups)
            on = fit.on
        score = fit.gain * fit.spread.clamp_min(_FLOOR)
        is_higher = score.detach() > highest
        highest = torch.where(is_higher, score.detach(), highest)
        best = torch.where(is_higher[:, None], unit.detach(), best)
        optimizer.zero_grad()
        (-score.clamp_min(1e-9).log().sum()).backward()
        optimizer.step()
        on = on.detach()
    return best


def _direction(row: Tensor, white: White) -> Direction:
    reader = white.to_white @ row
    states = states_along(reader, white.features, white.groups, n_groups=white.n_groups)
    if float(states.on.mean()) > 0.5:
        reader = -reader
        states = states_along(reader, white.features, white.groups, n_groups=white.n_groups)
    written, gap = white.covariance @ reader, states.gap
    return Direction(
        reader=reader / gap,
        written=written * gap / (reader @ written),
        states=replace(states, gap=torch.ones_like(gap), cut=states.cut / gap[:, None]),
    )
