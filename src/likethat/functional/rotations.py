"""Invertible matrices on channels: polar factors, exponentials, whitening."""

import torch
from jaxtyping import Float
from torch import Tensor

Square = Float[Tensor, "channel channel"]
_STEPS = 13  # ten are enough where half of the digits are left; what takes more does not converge
_NEAR = (
    0.02  # norm of the last step, no singular value moves more: it leaves 2e-4, a step in float64 the square of that
)
_MARGIN = 1.1  # of norms that are estimated from below


def polar_factor(matrix: Square, *, precision: torch.dtype = torch.float64) -> Square:
    """Return the orthogonal matrix U that maximises trace(U^T matrix).

    With rows m_k (the mean unit patch of channel k) this is the rotation of highest mean purity for a fixed selection:
    ``mean purity = (1/D) sum_k <u_k, m_k>``.

    Source:
        Schönemann (1966), orthogonal Procrustes: U = W V^T for the singular value decomposition W S V^T. Higham (1986),
        Computing the polar decomposition: X <- (s X + X^-T / s) / 2 has the same limit, s^2 = |X^-1| / |X|.

    Differs:
        Inverses take half the time of the decomposition, which is left for matrices that are nearly singular. Made
        orthogonal in float64: logits that must agree to 1e-5 need more than float32 gives. `precision` float32 is for
        factors that are only compared.

    Example:
        >>> polar_factor(torch.tensor([[0.0, 2.0], [1.0, 0.0]]))
        tensor([[0., 1.],
                [1., 0.]])
    """
    found = _by_inverses(matrix)
    if found is None:
        left, _, right = torch.linalg.svd(matrix.to(precision), full_matrices=False)
        return (left @ right).to(matrix.dtype) + 0.0
    if precision == torch.float32:
        return found + 0.0
    exact = found.to(precision)
    missing = torch.eye(len(found), dtype=precision) - exact.T @ exact
    return (exact + found @ missing.to(found.dtype) / 2).to(matrix.dtype) + 0.0


def _by_inverses(matrix: Square) -> Square | None:
    """Return the limit of Higham's steps, nearly; None where inverses lose more than half of their digits."""
    found, ratio = matrix, 1.0
    for step in range(_STEPS):
        inverse, is_singular = torch.linalg.inv_ex(found)
        scale = ratio**-0.5  # the singular values lie between 1 and `ratio`
        if step == 0:
            largest, least = _MARGIN * _norm(found), 1 / (_MARGIN * _norm(inverse))
            if is_singular or not least > torch.finfo(matrix.dtype).eps ** 0.5 * largest:
                return None
            scale, ratio = (largest * least) ** -0.5, largest / least
        better = (scale / 2) * found + inverse.T / (2 * scale)
        change = float((better - found).norm())  # not of the mean: one value far from 1 is no rotation
        found, ratio = better, (ratio**0.5 + ratio**-0.5) / 2
        if change < _NEAR:  # half of its square is what is left
            return found
    return None


def _norm(matrix: Square, *, steps: int = 3) -> float:
    """Return the largest singular value, nearly: a scale need not be exact."""
    vector = matrix.new_ones(len(matrix))
    for _ in range(steps):
        vector = matrix.T @ (matrix @ vector)
        vector = vector / vector.norm()
    return float((matrix @ vector).norm())


def rotation_from(generator: Square, *, orthogonal: bool) -> Square:
    """Return expm(R - R^T), a rotation, or expm(R), which is invertible.

    Source:
        Borycki et al. (2026), EPIC (the parametrisation of its released code).

    Example:
        >>> rotation_from(torch.zeros(2, 2), orthogonal=True)
        tensor([[1., 0.],
                [0., 1.]])
    """
    exponent = generator - generator.T if orthogonal else generator
    return torch.linalg.matrix_exp(exponent)


def random_rotation(dimension: int, *, rng: torch.Generator) -> Square:
    """Draw an orthogonal matrix from the Haar measure.

    Source:
        Mezzadri (2007): QR of a Gaussian matrix with the signs of R's diagonal taken out.
    """
    gaussian = torch.randn(dimension, dimension, generator=rng, dtype=torch.float64)
    orthogonal, triangular = torch.linalg.qr(gaussian)
    return (orthogonal * triangular.diagonal().sign()).float()


def whitening(second_moment: Square, *, condition: float) -> Square:
    """Return the symmetric matrix that whitens as far as its condition number allows.

    Args:
        second_moment: E[z z^T] of the feature vectors.
        condition: largest over smallest singular value of the result, at least 1; 1 gives the identity.

    Returns:
        V diag(s) V^T with s = 1/sqrt(eigenvalue), clipped from above, scaled so that mean(s^2) = 1.

    Differs:
        Not in the paper. A general invertible mixing reaches higher purity by stretching axes without end; the
        condition number is the price tag.
    """
    values, vectors = torch.linalg.eigh(second_moment.double())
    scales = values.clamp_min(torch.finfo(torch.float64).tiny).rsqrt()
    scales = scales.clamp_max(float(scales.min()) * condition)
    scales = scales / scales.square().mean().sqrt()
    return ((vectors * scales) @ vectors.T).to(second_moment.dtype)
