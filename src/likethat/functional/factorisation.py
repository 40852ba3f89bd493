"""Non-negative factorisation of many classes' cells at once, by hierarchical alternating least squares (HALS)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

_FIRST_STEP, _STEP_GROWTH, _SMALLEST_STEP = 0.5, 1.05, 0.01
"""Of the extrapolation: grown where it helped, halved where not, plain below."""
_EXTRA = 12  # directions of a sketch beyond the number of parts
_SWEEPS = 4  # coordinate sweeps for one product with the cells: a sweep costs part / channel of the product


@dataclass(frozen=True, kw_only=True, eq=False)
class Factorisation:
    """Cells of each class as non-negative mixtures of its parts.

    Attributes:
        occurrence: (class, cell, part) how much of each part is in each cell, at least 0.
        parts: (class, part, channel) rows of length 1, or of zeros where a class has fewer parts; at least 0 unless
            signed.
        error: (class,) squared error relative to the cells' squared norm, in [0, 1].
        rounds: rounds until every class had converged.
    """

    occurrence: Float[Tensor, "cls cell part"]
    parts: Float[Tensor, "cls part channel"]
    error: Float[Tensor, " cls"]
    rounds: int


def factorise(
    cells: Float[Tensor, "cls cell channel"],
    parts: Float[Tensor, "cls part channel"],
    *,
    occurrence: Float[Tensor, "cls cell part"] | None = None,
    signed: bool = False,
    rounds: int = 200,
    tolerance: float = 1e-4,
) -> Factorisation:
    """Minimise ``||cells - occurrence @ parts||`` in each class, from given parts.

    Rows of zeros may pad classes with fewer cells: they change nothing. A class that has converged is left as it is,
    so its result does not depend on the classes beside it.

    Args:
        cells: feature vectors; at least 0 unless `signed`.
        parts: the start, from `singular_parts` or `start_parts`.
        occurrence: the start of the occurrence; the best one for `parts` when None.
        signed: let the parts be negative where the cells are (semi-NMF).
        rounds: at most so many.
        tolerance: a class has converged when a round lowers its error by less than this part of it.

    Source:
        Tan, Zhou, Chen (2024), post-hoc part prototypes, step 1: min ||F - E P||, E >= 0, P >= 0. HALS with several
        sweeps a product: Gillis and Glineur (2012), Neural Computation 24. Signed features: semi-NMF, Ding, Li,
        Jordan (2010), IEEE TPAMI 32, with the parts by least squares as in Gillis and Kumar (2015). Rounds are first
        made on a sketch of the cells, then on the cells themselves; both are extrapolated (see below).

    Differs:
        The paper has non-negative features only, and does not say how it factorises.

    Example:
        >>> cells = torch.tensor([[[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]]])
        >>> factorise(cells, torch.eye(2)[None]).error.round(decimals=6)
        tensor([0.])
    """
    done = 0
    if cells.shape[2] > 4 * _sketch_size(parts.shape[1]) and occurrence is None:
        sketch = _sketch(cells, _sketch_size(parts.shape[1]))
        state, done = _converged(_State.of(sketch, parts, None), rounds=rounds, tolerance=tolerance, signed=signed)
        parts, occurrence = state.p, state.e_ahead.mT
    start = _State.of(_Cells(x=cells), parts, occurrence)
    state, more = _converged(start, rounds=rounds, tolerance=tolerance, signed=signed)
    e = _sweep(state.e_ahead, state.p @ cells.mT, state.p @ state.p.mT)
    return _normalised(cells, e.mT, state.p, done + more)


def _converged(state: "_State", *, rounds: int, tolerance: float, signed: bool) -> tuple["_State", int]:
    """Return each class where it stopped gaining, and the rounds until the last had."""
    kept, rows, done = state.copy(), (state.norms > 0).nonzero()[:, 0], 0
    if len(rows) < len(state.norms):
        state = state.only(rows)
    while done < rounds and len(rows):
        done += 1
        active = state.round(signed=signed, tolerance=tolerance)
        if not bool(active.all()):
            kept.put(rows, state)
            rows, state = rows[active], state.only(active)
    kept.put(rows, state)
    return kept, done


@dataclass(kw_only=True, eq=False)
class _Cells:
    """Cells x, or a sketch of them, ``x = y @ basis``: all that the rounds need of them is two products."""

    x: Tensor
    basis: Tensor | None = None

    def read(self, p: Tensor) -> Tensor:
        """Return ``p @ cells.T``."""
        return (p if self.basis is None else p @ self.basis.mT) @ self.x.mT

    def pool(self, e: Tensor) -> Tensor:
        """Return ``e @ cells``."""
        return e @ self.x if self.basis is None else (e @ self.x) @ self.basis

    def only(self, rows: Tensor) -> "_Cells":
        return _Cells(x=self.x[rows], basis=None if self.basis is None else self.basis[rows])


def _sketch_size(n_parts: int) -> int:
    return n_parts + _EXTRA


def _sketch(cells: Tensor, size: int) -> _Cells:
    """Return the cells in the directions in which they are largest.

    Source:
        Erichson, Mendible, Wihlborn, Kutz (2018), Randomized nonnegative matrix factorization, Pattern Recognition
        Letters 104. The rounds on the sketch only bring the parts near; the last ones see the cells themselves.
    """
    rng = torch.Generator().manual_seed(0)  # any directions do; the same ones for every class
    directions = torch.randn(cells.shape[2], size, generator=rng, dtype=torch.float32).to(cells)
    found = torch.linalg.qr(cells.mT @ (cells @ directions)).Q
    return _Cells(x=cells @ found, basis=found.mT.contiguous())


@dataclass(kw_only=True, eq=False)
class _State:
    """Occurrence (class, part, cell) and parts of each class, and both a step ahead in the direction they moved.

    Source:
        Ang and Gillis (2019), Accelerating nonnegative matrix factorization algorithms using extrapolation, Neural
        Computation 31.

    Differs:
        A round that raises a class's error is undone for that class, and its step halved.
    """

    cells: _Cells
    norms: Tensor
    e: Tensor
    p: Tensor
    e_ahead: Tensor
    p_ahead: Tensor
    error: Tensor
    step: Tensor

    @classmethod
    def of(cls, cells: _Cells, parts: Tensor, occurrence: Tensor | None) -> "_State":
        if occurrence is None:
            product = cells.read(parts)
            e = _sweep(torch.zeros_like(product), product, parts @ parts.mT)
        else:
            e = occurrence.mT.contiguous()
        norms = cells.x.square().sum((1, 2))
        error, step = torch.full_like(norms, torch.inf), torch.full_like(norms, _FIRST_STEP)
        return cls(cells=cells, norms=norms, e=e, p=parts, e_ahead=e, p_ahead=parts, error=error, step=step)

    def only(self, rows: Tensor) -> "_State":
        return _State(
            **{name: values.only(rows) if name == "cells" else values[rows] for name, values in vars(self).items()}
        )

    def copy(self) -> "_State":
        return _State(**{name: values if name == "cells" else values.clone() for name, values in vars(self).items()})

    def put(self, rows: Tensor, other: "_State") -> None:
        self.e_ahead[rows], self.p[rows] = other.e_ahead, other.p

    def round(self, *, signed: bool, tolerance: float) -> Tensor:
        """Improve occurrence, then parts; the error costs no further product with the cells. Return what goes on."""
        step = self.step[:, None, None]
        e = _sweep(self.e_ahead, self.cells.read(self.p_ahead), self.p_ahead @ self.p_ahead.mT)
        e_ahead = (e + step * (e - self.e)).clamp_min_(0)
        gram, product = e_ahead @ e_ahead.mT, self.cells.pool(e_ahead)
        p = _solve_parts(gram, product) if signed else _sweep(self.p_ahead, product, gram)
        p_ahead = p + step * (p - self.p)
        error = self.norms + (gram * (p @ p.mT)).sum((1, 2)) - 2 * (p * product).sum((1, 2))
        better = error <= self.error
        gain = self.error - error
        at = better[:, None, None]
        self.e_ahead = torch.where(at, e_ahead, self.e)
        self.p_ahead = torch.where(at, p_ahead if signed else p_ahead.clamp_min_(0), self.p)
        self.e, self.p = torch.where(at, e, self.e), torch.where(at, p, self.p)
        self.error = torch.where(better, error, self.error)
        was_plain = self.step < _SMALLEST_STEP
        self.step = torch.where(better, (self.step * _STEP_GROWTH).clamp_max(1.0), self.step / 2)
        return (gain > tolerance * self.error.clamp_min(1e-6 * self.norms)) | ~(better | was_plain)


def encode(
    cells: Float[Tensor, "*cls cell channel"], parts: Float[Tensor, "*cls part channel"], *, sweeps: int = 30
) -> Float[Tensor, "*cls cell part"]:
    """Return the occurrence of given parts in cells: non-negative least squares by coordinate descent.

    Example:
        >>> encode(torch.tensor([[2.0, -1.0]]), torch.eye(2))
        tensor([[2., 0.]])
    """
    product = parts @ cells.mT
    return _sweep(torch.zeros_like(product), product, parts @ parts.mT, sweeps=sweeps).mT


def non_negative(cells: Float[Tensor, "*cls cell channel"], *, signed: bool) -> Float[Tensor, "*cls cell wide"]:
    """Return cells, with what is below 0 in channels of its own where they are signed; else it is cut off.

    Differs:
        The paper has non-negative features only. Semi-NMF has a slightly smaller error and parts that change from start
        to start (benchmarks/results/parts.md, "signed").

    Example:
        >>> non_negative(torch.tensor([[2.0, -1.0]]), signed=True)
        tensor([[2., 0., 0., 1.]])
    """
    return torch.cat([cells.clamp_min(0), (-cells).clamp_min(0)], dim=-1) if signed else cells.clamp_min(0)


def rejoined(centroids: Float[Tensor, "part wide"], *, signed: bool) -> Float[Tensor, "part channel"]:
    """Return parts of `non_negative` cells as directions of the cells themselves.

    Example:
        >>> rejoined(torch.tensor([[0.6, 0.0, 0.0, 0.8]]), signed=True)
        tensor([[ 0.6000, -0.8000]])
    """
    if not signed:
        return centroids
    above, below = centroids.chunk(2, dim=-1)
    return torch.nn.functional.normalize(above - below, dim=-1)


def regions_of(cells: Float[Tensor, "set cell wide"], n: int) -> list[Float[Tensor, "region wide"]]:
    """Return up to `n` parts of each set of cells, the largest first: those that occur in any; at least one.

    Example:
        >>> regions_of(torch.tensor([[[0.0, 3.0], [2.0, 0.0], [0.0, 4.0]]]), 2)[0].round(decimals=4).abs()
        tensor([[0., 1.],
                [1., 0.]])
    """
    found = factorise(cells, singular_parts(cells, min(n, *cells.shape[1:])))
    sizes = found.occurrence.sum(1)
    orders = sizes.sort(dim=1, descending=True, stable=True).indices
    counts = (sizes > 0).sum(1).clamp_min(1).tolist()
    return [parts[order[:n]] for parts, order, n in zip(found.parts, orders, counts, strict=True)]


def relative_error(
    cells: Float[Tensor, "*cls cell channel"],
    occurrence: Float[Tensor, "*cls cell part"],
    parts: Float[Tensor, "*cls part channel"],
) -> Float[Tensor, "*cls"]:
    """Return the squared error relative to the cells' squared norm; 0 for cells of zeros."""
    norms = cells.square().sum((-1, -2))
    error = (cells - occurrence @ parts).square().sum((-1, -2))
    return torch.where(norms > 0, error / norms.clamp_min(torch.finfo(norms.dtype).tiny), 0.0)


