"""From parts that reconstruct the features to parts that add up to a class's head vector."""

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor

_RANK = 1e-3  # eigenvalues of the parts' products, relative to the largest, from which a direction counts


DETECTOR_RIDGE = 0.3
"""Of `centroid_detectors`, relative to centroids of unit length. At 0 two like centroids cancel each other; without the
other centroids (a ridge without end) all parts of a class peak where it is brightest. On CIFAR-10 and drawn creatures
.3 was better than either in purity, in part consistency and in agreement with deletion."""


def least_squares_parts(
    head_vector: Float[Tensor, " channel"], parts: Float[Tensor, "part channel"]
) -> Float[Tensor, "part channel"]:
    """Return alpha_i p_i, alpha by least squares: what of a head vector lies along each part.

    Source:
        Tan, Zhou, Chen (2024), post-hoc part prototypes, step 2: min over alpha of ||v - sum alpha_i p_i||.

    Differs:
        Of parts that are nearly the same, the smallest alphas are taken, instead of large ones that cancel.

    Example:
        >>> least_squares_parts(torch.tensor([2.0, 3.0, 1.0]), torch.eye(3)[:2])
        tensor([[2., 0., 0.],
                [0., 3., 0.]])
    """
    basis = parts.double()
    gram = basis @ basis.T
    alpha = torch.linalg.pinv(gram, hermitian=True, rtol=_RANK) @ (basis @ head_vector.double())
    return (alpha[:, None] * basis).to(parts.dtype)


def share_objective(shares: Float[Tensor, " part"], sizes: Float[Tensor, " part"]) -> Float[Tensor, ""]:
    """Return the relative change of the parts' heat maps, up to the constant ``||F r||^2``.

    ``sum_i shares_i^2 / sizes_i`` with ``sizes_i = ||F alpha_i p_i||^2``: part i takes ``shares_i`` of the residual r,
    so its heat map changes by ``shares_i F r``.

    Source:
        Ours: the paper shares the residual under a constraint that it calls interpretability and we do not know.

    Example:
        >>> share_objective(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 4.0]))
        tensor(0.3125)
    """
    return (shares.square() / sizes).sum()


def closed_form_shares(sizes: Float[Tensor, " part"]) -> Float[Tensor, " part"]:
    """Return the minimiser of `share_objective` over shares that sum to 1: in proportion to the sizes.

    Example:
        >>> closed_form_shares(torch.tensor([1.0, 3.0]))
        tensor([0.2500, 0.7500])
    """
    total = sizes.sum()
    return sizes / total if float(total) > 0 else equal_shares(sizes)


def equal_shares(sizes: Float[Tensor, " part"]) -> Float[Tensor, " part"]:
    """Return 1 / n for each part: the least *absolute* change of the heat maps."""
    return torch.full_like(sizes, 1 / len(sizes))


def nelder_mead_shares(sizes: Float[Tensor, " part"], *, iterations: int = 4000) -> Float[Tensor, " part"]:
    """Minimise `share_objective` by the simplex search of the paper, over all shares but the last.

    Source:
        Tan, Zhou, Chen (2024), step 3: the residual's shares are refined with Nelder-Mead.

    Differs:
        The objective is ours (`share_objective`); `closed_form_shares` gives its exact minimiser at once.
    """
    n = len(sizes)
    if n == 1 or float(sizes.min()) <= 0:
        return closed_form_shares(sizes)
    weights = (sizes / sizes.max()).double()

    def objective(free: "np.ndarray[tuple[int], np.dtype[np.float64]]", /) -> float:
        shares = torch.from_numpy(np.append(free, 1 - free.sum()))
        return float(share_objective(shares, weights))

    found = minimize(
        objective,
        np.full(n - 1, 1 / n),
        method="Nelder-Mead",
        options={"maxiter": iterations, "maxfev": 2 * iterations, "xatol": 1e-7, "fatol": 1e-14, "adaptive": True},
    ).x
    return torch.from_numpy(np.append(found, 1 - found.sum())).to(sizes)


def ownership_shares(occurrence: Float[Tensor, "cell part"]) -> Float[Tensor, "cell part"]:
    """Return which share of each cell belongs to each part; a cell in which none occurs belongs to all alike.

    Example:
        >>> ownership_shares(torch.tensor([[1.0, 3.0], [0.0, 0.0]]))
        tensor([[0.2500, 0.7500],
                [0.5000, 0.5000]])
    """
    total = occurrence.sum(1, keepdim=True)
    tiny = torch.finfo(total.dtype).tiny
    return torch.where(total > tiny, occurrence / total.clamp_min(tiny), 1 / occurrence.shape[1])


def ownership_regression(
    cells: Float[Tensor, "cell channel"],
    shares: Float[Tensor, "cell part"],
    head_vector: Float[Tensor, " channel"],
    *,
    ridge: float = 1e-3,
) -> Float[Tensor, "part channel"]:
    """Return the parts q_i of a head vector v whose heat maps come closest to each part's share of the evidence.

    ``q_i = argmin ||F q - s_i * (F v)||^2 + ridge' ||q - v / k||^2``. Because the shares of a cell sum to 1, the parts
    sum to v by themselves, up to rounding.

    Args:
        cells: F, feature vectors of a class.
        shares: s, (cell, part), rows that sum to 1.
        head_vector: v.
        ridge: relative to the mean square of a channel over the cells.

    Returns:
        (part, channel), in float64.

    Source:
        Ours (docs/methods.md).

    Example:
        >>> cells, v = torch.eye(2), torch.tensor([3.0, 5.0])
        >>> ownership_regression(cells, torch.eye(2), v, ridge=1e-9).round(decimals=4)
        tensor([[3., 0.],
                [0., 5.]], dtype=torch.float64)
    """
    f, v = cells.double(), head_vector.double()
    n_parts = shares.shape[1]
    strength = max(ridge * float(f.square().mean()) * max(len(f), 1), torch.finfo(torch.float64).tiny)
    prior = v / n_parts
    target = (f @ v)[:, None] * shares.double() - (f @ prior)[:, None]
    if len(f) < f.shape[1]:  # the same solution from the smaller system
        gram = f @ f.T + strength * torch.eye(len(f), dtype=f.dtype, device=f.device)
        change = f.T @ torch.linalg.solve(gram, target)
    else:
        gram = f.T @ f + strength * torch.eye(f.shape[1], dtype=f.dtype, device=f.device)
        change = torch.linalg.solve(gram, f.T @ target)
    return prior + change.T


def centroid_detectors(
    centroids: Float[Tensor, "part channel"], *, ridge: float = DETECTOR_RIDGE
) -> Float[Tensor, "part channel"]:
    """Return what reads off a cell how much of each part is in it, beside the other parts of its class.

    Row i gives the cell's coefficient of centroid i in a ridge regression on all centroids, each of unit length:
    positive at centroid i itself, always. (A part's summand of the head vector is no such detector: where the part
    speaks against its class the summand points away from the centroid, and its largest values lie where the part is
    absent.)

    Source:
        Ours (docs/methods.md).

    Example:
        >>> centroid_detectors(torch.tensor([[2.0, 0.0], [0.0, 5.0]]), ridge=1.0)
        tensor([[0.5000, 0.0000],
                [0.0000, 0.5000]], dtype=torch.float64)
    """
    unit = torch.nn.functional.normalize(centroids.double(), dim=1)
    gram = unit @ unit.T + ridge * torch.eye(len(unit), dtype=unit.dtype, device=unit.device)
    return torch.linalg.solve(gram, unit)
