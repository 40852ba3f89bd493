"""Predictions that two models do not share, and what moved each: exact, as contributions add up to logits."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from likethat.auditing.comparing import Found
from likethat.auditing.sides import Both

_SHOWN = 4  # units a flip, as many as an explanation shows
_SMALL = 0.02  # of what moved the margin: units that moved less of it are among the others


@dataclass(frozen=True, kw_only=True, eq=False)
class Moved:
    """What moved a prediction: margins are the new class's logit less the old one's.

    Attributes:
        picture: its number among those compared.
        margins: before and after.
        units: places of the units that moved it most, with what each supplied before and after.
        others: what the other units with a row of their own moved it by.
        shared: what those moved it by that have none.
        bias: what the biases moved it by.
        along: (direction,) how much of it lies along each.
    """

    picture: int
    margins: tuple[float, float]
    units: list[tuple[int, float, float]]
    others: float
    shared: float
    bias: float
    along: list[float]


def find_flips(both: Both, found: Found, *, n: int) -> tuple[list[Moved], list[int]]:
    """Count for each unit and direction the flips that hang on it, and return the most decided flips.

    A flip hangs on a unit where the old class would still be ahead had the unit supplied what it did before.

    Args:
        both: the two sides.
        found: what was measured; `n_flips` of its units is filled in.
        n: flips returned at most.

    Returns:
        The flips, and how many hang on each direction.
    """
    flipped = (found.before != found.after).nonzero()[:, 0]
    hang, along = torch.zeros(len(found.units), dtype=torch.long), torch.zeros(len(found.directions), dtype=torch.long)
    kept: list[tuple[float, Moved]] = []
    for part, features in both.blocks(flipped):
        moved = _moves(both, found, part, features)
        apart = moved.after - moved.before
        hang += (moved.margin_after[:, None] <= apart).sum(0)
        along += _hanging(found, moved)
        strength = torch.minimum(-moved.margin_before, moved.margin_after)
        best = strength.argsort(descending=True, stable=True)[:n]
        kept += [(float(strength[row]), _shown(moved, row, int(part[row]))) for row in best.tolist()]
    for unit, count in zip(found.units, hang.tolist(), strict=True):
        unit.n_flips = count
    kept.sort(key=lambda one: (-one[0], one[1].picture))
    return [moved for _, moved in kept[:n]], along.tolist()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Moves:
    """What moved each of some predictions.

    Attributes:
        old, new: (picture,) classes before and after.
        before, after: (picture, unit) what each unit of the comparison supplied to the margin; 0 for those that are
            `shared`.
        has_row: (unit,) those that are not.
        shared, bias, margin_before, margin_after: (picture,).
        along: (picture, direction) what each direction of the comparison moved.
    """

    old: Int[Tensor, " picture"]
    new: Int[Tensor, " picture"]
    before: Float[Tensor, "picture unit"]
    after: Float[Tensor, "picture unit"]
    has_row: Bool[Tensor, " unit"]
    shared: Float[Tensor, " picture"]
    bias: Float[Tensor, " picture"]
    margin_before: Float[Tensor, " picture"]
    margin_after: Float[Tensor, " picture"]
    along: Float[Tensor, "picture direction"]


def _moves(both: Both, found: Found, part: Tensor, features: Tensor) -> _Moves:
    old, new = found.before[part], found.after[part]
    has_row = torch.tensor([one.state != "shared" for one in found.units], dtype=torch.bool)
    own, margins, rest, biases = [], [], [], []
    for side, name in ((both.a, "a"), (both.b, "b")):
        x = features[:, side.columns]
        supplied = (side.weights[new] - side.weights[old]) * (x @ side.readers.T)
        bias = side.bias[new] - side.bias[old]
        margins.append(((side.head[new] - side.head[old]) * x).sum(1) + bias)
        biases.append(bias)
        places = [getattr(one, name) if one.state != "shared" else None for one in found.units]
        rows = torch.zeros(len(part), len(places), dtype=torch.float64)
        mine = [place for place, unit in enumerate(places) if unit is not None]
        rows[:, mine] = supplied[:, [places[place] for place in mine]]
        own.append(rows)
        rest.append(supplied.sum(1) - rows.sum(1))
    return _Moves(
        old=old, new=new, before=own[0], after=own[1], has_row=has_row, shared=rest[1] - rest[0],
        bias=biases[1] - biases[0], margin_before=margins[0], margin_after=margins[1],
        along=_along(found, part, old, new),
    )  # fmt: skip


def _along(found: Found, part: Tensor, old: Tensor, new: Tensor) -> Float[Tensor, "picture direction"]:
    """Return what each direction's model alone has of it, for the new class less the old; what was lost, negative."""
    moved = [
        (1.0 if one.side == "new" else -1.0) * one.scores[part] * (one.speaks_for[new] - one.speaks_for[old])
        for one in found.directions
    ]
    return torch.stack([*moved, *([] if moved else [torch.zeros(len(part), dtype=torch.float64)])], 1)


def _hanging(found: Found, moved: _Moves) -> Int[Tensor, " direction"]:
    """Count the flips that would not have been without what a direction's model alone has of it."""
    is_new = torch.tensor([one.side == "new" for one in found.directions])
    without_it = torch.where(is_new, moved.margin_after[:, None], -moved.margin_before[:, None])
    return (without_it <= moved.along).sum(0)


def _shown(moved: _Moves, row: int, picture: int) -> Moved:
    apart = moved.after[row] - moved.before[row]
    order = apart.argsort(descending=True, stable=True).tolist()
    least = _SMALL * float(moved.margin_after[row] - moved.margin_before[row])
    shown = [place for place in order if bool(moved.has_row[place]) and float(apart[place]) > least][:_SHOWN]
    return Moved(
        picture=picture,
        margins=(float(moved.margin_before[row]), float(moved.margin_after[row])),
        units=[(place, float(moved.before[row, place]), float(moved.after[row, place])) for place in shown],
        others=float(apart.sum() - apart[shown].sum()),
        shared=float(moved.shared[row]),
        bias=float(moved.bias[row]),
        along=moved.along[row].tolist(),
    )