def singular_parts(cells: Float[Tensor, "cls cell channel"], n_parts: int) -> Float[Tensor, "cls part channel"]:
    """Return parts to start from: the signs that dominate in the cells' leading singular vectors.

    Repeatable without a draw; cells that can be negative start from the singular vectors as they are.

    Source:
        Boutsidis and Gallopoulos (2008), SVD based initialization: NNDSVD, Pattern Recognition 41.

    Example:
        >>> singular_parts(torch.tensor([[[3.0, 0.0], [0.0, 2.0]]]), 2).round()
        tensor([[[1., 0.],
                 [0., 1.]]])
    """
    sketch = _sketch(cells, min(_sketch_size(n_parts), cells.shape[1], cells.shape[2]))
    assert sketch.basis is not None
    u, _, v = torch.linalg.svd(sketch.x, full_matrices=False)
    right = v[:, :n_parts] @ sketch.basis
    left = u[:, :, :n_parts].mT
    sizes = [torch.linalg.vector_norm(side.clamp_min(0), dim=2) for side in (left, right, -left, -right)]
    signs = torch.where(sizes[0] * sizes[1] >= sizes[2] * sizes[3], 1, -1)[:, :, None]
    found = right * signs if bool((cells < 0).any()) else (right * signs).clamp_min(0)
    missing = n_parts - found.shape[1]
    return torch.nn.functional.pad(found, (0, 0, 0, missing)) if missing > 0 else found


