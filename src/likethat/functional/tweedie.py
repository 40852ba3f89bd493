"""Particles near an image and on the manifold of images: noise it, and take the noise off in one step."""

from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from likethat.errors import LikethatError, ModelError, NonFiniteError


class Denoises(Protocol):
    """The one thing asked of a denoiser here."""

    def denoise(
        self, x: Float[Tensor, "n channel height width"], sigma: Float[Tensor, " n"]
    ) -> Float[Tensor, "n channel height width"]:
        """Return x0_hat of x = image + sigma * noise."""
        ...


def denoised(
    denoiser: Denoises, x: Float[Tensor, "n channel height width"], sigma: float
) -> Float[Tensor, "n channel height width"]:
    """Return x0_hat of every noisy image at one noise level, in [0, 1] and without gradients.

    Raises:
        ModelError: the denoiser raised, or returned no image for each.
        NonFiniteError: it returned NaN or infinity.
    """
    try:
        with torch.no_grad():
            x0_hat = denoiser.denoise(x, torch.full((len(x),), sigma, dtype=x.dtype, device=x.device))
    except LikethatError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(f"the denoiser raised {type(error).__name__} at sigma = {sigma:.3g} ({reason}).") from error
    if not isinstance(x0_hat, Tensor) or x0_hat.shape != x.shape:
        got = tuple(x0_hat.shape) if isinstance(x0_hat, Tensor) else type(x0_hat).__name__
        raise ModelError(f"the denoiser must return (n, channel, height, width) = {tuple(x.shape)}, got {got}.")
    if not bool(torch.isfinite(x0_hat).all()):
        raise NonFiniteError(
            f"the denoiser must return finite images, got NaN or infinity at sigma = {sigma:.3g}. Check its weights "
            "and the noise levels that it was trained for."
        )
    return x0_hat.detach().to(x).clamp(0, 1)


def predicted_noise(x: Tensor, x0_hat: Tensor, sigma: float) -> Tensor:
    """Return eps_hat = (x - x0_hat) / sigma."""
    return (x - x0_hat) / sigma


def tweedie_particles(
    denoiser: Denoises,
    image: Float[Tensor, "channel height width"],
    sigma: float,
    *,
    n: int,
    rng: torch.Generator,
) -> Float[Tensor, "n channel height width"]:
    """Return `n` images near `image`: noise at one level, then the posterior mean.

    Source:
        Kim et al. (2025), FreeMCG; Efron (2011), Tweedie's formula: E[x0 | x] = x + sigma² ∇ log p(x).
    """
    noise = torch.randn(n, *image.shape, generator=rng, dtype=torch.float32).to(image)
    return denoised(denoiser, image + sigma * noise, sigma)
