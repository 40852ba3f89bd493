"""Parts of a class found without marks: factorisation, its stability, and how many parts there are."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from likethat.explainers.parts.cells import ClassCells, seeded
from likethat.functional.factorisation import (
    Factorisation,
    encode,
    factorise,
    non_negative,
    rejoined,
    relative_error,
    singular_parts,
)
from likethat.functional.sharing import ownership_shares
from likethat.functional.starts import start_parts

MOST_PARTS = 8
"""``n_parts="auto"`` tries up to so many."""
AGREEMENT, GAIN = 0.9, 0.05
"""``n_parts="auto"`` goes on to one part more while the ownership of the cells agrees between the parts of two halves
of the images (mean correlation), and the part takes away at least this share of the error of a single part."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """The parts of one class, before they are made to add up.

    Attributes:
        centroids: (part, channel) rows of length 1.
        occurrence: (cell, part) of the class's cells.
        error: squared reconstruction error relative to the cells' squared norm.
        between_starts: (part,) cosine with its match from another start; NaN where unknown.
        between_halves: (part,) mean cosine with its matches from each half of the images; NaN for one image.
        errors, agreements: (count,) over 1, 2, ... parts tried; empty unless the number was chosen.
    """

    centroids: Float[Tensor, "part channel"]
    occurrence: Float[Tensor, "cell part"]
    error: float
    between_starts: Float[Tensor, " part"]
    between_halves: Float[Tensor, " part"]
    errors: tuple[float, ...] = ()
    agreements: tuple[float, ...] = ()

    @property
    def shares(self) -> Float[Tensor, "cell part"]:
        """Which share of each cell belongs to each part."""
        return ownership_shares(self.occurrence)


def count_limit(member: ClassCells) -> int:
    """Return how many parts a class's cells can tell apart: at most its cells that are not zero, and its channels."""
    return min(int((member.cells.abs().amax(1) > 0).sum()), member.cells.shape[1])


def discover(
    block: Sequence[ClassCells], n_parts: int | str, *, signed: bool, seed: int, device: torch.device
) -> list[Found]:
    """Factorise the cells of several classes together; `n_parts` is a number or ``"auto"``."""
    work = _Block.of(block, signed=signed, seed=seed, device=device)
    if isinstance(n_parts, int):
        run = work.run(n_parts)
        return [run.found(place, member) for place, member in enumerate(block)]
    runs = [work.run(count) for count in range(1, MOST_PARTS + 1)]
    return [_choose(runs, place, member) for place, member in enumerate(block)]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Run:
    """All classes of a block with one number of parts: from two starts, and on each half of the images."""

    whole: Factorisation
    again: Factorisation
    halves: tuple[Factorisation, Factorisation]
    signed: bool

    def found(self, place: int, member: ClassCells) -> Found:
        centroids, occurrence = self.whole.parts[place], self.whole.occurrence[place, : len(member)]
        alive = (occurrence.amax(0) > 0) & (centroids.abs().amax(1) > 0)
        if not bool(alive.any()):
            alive[0] = True
        order = _by_size(occurrence, alive)
        halves = torch.stack([_matched(centroids[order], half.parts[place]) for half in self.halves]).mean(0)
        return Found(
            centroids=rejoined(centroids[order], signed=self.signed).cpu(),
            occurrence=occurrence[:, order].cpu(),
            error=float(self.whole.error[place]),
            between_starts=_matched(centroids[order], self.again.parts[place]).cpu(),
            between_halves=(halves if member.n_images > 1 else torch.full_like(halves, torch.nan)).cpu(),
        )

    def agreement(self, place: int, cells: Tensor) -> float:
        """Return how alike the halves' parts own the same cells: mean correlation after matching."""
        cells = non_negative(cells, signed=self.signed)
        if self.whole.parts.shape[1] == 1:
            return 1.0
        first, second = (ownership_shares(encode(cells, half.parts[place])) for half in self.halves)
        table = _correlations(first, second)
        rows, columns = linear_sum_assignment(-table.cpu().double().numpy())
        return float(table[rows, columns].mean())


