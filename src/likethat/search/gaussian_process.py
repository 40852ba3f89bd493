"""Exact Gaussian-process regression of several outputs that share one kernel."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

SCALES = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
"""Of the root of the dimension, which is how far apart two draws of a whitened prior lie."""
NOISES = (1e-4, 1e-2, 1e-1)  # of the variance: a model that answers exactly, one that rounds, one that changes its mind
_TYPICAL_SCALE, _SCALE_SPREAD = 0.7, 0.5  # a belief about the length, in its logarithm: few points fit any
_LEAST_VARIANCE = 1e-4  # where all answers so far are the same


@dataclass(frozen=True, kw_only=True, eq=False)
class Posterior:
    """What is believed of some points, each by itself.

    Attributes:
        mean: (n, output).
        variance: (n, output).
    """

    mean: Float[Tensor, "n output"]
    variance: Float[Tensor, "n output"]

    def sample(self, n: int, *, rng: torch.Generator) -> Float[Tensor, "sample n output"]:
        """Draw from the marginals."""
        noise = torch.randn(n, *self.mean.shape, generator=rng, dtype=torch.float64)
        return self.mean + self.variance.sqrt() * noise


@dataclass(frozen=True, kw_only=True, eq=False)
class GaussianProcess:
    """A fitted process: squared-exponential kernel, constant means, one variance an output.

    Attributes:
        points: (n, dim) what was seen.
        mean: (output,) of the outputs seen.
        length: of the kernel.
        noise: variance of the noise, relative to the output's.
        cholesky: (n, n) lower triangle of kernel + noise.
        weights: (n, output): (kernel + noise)^-1 (outputs - mean).
        variance: (output,) of the process, by maximum likelihood.
        log_likelihood: of the outputs, summed, at this variance; up to a constant.
    """

    points: Float[Tensor, "n dim"]
    mean: Float[Tensor, " output"]
    length: float
    noise: float
    cholesky: Float[Tensor, "n n"]
    weights: Float[Tensor, "n output"]
    variance: Float[Tensor, " output"]
    log_likelihood: float

    def posterior(self, points: Float[Tensor, "m dim"]) -> Posterior:
        """Return mean and variance of the noiseless outputs.

        Source:
            Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, algorithm 2.1.
        """
        cross = _kernel(points, self.points, self.length)
        explained = torch.linalg.solve_triangular(self.cholesky, cross.T, upper=False).square().sum(0)
        return Posterior(
            mean=self.mean + cross @ self.weights,
            variance=(1 - explained).clamp(min=1e-10)[:, None] * self.variance,
        )


def fit_gaussian_process(
    points: Float[Tensor, "n dim"],
    outputs: Float[Tensor, "n output"],
    *,
    lengths: tuple[float, ...] | None = None,
    noises: tuple[float, ...] = NOISES,
) -> GaussianProcess:
    """Fit the process whose length and noise, out of a few, make the outputs most likely.

    Args:
        points: (n, dim) float64, on a scale where typical points have variance 1 in each dimension.
        outputs: (n, output) float64.
        lengths: kernel lengths to choose from; by default multiples of the square root of the dimension, as distances
            between typical points grow with it, weighed by a log-normal prior around the typical multiple.
        noises: noise variances to choose from, relative to the output's variance.

    Source:
        Rasmussen and Williams (2006), equation 5.8, with the variance of each output put at its maximum. Length prior
        that grows with the dimension: Hvarfner et al. (2024), arXiv 2402.02229.
    """
    root = math.sqrt(points.shape[1])
    choices = [scale * root for scale in SCALES] if lengths is None else list(lengths)
    best: GaussianProcess | None = None
    best_score = -math.inf
    for length in choices:
        kernel = _kernel(points, points, length)
        belief = 0.0 if lengths else -0.5 * (math.log(length / root / _TYPICAL_SCALE) / _SCALE_SPREAD) ** 2
        for noise in noises:
            process = _fit(points, outputs, kernel, length, noise)
            if best is None or process.log_likelihood + belief > best_score:
                best, best_score = process, process.log_likelihood + belief
    assert best is not None
    return best


def _fit(points: Tensor, outputs: Tensor, kernel: Tensor, length: float, noise: float) -> GaussianProcess:
    n, n_outputs = outputs.shape
    mean = outputs.mean(0)
    cholesky = torch.linalg.cholesky(kernel + noise * torch.eye(n, dtype=kernel.dtype))
    weights = torch.cholesky_solve(outputs - mean, cholesky)
    variance = (((outputs - mean) * weights).sum(0) / n).clamp(min=_LEAST_VARIANCE)
    volume = n_outputs * cholesky.diagonal().log().sum()
    return GaussianProcess(
        points=points,
        mean=mean,
        length=length,
        noise=noise,
        cholesky=cholesky,
        weights=weights,
        variance=variance,
        log_likelihood=float(-0.5 * n * variance.log().sum() - volume),
    )


def _kernel(first: Float[Tensor, "n dim"], second: Float[Tensor, "m dim"], length: float) -> Float[Tensor, "n m"]:
    return torch.exp(-0.5 * (torch.cdist(first, second) / length) ** 2)
