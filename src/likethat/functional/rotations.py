"""Invertible matrices on channels: polar factors, exponentials, whitening."""

import torch
from jaxtyping import Float
from torch import Tensor

Square = Float[Tensor, "channel channel"]


def polar_factor(matrix: Square, *, precision: torch.dtype = torch.float64) -> Square:
    """Return the orthogonal matrix U that maximises trace(U^T matrix).

    With rows m_k (the mean unit patch of channel k) this is the rotation of highest mean purity for a fixed selection:
    ``mean purity = (1/D) sum_k <u_k, m_k>``.

    Source:
        Schönemann (1966), orthogonal Procrustes: U = W V^T for the singular value decomposition W S V^T.

    Differs:
        Computed in float64: in float32 the factor of an ill-conditioned matrix is not orthogonal enough for logits
        that must agree to 1e-5. `precision` is for factors that are only compared.

    Example:
        >>> polar_factor(torch.tensor([[0.0, 2.0], [1.0, 0.0]]))
        tensor([[0., 1.],
                [1., 0.]])
    """
    left, _, right = torch.linalg.svd(matrix.to(precision), full_matrices=False)
    return (left @ right).to(matrix.dtype) + 0.0


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