@dataclass(frozen=True, kw_only=True, eq=False)
class _Block:
    """Classes' cells, padded with zeros to one length."""

    members: Sequence[ClassCells]
    cells: Float[Tensor, "cls cell channel"]
    first_half: Float[Tensor, "cls cell 1"]
    signed: bool
    seed: int

    @classmethod
    def of(cls, members: Sequence[ClassCells], *, signed: bool, seed: int, device: torch.device) -> "_Block":
        longest = max(len(member) for member in members)
        cells = torch.zeros(len(members), longest, members[0].cells.shape[1], dtype=torch.float32)
        first_half = torch.zeros(len(members), longest, 1, dtype=torch.float32)
        for place, member in enumerate(members):
            cells[place, : len(member)] = member.cells
            first_half[place, : len(member), 0] = member.halves()[0].float()
        cells = non_negative(cells, signed=signed)
        return cls(members=members, cells=cells.to(device), first_half=first_half.to(device), signed=signed, seed=seed)

    def run(self, n_parts: int) -> _Run:
        whole = factorise(self.cells, singular_parts(self.cells, n_parts))
        first, second = self.cells * self.first_half, self.cells * (1 - self.first_half)
        return _Run(
            signed=self.signed,
            whole=whole,
            again=self._again(n_parts),
            halves=(
                factorise(first, singular_parts(first, n_parts)),
                factorise(second, singular_parts(second, n_parts)),
            ),
        )

    def _again(self, n_parts: int) -> Factorisation:
        """Start from cells drawn at random instead."""
        draws = torch.stack(
            [
                torch.rand(n_parts, generator=seeded(self.seed, member.target, 2), dtype=torch.float32)
                for member in self.members
            ]
        )
        return factorise(self.cells, start_parts(self.cells, draws.to(self.cells.device)))


def _choose(runs: Sequence[_Run], place: int, member: ClassCells) -> Found:
    """Return the parts of the largest number up to which all is well, with the curve."""
    limit = min(len(runs), max(count_limit(member), 1))
    cells = runs[0].whole.parts.new_tensor(member.cells.numpy())
    agreements = [run.agreement(place, cells) if member.n_images > 1 else float("nan") for run in runs[:limit]]
    errors = tuple(float(run.whole.error[place]) for run in runs[:limit])
    count = 1
    while count < limit and agreements[count] >= AGREEMENT and errors[count - 1] - errors[count] >= GAIN * errors[0]:
        count += 1
    found = runs[count - 1].found(place, member)
    return Found(
        centroids=found.centroids,
        occurrence=found.occurrence,
        error=found.error,
        between_starts=found.between_starts,
        between_halves=found.between_halves,
        errors=errors,
        agreements=tuple(agreements),
    )


def left_out_error(centroids: Float[Tensor, "part channel"], cells: Float[Tensor, "cell channel"]) -> float:
    """Return the relative error of cells that took no part in the factorisation."""
    return float(relative_error(cells, encode(cells, centroids), centroids))


def _by_size(occurrence: Tensor, alive: Tensor) -> Tensor:
    size = torch.where(alive, occurrence.sum(0), -1.0)
    return size.sort(descending=True, stable=True).indices[: int(alive.sum())]


def _matched(parts: Tensor, others: Tensor) -> Tensor:
    """Return each part's cosine with its match among others (rows of length 1), matched for the largest sum."""
    table = parts @ others.T
    rows, columns = linear_sum_assignment(-table.cpu().double().numpy())
    cosines = torch.full((len(parts),), torch.nan, dtype=parts.dtype, device=parts.device)
    cosines[rows] = table[rows, columns]
    return cosines


def _correlations(first: Tensor, second: Tensor) -> Tensor:
    a, b = first - first.mean(0), second - second.mean(0)
    lengths = torch.linalg.vector_norm(a, dim=0)[:, None] * torch.linalg.vector_norm(b, dim=0)
    return torch.where(lengths > 0, (a.T @ b) / lengths.clamp_min(1e-12), 0.0)
