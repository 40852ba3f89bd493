"""How near a model's answers come to an answer wanted; every measure is 0 at the answer wanted and grows from there."""

import torch
from jaxtyping import Float
from torch import Tensor


def farthest_class(probabilities: Float[Tensor, "*n cls"], wanted: Float[Tensor, " cls"]) -> Float[Tensor, " *n"]:
    """Return the largest difference to the wanted vector over the classes, in [0, 1].

    0 where every class has the probability wanted; for a one-hot vector it is one minus the confidence.

    Example:
        >>> farthest_class(torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([1.0, 0.0, 0.0])).item()
        0.5
    """
    return (probabilities - wanted).abs().amax(-1)


def squared_loss(probabilities: Float[Tensor, "*n cls"], wanted: Float[Tensor, " cls"]) -> Float[Tensor, " *n"]:
    """Return the sum of squared differences over the classes, in [0, 2].

    Source:
        Barbalau et al. (2020), arXiv 2006.03896: L(z) = sum over classes of (f(G(z)) - onehot(y))^2.

    Example:
        >>> squared_loss(torch.tensor([[0.5, 0.5]]), torch.tensor([1.0, 0.0])).item()
        0.5
    """
    return (probabilities - wanted).square().sum(-1)


def log_loss(
    probabilities: Float[Tensor, "*n cls"], wanted: Float[Tensor, " cls"], *, floor: float = 1e-6
) -> Float[Tensor, " *n"]:
    """Return the Kullback-Leibler divergence of the answers from the wanted vector, in nats; 0 where they agree.

    Unlike the squared loss it has no plateau where the wanted class has next to no probability.

    Args:
        probabilities: the answers.
        wanted: a probability vector.
        floor: added to every probability, so that 0 costs much and not everything.

    Example:
        >>> round(log_loss(torch.tensor([[0.5, 0.5]]), torch.tensor([1.0, 0.0])).item(), 3)
        0.693
    """
    return (torch.special.xlogy(wanted, wanted) - wanted * (probabilities + floor).log()).sum(-1)


def to_log_scale(probabilities: Float[Tensor, "*n cls"], *, floor: float = 1e-3) -> Float[Tensor, "*n cls"]:
    """Return log(p + floor): a scale on which a smooth model of probabilities makes sense.

    Example:
        >>> from_log_scale(to_log_scale(torch.tensor([0.25, 0.75]))).mul(4).round().tolist()
        [1.0, 3.0]
    """
    return (probabilities + floor).log()


def from_log_scale(values: Float[Tensor, "*n cls"], *, floor: float = 1e-3) -> Float[Tensor, "*n cls"]:
    """Return the probability vectors of values on the log scale; the inverse of `to_log_scale`."""
    probabilities = (values.exp() - floor).clamp(min=1e-9)  # not 0: users take logarithms of it
    return probabilities / probabilities.sum(-1, keepdim=True)
