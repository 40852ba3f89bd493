"""Pictures unlike all others, by their pixels or by what the network sees of them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from likethat.auditing.pixels import pixel_statistics
from likethat.auditing.shortcuts import picture_of
from likethat.explanations.audit import Finding
from likethat.features import Features
from likethat.features.rows import priority
from likethat.functional.familiarity import principal
from likethat.functional.shares import share_interval

_MOST = 8192  # pictures learned from, drawn by hash: what is usual is known to a hundredth
_FEWEST = 100  # pictures: of fewer nobody knows what is usual
_FAR = 4.0
"""Deviations of the logarithm of the distance: of 6,000 photos of CIFAR-10 none lies beyond by its pixels, three by
their features; of photos smoothed eight times or of pure noise nine in ten lie beyond by their pixels."""
_LEAST = 3.0  # likewise, of test pictures, which must lie beyond all learned from: a few hundred may be too near
_ABOVE = 0.8413  # normal quantile of one deviation: a fifth of all pictures may be odd and it hardly moves
_KEPT = 0.95  # of the known, in a fit: so many are usual; of 600 with 16 odd ones ten were hidden without
_NEIGHBOURS, _LONELY = 5, 0.99  # of the second measure: distance to the fifth nearest, beyond that of so many
_DRAW = 17  # another draw of pictures than those of the other searches


@dataclass(frozen=True, kw_only=True, eq=False)
class _Space:
    """Vectors in which usual ones are near each other.

    Attributes:
        known: (image, number) of the pictures that say what is usual.
        asked: (image, number) of those that are judged: others, or the same.
        halves: (image,) which half of the known each is in.
        are_others: whether they are others.
    """

    known: Tensor
    asked: Tensor
    halves: Tensor
    are_others: bool

    def deviations(self) -> Tensor:
        """Return (asked,) how far each lies from what was fitted without it, over the limit.

        Others must lie beyond all that is known, and `_LEAST`; what is judged among its own, beyond `_FAR`.
        """
        crossed = torch.zeros(len(self.known), dtype=torch.float64)
        for side in (self.halves, ~self.halves):
            crossed[side] = _log_distance(self.known[~side], self.known[side])
        middle = crossed.median()
        wide = (crossed.quantile(_ABOVE) - middle).clamp_min(1e-9)
        logs = _log_distance(self.known, self.asked) if self.are_others else crossed
        limit = max(_LEAST, float((crossed.max() - middle) / wide)) if self.are_others else _FAR
        return ((logs - middle) / wide / limit).nan_to_num(0.0)  # vectors that are all the same have no distance

    def loneliness(self, rows: Tensor) -> Tensor:
        """Return whether the fifth nearest of the known is further than that of 99 % of the known themselves."""
        mean, width = self.known.mean(0), self.known.std(0).clamp_min(1e-9)
        known, asked = (self.known - mean) / width, (self.asked[rows] - mean) / width
        some = known[torch.linspace(0, len(known) - 1, min(len(known), 1024), dtype=torch.float64).long()]
        usual = _nth_distance(some, known, _NEIGHBOURS + 1).quantile(_LONELY)  # the nearest is itself
        return _nth_distance(asked, known, _NEIGHBOURS + (not self.are_others)) > usual


def find_unlike(learned: Features, tested: Features | None, *, n_pictures: int, seed: int) -> Finding | None:
    """Look for pictures unlike those learned from: test pictures where there are any, else some among themselves.

    Source:
        Lee et al. (2018), A simple unified framework for detecting out-of-distribution samples: Mahalanobis' distance
        of features; Rousseeuw and Van Driessen (1999): a fit without the furthest.

    Differs:
        Under a covariance of few directions (`functional.familiarity`), and of five statistics of the pixels too:
        noise, blur and flat colour may look like a class to the last layer.

    Args:
        learned: of pictures with sketches.
        tested: of test pictures with sketches, or None.
        n_pictures: of each side.
        seed: of the draw, the halves and the null.
    """
    drawn = sorted(range(len(learned)), key=lambda row: priority(seed + _DRAW, int(learned.indices[row])))[:_MOST]
    if len(drawn) < _FEWEST:
        return None
    rows, halves = torch.tensor(drawn), torch.arange(len(drawn)) % 2 == 1
    asked, of = (learned, "image") if tested is None else (tested, "test")
    among = rows if tested is None else torch.arange(len(tested))
    spaces = [
        _Space(known=each(learned)[rows], asked=each(asked)[among], halves=halves, are_others=tested is not None)
        for each in (pixel_statistics, lambda features: features.pooled.double())
    ]
    each = torch.stack([space.deviations() for space in spaces])
    far = each.amax(0)
    order = (far > 1).nonzero()[:, 0]
    order = order[far[order].argsort(descending=True, stable=True)]
    if not len(order):
        return None
    by_pixels = each.argmax(0)[order] == 0
    lonely = torch.where(by_pixels, spaces[0].loneliness(order), spaces[1].loneliness(order))
    usual = far.argsort(stable=True)[: min(n_pictures, len(order))]
    return Finding(
        kind="unlike",
        score=len(order) / len(far),
        interval=share_interval(len(order), len(far)),
        null=sum(_null(space, seed=seed) for space in spaces),
        agreement=float(lonely.double().mean()),
        n_pictures=len(order),
        n_predictions=len(order),
        facts={"by_pixels": float(by_pixels.sum()), "by_features": float((~by_pixels).sum())},
        pictures=tuple(
            picture_of(asked, int(among[row]), is_on=is_on, of=of)
            for some, is_on in ((order[:n_pictures], True), (usual, False))
            for row in some.tolist()
        ),
    )


def _log_distance(known: Tensor, asked: Tensor) -> Tensor:
    """Return distances from a fit without the furthest of the known: a few odd ones would hide each other."""
    nearest = principal(known).distance(known).argsort(stable=True)
    kept = known[nearest[: max(2, round(_KEPT * len(known)))]]
    return principal(kept).distance(asked).clamp_min(1e-12).log()


def _nth_distance(asked: Tensor, known: Tensor, n: int) -> Tensor:
    parts = [torch.cdist(part, known).kthvalue(min(n, len(known)), dim=1).values for part in asked.split(256)]
    return torch.cat(parts)


def _null(space: _Space, *, seed: int) -> float:
    """Return the share beyond the limit by chance: of others one in the known; else of Gaussian vectors, as many."""
    if space.are_others:
        return 1 / (len(space.known) + 1)
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.randn(space.known.shape, dtype=torch.float64, generator=rng)
    made = _Space(known=drawn, asked=drawn, halves=space.halves, are_others=False)
    return float((made.deviations() > 1).double().mean())