def _sweep(values: Tensor, product: Tensor, gram: Tensor, *, sweeps: int = _SWEEPS) -> Tensor:
    """Lower ``||X - values' B||`` over ``values >= 0``, row after row; ``product = B X'``, ``gram = B B'``."""
    scale = gram.diagonal(dim1=-2, dim2=-1)[..., None]
    inverse = torch.where(scale > 0, 1 / scale.clamp_min(torch.finfo(scale.dtype).tiny), 0.0)
    goal, others = product * inverse, gram * inverse
    others.diagonal(dim1=-2, dim2=-1).zero_()
    values = values * (scale > 0)
    for _ in range(sweeps):
        for part in range(values.shape[-2]):
            row = slice(part, part + 1)
            values[..., row, :] = (goal[..., row, :] - others[..., row, :] @ values).clamp_min_(0)
    return values


def _solve_parts(gram: Tensor, product: Tensor) -> Tensor:
    """Return the unconstrained best parts; a little ridge keeps parts that never occur at zero."""
    size = gram.diagonal(dim1=-2, dim2=-1).mean(-1).clamp_min(torch.finfo(gram.dtype).tiny)
    ridge = 1e-6 * size[..., None, None] * torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    return torch.linalg.solve(gram + ridge, product)


def _normalised(cells: Tensor, occurrence: Tensor, parts: Tensor, rounds: int) -> Factorisation:
    lengths = torch.linalg.vector_norm(parts, dim=2)
    parts = torch.nn.functional.normalize(parts, dim=2, eps=torch.finfo(parts.dtype).tiny)
    occurrence = occurrence * lengths[:, None]
    error = relative_error(cells, occurrence, parts)
    return Factorisation(occurrence=occurrence, parts=parts, error=error, rounds=rounds)
