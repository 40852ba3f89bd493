"""Where typical latents lie: a standard normal, or a mixture fitted to encodings."""

import math
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from likethat._checks import check_count
from likethat._session import in_own_session
from likethat.errors import InputError
from likethat.search.base import Prior

_MOST_FITTED = 20_000  # latents: 48 clusters of 400 each, and seconds where 180,000 took minutes
_LOG_2_PI = math.log(2 * math.pi)


@in_own_session
class StandardNormal:
    """N(0, I).

    Args:
        dim: number of latent dimensions.

    Example:
        >>> StandardNormal(3).log_prob(torch.zeros(1, 3)).exp().item() ** (1 / 3)
        0.398...
    """

    def __init__(self, dim: int) -> None:
        self._dim = check_count(dim, name="dim")

    @property
    def dim(self) -> int:
        """Number of latent dimensions."""
        return self._dim

    def sample(self, n: int, *, rng: torch.Generator) -> Float[Tensor, "n dim"]:
        """Draw `n` latents."""
        return torch.randn(n, self._dim, generator=rng, dtype=torch.float32)

    def log_prob(self, latents: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """Return the log-density of each latent, in nats."""
        return -0.5 * ((latents**2).sum(1) + self._dim * _LOG_2_PI)

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that `prior_from_state` builds it from."""
        return {"dim": torch.tensor(self._dim)}


@in_own_session
class Mixture:
    """A mixture of Gaussians.

    Args:
        weights: of the components; brought to sum to 1.
        means: their centres.
        scales: a lower triangle each, (component, dim, dim), or standard deviations, (component, dim).

    Raises:
        InputError: shapes that do not fit, or weights and scales that are not positive.
    """

    def __init__(
        self,
        weights: Float[Tensor, " component"],
        means: Float[Tensor, "component dim"],
        scales: Float[Tensor, "component dim dim"] | Float[Tensor, "component dim"],
    ) -> None:
        n, dim = means.shape
        if weights.shape != (n,) or scales.shape not in {(n, dim), (n, dim, dim)}:
            raise InputError(
                f"`weights`, `means` and `scales` must be (component,), (component, dim) and (component, dim[, dim]), "
                f"got {tuple(weights.shape)}, {tuple(means.shape)} and {tuple(scales.shape)}."
            )
        spread = scales.diagonal(dim1=1, dim2=2) if scales.ndim == 3 else scales
        if bool((weights <= 0).any()) or bool((spread <= 0).any()):
            raise InputError("`weights` and `scales` must be positive. Drop components without members.")
        self.weights = (weights / weights.sum()).float()
        self.means = means.float()
        self.scales = scales.float()
        self._log_volume = spread.float().log().sum(1)

    @property
    def dim(self) -> int:
        """Number of latent dimensions."""
        return int(self.means.shape[1])

    def sample(self, n: int, *, rng: torch.Generator) -> Float[Tensor, "n dim"]:
        """Draw `n` latents."""
        if n == 0:  # multinomial refuses
            return torch.zeros(0, self.dim, dtype=torch.float32)
        chosen = torch.multinomial(self.weights, n, replacement=True, generator=rng)
        noise = torch.randn(n, self.dim, generator=rng, dtype=torch.float32)
        if self.scales.ndim == 2:
            return self.means[chosen] + self.scales[chosen] * noise
        return self.means[chosen] + torch.einsum("nij,nj->ni", self.scales[chosen], noise)

    def log_prob(self, latents: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """Return the log-density of each latent, in nats; differentiable."""
        away = latents[None].to(self.means.dtype) - self.means[:, None].to(latents.device)
        scales = self.scales.to(latents.device)
        if scales.ndim == 2:
            standard = away / scales[:, None]
        else:
            standard = torch.linalg.solve_triangular(scales, away.mT, upper=False).mT
        inside = -0.5 * ((standard**2).sum(2) + self.dim * _LOG_2_PI) - self._log_volume.to(latents.device)[:, None]
        return torch.logsumexp(inside + self.weights.to(latents.device).log()[:, None], dim=0)

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that `prior_from_state` builds it from."""
        return {"weights": self.weights, "means": self.means, "scales": self.scales}


@in_own_session
class Kernels:
    """One Gaussian round each of many encodings, all of one shape.

    It follows encodings that lie in many separate clouds where a `Mixture` would bridge them. It keeps encodings of
    training data: what is drawn near one looks like the image it encodes, so do not share it where those are private.

    Args:
        centres: encodings.
        scale: lower triangle of every kernel.

    Raises:
        InputError: shapes that do not fit, or a scale that is not positive.
    """

    def __init__(self, centres: Float[Tensor, "kernel dim"], scale: Float[Tensor, "dim dim"]) -> None:
        dim = centres.shape[1]
        if scale.shape != (dim, dim) or bool((scale.diagonal() <= 0).any()):
            raise InputError(
                f"`scale` must be a lower triangle ({dim}, {dim}) with a positive diagonal, got {tuple(scale.shape)}."
            )
        self.centres = centres.float()
        self.scale = scale.float()

    @property
    def dim(self) -> int:
        """Number of latent dimensions."""
        return int(self.centres.shape[1])

    def sample(self, n: int, *, rng: torch.Generator) -> Float[Tensor, "n dim"]:
        """Draw `n` latents."""
        chosen = torch.randint(len(self.centres), (n,), generator=rng)
        return self.centres[chosen] + torch.randn(n, self.dim, generator=rng, dtype=torch.float32) @ self.scale.T

    def log_prob(self, latents: Float[Tensor, "n dim"]) -> Float[Tensor, " n"]:
        """Return the log-density of each latent, in nats; differentiable."""
        scale = self.scale.to(latents.device)
        both = torch.cat([latents.to(scale.dtype), self.centres.to(latents.device)])
        standard = torch.linalg.solve_triangular(scale, both.T, upper=False).T
        away = torch.cdist(standard[: len(latents)], standard[len(latents) :]).square()
        volume = self.dim * _LOG_2_PI / 2 + scale.diagonal().log().sum() + math.log(len(self.centres))
        return torch.logsumexp(-away / 2, dim=1) - volume

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that `prior_from_state` builds it from."""
        return {"centres": self.centres, "scale": self.scale}


def prior_from_state(state: Mapping[str, Tensor]) -> Prior:
    """Build a prior again from its `state`.

    Raises:
        InputError: tensors that are no prior's.
    """
    if set(state) == {"dim"}:
        return StandardNormal(int(state["dim"]))
    if set(state) == {"weights", "means", "scales"}:
        return Mixture(state["weights"], state["means"], state["scales"])
    if set(state) == {"centres", "scale"}:
        return Kernels(state["centres"], state["scale"])
    raise InputError(f"a prior must have dim, or weights, means and scales; got {sorted(state)}.")


def fit_mixture(
    latents: Float[Tensor, "n dim"], n_components: int, *, seed: int = 0, shrinkage: float | None = None
) -> Mixture:
    """Fit a mixture of Gaussians with full covariances to latents.

    Args:
        latents: encodings.
        n_components: how many; fewer where that many have too few members.
        seed: of the starting clusters.
        shrinkage: share of each covariance taken from the mean variance of its cluster, in [0, 1]; None for
            dim / (dim + members), so that few members in many dimensions still give a covariance.

    Raises:
        InputError: fewer than 2 latents, or NaN.

    Differs:
        From scikit-learn's: components come from k-means and stay (hard assignments), since in a hundred dimensions
        clusters of encodings do not overlap; covariances are shrunk, which EM would undo.
    """
    from sklearn.cluster import KMeans

    points = latents.detach().cpu().double().numpy()
    if len(points) < 2 or not np.isfinite(points).all():
        raise InputError(f"`latents` must be at least 2 finite vectors, got {len(points)}.")
    n_components = min(check_count(n_components, name="n_components"), max(1, len(points) // 8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct points than clusters
        owner = KMeans(n_components, n_init=2, random_state=seed).fit_predict(points)
    whole = points.var(0).mean() + 1e-8
    members = [points[owner == index] for index in range(n_components) if (owner == index).sum() > 1]
    members = members or [points]
    triangles = [_triangle(part, whole, shrinkage) for part in members]
    return Mixture(
        torch.tensor([float(len(part)) for part in members], dtype=torch.float32),
        torch.from_numpy(np.stack([part.mean(0) for part in members])),
        torch.from_numpy(np.stack(triangles)),
    )


def _triangle(points: np.ndarray, whole: float, shrinkage: float | None) -> np.ndarray:
    n, dim = points.shape
    share = dim / (dim + n) if shrinkage is None else shrinkage
    away = points - points.mean(0)
    own = np.diag(points.var(0) + 1e-4 * whole)
    covariance = (1 - share) * (away.T @ away / n) + share * own + 1e-6 * whole * np.eye(dim)
    return np.linalg.cholesky(covariance)


def fit_prior(
    latents: Float[Tensor, "n dim"], *, candidates: Sequence[int] = (1, 4, 12, 24, 48), seed: int = 0
) -> Mixture:
    """Fit a mixture with as many components as give held-out latents the highest density.

    Args:
        latents: encodings, with the noise of their posterior; of more than 20,000 a draw is fitted.
        candidates: numbers of components to try, at most one for 30 latents.
        seed: of the split and the clusters.

    Raises:
        InputError: fewer than 2 latents, or NaN.
    """
    order = torch.randperm(len(latents), generator=torch.Generator().manual_seed(seed))
    if len(latents) > _MOST_FITTED:
        latents, order = latents[order[:_MOST_FITTED]], torch.arange(_MOST_FITTED)
    n_held_out = max(1, len(latents) // 10)
    held_out, rest = latents[order[:n_held_out]].cpu(), latents[order[n_held_out:]].cpu()
    possible = [number for number in candidates if number == 1 or number * 30 <= len(rest)]
    scores = {number: float(fit_mixture(rest, number, seed=seed).log_prob(held_out).mean()) for number in possible}
    return fit_mixture(latents, max(scores, key=lambda number: scores[number]), seed=seed)


def fit_kernels(
    latents: Float[Tensor, "n dim"], *, n_kernels: int = 2000, reach: float = 0.4, seed: int = 0
) -> Kernels:
    """Put a kernel round some latents, narrow enough that a draw stays nearer to its centre than the next latent is.

    The width that gives held-out latents the highest density would be larger: in many dimensions it takes in the empty
    space between encodings, which decodes to two heads. What is wanted here is what can be looked at.

    Args:
        latents: encodings.
        n_kernels: how many are kept, drawn at random.
        reach: how far a draw lies from its centre, relative to the median distance between nearest latents.
        seed: of the draw.

    Raises:
        InputError: fewer than 4 latents, or NaN.
    """
    points = latents.detach().float().cpu()
    if len(points) < 4 or not bool(torch.isfinite(points).all()):
        raise InputError(f"`latents` must be at least 4 finite vectors, got {len(points)}.")
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))
    dim = points.shape[1]
    covariance = torch.cov(points.T.double()).reshape(dim, dim)
    total = covariance.trace() + 1e-12
    whole = torch.linalg.cholesky(covariance + 1e-6 * (total / dim) * torch.eye(dim, dtype=torch.float32))
    some = points[order[:500]]
    nearest = torch.cdist(some, points).topk(2, largest=False).values[:, 1].median()
    return Kernels(points[order[:n_kernels]], max(1e-6, reach * float(nearest / total.sqrt())) * whole)
