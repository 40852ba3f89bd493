"""FreeMCG with the paper's sampler, or with the rule that its release has in its place."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._calls import public
from likethat._session import in_own_session
from likethat._status import Reason
from likethat.errors import InputError, TargetError
from likethat.explainers import freemcg
from likethat.explainers.freemcg.inputs import name_of
from likethat.explainers.freemcg.log import Archive
from likethat.explainers.freemcg.run import Found, Settings
from likethat.explainers.freemcg.spaces import ImageSpace, Space
from likethat.functional.kalman import anomalies, ensemble_gradient
from likethat.functional.tweedie import denoised, predicted_noise
from likethat.generators.base import Denoiser
from likethat.options import PaperFreeMCGOptions


@in_own_session(grad=True)
@public
@dataclass(frozen=True, eq=False)
class FreeMCG(PaperFreeMCGOptions, freemcg.FreeMCG):
    """Counterfactuals of images by the paper's sampler; attributions are those of `likethat.FreeMCG`.

    The target must be named, a denoiser given; `noise` is not used.

    Source:
        Kim, Lee, Kim, Ye: "Derivative-free diffusion manifold-constrained gradient for unified XAI", CVPR 2025.

    Differs:
        See `paper_sampler`.
    """

    can_ask_without_end: ClassVar[bool] = True
    as_published: ClassVar[bool] = True

    @property
    def rule(self) -> str:
        """How particles are moved, as records have it."""
        return self.algorithm

    def check_together(self) -> None:
        """Refuse what is no denoiser."""
        super().check_together()
        if not isinstance(self.generator, Denoiser):
            raise InputError(
                f"`generator` must be a denoiser for algorithm={self.algorithm!r}, got {name_of(self.generator)}."
            )

    def _search(self, space: Space, archive: Archive, settings: Settings, rng: torch.Generator) -> Found:
        assert isinstance(space, ImageSpace)
        if archive.target is None:
            raise TargetError(f"`target` must be a class for algorithm={self.algorithm!r}, got None.")
        mean = paper_sampler(
            space,
            archive,
            target=archive.target,
            algorithm=self.algorithm,
            n_particles=settings.n_particles,
            n_steps=self.n_steps,
            rng=rng,
        )
        asked = mean is not None and len(archive.ask(mean, mean))
        return Found(
            mean_row=len(archive.distances) - 1 if asked else None,
            target_margin=settings.margin,
            reason=Reason.BUDGET if mean is None else Reason.STEPS,
        )


def release_direction(
    particles: Float[Tensor, "particle *shape"], logs: Float[Tensor, "particle cls"], target: int
) -> Float[Tensor, "particle *shape"]:
    """Return each particle's own term alone: its anomaly, with the sign of its own weight.

    Source:
        The release of Kim et al. (2025), in place of the paper's covariance product.
    """
    e_c = torch.nn.functional.one_hot(torch.tensor(target), logs.shape[1]).to(logs)
    weight = (anomalies(logs) * (e_c - logs.exp())).sum(dim=1)
    return weight.sign().to(particles).reshape(-1, *[1] * (particles.ndim - 1)) * anomalies(particles)


def paper_sampler(
    space: ImageSpace,
    archive: Archive,
    *,
    target: int,
    algorithm: Literal["paper", "release"],
    n_particles: int,
    n_steps: int,
    rng: torch.Generator,
    sigmas: tuple[float, float] = (2.0, 0.05),
    step: float = 0.2,
    proximity: float = 0.02,
) -> Tensor | None:
    """Return the mean of the particles at the end of the paper's sampler; None where the budget ended before.

    Source:
        Kim et al. (2025), FreeMCG, section 3.

    Differs:
        Noise levels are those of x = image + sigma * noise, evenly spaced in log sigma, and begin at twice the
        strength of 0.4 (sigma = 1 on [0, 1] images), where either rule succeeds more often.
    """
    levels = torch.logspace(0, 1, n_steps, base=sigmas[1] / sigmas[0], dtype=torch.float64).mul(sigmas[0]).tolist()
    x = space.origin + levels[0] * torch.randn(n_particles, *space.origin.shape, generator=rng, dtype=torch.float32).to(
        space.origin
    )
    for sigma, following in zip(levels, [*levels[1:], 0.0], strict=True):
        x0_hat = space.decode(denoised(space.denoiser, x, sigma))
        if len(archive.ask(x0_hat, x0_hat)) < n_particles:
            return None
        logs = archive.probabilities[-n_particles:].clamp_min(1e-6).log()
        g = (
            release_direction(x0_hat, logs, target)
            if algorithm == "release"
            else ensemble_gradient(x0_hat, logs.to(x0_hat), target, at=logs)
        )
        eps_hat = predicted_noise(x, x0_hat, sigma)
        rescaled = g * _norms(eps_hat) / _norms(g).clamp_min(1e-12)
        eps_hat = eps_hat - step * rescaled + proximity * (x0_hat - space.origin).sign()
        up = following * (max(sigma**2 - following**2, 0.0) ** 0.5) / sigma  # DDIM with eta = 1
        x = (
            x
            - sigma * eps_hat
            + following**2 / sigma * eps_hat
            + up * torch.randn(x.shape, generator=rng, dtype=torch.float32).to(x)
        )
    return space.decode(x.mean(dim=0, keepdim=True))


def _norms(values: Tensor) -> Tensor:
    return torch.linalg.vector_norm(values.flatten(1), dim=1).reshape(-1, *[1] * (values.ndim - 1))
