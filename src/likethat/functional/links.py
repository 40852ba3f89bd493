"""From logits to a network's own probabilities, and to the classes it gives."""

from typing import Literal, TypeAlias

from jaxtyping import Float
from torch import Tensor

from likethat._double import double

Outputs: TypeAlias = Literal["softmax", "sigmoid"]
"""What the logits of a network stand for: classes of which one is right, or labels that each hold or do not."""


def probabilities_of(logits: Float[Tensor, "*n cls"], outputs: Outputs) -> Float[Tensor, "*n cls"]:
    """Return the probability of each class, float64 in [0, 1].

    Of a softmax the rows sum to 1. Of sigmoids each class has its own, and one logit is one class or not. In float64
    a probability says 1 only where the logits are 37 apart, not 17.

    Args:
        logits: as the head gives them.
        outputs: ``"softmax"`` or ``"sigmoid"``.

    Example:
        >>> import torch
        >>> probabilities_of(torch.tensor([0.0, 0.0]), "softmax").tolist(), probabilities_of(torch.zeros(1), "sigmoid")
        ([0.5, 0.5], tensor([0.5000], dtype=torch.float64))
    """
    return double(logits).softmax(-1) if outputs == "softmax" else double(logits).sigmoid()
