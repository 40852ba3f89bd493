"""The gradient of a black box from its outputs alone: ensembles, their covariances and what follows from them."""

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._double import double


def anomalies(values: Float[Tensor, "particle *shape"]) -> Float[Tensor, "particle *shape"]:
    """Return each member of an ensemble less the ensemble's mean.

    Example:
        >>> anomalies(torch.tensor([1.0, 3.0]))
        tensor([-1., 1.])
    """
    return values - values.mean(dim=0)


def cross_covariance(
    inputs: Float[Tensor, "particle *shape"], outputs: Float[Tensor, "particle output"]
) -> Float[Tensor, "output *shape"]:
    """Return the mean over the ensemble (1/N) of input anomaly times output anomaly.

    Source:
        Kim et al. (2025), FreeMCG, equation of C_xf, transposed: one image an output.

    Example:
        >>> cross_covariance(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [6.0]]))
        tensor([[3.]])
    """
    flat = anomalies(inputs).flatten(1)
    covariance = anomalies(outputs).to(flat).T @ flat / len(flat)
    return covariance.reshape(-1, *inputs.shape[1:])


def ensemble_gradient(
    particles: Float[Tensor, "particle *shape"],
    log_outputs: Float[Tensor, "particle cls"],
    target: int,
    *,
    at: Float[Tensor, "point cls"] | None = None,
) -> Float[Tensor, "point *shape"]:
    """Return C_xf (e_c - p): the gradient of log p_c as the ensemble sees it, from outputs alone.

    For logits that are linear in the input, f = W x, this is exactly C_xx Wᵀ (e_c - p): the gradient times the
    ensemble's covariance, so it lies in the span of the particles.

    Args:
        particles: inputs asked; for images, denoised ones (see `tweedie_particles`).
        log_outputs: logits or log-probabilities. What is added to all classes of a particle cancels.
        target: the class c.
        at: outputs at the points where the gradient is wanted; at the ensemble's mean probability when None.

    Source:
        Kim et al. (2025), FreeMCG, g = C_xf (e_c - p).

    Example:
        >>> ensemble_gradient(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0, 0.0], [0.0, 6.0]]), 1).shape
        torch.Size([1, 1])
    """
    p = log_outputs.softmax(dim=1).mean(dim=0, keepdim=True) if at is None else at.softmax(dim=1)
    e_c = torch.zeros_like(p)
    e_c[:, target] = 1
    C_xf = cross_covariance(particles, log_outputs)
    return torch.tensordot((e_c - p).to(C_xf), C_xf, dims=1)


def kalman_gain(
    particles: Float[Tensor, "particle *shape"], outputs: Float[Tensor, "particle output"], *, ridge: float = 0.1
) -> Float[Tensor, "output *shape"]:
    """Return (C_ff + r I)⁻¹ C_fx: how far each input moves for one unit of each output.

    Args:
        particles: inputs asked.
        outputs: what was observed of each.
        ridge: r as a share of the outputs' mean variance; it keeps few particles from promising too much.

    Source:
        The ensemble Kalman filter's gain (Evensen 1994), with the observation noise as a ridge.

    Example:
        >>> kalman_gain(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [6.0]]), ridge=0.0)
        tensor([[0.3333]])
    """
    f = double(anomalies(outputs))
    C_ff = f.T @ f / len(f)
    floor = torch.finfo(torch.float64).tiny
    C_ff = C_ff + (ridge * C_ff.diagonal().mean() + floor) * torch.eye(len(C_ff), dtype=C_ff.dtype, device=C_ff.device)
    C_fx = double(cross_covariance(particles, outputs).flatten(1))
    gain = torch.linalg.solve(C_ff, C_fx)
    return gain.reshape(-1, *particles.shape[1:]).to(particles)


def kalman_move(
    particles: Float[Tensor, "particle *shape"],
    margins: Float[Tensor, " particle"],
    wanted: float,
    *,
    trust: float = 1.0,
    ridge: float = 0.1,
    back: bool = False,
) -> Float[Tensor, "particle *shape"]:
    """Move each particle along one shared direction by what its own margin lacks, and no further.

    Under a linear margin it is the shortest move, measured by the ensemble's covariance, that gives every particle
    the margin wanted. A particle that has it stays where it is.

    Args:
        particles: inputs asked, or their latents.
        margins: log-probability of the target less that of the best other class.
        wanted: the margin that is enough.
        trust: longest move, in standard deviations of the ensemble's margin: beyond it the linear picture is a guess.
        ridge: see `kalman_gain`.
        back: whether particles that have more than they need go back by as much.

    Source:
        Ensemble Kalman inversion (Iglesias, Law and Stuart 2013) with the margin as its only observation.

    Differs:
        From FreeMCG: one direction for all, C_xm, and a step in units of margin, not of the predicted noise.

    Example:
        >>> kalman_move(torch.tensor([[0.0], [2.0]]), torch.tensor([0.0, 6.0]), 3.0, ridge=0.0)
        tensor([[1.], [2.]])
    """
    longest = trust * float(margins.std(correction=0))
    lacking = (wanted - margins).clamp(min=-longest if back else 0.0, max=longest).to(particles)
    direction = kalman_gain(particles, margins[:, None], ridge=ridge)[0]
    return particles + lacking.reshape(-1, *[1] * (particles.ndim - 1)) * direction
