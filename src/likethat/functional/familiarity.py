"""How far a vector lies from all those seen before, and from where on it is unlike them."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._vectors import rows_of

_DIRECTIONS = 32  # held out, 64 flag as many of the same kind or more, and no more of another
_MOST = 2048  # rows looked at: more move the limit by less than its own error
_FEWEST = 40  # rows: half of fewer says nothing about the other half
_DEVIATIONS, _MORE = 3.0, 30.0  # of the logarithm, and more of them the fewer there are: _MORE a held-out row


@dataclass(frozen=True, kw_only=True, eq=False)
class Familiar:
    """A Gaussian of few directions through vectors that were seen, and the distance that they keep.

    Source:
        Tipping and Bishop (1999), probabilistic principal components, eq. 7 and 8: covariance
        ``V (diag(w) - s) V' + s I``; the distance is Mahalanobis' under it.

    Attributes:
        mean: of the vectors.
        directions: V', along which they vary most, orthonormal.
        variances: w, along each.
        rest: s, the mean variance along all other directions.
        limit: the distance beyond which a vector is unlike them.
    """

    mean: Float[Tensor, " channel"]
    directions: Float[Tensor, "direction channel"]
    variances: Float[Tensor, " direction"]
    rest: float
    limit: float = float("inf")

    def distance(self, vectors: Float[Tensor, "row channel"]) -> Float[Tensor, " row"]:
        """Return how far vectors lie from those seen, in standard deviations; 0 at their mean.

        Example:
            >>> seen = Familiar(mean=torch.zeros(3), directions=torch.eye(3)[:1], variances=torch.tensor([4.0]), rest=1)
            >>> seen.distance(torch.tensor([[2.0, 0.0, 0.0], [0.0, 3.0, 4.0]])).tolist()
            [1.0, 5.0]
        """
        apart = vectors.double() - self.mean.double()
        along = apart @ self.directions.double().T
        across = apart.square().sum(1) - along.square().sum(1)
        return ((along.square() / self.variances.double()).sum(1) + across.clamp_min(0) / self.rest).sqrt()

    def is_unlike(self, vector: Float[Tensor, " channel"]) -> bool:
        """Whether a vector lies beyond the limit."""
        return float(self.distance(vector[None])[0]) > self.limit


def familiar(vectors: Float[Tensor, "row channel"]) -> Familiar | None:
    """Fit every second vector, and set the limit beyond all the others; None for too few, or all the same.

    At most one in (rows / 2 + 1) of the same kind lies beyond the largest of the held-out rows; where these are few,
    the limit is further out, by what their logarithm's spread foretells.
    """
    drawn = torch.linspace(0, len(vectors) - 1, min(len(vectors), _MOST), dtype=torch.float64).long()
    chosen = rows_of(vectors, drawn)  # spread over the whole file of vectors on disk, whose pages are let go
    fitted, held = chosen[1::2].double(), chosen[::2].double()
    if len(vectors) < _FEWEST or not float((fitted - fitted[0]).abs().max()) > 0:
        return None
    seen = principal(fitted)
    logs = seen.distance(held).clamp_min(1e-12).log()
    spread = (_DEVIATIONS + _MORE / len(logs)) * float(logs.std())
    limit = max(float(logs.max()), float(logs.mean()) + spread)
    return Familiar(**{**vars(seen), "limit": float(torch.tensor(limit, dtype=torch.float64).exp())})


def principal(vectors: Float[Tensor, "row channel"]) -> Familiar:
    """Return mean, main directions and the variance across them, by the smaller of the two Gram matrices; no limit."""
    n, dim = vectors.shape
    mean = vectors.mean(0)
    apart = vectors - mean
    few = n < dim
    values, bases = torch.linalg.eigh(apart @ apart.T if few else apart.T @ apart)
    values = values.flip(0).clamp_min(0)
    r = max(1, min(_DIRECTIONS, n // 4, dim - 1))
    directions = bases.flip(1)[:, :r].T
    if few:
        directions = torch.nn.functional.normalize(directions @ apart, dim=1)
    variances = values / (n - 1)
    rest = max(float(variances[r:].sum()) / max(dim - r, 1), 1e-9 * float(variances[0]))
    return Familiar(
        mean=mean.float(), directions=directions.float(), variances=variances[:r].clamp_min(rest).float(), rest=rest
    )
