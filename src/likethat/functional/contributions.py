"""What each unit supplies to a logit."""

import torch
from jaxtyping import Float
from torch import Tensor


def contributions(
    pooled: Float[Tensor, "*batch channel"], summands: Float[Tensor, "unit channel"]
) -> Float[Tensor, "*batch unit"]:
    """Return each summand's inner product with the pooled vector.

    The summands add up to a class's head vector, so the contributions and the bias add up to its logit. Computed in
    float64.

    Example:
        >>> contributions(torch.tensor([2.0, 1.0]), torch.tensor([[1.0, 0.0], [1.0, 3.0]]))
        tensor([2., 5.], dtype=torch.float64)
    """
    return pooled.double() @ summands.double().T


def coverage(values: Float[Tensor, "*batch unit"], *, top: int) -> Float[Tensor, "*batch"]:
    """Return the share of the positive contributions that the `top` largest carry.

    1 means that they carry all of the evidence for the class, 0 that there is none (or none among them).

    Example:
        >>> coverage(torch.tensor([4.0, 3.0, 1.0, -5.0]), top=2)
        tensor(0.8750)
    """
    positive = values.clamp_min(0)
    total = positive.sum(-1)
    shown = positive.topk(min(top, positive.shape[-1]), dim=-1).values.sum(-1)
    return torch.where(total > 0, shown / total.clamp_min(torch.finfo(total.dtype).tiny), 0.0)
