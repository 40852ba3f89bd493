"""Random parts to start a factorisation from."""

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._double import double


def start_parts(
    cells: Float[Tensor, "cls cell channel"], draws: Float[Tensor, "cls part"]
) -> Float[Tensor, "cls part channel"]:
    """Return cells to start from: each drawn in proportion to what the ones before it leave unexplained.

    Args:
        cells: feature vectors, padded with rows of zeros.
        draws: uniform in [0, 1), one a part; they make the choice repeatable.

    Source:
        Deshpande, Rademacher, Vempala, Wang (2006), adaptive sampling for low-rank approximation.
    """
    left = cells.square().sum(2)
    basis = cells.new_zeros(len(cells), draws.shape[1], cells.shape[2])
    found = torch.zeros_like(basis)
    for part in range(draws.shape[1]):
        place = _draw(left, draws[:, part])[:, None, None].expand(-1, 1, cells.shape[2])
        chosen = cells.gather(1, place)
        new = chosen - (chosen @ basis.mT) @ basis
        found[:, part], basis[:, part] = chosen[:, 0], torch.nn.functional.normalize(new[:, 0], dim=1)
        left = (left - (cells @ basis[:, part, :, None])[..., 0].square()).clamp_min(0)
    return found


def _draw(weight: Tensor, draws: Tensor) -> Tensor:
    """Return a column of each row, in proportion to its weight, from one uniform draw a row."""
    total = double(weight).cumsum(1)
    place = torch.searchsorted(total, (double(draws[:, None]) * total[:, -1:]).contiguous(), right=True)[:, 0]
    return place.clamp_max(weight.shape[1] - 1).to(weight.device)
