"""How far an answer is on the side of a class."""

import torch
from jaxtyping import Float
from torch import Tensor

_LEAST = 1e-6  # a probability of 0 would make a margin infinite


def margins_of(probabilities: Float[Tensor, "n cls"], *, target: int | None, source_class: int) -> Float[Tensor, " n"]:
    """Return the log-probability of the target less that of the best other class.

    Without a target: of the best class that is not the source's, less that of the source's.

    Example:
        >>> p = torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64)
        >>> [round(float(margins_of(p, target=target, source_class=0).exp()), 6) for target in (0, 1, None)]
        [2.0, 0.5, 0.5]
    """
    logs = probabilities.clamp_min(_LEAST).log()
    own = source_class if target is None else target
    others = logs.clone()
    others[:, own] = -torch.inf
    margin = logs[:, own] - others.max(dim=1).values
    return -margin if target is None else margin
