"""Purity: how much of a feature vector points along one channel."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def purity(vectors: Float[Tensor, "*batch channel"], channels: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Return the cosine between each vector and the axis of its channel.

    1 means that the vector lies on the channel's axis and on no other, 0 that the channel is silent there, -1 that
    it points the other way. A vector of zeros has purity 0.

    Args:
        vectors: feature vectors at the peak cells, after mixing.
        channels: the channel each vector was picked for.

    Source:
        Borycki et al. (2026), EPIC: purity = p_k / ||p||_2.

    Differs:
        ``p / 0`` is defined as 0.

    Example:
        >>> purity(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([1, 0]))
        tensor([0.8000, 0.0000])
    """
    values = vectors.gather(-1, channels.unsqueeze(-1)).squeeze(-1)
    norms = torch.linalg.vector_norm(vectors, dim=-1)
    return torch.where(norms > 0, values / norms.clamp_min(torch.finfo(norms.dtype).tiny), 0.0)
