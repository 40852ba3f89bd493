"""How far two sets of images lie apart in the features of a model."""

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._checks import check_finite
from likethat._session import in_own_session
from likethat.errors import InputError


@in_own_session
def frechet_distance(first: Float[Tensor, "n channel"], second: Float[Tensor, "m channel"]) -> float:
    """Return the squared Fréchet distance of the Gaussians fitted to two sets of feature vectors.

    0 where mean and covariance agree. It depends on the features and grows as sets shrink: compare it with the
    distance of two real halves of the same sizes.

    Args:
        first: feature vectors of some images, one a row.
        second: of others.

    Raises:
        InputError: fewer than two rows, or other widths.
        NonFiniteError: NaN or infinity.

    Source:
        Heusel et al., "GANs trained by a two time-scale update rule", NeurIPS 2017, equation 6.

    Differs:
        The features are whatever is given, not those of one Inception network, so that it fits any images.

    Example:
        >>> frechet_distance(torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [5.0]]))
        9.0
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or min(len(first), len(second)) < 2:
        raise InputError(
            f"`first` and `second` must be (n, channel) and (m, channel) with at least two rows, got "
            f"{tuple(first.shape)} and {tuple(second.shape)}."
        )
    one = check_finite(first, name="first").double()
    other = check_finite(second, name="second").double()
    apart = (one.mean(0) - other.mean(0)).square().sum()
    covariances = [torch.cov(rows.T, correction=0).reshape(rows.shape[1], -1) for rows in (one, other)]
    root = _root(covariances[0])
    shared = torch.linalg.eigvalsh(root @ covariances[1] @ root).clamp(min=0).sqrt().sum()
    return max(0.0, float(apart + covariances[0].trace() + covariances[1].trace() - 2 * shared))


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
