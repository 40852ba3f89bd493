"""Taking one direction out of a linear head, and making its answers as frequent as the labels again."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

_SWEEPS = 50  # over the classes; with four classes 5 to 15 are enough, with hundreds what is left is a few pictures


def without_direction(
    weight: Float[Tensor, "cls channel"], direction: Float[Tensor, " channel"], reader: Float[Tensor, " channel"]
) -> Float[Tensor, "cls channel"]:
    """Return W (I - d r') / (r' d): a head that no longer sees how far a vector lies along d, as r reads it.

    It is oblique unless r is d: what d shares with other directions stays. With r = S^-1 d, for S the covariance within
    classes, what is taken out is uncorrelated with all that stays.

    Args:
        weight: W, a row a class.
        direction: d, along which the state is written.
        reader: r, which reads it; not orthogonal to d.

    Example:
        >>> head, d, r = torch.eye(2), torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.0])
        >>> (without_direction(head, d, r) @ d).tolist()
        [0.0, 0.0]
    """
    written = weight @ direction / (reader @ direction)
    return weight - written[:, None] * reader


def match_frequencies(
    logits: Float[Tensor, "image cls"], wanted: Int[Tensor, " cls"], *, sweeps: int = _SWEEPS
) -> Float[Tensor, " cls"]:
    """Return what to add to each class's logits so that as many images are given to it as wanted, near enough.

    Class by class the bias is set where exactly as many images as wanted prefer the class to all others, until nothing
    moves. Classes that nobody wants keep their bias.

    Args:
        logits: of each image.
        wanted: how many images of each class there are.
        sweeps: at most.

    Example:
        >>> match_frequencies(torch.tensor([[3.0, 0.0], [2.0, 0.0], [1.0, 0.0], [0.5, 0.0]]), torch.tensor([2, 2]))
        tensor([-0.7500,  0.7500], dtype=torch.float64)
    """
    logits, bias = logits.double(), torch.zeros(logits.shape[1], dtype=torch.float64)
    classes = [int(one) for one in wanted.nonzero()[:, 0]]
    for _ in range(sweeps):
        before = bias.clone()
        for one in classes:
            bias[one] += _shift_of(logits + bias, one, int(wanted[one]))
        if torch.equal(bias, before):
            break
    return bias - bias[classes].mean() if classes else bias


def _shift_of(logits: Tensor, one: int, wanted: int) -> float:
    """Return the shift of one class's logits that gives it as many images as wanted; 0 where it has them."""
    others = logits.clone()
    others[:, one] = -torch.inf
    margins = (logits[:, one] - others.amax(1)).sort(descending=True).values
    if int((margins > 0).sum()) == wanted or logits.shape[1] < 2:
        return 0.0
    if wanted >= len(margins):
        return float(1 - margins[-1])
    return -float(margins[wanted - 1] + margins[wanted]) / 2
